"""Progress bars: one for each batch that is open, with what became of its calls."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from toolslot._domain._events import BatchEvent, CallEvent, Event, EventKind
from toolslot._domain._slot import BatchKey, SlotState
from toolslot._text import shown

#: how a call stands, in the words of the bar
_WORDS = {
    EventKind.FINISHED: "finished",
    EventKind.FAILED: "failed",
    EventKind.REPLAYED: "replayed",
    EventKind.DEDUPLICATED: "replayed",
    EventKind.REFUSED: "failed",
    EventKind.WAITING: "waiting",
    EventKind.TIMED_OUT: "unknown",
    EventKind.UNKNOWN: "unknown",
}
#: those that have their answer
_SETTLED = ("finished", "failed", "replayed")
_ORDER = (*_SETTLED, "waiting", "unknown")


class ProgressBar(Protocol):
    """What is asked of a progress bar; every class of tqdm has it."""

    def update(self, n: float = 1) -> object: ...
    def set_postfix_str(self, s: str = "", refresh: bool = True) -> object: ...
    def close(self) -> object: ...


MakeProgressBar: TypeAlias = Callable[..., ProgressBar]


class ProgressHook:
    """Shows a bar for each batch: how many of its calls have an answer, and how many finished, failed, were replayed, wait or are unknown.

    By default `tqdm.auto.tqdm` draws them, in terminals and in notebooks; it needs the extra `progress`. Calls may come from any thread.

    Args:
        make_bar: Another class of tqdm, or anything that is called like one and gives a bar.
        options: Handed on to it, beside `total`, `desc` and `unit`: `leave=False` takes a bar away once its batch has ended.

    Raises:
        ImportError: tqdm is not installed.
    """

    def __init__(self, make_bar: MakeProgressBar | None = None, **options: Any) -> None:
        self._make = make_bar if make_bar is not None else _tqdm()
        self._options = options
        self._lock = threading.Lock()
        self._batches: dict[BatchKey, _Progress] = {}

    def wants(self, kind: EventKind | None) -> bool:
        """Nothing is shown of the other events."""
        return kind is None or kind in _WORDS or kind in (EventKind.STARTED, EventKind.RECONCILED)

    def standing(self, key: BatchKey, states: Sequence[SlotState]) -> None:
        """The batch is open, with so many calls."""
        with self._lock:
            if key not in self._batches:
                desc = shown(key.run_id, 30)
                bar = self._make(total=len(states), desc=desc, unit="call", **self._options)
                self._batches[key] = _Progress(bar)

    def __call__(self, event: Event) -> None:
        key = BatchKey(event.run_id, event.batch_id)
        with self._lock:
            if isinstance(event, BatchEvent):
                ended = self._batches.pop(key, None)
                if ended is not None:
                    ended.bar.close()
            elif (progress := self._batches.get(key)) is not None:
                progress.see(event)


class _Progress:
    """One batch. An attempt that starts again takes back what was counted of its call."""

    def __init__(self, bar: ProgressBar) -> None:
        self.bar = bar
        self._words: dict[int, str] = {}
        self._settled = 0

    def see(self, event: CallEvent) -> None:
        word = _word(event)
        if word is None:
            self._words.pop(event.index, None)
        else:
            self._words[event.index] = word
        counts = Counter(self._words.values())
        self.bar.set_postfix_str(
            ", ".join(f"{counts[word]} {word}" for word in _ORDER if counts[word]), refresh=False
        )
        settled = sum(counts[word] for word in _SETTLED)
        self.bar.update(settled - self._settled)
        self._settled = settled


def _word(event: CallEvent) -> str | None:
    if event.kind is not EventKind.RECONCILED:
        return _WORDS.get(event.kind)
    if event.state is SlotState.SUCCEEDED:
        return "finished"
    return "failed" if event.state is SlotState.FAILED else None


def _tqdm() -> MakeProgressBar:
    try:
        from tqdm.auto import tqdm
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "tqdm":
            raise
        raise ImportError(
            "ProgressHook draws its bars with tqdm, which is not installed: pip install 'toolslot[progress]'"
        ) from error
    return tqdm
