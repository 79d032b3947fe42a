"""XGBoost itself and the component make one model of one table, and predict the same by it.

    live.py RUNNER…

RUNNER is a command that takes inputs, outputs and arguments as mc2-run does, as
`mc2-run --bare xgboost.wasm`. Needs a Python with xgboost 3.4.1, pandas and pyarrow.

For each setting the component trains on a file and XGBoost on the same rows: the trees are equal.
Each then predicts by the other's model: what the component wrote is loaded by XGBoost, what
XGBoost saved is an input of the component.
"""

import io
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.ipc as ipc
import pyarrow.parquet as parquet
import xgboost as xgb

RUNNER = sys.argv[1:]
# Of predictions by one model.
PREDICTED = 1e-6
# Of leaves of two models trained apart.
TRAINED = 1e-5
KINDS = {
    "": {},
    "--output-margin": {"output_margin": True},
    "--leaf": {"pred_leaf": True},
    "--contribs": {"pred_contribs": True},
    "--approx-contribs": {"pred_contribs": True, "approx_contribs": True},
    "--interactions": {"pred_interactions": True},
}


def run(folder, line, inputs, outputs=()):
    command = list(RUNNER)
    for name, file in inputs.items():
        command += ["--in", f"{name}={folder / file}"]
    for name in outputs:
        command += ["--out", f"{name}={folder / name}"]
    done = subprocess.run(
        [*command, "--quiet", "--", *line.split()], capture_output=True, text=True
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout


def near(what, found, expected, tolerance):
    found, expected = np.ravel(found), np.ravel(expected)
    assert found.shape == expected.shape, f"{what}: {found.shape} is not {expected.shape}"
    off = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    assert not (off > tolerance).any(), f"{what}: differs by {np.nanmax(off)}"
    assert (np.isnan(found) == np.isnan(expected)).all(), what


def same_trees(what, found, expected):
    """Features, thresholds, defaults and structure are equal, leaves nearly."""
    assert len(found) == len(expected), f"{what}: {len(found)} trees, not {len(expected)}"

    def same(where, one, other):
        assert one.keys() == other.keys(), f"{where}: {one} is not {other}"
        if "leaf" in one:
            near(where, one["leaf"], other["leaf"], TRAINED)
            return
        for key in ["nodeid", "split", "split_condition", "missing", "yes", "no"]:
            assert one.get(key) == other.get(key), f"{where}: {key} of {one} is not {other}"
        for pair in zip(one["children"], other["children"], strict=True):
            same(where, *pair)

    for at, (one, other) in enumerate(zip(found, expected)):
        same(f"{what}, tree {at}", json.loads(one), json.loads(other))


class Setting:
    """A table of rows to learn from and one to predict, with what each column is."""

    def __init__(self, name, frame, params, rounds=6, file="csv", kinds=("", "--contribs"), **roles):
        self.name, self.params, self.rounds = name, params, rounds
        self.file, self.kinds, self.roles = file, kinds, roles
        cut = len(frame) * 3 // 4
        if "group" in roles:
            cut -= cut % 10
        self.rows, self.new = frame[:cut], frame[cut:].reset_index(drop=True)

    def data(self, frame):
        """As XGBoost takes it."""
        column = {role: frame[name] for role, name in self.roles.items()}
        features = frame.drop(columns=list(self.roles.values()))
        if self.file == "libsvm":
            # Rows of numbers without names.
            features = features.to_numpy(np.float32)
        data = xgb.DMatrix(features, enable_categorical=True)
        info = {"label": "label", "weight": "weight", "base_margin": "base_margin"}
        info |= {"label_lower": "label_lower_bound", "label_upper": "label_upper_bound"}
        for role, values in column.items():
            if role == "group":
                data.set_info(qid=values)
            else:
                data.set_info(**{info[role]: values.to_numpy(np.float32)})
        return data

    def write(self, frame, path):
        if self.file == "csv":
            frame.to_csv(path, index=False)
        elif self.file == "parquet":
            parquet.write_table(pa.Table.from_pandas(frame), path, row_group_size=100)
        elif self.file == "arrow":
            feather.write_feather(frame, path, compression="zstd")
        else:
            lines = []
            for label, *row in frame.itertuples(index=False):
                cells = [f"{at}:{value:g}" for at, value in enumerate(row) if value == value]
                lines.append(" ".join([f"{label:g}", *cells]))
            path.write_text("".join(line + "\n" for line in lines))

    def columns(self):
        """Options that say what columns are; LibSVM says it itself."""
        if self.file == "libsvm":
            return ""
        roles = self.roles.items()
        return " ".join(f"--{role.replace('_', '-')} {name}" for role, name in roles)

    def check(self, folder):
        self.write(self.rows, folder / "rows")
        self.write(self.new, folder / "new")
        flags = " ".join(f"--{name} {value}" for name, value in self.params.items())
        line = f"train {self.columns()} {flags} --rounds {self.rounds} --model-out ours.json"
        run(folder, line, {"rows": "rows"}, ["ours.json"])
        ours = xgb.Booster(model_file=folder / "ours.json")
        data, new = self.data(self.rows), self.data(self.new)
        theirs = xgb.train({**self.params, "nthread": 1}, data, self.rounds)
        theirs.save_model(folder / "theirs.ubj")
        dumps = [booster.get_dump(dump_format="json") for booster in (ours, theirs)]
        same_trees(self.name, *dumps)
        assert ours.num_boosted_rounds() == self.rounds, self.name

        for kind in self.kinds:
            for file, booster in [("ours.json", ours), ("theirs.ubj", theirs)]:
                line = f"predict --model model {self.columns()} {kind}"
                text = run(folder, line, {"model": file, "new": "new"})
                found = pd.read_csv(io.StringIO(text)).to_numpy()
                expected = booster.predict(new, **KINDS[kind])
                near(f"{self.name}, {file} {kind}", found, expected, PREDICTED)
        print(f"{self.name}: the same trees, and predictions by each other's model")


def drawn(seed, rows, columns, missing=0.0):
    """Columns of few distinct values, so that cuts are where values are."""
    random = np.random.default_rng(seed)
    values = np.round(random.normal(size=(rows, columns)), 1)
    values[random.random(size=values.shape) < missing] = np.nan
    frame = pd.DataFrame(values, columns=[f"f{at}" for at in range(columns)])
    score = np.nan_to_num(values) @ np.arange(1, columns + 1) + random.normal(size=rows)
    return random, frame, score


def settings():
    random, frame, score = drawn(1, 400, 4, missing=0.1)
    frame["fraud"] = (score > 0).astype(int)
    frame["importance"] = np.round(random.random(len(frame)) + 0.5, 2)
    yield Setting(
        "two classes with weights, CSV",
        frame,
        {"objective": "binary:logistic", "max_depth": 4, "eta": 0.5, "scale_pos_weight": 2},
        kinds=tuple(KINDS),
        label="fraud",
        weight="importance",
    )

    random, frame, score = drawn(2, 400, 4)
    frame["amount"] = np.round(score, 2)
    frame["start"] = np.round(random.normal(size=len(frame)), 2)
    yield Setting(
        "numbers from a margin, leaf by leaf, Parquet",
        frame,
        {"grow_policy": "lossguide", "max_leaves": 9, "max_depth": 0, "lambda": 2, "gamma": 0.1},
        file="parquet",
        kinds=("", "--output-margin"),
        label="amount",
        base_margin="start",
    )

    random, frame, score = drawn(3, 400, 3, missing=0.2)
    frame["kind"] = np.digitize(score, [-2, 2])
    yield Setting(
        "three classes, Arrow",
        frame,
        {"objective": "multi:softprob", "num_class": 3, "max_depth": 3, "num_parallel_tree": 2},
        rounds=3,
        file="arrow",
        kinds=tuple(KINDS),
        label="kind",
    )

    random, frame, score = drawn(4, 400, 2)
    words = [f"word {at:02}" for at in range(12)]
    picked = random.integers(12, size=len(frame))
    frame["word"] = pd.Categorical.from_codes(picked, words)
    frame["few"] = pd.Categorical.from_codes(picked % 3, ["no", "some", "yes"])
    frame["amount"] = np.round(score + picked % 5, 2)
    yield Setting(
        "categories, Parquet",
        frame,
        {"max_cat_to_onehot": 4, "max_depth": 5},
        file="parquet",
        kinds=("", "--leaf", "--contribs"),
        label="amount",
    )

    random, frame, score = drawn(7, 400, 2)
    picked = random.integers(9, size=len(frame))
    frame["code"] = pd.Categorical.from_codes(picked, [-3, 5, 8, 12, 20, 30, 64, 111, 907])
    frame["amount"] = np.round(score + picked % 4, 2)
    yield Setting(
        "categories that are whole numbers, Arrow",
        frame,
        {"max_depth": 4},
        file="arrow",
        kinds=("", "--contribs"),
        label="amount",
    )

    random, frame, score = drawn(8, 6000, 6)
    frame["amount"] = np.round(score + random.normal(size=len(frame)), 2)
    yield Setting(
        "trees of which a level has more nodes than are split at once, CSV",
        frame,
        {"max_depth": 12, "min_child_weight": 0, "lambda": 0.1},
        rounds=2,
        kinds=("", "--leaf"),
        label="amount",
    )

    random, frame, score = drawn(5, 400, 3)
    frame["grade"] = np.digitize(score, [-4, 0, 4])
    frame["query"] = np.arange(len(frame)) // 10
    yield Setting(
        "ranking, CSV",
        frame,
        {"objective": "rank:ndcg", "max_depth": 3, "lambdarank_num_pair_per_sample": 4},
        kinds=("",),
        label="grade",
        group="query",
    )

    random, frame, score = drawn(6, 400, 3)
    frame["least"] = np.round(np.exp(score / 5), 2)
    frame["most"] = np.where(random.random(len(frame)) < 0.3, np.inf, frame["least"])
    yield Setting(
        "censored times, CSV",
        frame,
        {"objective": "survival:aft", "aft_loss_distribution": "logistic", "max_depth": 3},
        kinds=("",),
        label_lower="least",
        label_upper="most",
    )

    random, frame, score = drawn(7, 400, 4, missing=0.3)
    frame.insert(0, "count", np.maximum(0, np.round(score)))
    yield Setting(
        "counts with dart and exact splits, LibSVM",
        frame,
        {"objective": "count:poisson", "booster": "dart", "tree_method": "exact", "max_depth": 3},
        file="libsvm",
        label="count",
    )


def binary_outputs(folder):
    """Parquet and Arrow that pyarrow reads, with the numbers of the CSV."""
    _, frame, score = drawn(8, 300, 3)
    frame["y"] = np.round(score, 2)
    Setting("", frame, {}, label="y").write(frame, folder / "t.csv")
    run(folder, "train --label y --rounds 3 --model-out m", {"t": "t.csv"}, ["m"])
    inputs = {"m": "m", "t": "t.csv"}
    expected = pd.read_csv(io.StringIO(run(folder, "predict --model m --contribs", inputs)))
    for name, read in [
        ("p.parquet", parquet.read_table),
        ("p.arrow", lambda path: ipc.open_file(path).read_all()),
    ]:
        run(folder, f"predict --model m --contribs --output {name}", inputs, [name])
        found = read(folder / name).to_pandas()
        assert list(found.columns) == ["f0", "f1", "f2", "bias"], found.columns
        near(name, found.to_numpy(), expected.to_numpy(np.float32), 0)
    print("predictions as Parquet and Arrow are read by pyarrow")


def main():
    assert xgb.__version__ == "3.4.1", xgb.__version__
    xgb.set_config(verbosity=0)
    checks = [setting.check for setting in settings()]
    for check in [*checks, binary_outputs]:
        with tempfile.TemporaryDirectory() as folder:
            check(pathlib.Path(folder))


if __name__ == "__main__":
    if not RUNNER:
        sys.exit(__doc__)
    main()
