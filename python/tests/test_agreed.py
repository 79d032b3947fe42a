"""Calls under a policy that was agreed: one session, what it allows and no more, and whoever is missing."""

import hashlib
import warnings

import pyarrow
import pytest
from conftest import WORKLOADS

import mc2

TEXT = """\
version = 1
name = "{name}"
expires = 2999-12-31T00:00:00Z
visible = "access"
[enclave]
tee = ["sim"]
platforms = "any"
tcb = "up-to-date"
{parties}
[[component]]
name = "guest"
sha256 = "{component}"
{rest}
"""


def policy_of(name, component, parties, rest):
    """A policy of these parties over one component."""
    digest = hashlib.sha256(component.read_bytes()).hexdigest()
    cards = "".join(f'[[party]]\ncard = "{party.card}"\n' for party in parties)
    return mc2.Policy.from_text(
        TEXT.format(name=name, parties=cards, component=digest, rest=rest)
    )


@pytest.fixture(scope="session")
def banks():
    return mc2.keygen("bank-a"), mc2.keygen("bank-b")


def copying(banks, guest):
    """A policy of one party, whose one job copies its rows."""
    return policy_of(
        "alone",
        guest,
        banks[:1],
        """
[[dataset]]
name = "rows"
owner = "bank-a"
[[job]]
name = "copy"
submit = ["bank-a"]
runs = 10
limits = { memory = "256MiB", time = "20s", output = "1MiB" }
[[job.step]]
component = "guest"
inputs = { in = "dataset:rows" }
args = ["copy", "in", "out"]
outputs = { out = ["bank-a"] }
""",
    )


@pytest.fixture
def alone(banks, guest):
    return copying(banks, guest)


def together(banks, guest, approving='"all"'):
    """A policy of two owners, one of whom gets either's rows."""
    return policy_of(
        "two",
        guest,
        banks,
        """
[[dataset]]
name = "rows-a"
owner = "bank-a"
[[dataset]]
name = "rows-b"
owner = "bank-b"
[[job]]
name = "copy"
submit = ["bank-a"]
approve = { who = WHO, when = "session" }
errors = "full"
runs = 10
limits = { memory = "256MiB", time = "20s", output = "1MiB" }
[[job.step]]
component = "guest"
inputs = { a = "dataset:rows-a", b = "dataset:rows-b" }
args = ["copy", { one_of = ["a", "b"] }, "out"]
outputs = { out = ["bank-a"], error = ["bank-a"] }
padding = "exact"
""".replace("WHO", approving),
    )


@pytest.fixture
def two(banks, guest):
    return together(banks, guest)


COPY = {"outputs": ["out"], "args": ["copy", "in", "out"]}


def test_calls_are_jobs_of_the_policy_in_one_session(host, alone, guest, tmp_path):
    path = tmp_path / "p.toml"
    alone.save(path)
    with mc2.connect(host, policy=path, allow_simulated=True) as enclave:
        # An input is the dataset that the policy says it is, sealed before or in the call.
        rows = enclave.seal(b"sealed before", "rows")
        runs = [enclave.run(guest, {"in": given}, **COPY) for given in (rows, rows)]
        assert [bytes(run.outputs["out"]) for run in runs] == [b"sealed before"] * 2
        assert {run.receipt.session for run in runs} == {enclave.session}
        assert {run.receipt.policy for run in runs} == {alone.digest}
        assert runs[0].receipt.verify() and enclave.verdict and enclave.verdict.simulated
        # What the receipt is compared with: this policy, and no other.
        receipt = runs[0].receipt.path
        assert mc2.verify(receipt, policy=path, allow_simulated=True)


