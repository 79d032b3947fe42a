"""Any component: inputs, outputs in memory and in files, failures, limits, and being stopped."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path

import pyarrow
import pytest
from conftest import BINARIES, is_running, runtimes, until

import mc2


def test_a_component_reads_its_inputs_and_its_outputs_come_back(enclave, wordcount, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("b a b")
    arguments = ["--output", "counts"]
    run = enclave.run(wordcount, inputs={"text": text}, outputs=["counts"], args=arguments)
    assert bytes(run.outputs["counts"]) == b"word,count\nb,2\na,1\n"
    assert run.stdout.split() == [b"2", b"b", b"1", b"a"]

    target = tmp_path / "counts.csv"
    again = enclave.run(
        wordcount, inputs={"text": text}, outputs={"counts": target}, args=arguments
    )
    assert target.read_bytes() == b"word,count\nb,2\na,1\n"
    assert again.written == {"counts": target}
    assert again.receipt.verify()


def test_a_folder_comes_back_as_one(enclave, guest, tmp_path):
    arguments = ["fill-folder", "parts", "a=3", "b/c=5"]
    enclave.run(guest, outputs={"parts": f"{tmp_path}/parts/"}, args=arguments)
    lengths = {
        str(path.relative_to(tmp_path / "parts")): path.stat().st_size
        for path in (tmp_path / "parts").rglob("*")
        if path.is_file()
    }
    assert lengths == {"a": 3, "b/c": 5}


def test_an_output_that_is_no_table_is_none(enclave, wordcount, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("b")
    run = enclave.run(wordcount, {"text": text}, ["counts"], ["--output", "counts"])
    with pytest.raises(mc2.errors.InputError, match="no Arrow IPC file"):
        pyarrow.table(run.outputs["counts"])


@pytest.mark.parametrize("broken", ["cut", "middle"])
def test_a_table_that_a_guest_broke_is_refused_in_words(enclave, guest, tmp_path, broken):
    table = pyarrow.table({"n": list(range(1000)), "s": ["x"] * 1000})
    path = tmp_path / "table.arrow"
    with pyarrow.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table)
    whole = bytearray(path.read_bytes())
    if broken == "cut":
        whole = whole[: len(whole) // 2] + whole[-200:]
    else:
        end = len(whole) - 10
        whole[end - 60 : end - 30] = b"\xff" * 30
    path.write_bytes(whole)
    run = enclave.run(guest, {"in": path}, ["out"], ["copy", "in", "out"])
    with pytest.raises(mc2.errors.InputError, match="no Arrow IPC file"):
        pyarrow.table(run.outputs["out"])


def test_a_guest_that_fails_is_told_in_its_own_words(enclave, guest):
    with pytest.raises(mc2.errors.GuestFailed, match="because of the moon") as raised:
        enclave.run(guest, args=["fail", "because of the moon"])
    assert raised.value.reason == "exit" and raised.value.receipt.verify()
    with pytest.raises(mc2.errors.GuestFailed) as raised:
        enclave.run(guest, args=["trap"])
    assert raised.value.reason == "trap"


def test_a_limit_has_a_class_of_its_own(enclave, guest):
    with pytest.raises(mc2.errors.LimitExceeded) as raised:
        enclave.run(guest, args=["alloc", "200"], memory="64MiB")
    assert raised.value.reason == "memory-limit"
    with pytest.raises(mc2.errors.LimitExceeded) as raised:
        enclave.run(guest, args=["loop"], timeout="1s")
    assert raised.value.reason == "time-limit"


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (lambda e, g: e.run(g, outputs=["stdout"]), "InputError", "stream"),
        (lambda e, g: e.run(g, outputs=["a/b"]), "InputError", "a/b"),
        (lambda e, g: e.run(g, outputs="out"), "InputError", "list of names"),
        (lambda e, g: e.run(g, inputs={"a b": "x"}), "InputError", "a b"),
        (lambda e, g: e.run("/no/such.wasm"), "InputError", "/no/such.wasm"),
        (lambda e, g: e.run(__file__), "ComponentError", "not a WebAssembly component"),
        (lambda e, g: e.run(g, memory="lots"), "InputError", "memory"),
        (lambda e, g: mc2.connect("nonsense"), "InputError", "nonsense"),
        (lambda e, g: mc2.connect("http://127.0.0.1:1"), "InputError", "tee"),
        (
            lambda e, g: mc2.connect("http://127.0.0.1:1", tee="tdx").verdict,
            "HostUnreachable",
            "127.0.0.1",
        ),
    ],
)
def test_bad_arguments_are_errors_of_their_class_in_words(enclave, guest, call, kind, words):
    with pytest.raises(getattr(mc2.errors, kind), match=words):
        call(enclave, guest)


def test_threads_share_an_enclave(enclave, sealed, sales):
    found, errors = [], []

    def ask(number):
        try:
            query = f"select count(*) + {number} n from sales"
            found.append((number, enclave.sql(query, sales=sealed).to_arrow()["n"][0].as_py()))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=[number]) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
    assert sorted(found) == [(number, sales.num_rows + number) for number in range(6)]


def test_python_goes_on_while_a_call_waits(enclave, guest):
    counted = 0
    ended = threading.Event()

    def call():
        enclave.run(guest, args=["sleep", "1"])
        ended.set()

    thread = threading.Thread(target=call)
    thread.start()
    while not ended.is_set():
        counted += 1
        time.sleep(0.001)
    thread.join()
    assert counted > 10


def test_asyncio_calls_are_awaited_and_a_cancelled_one_is_stopped(guest):
    async def story():
        async with await mc2.connect_async() as enclave:
            with pytest.raises(asyncio.TimeoutError):
                await asyncio.wait_for(enclave.run(guest, args=["loop"]), 3)
            run = await enclave.run(guest, args=["echo", "still here"])
            assert b"still here" in run.stdout

    asyncio.run(story())


def test_progress_is_told_and_what_it_raises_stops_the_call(guest, tmp_path):
    told = []
    with mc2.connect(progress=lambda *event: told.append(event)) as enclave:
        enclave.run(guest, args=["echo"])
        assert {"compile", "submit", "run", "open"} <= {phase for phase, *_ in told}

    def refuse(phase, *_):
        if phase == "run":
            raise LookupError("enough")

    with mc2.connect(progress=refuse) as enclave:
        with pytest.raises(LookupError, match="enough"):
            enclave.run(guest, args=["loop"])


def test_an_enclave_that_was_closed_says_so(guest):
    enclave = mc2.connect()
    started = runtimes(os.getpid())
    enclave.run(guest, args=["echo"])
    enclave.close()
    enclave.close()
    with pytest.raises(mc2.errors.InputError, match="closed"):
        enclave.run(guest, args=["echo"])
    assert len(runtimes(os.getpid())) == len(started) - 1


CHILD = """
    import sys, mc2
    enclave = mc2.connect()
    enclave.run(sys.argv[1], args=["echo"])
    print("ready", flush=True)
    try:
        enclave.run(sys.argv[1], args=["loop"])
    except KeyboardInterrupt:
        print("interrupted", flush=True)
    run = enclave.run(sys.argv[1], args=["echo", "still here"])
    print(run.stdout.decode().strip(), flush=True)
