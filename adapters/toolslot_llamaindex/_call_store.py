"""The state store, as a running call sees it: what the call does there, or in the memory, is put down to it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

from toolslot_llamaindex._ledger import Ledger
from toolslot_llamaindex._memory_log import MemoryLog
from toolslot_llamaindex._memory_view import itself
from toolslot_llamaindex._state import MEMORY, items_of, top_of


class CallStore:
    """The state store, as one call sees it."""

    def __init__(self, store: Any, ledger: Ledger, memory: MemoryLog, call: int) -> None:
        self._store, self._ledger, self._memory, self._call = store, ledger, memory, call

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def _items(self) -> dict[str, object]:
        return items_of(await self._store.get_state())

    def _keys(self, path: str) -> tuple[str, ...]:
        key = top_of(path)
        return () if key == MEMORY else (key,)

    async def get(self, path: str, *default: Any, **named: Any) -> Any:
        found = await self._store.get(path, *default, **named)
        items = await self._items()
        self._ledger.got(self._call, items, self._keys(path) if path else None)
        return self._memory.view(self._call, found) if path == MEMORY else found

    async def get_state(self) -> Any:
        state = await self._store.get_state()
        self._ledger.got(self._call, items_of(state))
        return state

    async def set(self, path: str, value: Any) -> None:
        self._ledger.looked(self._call, await self._items(), self._keys(path))
        await self._store.set(path, itself(value) if path == MEMORY else value)
        if self._keys(path):
            self._ledger.put(self._call, path, await self._items())

    async def set_state(self, state: Any) -> None:
        self._ledger.looked(self._call, await self._items())
        await self._store.set_state(state)
        self._ledger.replaced(self._call, await self._items())

    async def clear(self) -> None:
        await self._store.clear()
        self._ledger.cleared(self._call, await self._items())

    @asynccontextmanager
    async def edit_state(self) -> AsyncGenerator[Any]:
        async with self._store.edit_state() as state:
            self._ledger.got(self._call, items_of(state))
            yield state
        self._ledger.replaced(self._call, items_of(state))

    async def ended(self) -> None:
        """The call is over."""
        if self._ledger.holds(self._call):
            self._ledger.ended(self._call, await self._items())
