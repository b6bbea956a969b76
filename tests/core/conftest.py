"""Fixtures that the tests of batches share."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from typing import Any

import pytest

from support.harness import World
from toolslot import DurableExecutor


@pytest.fixture
def world() -> World:
    return World()


@pytest.fixture(params=["sync", "async"])
def enter(request: pytest.FixtureRequest) -> Callable[..., Any]:
    """One call of a batch, entered the sync or the async way."""

    def sync(executor: DurableExecutor, b: Any, index: int, fn: Callable[[], Any], **kwargs: Any) -> Any:
        with executor.open(b) as run:
            return run.call(index, fn, **kwargs)

    def in_loop(executor: DurableExecutor, b: Any, index: int, fn: Callable[[], Any], **kwargs: Any) -> Any:
        async def afn() -> Any:
            value = fn()
            return await value if inspect.isawaitable(value) else value

        async def main() -> Any:
            async with executor.open(b) as run:
                return await run.acall(index, afn, **kwargs)

        return asyncio.run(main())

    return sync if request.param == "sync" else in_loop
