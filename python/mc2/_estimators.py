"""XGBoost's estimators in scikit-learn's manner, trained and predicting in an enclave.

They need pyarrow and NumPy. With scikit-learn installed they are its estimators: they are cloned, searched
over and put into pipelines like any.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ._enclave import Enclave, _latest, _package
from ._verdict import Receipt
from ._xgboost import Model, train
from .errors import InputError

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets as _check_targets
    from sklearn.utils.validation import _check_sample_weight
    from sklearn.utils.validation import validate_data as _validate_data
except ImportError:
    _check_targets = _check_sample_weight = _validate_data = None

    class BaseEstimator:  # type: ignore[no-redef]
        """What of scikit-learn's is needed where it is not installed."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            import inspect

            names = inspect.signature(type(self).__init__).parameters
            return {name: getattr(self, name) for name in names if name != "self"}

        def set_params(self, **params: Any) -> Any:
            for name, value in params.items():
                if name not in self.get_params():
                    raise ValueError(f"{name} is no parameter of {type(self).__name__}")
                setattr(self, name, value)
            return self

    class ClassifierMixin:  # type: ignore[no-redef]
        pass

    class RegressorMixin:  # type: ignore[no-redef]
        pass


if TYPE_CHECKING:
    import numpy

#: Columns that are no features; no feature may be called so.
_LABEL, _WEIGHT, _GROUP = "mc2 label", "mc2 weight", "mc2 group"
#: Parameters of ours that are none of the trainer's, or are given otherwise.
_OWN = {"enclave", "n_estimators", "early_stopping_rounds"}


