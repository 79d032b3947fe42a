"""The native half."""

import os
from typing import Any, Callable

__version__: str

_Progress = Callable[[str, int | None, int | None, str], None]

class Stopper:
    def __new__(cls) -> Stopper: ...
    def stop(self) -> None: ...

class Sealed:
    """A version of a dataset that was sealed and is at an enclave's host."""

    @property
    def name(self) -> str: ...
    @property
    def object(self) -> str: ...
    @property
    def length(self) -> int: ...

class Component:
    def __new__(cls, path: str | os.PathLike[str]) -> Component: ...
    @property
    def sha256(self) -> str: ...

class Plain:
    """An output in memory, opened and not copied since."""

    def __len__(self) -> int: ...
    def __bytes__(self) -> bytes: ...
    def rows(self) -> int: ...
    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...

class Enclave:
    @staticmethod
    def connect(
        host: str | None = None,
        host_ca: str | None = None,
        tee: str | None = None,
        allow_simulated: bool = False,
        runtime: str | None = None,
        identity: str | None = None,
        collateral: str | None = None,
    ) -> Enclave: ...
    def seal_path(
        self,
        path: str,
        name: str,
        progress: _Progress | None = None,
        stopper: Stopper | None = None,
    ) -> Sealed: ...
    def seal_stream(
        self,
        capsule: object,
        name: str,
        progress: _Progress | None = None,
        stopper: Stopper | None = None,
    ) -> Sealed: ...
    def seal_bytes(
        self,
        bytes: bytes,
        name: str,
        media_type: str,
        progress: _Progress | None = None,
        stopper: Stopper | None = None,
    ) -> Sealed: ...
    def attest(self, component: Component, stopper: Stopper | None = None) -> str: ...
    def call(
        self,
        component: Component,
        inputs: list[tuple[str, Sealed]],
        outputs: list[tuple[str, str | None]],
        arguments: list[str],
        memory: str | None = None,
        timeout: str | None = None,
        instances: int = 1,
        progress: _Progress | None = None,
        stopper: Stopper | None = None,
    ) -> dict[str, Any]: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def is_simulated(self) -> bool: ...
    @property
    def card(self) -> str: ...
    def close(self) -> None: ...

def verify(path: str, policy: str | None = None, allow_simulated: bool = False) -> str: ...
