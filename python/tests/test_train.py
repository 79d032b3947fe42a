"""Models trained in the enclave are XGBoost's: it loads them, and predicts as the enclave does."""

import numpy
import pandas
import pyarrow
import pytest
import xgboost

import mc2

PARAMS = {"objective": "binary:logistic", "max_depth": numpy.int64(3), "eta": 0.3, "eval_metric": "logloss"}


@pytest.fixture(scope="module")
def frame():
    random = numpy.random.default_rng(7)
    frame = pandas.DataFrame(random.normal(size=(2000, 4)), columns=["a", "b", "c", "d"])
    frame.loc[frame.index % 11 == 0, "c"] = None
    frame["kind"] = pandas.Categorical(random.choice(["x", "y", "z"], 2000))
    signal = frame["a"] + frame["b"] * frame["d"] + (frame["kind"] == "y")
    frame["fraud"] = (signal > 0.5).astype("int8")
    return frame


@pytest.fixture(scope="module")
def model(enclave, frame):
    return enclave.train(
        train=frame[:1500], label="fraud", params=PARAMS, rounds=20, evals={"valid": frame[1500:]}
    )


def test_a_model_is_xgboosts_own_and_as_good(model, frame):
    booster = model.to_xgboost()
    assert booster.num_boosted_rounds() == 20
    features = frame.drop(columns="fraud")
    theirs = {}
    matrices = [
        xgboost.DMatrix(part, frame["fraud"][part.index], enable_categorical=True)
        for part in (features[:1500], features[1500:])
    ]
    xgboost.train(
        {**PARAMS, "tree_method": "hist", "nthread": 1},
        matrices[0],
        20,
        [(matrices[1], "valid")],
        evals_result=theirs,
        verbose_eval=False,
    )
    ours = model.evals_result["valid"]["logloss"]
    assert ours == pytest.approx(theirs["valid"]["logloss"], rel=0.02)
    assert ours[-1] < ours[0] * 0.6


def test_the_enclave_predicts_what_xgboost_does_by_the_same_model(model, frame):
    features = frame.drop(columns="fraud")
    found = model.predict(frame).to_pandas()["prediction"]
    booster = model.to_xgboost()
    expected = booster.predict(xgboost.DMatrix(features, enable_categorical=True))
    numpy.testing.assert_allclose(found, expected, rtol=1e-5)
    contribs = model.predict(frame[:50], contribs=True).to_arrow()
    assert contribs.column_names == ["a", "b", "c", "d", "kind", "bias"]


def test_parties_tables_train_together_and_a_model_goes_on(enclave, frame):
    parts = {"bank-a": frame[:700], "bank-b": frame[700:1500]}
    model = enclave.train(parts, "fraud", PARAMS, 5)
    more = enclave.train(parts, "fraud", PARAMS, 5, init_model=model)
    assert more.to_xgboost().num_boosted_rounds() == 10
    assert more.receipt.verify()


def test_an_index_without_a_name_is_no_column(enclave, frame):
    model = enclave.train(frame.sample(frac=0.5, random_state=1), "fraud", PARAMS, 2)
    assert model.to_xgboost().feature_names == ["a", "b", "c", "d", "kind"]
    named = frame.sample(frac=0.5, random_state=1).rename_axis("row")
    model = enclave.train(named, "fraud", PARAMS, 2)
    assert "row" in model.to_xgboost().feature_names


def test_early_stopping_keeps_the_best_round(enclave, frame):
    noise = frame.assign(fraud=numpy.random.default_rng(1).integers(0, 2, len(frame)))
    model = enclave.train(
        noise[:1500], "fraud", PARAMS, 100, {"valid": noise[1500:]}, early_stopping=3
    )
    assert model.to_xgboost().best_iteration < 50


def test_a_model_is_saved_and_loaded(enclave, model, frame, tmp_path):
    path = tmp_path / "model.ubj"
    model.save(path)
    booster = xgboost.Booster()
    booster.load_model(path)
    assert booster.num_boosted_rounds() == 20
    found = enclave.load_model(path).predict(frame[:10]).to_arrow()
    assert found.equals(model.predict(frame[:10]).to_arrow())
    with pytest.raises(mc2.errors.InputError, match=".ubj"):
        model.save(tmp_path / "model.bin")


def test_drawings_are_images_that_run_nothing(model):
    drawing = model.plot()
    assert drawing.svg.lstrip().startswith("<svg")
    assert "<svg" not in drawing._repr_html_() and "data:image/svg+xml" in drawing._repr_html_()
    assert model.plot_importance("weight").svg != drawing.svg


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"label": "fraudd"}, "fraudd"),
        ({"params": {"max_dept": 3}}, "max_dept"),
        ({"ignore": "a"}, "list of columns"),
        ({"evals": {"train": pyarrow.table({"a": [1]})}}, "train"),
    ],
)
def test_bad_parameters_are_named(enclave, frame, changed, words):
    asked = {"train": frame[:100], "label": "fraud", "params": PARAMS, "rounds": 2, **changed}
    with pytest.raises(mc2.Error, match=words):
        enclave.train(**asked)
