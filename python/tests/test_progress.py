"""How far a call is, where somebody looks: a line in a terminal, a bar in a notebook; and a kernel that is
interrupted, or dies."""

import os
import pty
import subprocess
import sys
import textwrap

import pytest
from conftest import is_running, runtimes, until
from jupyter_client.manager import start_new_kernel

SLOW = """
    import sys, mc2
    with mc2.connect() as enclave:
        enclave.run(sys.argv[1], args=["sleep", "2"])
        enclave.run(sys.argv[1], args=["echo"])
"""


def in_terminal(code, *arguments):
    """What a person sees who runs it."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), *map(str, arguments)]
    with subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs) as process:
        os.close(theirs)
        seen = b""
        while True:
            try:
                piece = os.read(ours, 4096)
            except OSError:
                break
            if not piece:
                break
            seen += piece
        assert process.wait(60) == 0, seen
    os.close(ours)
    return seen.decode()


def test_a_terminal_shows_a_call_that_takes_long_and_clears_it(guest):
    seen = in_terminal(SLOW, guest)
    drawn = [line for line in seen.split("\r") if line.startswith("run ")]
    # Though the component says nothing meanwhile.
    assert len(drawn) > 5 and drawn[-1].split()[1] == "2"
    assert seen.split("\r")[-2].strip() == "" and seen.endswith("\r")


def test_who_wants_none_sees_none_and_neither_does_a_file(guest):
    assert in_terminal(SLOW.replace("connect()", "connect(progress=False)"), guest) == ""
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(SLOW), guest]
    assert subprocess.run(command, capture_output=True, check=True).stderr == b""


@pytest.fixture
def kernel():
    manager, client = start_new_kernel(kernel_name="python3")
    yield manager, client
    client.stop_channels()
    manager.shutdown_kernel(now=True)


def execute(client, code, timeout=120):
    """Runs a cell: its reply, and every message it sent."""
    said = []
    reply = client.execute_interactive(textwrap.dedent(code), timeout=timeout, output_hook=said.append)
    return reply["content"], said


def pages(said):
    shown = [one for one in said if one["msg_type"] in ("display_data", "update_display_data")]
    return [one["content"]["data"].get("text/html", "") for one in shown]


def test_a_notebook_shows_a_bar_and_clears_it(kernel, guest):
    _, client = kernel
    code = f"""
        import mc2
        enclave = mc2.connect()
        enclave.run({str(guest)!r}, args=["sleep", "2"])
    """
    reply, said = execute(client, code)
    assert reply["status"] == "ok", reply
    bars = [page for page in pages(said) if "<progress" in page]
    assert len(bars) > 5 and all(page.startswith("run ") for page in bars[5:])
    # One line, drawn anew, and nothing of it is left.
    assert sum(one["msg_type"] == "display_data" for one in said) == 1
    assert pages(said)[-1] == ""


def test_an_interrupted_cell_stops_its_job_and_a_kernel_that_dies_leaves_nothing(kernel, guest):
    manager, client = kernel
    code = f"""
        import mc2
        enclave = mc2.connect(progress=False)
        guest = {str(guest)!r}
        enclave.run(guest, args=["echo"])
    """
    assert execute(client, code)[0]["status"] == "ok"
    of = manager.provisioner.process.pid
    [runtime] = runtimes(of)
    # The cells after it are not to be given up for its error.
    client.execute("enclave.run(guest, args=['loop'])", stop_on_error=False)
    until(lambda: cpu(runtime) > 0.5)
    manager.interrupt_kernel()
    while True:
        message = client.get_shell_msg(timeout=60)
        if message["content"].get("status") == "error":
            assert message["content"]["ename"] == "KeyboardInterrupt"
            break
    # The job has ended, not only the cell.
    used = cpu(runtime)
    reply, said = execute(client, "enclave.run(guest, args=['echo', 'still here']).stdout")
    assert reply["status"] == "ok" and "still here" in str(said)
    assert cpu(runtime) - used < 1
    manager.signal_kernel(9)
    until(lambda: not is_running(runtime))


def cpu(process):
    """Seconds that a process has computed."""
    with open(f"/proc/{process}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
