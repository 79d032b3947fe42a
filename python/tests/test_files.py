"""What the command line does with files, for one party: with the same verdicts."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import BINARIES, WORKLOADS

import mc2


def command(*arguments, status=0):
    """What `mc2` or `mc2-run` prints, in this process's state folder."""
    name, *rest = map(str, arguments)
    environment = {**os.environ, "MC2_RUNTIME": str(BINARIES / "mc2-runtime-sim")}
    done = subprocess.run([BINARIES / name, *rest], capture_output=True, text=True, env=environment)
    assert done.returncode == status, done.stderr
    return done.stdout


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_an_identity_is_made_once_and_its_card_is_for_everybody(tmp_path):
    made = mc2.keygen("files-test")
    assert made.path.stat().st_mode & 0o777 == 0o600
    assert made.card_path.read_text().strip() == made.card
    told = mc2.inspect(made.card_path)
    assert told.what == "card" and told.fields["fingerprint"] == made.fingerprint
    assert made.card not in repr(made) and made.fingerprint in repr(made)
    secret = made.path.read_bytes()
    with pytest.raises(mc2.errors.InputError, match="exists already"):
        mc2.keygen("files-test")
    assert made.path.read_bytes() == secret
    with pytest.raises(mc2.errors.InputError, match="name"):
        mc2.keygen("Not A Name")


def test_what_is_sealed_by_hand_opens_for_its_owner_alone(tmp_path, enclave, guest):
    plain = tmp_path / "sales.csv"
    plain.write_text("n\n1\n2\n")
    sealed = mc2.seal(plain, "sales", output=tmp_path)
    assert sealed == tmp_path / "sales.sealed"
    assert b"1\n2" not in b"".join(path.read_bytes() for path in sealed.rglob("*") if path.is_file())

    opened = mc2.open(sealed, tmp_path / "again.csv")
    assert opened.paths == [tmp_path / "again.csv"] and opened.succeeded
    assert opened.paths[0].read_text() == plain.read_text()
    # The same as the command line opens, and an enclave takes it as any path.
    command("mc2", "open", sealed, "-o", tmp_path / "third.csv")
    assert (tmp_path / "third.csv").read_text() == plain.read_text()
    run = enclave.run(guest, {"sales": sealed}, ["out"], ["copy", "sales", "out"])
    assert bytes(run.outputs["out"]) == plain.read_bytes()

    other = mc2.keygen("files-other")
    theirs = mc2.seal(plain, "theirs", output=tmp_path, identity=str(other.path))
    with pytest.raises(mc2.Error, match="theirs.sealed"):
        mc2.seal(plain, "theirs", output=tmp_path)
    # As on a machine where neither the identity nor the key was kept.
    for kept in Path(os.environ["MC2_HOME"]).rglob(f"{mc2.inspect(theirs).fields['object']}*"):
        kept.unlink()
    other.path.unlink()
    with pytest.raises(mc2.errors.KeyMissing) as raised:
        mc2.open(theirs, tmp_path / "nothing.csv")
    assert "identity=" in str(raised.value) and "--as" not in str(raised.value)
    assert not (tmp_path / "nothing.csv").exists()


def test_sealed_data_that_was_altered_does_not_open(tmp_path):
    plain = tmp_path / "x.txt"
    plain.write_text("a" * 1_000_000)
    sealed = mc2.seal(plain, "x", output=tmp_path)
    stream = max((path for path in sealed.rglob("*") if path.is_file()), key=lambda one: one.stat().st_size)
    whole = bytearray(stream.read_bytes())
    whole[len(whole) // 2] ^= 1
    stream.write_bytes(whole)
    with pytest.raises(mc2.errors.DataTampered):
        mc2.open(sealed, tmp_path / "out.txt")
    assert not (tmp_path / "out.txt").exists()


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Two results that `mc2-run` kept sealed, each of its own job."""
    folder = tmp_path_factory.mktemp("results")
    guest = WORKLOADS / "hostile.wasm"
    for name in ("one", "two"):
        text = folder / f"{name}.txt"
        text.write_text(name)
        run = ["mc2-run", guest, "--in", f"data={text}", "--out", f"copy={folder}/{name}.out"]
        command(*run, "--keep-sealed", folder / name, "--", "copy", "data", "copy")
    return folder


def test_a_result_opens_once_its_receipt_verifies(results, tmp_path):
    opened = mc2.open(results / "one", tmp_path / "opened", allow_simulated=True)
    assert opened.succeeded and (tmp_path / "opened/copy").read_text() == "one"
    assert any("own job" in line for line in opened.lines)
    verdict = mc2.verify(results / "one", allow_simulated=True)
    told = json.loads(command("mc2", "verify", results / "one", "--allow-simulated", "--json"))
    assert [check.id for check in verdict.checks] == [check["id"] for check in told["checks"]]
    # Where nobody said that a simulator passes, nothing is opened.
    with pytest.raises(mc2.errors.ResultTampered):
        mc2.open(results / "one", tmp_path / "refused")
    assert names(tmp_path) == ["opened"]


@pytest.mark.parametrize("broken", ["another job's", "another's output", "cut off", "missing"])
def test_a_result_that_is_not_the_one_it_says_is_refused(results, tmp_path, broken):
    kept = tmp_path / "kept"
    shutil.copytree(results / "one", kept)
    options = {}
    if broken == "another job's":
        options["job"] = mc2.inspect(results / "two").fields["receipt"]["job"]
    elif broken == "another's output":
        shutil.rmtree(kept / "copy.sealed")
        shutil.copytree(results / "two/copy.sealed", kept / "copy.sealed")
    elif broken == "cut off":
        whole = (kept / "receipt.json").read_bytes()
        (kept / "receipt.json").write_bytes(whole[: len(whole) // 2])
    else:
        shutil.rmtree(kept / "copy.sealed")
    with pytest.raises(mc2.errors.ResultTampered):
        mc2.open(kept, tmp_path / "opened", allow_simulated=True, **options)
    assert not (tmp_path / "opened").exists()


def test_a_result_where_another_jobs_belongs_is_refused(results, tmp_path):
    """As on the command line: mc2-run remembers what it put where."""
    place = results / "two"
    aside = tmp_path / "aside"
    shutil.copytree(place, aside)
    shutil.rmtree(place)
    shutil.copytree(results / "one", place)
    try:
        with pytest.raises(mc2.errors.ResultTampered, match="another result"):
            mc2.verify(place, allow_simulated=True)
    finally:
        shutil.rmtree(place)
        shutil.copytree(aside, place)


def test_inspect_says_what_the_command_line_says(results, wordcount, tmp_path):
    for path, what in [
        (wordcount, "component"),
        (results / "one/copy.sealed", "sealed object"),
        (results / "one", "result"),
        (results / "one/receipt.json", "receipt"),
    ]:
        told = mc2.inspect(path)
        assert str(told) == command("mc2", "inspect", path)
        assert told.what == what and f"<pre>" in told._repr_html_()
    other = tmp_path / "data.txt"
    other.write_text("nothing of ours")
    with pytest.raises(mc2.errors.InputError, match="none of"):
        mc2.inspect(other)
