"""The enclave: connect, seal, query, run."""

from __future__ import annotations

import atexit
import itertools
import json
import os
import warnings
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, Iterable, Mapping, Union

from . import _mc2, _progress, _where
from ._verdict import NOT_SECURE, Receipt, Verdict, _checks
from .errors import AttestationRefused, InputError, _of_run

if TYPE_CHECKING:
    import pandas
    import polars
    import pyarrow

    from ._policy import Policy
    from ._progress import Progress
    from ._xgboost import Model

#: What can be sealed: a path, bytes, or anything with `__arrow_c_stream__`.
Data = Union[str, "os.PathLike[str]", Any]
#: What the result of a query is called in the enclave.
_RESULT = "result.arrow"
_BYTES = "application/octet-stream"

_open: weakref.WeakSet[Enclave] = weakref.WeakSet()
_numbers = itertools.count()


class NotSecureWarning(UserWarning):
    """Said once for each simulated enclave."""


def connect(
    host: str | None = None,
    *,
    tee: str | None = None,
    allow_simulated: bool = False,
    host_ca: str | os.PathLike[str] | None = None,
    identity: str | None = None,
    collateral: str | os.PathLike[str] | None = None,
    policy: Policy | str | os.PathLike[str] | None = None,
    policy_digest: str | None = None,
    session: str | None = None,
    components: Iterable[str | os.PathLike[str]] = (),
    wait: str | None = None,
    progress: bool | Progress | None = None,
) -> Enclave:
    """Connects to an enclave's host, or starts a simulated enclave here, which is NOT SECURE.

    `host` is `https://NAME:PORT` (or `http://…`, `unix:PATH`) of an `mc2-host`, and `tee` says which
    kind of enclave you accept there: `"sgx"`, `"tdx"`, `"sev-snp"`, `"nitro"`, `"azure-vtpm"`.
    `host_ca` are the authorities its certificate may come from, `identity` is one of yours other than
    the default one, `collateral` a bundle of the vendors' that is used instead of the usual one.

    With `policy`, a `Policy` or its file, calls are jobs of it, in one session: a new one, or the one that
    `session` names. It says which enclaves, components, limits and outputs are allowed, and who must agree;
    where others must, calls wait for them, until the policy's end or as long as `wait` says (`"10min"`).
    `policy_digest` states the policy's digest where you know it and not every card in it. `components` are
    files of its components that the host may lack; those of this package it is given by itself.

    Nothing is given to an enclave before its evidence passed every check: at each call.
    """
    native = _mc2.Enclave.connect(
        host=host,
        host_ca=None if host_ca is None else os.fspath(host_ca),
        tee=tee,
        allow_simulated=allow_simulated,
        runtime=_runtime(host, allow_simulated),
        identity=identity,
        collateral=None if collateral is None else os.fspath(collateral),
        terms=_terms(policy, policy_digest, session, components, wait),
    )
    if native.is_simulated:
        warnings.warn(NOT_SECURE, NotSecureWarning, stacklevel=2)
    return Enclave(native, progress)


