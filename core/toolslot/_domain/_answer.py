"""What a person answers when asked about a call of unknown outcome, in whatever form a framework brings it: plain JSON."""

from __future__ import annotations

from typing import TypeAlias, cast

from toolslot._domain._policy import Done, Failed, NotDone

Decision: TypeAlias = "Done | Failed | NotDone"


def decision_of(answer: object) -> Decision | None:
    """What an answer decides: `"rerun"`, `{"done": result}` or `{"failed": "text"}`. None when it is none of these."""
    if answer == "rerun":
        return NotDone()
    if not isinstance(answer, dict) or len(cast("dict[object, object]", answer)) != 1:
        return None
    ((verdict, said),) = cast("dict[object, object]", answer).items()
    if verdict == "done":
        return Done(said)
    if verdict == "failed" and isinstance(said, str):
        return Failed(said)
    return None


def what_is_wrong(answer: object) -> str:
    """Why an answer decides nothing. Never the answer itself: it may hold a result."""
    return f'an answer is {{"done": result}}, {{"failed": "text"}} or "rerun"; got a {type(answer).__name__} that is none of these'
