"""Models that are written here are read by XGBoost, and it predicts the same by them.

    python written_models.py BINARY_OR_FOLDER

BINARY is the example `rewrite_models` of the crate `xgboost-core`; it writes the models of the
fixtures anew. FOLDER holds what it wrote. Needs a Python with xgboost 3.4.1 and pandas.
"""

import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import xgboost as xgb

FIXTURES = pathlib.Path(__file__).parents[1] / "core/tests/fixtures/models"
TOLERANCE = 1e-6


def near(name, found, expected):
    found, expected = np.ravel(found), np.ravel(expected)
    assert found.shape == expected.shape, f"{name}: {found.shape} is not {expected.shape}"
    difference = np.abs(found - expected) / np.maximum(1, np.abs(expected))
    assert (difference <= TOLERANCE).all(), f"{name}: differs by {np.nanmax(difference)}"


def check(original, written):
    """Compares XGBoost's reading of both files."""
    name = written.name
    before, after = xgb.Booster(model_file=original), xgb.Booster(model_file=written)
    assert after.attributes() == before.attributes(), name
    assert after.feature_names == before.feature_names, name
    types = before.feature_types
    if types is not None or after.feature_types is not None:
        assert after.feature_types == types or set(after.feature_types) == {"float"}, name
    assert after.num_boosted_rounds() == before.num_boosted_rounds(), name
    assert after.get_dump(with_stats=True) == before.get_dump(with_stats=True), name
    expected = original.with_name(f"{original.stem}.expect.json")
    if not expected.exists():
        frame(before, after, name)
        return
    expected = json.loads(expected.read_text())
    rows = np.array(expected["rows"], dtype=np.float32).reshape(-1, expected["features"])
    types = before.feature_types
    data = xgb.DMatrix(
        rows,
        feature_names=before.feature_names,
        feature_types=types,
        enable_categorical=bool(types),
        base_margin=expected.get("base_margin"),
    )
    if "base_margin" in expected:
        data.set_base_margin(np.reshape(expected["base_margin"], (len(rows), -1)))
    for how in [{}, {"output_margin": True}, {"pred_contribs": True}, {"pred_leaf": True}]:
        near(f"{name} {how}", after.predict(data, **how), before.predict(data, **how))
    near(name, after.predict(data, output_margin=True), expected["margin"])
    # The rows have codes that may be predicted but not trained on.
    if "c" not in (types or []):
        go_on(after, data, rows, name)


def go_on(booster, data, rows, name):
    """XGBoost trains on from the model."""
    config = json.loads(booster.save_config())["learner"]
    objective = config["objective"]["name"]
    if objective not in ("reg:squarederror", "binary:logistic") or "targets" in name:
        return  # These have no labels here.
    labels = (np.arange(len(rows)) % 2).astype(np.float32)
    data.set_label(labels)
    more = xgb.train({"objective": objective, "nthread": 1}, data, 1, xgb_model=booster)
    assert more.num_boosted_rounds() == booster.num_boosted_rounds() + 1, name


def frame(before, after, name):
    """Codes are given by what they stand for, in whatever order a table has that."""
    import pandas

    def categories(booster):
        learner = json.loads(booster.save_raw("json"))["learner"]
        return learner["gradient_booster"]["model"]["cats"]

    assert categories(after) == categories(before) and categories(before)["enc"], name
    table = pandas.DataFrame({column: np.linspace(-2, 2, 8) for column in "abc"})
    words = ["Zoo", "", "apple", "zebra"]
    table["word"] = pandas.Categorical([words[i % 4] for i in range(8)], words)
    table["number"] = pandas.Categorical([15, 5, -5, 25] * 2, [15, 5, -5, 25])
    data = xgb.DMatrix(table, enable_categorical=True)
    near(name, after.predict(data), before.predict(data))


def main(given):
    originals = sorted(path for path in FIXTURES.iterdir() if ".expect." not in path.name)
    assert len(originals) > 30, "fixtures are missing"
    with tempfile.TemporaryDirectory() as folder:
        if given.is_file():
            subprocess.run([given, folder, *originals], check=True)
        else:
            folder = given
        checked = 0
        for original in originals:
            for ending in ["json", "ubj"]:
                check(original, pathlib.Path(folder, original.stem).with_suffix(f".{ending}"))
                checked += 1
    print(f"{checked} written models are read by XGBoost {xgb.__version__} and predict the same")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(pathlib.Path(sys.argv[1]))
