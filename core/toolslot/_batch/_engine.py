"""What every batch run of one executor shares: where it writes, what it knows of tools, how it tells the world."""

from __future__ import annotations

import logging
import math
import os
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace

from toolslot._batch._hooks import Hooks
from toolslot._batch._pool import Demand, Pool
from toolslot._codec import (
    Codec,
    Content,
    Contents,
    ErrorRecord,
    JsonCodec,
    Payload,
    decode,
    encode,
    encode_content,
)
from toolslot._domain._effect_names import NamedEffect, NoKey, name_effect
from toolslot._domain._events import CallEvent, Event, EventKind
from toolslot._domain._identity import Owner, args_digest
from toolslot._domain._notes import note_view
from toolslot._domain._policy import Limits, ToolPolicy
from toolslot._domain._port import Journal
from toolslot._domain._slot import BatchKey, Call, SlotRecord, SlotSpec
from toolslot._domain._view import EvidenceView, Slot, utc
from toolslot._errors import ToolslotError, UnreadablePayload

log = logging.getLogger("toolslot")

#: arguments are always stored by the core's own codec: they are the model's JSON
_ARGS = JsonCodec()
#: of a call whose arguments are not stored
_NO_ARGS = encode({}, _ARGS)


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Engine:
    """The collaborators and settings of an executor. Frozen; all state is in the journal, the pool and the batch runs.

    `clock` gives wall-clock seconds for records, `monotonic` seconds for deadlines. `pauses` are exception types that mean "stopped at a
    question", `cancels` those that mean "cancelled", beside `CancelledError`.
    """

    journal: Journal
    policies: Mapping[str, ToolPolicy]
    default_policy: ToolPolicy
    limits: Limits
    pool: Pool
    hooks: Hooks
    codec: Codec
    codecs: Mapping[str, Codec]
    #: how the host's results are handed out elsewhere, and others here; None where results are the tools' own values
    contents: Contents | None = None
    strict: bool = True
    #: hand out the text that is left of a result that could not be stored, instead of raising `ResultNotStorable`
    lossy_replay: bool = False
    pauses: tuple[type[BaseException], ...] = ()
    cancels: tuple[type[BaseException], ...] = ()
    clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    token: Callable[[], str] = field(default=lambda: secrets.token_hex(8))
    draining: threading.Event = field(default_factory=threading.Event)
    with_args: bool = field(default_factory=lambda: os.environ.get("TOOLSLOT_LOG_ARGS") == "1")

    def policy(self, tool: str) -> ToolPolicy:
        return self.policies.get(tool, self.default_policy)

    def owner(self) -> Owner:
        return Owner(process=self.journal.process, token=self.token())

    def busy_until(self) -> float | None:
        """Until when to wait for others from now on, in monotonic seconds; None is for ever."""
        limit = self.limits.busy_timeout
        return None if limit is None else self.monotonic() + limit

    def left(self, until: float | None) -> float:
        """The seconds from now until then."""
        return math.inf if until is None else until - self.monotonic()

    def spec(self, index: int, call: Call, run_id: str) -> SlotSpec:
        """What the manifest says of a call: the guard, and the arguments as the model issued them."""
        policy = self.policy(call.tool)
        if not policy.record:
            return SlotSpec(
                index=index,
                tool=call.tool,
                call_id=call.call_id,
                digest=None,
                args=_NO_ARGS,
                idempotent=policy.idempotent,
                recorded=False,
            )
        key = self.journal.digest_key
        plain = args_digest(call.tool, call.args)
        return SlotSpec(
            index=index,
            tool=call.tool,
            call_id=call.call_id,
            digest=plain if key is None else args_digest(call.tool, call.args, key=key),
            unkeyed=None if key is None else plain,
            args=encode(dict(call.args), _ARGS),
            idempotent=policy.idempotent,
            effect=None if policy.effect_key is None else self._effect(policy, call, run_id),
        )

    def _effect(self, policy: ToolPolicy, call: Call, run_id: str) -> NamedEffect | NoKey:
        assert policy.effect_key is not None, "asked only of one that names an effect"
        return name_effect(
            policy.effect_key,
            policy.effect_name or call.tool,
            call.args,
            ignore=policy.effect_ignore,
            run_id=run_id if policy.effect_scope == "run" else None,
            ttl=policy.effect_ttl,
            digest_key=self.journal.digest_key,
        )

    def demand(self, key: BatchKey, tool: str, batch_limit: int | None) -> Demand:
        policy = self.policy(tool)
        limits = filter(None, (policy.max_parallel, self.limits.tools.get(tool)))
        return Demand(
            batch=key,
            tool=tool,
            batch_limit=batch_limit,
            tool_limit=min(limits, default=None),
            process_limit=self.limits.process,
            rate=policy.rate,
        )

    def encode(self, tool: str, value: object) -> Payload:
        """The result as it is journaled; never fails, a value that no codec can write becomes text marked lossy."""
        return encode(value, self.policy(tool).codec or self.codec)

    def decode(self, tool: str, payload: Payload) -> object:
        codec = self.policy(tool).codec
        value = decode(payload, self.codecs if codec is None else {**self.codecs, codec.name: codec})
        if not isinstance(value, Content):
            return value
        return value.content if self.contents is None else self.contents.from_content(value)

    def content(self, tool: str, value: object) -> Payload | None:
        """What a result says in every host; None where its own record can be read by every host."""
        if self.contents is not None:
            content = self.contents.to_content(value)
            return None if content is None else encode_content(content)
        codec = self.policy(tool).codec or self.codec
        return None if codec.name == _ARGS.name else encode_content(Content(value))

    def view(self, key: BatchKey, slot: SlotRecord) -> Slot:
        """The slot for a person's code: arguments decoded, times as datetimes."""
        args = decode(slot.spec.args, self.codecs)
        return Slot(
            run_id=key.run_id,
            batch_id=key.batch_id,
            index=slot.index,
            tool=slot.spec.tool,
            args=_as_mapping(args),
            call_id=slot.spec.call_id,
            idempotency_key=slot.key_in(key),
            state=slot.state,
            attempt=slot.attempt,
            version=slot.version,
            started_at=utc(slot.started_at),
            reason=slot.reason,
            error=slot.error,
            evidence=tuple(self._evidence(slot, i) for i in range(len(slot.evidence))),
            notes=tuple(map(note_view, slot.notes)),
        )

    def _evidence(self, slot: SlotRecord, i: int) -> EvidenceView:
        row = slot.evidence[i]
        value: object = None
        if row.outcome is not None:
            try:
                value = self.decode(slot.spec.tool, row.outcome)
            except UnreadablePayload as error:
                value = str(error)
        at = utc(row.at)
        assert at is not None
        return EvidenceView(at=at, failed=row.failed, value=value, error=row.error)

    def emit(
        self,
        kind: EventKind,
        key: BatchKey,
        slot: SlotRecord,
        *,
        queued: float | None = None,
        latency: float | None = None,
        error: ErrorRecord | None = None,
        detail: str = "",
    ) -> None:
        if self.hooks.present and self.hooks.wants(kind):
            error_type = error.type_name if error is not None else None
            self.hooks.emit(
                self._event(
                    kind, key, slot, queued=queued, latency=latency, error_type=error_type, detail=detail
                )
            )

    def running(
        self, key: BatchKey, slot: SlotRecord, attempt: int, queued: float
    ) -> AbstractContextManager[None]:
        """To be entered around an attempt, from its start to its record, in the thread or task that its code's context is copied from."""
        if not self.hooks.attending:
            return nullcontext()
        started = self._event(EventKind.STARTED, key, replace(slot, attempt=attempt), queued=queued)
        return self.hooks.running(started)

    def _event(
        self,
        kind: EventKind,
        key: BatchKey,
        slot: SlotRecord,
        *,
        queued: float | None,
        latency: float | None = None,
        error_type: str | None = None,
        detail: str = "",
    ) -> CallEvent:
        return CallEvent(
            kind=kind,
            run_id=key.run_id,
            batch_id=key.batch_id,
            index=slot.index,
            tool=slot.spec.tool,
            call_id=slot.spec.call_id,
            state=slot.state,
            attempt=slot.attempt,
            at=self.clock(),
            queued=queued,
            latency=latency,
            reason=slot.reason,
            error_type=error_type,
            detail=detail,
            args=self._args(slot.spec) if self.with_args else None,
        )

    def tell(self, event: Event) -> None:
        self.hooks.emit(event)

    def differing(self, recorded: SlotSpec, presented: SlotSpec) -> list[str]:
        """The names of the arguments that are not the same in both."""
        before, now = self._args(recorded), self._args(presented)
        same = {name for name in before.keys() & now.keys() if _digest(before, name) == _digest(now, name)}
        return sorted((before.keys() | now.keys()) - same)

    def _args(self, spec: SlotSpec) -> Mapping[str, object]:
        try:
            return _as_mapping(decode(spec.args, self.codecs))
        except ToolslotError:
            return {}


def _digest(args: Mapping[str, object], name: str) -> str | None:
    return args_digest("", {name: args[name]})


def _as_mapping(value: object) -> Mapping[str, object]:
    """Decoded arguments; arguments that could only be kept as text come back under one key that says so."""
    if isinstance(value, dict):
        return {str(name): item for name, item in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    return {"(arguments, as text)": value}
