"""What a person is asked about a call of unknown outcome, and how an answer is read: the same in every host, as plain JSON."""

from __future__ import annotations

import re
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias, cast

from toolslot._domain._policy import Done, Failed, NotDone
from toolslot._domain._view import Slot
from toolslot._errors import UnknownOutcome

Decision: TypeAlias = "Done | Failed | NotDone"

_MOST_NOTES = 10

_ID = re.compile(r"[^@]+@\d+(\.\d+)?")


@dataclass(frozen=True, kw_only=True, slots=True)
class Question:
    """One open question. Its id names the call and the version of its record, so an answer cannot settle anything else.

    Of the arguments only the names are shown: their values are in the conversation, and may be secrets. `started_at` is ISO 8601, UTC.
    """

    id: str
    index: int
    version: int
    tool: str
    args: tuple[str, ...] = ()
    call_id: str = ""
    started_at: str | None = None
    attempt: int = 0
    idempotency_key: str = ""
    reason: str = "unknown"
    #: what the call said of itself, oldest first, the newest 10
    notes: tuple[str, ...] = ()

    @classmethod
    def about(
        cls, unknown: UnknownOutcome, slot: Slot, *, index: int | None = None, tries: int = 0
    ) -> Question:
        """The question about a call. `slot`: as `BatchRun.asked_about` gives it; `index`: the place of the call that cannot go on without
        an answer, where that is another one. With `tries`, how many faulty answers there were, each of them has a question of its own.
        """
        again = f".{tries}" if tries else ""
        return cls(
            id=f"{unknown.idempotency_key}@{unknown.version}{again}",
            index=unknown.index if index is None else index,
            version=unknown.version,
            tool=slot.tool,
            args=tuple(sorted(slot.args)),
            call_id=slot.call_id,
            attempt=slot.attempt,
            started_at=slot.started_at.isoformat() if slot.started_at is not None else None,
            idempotency_key=slot.idempotency_key,
            reason=slot.reason.value if slot.reason is not None else "unknown",
            notes=tuple(
                f"{note.text} [{note.ref}]" if note.ref else note.text for note in slot.notes[-_MOST_NOTES:]
            ),
        )

    def shown(self) -> dict[str, Any]:
        """What the person sees: its fields as plain JSON, without those that only the host needs."""
        fields = asdict(self)
        del fields["index"], fields["version"]
        return {**fields, "args": list(self.args), "notes": list(self.notes)}


def is_question_id(text: object) -> bool:
    """Whether it is the id of a question like these, whichever it is."""
    return isinstance(text, str) and _ID.fullmatch(text) is not None


def read_answer(answer: object) -> Decision | str:
    """What an answer decides: `"rerun"`, `{"done": result}` or `{"failed": "text"}`; else what is wrong with it, as a text.

    The text never has the answer in it, which may hold a result.
    """
    kind = type(answer).__name__
    if answer == "rerun":
        return NotDone()
    if isinstance(answer, dict) and len(cast("dict[object, object]", answer)) == 1:
        ((verdict, said),) = cast("dict[object, object]", answer).items()
        if verdict == "done":
            return Done(said)
        if verdict == "failed" and isinstance(said, str):
            return Failed(said)
    return f'an answer is {{"done": result}}, {{"failed": "text"}} or "rerun"; got a {kind} that is none of these'
