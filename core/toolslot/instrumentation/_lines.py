"""Events in a file, one JSON object a line: what machines read later, and a person with `tail -f` and jq."""

from __future__ import annotations

import errno
import json
import logging
import math
import os
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from pathlib import Path
from typing import cast

from toolslot._domain._events import Event, EventKind
from toolslot._domain._policy import check_count
from toolslot._errors import InvalidSetting
from toolslot._text import shown
from toolslot.instrumentation._data import as_data

log = logging.getLogger("toolslot")

#: how the end of a batch is named where kinds of events are
BATCH = "batch"


class Level(str, Enum):
    """How much of an event is written."""

    #: no line
    OFF = "off"
    #: a line in which long texts, long lists and deep values are cut
    STANDARD = "standard"
    #: a line with all of it
    VERBOSE = "verbose"


class JsonLinesHook:
    """Appends every event to a file as one line of ASCII JSON: what `as_data` makes of it, and `args` where `TOOLSLOT_LOG_ARGS=1` asks for
    them.

    A line that was cut says so with `"truncated": true`, and at each place what is missing. The file is opened for each line and written
    with one call: several processes may share it, and rotation is left to the system, which may rename the file at any time. A new file
    can be read by its owner only.

    A line that cannot be written (the disk is full, the directory is gone) is never an error of the run: it is dropped, counted in `lost`,
    and told by one WARNING of the logger "toolslot", and by another record once lines can be written again.

    Args:
        path: The file; its directory must exist.
        level: "off", "standard" or "verbose", for every kind of event.
        levels: The same for single kinds, by the value of an `EventKind`, or "batch" for the metrics of a whole batch.
        max_string: At "standard", how many characters of a text are kept; None keeps all.
        max_items: At "standard", how many items of a list or a mapping in the arguments. The calls of a batch are all kept.
        max_depth: At "standard", how many containers deep the arguments are kept.

    Raises:
        InvalidSetting: an unknown level or kind, a bound below 1, or a file that cannot be opened for appending.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        level: str = "standard",
        levels: Mapping[str, str] | None = None,
        max_string: int | None = 2000,
        max_items: int | None = 20,
        max_depth: int | None = 5,
    ) -> None:
        for name, bound in (("max_string", max_string), ("max_items", max_items), ("max_depth", max_depth)):
            check_count(f"JsonLinesHook({name}=)", bound)
        self._path = Path(path).absolute()
        self._level = _level(level)
        self._levels = {_kind(kind): _level(one) for kind, one in (levels or {}).items()}
        self._bounds = _Bounds(string=max_string, items=max_items, depth=max_depth)
        self._lock = threading.Lock()
        self._lost = self._untold = 0
        self._torn = False
        try:
            self._append(b"")
        except OSError as error:
            raise InvalidSetting(
                f"events cannot be written to {shown(str(self._path), 1000)}: {error.strerror}. Give a file in a directory that"
                " exists and is writable."
            ) from error

    @property
    def lost(self) -> int:
        """How many lines could not be written."""
        return self._lost

    def wants(self, kind: EventKind | None) -> bool:
        """Whether such an event would be written."""
        return self._level_of(BATCH if kind is None else kind.value) is not Level.OFF

    def __call__(self, event: Event) -> None:
        data = as_data(event)
        level = self._level_of(str(data["event"]))
        if level is Level.OFF:
            return
        args = getattr(event, "args", None)
        try:
            self._append(_line(data, args, self._bounds if level is Level.STANDARD else _Bounds()))
        except OSError as error:
            self._failed(error)
        else:
            self._worked()

    def _level_of(self, kind: str) -> Level:
        return self._levels.get(kind, self._level)

    def _append(self, line: bytes) -> None:
        """Opened for each line: no descriptor is left open or shared with forked children, and a file that was moved away is left alone."""
        descriptor = os.open(
            self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600
        )
        try:
            if not line:
                return
            # A line of which only a part could be written has no end: the next one must not be glued to it.
            whole = b"\n" + line if self._torn else line
            written = os.write(descriptor, whole)
            self._torn = written < len(whole) and (written > 0 or self._torn)
            if written < len(whole):
                raise OSError(errno.ENOSPC, "only a part of the line could be written")
        finally:
            os.close(descriptor)

    def _failed(self, error: OSError) -> None:
        with self._lock:
            self._lost += 1
            self._untold += 1
            first = self._untold == 1
        if first:
            log.warning(
                "toolslot.events_not_written file=%s: %s. The run goes on; lines are counted and dropped until the file can be written.",
                shown(str(self._path), 1000),
                error.strerror or error,
            )

    def _worked(self) -> None:
        if not self._untold:
            return
        with self._lock:
            dropped, self._untold = self._untold, 0
        if dropped:
            log.warning(
                "toolslot.events_written_again file=%s lost=%d", shown(str(self._path), 1000), dropped
            )


@dataclass(frozen=True, kw_only=True, slots=True)
class _Bounds:
    """How much of a value is kept; None is all of it."""

    string: int | None = None
    items: int | None = None
    depth: int | None = None


def _level(name: str) -> Level:
    try:
        return Level(name)
    except ValueError:
        known = ", ".join(f"{level.value!r}" for level in Level)
        raise InvalidSetting(f"there is no level {shown(repr(name))}; there are {known}.") from None


def _kind(name: str) -> str:
    if name == BATCH:
        return name
    try:
        return EventKind(name).value
    except ValueError:
        known = ", ".join([*(kind.value for kind in EventKind), BATCH])
        raise InvalidSetting(f"there is no kind of event {shown(repr(name))}; there are {known}.") from None


def _line(data: dict[str, object], args: Mapping[str, object] | None, bounds: _Bounds) -> bytes:
    writing = _Writing(bounds)
    plain = {name: writing.field(value) for name, value in data.items()}
    if args is not None:
        plain["args"] = writing.value(args, 0)
    if writing.cut:
        plain["truncated"] = True
    return json.dumps(plain, allow_nan=False).encode("ascii") + b"\n"


class _Writing:
    """One event made of JSON's own types, within the bounds."""

    def __init__(self, bounds: _Bounds) -> None:
        self._bounds = bounds
        self.cut = False

    def field(self, value: object) -> object:
        """A field of the event itself: a scalar, or the calls of a batch, of which none is left out."""
        if isinstance(value, list):
            calls = cast("list[dict[str, object]]", value)
            return [{name: self.value(item, 0) for name, item in call.items()} for call in calls]
        return self.value(value, 0)

    def value(self, value: object, depth: int) -> object:
        """The value, or what is left of it; what JSON does not know becomes its `repr`."""
        if value is None or isinstance(value, (bool, int)):
            return value
        if isinstance(value, float):
            return value if math.isfinite(value) else repr(value)
        if isinstance(value, str):
            return self._text(value)
        if isinstance(value, Mapping):
            return self._mapping(cast("Mapping[object, object]", value), depth)
        if isinstance(value, (list, tuple, set, frozenset)):
            return self._list(cast("Collection[object]", value), depth)
        return self._text(repr(value))

    def _mapping(self, value: Mapping[object, object], depth: int) -> object:
        if self._too_deep(depth):
            return self._missing(f"{len(value)} items")
        kept = islice(value.items(), self._bounds.items)
        record = {self._text(str(key)): self.value(item, depth + 1) for key, item in kept}
        return {**record, "...": self._rest(value)} if self._over(value) else record

    def _list(self, value: Collection[object], depth: int) -> object:
        if self._too_deep(depth):
            return self._missing(f"{len(value)} items")
        items = [self.value(item, depth + 1) for item in islice(value, self._bounds.items)]
        return [*items, self._rest(value)] if self._over(value) else items

    def _text(self, text: str) -> str:
        kept = self._bounds.string
        if kept is None or len(text) <= kept:
            return text
        return text[:kept] + self._missing(f"{kept} of {len(text)} characters")

    def _too_deep(self, depth: int) -> bool:
        return self._bounds.depth is not None and depth >= self._bounds.depth

    def _over(self, value: Collection[object]) -> bool:
        return self._bounds.items is not None and len(value) > self._bounds.items

    def _rest(self, value: Collection[object]) -> str:
        return self._missing(f"{self._bounds.items} of {len(value)} items")

    def _missing(self, what: str) -> str:
        self.cut = True
        return f"... ({what})"
