"""The state of a slot, computed from its journal rows."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from typing_extensions import assert_never

from toolslot._domain._slot import (
    MOST_NOTES,
    AttemptRow,
    Decided,
    Deduplicated,
    Delivered,
    Evidence,
    Finished,
    Lost,
    Noted,
    Paused,
    Reason,
    Refused,
    Regenerated,
    Repeated,
    Row,
    SlotRecord,
    SlotSpec,
    SlotState,
    Started,
    Verdict,
    Withdrawn,
)


def fold_slot(spec: SlotSpec, rows: Sequence[Row]) -> SlotRecord:
    """The slot's state from its rows, in any order; only `evidence` keeps the order given.

    The newest generation counts, and in it the newest attempt; earlier ones are history. A call that was spared is settled by that. Else,
    within an attempt, a decision outranks a result, and a result outranks a loss (a late result settles it) unless the result was itself
    the reason for the loss. Evidence never says which attempt is the newest, and is shown for every attempt of the generation.
    """
    if not rows:
        return SlotRecord(spec=spec)
    usual = _usual(spec, rows) if len(rows) <= 2 else None
    if usual is not None:
        return usual
    generation = 1
    for row in rows:
        if row.generation > generation and not isinstance(row, Evidence):
            generation = row.generation
    steps: list[AttemptRow] = []
    evidence: list[Evidence] = []
    repeated: list[Repeated] = []
    notes: list[Noted] = []
    attempt = 0
    for row in rows:
        if row.generation != generation:
            continue
        if isinstance(row, Regenerated):
            spec = row.spec
        elif isinstance(row, Evidence):
            evidence.append(row)
        elif isinstance(row, Repeated):
            repeated.append(row)
        elif isinstance(row, Noted):
            notes.append(row)
            attempt = max(attempt, row.attempt)
        else:
            steps.append(row)
            attempt = max(attempt, row.attempt)
    if not notes:
        record = _Attempt(steps, attempt).record(spec, generation, len(rows), tuple(evidence))
    else:
        of_attempt = _Attempt(steps, attempt, [note for note in notes if note.attempt == attempt])
        record = of_attempt.record(spec, generation, len(rows), tuple(evidence))
        record = replace(record, notes=tuple(sorted(notes, key=lambda note: note.at)[-MOST_NOTES:]))
    if repeated and record.final:
        return _repeated(record, sorted(repeated, key=lambda row: (row.at, row.process)))
    return record


def _usual(spec: SlotSpec, rows: Sequence[Row]) -> SlotRecord | None:
    """A call that was started and perhaps finished, which nearly all are: the same as below, in a third of the time."""
    started, finished = rows[0], rows[-1]
    if not isinstance(started, Started) or started.generation < 1:
        return None
    if len(rows) == 1:
        return SlotRecord(
            spec=spec,
            generation=started.generation,
            state=SlotState.RUNNING,
            attempt=started.attempt,
            version=1,
            epoch=started.epoch,
            queued_at=started.queued_at,
            started_at=started.at,
            effect=started.effect,
        )
    same = (finished.generation, finished.attempt) == (started.generation, started.attempt)
    if not same or not isinstance(finished, Finished):
        return None
    return SlotRecord(
        spec=spec,
        generation=started.generation,
        state=SlotState.FAILED if finished.failed else SlotState.SUCCEEDED,
        attempt=started.attempt,
        version=2,
        epoch=finished.epoch,
        queued_at=started.queued_at,
        started_at=started.at,
        ended_at=finished.at,
        outcome=finished.outcome,
        error=finished.error,
        escaped=finished.failed and finished.escaped,
        effect=started.effect,
        content=finished.content,
    )


def _repeated(record: SlotRecord, rows: Sequence[Repeated]) -> SlotRecord:
    """The answer is that of the newest repetition."""
    newest = rows[-1]
    return replace(
        record,
        state=SlotState.FAILED if newest.failed else SlotState.SUCCEEDED,
        outcome=newest.outcome,
        error=None,
        repeated_in=tuple(row.process for row in rows),
    )


class _Attempt:
    """The rows of one attempt, sorted into what each of them says."""

    __slots__ = (
        "decided",
        "delivered",
        "finished",
        "lost",
        "noted",
        "number",
        "paused",
        "spared",
        "started",
        "withdrawn",
    )

    def __init__(self, rows: Iterable[AttemptRow], number: int, notes: Sequence[Noted] = ()) -> None:
        self.number = number
        #: of an idempotent call, which has no start mark, the first note tells that it began
        self.noted: Noted | None = notes[0] if notes else None
        self.started: Started | None = None
        self.withdrawn: Withdrawn | None = None
        self.paused: Paused | None = None
        self.lost: Lost | None = None
        self.finished: Finished | None = None
        self.decided: Decided | None = None
        self.delivered: Delivered | None = None
        self.spared: Deduplicated | Refused | None = None
        for row in rows:
            if row.attempt != number:
                continue
            match row:
                case Finished():
                    self.finished = row
                case Started():
                    self.started = row
                case Withdrawn():
                    self.withdrawn = row
                case Paused():
                    self.paused = row
                case Lost():
                    # Of two the one about the escaped failure is the later, in whatever order they come.
                    if self.lost is None or row.reason is Reason.ESCAPED:
                        self.lost = row
                case Decided():
                    self.decided = row
                case Delivered():
                    self.delivered = row
                case Deduplicated() | Refused():
                    self.spared = row
                case _:
                    assert_never(row)

    def state(self) -> SlotState:
        if self.spared is not None:
            return SlotState.FAILED if isinstance(self.spared, Refused) else SlotState.SUCCEEDED
        if self.decided is not None:
            return {
                Verdict.DONE: SlotState.SUCCEEDED,
                Verdict.FAILED: SlotState.FAILED,
                Verdict.RERUN: SlotState.RESERVED,
            }[self.decided.verdict]
        if self.withdrawn is not None:
            return SlotState.RESERVED
        escaped_into_doubt = self.lost is not None and self.lost.reason is Reason.ESCAPED
        if self.finished is not None and not escaped_into_doubt:
            return SlotState.FAILED if self.finished.failed else SlotState.SUCCEEDED
        if self.lost is not None:
            return SlotState.UNKNOWN
        if self.paused is not None:
            return SlotState.WAITING
        return SlotState.RUNNING if self.started or self.noted else SlotState.RESERVED

    def record(
        self, spec: SlotSpec, generation: int, version: int, evidence: tuple[Evidence, ...]
    ) -> SlotRecord:
        state = self.state()
        started, finished, decided = self.started, self.finished, self.decided
        if self.spared is not None:
            return self._not_entered(self.spared, spec, generation, version, evidence)
        newest = decided or finished or self.lost or self.paused or started or self.noted
        ended = finished or decided or self.lost
        # What an attempt brought counts no more once it was withdrawn or is to be repeated.
        source = None if state is SlotState.RESERVED else (decided or finished)
        return SlotRecord(
            spec=spec,
            generation=generation,
            state=state,
            attempt=self.number,
            version=version,
            epoch=newest.epoch if newest else 0,
            queued_at=started.queued_at if started else (finished.queued_at if finished else None),
            started_at=started.at if started else (finished.started_at if finished else None),
            ended_at=ended.at if ended else None,
            reason=self.lost.reason if self.lost and state is SlotState.UNKNOWN else None,
            outcome=source.outcome if source else None,
            error=source.error if source else None,
            escaped=state is SlotState.FAILED and decided is None and bool(finished and finished.escaped),
            decision=decided,
            delivered=self.delivered,
            evidence=evidence,
            effect=started.effect if started else None,
            content=source.content if source else None,
        )

    def _not_entered(
        self,
        spared: Deduplicated | Refused,
        spec: SlotSpec,
        generation: int,
        version: int,
        evidence: tuple[Evidence, ...],
    ) -> SlotRecord:
        done = spared if isinstance(spared, Deduplicated) else None
        return SlotRecord(
            spec=spec,
            generation=generation,
            state=self.state(),
            attempt=self.number,
            version=version,
            epoch=spared.epoch,
            ended_at=spared.at,
            outcome=done.outcome if done else None,
            error=spared.error if isinstance(spared, Refused) else None,
            evidence=evidence,
            effect=done.effect if done else None,
            holder=done.holder if done else None,
            refused=done is None,
        )
