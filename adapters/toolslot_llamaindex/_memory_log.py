"""What the calls of one answer change in the agent's memory, and which of them does."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import deepcopy
from functools import partial
from threading import Lock
from typing import Any, cast

from llama_index.core.memory import BaseMemory

from toolslot_llamaindex._memory import Item, MemoryChange, read, write
from toolslot_llamaindex._memory_view import Change, ChangeNow, Watched, view_of
from toolslot_llamaindex._values import ValueCodec

log = logging.getLogger("toolslot")

#: whether a change is being made: what it consists of is part of it
_inside: ContextVar[bool] = ContextVar("toolslot_llamaindex_memory_change", default=False)


class MemoryLog:
    """One for all calls of an answer of the model.

    What a call does through its view of the memory counts for that call. What is different besides, because a tool has the memory in
    another way or changes a message where it is, counts for the call that ends next.
    """

    def __init__(self, values: ValueCodec) -> None:
        self._values = values
        #: digests, for a message may be changed where it is, and is the same object then
        self._seen: list[str] | None = None
        #: a copy of what the digests are of, which is compared more quickly; None where that says nothing
        self._copy: list[Item] | None = None
        self._number = 0
        #: by call; under None those of which nothing says whose they are
        self._changes: dict[int | None, list[MemoryChange]] = {}
        #: the calls that are making a change through their views
        self._making: list[int] = []
        self._looking = asyncio.Lock()
        #: how many looks were asked for, and how many of these, counted from the first, the last look has answered
        self._asked = self._answered = 0
        self._noting = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def watch(self, memory: Any) -> None:
        """Before a call: the first time, look at what is there."""
        self._loop = asyncio.get_running_loop()
        if self._seen is not None or memory is None:
            return
        async with self._looking:
            if self._seen is None:
                items = await self._look(memory)
                if items is not None:
                    self._keep(items, self._digests(items))

    def view(self, call: int, memory: Any) -> Any:
        """The memory for the code of this call."""
        if self._seen is None or not isinstance(memory, BaseMemory):
            return memory
        return view_of(
            Watched(
                memory=memory,
                change=partial(self._change, call, memory),
                change_now=partial(self._change_now, call, memory),
            )
        )

    async def ended(self, call: int, memory: Any) -> tuple[MemoryChange, ...]:
        """After a call: what it has changed."""
        if memory is not None:
            await self._compare(memory, next(iter(self._making), call))
        with self._noting:
            self._changes.setdefault(call, []).extend(self._changes.pop(None, ()))
        return self.changes(call)

    def changes(self, call: int) -> tuple[MemoryChange, ...]:
        """What the call has changed so far, as far as it is known."""
        return tuple(sorted(self._changes.get(call, ()), key=lambda change: change.number))

    # --- through the view of a call -------------------------------------------------------------------------------------

    async def _change(self, call: int, memory: BaseMemory, change: Change) -> Any:
        if _inside.get() or asyncio.get_running_loop() is not self._loop:
            return await change()
        # Nothing is held meanwhile: it may take long, and other calls must be recorded when they end.
        await self._compare(memory, next(iter(self._making), None))
        try:
            with self._made_by(call):
                return await change()
        finally:
            await self._compare(memory, call)

    def _change_now(self, call: int, memory: BaseMemory, change: ChangeNow) -> Any:
        if _inside.get():
            return change()
        self._compare_now(memory, next(iter(self._making), None))
        try:
            with self._made_by(call):
                return change()
        finally:
            self._compare_now(memory, call)

    @contextmanager
    def _made_by(self, call: int) -> Generator[None]:
        token = _inside.set(True)
        self._making.append(call)
        try:
            yield
        finally:
            self._making.remove(call)
            _inside.reset(token)

    # --- what is different ----------------------------------------------------------------------------------------------

    async def _compare(self, memory: Any, call: int | None) -> None:
        self._asked += 1
        mine = self._asked
        async with self._looking:
            # One look serves all who asked before it began: the others would find no difference any more.
            while self._answered < mine:
                asked, number, items = self._asked, self._number, await self._look(memory)
                with self._noting:
                    # Unless another thread was quicker, and this is what was there before.
                    if number == self._number:
                        self._note(call, items)
                        self._answered = asked

    def _compare_now(self, memory: BaseMemory, call: int | None) -> None:
        with self._noting:
            self._note(call, [(False, message) for message in memory.get_all()])

    def _note(self, call: int | None, items: Sequence[Item] | None) -> None:
        if self._seen is None or items is None or self._is_as_kept(items):
            return
        before, now = self._seen, self._digests(items)
        if before != now:
            self._changes.setdefault(call, []).append(self._difference(before, now, items))
            self._number += 1
            self._keep(items, now)
        else:
            self._copy = None  # alike, and yet not equal: objects that are equal to themselves alone

    def _keep(self, items: Sequence[Item], digests: list[str]) -> None:
        self._seen = digests
        try:
            self._copy = deepcopy(list(items))
        except Exception:  # other people's classes
            self._copy = None

    def _is_as_kept(self, items: Sequence[Item]) -> bool:
        """Whether nothing has changed, as far as `==` tells: it calls 1 and True the same."""
        try:
            return self._copy is not None and self._copy == list(items)
        except Exception:  # other people's classes
            return False

    async def _look(self, memory: Any) -> list[Item] | None:
        try:
            return await read(memory)
        except Exception as error:
            log.warning(
                "toolslot.memory_unread: the messages in the agent's memory could not be read (%s), so what tools change in it is not"
                " recorded.",
                type(error).__name__,
            )
            return None

    def _digests(self, items: Sequence[Item]) -> list[str]:
        return [self._values.digest(each) for each in items]

    def _difference(self, before: Sequence[str], now: Sequence[str], items: Sequence[Item]) -> MemoryChange:
        first = 0
        while first < min(len(before), len(now)) and before[first] == now[first]:
            first += 1
        last = 0
        while last < min(len(before), len(now)) - first and before[-1 - last] == now[-1 - last]:
            last += 1
        return MemoryChange(
            number=self._number,
            at=first,
            removed=tuple(before[first : len(before) - last]),
            added=tuple(self._values.keep(each).data for each in items[first : len(now) - last]),
        )

    # --- when it is replayed --------------------------------------------------------------------------------------------

    async def again(self, memory: Any, change: MemoryChange, *, maybe_there: bool = False) -> None:
        """Change the memory as a recorded call has changed it; with `maybe_there` unless it looks as if it were changed already.

        Raises:
            NotRestorable: a message that the call put there cannot be made again here.
        """
        added = cast("list[Item]", [self._values.decode(each) for each in change.added])
        async with self._looking:
            items = await read(memory)
            with self._noting:
                self._note(None, items)  # of siblings that run
            digests, come = self._digests(items), self._digests(added)
            if maybe_there and set(come) <= set(digests) and set(change.removed).isdisjoint(digests):
                return
            last = change.at + len(change.removed)
            if tuple(digests[change.at : last]) == change.removed:
                items[change.at : last] = added
            else:
                # A sibling's change comes in another order than it was made in.
                for gone in change.removed:
                    if gone in digests:
                        place = digests.index(gone)
                        del items[place], digests[place]
                items[change.at : change.at] = added
            await write(memory, items)
            # Read again: a database does not give everything back as it got it.
            items = await read(memory)
            self._keep(items, self._digests(items))
            self._number = max(self._number, change.number + 1)
