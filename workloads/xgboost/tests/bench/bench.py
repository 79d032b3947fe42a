"""XGBoost's side of `cargo xtask bench xgboost`; the other is `tests/examples/bench_xgboost/`.

    bench.py FOLDER TABLE ROUNDS PARAMETERS

makes `FOLDER/TABLE.parquet` unless it is there, says `ready`, and then answers each line of
standard input with one of JSON:

    train THREADS    seconds of binning and ROUNDS rounds, the table in memory
    predict          seconds of predicting all rows by the model trained last, on one thread
    explain TABLE    seconds of saying by it what each feature contributed to each row of another table
    memory           bytes that training takes beyond the table, at most
    read             seconds that pyarrow takes to read the file into single precision
"""

import json
import pathlib
import sys
import time

import tables
import xgboost as xgb


class Bench:
    def __init__(self, file, rounds, params):
        self.file, self.rounds, self.params = file, rounds, params
        self.table = tables.Table(file)
        self.booster = None

    def data(self, threads):
        """Binned already where it can be: what takes least time and memory."""
        options = {"nthread": threads, **self.table.arguments()}
        if self.params["tree_method"] == "exact":
            return xgb.DMatrix(self.table.x, **options)
        max_bin = int(self.params.get("max_bin", 256))
        return xgb.QuantileDMatrix(self.table.x, max_bin=max_bin, **options)

    def train(self, threads=1):
        data = self.data(threads)
        return xgb.train({**self.params, "nthread": threads}, data, self.rounds)

    def answer(self, question):
        match question.split():
            case ["train", threads]:
                answer, self.booster = seconds(lambda: self.train(int(threads)))
                self.booster.set_param({"nthread": 1})
                return answer
            case ["predict"]:
                return seconds(lambda: self.booster.inplace_predict(self.table.x))[0]
            case ["explain", other]:
                other = tables.Table(tables.path(self.file.parent, other))
                # Where the component's reading is left out, so is copying the table.
                data = xgb.DMatrix(other.x, nthread=1, **other.arguments())
                return seconds(lambda: self.booster.predict(data, pred_contribs=True))[0]
            case ["memory"]:
                # The peak counts from here on.
                pathlib.Path("/proc/self/clear_refs").write_text("5")
                before = kib("VmRSS")
                self.train()
                return kib("VmHWM") - before
            case ["read"]:
                return seconds(lambda: tables.Table(self.file))[0]
        sys.exit(f"unknown: {question}")


def seconds(what):
    start = time.perf_counter()
    result = what()
    return time.perf_counter() - start, result


def kib(name):
    """A line of this process's status, in bytes."""
    for line in pathlib.Path("/proc/self/status").read_text().splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(name)


def main(folder, table, rounds, params):
    assert xgb.__version__ == "3.4.1", xgb.__version__
    bench = Bench(tables.path(folder, table), int(rounds), json.loads(params))
    print("ready", flush=True)
    for line in sys.stdin:
        print(json.dumps(bench.answer(line)), flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
