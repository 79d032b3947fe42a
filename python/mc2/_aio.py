"""The same for asyncio: each call runs in a thread, and a task that is cancelled stops its call."""

from __future__ import annotations

import asyncio
import functools
from typing import Any, Callable, TypeVar

from . import _mc2
from ._enclave import Data, Enclave, Run, Table, connect
from ._verdict import Verdict
from ._xgboost import Model

T = TypeVar("T")


async def connect_async(host: str | None = None, **options: Any) -> AsyncEnclave:
    """As `connect`; the enclave's calls are awaited."""
    loop = asyncio.get_running_loop()
    opening = functools.partial(connect, host, **options)
    return AsyncEnclave(await loop.run_in_executor(None, opening))


class AsyncEnclave:
    """An `Enclave` whose calls are awaited; to be used with `async with`."""

    def __init__(self, enclave: Enclave) -> None:
        self._enclave = enclave

    @property
    def simulated(self) -> bool:
        """Whether there is no enclave at all: NOT SECURE."""
        return self._enclave.simulated

    async def verdict(self) -> Verdict:
        """As `Enclave.verdict`."""
        return await asyncio.get_running_loop().run_in_executor(
            None, lambda: self._enclave.verdict
        )

    async def seal(self, data: Data, name: str) -> _mc2.Sealed:
        """As `Enclave.seal`."""
        return await self._stoppable(self._enclave.seal, data, name)

    async def sql(self, query: str, /, **options: Any) -> Table:
        """As `Enclave.sql`."""
        return await self._stoppable(self._enclave.sql, query, **options)

    async def train(self, *arguments: Any, **options: Any) -> Model:
        """As `Enclave.train`."""
        return await self._stoppable(self._enclave.train, *arguments, **options)

    async def predict(self, model: Model, data: _mc2.Sealed | Data, **options: Any) -> Table:
        """As `Model.predict`."""
        return await self._stoppable(model.predict, data, **options)

    async def load_model(self, path: Any) -> Model:
        """As `Enclave.load_model`."""
        return await asyncio.get_running_loop().run_in_executor(
            None, self._enclave.load_model, path
        )

    async def approve(self, *given: _mc2.Sealed, runs: int = 1) -> str:
        """As `Enclave.approve`."""
        return await self._stoppable(self._enclave.approve, *given, runs=runs)

    async def session(self) -> str:
        """As `Enclave.session`."""
        return await asyncio.get_running_loop().run_in_executor(
            None, lambda: self._enclave.session
        )

    async def run(self, component: Any, *arguments: Any, **options: Any) -> Run:
        """As `Enclave.run`."""
        return await self._stoppable(self._enclave.run, component, *arguments, **options)

    async def close(self) -> None:
        """As `Enclave.close`."""
        await asyncio.get_running_loop().run_in_executor(None, self._enclave.close)

    async def __aenter__(self) -> AsyncEnclave:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def _stoppable(self, call: Callable[..., T], *arguments: Any, **options: Any) -> T:
        stopper = _mc2.Stopper()
        call = functools.partial(call, *arguments, _stopper=stopper, **options)
        ending = asyncio.get_running_loop().run_in_executor(None, call)
        try:
            return await asyncio.shield(ending)
        except asyncio.CancelledError:
            stopper.stop()
            # It ends within seconds, and is heard so that nothing is left behind.
            await asyncio.wait([ending])
            ending.exception()
            raise
