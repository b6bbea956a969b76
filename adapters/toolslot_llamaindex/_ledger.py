"""What the calls of one turn change in the workflow's state, in the order in which they do."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from typing import Any, cast

from llama_index.core.workflow import Context

from toolslot import ToolslotError, UnreadablePayload
from toolslot.hosting import quoted
from toolslot_llamaindex._edits import MISSING, Change, Edit, at, difference, digest, look, parts_of, put
from toolslot_llamaindex._exact import NotRestorable
from toolslot_llamaindex._redoing import left, settled
from toolslot_llamaindex._state import items_of, write
from toolslot_llamaindex._values import ValueCodec

log = logging.getLogger("toolslot")


class Ledger:
    """One for all calls of a turn.

    The framework gives out what the state holds, not copies, so a value may be changed without a write. That is seen at the next look at
    it, by any call, and at the end of each call that had got it. It is put down to the call that looks if that one had got the
    value, else to the one that had got it last.
    """

    def __init__(self, values: ValueCodec) -> None:
        self._values = values
        self._next = 0
        self._edits: dict[int, list[Edit]] = {}
        #: what the state held when it was looked at last, by any call
        self._known: dict[str, Any] = {}
        #: whether it was ever looked at as a whole: what is not known was not there then
        self._all_known = False
        #: what each call has seen last, by key
        self._seen: dict[int, dict[str, Any]] = {}
        #: the calls that have got the state as a whole
        self._with_all: set[int] = set()
        self._problems: dict[bytes, NotRestorable] = {}

    def edits(self, call: int) -> tuple[Edit, ...]:
        """What the call has changed so far."""
        return tuple(self._edits.get(call, ()))

    def encode(self, value: object) -> bytes:
        """The bytes of any value, as far as it can be kept."""
        kept = self._values.keep(value)
        if kept.problem is not None:
            self._problems[kept.data] = kept.problem
        return kept.data

    def decode(self, data: bytes) -> object:
        """The value."""
        return self._values.decode(data)

    @property
    def name(self) -> str:
        """Of the codec."""
        return self._values.name

    # --- while calls run ------------------------------------------------------------------------------------------------

    def got(self, call: int, items: Mapping[str, object], keys: Iterable[str] | None = None) -> None:
        """The call has got what the state holds at these keys, or all of it."""
        seen = self._seen.setdefault(call, {})
        for key in self._keys(items) if keys is None else keys:
            now = self._looked_at(call, key, items)
            seen.pop(key, None)  # so that who got it last stands last
            seen[key] = now
        if keys is None:
            self._all_known = True
            self._with_all.add(call)

    def _keys(self, items: Mapping[str, object]) -> list[str]:
        return [*items, *(key for key in self._known if key not in items)]

    def looked(self, call: int, items: Mapping[str, object], keys: Iterable[str] | None = None) -> None:
        """The call is about to write there, or all of it: what was changed without a write until now comes before it."""
        for key in self._keys(items) if keys is None else keys:
            self._looked_at(call, key, items)
        self._all_known = self._all_known or keys is None

    def _looked_at(self, call: int, key: str, items: Mapping[str, object]) -> Any:
        now = self._at(items, key)
        known = self._known.setdefault(key, MISSING if self._all_known else now)
        if known != now:
            self._known[key] = now
            holders = [each for each, keys in self._seen.items() if key in keys]
            by = call if call in holders or not holders else holders[-1]
            self._note(by, key, known, now, difference(known, now))
            self._seen.setdefault(by, {})[key] = now
        return now

    def _at(self, items: Mapping[str, object], key: str) -> Any:
        return look(items[key], self) if key in items else MISSING

    def put(self, call: int, path: str, items: Mapping[str, object]) -> None:
        """The call has put something at the path, and this is what the state holds now."""
        key, *deeper = path.split(".")
        before, now = self._known.get(key, MISSING), self._at(items, key)
        seen = self._seen.setdefault(call, {})
        old, new = seen.get(key, MISSING if call in self._with_all else None), now
        for name in deeper:
            if not isinstance(new, dict):
                # Within something else than dicts: what became of all of it.
                old, new, deeper = before, now, []
                break
            new = cast("dict[Any, Any]", new).get(name, MISSING)
            old = cast("dict[Any, Any]", old).get(name, MISSING) if isinstance(old, dict) else old
        change = put(new) if old is None else difference(old, new)
        self._note(
            call,
            key,
            before,
            now,
            None if change is None else at(deeper, change),
            seen_before=old is not None,
        )
        self._known[key] = seen[key] = now

    def replaced(self, call: int, items: Mapping[str, object]) -> None:
        """The call has written the whole state, and this is what it holds now."""
        seen = self._seen.setdefault(call, {})
        for key in self._keys(items):
            before, now = self._known.get(key, MISSING), self._at(items, key)
            self._note(call, key, before, now, difference(seen.get(key, before), now))
            self._known[key] = seen[key] = now

    def cleared(self, call: int, items: Mapping[str, object]) -> None:
        """The call has cleared the state, and this is what it holds now."""
        self._append(call, Edit(number=self._next, key=None, change=["x"]))
        self._known = {key: self._at(items, key) for key in items}

    def ended(self, call: int, items: Mapping[str, object]) -> None:
        """The call is over: what it had got is looked at once more, and not its own any more."""
        self.looked(
            call, items, self._keys(items) if call in self._with_all else list(self._seen.get(call, ()))
        )
        self._seen.pop(call, None)
        self._with_all.discard(call)

    def holds(self, call: int) -> bool:
        """Whether the call has got anything."""
        return bool(self._seen.get(call)) or call in self._with_all

    def _note(
        self, call: int, key: str, before: Any, now: Any, change: Change | None, *, seen_before: bool = True
    ) -> None:
        exact = difference(before, now)
        if change is None and exact is None:
            return
        same = change == exact or not seen_before
        self._append(
            call,
            Edit(
                number=self._next,
                key=key,
                change=change or ["~"],
                before=b"" if same else digest(before),
                after=digest(now),
                exact=None if same else exact or ["~"],
            ),
        )

    def _append(self, call: int, edit: Edit) -> None:
        self._next += 1
        self._edits.setdefault(call, []).append(edit)
        for part in parts_of([edit.change, edit.exact]):
            problem = self._problems.get(bytes(part))
            if problem is not None:
                log.warning(
                    "toolslot.state_not_restorable key=%s: what a tool put into the workflow's state could not be made again by a resume,"
                    " which would stop there: %s",
                    quoted(str(edit.key)),
                    problem,
                )

    # --- when they are replayed -----------------------------------------------------------------------------------------

    async def make_again(
        self, calls: Mapping[int, Iterable[Edit]], ctx: Context[Any], *, maybe_there: bool = False
    ) -> None:
        """Make again what these calls have changed, in the order in which they did.

        With `maybe_there`, the state was stored on the way, and may hold some of it already.

        Raises:
            NotRestorable: one of them holds a value that cannot be made again here.
        """
        edits = sorted((edit for each in calls.values() for edit in each), key=lambda edit: edit.number)
        self._next = max([self._next, *(edit.number + 1 for edit in edits)])
        if not edits:
            return
        store: Any = ctx.store
        items = items_of(await store.get_state())
        if maybe_there:
            edits = left(edits, items, self)
        last_clear = max((i for i, edit in enumerate(edits) if edit.key is None), default=-1)
        if last_clear >= 0:
            await store.clear()
            edits, items = edits[last_clear + 1 :], items_of(await store.get_state())
        values: dict[str, Any] = {}
        for edit in edits:
            key = cast("str", edit.key)
            try:
                values[key] = settled(values.get(key, items.get(key, MISSING)), edit, self)
            except ToolslotError:
                raise
            except Exception as error:
                raise UnreadablePayload(
                    f"a recorded change of the workflow's state is damaged: making it again raised {type(error).__name__}."
                ) from None
        await write(values, store)
        for key in values:
            self._known.pop(key, None)
        self._all_known = False
