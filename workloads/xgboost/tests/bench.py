"""XGBoost's side of `cargo xtask bench xgboost`; the other is `tests/examples/bench_xgboost.rs`.

    bench.py FOLDER

writes `FOLDER/higgs-like.parquet` unless it is there, says `ready`, and then answers each line of
standard input with one of JSON:

    train THREADS    seconds of QuantileDMatrix and 50 rounds, the table in memory
    predict          seconds of predicting all rows by the model trained last, on one thread
    memory           bytes that training takes beyond the table, at most
    read             seconds that pyarrow takes to read the file into single precision
"""

import json
import pathlib
import sys
import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as parquet
import xgboost as xgb

ROWS, COLUMNS, ROUNDS = 1_000_000, 28, 50
PARAMS = {"objective": "binary:logistic", "max_depth": 6, "max_bin": 256, "tree_method": "hist"}


def make(path):
    """As many rows and columns as HIGGS has features, a label that trees can learn in part."""
    random = np.random.default_rng(28)
    x = random.standard_normal((ROWS, COLUMNS), dtype=np.float32)
    score = 0.4 * x @ random.standard_normal(COLUMNS, dtype=np.float32)
    score += np.sin(2 * x[:, 0]) * x[:, 1] + x[:, 2] * x[:, 3] - np.abs(x[:, 4])
    y = (score + random.standard_normal(ROWS, dtype=np.float32) > 0).astype(np.float32)
    columns = {"y": y, **{f"f{at}": x[:, at] for at in range(COLUMNS)}}
    aside = path.with_suffix(".part")
    # As pyarrow writes what somebody hands it, but for dictionaries: no value comes twice.
    parquet.write_table(pa.table(columns), aside, use_dictionary=False)
    aside.rename(path)


def read(path):
    table = parquet.read_table(path, use_threads=False)
    x = np.empty((ROWS, COLUMNS), dtype=np.float32)
    for at in range(COLUMNS):
        x[:, at] = table[f"f{at}"].to_numpy()
    return x, table["y"].to_numpy()


def seconds(what):
    start = time.perf_counter()
    result = what()
    return time.perf_counter() - start, result


def train(x, y, threads):
    data = xgb.QuantileDMatrix(x, y, nthread=threads, max_bin=PARAMS["max_bin"])
    return xgb.train({**PARAMS, "nthread": threads}, data, ROUNDS)


def kib(name):
    """A line of this process's status, in bytes."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def memory(x, y):
    # The peak counts from here on.
    pathlib.Path("/proc/self/clear_refs").write_text("5")
    before = kib("VmRSS")
    train(x, y, 1)
    return kib("VmHWM") - before


def main(folder):
    assert xgb.__version__ == "3.4.1", xgb.__version__
    path = pathlib.Path(folder, "higgs-like.parquet")
    if not path.exists():
        make(path)
    x, y = read(path)
    booster = None
    print("ready", flush=True)
    for line in sys.stdin:
        match line.split():
            case ["train", threads]:
                answer, booster = seconds(lambda: train(x, y, int(threads)))
                booster.set_param({"nthread": 1})
            case ["predict"]:
                answer, _ = seconds(lambda: booster.inplace_predict(x))
            case ["memory"]:
                answer = memory(x, y)
            case ["read"]:
                answer, _ = seconds(lambda: read(path))
            case _:
                sys.exit(f"unknown: {line}")
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(sys.argv[1])
