"""A journal that is nothing like SQLite: each commit is a line at the end of a file, and what the lines say is kept in memory.

It shows what a back end must bring along for `toolslot.journal._queue`. An owner is at work while there is a file that says so.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import secrets
from collections.abc import Callable, Collection, Generator, Iterable, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from typing_extensions import override

from toolslot._domain._identity import Owner, OwnerState, ProcessIdentity
from toolslot._domain._port import OldRuns
from toolslot._domain._slot import BatchKey
from toolslot._domain._state import AppendRow, DropRun, NewBatch, PutAlias, PutEffect, PutFence, Write
from toolslot._errors import JournalIOError
from toolslot.journal import MemoryStore
from toolslot.journal._format import _row_codec as codec
from toolslot.journal._format._effect_codec import effect_from_json, effect_to_json
from toolslot.journal._format._secrecy import Memo
from toolslot.journal._process import this_process
from toolslot.journal._queue._processes import members
from toolslot.journal._queue._queued import QueuedJournal
from toolslot.journal._queue._session import Session
from toolslot.journal._queue._store import Chunks, Group, Store

#: a longer line is written in parts before the commit that needs it
LONG = 32 * 2**10


class Lines(MemoryStore):
    """What the lines of a log say; a `View`, and a `Group` whose writes become the next line."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.journal_id = str(folder)
        self.line: list[Any] = []

    @property
    def size(self) -> int:
        return sum(len(str(write)) for write in self.line)

    @override
    def owner_state(self, owner: Owner) -> OwnerState:
        return OwnerState.ALIVE if sign_of(self.folder, owner).exists() else OwnerState.DEAD

    def write(self, writes: tuple[Write, ...], memo: Memo, stored: Collection[str]) -> Chunks:
        said = [self._say(write) for write in writes]
        chunks: list[tuple[str, bytes]] = []
        for number, each in enumerate(said):
            body = json.dumps(each).encode()
            if len(body) > LONG:
                name = hashlib.sha256(body).hexdigest()
                chunks.append((name, body))
                said[number] = ["part", each[1], name]
        if all(name in stored for name, _ in chunks):
            for write, each in zip(writes, said, strict=True):
                self.apply(write)
                if isinstance(write, DropRun):
                    each.append([stone for stone in self.tombstones if stone[1] == write.run_id])
            self.line += said
        return tuple(chunks)

    def _say(self, write: Write) -> list[Any]:
        match write:
            case NewBatch():
                head = [codec.manifest_to_json(write.manifest), codec.fence_to_json(write.fence)]
                payload = codec.bytes_to_json(write.run_payload)
                return ["new", write.manifest.key.run_id, *head, codec.tenure_to_json(write.tenure), payload]
            case PutFence():
                tenure = codec.tenure_to_json(write.tenure) if write.tenure else None
                return [
                    "fence",
                    write.key.run_id,
                    write.key.batch_id,
                    codec.fence_to_json(write.fence),
                    tenure,
                ]
            case AppendRow():
                return ["row", write.key.run_id, write.key.batch_id, codec.row_to_json(write.row)]
            case PutAlias():
                return ["alias", write.key.run_id, write.key.batch_id, codec.key_to_json(write.target)]
            case DropRun():
                return ["drop", write.run_id]
            case PutEffect():
                return ["effect", None, effect_to_json(write.effect)]  # of no run, so that no purge takes it

    def hear(self, said: list[Any]) -> None:
        match said:
            case ["new", _, manifest, fence, tenure, payload]:
                run_payload = base64.b64decode(payload) if payload is not None else None
                first = codec.tenure_from_json(tenure)
                made = codec.manifest_from_json(manifest)
                self.apply(
                    NewBatch(
                        manifest=made,
                        fence=codec.fence_from_json(fence),
                        tenure=first,
                        run_payload=run_payload,
                    )
                )
            case ["fence", run_id, batch_id, fence, tenure]:
                later = codec.tenure_from_json(tenure) if tenure else None
                self.apply(
                    PutFence(key=BatchKey(run_id, batch_id), fence=codec.fence_from_json(fence), tenure=later)
                )
            case ["row", run_id, batch_id, row]:
                key, read = BatchKey(run_id, batch_id), codec.row_from_json(row)
                self.apply(AppendRow(key=key, row=read, fold=self.batches[key].folded_with(read)))
            case ["alias", run_id, batch_id, target]:
                self.apply(PutAlias(key=BatchKey(run_id, batch_id), target=codec.key_from_json(target)))
            case ["effect", _, effect]:
                self.apply(PutEffect(effect=effect_from_json(effect)))
            case ["part", _, name]:
                self.hear(json.loads((self.folder / "parts" / name).read_bytes()))
            case ["drop", run_id, tombstones]:
                self.apply(DropRun(run_id=run_id, at=0.0, why=""))
                self.tombstones |= {tuple(stone) for stone in tombstones}
            case _:
                raise AssertionError(said)

    def fetch(self, wanted: Sequence[BatchKey]) -> None:
        """They are all in memory."""

    def keys(self, run_id: str | None) -> tuple[BatchKey, ...]:
        return tuple(key for key in self.batches if run_id in (None, key.run_id))

    def old_runs(self, before: float, cursor: str | None) -> OldRuns:
        latest = {key.run_id: state.manifest.created for key, state in self.batches.items()}
        return OldRuns(run_ids=tuple(run_id for run_id, at in latest.items() if at < before), cursor=None)

    def run_payload(self, run_id: str) -> bytes | None:
        return self.payloads.get(run_id)


