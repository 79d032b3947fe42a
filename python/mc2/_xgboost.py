"""Training and predicting in the enclave; models are XGBoost's own."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, Iterable, Mapping

from . import _mc2
from ._verdict import Receipt
from .errors import InputError

if TYPE_CHECKING:
    import xgboost

    from ._enclave import Data, Enclave, Table

_MODEL = "model.ubj"
_METRICS = "metrics.json"
_PREDICTIONS = "predictions.arrow"
_DRAWING = "drawing.svg"


class Model:
    """A model that was trained in an enclave, or that is to predict in one.

    It is kept sealed at the enclave's host once something was predicted by it, and here.
    """

    def __init__(
        self,
        enclave: Enclave,
        native: _mc2.Plain | bytes,
        receipt: Receipt | None = None,
        evals_result: Mapping[str, Mapping[str, list[float]]] | None = None,
    ) -> None:
        self._enclave = enclave
        self._native = native
        self._sealed: _mc2.Sealed | None = None
        #: The receipt of the run that trained it.
        self.receipt = receipt
        #: Scores of each round, as XGBoost's `evals_result`: `{"train": {"rmse": […]}}`.
        self.evals_result = {
            table: {metric: list(scores) for metric, scores in found.items()}
            for table, found in (evals_result or {}).items()
        }

    def __bytes__(self) -> bytes:
        """The model as XGBoost's UBJSON."""
        return bytes(self._native)

    def to_xgboost(self) -> xgboost.Booster:
        """As an `xgboost.Booster`, where XGBoost is installed."""
        from ._enclave import _package

        return _package("xgboost").Booster(model_file=bytearray(bytes(self)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes it to a file ending in `.ubj`, which XGBoost's `load_model` reads."""
        path = os.path.expanduser(os.fspath(path))
        if not path.endswith(".ubj"):
            raise InputError(f"{path}: expected a name that ends in .ubj, by which XGBoost knows it")
        with open(path, "wb") as file:
            file.write(bytes(self))

    def predict(
        self,
        data: _mc2.Sealed | Data,
        *,
        output_margin: bool = False,
        leaf: bool = False,
        contribs: bool = False,
        iteration_range: tuple[int, int] | None = None,
        memory: str | None = None,
        timeout: str | None = None,
        _stopper: _mc2.Stopper | None = None,
    ) -> Table:
        """Predicts every row of a table in the enclave, in the order of the rows.

        The result's columns are `prediction`, or `prediction_0`, … where there are several; `margin`
        with `output_margin`, `tree_0`, … with `leaf`, and a feature each and `bias` with `contribs`.
        """
        arguments = ["predict", "--model", _MODEL, "--output", _PREDICTIONS]
        for asked, option in [
            (output_margin, "--output-margin"),
            (leaf, "--leaf"),
            (contribs, "--contribs"),
        ]:
            arguments += [option] if asked else []
        if iteration_range is not None:
            begin, end = iteration_range
            arguments += ["--iteration-range", f"{begin}:{end}"]
        inputs = {_MODEL: self._held(), "data": data}
        told = self._run(inputs, [_PREDICTIONS], arguments, memory, timeout, _stopper)
        from ._enclave import Table

        return Table(told["outputs"][_PREDICTIONS], Receipt(json.loads(told["report"])))

    def plot(self, tree: int = 0) -> Drawing:
        """A tree as the trainer draws it; a notebook shows it."""
        arguments = ["plot", "--model", _MODEL, "--tree", str(tree), "--output", _DRAWING]
        return self._drawn(arguments)

    def plot_importance(self, kind: str = "gain", top: int = 20) -> Drawing:
        """What features count for: by `gain`, `cover`, `weight`, `total_gain` or `total_cover`."""
        arguments = ["plot", "--model", _MODEL, "--importance", kind, "--top", str(top)]
        return self._drawn([*arguments, "--output", _DRAWING])

    def __repr__(self) -> str:
        rounds = max(
            (len(scores) for found in self.evals_result.values() for scores in found.values()),
            default=0,
        )
        told = f" of {rounds} rounds" if rounds else ""
        return f"<mc2.Model{told}, {len(bytes(self))} bytes, {self.receipt!r}>"

    def _repr_html_(self) -> str:
        from html import escape

        rows = "".join(
            f"<tr><td>{escape(table)}</td><td>{escape(metric)}</td><td>{scores[-1]:.6g}</td></tr>"
            for table, found in self.evals_result.items()
            for metric, scores in found.items()
            if scores
        )
        head = "<tr><th>table</th><th>metric</th><th>last round</th></tr>"
        receipt = self.receipt._repr_html_() if self.receipt else ""
        return f"<table><caption>model</caption>{head}{rows}</table>{receipt}"

    def _held(self) -> _mc2.Sealed:
        if self._sealed is None:
            self._sealed = self._enclave.seal(bytes(self), "model")
        return self._sealed

    def _drawn(self, arguments: list[str]) -> Drawing:
        told = self._run({_MODEL: self._held()}, [_DRAWING], arguments, None, None)
        return Drawing(bytes(told["outputs"][_DRAWING]).decode())

    def _run(
        self,
        inputs: dict[str, Any],
        outputs: list[str],
        arguments: list[str],
        memory: str | None,
        timeout: str | None,
        stopper: _mc2.Stopper | None = None,
    ) -> dict[str, Any]:
        enclave = self._enclave
        wanted: list[tuple[str, str | None]] = [(name, None) for name in outputs]
        component = enclave._component("xgboost")
        return enclave._call(component, inputs, wanted, arguments, memory, timeout, None, None, stopper)


class Drawing:
    """An SVG drawing that came out of the enclave."""

    def __init__(self, svg: str) -> None:
        self.svg = svg

    def _repr_html_(self) -> str:
        # As an image it runs no script, whatever wrote it.
        import base64

        data = base64.b64encode(self.svg.encode()).decode()
        return f'<img src="data:image/svg+xml;base64,{data}">'

    def __repr__(self) -> str:
        return f"<mc2.Drawing, {len(self.svg)} characters of SVG>"


def train(
    enclave: Enclave,
    tables: Mapping[str, Any],
    label: str,
    params: Mapping[str, Any],
    rounds: int,
    evals: Mapping[str, Any],
    columns: Mapping[str, str | None],
    ignore: Iterable[str],
    categorical: Iterable[str],
    early_stopping: int | None,
    init_model: Model | None,
    memory: str | None,
    timeout: str | None,
    instances: int | None,
    job: str | None,
    stopper: _mc2.Stopper | None,
) -> Model:
    """What `Enclave.train` does."""
    arguments = ["train", "--label", label, "--rounds", str(rounds)]
    arguments += ["--params", json.dumps(_plain(dict(params)))]
    for name in evals:
        if name in tables:
            raise InputError(f"{name} is a table to train on and one to evaluate; rename one of them")
        arguments += ["--eval", name]
    for option, column in columns.items():
        arguments += [f"--{option}", column] if column is not None else []
    for option, names in [("ignore", ignore), ("categorical", categorical)]:
        if isinstance(names, str):
            raise InputError(f"{option}: expected a list of columns, found one text")
        for name in names:
            arguments += [f"--{option}", name]
    if early_stopping is not None:
        arguments += ["--early-stopping", str(early_stopping)]
    inputs = {**tables, **evals}
    if init_model is not None:
        inputs["init-model"] = init_model._held()
        arguments += ["--init-model", "init-model"]
    arguments += ["--model-out", _MODEL, "--metrics-out", _METRICS]
    told = enclave._call(
        enclave._component("xgboost"),
        inputs,
        [(_MODEL, None), (_METRICS, None)],
        arguments,
        memory,
        timeout,
        instances,
        job,
        stopper,
    )
    metrics = json.loads(bytes(told["outputs"][_METRICS]))
    receipt = Receipt(json.loads(told["report"]))
    return Model(enclave, told["outputs"][_MODEL], receipt, metrics)


def _plain(params: dict[str, Any]) -> dict[str, Any]:
    """Parameters as JSON knows them: numbers of NumPy's are numbers."""

    def plain(value: Any) -> Any:
        item = getattr(value, "item", None)
        if callable(item):
            return item()
        if isinstance(value, (list, tuple)):
            return [plain(one) for one in value]
        if isinstance(value, Mapping):
            return {str(key): plain(one) for key, one in value.items()}
        return value

    return {name: plain(value) for name, value in params.items() if value is not None}
