"""The hooks of an executor, and what else than events they may ask to be told."""

from __future__ import annotations

import logging
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from toolslot._domain._events import CallEvent, Event, EventKind, Hook
from toolslot._domain._slot import BatchKey, SlotRecord

_log = logging.getLogger("toolslot")


class Hooks:
    """Calls every hook with every event. A hook that raises is logged and ignored: it must not touch the calls. It may have the methods of
    `HookMethods`, too.
    """

    __slots__ = ("_hooks", "_opened", "_opening", "_running", "_standing", "_wants", "attending", "present")

    def __init__(self, hooks: Sequence[Hook]) -> None:
        self._hooks = tuple(hooks)
        self._wants = tuple(getattr(hook, "wants", _everything) for hook in self._hooks)
        self._opening = self._having("opening")
        self._opened = self._having("opened")
        self._standing = self._having("standing")
        self._running = self._having("running")
        #: whether there are hooks, and whether any wants to be around attempts
        self.present: bool = bool(self._hooks)
        self.attending: bool = bool(self._running)

    def _having(self, method: str) -> tuple[Callable[..., Any], ...]:
        return tuple(getattr(hook, method) for hook in self._hooks if hasattr(hook, method))

    @property
    def hear_ends(self) -> bool:
        """Whether any hook hears of the end of a call, which is told as soon as it is recorded, or is around attempts until then."""
        return self.attending or self.wants(EventKind.FINISHED) or self.wants(EventKind.FAILED)

    def wants(self, kind: EventKind | None) -> bool:
        """Whether any hook wants call events of this kind; None stands for batch events."""
        if not self._wants:
            return False
        try:
            return any(wants(kind) for wants in self._wants)
        except Exception:
            _log.exception("toolslot.hook_failed")
            return True

    def emit(self, event: Event) -> None:
        for hook in self._hooks:
            try:
                hook(event)
            except Exception:
                _log.exception("toolslot.hook_failed", extra={"hook": repr(hook)})

    def opening(self, key: BatchKey, adapter: str, at: float) -> str | None:
        """The text of the first hook that gives one."""
        texts: list[str] = []
        for opening in self._opening:
            with _harmless(opening):
                text = opening(key, adapter, at)
                texts += [text] if isinstance(text, str) else []
        return texts[0] if texts else None

    def opened(self, asked: BatchKey, found: BatchKey | None, at: float) -> None:
        for opened in self._opened:
            with _harmless(opened):
                opened(asked, found, at)

    def standing(self, key: BatchKey, slots: Sequence[SlotRecord]) -> None:
        for standing in self._standing:
            with _harmless(standing):
                standing(key, tuple(slot.state for slot in slots))

    @contextmanager
    def running(self, started: CallEvent) -> Generator[None]:
        entered: list[AbstractContextManager[object]] = []
        for running in self._running:
            with _harmless(running):
                attending: AbstractContextManager[object] = running(started)
                attending.__enter__()
                entered.append(attending)
        try:
            yield
        finally:
            while entered:
                attending = entered.pop()
                with _harmless(attending):
                    attending.__exit__(None, None, None)  # how it ended is told by events


@contextmanager
def _harmless(hook: object) -> Generator[None]:
    try:
        yield
    except Exception:
        _log.exception("toolslot.hook_failed", extra={"hook": repr(hook)})


def _everything(_: EventKind | None) -> bool:
    return True
