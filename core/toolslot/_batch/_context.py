"""What a running tool may know about its call."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

from typing_extensions import override

from toolslot._batch._bridge import wait_for
from toolslot._domain._identity import idempotency_key
from toolslot._errors import InvalidArguments


class Noting:
    """Begins to write a note: the future is over when it is durable, and the function tells of it then.

    A copy of the context has the same; one that goes to another process has none.
    """

    __slots__ = ("begin",)

    def __init__(self, begin: Callable[[str, str], tuple[Future[Any], Callable[[], None]]]) -> None:
        self.begin = begin

    def __deepcopy__(self, memo: object) -> Noting:
        return self

    @override
    def __reduce__(self) -> tuple[Callable[[], None], tuple[()]]:
        return _nothing, ()


def _nothing() -> None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class CallContext:
    """The call whose code runs now.

    `idempotency_key` is stable over attempts, processes and machines: hand it to the payment API. `attempt` and `generation` count from 1.
    """

    run_id: str
    batch_id: str
    index: int
    tool: str
    call_id: str
    attempt: int
    #: which call has this place: grows when another one takes it on purpose
    generation: int = 1
    _noting: Noting | None = field(default=None, repr=False, compare=False)
    #: of a call with an effect key: that of the effect
    _effect_key: str | None = field(default=None, repr=False)
    #: the call whose code runs this one, an agent in a tool, say
    _around: CallContext | None = field(default=None, repr=False, compare=False)

    @property
    def around(self) -> CallContext | None:
        """The call whose code runs this one, an agent in a tool, say."""
        return self._around

    def note(self, text: str, *, ref: str = "") -> None:
        """Record what is known of the call now, an order number that the shop gave it, say; durable when this returns.

        A reconciler finds it in `slot.notes`, a person with the question, `toolslot show` and the timeline beside the call. The newest 50
        notes of a call are kept, and no more than 1,000 written; a text of more than 2,000 characters is cut, and so is a `ref` of more
        than 500.

        Raises:
            Fenced: the attempt counts no more: somebody else has taken the batch over, or settled the call.
            LookupError: this is a copy of the context that went to another process.
            JournalError: it could not be recorded.
        """
        written, tell = self._begin_note(text, ref)
        written.result()
        tell()

    async def anote(self, text: str, *, ref: str = "") -> None:
        """As `note`, from async code."""
        written, tell = self._begin_note(text, ref)
        await wait_for(written)
        tell()

    def _begin_note(self, text: str, ref: str) -> tuple[Future[Any], Callable[[], None]]:
        for name, value in (("text", text), ("ref", ref)):
            if not isinstance(value, str):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidArguments(f"note({name}=...) got a {type(value).__name__}: give a text.")
        if self._noting is None:
            raise LookupError(
                "a note can be written in the process that runs the call alone, and this is a copy of its context that went to another one."
            )
        return self._noting.begin(text, ref)

    @property
    def idempotency_key(self) -> str:
        """`ts_` and 40 hex digits, to be handed to the API that has the effect. Calls of one effect key have the same."""
        if self._effect_key is not None:
            return self._effect_key
        return idempotency_key(self.run_id, self.batch_id, self.index, self.generation)


current: ContextVar[CallContext | None] = ContextVar("toolslot_call", default=None)


def current_call() -> CallContext:
    """The call that the current code runs in, also in threads and tasks that copied its context.

    Raises:
        LookupError: the code does not run inside a toolslot call (in a worker of a process pool it never does).
    """
    call = current.get()
    if call is None:
        raise LookupError(
            "no tool call runs here: current_call() works inside a tool that toolslot runs, in its thread, its task, or a thread that"
            " copied its context (contextvars.copy_context)."
        )
    return call
