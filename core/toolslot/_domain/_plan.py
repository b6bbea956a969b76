"""What to do with a slot: a pure function from what is recorded, what is presented, the policy and the owner's standing."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from typing_extensions import assert_never

from toolslot._codec import ErrorRecord
from toolslot._domain._policy import ToolPolicy
from toolslot._domain._slot import SlotRecord, SlotSpec, SlotState
from toolslot._errors import InvalidArguments


class Standing(str, Enum):
    """Who may work on the batch now."""

    #: this batch run holds the current epoch
    MINE = "mine"
    #: its owner let go or is certainly dead
    FREE = "free"
    #: its owner is alive, or may be
    TAKEN = "taken"


@dataclass(frozen=True, slots=True)
class Replay:
    """Hand out what is recorded. `delivered`: what the agent was told about a call that could not be settled."""

    delivered: bool = False


@dataclass(frozen=True, slots=True)
class Repeat:
    """Enter the tool's code although its answer is recorded: what it left in the memory of the process that ran it is not here."""


@dataclass(frozen=True, slots=True)
class Run:
    """Enter the tool's code: it certainly has not had its effect."""

    attempt: int


@dataclass(frozen=True, slots=True)
class RunUnrecorded:
    """Run it as often as it is entered, whichever owner the batch has: nothing of it is stored."""


@dataclass(frozen=True, slots=True)
class Rerun:
    """Enter the tool's code although an earlier attempt may have had its effect. `undeclared`: no policy says that this is all right."""

    attempt: int
    undeclared: bool


@dataclass(frozen=True, slots=True)
class Reconcile:
    """Ask the tool's reconciler. `doubt`: the slot is a failure that escaped and must be marked UNKNOWN first."""

    doubt: bool = False


@dataclass(frozen=True, slots=True)
class Ask:
    """Stop here until a person decides. `doubt` as in `Reconcile`."""

    doubt: bool = False


@dataclass(frozen=True, slots=True)
class Fail:
    """Give `UnknownOutcome` as the call's error. `doubt` as in `Reconcile`."""

    doubt: bool = False


@dataclass(frozen=True, slots=True)
class Wait:
    """Another owner works on it: wait for its result, bounded."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Take the batch over first, then plan again."""


@dataclass(frozen=True, slots=True)
class Mismatch:
    """The slot was reserved for another call."""

    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Closed:
    """Nothing of this batch runs any more, and this call has no recorded answer."""


@dataclass(frozen=True, slots=True)
class Look:
    """Load the slot once more, then plan again: somebody may have decided it from outside."""


@dataclass(frozen=True, slots=True)
class Lose:
    """Mark the call UNKNOWN, then plan again: it began under our epoch, no code of it runs here, and its end is not on record."""


@dataclass(frozen=True, slots=True)
class Clear:
    """Learn how the effect stands that the call names, then plan again."""


@dataclass(frozen=True, slots=True)
class FailedHere:
    """This entrance has run the call, which failed in a way that may simply run again; where that was recorded."""

    epoch: int
    version: int


#: what has to be done before the call can be planned to its end, or why it cannot be
Obstacle: TypeAlias = Reconcile | Ask | Fail | Wait | Claim | Mismatch | Closed | Look | Lose | Clear

Action: TypeAlias = Replay | Repeat | Run | RunUnrecorded | Rerun | Obstacle

#: what enters the tool's code
Entering: TypeAlias = Run | RunUnrecorded | Rerun | Repeat


def plan(
    slot: SlotRecord,
    presented: SlotSpec,
    policy: ToolPolicy,
    standing: Standing,
    *,
    closed: bool = False,
    ran_here: bool = True,
    looked: bool = True,
    begun: bool = False,
    epoch: int = 0,
    failed: FailedHere | None = None,
    cleared: bool = True,
) -> Action:
    """The one next step for a slot. `presented` is the call as it stands in front of us now, `slot` what the journal holds.

    `ran_here`: this process is one that ran the call to its recorded end. `looked`: the slot was loaded for this entrance. `begun`: its
    start mark came with the reservation, and its code was not entered. `cleared`: it names no effect, or it is known that the call may
    have it. `failed` says nothing any more under another `epoch`, or when the
    slot has changed since.
    """
    if slot.state is SlotState.UNKNOWN and not looked:
        return Look()
    action = _plan(slot, presented, policy, standing, closed=closed, ran_here=ran_here)
    if (
        failed is not None
        and failed == FailedHere(epoch, slot.version)
        and not isinstance(action, (Repeat, RunUnrecorded))
    ):
        return Rerun(slot.attempt + 1, undeclared=False) if cleared else Clear()
    if slot.state is SlotState.RUNNING and isinstance(action, (Rerun, Reconcile, Ask, Fail)):
        return Run(slot.attempt) if begun else Lose()
    if not cleared and isinstance(action, (Run, Rerun, Reconcile, Ask, Fail)):
        return Clear()
    return action


def answered(
    slot: SlotRecord,
    presented: SlotSpec,
    policy: ToolPolicy,
    *,
    closed: bool,
    ran_here: bool,
    at_work: bool,
) -> bool:
    """Whether the answer on record can be handed out at once, whoever has the batch. `at_work`: an attempt on the call runs here."""
    if not slot.final and (at_work or (slot.state is not SlotState.FAILED and slot.delivered is None)):
        return False  # an attempt that runs may say more than what was told of it
    action = _plan(slot, presented, policy, Standing.TAKEN, closed=closed, ran_here=ran_here)
    return isinstance(action, Replay)


