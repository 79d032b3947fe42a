"""What the tests share: one simulated enclave and its sealed table, a host elsewhere, and components."""

import os
import socket
import subprocess
import time
import warnings
from pathlib import Path

import pytest

import mc2

warnings.simplefilter("ignore", mc2.NotSecureWarning)

BINARIES = Path(os.environ["MC2_TEST_BINARIES"])
WORKLOADS = Path(os.environ["MC2_TEST_WORKLOADS"])


@pytest.fixture(scope="session")
def enclave():
    with mc2.connect() as enclave:
        yield enclave


@pytest.fixture(scope="session")
def sales():
    import pyarrow

    rows = 10_000
    regions = ["north", "south", "east", None, "Ünïcode"]
    return pyarrow.table(
        {
            "id": pyarrow.array(range(rows), pyarrow.int64()),
            "region": [regions[row % 5] for row in range(rows)],
            "amount": [None if row % 97 == 0 else row / 8 for row in range(rows)],
            "good": [row % 3 == 0 for row in range(rows)],
        }
    )


@pytest.fixture(scope="session")
def sealed(enclave, sales):
    return enclave.seal(sales, "sales")


@pytest.fixture
def wordcount() -> Path:
    """The example workload: in the tree alone, not carried."""
    return WORKLOADS / "wordcount.wasm"


@pytest.fixture
def guest() -> Path:
    """A component that does what its arguments say, good or bad."""
    return WORKLOADS / "hostile.wasm"


def listens(port):
    with socket.socket() as one:
        return one.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def host(served):
    address, _ = served
    return address


@pytest.fixture
def served(tmp_path, monkeypatch):
    # Whose simulator it is that is believed.
    monkeypatch.setenv("MC2_RUNTIME", str(BINARIES / "mc2-runtime-sim"))
    # Where the host leaves the key of its simulators.
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    address = f"127.0.0.1:{port}"
    command = [BINARIES / "mc2-host", "serve", "--folder", tmp_path / "f", "--listen", address]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    end = time.monotonic() + 60
    key = tmp_path / f"mc2/simulators/127.0.0.1-{port}.json"
    while not (listens(port) and key.exists()):
        assert process.poll() is None and time.monotonic() < end, "the host did not start"
        time.sleep(0.05)
    yield f"http://{address}", process
    process.terminate()
    process.wait()


def until(said, patience=60):
    """Waits until something is so."""
    end = time.monotonic() + patience
    while not said():
        assert time.monotonic() < end, "it never came to be so"
        time.sleep(0.05)


def runtimes(of):
    """The runtimes that the process `of` started and that are there still."""
    found = []
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{process}/stat") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
        except OSError:
            continue
        state, parent = rest.split()[:2]
        if name.startswith("mc2-runtime") and int(parent) == of and state != "Z":
            found.append(int(process))
    return found


def is_running(process):
    try:
        with open(f"/proc/{process}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
