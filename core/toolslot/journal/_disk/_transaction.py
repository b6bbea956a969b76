"""What the operations of one transaction write."""

from __future__ import annotations

from collections.abc import Collection

from typing_extensions import assert_never, override

from toolslot._domain._slot import BatchKey
from toolslot._domain._state import (
    AppendRow,
    BatchState,
    DropRun,
    NewBatch,
    PutAlias,
    PutEffect,
    PutFence,
    Write,
)
from toolslot._errors import NotStorable
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._chunks import CHUNK, Encoded, dumps, encode
from toolslot.journal._disk._loading import alias_to_json, head_to_json
from toolslot.journal._disk._seal import seal
from toolslot.journal._disk._states import PER_ROW, Entry, States, payload_size, weight_of_manifest
from toolslot.journal._disk._table import Table
from toolslot.journal._disk._view import OwnerLook, Snapshot
from toolslot.journal._format._effect_codec import effect_to_json
from toolslot.journal._format._row_codec import bytes_to_json, key_to_json, row_to_json, tenure_to_json
from toolslot.journal._format._secrecy import RUN_PAYLOAD, TOMBSTONE, Memo
from toolslot.journal._queue._store import Chunks

#: of the rows of a range
_ALL = 2**31

#: a reservation of some thousand calls still is one commit
_HEAD_IN_PLACE = 2**20


