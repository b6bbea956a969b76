"""The questions a journal answers, each from one snapshot."""

from __future__ import annotations

from typing import cast

from toolslot._domain._effects import Effect
from toolslot._domain._port import OldRuns
from toolslot._domain._slot import BatchKey
from toolslot._errors import JournalCorrupt, JournalKeyMissing
from toolslot._text import quoted
from toolslot.journal._disk import _keys as keys
from toolslot.journal._disk._chunks import parse, resolve
from toolslot.journal._disk._loading import created
from toolslot.journal._disk._table import Reader
from toolslot.journal._format._effect_codec import effect_from_json
from toolslot.journal._format._fields import Fields
from toolslot.journal._format._row_codec import key_from_json
from toolslot.journal._format._secrecy import RUN_PAYLOAD

#: runs that one look for old ones passes: some milliseconds
_RUNS_AT_ONCE = 50
#: effects that are read at once, each with its holder's batch
_EFFECTS_AT_ONCE = 50


def batch_keys(reader: Reader, run_id: str | None) -> tuple[BatchKey, ...]:
    """The batches in the order they were reserved."""
    bounds = keys.under(keys.BATCH_INDEX) if run_id is None else keys.under(keys.index_of_run(run_id))
    return tuple(key_of_index(name, body) for name, body in reader.scan_by_age(bounds))


def old_runs(reader: Reader, before: float, cursor: str | None) -> OldRuns:
    """In the order of the list of batches, where those of a run stand together; the cursor is where the next run may begin."""
    begin, end = keys.under(keys.BATCH_INDEX)
    begin = cursor or begin
    found: list[str] = []
    for _ in range(_RUNS_AT_ONCE):
        first = reader.first_key((begin, end))
        if first is None:
            return OldRuns(run_ids=tuple(found), cursor=None)
        run = keys.under(keys.run_of_index(first))
        begin = run[1]
        name, body = reader.newest(run)
        key = key_of_index(name, body)
        if _is_old(reader, key, before):
            found.append(key.run_id)
    return OldRuns(run_ids=tuple(found), cursor=begin)


def _is_old(reader: Reader, key: BatchKey, before: float) -> bool:
    """A batch that cannot be read counts: it must be reported."""
    try:
        return created(reader, key) < before
    except JournalCorrupt:
        return True


def key_of_index(name: str, body: bytes | None) -> BatchKey:
    """The batch that a row of the list names. A damaged row must not hide the other batches, nor its own.

    Raises:
        JournalCorrupt: it is damaged, and the batch's id too long to stand in the row's key.
    """
    if body is not None:
        return key_from_json(parse(body))
    match keys.ids(name):
        case (run_id, batch_id):
            return BatchKey(run_id, batch_id)
        case _:
            raise JournalCorrupt(
                f"the row {name!r} of the list of batches is damaged. Run `toolslot doctor`."
            )


def runs_being_deleted(reader: Reader) -> list[str]:
    """The runs with purged batches that may still have rows."""
    found = [_run_of_deletion(name, body) for name, body in reader.scan_by_age(keys.under(keys.DELETIONS))]
    return list(dict.fromkeys(found))


def run_payload(reader: Reader, run_id: str) -> bytes | None:
    name = keys.run_payload(run_id)
    body = reader.get(name)
    if body is None:
        return None
    data = reader.secrecy.reveal_in_run(run_id, RUN_PAYLOAD, resolve(reader, name, parse(body)))
    fields = Fields(data, "run payload")
    stored, payload = fields.text("run_id"), fields.data_or_none("payload")
    fields.done()
    if stored != run_id:
        raise JournalCorrupt(f"the payload of run {quoted(run_id)} belongs to run {quoted(stored)}.")
    if payload is None:
        raise JournalKeyMissing(
            f"the payload of run {quoted(run_id)} is encrypted, and its key was not given."
        )
    return payload


def check_run_payload(reader: Reader, data: object) -> None:
    """Raises `JournalCorrupt` when a run's payload, as it is stored, was changed or moved."""
    fields = Fields(data, "run payload")
    reader.secrecy.reveal_in_run(fields.text("run_id"), RUN_PAYLOAD, data)


def journal_id(reader: Reader) -> str:
    return (reader.get(keys.JOURNAL_ID) or b"").decode("ascii", "replace")


def effect(reader: Reader, digest: str) -> Effect | None:
    """The record of an effect.

    Raises:
        JournalCorrupt: it is damaged, or lost, or belongs to another effect.
    """
    body = reader.get(keys.effect(digest))
    if body is None:
        return None
    said = parse(body)
    why = cast("dict[str, object]", said).get("lost") if isinstance(said, dict) else None
    if why is not None:
        raise JournalCorrupt(
            f"the record {keys.effect(digest)!r} of an effect was damaged and could not be salvaged: {why} The effect may have been had, so"
            " no call that names it is run."
        )
    found = effect_from_json(reader.secrecy.reveal_effect(digest, cast("object", said)))
    if found.digest != digest:
        raise JournalCorrupt(f"the journal's record of effect {digest!r} belongs to {found.digest!r}.")
    return found


def effect_digests(reader: Reader, cursor: str | None) -> tuple[list[str], str | None]:
    """Some of them, and where to go on."""
    begin, end = keys.under(keys.EFFECTS)
    names = reader.some_names((cursor or begin, end), _EFFECTS_AT_ONCE)
    more = names[-1] + "\0" if len(names) == _EFFECTS_AT_ONCE else None
    return [name.removeprefix(keys.EFFECTS) for name in names], more


def _run_of_deletion(name: str, body: bytes | None) -> str:
    if body is None:
        match keys.ids(name):
            case (run_id, _):
                return run_id
            case _:
                raise JournalCorrupt(f"the row {name!r} of a purged batch is damaged. Run `toolslot doctor`.")
    fields = Fields(parse(body), "deletion")
    run_id = fields.text("run_id")
    fields.done()
    return run_id
