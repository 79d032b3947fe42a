"""The figures of the Python package, a row of JSON each: run by `cargo xtask bench python`.

Needs the package, pyarrow and NumPy, and in `MC2_BINARIES` the command `mc2` to compare with.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
import zipfile
from pathlib import Path

import numpy
import pyarrow

import mc2

warnings.simplefilter("ignore", mc2.NotSecureWarning)

IMPORT = "import time; t = time.perf_counter(); import mc2; print(time.perf_counter() - t)"
FIRST = """
import time, warnings, mc2
warnings.simplefilter("ignore")
t = time.perf_counter()
with mc2.connect() as enclave:
    enclave.sql("select 1")
    print(time.perf_counter() - t)
"""


def row(name, unit, measured, target, more_is_better=False):
    told = {"name": name, "unit": unit, "measured": measured, "target": target}
    print(json.dumps({**told, "more_is_better": more_is_better}), flush=True)


def fresh(code, runs):
    """The median of what a fresh Python says, after one run that warms the caches."""
    command = [sys.executable, "-c", code]
    times = [float(subprocess.check_output(command)) for _ in range(runs + 1)]
    return statistics.median(times[1:])


def timed(call):
    begun = time.perf_counter()
    call()
    return time.perf_counter() - begun


def main():
    runs = int(os.environ.get("MC2_RUNS", "5"))
    row("python: import mc2", "ms", fresh(IMPORT, runs) * 1e3, 100)
    row("python: connect() to the end of select 1", "s", fresh(FIRST, runs), 0.7)
    with mc2.connect(progress=False) as enclave:
        further(enclave)
        sealing(enclave)
        results(enclave)
    wheel = os.environ.get("MC2_WHEEL")
    if wheel:
        sizes(wheel)


def further(enclave):
    table = enclave.seal(pyarrow.table({"n": numpy.arange(1000)}), "small")
    ask = lambda: enclave.sql("select sum(n) from small", small=table)  # noqa: E731
    ask()
    median = statistics.median(timed(ask) for _ in range(20))
    row("python: a further small query on a sealed table", "ms", median * 1e3, 150)


def sealing(enclave):
    columns = {f"c{number}": numpy.random.default_rng(number).random(1 << 24) for number in range(8)}
    table = pyarrow.table(columns)
    here = min(timed(lambda: enclave.seal(table, "large")) for _ in range(2))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "large.arrows")
        with pyarrow.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        command = [Path(os.environ["MC2_BINARIES"], "mc2"), "seal", file, "--name", "large", "-o"]

        def seal(number):
            target = Path(folder, str(number))
            target.mkdir()
            subprocess.run([*command, target], check=True, stdout=subprocess.DEVNULL)

        command_line = min(timed(lambda number=number: seal(number)) for number in range(2))
    gib = table.nbytes / 2**30
    row("python: sealing a table of 1 GiB from memory", "GiB/s", gib / here, None, True)
    name = "python: sealing it, of mc2 seal of the same file"
    row(name, "times", command_line / here, 0.7, True)


def results(enclave):
    rows = 10_000_000
    table = pyarrow.table({f"c{number}": numpy.arange(rows) + number for number in range(5)})
    result = enclave.sql("select * from t", t=table)
    before = pyarrow.total_allocated_bytes()
    took = timed(result.to_arrow)
    arrow = result.to_arrow()
    again = pyarrow.table(result)
    place = lambda one: one.column(0).chunk(0).buffers()[1].address  # noqa: E731
    copied = pyarrow.total_allocated_bytes() - before
    assert arrow.num_rows == rows and place(arrow) == place(again)
    row("python: 10,000,000 rows x 5 columns to Arrow", "ms", took * 1e3, None)
    row("python: bytes of it that are copied beyond opening it", "bytes", copied, 0)


def sizes(wheel):
    with zipfile.ZipFile(wheel) as file:
        carried = sum(one.compress_size for one in file.infolist() if "/carried/" in one.filename)
    whole = os.path.getsize(wheel)
    row("python: the wheel", "MB", whole / 1e6, 60)
    row("python: the client without what it carries", "MB", (whole - carried) / 1e6, 15)


if __name__ == "__main__":
    main()
