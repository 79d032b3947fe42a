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

class Terms:
    """A policy that was agreed, and how a person takes part."""

    def __new__(
        cls,
        policy: Policy,
        path: str,
        digest: str | None = None,
        session: str | None = None,
        components: list[str] = ...,
        wait: str | None = None,
    ) -> Terms: ...

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
        terms: Terms | None = None,
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
    def attest(self, component: Component | None = None, stopper: Stopper | None = None) -> str: ...
    def call(
        self,
        component: Component,
        inputs: list[tuple[str, Sealed]],
        outputs: list[tuple[str, str | None]],
        arguments: list[str],
        memory: str | None = None,
        timeout: str | None = None,
        instances: int | None = None,
        job: str | None = None,
        progress: _Progress | None = None,
        stopper: Stopper | None = None,
    ) -> dict[str, Any]: ...
    def dataset_of(self, component: Component, input: str, job: str | None = None) -> str: ...
    def session(self, stopper: Stopper | None = None) -> str: ...
    def approve(
        self, given: list[Sealed], runs: int = 1, stopper: Stopper | None = None
    ) -> str: ...
    @property
    def is_agreed(self) -> bool: ...
    @property
    def address(self) -> str: ...
    @property
    def is_open(self) -> bool: ...
    @property
    def is_simulated(self) -> bool: ...
    @property
    def card(self) -> str: ...
    def close(self) -> None: ...

class Policy:
    """A policy whose every field was checked."""

    @staticmethod
    def read(path: str) -> Policy: ...
    @staticmethod
    def parse(bytes: bytes, whence: str) -> Policy: ...
    @property
    def digest(self) -> str: ...
    @property
    def bytes(self) -> bytes: ...
    def fields(self) -> str: ...
    def text(self) -> str: ...
    def check(self) -> str: ...

def keygen(name: str) -> str: ...
def seal(
    path: str, name: str, output: str, identity: str | None = None
) -> tuple[str, os.PathLike[str]]: ...
def open(
    path: str,
    output: str,
    identity: str | None = None,
    policy: str | None = None,
    job: str | None = None,
    components: list[str] = ...,
    allow_simulated: bool = False,
    collateral: str | None = None,
) -> str: ...
def inspect(path: str) -> tuple[str, str]: ...
def verify(
    path: str,
    policy: str | None = None,
    job: str | None = None,
    components: list[str] = ...,
    allow_simulated: bool = False,
    collateral: str | None = None,
    vouch: str | None = None,
    timestamp: tuple[str, str] | None = None,
) -> str: ...
