"""Where the programs and components are that this package carries."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import InputError

CARRIED = Path(__file__).parent / "carried"
RUNTIME = "mc2-runtime-sim"


def runtime() -> Path:
    """The simulated runtime: `$MC2_RUNTIME`, else the one of this package."""
    named = os.environ.get("MC2_RUNTIME")
    path = Path(named) if named else CARRIED / RUNTIME
    if not path.is_file():
        raise InputError(
            f"there is no simulated runtime at {path}: expected the one that this package carries; "
            "install it anew, name one with MC2_RUNTIME, or connect to a host"
        )
    return path


def components() -> list[Path]:
    """Every component of this package, or in `$MC2_WORKLOADS`."""
    named = os.environ.get("MC2_WORKLOADS")
    return sorted((Path(named) if named else CARRIED).glob("*.wasm"))


def component(name: str) -> Path:
    """The component of this name: in `$MC2_WORKLOADS`, else the one of this package."""
    named = os.environ.get("MC2_WORKLOADS")
    path = (Path(named) if named else CARRIED) / f"{name}.wasm"
    if not path.is_file():
        raise InputError(
            f"there is no component at {path}: expected {name}.wasm, which this package carries; "
            "install it anew, or name its folder with MC2_WORKLOADS"
        )
    return path
