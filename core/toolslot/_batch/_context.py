"""What a running tool may know about its call."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass

from toolslot._domain._identity import idempotency_key


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

    @property
    def idempotency_key(self) -> str:
        """`ts_` and 40 hex digits, to be handed to the API that has the effect."""
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