class Enclave:
    """An enclave's host, for many calls: made by `connect`, to be closed, or used with `with`.

    Threads may share it.
    """

    def __init__(self, native: _mc2.Enclave, progress: bool | Progress | None = None) -> None:
        self._native = native
        self._progress = progress
        self._components: dict[str, _mc2.Component] = {}
        self._verdict: Verdict | None = None
        self._number = next(_numbers)
        _open.add(self)

    @property
    def simulated(self) -> bool:
        """Whether there is no enclave at all: NOT SECURE."""
        return self._native.is_simulated

    @property
    def verdict(self) -> Verdict:
        """Every check of the evidence of the session that was used last; where none was used yet, one
        is opened for queries. A refused one is returned as well: what is given to an enclave is
        checked at each call."""
        if self._verdict is None:
            component = None if self._native.is_agreed else self._component("sql")
            told = json.loads(self._native.attest(component))
            self._verdict = Verdict(told["accepted"], _checks(told["checks"]), self.simulated)
        return self._verdict

    @property
    def session(self) -> str:
        """The session that jobs of the policy go to, opened where there is none yet: tell it to the other
        parties, who join it (`connect(…, session=…)`, or `mc2 session join`)."""
        return self._native.session()

    @property
    def address(self) -> str:
        """Where its host is. The one that `connect()` starts here is for this user's processes alone."""
        return self._native.address

    def approve(
        self, *given: _mc2.Sealed, runs: int = 1, _stopper: _mc2.Stopper | None = None
    ) -> str:
        """Gives what a party gives to others' jobs: approves the policy in its session, where it asks this
        party to, and releases the keys of its own sealed data, each for so many runs. Without any, of the
        newest version of each that was uploaded from here. Returns all that was approved and released."""
        return self._native.approve(list(given), runs, _stopper)

    def seal(self, data: Data, name: str, *, _stopper: _mc2.Stopper | None = None) -> _mc2.Sealed:
        """Seals data under a fresh key and stores it at the host, as a version of the dataset `name`.

        `data` is a table of any library with Arrow's PyCapsule interface (pandas, polars, pyarrow,
        DuckDB, …), the path of a file or folder, or bytes that are what a file would hold. The key stays here until a call releases it to an
        enclave that passed every check.
        """
        with _Telling(self._progress) as progress:
            stream = getattr(_without_numbers(data), "__arrow_c_stream__", None)
            if stream is not None and not isinstance(data, _mc2.Plain):
                capsule = _stream_of(stream, name)
                return self._native.seal_stream(capsule, name, progress, _stopper)
            if isinstance(data, (bytes, bytearray, memoryview, _mc2.Plain)):
                return self._native.seal_bytes(bytes(data), name, _BYTES, progress, _stopper)
            if isinstance(data, (str, os.PathLike)):
                path = os.path.expanduser(os.fspath(data))
                return self._native.seal_path(path, name, progress, _stopper)
        raise InputError(
            f"{name}: expected a path, bytes, or a table with __arrow_c_stream__ (pandas, polars, "
            f"pyarrow), found {type(data).__name__}"
        )

    def sql(
        self,
        query: str,
        /,
        *,
        params: Mapping[str, Any] | None = None,
        memory: str | None = None,
        timeout: str | None = None,
        instances: int | None = None,
        job: str | None = None,
        _stopper: _mc2.Stopper | None = None,
        **tables: _mc2.Sealed | Data,
    ) -> Table:
        """Runs a query over sealed tables, each under the name it is given as.

        Tables that are not sealed yet are sealed first. `params` are the values of `$NAME` in the query:
        they are values and never part of its text. The SQL is that of docs/sql.md.
        """
        values: list[str] = []
        for name, value in (params or {}).items():
            values += ["--param", f"{name}={_text_of(name, value)}"]
        # As a policy writes a fixed query: the text, then its parameters.
        asked = [*values, "--", query] if query.startswith("-") else [query, *values]
        told = self._call(
            self._component("sql"),
            tables,
            [(_RESULT, None)],
            ["--output", _RESULT, *asked],
            memory,
            timeout,
            instances,
            job,
            _stopper,
        )
        report = json.loads(told["report"])
        return Table(told["outputs"][_RESULT], Receipt(report))

    def train(
        self,
        train: _mc2.Sealed | Data | Mapping[str, _mc2.Sealed | Data],
        label: str,
        params: Mapping[str, Any] | None = None,
        rounds: int = 10,
        evals: Mapping[str, _mc2.Sealed | Data] | None = None,
        *,
        weight: str | None = None,
        group: str | None = None,
        base_margin: str | None = None,
        ignore: Iterable[str] = (),
        categorical: Iterable[str] = (),
        early_stopping: int | None = None,
        init_model: Model | None = None,
        memory: str | None = None,
        timeout: str | None = None,
        instances: int | None = None,
        job: str | None = None,
        _stopper: _mc2.Stopper | None = None,
    ) -> Model:
        """Trains gradient boosted trees on a table, or on several together, as XGBoost does.

        `label` and the options after `evals` name columns. `params` are XGBoost's, `evals` tables to
        evaluate after each round, of which the last decides for `early_stopping`. See docs/xgboost.md.
        """
        from ._xgboost import train as trained

        tables = train if isinstance(train, Mapping) else {"train": train}
        columns = {"weight": weight, "group": group, "base-margin": base_margin}
        return trained(
            self,
            tables,
            label,
            params or {},
            rounds,
            evals or {},
            columns,
            ignore,
            categorical,
            early_stopping,
            init_model,
            memory,
            timeout,
            instances,
            job,
            _stopper,
        )

    def load_model(self, path: str | os.PathLike[str]) -> Model:
        """An XGBoost model from a file (JSON or UBJSON), to predict by it in the enclave."""
        from ._xgboost import Model

        try:
            with open(os.path.expanduser(os.fspath(path)), "rb") as file:
                return Model(self, file.read())
        except OSError as error:
            raise InputError(f"the model cannot be read: {error}") from error

    def run(
        self,
        component: str | os.PathLike[str],
        inputs: Mapping[str, _mc2.Sealed | Data] | None = None,
        outputs: Iterable[str] | Mapping[str, str | os.PathLike[str]] = (),
        args: Iterable[str] = (),
        *,
        memory: str | None = None,
        timeout: str | None = None,
        instances: int | None = None,
        job: str | None = None,
        _stopper: _mc2.Stopper | None = None,
    ) -> Run:
        """Runs any component.

        `outputs` are names under `/out` whose contents come back in memory, or paths by name to write
        them to; a path that ends with `/` is for a folder.
        """
        if isinstance(outputs, str):
            raise InputError("outputs: expected a list of names, or paths by name, found one text")
        if isinstance(outputs, Mapping):
            wanted = [(name, os.fspath(path)) for name, path in outputs.items()]
        else:
            wanted = [(name, None) for name in outputs]
        # Read anew each time: whoever writes a component tries it again and again.
        native = _mc2.Component(os.path.expanduser(os.fspath(component)))
        told = self._call(
            native, inputs or {}, wanted, list(args), memory, timeout, instances, job, _stopper
        )
        return Run(told)

    def close(self) -> None:
        """Ends the simulated enclave, or the sessions at the host. Once is enough."""
        self._native.close()
        _open.discard(self)

    def __deepcopy__(self, _memo: object) -> Enclave:
        # An estimator that is cloned trains in the same one.
        return self

    def __enter__(self) -> Enclave:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        state = "open" if self._native.is_open else "closed"
        simulated = ", simulated: NOT SECURE" if state == "open" and self.simulated else ""
        return f"<mc2.Enclave {state}{simulated}>"

    def _component(self, name: str) -> _mc2.Component:
        path = os.fspath(_where.component(name))
        if path not in self._components:
            self._components[path] = _mc2.Component(path)
        return self._components[path]

    def _call(
        self,
        component: _mc2.Component,
        inputs: Mapping[str, Any],
        outputs: list[tuple[str, str | None]],
        arguments: list[str],
        memory: str | None,
        timeout: str | None,
        instances: int | None,
        job: str | None,
        stopper: _mc2.Stopper | None,
    ) -> dict[str, Any]:
        sealed = []
        for name, data in inputs.items():
            if not isinstance(data, _mc2.Sealed):
                # A policy may call the dataset otherwise than the input that it is.
                dataset = self._native.dataset_of(component, name, job)
                data = self.seal(data, dataset, _stopper=stopper)
            sealed.append((name, data))
        with _Telling(self._progress) as progress:
            try:
                told = self._native.call(
                    component,
                    sealed,
                    outputs,
                    arguments,
                    memory=memory,
                    timeout=timeout,
                    instances=instances,
                    job=job,
                    progress=progress,
                    stopper=stopper,
                )
            except AttestationRefused as error:
                self._verdict = Verdict(False, error.checks, self.simulated)
                raise
        report = json.loads(told["report"])
        self._verdict = Verdict(True, _checks(report["attestation"]), report["simulated"])
        if report["status"] != "succeeded":
            raise _of_run(report, told["stdout"], told["stderr"])
        return told