class Transaction(Snapshot):
    """A view that also takes writes. They reach the database in `flush`: one segment and one fence row for each batch."""

    def __init__(self, table: Table, states: States, look: OwnerLook, max_bytes: int) -> None:
        super().__init__(table, states, look)
        self._table = table
        self._secrecy = table.secrecy
        self._max_bytes = max_bytes
        self._dirty: dict[BatchKey, Entry] = {}
        #: rows that must not be there yet, in the order in which they are to be written
        self._added: list[tuple[str, bytes]] = []
        #: bytes to write so far, roughly
        self.size = 0

    def write(self, writes: tuple[Write, ...], memo: Memo, stored: Collection[str]) -> Chunks:
        encoded: list[tuple[Write, tuple[bytes, ...]]] = []
        chunks: Chunks = ()
        for write in writes:
            if isinstance(write, AppendRow):
                body, parts = self._encode_row(write, memo)
                encoded.append((write, (body,)))
                chunks += parts
            elif isinstance(write, NewBatch):
                rows = self._encode_batch(write, memo)
                encoded.append((write, tuple(body for body, _ in rows)))
                chunks += tuple(part for _, parts in rows for part in parts)
            else:
                encoded.append((write, ()))
        if not chunks or all(name in stored for name, _ in chunks):
            for write, bodies in encoded:
                self._apply(write, bodies)
        return chunks

    # --- encode ---------------------------------------------------------------------------------------------------------

    def _encode_row(self, write: AppendRow, memo: Memo) -> Encoded:
        row = row_to_json(write.row)
        if self._secrecy.hides:
            row = self._secrecy.hide_row(write.key, row, memo)
        body = dumps(row)
        if len(body) > self._max_bytes:
            self._check_size(write.key, payload_size(write.row), f"the result of call {write.row.index}")
        return (body, ()) if len(body) <= CHUNK else encode(keys.fence(keys.batch_prefix(write.key)), body)

    def _encode_batch(self, write: NewBatch, memo: Memo) -> tuple[Encoded, ...]:
        manifest = write.manifest
        for spec in manifest.specs:
            self._check_size(manifest.key, len(spec.args.data), f"the arguments of call {spec.index}")
        self._check_size(manifest.key, len(manifest.payload or b""), "the payload")
        self._check_size(manifest.key, len(write.run_payload or b""), "the run's payload")
        near = keys.manifest(keys.batch_prefix(manifest.key))
        data = self._secrecy.hide_head(manifest.key, head_to_json(manifest, write.tenure), memo)
        head = encode(near, dumps(data), in_place=_HEAD_IN_PLACE)
        if write.run_payload is None:
            return (head,)
        run_id = manifest.key.run_id
        payload: dict[str, object] = {"run_id": run_id, "payload": bytes_to_json(write.run_payload)}
        data = self._secrecy.hide_in_run(run_id, RUN_PAYLOAD, payload, memo)
        return (head, encode(keys.run_payload(run_id), dumps(data)))

    def _check_size(self, key: BatchKey, size: int, what: str) -> None:
        if size > self._max_bytes:
            raise NotStorable(
                f"{what} of batch {key} takes {size} bytes; this journal takes up to max_result_bytes={self._max_bytes}."
                " Nothing was recorded of it. Hand out a reference to the data instead, or open the journal with a higher limit."
            )

    # --- apply to memory ------------------------------------------------------------------------------------------------

    def _apply(self, write: Write, bodies: tuple[bytes, ...]) -> None:
        """Let the operations after this one see the write."""
        match write:
            case AppendRow():
                entry = self._touch(write.key)
                entry.state.append(write.row, write.fold)
                entry.pending.append(bodies[0])
                entry.size += PER_ROW + len(bodies[0])
                self.size += len(bodies[0])
            case NewBatch():
                self._reserve(write, *bodies)
            case PutFence():
                self._put_fence(write)
            case PutAlias():
                self._aliases[write.key] = write.target
                self._add(keys.alias(keys.batch_prefix(write.key)), alias_to_json(write.key, write.target))
            case DropRun():
                self._drop(write)
            case PutEffect():
                self._put_effect(write)
            case _:
                assert_never(write)

    def _reserve(self, write: NewBatch, head: bytes, run_payload: bytes | None = None) -> None:
        manifest = write.manifest
        key, run_id = manifest.key, manifest.key.run_id
        prefix = keys.batch_prefix(key)
        state = BatchState(manifest, write.fence, (write.tenure,), slots=write.slots)
        entry = Entry(
            state=state,
            prefix=prefix,
            tally=b"",
            segments=0,
            rows=0,
            size=weight_of_manifest(manifest),
            seen=self._states.version,
        )
        self._entries[key] = self._dirty[key] = entry
        self._add_body(keys.manifest(prefix), head)
        self._add(keys.index(key), key_to_json(key))
        if manifest.lineage is not None:
            self._lineages[run_id, manifest.lineage] = key
            body = dumps({"lineage": manifest.lineage, "target": key_to_json(key)})
            self._table.put(keys.lineage(run_id, manifest.lineage), body)
        if run_payload is not None:
            self._table.add_once(keys.run_payload(run_id), run_payload)

    def _put_fence(self, write: PutFence) -> None:
        entry = self._touch(write.key)
        entry.state.fence = write.fence
        if write.tenure is not None:
            entry.state.tenures = (*entry.state.tenures, write.tenure)
            self._add(
                keys.tenure(entry.prefix, write.tenure.epoch),
                self._secrecy.hide_tenure(write.key, tenure_to_json(write.tenure)),
            )

    def _put_effect(self, write: PutEffect) -> None:
        effect, digest = write.effect, write.effect.digest
        body = dumps(self._secrecy.hide_effect(digest, effect_to_json(effect)))
        self.size += len(body)
        self._table.put(keys.effect(digest), body)
        holder = effect.holder if effect.purged is None else None
        before = write.before.holder if write.before is not None else None
        if before is not None and (holder is None or holder.place.batch.run_id != before.place.batch.run_id):
            name = keys.held(before.place.batch.run_id, digest)
            self._table.delete((name, name + "\0"), 1)
        if holder is not None:
            self._table.add_once(keys.held(holder.place.batch.run_id, digest), b"{}")
        self._effects[digest] = effect

    def _drop(self, write: DropRun) -> None:
        run_id = write.run_id
        self._write_added()
        self.dropped.append(run_id)
        secret = self._secrecy.digest_key
        batches = [*self._table.folders(keys.under(keys.batches(run_id)))]
        lineages = self._table.names(keys.under(keys.lineages(run_id)))
        number = 1 + len(self._table.names(keys.under_purges(run_id)))
        purge: dict[str, object] = {"run_id": run_id, "at": write.at, "why": write.why}
        self._add(keys.purge(run_id, number), self._secrecy.hide_in_run(run_id, TOMBSTONE, purge, {}))
        for name in (*batches, *lineages):
            self._once(keys.tombstone(name, secret), {})
        for prefix in batches:
            self._once(keys.deletion(prefix), {"run_id": run_id})
        # The batches are out of the list at once, and later ones of the run come into it; of their rows each has its own.
        for prefix in (
            keys.index_of_run(run_id),
            keys.lineages(run_id),
            keys.payload_of_run(run_id),
            keys.outdated(run_id),
        ):
            self._table.delete(keys.under(prefix), _ALL)
        self._purged[run_id] = True
        self._lineages = {place: key for place, key in self._lineages.items() if place[0] != run_id}
        for key in [key for key in self._entries if key.run_id == run_id]:
            del self._entries[key]
            self._dirty.pop(key, None)
        for key in [key for key in self._aliases if key.run_id == run_id]:
            del self._aliases[key]

    def _touch(self, key: BatchKey) -> Entry:
        entry = self._entries.get(key)
        if entry is None:
            raise LookupError(f"an operation wrote batch {key} without having read it.")
        self._dirty[key] = entry
        return entry

    # --- write ----------------------------------------------------------------------------------------------------------

    def flush(self) -> None:
        """Write what was applied. The caller commits."""
        fences: list[tuple[str, bytes]] = []
        for entry in self._dirty.values():
            if entry.pending:
                entry.segments += 1
                entry.rows += len(entry.pending)
                name = keys.segment(entry.prefix, entry.segments)
                self._added.append((name, seal(name, b"[%b]" % b",".join(entry.pending))))
                entry.pending.clear()
            name = keys.fence(entry.prefix)
            entry.tally = seal(name, entry.encode_tally())
            fences.append((name, entry.tally))
        self._write_added()
        if fences:
            self._table.put_sealed(fences)

    def _write_added(self) -> None:
        if self._added:
            self._table.add_sealed(self._added)
            self._added.clear()

    @override
    def holds(self, run_id: str) -> bool:
        self._write_added()  # for it is looked up in the database
        return super().holds(run_id)

    def _add(self, key: str, data: object) -> None:
        self._add_body(key, dumps(data))

    def _add_body(self, key: str, body: bytes) -> None:
        self.size += len(body)
        self._added.append((key, seal(key, body)))

    def _once(self, key: str, data: object) -> None:
        body = dumps(data)
        self.size += len(key) + len(body)
        self._table.add_once(key, body)
