"""Letting a batch go: its end is told, and one write gives it up, which nobody waits for."""

from __future__ import annotations

from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING

from toolslot._batch._engine import log
from toolslot._crashpoints import CrashPoint, reach
from toolslot._domain._events import batch_event
from toolslot._domain._operations import Release
from toolslot._domain._plan import Standing
from toolslot._domain._slot import BatchRecord
from toolslot._errors import Fenced, ToolslotError
from toolslot._text import quoted

if TYPE_CHECKING:
    from toolslot._batch._open_batch import LiveBatch


def let_go(live: LiveBatch, *, closed: bool) -> None:
    """Release the batch, if it is ours; and close it, if all its answers were handed over."""
    engine = live.engine
    if engine.hooks.wants(None):
        told = batch_event(
            live.key,
            live.slots,
            live.replayed,
            epoch=live.epoch,
            span=(live.opened_at, engine.clock()),
            closed=closed,
            traces=[t.trace for t in live.tenures if t.trace is not None and t.owner != live.owner],
        )
        engine.tell(told)
    # Dying before it commits leaves a dead owner, which is as good as none.
    fence, standing = live.look()
    try:
        if standing is Standing.MINE and fence.held:
            _release(live, fence.epoch, closed=closed)
        elif standing is Standing.FREE and closed and not fence.closed:
            # All was replayed from an owner that died before it closed the batch: only an owner can.
            taking = live.taking(fence.epoch, "to close it")
            engine.journal.submit(taking).add_done_callback(partial(_close, live))
        else:
            engine.journal.retire(live.owner)
    except ToolslotError:
        engine.journal.retire(live.owner)


def _close(live: LiveBatch, taken: Future[BatchRecord]) -> None:
    fence = None if taken.cancelled() or taken.exception() is not None else taken.result().fence
    try:
        if fence is not None and fence.owner == live.owner:
            reach(CrashPoint.AFTER_TAKEOVER)
            _release(live, fence.epoch, closed=True)
            return
    except ToolslotError as error:
        log.warning("toolslot.release_failed run=%s: %s", quoted(live.key.run_id), error)
    live.engine.journal.retire(live.owner)


def _release(live: LiveBatch, epoch: int, *, closed: bool) -> None:
    release = Release(key=live.key, epoch=epoch, closed=closed)
    reach(CrashPoint.BEFORE_RELEASE)
    live.engine.journal.submit(release).add_done_callback(partial(_released, live))


def _released(live: LiveBatch, future: Future[None]) -> None:
    reach(CrashPoint.AFTER_RELEASE)
    live.engine.journal.retire(live.owner)
    error = None if future.cancelled() else future.exception()
    if error is not None and not isinstance(error, Fenced):
        log.warning("toolslot.release_failed run=%s: %s", quoted(live.key.run_id), error)