class _Estimator(BaseEstimator):
    """Parameters are XGBoost's, `None` is its default; `enclave` is where it is trained, the one connected
    last where none is given."""

    _objective: str | None = None

    def __init__(
        self,
        *,
        n_estimators: int = 100,
        max_depth: int | None = None,
        max_leaves: int | None = None,
        max_bin: int | None = None,
        grow_policy: str | None = None,
        learning_rate: float | None = None,
        objective: str | None = None,
        booster: str | None = None,
        tree_method: str | None = None,
        gamma: float | None = None,
        min_child_weight: float | None = None,
        max_delta_step: float | None = None,
        subsample: float | None = None,
        colsample_bytree: float | None = None,
        colsample_bylevel: float | None = None,
        colsample_bynode: float | None = None,
        reg_alpha: float | None = None,
        reg_lambda: float | None = None,
        scale_pos_weight: float | None = None,
        base_score: float | None = None,
        num_parallel_tree: int | None = None,
        random_state: int | None = None,
        eval_metric: str | list[str] | None = None,
        early_stopping_rounds: int | None = None,
        enclave: Enclave | None = None,
    ) -> None:
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.max_leaves = max_leaves
        self.max_bin = max_bin
        self.grow_policy = grow_policy
        self.learning_rate = learning_rate
        self.objective = objective
        self.booster = booster
        self.tree_method = tree_method
        self.gamma = gamma
        self.min_child_weight = min_child_weight
        self.max_delta_step = max_delta_step
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.colsample_bylevel = colsample_bylevel
        self.colsample_bynode = colsample_bynode
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.scale_pos_weight = scale_pos_weight
        self.base_score = base_score
        self.num_parallel_tree = num_parallel_tree
        self.random_state = random_state
        self.eval_metric = eval_metric
        self.early_stopping_rounds = early_stopping_rounds
        self.enclave = enclave

    def get_booster(self) -> Any:
        """The model as an `xgboost.Booster`, where XGBoost is installed."""
        return self._fitted().to_xgboost()

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        tags.input_tags.allow_nan = True
        tags.non_deterministic = False
        return tags

    def __getstate__(self) -> dict[str, Any]:
        # Sealed data and an open enclave stay in this process.
        state = dict(super().__getstate__() if hasattr(super(), "__getstate__") else self.__dict__)
        state.pop("_model", None)
        state["enclave"] = None
        return state

    def _train(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        groups: Any = None,
        eval_set: Any = None,
        more: dict[str, Any] | None = None,
    ) -> Any:
        params = {
            name: value
            for name, value in self.get_params(deep=False).items()
            if name not in _OWN and value is not None
        }
        params.setdefault("objective", self._objective)
        params.update(more or {})
        draw = getattr(params.get("random_state"), "randint", None)
        if draw is not None:
            # A generator of NumPy's gives a seed.
            params["random_state"] = int(draw(2**31 - 1))
        evals = {
            f"validation_{number}": _table(self._features(rows), self._labels(labels))
            for number, (rows, labels) in enumerate(eval_set or [])
        }
        table = _table(X, y, sample_weight, groups)
        model = train(
            self._enclave(),
            {"train": table},
            _LABEL,
            params,
            self.n_estimators,
            evals,
            {
                "weight": _WEIGHT if sample_weight is not None else None,
                "group": _GROUP if groups is not None else None,
            },
            (),
            (),
            self.early_stopping_rounds if evals else None,
            None,
            None,
            None,
            None,
            None,
            None,
        )
        self._model = model
        self.model_ = bytes(model)
        #: The receipt of the training.
        self.receipt_: Receipt | None = model.receipt
        self.evals_result_ = model.evals_result
        return self

    def _predict(self, X: Any, **options: Any) -> numpy.ndarray:
        numpy = _package("numpy")
        model = self._fitted()
        rows = _table(self._features(X))
        table = model.predict(rows, iteration_range=self._best(), **options).to_arrow()
        found = numpy.column_stack([column.to_numpy() for column in table.columns])
        return found[:, 0] if found.shape[1] == 1 else found

    def _best(self) -> tuple[int, int] | None:
        """The rounds that count after early stopping, as in XGBoost's estimators."""
        if self.early_stopping_rounds is None or not self.evals_result_:
            return None
        best = getattr(self, "best_iteration_", None)
        if best is None:
            model = _package("xgboost").Booster(model_file=bytearray(self.model_))
            best = self.best_iteration_ = model.best_iteration
        return 0, best + 1

    def _features(self, X: Any, reset: bool = False) -> Any:
        """Features as the trainer wants them: a frame as it is, an array as columns f0, f1, …"""
        if hasattr(X, "__arrow_c_stream__"):
            if _validate_data is not None:
                _validate_data(self, X, reset=reset, skip_check_array=True)
            return X
        if _validate_data is not None:
            return _validate_data(
                self, X, reset=reset, dtype=["float32", "float64"], ensure_all_finite="allow-nan"
            )
        rows = _package("numpy").asarray(X)
        if rows.ndim != 2:
            raise InputError(
                f"expected a table, or an array of two dimensions, found {rows.ndim}; reshape your data"
            )
        return rows

    def _fitted(self) -> Model:
        if not hasattr(self, "model_"):
            try:
                from sklearn.exceptions import NotFittedError
            except ImportError:
                NotFittedError = InputError  # type: ignore[misc,assignment]
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet: call fit first")
        model = getattr(self, "_model", None)
        if model is None or model._enclave is not self._enclave():
            model = self._model = Model(self._enclave(), self.model_, self.receipt_, self.evals_result_)
        return model

    def _checked(self, X: Any, y: Any, weight: Any, numeric: bool) -> tuple[Any, Any, Any]:
        """Features, labels and weights of as many rows."""
        numpy = _package("numpy")
        if y is None:
            raise InputError(
                f"{type(self).__name__} requires y to be passed, but the target y is None"
            )
        X = self._features(X, reset=True)
        if _validate_data is not None:
            from sklearn.utils.validation import _check_y, check_consistent_length

            y = _check_y(y, multi_output=False, y_numeric=numeric, estimator=self)
            check_consistent_length(X, y)
            if weight is not None:
                weight = _check_sample_weight(weight, X, dtype="float64")
        return X, numpy.asarray(y), weight

    def _labels(self, y: Any) -> Any:
        """Labels as numbers."""
        return y

    def _enclave(self) -> Enclave:
        return self.enclave if self.enclave is not None else _latest()


