"""Which call a person means. Pure."""

from __future__ import annotations

import shlex

from toolslot._domain._slot import SlotState
from toolslot._text import quoted, shown
from toolslot._views import CallView, RunView
from toolslot.cli._ending import Refused

#: candidates that are named when a word fits several calls
_NAMED = 8


def find_call(run: RunView, word: str) -> CallView:
    """The call of the run that `word` names: an idempotency key, `batch#index`, an index, or a call id.

    What fits several calls means the one of them that needs a decision, if it is only one; else the one that may be decided.

    Raises:
        Refused: there is none, or there are several.
    """
    for found in (
        [call for call in run.calls if call.idempotency_key == word],
        [call for call in run.calls if place(call) == word],
        [call for call in run.calls if str(call.index) == word],
        [call for call in run.calls if call.call_id == word],
    ):
        if not found:
            continue
        undecided = [call for call in found if call in run.pending] or [
            call for call in found if call.state is SlotState.UNKNOWN or call.doubt is not None
        ]
        if len(found) == 1 or len(undecided) == 1:
            return (undecided or found)[0]
        named = ", ".join(shown(place(call)) for call in (undecided or found)[:_NAMED])
        raise Refused(
            f"{quoted(word)} names {len(found)} calls of run {quoted(run.run_id)}: say which with its idempotency key or as batch#index"
            f" ({named})."
        )
    raise Refused(
        f"run {quoted(run.run_id)} has no call {quoted(word)}: name it by its idempotency key, as batch#index, by its index, or by its"
        " call id. `toolslot show RUN` lists them."
    )


def place(call: CallView) -> str:
    """`batch#index`."""
    return f"{call.batch_id}#{call.index}"


def as_word(text: str) -> str:
    """`text` as a word that a POSIX shell reads back as it was; what cannot be shown as it is, in the form `$'...'` of bash and zsh."""
    if text.isprintable():
        return shlex.quote(text)
    data = text.encode("utf-8", "surrogateescape" if _escaped_bytes(text) else "surrogatepass")
    return "$'" + "".join(_byte(each) for each in data) + "'"


def _escaped_bytes(text: str) -> bool:
    return all(
        not "\ud800" <= character <= "\udfff" or "\udc80" <= character <= "\udcff" for character in text
    )


def _byte(value: int) -> str:
    character = chr(value)
    plain = 0x20 <= value < 0x7F and character not in "\\'"
    return character if plain else f"\\x{value:02x}"
