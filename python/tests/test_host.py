"""An enclave at a host elsewhere: the same calls, over the host's address."""

import subprocess

import pyarrow
import pytest
from conftest import BINARIES

import mc2


def test_a_host_serves_the_same_calls_and_receipts_verify(host):
    with mc2.connect(host, allow_simulated=True) as enclave:
        table = enclave.seal(pyarrow.table({"n": [1, 2, 3]}), "t")
        results = [enclave.sql("select sum(n) s from t", t=table) for _ in range(2)]
        assert [result.to_arrow().to_pylist() for result in results] == [[{"s": 6}]] * 2
        assert results[0].receipt.session == results[1].receipt.session
        assert results[0].receipt.verify() and enclave.verdict.simulated


def test_a_simulator_that_is_not_this_release_s_gets_nothing(host, tmp_path, monkeypatch):
    other = tmp_path / "other"
    other.write_bytes((BINARIES / "mc2-runtime-sim").read_bytes() + b"\0")
    monkeypatch.setenv("MC2_RUNTIME", str(other))
    with mc2.connect(host, allow_simulated=True) as enclave:
        assert not enclave.verdict
        with pytest.raises(mc2.errors.AttestationRefused) as raised:
            enclave.sql("select 1")
        failed = [check.what for check in raised.value.checks if check.outcome == "failed"]
        assert failed == ["runtime measurement"]
        assert raised.value.expected and raised.value.found and raised.value.to_do
        assert not enclave.verdict


def test_a_host_with_another_kind_of_enclave_is_refused(host):
    with mc2.connect(host, tee="tdx") as enclave:
        with pytest.raises(mc2.Error, match="kind of enclave"):
            enclave.sql("select 1")


def test_a_job_whose_runtime_dies_is_not_run_again(served, guest):
    address, process = served

    def told(phase, *_):
        if phase == "run":
            # Told more than once, of which the first finds it.
            subprocess.run(["pkill", "-KILL", "-P", str(process.pid)], check=False)

    with mc2.connect(address, allow_simulated=True, progress=told) as enclave:
        with pytest.raises(mc2.Error) as raised:
            enclave.run(guest, args=["sleep", "5"])
        # That is what the second run would meet: another simulator, whose key is not known here.
        assert not isinstance(raised.value, mc2.errors.AttestationRefused)
    with mc2.connect(address, allow_simulated=True) as enclave:
        assert b"here" in enclave.run(guest, args=["echo", "here"]).stdout
