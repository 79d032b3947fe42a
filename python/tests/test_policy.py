"""Policies, in sentences: what `mc2 policy check` says."""

import subprocess
from pathlib import Path

import pytest
from conftest import BINARIES

import mc2

POLICIES = sorted((Path(__file__).parents[2] / "policies").glob("*.toml"))


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_a_policy_is_told_in_the_sentences_of_the_command_line(path):
    policy = mc2.Policy.from_file(path)
    meaning = policy.check()
    command = [BINARIES / "mc2", "policy"]
    assert str(meaning) == subprocess.check_output([*command, "check", path], text=True)
    assert str(policy) == subprocess.check_output([*command, "show", path], text=True)
    assert meaning.statements and meaning.digest == policy.digest and bytes(policy) == path.read_bytes()
    for warning in meaning.warnings:
        assert f"! {warning.text}" in str(meaning)


def test_what_anybody_should_weigh_is_a_warning():
    meaning = mc2.Policy.from_file(POLICIES[0].parent / "one-party.toml").check()
    assert any("NOT SECURE" in str(warning) for warning in meaning.warnings)
    assert len(meaning.warnings) < len(meaning.statements)


def test_a_notebook_shows_a_policy_and_what_it_means_as_text():
    text = (POLICIES[0].parent / "two-clinics.toml").read_text()
    text = text.replace('"select count(*) from (', '"select \'<script>\', count(*) from (')
    policy = mc2.Policy.from_text(text)
    for page in (policy._repr_html_(), policy.check()._repr_html_()):
        assert "<table>" in page and "<script" not in page
    assert "&lt;script&gt;" in policy.check()._repr_html_()
    for party, fingerprint in policy.parties.items():
        assert party in policy._repr_html_() and fingerprint in policy._repr_html_()


def test_a_policy_that_does_not_hold_is_refused_with_its_line(tmp_path):
    text = (POLICIES[0].parent / "one-party.toml").read_text()
    path = tmp_path / "p.toml"
    path.write_text(text.replace("runs = 100", "runs = 0"))
    line = text[: text.index("runs = 100")].count("\n") + 1
    for read in (
        lambda: mc2.Policy.from_file(path),
        lambda: mc2.Policy.from_text(path.read_text()),
        lambda: mc2.connect(policy=path),
    ):
        with pytest.raises(mc2.errors.PolicyRefused) as raised:
            read()
        assert f"line {line}" in str(raised.value) and "runs" in str(raised.value)
    with pytest.raises(mc2.errors.InputError, match="no/such.toml"):
        mc2.Policy.from_file("/no/such.toml")


def test_a_policy_is_its_exact_bytes(tmp_path):
    policy = mc2.Policy.from_file(POLICIES[0])
    path = tmp_path / "p.toml"
    policy.save(path)
    assert mc2.Policy.from_file(path) == policy
    assert mc2.Policy.from_text(bytes(policy) + b"\n") != policy
    with pytest.raises(mc2.errors.InputError, match="never written over"):
        policy.save(path)
    with pytest.raises(mc2.errors.InputError, match="of no file"):
        mc2.verify(path, policy=mc2.Policy.from_text(bytes(policy)))