def _runtime(host: str | None, allow_simulated: bool) -> str | None:
    """The simulator to start, or the one that a host's must be."""
    if host is None:
        return os.fspath(_where.runtime())
    try:
        return os.fspath(_where.runtime()) if allow_simulated else None
    except InputError:
        # The appraisal says that the host's is not known.
        return None


def _terms(
    policy: Policy | str | os.PathLike[str] | None,
    digest: str | None,
    session: str | None,
    components: Iterable[str | os.PathLike[str]],
    wait: str | None,
) -> _mc2.Terms | None:
    """What is agreed: its own components, and those that this package carries and it names."""
    files = [os.path.expanduser(os.fspath(one)) for one in components]
    if policy is None:
        given = {"policy_digest": digest, "session": session, "wait": wait, "components": files}
        for name in (name for name, value in given.items() if value):
            raise InputError(f"{name} goes with a policy: give its file as policy")
        return None
    from ._policy import Policy

    if not isinstance(policy, Policy):
        policy = Policy.from_file(policy)
    known = {_mc2.Component(file).sha256 for file in files}
    wanted = {one["sha256"] for one in policy.fields["component"]} - known
    if wanted:
        carried = [os.fspath(path) for path in _where.components()]
        files += [path for path in carried if _mc2.Component(path).sha256 in wanted]
    label = policy._path or f"the policy {policy.name}"
    return _mc2.Terms(policy._native, label, digest, session, files, wait)