def test_without_a_host_a_policy_is_tried_out_here(alone, guest):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        enclave = mc2.connect(policy=alone)
    assert [one.category for one in said] == [mc2.NotSecureWarning]
    with enclave:
        run = enclave.run(guest, {"in": b"here"}, **COPY)
        assert bytes(run.outputs["out"]) == b"here" and run.receipt.policy == alone.digest
        # The dataset in the session is one version, and is not exchanged for another.
        with pytest.raises(mc2.errors.PolicyRefused, match="another version of rows"):
            enclave.run(guest, {"in": b"other"}, **COPY)


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda e, g: e.run(g, {"in": b"x"}, ["out"], ["echo"]), "PolicyRefused", "argument"),
        (lambda e, g: e.run(g, {"in": b"x"}, ["more"], ["copy"]), "PolicyRefused", "no output more"),
        (lambda e, g: e.run(g, {"in": b"x"}, **COPY, job="other"), "PolicyRefused", "no such job"),
        (lambda e, g: e.run(g, {"in": b"x"}, **COPY, instances=2), "PolicyRefused", "instances = 1"),
        (lambda e, g: e.run(g, {"in": b"x"}, **COPY, memory="1GiB"), "InputError", "limits"),
        (lambda e, g: e.run(g, {}, **COPY), "PolicyRefused", "input in is missing"),
        (lambda e, g: e.seal(b"x", "other"), "PolicyRefused", "no dataset or input other"),
        (lambda e, g: e.run(WORKLOADS / "wordcount.wasm"), "PolicyRefused", "SHA-256"),
    ],
)
def test_what_the_policy_does_not_allow_is_refused_in_words(shared, guest, call, kind, words):
    with pytest.raises(getattr(mc2.errors, kind), match=words) as raised:
        call(shared, guest)
    assert type(raised.value).__name__ == kind


@pytest.fixture(scope="module")
def shared(banks):
    with mc2.connect(policy=copying(banks, WORKLOADS / "hostile.wasm")) as enclave:
        yield enclave


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"wait": "5s"}, "wait goes with a policy"),
        ({"session": "0" * 64}, "session goes with a policy"),
        ({"tee": "tdx", "policy": True}, "the policy states the kinds"),
        ({"wait": "soon", "policy": True}, "wait"),
        ({"session": "x", "policy": True}, "session"),
        ({"components": [__file__], "policy": True}, "component"),
    ],
)
def test_options_that_do_not_go_together_say_so(alone, options, words):
    if options.get("policy"):
        options = {**options, "policy": alone}
    with pytest.raises(mc2.Error, match=words):
        mc2.connect("http://127.0.0.1:1", **options)


def test_an_enclave_without_a_policy_has_no_session_of_its_own(enclave):
    with pytest.raises(mc2.errors.InputError, match="without a policy"):
        enclave.session
    with pytest.raises(mc2.errors.InputError, match="without a policy"):
        enclave.approve()


def test_two_owners_compute_together_and_whoever_is_missing_is_named(host, two, guest):
    a = mc2.connect(host, policy=two, identity="bank-a", allow_simulated=True, wait="1s")
    rows = a.seal(b"of a", "rows-a")
    with pytest.raises(mc2.errors.KeyMissing) as raised:
        a.run(guest, {"a": rows}, ["out"], ["copy", "b", "out"])
    assert raised.value.whose == ["bank-b"] and "key of rows-b from bank-b" in str(raised.value)

    options = {"policy": two, "identity": "bank-b", "allow_simulated": True}
    b = mc2.connect(host, session=a.session, **options)
    assert b.verdict and b.session == a.session
    # What is not one's own is not one's own to seal, nor to submit.
    with pytest.raises(mc2.errors.PolicyRefused, match="owned by bank-a"):
        b.seal(b"x", "rows-a")
    with pytest.raises(mc2.errors.PolicyRefused, match="may be submitted by bank-a"):
        b.run(guest, {}, (), ["copy", "b", "out"])
    shown = b.approve(b.seal(b"of b", "rows-b"), runs=2)
    assert "rows-b" in shown and "for 2 runs" in shown and two.digest in shown

    for told in ("b", "a"):
        run = a.run(guest, {"a": rows}, ["out"], ["copy", told, "out"])
        assert bytes(run.outputs["out"]) == f"of {told}".encode() and run.receipt.verify()
    # Both keys of b were for two runs.
    with pytest.raises(mc2.errors.KeyMissing) as raised:
        a.run(guest, {"a": rows}, ["out"], ["copy", "a", "out"])
    assert raised.value.whose == ["bank-b"]
    a.close(), b.close()


