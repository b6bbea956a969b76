"""`toolslot forget-effect`: have what was done, or may have been, run again."""

from __future__ import annotations

import time

import click

from toolslot._domain._claim import ForgetEffect
from toolslot._domain._effect_names import KeyPart, effect_digests
from toolslot._text import quoted, shown
from toolslot._views import EffectState, EffectView, Insights, key_text
from toolslot.cli._completing import complete_effect_keys, complete_effects, complete_runs
from toolslot.cli._effect_words import kind_of, meant_keys, typed_exactly
from toolslot.cli._ending import Refused
from toolslot.cli._opening import opened, reading
from toolslot.cli._options import by_option, journal_option, operator, why_option


@click.command("forget-effect")
@click.argument("tool", metavar="TOOL", shell_complete=complete_effects)
@click.argument("words", metavar="KEY...", nargs=-1, required=True, shell_complete=complete_effect_keys)
@journal_option
@click.option(
    "--run",
    "run_id",
    metavar="RUN",
    shell_complete=complete_runs,
    help="The effect is one of this run only (effect_scope='run').",
)
@click.option("--exact", is_flag=True, help="Read KEY as JSON: 4711 is the number, '\"4711\"' the text.")
@click.option("--dry-run", is_flag=True, help="Only say what would be forgotten.")
@why_option
@by_option
def forget_effect(
    tool: str,
    words: tuple[str, ...],
    *,
    where: str | None,
    run_id: str | None,
    exact: bool,
    dry_run: bool,
    why: str,
    by: str | None,
) -> None:
    """Have the effect of TOOL with this KEY run again.

    "Yes, pay it again": the next call with the key runs, under a new idempotency key. TOOL and KEY are as `toolslot effects` lists
    them; a key of several parts is given as several words.

    Exit code: 0, or 1 when it was refused: there is no such effect, KEY fits two, or a living process is at it.
    """
    meant = meant_keys(words, exact=exact)
    with reading(where):
        pass  # where there is no journal, none must be made by opening it to write
    with opened(where, read_only=dry_run) as journal:
        digests = {
            key: effect_digests(tool, key, run_id=run_id, digest_key=journal.digest_key) for key in meant
        }
        all_digests = {digest for names in digests.values() for digest in names}
        listed = [
            each for each in Insights(journal).effects() if each.tool == tool or each.digest in all_digests
        ]
        key, found = _the_one(tool, words, digests, listed, run_id)
        if found.holder is None and found.state is not EffectState.UNKNOWN:
            click.echo(_forgotten_already(found, key))
            return
        if dry_run and found.state is EffectState.RUNNING:
            raise Refused(f"{found.holder} has this effect under way, and its owner is or may be alive.")
        if not dry_run:
            journal.submit(
                ForgetEffect(digests=digests[key], by=operator(by), why=why, at=time.time())
            ).result()
    click.echo(_done(found, key, dry_run=dry_run))


def _the_one(
    tool: str,
    words: tuple[str, ...],
    digests: dict[tuple[KeyPart, ...], tuple[str, ...]],
    listed: list[EffectView],
    run_id: str | None,
) -> tuple[tuple[KeyPart, ...], EffectView]:
    """The one effect of the tool that is recorded under one of the digests, and its key."""
    found = [(key, each) for key, names in digests.items() for each in listed if each.digest in names]
    if not found:
        raise Refused(_unknown(tool, words, set(digests), listed, run_id))
    if len({key for key, _ in found}) > 1:
        raise Refused(_two(tool, [key for key, _ in found]))
    return found[0]


def _unknown(
    tool: str,
    words: tuple[str, ...],
    meant: set[tuple[KeyPart, ...]],
    listed: list[EffectView],
    run_id: str | None,
) -> str:
    looked = f"the journal has no effect of {quoted(tool)} with the key {shown(' '.join(words))}"
    scope = f" in run {quoted(run_id)}" if run_id is not None else ""
    if any(each.hidden for each in listed):
        return f"{looked}{scope}, as far as can be seen: its keys are encrypted. Give the journal's key in TOOLSLOT_KEY."
    elsewhere = next((each for each in listed if each.key in meant), None)
    if elsewhere is None:
        names = "" if listed else ", under the tool's name or the effect_name of its policy"
        return f"{looked}{scope}: nothing was forgotten. `toolslot effects` lists those that it has{names}."
    if elsewhere.run_id is None:
        return f"{looked}{scope}, but one for all runs: nothing was forgotten. Leave --run out if you mean that one."
    return (
        f"{looked}{scope or ' for all runs'}, but one in run {quoted(elsewhere.run_id)} only: nothing was forgotten. Say --run if you"
        " mean that one."
    )


def _two(tool: str, keys: list[tuple[KeyPart, ...]]) -> str:
    named = "; ".join(f"for {kind_of(key)} type --exact {typed_exactly(key)}" for key in keys)
    return f"this names {len(keys)} effects of {quoted(tool)}, so nothing was forgotten: {named}."


def _forgotten_already(found: EffectView, key: tuple[KeyPart, ...]) -> str:
    from toolslot.cli._console import moment_text

    last = found.forgotten[-1] if found.forgotten else None
    by = f" by {shown(last.by)} at {moment_text(last.at)} UTC" if last is not None else ""
    return f"{_named(found, key)} is forgotten already{by}: nothing was changed. The next call with this key runs."


def _done(found: EffectView, key: tuple[KeyPart, ...], *, dry_run: bool) -> str:
    would, runs = ("would be ", "would run") if dry_run else ("", "runs")
    where = found.holder or "its record is damaged"
    return (
        f"{would}forgotten: {_named(found, key)}, {_STOOD[found.state]} ({where}). The next call with this key {runs}, under a new"
        " idempotency key."
    )


def _named(found: EffectView, key: tuple[KeyPart, ...]) -> str:
    return f"the effect of {shown(found.tool)} with the key {key_text(key)}"


_STOOD = {
    EffectState.FREE: "which may run anyway",
    EffectState.RUNNING: "which was under way",
    EffectState.WAITING: "which waited for an answer",
    EffectState.DONE: "which was done",
    EffectState.UNKNOWN: "of which nobody knows whether it was done",
    EffectState.FAILED: "which has failed, perhaps after it was done",
}
