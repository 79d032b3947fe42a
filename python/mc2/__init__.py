"""Sealed data and attested components from Python.

    import mc2
    with mc2.connect() as enclave:                 # simulated and here: NOT SECURE
        sales = enclave.seal(frame, "sales")
        result = enclave.sql("select region, sum(amount) from sales group by region", sales=sales)
        result.to_pandas()
        result.receipt.verify()

Without an address `connect` starts a simulated enclave on this machine, which protects nothing: it is
there to try things out. With `connect("https://…", tee="sev-snp")` the same lines run in an enclave
elsewhere.
"""

from typing import TYPE_CHECKING, Any

from . import errors
from ._enclave import Enclave, NotSecureWarning, Run, Table, connect
from ._files import Identity, Inspected, Opened, inspect, keygen, seal, verify

# Not among what `from mc2 import *` brings, where it would stand before Python's own.
from ._files import open as open
from ._mc2 import Plain, Sealed, __version__
from ._policy import Meaning, Policy, Statement
from ._verdict import Check, Receipt, Verdict
from ._where import component
from ._xgboost import Drawing, Model
from .errors import Error

if TYPE_CHECKING:
    from ._aio import AsyncEnclave, connect_async
    from ._estimators import XGBClassifier, XGBRanker, XGBRegressor

__all__ = [
    "AsyncEnclave",
    "Check",
    "Drawing",
    "Enclave",
    "Error",
    "Identity",
    "Inspected",
    "Meaning",
    "Model",
    "NotSecureWarning",
    "Opened",
    "Plain",
    "Policy",
    "Receipt",
    "Run",
    "Sealed",
    "Statement",
    "Table",
    "Verdict",
    "XGBClassifier",
    "XGBRanker",
    "XGBRegressor",
    "__version__",
    "component",
    "connect",
    "connect_async",
    "errors",
    "inspect",
    "keygen",
    "seal",
    "verify",
]

#: What is imported once it is wanted: scikit-learn takes a second, asyncio a third of what all the rest does.
_LATER = {
    "AsyncEnclave": "_aio",
    "connect_async": "_aio",
    "XGBClassifier": "_estimators",
    "XGBRanker": "_estimators",
    "XGBRegressor": "_estimators",
}


def __getattr__(name: str) -> Any:
    if name in _LATER:
        from importlib import import_module

        return getattr(import_module(f".{_LATER[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
