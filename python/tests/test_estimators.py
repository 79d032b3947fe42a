"""Estimators: scikit-learn's own checks, and XGBoost's own answers."""

import pickle

import numpy
import pandas
import pytest
import xgboost
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.utils.estimator_checks import parametrize_with_checks

import mc2

@parametrize_with_checks([mc2.XGBClassifier(n_estimators=5), mc2.XGBRegressor(n_estimators=5)])
def test_scikit_learns_checks_pass(enclave, estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def rows():
    random = numpy.random.default_rng(3)
    features = random.normal(size=(600, 3)).astype("float32")
    features[::17, 1] = numpy.nan
    return features, features[:, 0] + numpy.nan_to_num(features[:, 1]) * features[:, 2]


def theirs(kind, **params):
    return kind(n_estimators=10, max_depth=3, tree_method="hist", n_jobs=1, **params)


def test_a_regressor_learns_what_xgboosts_does(enclave, rows):
    features, values = rows
    ours = mc2.XGBRegressor(n_estimators=10, max_depth=3).fit(features, values)
    expected = theirs(xgboost.XGBRegressor).fit(features, values).predict(features)
    assert numpy.corrcoef(ours.predict(features), expected)[0, 1] > 0.99
    assert ours.receipt_.verify()
    booster = ours.get_booster()
    by_theirs = booster.predict(xgboost.DMatrix(pandas.DataFrame(features, columns=["f0", "f1", "f2"])))
    numpy.testing.assert_allclose(ours.predict(features), by_theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("classes", [["no", "yes"], [3, 5, 9]])
def test_a_classifier_knows_classes_of_any_kind(enclave, rows, classes):
    features, values = rows
    codes = numpy.digitize(values, numpy.quantile(values, numpy.linspace(0, 1, len(classes) + 1)[1:-1]))
    labels = numpy.array(classes)[codes]
    ours = mc2.XGBClassifier(n_estimators=10, max_depth=3).fit(features, labels)
    assert list(ours.classes_) == sorted(classes)
    probable = ours.predict_proba(features)
    assert probable.shape == (600, len(classes))
    numpy.testing.assert_allclose(probable.sum(axis=1), 1, rtol=1e-5)
    expected = theirs(xgboost.XGBClassifier).fit(features, codes).predict(features)
    assert (ours.predict(features) == numpy.array(classes)[expected]).mean() > 0.97
    assert ours.score(features, labels) > 0.8


def test_a_ranker_ranks_within_its_queries(enclave, rows):
    features, values = rows
    queries = numpy.repeat(numpy.arange(60), 10)
    relevance = numpy.digitize(values, numpy.quantile(values, [0.3, 0.6, 0.9]))
    ours = mc2.XGBRanker(n_estimators=10, max_depth=3).fit(features, relevance, qid=queries)
    assert numpy.corrcoef(ours.predict(features), relevance)[0, 1] > 0.5
    with pytest.raises(mc2.errors.InputError, match="qid"):
        ours.fit(features, relevance, qid=queries[::-1])


def test_frames_keep_their_names_and_categories(enclave, rows):
    features, values = rows
    frame = pandas.DataFrame(features, columns=["a", "b", "c"])
    frame["kind"] = pandas.Categorical(numpy.where(values > 0, "x", "y"))
    ours = mc2.XGBRegressor(n_estimators=5).fit(frame, values)
    assert ours.get_booster().feature_names == ["a", "b", "c", "kind"]
    assert numpy.isfinite(ours.predict(frame[["kind", "c", "b", "a"]].reindex(columns=frame.columns))).all()


def test_the_index_of_a_frame_is_no_feature(enclave, rows):
    features, values = rows
    frame = pandas.DataFrame(features, columns=["a", "b", "c"])
    shuffled = frame.sample(frac=1, random_state=1)
    ours = mc2.XGBRegressor(n_estimators=5).fit(shuffled, values[shuffled.index])
    assert ours.get_booster().feature_names == ["a", "b", "c"]
    named = shuffled.rename_axis("row")
    numpy.testing.assert_array_equal(ours.predict(named), ours.predict(shuffled))


def test_early_stopping_predicts_by_the_best_round(enclave, rows):
    features, values = rows
    noise = numpy.random.default_rng(5).normal(size=600)
    ours = mc2.XGBRegressor(n_estimators=60, early_stopping_rounds=3)
    ours.fit(features[:400], noise[:400], eval_set=[(features[400:], noise[400:])])
    booster = ours.get_booster()
    assert booster.best_iteration < 50
    frame = pandas.DataFrame(features, columns=["f0", "f1", "f2"])
    expected = booster.predict(
        xgboost.DMatrix(frame), iteration_range=(0, booster.best_iteration + 1)
    )
    numpy.testing.assert_allclose(ours.predict(features), expected, rtol=1e-4, atol=1e-5)


def test_an_estimator_is_cloned_searched_over_and_pickled(enclave, rows):
    features, values = rows
    search = GridSearchCV(
        mc2.XGBRegressor(n_estimators=3, enclave=enclave), {"max_depth": [1, 3]}, cv=2
    )
    search.fit(features, values)
    assert search.best_params_ == {"max_depth": 3}
    assert clone(search.best_estimator_).enclave is enclave
    again = pickle.loads(pickle.dumps(search.best_estimator_))
    numpy.testing.assert_array_equal(again.predict(features), search.predict(features))