class LogStore(Store):
    """`troubles`: what the next commits fail with; None is one that does not."""

    upkeep_due = upkeep_wanted = False
    faults = (OSError,)
    group_bytes = 2**20
    digest_key = None

    def __init__(self, folder: Path, troubles: list[Exception | None]) -> None:
        self._folder, self._log = folder, folder / "log"
        self._troubles = troubles
        (folder / "parts").mkdir(parents=True, exist_ok=True)
        (folder / "owners").mkdir(exist_ok=True)
        self._log.touch()
        self.reconnect()

    @property
    def name(self) -> str:
        return str(self._folder)

    def reconnect(self) -> None:
        self._lines, self._inode, self._read = Lines(self._folder), 0, 0

    @contextmanager
    def snapshot(self) -> Generator[Lines]:
        with self._locked():
            yield self._lines

    def commit(self, work: Callable[[Group], None]) -> None:
        with self._locked():
            try:
                work(self._lines)
                trouble = self._troubles.pop(0) if self._troubles else None
                if trouble is not None:
                    raise trouble
                self._append(self._lines.line)
            except BaseException:
                self.reconnect()
                raise
            self._lines.line = []

    def add_chunks(self, chunks: Chunks) -> None:
        for name, body in chunks:
            (self._folder / "parts" / name).write_bytes(body)

    def upkeep(self, *, idle: bool) -> None:
        raise AssertionError("there is none")

    def give_back(self) -> None:
        pass

    def deletions(self) -> list[str]:
        with self._locked():
            return [write[1] for line in self._all() for write in line if self._is_dropped(write)]

    def delete_piece(self, run_ids: Iterable[str]) -> list[str]:
        run_id = next(iter(run_ids))
        with self._locked():
            lines = self._all()
            last = max(n for n, line in enumerate(lines) if any(w[:2] == ["drop", run_id] for w in line))
            stones = [stone for line in lines for w in line if w[:2] == ["drop", run_id] for stone in w[2]]
            kept = [[write for write in line if write[1] != run_id] for line in lines[:last]]
            split = max(n for n, write in enumerate(lines[last]) if write[:2] == ["drop", run_id])
            before = [write for write in lines[last][:split] if write[1] != run_id]
            after = lines[last][split + 1 :]
            gone = ["drop", run_id, stones, "deleted"]
            new = self._folder / "new"
            new.write_text(
                "".join(
                    json.dumps(line) + "\n" for line in [*kept, [*before, gone, *after], *lines[last + 1 :]]
                )
            )
            new.replace(self._log)
        return [run_id]

    def give_back_piece(self) -> bool:
        return True

    def close(self) -> None:
        pass

    # --- the file -------------------------------------------------------------------------------------------------------

    @contextmanager
    def _locked(self) -> Generator[None]:
        """Alone with the log, and knowing all of it."""
        try:
            with (self._folder / "lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if self._inode != self._log.stat().st_ino:  # rows were deleted
                    self.reconnect()
                    self._inode = self._log.stat().st_ino
                with self._log.open("rb") as log:
                    log.seek(self._read)
                    for line in log:
                        for said in json.loads(line):
                            self._lines.hear(said[:3] if said[0] == "drop" else said)
                        self._read += len(line)
                yield
        except OSError as error:
            raise JournalIOError(f"{self._log}: {error}") from error

    def _append(self, line: list[Any]) -> None:
        body = json.dumps(line).encode() + b"\n"
        with self._log.open("ab") as log:
            log.write(body)
            log.flush()
            os.fsync(log.fileno())
        self._read += len(body)

    def _all(self) -> list[list[Any]]:
        return [json.loads(line) for line in self._log.read_bytes().splitlines()]

    def _is_dropped(self, write: list[Any]) -> bool:
        return write[0] == "drop" and "deleted" not in write


class Folder:
    """The back end of a session."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.troubles: list[Exception | None] = []
        self.owners: set[Owner] = set()

    @property
    def name(self) -> str:
        return str(self.folder)

    def begin(self) -> tuple[ProcessIdentity, Callable[[], Store]]:
        """Each opening is a process of its own to the others."""
        self.owners = set()
        process = replace(this_process(), token=secrets.token_hex(8))
        return process, lambda: LogStore(self.folder, self.troubles)

    def enlisted(self, process: ProcessIdentity, owner: Owner) -> bool | None:
        return owner in self.owners

    def ending(self, process: ProcessIdentity) -> None:
        for owner in list(self.owners):
            self.retire(owner)

    def retire(self, owner: Owner) -> None:
        self.owners.discard(owner)
        with suppress(FileNotFoundError):
            sign_of(self.folder, owner).unlink()


class LogJournal(QueuedJournal):
    """Closed by the first `close`, or at the end of the process."""

    def __init__(self, folder: Path) -> None:
        self.back_end = Folder(folder)
        super().__init__(Session(self.back_end))
        with members.lock:
            members.add(self._session)
        self._session.live()

    @property
    def location(self) -> str:
        return self.back_end.name

    def enlist(self, owner: Owner) -> None:
        self._session.live()
        self.back_end.owners.add(owner)
        sign_of(self.back_end.folder, owner).touch()

    def retire(self, owner: Owner) -> None:
        self.back_end.retire(owner)

    def close(self) -> None:
        self._session.end()
        with members.lock:
            members.discard(self._session)


def sign_of(folder: Path, owner: Owner) -> Path:
    name = json.dumps(owner.to_json(), sort_keys=True)
    return folder / "owners" / hashlib.sha256(name.encode()).hexdigest()