def test_an_approval_that_is_missing_is_named(host, banks, guest):
    rest = """
[[job]]
name = "say"
submit = ["bank-a"]
approve = { who = ["bank-b"], when = "session" }
errors = "full"
runs = 10
limits = { memory = "256MiB", time = "20s", output = "1MiB" }
[[job.step]]
component = "guest"
args = "any"
outputs = { stdout = ["bank-a"] }
padding = "exact"
"""
    policy = policy_of("say", guest, banks, rest)
    a = mc2.connect(host, policy=policy, identity="bank-a", allow_simulated=True, wait="1s")
    with pytest.raises(mc2.errors.ApprovalMissing) as raised:
        a.run(guest, args=["echo", "hello"])
    assert raised.value.whose == ["bank-b"] and "the approval of bank-b" in str(raised.value)
    assert raised.value.expected and raised.value.to_do
    options = {"policy": policy, "identity": "bank-b", "allow_simulated": True}
    with mc2.connect(host, session=a.session, **options) as b:
        assert "approve      all of the above, as bank-b" in b.approve()
    assert b"hello" in a.run(guest, args=["echo", "hello"]).stdout
    a.close()


def test_a_session_of_another_policy_is_not_joined(host, two, alone, guest):
    given = {"policy": alone, "components": [guest], "allow_simulated": True}
    with mc2.connect(host, **given) as one:
        options = {"identity": "bank-a", "allow_simulated": True}
        with mc2.connect(host, policy=two, session=one.session, **options) as other:
            with pytest.raises(mc2.errors.AttestationRefused):
                other.session
            assert not other.verdict


def test_waiting_for_others_is_told_and_can_be_stopped(host, two, guest):
    told = []

    def progress(phase, done, total, words):
        told.append((phase, words))
        if phase == "notice" and "waiting for" in words:
            raise KeyboardInterrupt

    options = {"policy": two, "identity": "bank-a", "allow_simulated": True}
    with mc2.connect(host, progress=progress, **options) as a:
        with pytest.raises(KeyboardInterrupt):
            a.run(guest, {"a": b"of a"}, ["out"], ["copy", "b", "out"])
    assert any("rows-b from bank-b" in words for _, words in told)
    # All of the policy was shown before anything of it was released.
    waited = next(index for index, (_, words) in enumerate(told) if "waiting for" in words)
    assert [phase for phase, _ in told].index("approve") < waited
    assert two.digest in next(words for phase, words in told if phase == "approve")


def test_a_card_that_nobody_compared_gets_nothing(host, two, banks, guest):
    text = bytes(two).decode()
    stranger = mc2.keygen("stranger")
    policy = mc2.Policy.from_text(
        text.replace(banks[1].card, stranger.card).replace('"bank-b"', '"stranger"')
    )
    # As on a machine where it is somebody else's.
    stranger.path.unlink()
    options = {"policy": policy, "identity": "bank-a", "allow_simulated": True}
    with pytest.raises(mc2.errors.PolicyRefused, match="stranger") as raised:
        mc2.connect(host, **options)
    assert stranger.fingerprint in str(raised.value)
    # Whoever states its digest knows it.
    mc2.connect(host, policy_digest=policy.digest, **options).close()
    with pytest.raises(mc2.errors.PolicyRefused):
        mc2.connect(host, policy_digest="0" * 64, **options)


def test_a_query_under_a_policy_is_the_one_it_fixes(banks):
    sql = mc2.component("sql")
    policy = policy_of(
        "fixed",
        sql,
        banks[:1],
        """
[[dataset]]
name = "sales-2026"
owner = "bank-a"
[[job]]
name = "ask"
submit = ["bank-a"]
runs = 10
limits = { memory = "2GiB", time = "5min", output = "16MiB" }
[[job.step]]
component = "guest"
inputs = { sales = "dataset:sales-2026" }
args = ["--output", "result.arrow", { fixed_sql = "select sum(n) s from sales where n > $least", params = { least = "number" } }]
outputs = { "result.arrow" = ["bank-a"] }
""",
    )
    query = "select sum(n) s from sales where n > $least"
    with mc2.connect(policy=policy) as enclave:
        table = pyarrow.table({"n": [1, 2, 3]})
        found = enclave.sql(query, params={"least": 1}, sales=table).to_arrow()
        assert found["s"].to_pylist() == [5]
        with pytest.raises(mc2.errors.PolicyRefused, match="argument"):
            enclave.sql("select n from sales", params={"least": 1}, sales=table)