"""


@pytest.fixture
def child(guest):
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(CHILD), str(guest)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    yield process
    process.kill()
    process.wait()


def test_interrupting_stops_the_job_and_the_enclave_goes_on(child):
    assert child.stdout.readline() == "ready\n"
    [runtime] = runtimes(child.pid)
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    assert child.stdout.readline() == "interrupted\n"
    assert child.stdout.readline().endswith("still here\n")
    assert child.wait(60) == 0
    until(lambda: not is_running(runtime))


def test_a_process_that_is_killed_leaves_no_runtime_behind(child):
    assert child.stdout.readline() == "ready\n"
    [runtime] = runtimes(child.pid)
    child.kill()
    child.wait()
    until(lambda: not is_running(runtime))


def test_a_process_that_was_forked_does_not_end_its_parents_enclave(enclave, guest):
    code = """
        import os, sys, mc2
        enclave = mc2.connect()
        child = os.fork()
        if child == 0:
            try:
                enclave.run(sys.argv[1], args=["echo"])
            except mc2.errors.InputError as error:
                assert "forked" in str(error), error
                sys.exit(7)
            sys.exit(1)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 7
        print(enclave.run(sys.argv[1], args=["echo", "still here"]).stdout)
    """
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), str(guest)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    assert "still here" in ended.stdout


def test_threads_of_two_processes_share_a_state_folder_unharmed(guest):
    """Keys are released by both at once, and the ledger counts every one."""
    code = """
        import sys, threading, mc2
        enclave, failed = mc2.connect(), []

        def work():
            for _ in range(3):
                run = enclave.run(sys.argv[1], {"in": b"x"}, ["out"], ["copy", "in", "out"])
                if not run.receipt.verify() or bytes(run.outputs["out"]) != b"x":
                    failed.append(run)

        threads = [threading.Thread(target=work) for _ in range(2)]
        [thread.start() for thread in threads]
        [thread.join() for thread in threads]
        sys.exit(len(failed))
    """
    before = releases()
    command = [sys.executable, "-W", "ignore", "-c", textwrap.dedent(code), str(guest)]
    both = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(2)]
    for process in both:
        assert process.wait(120) == 0, process.stderr.read()
        assert "Traceback" not in process.stderr.read()
        process.stderr.close()
    assert releases() == before + 2 * 2 * 3


def releases():
    """Lines of the ledger, once its chain was followed from end to end."""
    subprocess.run([BINARIES / "mc2", "ledger", "verify"], check=True, capture_output=True)
    ledger = Path(os.environ["MC2_HOME"], "ledger.jsonl")
    return len(ledger.read_text().splitlines()) if ledger.exists() else 0
