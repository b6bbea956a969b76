"""Opening a batch and letting it go: the first user reserves the slots, and those that come while it is open share them."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection
from types import TracebackType

from typing_extensions import Self

from toolslot._batch._ending import Held
from toolslot._batch._engine import Engine
from toolslot._batch._messages import other_size
from toolslot._batch._ownership import LiveBatch
from toolslot._batch._registry import registry_of
from toolslot._batch._reserving import Kept
from toolslot._batch._steps import Consult, Steps, adrive, drive
from toolslot._domain._operations import Adopt
from toolslot._domain._slot import Batch, SlotSpec
from toolslot._errors import ToolslotError


class Opening:
    """A batch that is opened, used and let go, by `with` or `async with`."""

    def __init__(
        self,
        engine: Callable[[], Engine],
        batch: Batch,
        *,
        at_hand: bool,
        max_parallel: int | None,
        adopt: Adopt,
        kept: Kept | None = None,
        partial: bool = False,
        answered: Collection[int] = (),
        entering: Collection[int] = (),
    ) -> None:
        self._find_engine = engine
        self._found: Engine | None = engine() if at_hand else None
        self._batch = batch
        self._max_parallel = max_parallel
        self._adopt = adopt
        self._kept = kept
        self._partial = partial
        self._answered = answered
        self._entering = entering
        #: answers handed out before their records are durable
        self._held: list[Held] = []
        #: the calls whose code goes on from where an earlier attempt stood
        self._going_on: set[int] = set()
        self._specs: tuple[SlotSpec, ...] | None = None
        self._deadline: float | None = None
        self._live: LiveBatch | None = None
        self._pid = 0

    # --- opening and letting go -----------------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            drive(self.opening())
            return self
        except BaseException:
            self.release()  # an interrupt at the last moment: without `with` nothing else would
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    async def __aenter__(self) -> Self:
        await adrive(self.opening())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()

    def release(self) -> None:
        """Let the batch go. Returns at once: the one write is not waited for, and threads that still run keep the batch until they end."""
        live = self._live
        if live is not None and self._pid == os.getpid():
            try:
                live.detach(self)
            except BaseException:
                live.detach(self)  # an interrupt; nothing else would do it
                raise
        self._live = None

    def opening(self) -> Steps[None]:
        """What entering the context does. Afterwards, or when it raises, call `release`."""
        if self._live is not None:
            raise ToolslotError(
                f"batch {self._batch.key} is open already in this BatchRun; open another one with executor.open(...)."
            )
        if self._found is None:
            # Opening the journal takes locks and reads files, which must not hold up an event loop.
            yield Consult(lambda: self._engine)
        # With one entrance per call, specs of all calls at each would be N times N; only the first needs them all, to reserve.
        self._specs = None if self._partial else self._all_specs()
        timeout = self._engine.limits.batch_timeout
        self._deadline = None if timeout is None else self._engine.monotonic() + timeout
        while not (yield from self._attached()):
            pass

    def _attached(self) -> Steps[bool]:
        """Whether the batch is open now; it is not when the one that was opening it was interrupted."""
        met: list[LiveBatch] = []
        try:
            live = registry_of(self._engine.journal).attach(self._batch.key, self, self._make, met.append)
            first = live.opener is self and not live.ready.done()
            if first:
                yield from live.opening(self._adopt, self._kept, self._entering)
                live.ready.set_result(True)
            opened: bool = yield live.ready
            if opened:
                if len(live.slots) != len(self._batch.calls):
                    recorded = [slot.spec for slot in live.slots]
                    raise other_size(live.key, recorded, self._batch.calls, live.adapter)
                live.answered.update(self._answered)
                self._live, self._pid = live, os.getpid()
                return True
        except BaseException as error:
            self._live = None
            for live in met:
                live.give_up(self, error)
            raise
        live.detach(self)
        return False

    def _make(self) -> LiveBatch:
        specs = self._all_specs() if self._specs is None else self._specs
        return LiveBatch(self._engine, self._batch, specs, self._max_parallel, partial=self._partial)

    def _all_specs(self) -> tuple[SlotSpec, ...]:
        return tuple(
            self._engine.spec(index, call, self._batch.run_id) for index, call in enumerate(self._batch.calls)
        )

    def _spec(self, index: int) -> SlotSpec:
        specs = self._specs
        return (
            self._engine.spec(index, self._batch.calls[index], self._batch.run_id)
            if specs is None
            else specs[index]
        )

    @property
    def _engine(self) -> Engine:
        if self._found is None:
            self._found = self._find_engine()
        return self._found

    @property
    def _opened(self) -> LiveBatch:
        if self._live is None:
            raise ToolslotError(
                f"batch {self._batch.key} is not open: use it inside `with executor.open(batch) as run:` (or `async with`)."
            )
        if self._pid != os.getpid():
            raise ToolslotError(
                f"batch {self._batch.key} was opened by process {self._pid}, which may still work on it; this is its forked child"
                f" {os.getpid()}. Open the batch here: executor.open(batch)."
            )
        return self._live
