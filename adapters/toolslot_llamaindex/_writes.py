"""What an agent's step has changed in the workflow's state, as a turn records it.

Lists there grow from turn to turn, as an agent's scratchpad does: a turn records what it added. Whole, the messages of a run would be
stored once for every turn after them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

from toolslot import UnreadablePayload
from toolslot_llamaindex._packing import bytes_of, text_of
from toolslot_llamaindex._values import are_alike


@dataclass(frozen=True, kw_only=True, slots=True)
class Write:
    """One change of the state. `path` is where, None for all of it; `data` what was put there, encoded, None for "removed".

    A list may stand there as `items`, each encoded by itself: they come after the first `kept` of what was recorded for that path last.
    """

    path: str | None
    data: bytes | None = None
    kept: int = 0
    items: tuple[bytes, ...] | None = None


def pack_writes(writes: Iterable[Write]) -> list[list[Any]]:
    """Writes as plain JSON that `unpack_writes` reads."""
    packed: list[list[Any]] = []
    for w in writes:
        packed.append([w.path, None if w.data is None else text_of(w.data)])
        if w.items is not None:
            packed[-1] += [w.kept, [text_of(item) for item in w.items]]
    return packed


def unpack_writes(data: Any) -> tuple[Write, ...]:
    """The writes; raises whatever damaged data makes it raise."""
    return tuple(_unpacked(*parts) for parts in data)


def _unpacked(path: str | None, found: str | None, kept: int = 0, items: Any = None) -> Write:
    return Write(
        path=path,
        data=None if found is None else bytes_of(found),
        kept=kept,
        items=None if items is None else tuple(map(bytes_of, items)),
    )


class Growing:
    """The lists as the turns of one run have recorded them, up to and with turn `turn`, each as its encoded items by its path.

    What counts is what was recorded, not what the state holds: so a list comes back exactly, whatever else has changed it meanwhile.
    """

    def __init__(self, turn: int = -1, lists: Mapping[str, tuple[bytes, ...]] | None = None) -> None:
        self.turn = turn
        self._lists = dict(lists or {})

    def next(self) -> Growing:
        """A copy for the turn that comes next: what that adds counts only once it is recorded."""
        return Growing(self.turn + 1, self._lists)

    def shortened(self, write: Write) -> Write:
        """The write as it is recorded: of a list, what it has beyond what was recorded last for its path."""
        if write.items is None or write.path is None:
            self._forget(write.path)
            return write
        before = self._lists.get(write.path, ())
        same = sum(
            1 for _ in takewhile(lambda pair: are_alike(*pair), zip(before, write.items, strict=False))
        )
        self._lists[write.path] = write.items
        return Write(path=write.path, kept=same, items=write.items[same:])

    def whole(self, writes: Iterable[Write]) -> tuple[Write, ...]:
        """The writes of this turn with their lists in full.

        Raises:
            UnreadablePayload: they add to a list that was not recorded.
        """
        return tuple(self._whole(write) for write in writes)

    def _whole(self, write: Write) -> Write:
        if write.items is None or write.path is None:
            self._forget(write.path)
            return write
        before = self._lists.get(write.path, ())
        if write.kept > len(before):
            raise UnreadablePayload(
                f"a turn adds to a list of {write.kept} items in the workflow's state, and the turns before it recorded {len(before)}."
            )
        items = self._lists[write.path] = (*before[: write.kept], *write.items)
        return Write(path=write.path, items=items)

    def _forget(self, path: str | None) -> None:
        """The value at `path`, or all of them, became something else than a list."""
        if path is None:
            self._lists.clear()
        else:
            self._lists.pop(path, None)
