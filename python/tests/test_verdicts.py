"""Verdicts and receipts: every check is there, and what is broken is refused as `mc2 verify` does."""

import json

import pytest

import mc2


def test_the_verdict_has_every_check_and_says_that_it_is_not_secure(enclave, sealed):
    enclave.sql("select 1 from sales limit 1", sales=sealed)
    verdict = enclave.verdict
    assert verdict and all(check.passed for check in verdict.checks)
    assert {"policy", "nonce"} <= {check.id for check in verdict.checks} or len(verdict.checks) > 5
    for shown in (str(verdict), repr(verdict), verdict._repr_html_()):
        assert "NOT SECURE" in shown
    for check in verdict.checks:
        assert check.what in str(verdict)


def test_a_fresh_enclave_has_a_verdict_before_anything_was_given_to_it():
    with mc2.connect() as enclave:
        assert enclave.verdict.accepted


def test_what_a_host_chose_is_shown_as_text_in_a_notebook():
    check = mc2.Check("x", "<b>", "failed", "<i>", "<script>alert(1)</script>", "&")
    page = mc2.Verdict(False, [check], lines=["<u>"])._repr_html_()
    for tag in ("<script", "<b>", "<i>", "<u>"):
        assert tag not in page
    assert "&lt;script&gt;" in page


def test_a_receipt_verifies_again_from_its_file(enclave, sealed):
    receipt = enclave.sql("select 1 a", sales=sealed).receipt
    verdict = receipt.verify()
    assert verdict and verdict.simulated
    assert "NOT SECURE" in receipt._repr_html_()
    # A simulator's passes only where that is said.
    with pytest.raises(mc2.errors.ResultTampered) as raised:
        mc2.verify(receipt.path)
    assert raised.value.checks and not raised.value.verdict


def test_a_receipt_that_was_altered_or_cut_off_or_is_another_jobs_is_refused(
    enclave, sealed, tmp_path
):
    one = enclave.sql("select 1 a", sales=sealed).receipt
    other = enclave.sql("select 2 a", sales=sealed).receipt
    whole = open(one.path, "rb").read()

    cut = tmp_path / "cut.json"
    cut.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(mc2.Error):
        mc2.verify(cut, allow_simulated=True)

    envelope = json.loads(whole)
    signature = envelope["signatures"][0]["sig"]
    envelope["signatures"][0]["sig"] = ("B" if signature[0] == "A" else "A") + signature[1:]
    forged = tmp_path / "forged.json"
    forged.write_text(json.dumps(envelope))
    with pytest.raises(mc2.errors.ResultTampered) as raised:
        mc2.verify(forged, allow_simulated=True)
    assert raised.value.expected and raised.value.found and raised.value.to_do

    # The signature of one beneath what the other says.
    mixed = json.loads(open(other.path, "rb").read())
    mixed["signatures"] = json.loads(whole)["signatures"]
    forged.write_text(json.dumps(mixed))
    with pytest.raises(mc2.errors.ResultTampered):
        mc2.verify(forged, allow_simulated=True)


def test_every_class_of_error_says_what_was_expected_found_and_to_do():
    classes = [
        value
        for value in vars(mc2.errors).values()
        if isinstance(value, type) and issubclass(value, mc2.Error)
    ]
    assert len(classes) > 10
    for one in classes:
        error = one("what was found")
        assert error.expected and error.to_do and error.found == "what was found"
