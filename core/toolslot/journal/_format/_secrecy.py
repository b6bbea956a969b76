"""Payloads of rows, hidden and revealed: between the row codec, which makes JSON of records, and the back end, which stores it.

Hidden are results, errors, arguments, the payloads of runs and batches, and what people wrote as a reason. Each becomes
`{"key": id of the key, "hidden": base64}` and is bound to its place: the journal, run and batch, the kind of row, index,
generation and attempt, and the field. Moved to another place it is refused.
"""

from __future__ import annotations

import base64
import json
from collections import Counter
from collections.abc import Callable, Mapping
from copy import copy
from typing import TypeAlias, TypeGuard, cast

from toolslot._codec import HIDDEN, ErrorRecord, Payload
from toolslot._domain._slot import BatchKey
from toolslot._errors import JournalCorrupt, JournalKeyMissing
from toolslot.journal._format._encryption import Cipher, NotAuthentic
from toolslot.journal._format._row_codec import payload_to_json

Json: TypeAlias = "dict[str, object]"
#: what becomes of one value at one place
Change: TypeAlias = "Callable[[tuple[object, ...], object], object]"
#: what was encrypted already for an operation that is tried again: its large values must get the same names
Memo: TypeAlias = "dict[tuple[bytes, bytes], Json]"

#: rows that a run has one of
RUN_PAYLOAD = "run payload"
TOMBSTONE = "tombstone"

_PREFIX = b"toolslot-payload/1"
_HIDDEN = {"key", "hidden"}
_STAND_IN = "(encrypted)"
#: the fields that are hidden, and what stands for each where it cannot be read
_STAND_INS: Mapping[str, object] = {
    "outcome": payload_to_json(Payload(codec=HIDDEN, data=b"", lossy=True)),
    "args": payload_to_json(Payload(codec=HIDDEN, data=b"", lossy=True)),
    "error": ErrorRecord(type_name=_STAND_IN, message=_STAND_IN).to_json(),
    "why": _STAND_IN,
    "payload": None,
    "content": payload_to_json(Payload(codec=HIDDEN, data=b"", lossy=True)),
    "label": _STAND_IN,
    "reasons": [],
}