def _plan(
    slot: SlotRecord,
    presented: SlotSpec,
    policy: ToolPolicy,
    standing: Standing,
    *,
    closed: bool,
    ran_here: bool,
) -> Action:
    if slot.spec is not presented and (differs := mismatch(slot.spec, presented)):
        return Mismatch(differs)
    if not slot.version and not (presented.recorded and (slot.spec.recorded or not closed)):
        return RunUnrecorded()  # a closed batch takes no record any more
    action = _by_state(slot, policy)
    if isinstance(action, Replay):
        return action if ran_here or policy.on_resume != "rerun" else Repeat()
    if isinstance(action, Fail) and slot.delivered is not None:
        return Replay(
            delivered=True
        )  # the agent was told already that it is not known, and is told the same again
    if closed:
        return Replay(delivered=True) if slot.delivered is not None else Closed()
    match standing:
        case Standing.MINE:
            return action
        case Standing.FREE:
            return Claim()
        case Standing.TAKEN:
            return Wait()
        case _:
            assert_never(standing)


def mismatch(recorded: SlotSpec, presented: SlotSpec) -> tuple[str, ...]:
    """Which parts of the guard differ: the tool, the arguments' digest, the framework's call id."""
    if (
        presented.same_arguments(recorded)
        and recorded.tool == presented.tool
        and recorded.call_id == presented.call_id
    ):
        return ()
    same = {
        "tool": recorded.tool == presented.tool,
        "arguments": presented.same_arguments(recorded),
        "call id": recorded.call_id == presented.call_id,
    }
    return tuple(name for name, equal in same.items() if not equal)


def settle_unknown(slot: SlotRecord, policy: ToolPolicy, *, doubt: bool = False) -> Rerun | Ask | Fail:
    """What becomes of an UNKNOWN call when no reconciler can tell."""
    if policy.idempotent:
        return Rerun(slot.attempt + 1, undeclared=False)
    rule = policy.unknown_rule
    match rule:
        case "rerun":
            return Rerun(slot.attempt + 1, undeclared=not _declared(policy))
        case "ask":
            return Ask(doubt)
        case "fail":
            return Fail(doubt)
        case _:
            assert_never(rule)


def harmless(slot: SlotRecord, policy: ToolPolicy) -> bool:
    """Whether running the call once more does no harm that its policy forbids; true of one that was not entered or asks a question."""
    if slot.state in (SlotState.RESERVED, SlotState.WAITING):
        return True
    return policy.idempotent or policy.unknown_rule == "rerun"


def reruns(policy: ToolPolicy) -> bool:
    """Whether a call of unknown outcome simply runs again, so that it does no harm when one looks begun that was not."""
    return policy.idempotent or (policy.reconcile is None and policy.unknown_rule == "rerun")


def retries_failure(policy: ToolPolicy, error: type[BaseException] | ErrorRecord | None) -> bool:
    """Whether such a failure may simply run again: it certainly did nothing, or the tool may be rerun anyway.

    Of a recorded failure only names are left: those of its class and of the classes it was derived from.
    """
    if policy.idempotent or (policy.unknown_rule == "rerun" and policy.on_failed != "replay"):
        return True
    certain: tuple[type[BaseException], ...] = (InvalidArguments, *policy.not_done)
    if isinstance(error, type):
        return issubclass(error, certain)
    return error is not None and error.is_any_of(certain)


def may_try_again(policy: ToolPolicy, error: type[BaseException]) -> bool:
    """Whether a run may try once more after such a failure: at once, or when the reconciler has been asked."""
    return retries_failure(policy, error) or (policy.reconcile is not None and policy.on_failed != "replay")


def _declared(policy: ToolPolicy) -> bool:
    """Whether somebody thought about what a second run of this tool does."""
    return (
        policy.on_unknown is not None
        or policy.reconcile is not None
        or policy.idempotent
        or policy.on_resume == "rerun"
    )


def _by_state(slot: SlotRecord, policy: ToolPolicy) -> Replay | Run | Rerun | Reconcile | Ask | Fail:
    match slot.state:
        case SlotState.RESERVED | SlotState.WAITING:
            return Run(slot.attempt + 1)
        case SlotState.SUCCEEDED:
            return Replay()
        case SlotState.FAILED:
            return _failed(slot, policy)
        case SlotState.RUNNING | SlotState.UNKNOWN:
            # RUNNING under our own epoch, and no code of it runs: its caller died here (an interpreter shutdown, say).
            return _unknown(slot, policy)
        case _:
            assert_never(slot.state)


def _failed(slot: SlotRecord, policy: ToolPolicy) -> Replay | Rerun | Reconcile | Ask | Fail:
    if not slot.escaped or policy.on_failed == "replay":
        return Replay()
    if retries_failure(policy, slot.error):
        return Rerun(slot.attempt + 1, undeclared=False)
    return _unknown(slot, policy, doubt=True)


def _unknown(slot: SlotRecord, policy: ToolPolicy, *, doubt: bool = False) -> Rerun | Reconcile | Ask | Fail:
    if policy.reconcile is not None and not policy.idempotent:
        return Reconcile(doubt)
    return settle_unknown(slot, policy, doubt=doubt)