class XGBRegressor(RegressorMixin, _Estimator):
    """XGBoost's regressor, in an enclave."""

    _objective = "reg:squarederror"

    def fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> XGBRegressor:
        """Trains it; `eval_set` is a list of features with their labels."""
        X, y, sample_weight = self._checked(X, y, sample_weight, numeric=True)
        return self._train(X, y, sample_weight, None, eval_set)

    def predict(self, X: Any, output_margin: bool = False) -> numpy.ndarray:
        """Predicts in the enclave."""
        return self._predict(X, output_margin=output_margin)


class XGBClassifier(ClassifierMixin, _Estimator):
    """XGBoost's classifier, in an enclave; classes may be of any kind."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, eval_set: Any = None) -> XGBClassifier:
        """Trains it; `eval_set` is a list of features with their labels."""
        numpy = _package("numpy")
        X, y, sample_weight = self._checked(X, y, sample_weight, numeric=False)
        if _check_targets is not None:
            _check_targets(y)
        self.classes_ = numpy.unique(y)
        number = len(self.classes_)
        if number < 2:
            raise InputError(f"y: expected labels of at least two classes, found {number} class")
        if number == 2:
            more = {} if self.objective else {"objective": "binary:logistic"}
        else:
            more = {"objective": "multi:softprob", "num_class": number}
        return self._train(X, self._labels(y), sample_weight, None, eval_set, more)

    def predict_proba(self, X: Any) -> numpy.ndarray:
        """Each class's probability, in the order of `classes_`."""
        numpy = _package("numpy")
        found = self._predict(X)
        return numpy.column_stack([1 - found, found]) if found.ndim == 1 else found

    def predict(self, X: Any, output_margin: bool = False) -> numpy.ndarray:
        """The likeliest class of each row; its margin where that is asked for."""
        if output_margin:
            return self._predict(X, output_margin=True)
        probable = self.predict_proba(X).argmax(axis=1)
        return self.classes_[probable]

    def _labels(self, y: Any) -> Any:
        numpy = _package("numpy")
        y = numpy.asarray(y)
        unknown = numpy.setdiff1d(y, self.classes_)
        if len(unknown):
            raise InputError(f"y: expected the classes {self.classes_}, found {unknown[0]!r} too")
        return numpy.searchsorted(self.classes_, y)


class XGBRanker(_Estimator):
    """XGBoost's ranker, in an enclave."""

    _objective = "rank:ndcg"

    def fit(self, X: Any, y: Any, qid: Any, eval_set: Any = None) -> XGBRanker:
        """Trains it; `qid` is the query of each row, and rows of one query are together."""
        numpy = _package("numpy")
        if eval_set:
            raise InputError("eval_set: a ranker's tables need queries too; use Enclave.train with group")
        X, y, _ = self._checked(X, y, None, numeric=True)
        qid = numpy.asarray(qid)
        if len(qid) and (numpy.diff(qid) < 0).any():
            raise InputError("qid: expected numbers that never become smaller, found one that does")
        return self._train(X, y, None, qid)

    def predict(self, X: Any) -> numpy.ndarray:
        """Scores of rows, by which those of one query are ranked."""
        return self._predict(X)


def _table(X: Any, y: Any = None, weight: Any = None, groups: Any = None) -> Any:
    """Features, and what else belongs to each row, as one Arrow table."""
    pyarrow, numpy = _package("pyarrow"), _package("numpy")
    if hasattr(X, "__arrow_c_stream__"):
        # A frame's index is no feature, whatever its name.
        table = pyarrow.table(X.reset_index(drop=True) if hasattr(X, "reset_index") else X)
    else:
        rows = numpy.asarray(X, dtype="float32" if X.dtype.kind != "f" else X.dtype)
        names = [f"f{number}" for number in range(rows.shape[1])]
        table = pyarrow.table([numpy.ascontiguousarray(column) for column in rows.T], names=names)
    for name, values in [(_LABEL, y), (_WEIGHT, weight), (_GROUP, groups)]:
        if values is None:
            continue
        values = numpy.asarray(values)
        if values.shape != (table.num_rows,):
            raise InputError(
                f"expected {table.num_rows} values of {name[4:]}, one a row, found an array of shape "
                f"{values.shape}"
            )
        table = table.append_column(name, pyarrow.array(values))
    return table