class Secrecy:
    """How one journal hides payloads.

    Args:
        cipher: The keys; None where there are none.
        scope: Names the journal: what is copied into another one is refused there.
        digest_key: What digests of arguments are keyed with; None in a journal that is not encrypted.
        plain: Whether values that are not hidden are believed: not where everything was encrypted from the beginning.
        lenient: Put stand-ins where a key is missing, instead of raising `JournalKeyMissing`: for looking at states.
    """

    def __init__(
        self,
        cipher: Cipher | None = None,
        scope: str = "",
        *,
        digest_key: bytes | None = None,
        plain: bool = True,
        lenient: bool = False,
    ) -> None:
        self._cipher = cipher
        self._scope = scope
        self.digest_key = digest_key
        self._plain = plain
        self._lenient = lenient
        #: whether anything is hidden when it is written
        self.hides: bool = cipher is not None
        self._idle = cipher is None and not lenient
        #: how many values were revealed, by the id of their key; "" counts those that are not hidden
        self.seen: Counter[str] = Counter()

    def knows(self, key: str) -> bool:
        """Whether the key of that id was given."""
        return self._cipher is not None and self._cipher.knows(key)

    def hides_in(self, body: bytes) -> bool:
        """Whether something in a row with this body may have to be revealed: most journals are plain, and need no search of every value."""
        # In one that was opened without a key, another process may have turned encryption on since.
        return not self._idle or b'"hidden"' in body

    # --- the rows of batches and runs -----------------------------------------------------------------------------------

    def hide_row(self, key: BatchKey, row: Json, memo: Memo) -> Json:
        if self._cipher is None:
            return row
        return self._each_of_row(key, row, lambda place, value: self.hide(place, value, memo))

    def reveal_row(self, key: BatchKey, row: object) -> object:
        return self._each_of_row(key, row, self.reveal) if _is_object(row) else row

    def hide_head(self, key: BatchKey, head: Json, memo: Memo) -> Json:
        if self._cipher is None:
            return head
        return self._each_of_head(key, head, lambda place, value: self.hide(place, value, memo))

    def reveal_head(self, key: BatchKey, head: object) -> object:
        return self._each_of_head(key, head, self.reveal) if _is_object(head) else head

    def hide_tenure(self, key: BatchKey, tenure: Json) -> Json:
        return self._each(tenure, _of_tenure(key, tenure), lambda place, value: self.hide(place, value, {}))

    def reveal_tenure(self, key: BatchKey, tenure: object) -> object:
        return self._each(tenure, _of_tenure(key, tenure), self.reveal) if _is_object(tenure) else tenure

    def hide_in_run(self, run_id: str, what: str, data: Json, memo: Memo) -> Json:
        """The one row of a kind that a run has: its payload, its tombstone."""
        return self._each(data, (run_id, "", what), lambda place, value: self.hide(place, value, memo))

    def reveal_in_run(self, run_id: str, what: str, data: object) -> object:
        return self._each(data, (run_id, "", what), self.reveal) if _is_object(data) else data

    def hide_effect(self, digest: str, data: Json) -> Json:
        return self._each(data, ("", digest, "effect"), lambda place, value: self.hide(place, value, {}))

    def reveal_effect(self, digest: str, data: object) -> object:
        return self._each(data, ("", digest, "effect"), self.reveal) if _is_object(data) else data

    def _each_of_row(self, key: BatchKey, row: Json, change: Change) -> Json:
        parts = [row.get(name) for name in ("kind", "index", "generation", "attempt")]
        return self._each(row, (*key, "row", *parts), change)

    def _each_of_head(self, key: BatchKey, head: Json, change: Change) -> Json:
        changed = dict(head)
        manifest, tenure = head.get("manifest"), head.get("tenure")
        if _is_object(tenure):
            changed["tenure"] = self._each(tenure, _of_tenure(key, tenure), change)
        if _is_object(manifest):
            manifest = changed["manifest"] = self._each(manifest, (*key, "batch"), change)
            specs = manifest.get("specs")
            if isinstance(specs, list):
                manifest["specs"] = [
                    self._each(spec, (*key, "call", spec.get("index")), change) if _is_object(spec) else spec
                    for spec in cast("list[object]", specs)
                ]
        return changed

    def _each(self, data: Json, place: tuple[object, ...], change: Change) -> Json:
        changed = dict(data)
        for name in _STAND_INS.keys() & data.keys():
            if data[name] is not None:
                changed[name] = change((*place, name), data[name])
        spec = data.get("spec")
        if _is_object(spec):
            changed["spec"] = self._each(spec, (*place, "spec"), change)
        return changed

    # --- one value ------------------------------------------------------------------------------------------------------

    def hide(self, place: tuple[object, ...], value: object, memo: Memo) -> object:
        """The value of a field as it is stored at `place`, whose last part names the field."""
        if self._cipher is None:
            return value
        data = json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "surrogatepass")
        where = self._bind(place)
        found = memo.get((where, data))
        if found is None:
            hidden = base64.b64encode(self._cipher.encrypt(data, where)).decode("ascii")
            found = memo[where, data] = {"key": self._cipher.current, "hidden": hidden}
        return found

    def reveal(self, place: tuple[object, ...], value: object) -> object:
        """The value of a field that was stored at `place`.

        Raises:
            JournalKeyMissing: the key is not at hand.
            JournalCorrupt: it was changed, or moved from another place, or was never encrypted although everything here is.
        """
        what = f"the {place[-1]} of a stored {place[2]}"
        if not _is_hidden(value):
            if not self._plain:
                raise JournalCorrupt(
                    f"{what} is not encrypted, although everything in this journal is: somebody else wrote it."
                )
            self.seen[""] += 1
            return value
        key, hidden = value["key"], value["hidden"]
        if not (isinstance(key, str) and isinstance(hidden, str)):
            raise JournalCorrupt(f"{what} is damaged.")
        self.seen[key] += 1
        if self._cipher is None or not self.knows(key):
            if self._lenient:
                return copy(_STAND_INS[str(place[-1])])  # who reads a record takes it apart
            raise JournalKeyMissing(
                f"{what} is encrypted with key {key[:16]!r}, which was not given ({_listed(self._cipher)} was). Nothing was changed and"
                " nothing ran. Give that key as well, after the one that encrypts."
            )
        try:
            data = self._cipher.decrypt(key, base64.b64decode(hidden, validate=True), self._bind(place))
        except (NotAuthentic, ValueError) as error:
            raise JournalCorrupt(
                f"{what} cannot be decrypted with its key: it was damaged, or moved from another place."
            ) from error
        return cast("object", json.loads(data.decode("utf-8", "surrogatepass")))

    def _bind(self, place: tuple[object, ...]) -> bytes:
        """Each part with its length before it, so that no two places give the same bytes."""
        bound = bytearray(_PREFIX)
        for part in (self._scope, *place):
            data = str(part).encode("utf-8", "surrogatepass")
            bound += b"|%d:" % len(data) + data
        return bytes(bound)


def _of_tenure(key: BatchKey, tenure: Json) -> tuple[object, ...]:
    return (*key, "tenure", tenure.get("epoch"))


def _listed(cipher: Cipher | None) -> str:
    return "none" if cipher is None else ", ".join(map(repr, cipher.key_ids))


def _is_hidden(value: object) -> TypeGuard[Json]:
    return type(value) is dict and value.keys() == _HIDDEN


def _is_object(data: object) -> TypeGuard[Json]:
    return isinstance(data, dict)
