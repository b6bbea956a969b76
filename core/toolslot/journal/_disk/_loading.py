"""Building a batch from its rows. Whatever is missing, surplus, damaged or unknown makes the batch corrupt: a deleted
result must never read as "not run yet".
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import cast

from toolslot._domain._slot import BatchKey, Fence, Manifest, Row, Tenure
from toolslot._domain._state import BatchState
from toolslot._errors import JournalCorrupt
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._chunks import parse, resolve
from toolslot.journal._disk._seal import unseal
from toolslot.journal._disk._states import Entry, weight_of_manifest, weight_of_row
from toolslot.journal._disk._table import Reader
from toolslot.journal._format._fields import Fields
from toolslot.journal._format._row_codec import (
    fence_from_json,
    key_from_json,
    key_to_json,
    manifest_from_json,
    manifest_to_json,
    row_from_json,
    tenure_from_json,
    tenure_to_json,
)


class LostBatch(JournalCorrupt):
    """The mark of a batch that a salvage found damaged: its calls may have been done, and nobody can tell which."""


def load(reader: Reader, key: BatchKey) -> Entry | BatchKey | None:
    """What is stored under `key`: a batch, the key of the batch it adopted, or nothing.

    Raises:
        JournalCorrupt: names the batch.
    """
    try:
        rows = reader.scan_raw(keys.small_rows(keys.batch_prefix(key)))
    except JournalCorrupt as error:
        raise unreadable(key, error) from error
    return from_rows(reader, key, rows)


def unreadable(key: BatchKey, error: JournalCorrupt) -> JournalCorrupt:
    return JournalCorrupt(f"batch {key} cannot be read from the journal: {error}")


def from_rows(reader: Reader, key: BatchKey, found: Sequence[tuple[str, bytes]]) -> Entry | BatchKey | None:
    """The same from the small rows of the batch, as they are stored."""
    prefix, sealed = keys.batch_prefix(key), dict(found)
    try:
        if not sealed:
            return None
        rows = {name[len(prefix) :]: unseal(name, value) for name, value in sealed.items()}
        if "#l" in rows:
            raise _lost(key, rows["#l"])
        if set(rows) == {"#a"}:
            return alias_from_body(key, rows["#a"])
        return _entry(reader, key, rows, sealed)
    except LostBatch:
        raise
    except JournalCorrupt as error:
        raise unreadable(key, error) from error


def lost_to_json(why: str) -> dict[str, object]:
    return {"lost": why}


def _lost(key: BatchKey, body: bytes) -> LostBatch:
    fields = Fields(parse(body), "mark of a lost batch")
    why = fields.text("lost")
    return LostBatch(
        f"batch {key} was damaged and could not be salvaged: {why} Its calls may have been done, so none of them is run. Find out"
        " what they did; then purge the run, or go on under another run id."
    )


def key_of_prefix(reader: Reader, prefix: str) -> BatchKey | None:
    """The batch whose rows begin with `prefix`; None when neither that nor its manifest tells."""
    match keys.ids(prefix.rstrip("/")):
        case (run_id, batch_id):
            return BatchKey(run_id, batch_id)
        case _:
            pass
    name = keys.manifest(prefix)
    try:
        body = reader.get(name)
        if body is None:
            return None
        manifest = Fields(Fields(resolve(reader, name, parse(body)), "batch").take("manifest"), "manifest")
        return BatchKey(manifest.text("run_id"), manifest.text("batch_id"))
    except JournalCorrupt:
        return None


def head_to_json(manifest: Manifest, tenure: Tenure) -> dict[str, object]:
    """The row that makes a batch exist: its calls, and its first owner."""
    return {"manifest": manifest_to_json(manifest), "tenure": tenure_to_json(tenure)}


def alias_to_json(key: BatchKey, target: BatchKey) -> dict[str, object]:
    return {"key": key_to_json(key), "target": key_to_json(target)}


def alias_from_body(key: BatchKey, body: bytes) -> BatchKey:
    fields = Fields(parse(body), "alias")
    _same_key(key, key_from_json(fields.take("key")))
    target = key_from_json(fields.take("target"))
    fields.done()
    return target


def _entry(reader: Reader, key: BatchKey, rows: Mapping[str, bytes], sealed: Mapping[str, bytes]) -> Entry:
    prefix = keys.batch_prefix(key)
    manifest, first = _head(reader, key, prefix, rows)
    fence, segments, count = _tally(rows)
    numbers = [name for name in rows if not name.startswith("#")]
    if numbers != [f"{number:08}" for number in range(1, segments + 1)]:
        raise JournalCorrupt(f"{segments} commits were written, and the rows of {len(numbers)} are there.")
    seen: set[str] = set()
    facts = [row for name in numbers for row in _segment(reader, key, prefix + name, rows[name], seen)]
    if len(facts) != count:
        raise JournalCorrupt(f"{count} rows were written, and {len(facts)} are there.")
    if any(not 0 <= row.index < len(manifest.specs) for row in facts):
        raise JournalCorrupt("a row belongs to a call that the batch does not have.")
    tenures = (first, *_tenures(reader, key, rows))
    if [tenure.epoch for tenure in tenures] != list(range(1, fence.epoch + 1)):
        raise JournalCorrupt(
            f"the batch is at epoch {fence.epoch}, and {len(tenures)} ownerships are recorded."
        )
    return Entry(
        state=BatchState(manifest, fence, tenures, facts),
        prefix=prefix,
        tally=sealed[keys.fence(prefix)],
        segments=segments,
        rows=count,
        size=weight_of_manifest(manifest) + sum(map(weight_of_row, facts)),
    )


def created(reader: Reader, key: BatchKey) -> float:
    """When the batch was reserved, without reading all of it.

    Raises:
        JournalCorrupt: its manifest is missing or damaged.
    """
    name = keys.manifest(keys.batch_prefix(key))
    body = reader.get(name)
    if body is None:
        raise JournalCorrupt(f"the manifest of batch {key} is missing.")
    head = Fields(resolve(reader, name, parse(body)), "batch")
    return Fields(head.take("manifest"), "manifest").number("created")


def _head(reader: Reader, key: BatchKey, prefix: str, rows: Mapping[str, bytes]) -> tuple[Manifest, Tenure]:
    body = rows.get("#m")
    if body is None:
        raise JournalCorrupt("its manifest is missing.")
    stored = parse(body)
    data = resolve(reader, keys.manifest(prefix), stored)
    if data is not stored or reader.secrecy.hides_in(body):
        data = reader.secrecy.reveal_head(key, data)
    fields = Fields(data, "batch")
    manifest, tenure = manifest_from_json(fields.take("manifest")), tenure_from_json(fields.take("tenure"))
    fields.done()
    _same_key(key, manifest.key)
    return manifest, tenure


def _tally(rows: Mapping[str, bytes]) -> tuple[Fence, int, int]:
    body = rows.get("#f")
    if body is None:
        raise JournalCorrupt("its fence is missing.")
    fields = Fields(parse(body), "fence row")
    found = fence_from_json(fields.take("fence")), fields.integer("segments"), fields.integer("rows")
    fields.done()
    return found


def _tenures(reader: Reader, key: BatchKey, rows: Mapping[str, bytes]) -> list[Tenure]:
    unknown = [
        name
        for name in rows
        if name.startswith("#") and name not in ("#f", "#m") and not name.startswith("#o")
    ]
    if unknown:
        raise JournalCorrupt(f"it has rows that this version of toolslot does not know: {unknown}.")
    return [
        tenure_from_json(reader.secrecy.reveal_tenure(key, parse(rows[name])))
        for name in sorted(rows)
        if name.startswith("#o")
    ]


def _segment(reader: Reader, key: BatchKey, name: str, body: bytes, seen: set[str]) -> list[Row]:
    items = parse(body)
    if type(items) is not list:
        raise JournalCorrupt(f"the row {name!r} is not a list of facts.")
    rows: list[Row] = []
    hides = reader.secrecy.hides_in(body)
    for item in cast("list[object]", items):
        data = resolve(reader, name, item, seen)
        if hides or data is not item:
            data = reader.secrecy.reveal_row(key, data)
        rows.append(row_from_json(data))
    return rows


def _same_key(asked: BatchKey, stored: BatchKey) -> None:
    if asked != stored:
        raise JournalCorrupt(f"its rows say that they belong to batch {stored}.")