class Table:
    """The result of a query: a table of any library, and its receipt.

    It offers Arrow's PyCapsule interface, so `pyarrow.table(result)`, `polars.DataFrame(result)` and
    `duckdb.sql("from result")` take it as it is; nothing is copied on the way.
    """

    def __init__(self, native: _mc2.Plain, receipt: Receipt) -> None:
        self._native = native
        self.receipt = receipt

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        return self._native.__arrow_c_stream__(requested_schema)

    def __len__(self) -> int:
        return self._native.rows()

    def to_arrow(self) -> pyarrow.Table:
        """As a `pyarrow.Table`."""
        return _package("pyarrow").table(self)

    def to_pandas(self) -> pandas.DataFrame:
        """As a `pandas.DataFrame`."""
        _package("pandas")
        return self.to_arrow().to_pandas()

    def to_polars(self) -> polars.DataFrame:
        """As a `polars.DataFrame`."""
        return _package("polars").DataFrame(self)

    def __repr__(self) -> str:
        return f"<mc2.Table of {len(self)} rows, {self.receipt!r}>"

    def _repr_html_(self) -> str:
        try:
            shown = self.to_pandas()._repr_html_()
        except ImportError:
            shown = f"<p>{len(self)} rows</p>"
        return f"{shown}{self.receipt._repr_html_()}"


class Run:
    """What came of a component's run."""

    def __init__(self, told: dict[str, Any]) -> None:
        report = json.loads(told["report"])
        #: What it wrote to standard output.
        self.stdout: bytes = told["stdout"]
        self.stderr: bytes = told["stderr"]
        #: The outputs in memory: `bytes(run.outputs["x"])`, or a table of any library of an Arrow IPC file.
        self.outputs: dict[str, _mc2.Plain] = told["outputs"]
        #: The outputs that were written, and where.
        self.written: dict[str, Path] = {
            name: Path(path) for name, path in report["written"].items()
        }
        self.receipt = Receipt(report)

    def __repr__(self) -> str:
        names = ", ".join([*self.outputs, *self.written]) or "none"
        return f"<mc2.Run, outputs: {names}, {self.receipt!r}>"


class _Telling:
    """Somebody to tell of progress for the time of a call."""

    def __init__(self, progress: bool | Progress | None) -> None:
        self._shown = _progress.shown(progress)

    def __enter__(self) -> Progress | None:
        return self._shown

    def __exit__(self, *_: object) -> None:
        _progress.done(self._shown)


def _without_numbers(data: Any) -> Any:
    """A pandas frame without the index, where that has no name: its numbers are no column of the table."""
    index = getattr(data, "index", None)
    names = list(getattr(index, "names", ()))
    if names and all(name is None for name in names) and hasattr(data, "reset_index"):
        return data.reset_index(drop=True)
    return data


def _stream_of(stream: Any, name: str) -> Any:
    try:
        return stream()
    except ImportError as error:
        raise InputError(
            f"{name}: the table's library cannot give it as Arrow data: {error}; install what it "
            "asks for, or give a path"
        ) from error
    except (TypeError, ValueError) as error:
        # pyarrow's errors are among these, and name the column and its type.
        words = "; ".join(str(part) for part in error.args)
        raise InputError(f"{name}: the table cannot be given as Arrow data: {words}") from error


def _text_of(name: str, value: Any) -> str:
    if value is None:
        raise InputError(f"params: {name} is None; write NULL into the query instead")
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _package(name: str) -> Any:
    import importlib

    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f"this needs {name}, which is not installed: pip install {name}, or hand the result to a "
            "library that takes __arrow_c_stream__"
        ) from error


def _latest() -> Enclave:
    """The enclave that was connected last and is open."""
    found = [enclave for enclave in _open if enclave._native.is_open]
    if not found:
        raise InputError("no enclave is open: connect to one first, or give one as `enclave`")
    return max(found, key=lambda enclave: enclave._number)


@atexit.register
def _close_all() -> None:
    for enclave in list(_open):
        enclave.close()
