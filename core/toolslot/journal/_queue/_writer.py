"""The thread that owns the store: it alone talks to it, in the order in which things were asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from queue import Empty, SimpleQueue

from toolslot._domain._operations import Operation
from toolslot._errors import JournalBusy, JournalClosed, JournalError
from toolslot.journal._queue._committer import Committer
from toolslot.journal._queue._deletions import Deletions
from toolslot.journal._queue._items import Item, Park, ReadItem, Stop, WriteItem, answer, log, refuse
from toolslot.journal._queue._leak import keep_for_ever
from toolslot.journal._queue._store import Store

#: operations that may wait before more are refused
_MOST_WAITING = 100_000
#: operations in one commit at most
_GROUP = 256
#: seconds without work until the store does what upkeep there is
_IDLE = 0.5
#: seconds that closing spends on deleting purged rows; what is left then is deleted by the next opener
_DELETING_AT_CLOSE = 5.0


class Writer:
    """The queue and its thread. The thread is a daemon: an agent that forgets to close the journal must still be able to end;
    `atexit` (see `_processes`) lets it finish what was queued.
    """

    def __init__(self, name: str, open_store: Callable[[], Store]) -> None:
        self._name = name
        self._open_store = open_store
        self._queue: SimpleQueue[Item] = SimpleQueue()
        self._opened: Future[None] = Future()
        self._ended = False
        self._commits = 0
        self._thread = threading.Thread(target=self._run, name="toolslot-journal", daemon=True)
        self._backlog: list[WriteItem] = []
        self._reads: list[ReadItem] = []
        self._control: Park | Stop | None = None
        self._digest_key: bytes | None = None
        self._store: Store
        self._committer: Committer
        self._deletions: Deletions

    def start(self) -> None:
        """Open the journal.

        Raises:
            JournalError: it cannot be opened.
        """
        self._thread.start()
        try:
            self._opened.result()
        except BaseException:
            self.put(Stop())  # an interrupt while waiting must not leave it running
            raise

    def put(self, item: Item) -> None:
        """Queue something. When the writer has ended, its future is refused with `JournalClosed`."""
        self._queue.put(item)
        if self._ended:
            # The thread may not look at the queue any more; the last one who looks answers what is left in it.
            self._refuse_queued()

    def waiting(self) -> int:
        """How many operations and questions are not taken up yet."""
        return self._queue.qsize() + len(self._backlog)

    def submit(self, operation: Operation[object]) -> Future[object]:
        """Queue an operation.

        Raises:
            JournalBusy: too many wait already.
        """
        if self._queue.qsize() + len(self._backlog) > _MOST_WAITING:
            raise JournalBusy(
                f"{self.waiting()} operations wait for the journal {self._name} already. Nothing was recorded by this"
                " one: wait for some of the futures before submitting more."
            )
        item = WriteItem(operation)
        self._queue.put(item)
        if self._ended:
            self._refuse_queued()
        return item.future

    @property
    def commits(self) -> int:
        """Commits so far that wrote operations."""
        return self._commits

    @property
    def digest_key(self) -> bytes | None:
        """What digests of arguments are keyed with. It never changes; the store does not know it while it is being reopened."""
        return self._digest_key

    @property
    def alive(self) -> bool:
        return self._thread.is_alive()

    def is_current_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def join(self, timeout: float | None = None) -> bool:
        """Whether the thread has ended within `timeout` seconds."""
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def abandon(self) -> None:
        """In a forked child: never let the store close what the parent has open. Not even at the end of the interpreter, where every
        object goes that is not counted once more than it is known.
        """
        keep_for_ever(self)

    # --- the thread -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            self._store = self._open_store()
        except BaseException as error:
            self._ended = True
            self._refuse_queued()
            self._opened.set_exception(error)
            return
        self._digest_key = self._store.digest_key
        self._committer = Committer(self._store)
        self._deletions = Deletions(self._store)
        self._opened.set_result(None)
        try:
            while not isinstance(self._control, Stop) or self._backlog or self._reads:
                self._step()
            self._deletions.finish(_DELETING_AT_CLOSE)
        except BaseException:
            log.exception("the writer of the journal %s ended by a defect", self._name)
        finally:
            self._end()

    def _step(self) -> None:
        idle = self._collect()
        stalled = self._committer.not_before > 0 and self._committer.stalled()
        if self._backlog and not stalled:
            group, behind = self._backlog[:_GROUP], self._backlog[_GROUP:]
            self._backlog = self._committer.commit(group) + behind
            self._commits += 1
            if self._committer.dropped:
                for dropped in self._committer.dropped:
                    self._deletions.add(*dropped)
                self._committer.dropped.clear()
        # A question sees what was asked to be written before it, unless that waits for room on the disk.
        if self._reads and (not self._backlog or self._committer.stalled()):
            self._read()
        if isinstance(self._control, Park) and not self._backlog:
            self._park(self._control)
        if idle or self._deletions.waiting or self._store.upkeep_due:
            self._upkeep(idle=idle)

    def _collect(self) -> bool:
        """Take what waits; wait when there is nothing to do. Whether nothing came in a while."""
        if self._reads:
            return False  # they wait for what is left of the backlog, not for what comes after them
        timeout = self._patience()
        if self._control is not None:
            time.sleep(timeout or 0)
            return False
        try:
            while len(self._backlog) < _GROUP or self._committer.stalled():
                item = self._queue.get_nowait() if timeout == 0 else self._queue.get(timeout=timeout)
                timeout = 0
                if isinstance(item, WriteItem):
                    self._backlog.append(item)
                elif isinstance(item, ReadItem):
                    self._reads.append(item)
                else:
                    self._control = item
                    break
        except Empty:
            return timeout != 0
        return False

    def _patience(self) -> float | None:
        """How long to wait for work: 0 when there is some, None for ever."""
        if self._backlog and self._committer.stalled():
            return max(self._committer.not_before - time.monotonic(), 0.001)
        if self._backlog or self._deletions.waiting or self._control is not None:
            return 0
        return _IDLE if self._store.upkeep_wanted else None

    def _read(self) -> None:
        reads, self._reads = self._reads, []
        answers: list[tuple[ReadItem, object, BaseException | None]] = []
        faults = self._store.faults
        try:
            with self._store.snapshot() as view:
                for item in reads:
                    try:
                        answers.append((item, item.read(view), None))
                    except faults:
                        raise  # the journal could not be read; that is the answer to all
                    except BaseException as error:
                        answers.append((item, None, error))
        except BaseException as error:
            for item in reads:
                refuse(item.future, error)
            return
        for item, result, failure in answers:
            if failure is None:
                answer(item.future, result)
            else:
                refuse(item.future, failure)

    def _upkeep(self, *, idle: bool) -> None:
        store = self._store
        try:
            if store.upkeep_due:
                store.upkeep(idle=False)
            elif self._deletions.waiting:
                self._deletions.piece()
            elif idle and store.upkeep_wanted:
                store.upkeep(idle=True)
        except JournalError as error:
            log.warning("upkeep of the journal %s: %s", self._name, error)

    # --- control --------------------------------------------------------------------------------------------------------

    def _park(self, park: Park) -> None:
        """Keep out of the store while the process forks."""
        self._control = None
        park.parked.set()
        park.resume.wait()

    def _end(self) -> None:
        try:
            self._store.close()
        except BaseException:
            log.exception("closing the journal %s", self._name)
        self._ended = True
        self._deletions.refuse_all()
        for future in [item.future for item in self._backlog] + [item.future for item in self._reads]:
            refuse(future, self._closed("Nothing was recorded by this operation."))
        self._refuse_queued()

    def _refuse_queued(self) -> None:
        while True:
            try:
                item = self._queue.get_nowait()
            except Empty:
                return
            if isinstance(item, (WriteItem, ReadItem)):
                refuse(item.future, self._closed("Nothing was recorded by this operation."))
            elif isinstance(item, Park):
                item.parked.set()

    def _closed(self, consequence: str) -> JournalClosed:
        return JournalClosed(f"the journal {self._name} was closed. {consequence}")
