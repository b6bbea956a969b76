"""`toolslot resolve`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NoReturn

import click

from toolslot._domain._policy import Done, Failed, NotDone
from toolslot._domain._slot import BatchKey, SlotState
from toolslot._operator import resolve as settle
from toolslot._text import quoted, shown
from toolslot._views import CallView
from toolslot.cli._calls import find_call, place
from toolslot.cli._doubtful import doubtful_effects
from toolslot.cli._ending import Refused
from toolslot.cli._opening import opened, reading
from toolslot.cli._options import by_option, call_argument, journal_option, operator, run_argument, why_option
from toolslot.cli._show import existing


@click.command()
@run_argument
@call_argument
@journal_option
@click.option("--done", metavar="JSON|@FILE", help="It was done; this is what the tool would have returned.")
@click.option("--failed", metavar="TEXT", help="It was made and failed for good; the agent gets this text.")
@click.option("--rerun", is_flag=True, help="It certainly had no effect: run it when the run goes on.")
@why_option
@by_option
@click.option(
    "--version",
    type=click.IntRange(min=0),
    metavar="N",
    help="The call's version when you looked; refused if it changed. Default: the version now.",
)
def resolve(
    run_id: str,
    call: str,
    *,
    where: str | None,
    done: str | None,
    failed: str | None,
    rerun: bool,
    why: str,
    by: str | None,
    version: int | None,
) -> None:
    """Decide CALL of RUN, whose outcome is not recorded. The agent takes it up when it is resumed.

    CALL is an idempotency key, batch#index, an index or a call id, as `toolslot pending` and `toolslot show` print them. What is decided
    is journaled with who, when and why, and is final. A living owner keeps its batch. A call with an effect key may be decided, too, when
    it failed, or when its batch is closed: the next call with the same key goes by that.

    Exit code: 0, or 1 when it was refused: there is nothing to decide, or something was recorded meanwhile.
    """
    answer = _answer(done, failed, rerun=rerun)
    with reading(where) as insights:
        run = existing(insights, run_id)
        found = find_call(run, call)
        if found.state is not SlotState.UNKNOWN and found.doubt is None:
            raise Refused(_nothing_to_decide(found) + doubtful_effects(insights, found))
    closed = any(batch.closed for batch in run.batches if batch.batch_id == found.batch_id)
    by_effect = found.keyed and (closed or found.doubt is not None)
    who = operator(by)
    with opened(where, read_only=False) as journal:
        slot = settle(
            journal,
            BatchKey(found.run_id, found.batch_id),
            found.index,
            answer,
            by=who,
            why=why,
            version=found.version if version is None else version,
        )
    click.echo(
        f"call {shown(place(found))} ({shown(found.tool)}) of run {quoted(run_id)} is {slot.state.value} now, says {shown(who)}."
        f" {_what_next(answer, by_effect=by_effect)}"
    )


def _answer(done: str | None, failed: str | None, *, rerun: bool) -> Done | Failed | NotDone:
    if (done is not None) + (failed is not None) + rerun != 1:
        raise click.UsageError("say what became of it: one of --done, --failed and --rerun.")
    if done is not None:
        return Done(_value(done))
    return NotDone() if failed is None else Failed(failed)


def _value(given: str) -> object:
    """The JSON on the command line, or in the file after `@`."""
    if given.startswith("@"):
        try:
            text = Path(given[1:]).read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise click.BadParameter(
                f"{quoted(given[1:])} cannot be read: {type(error).__name__}.", param_hint="--done"
            ) from error
    else:
        text = given
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        raise click.BadParameter(
            "that is not JSON. A text needs quotation marks within the shell's: --done '\"receipt 4711\"'.",
            param_hint="--done",
        ) from error


def _refuse(_: str) -> NoReturn:
    raise ValueError("NaN and Infinity are not JSON")


def _nothing_to_decide(call: CallView) -> str:
    by = ""
    if call.decision is not None:
        by = f", as {shown(call.decision.by)} has decided ({call.decision.verdict.value})"
    return (
        f"call {shown(place(call))} ({shown(call.tool)}) of run {quoted(call.run_id)} is {call.state.value}{by}, not unknown: there is"
        " nothing to decide."
    )


def _what_next(answer: Done | Failed | NotDone, *, by_effect: bool) -> str:
    """`by_effect`: the agent has gone on without the call, and another call may have the effect that it names."""
    if by_effect:
        told = "gets this result" if isinstance(answer, Done) else "runs"
        return f"The next call with its effect key {told}."
    if isinstance(answer, NotDone):
        return "Resume the agent: it runs the call."
    return "Resume the agent: it is told so, and the call does not run."
