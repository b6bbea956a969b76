"""What `toolslot doctor` prints, and whether all is well."""

from __future__ import annotations

import json

import click

from toolslot.cli._numbers import count
from toolslot.journal._doctor._findings import FindingKind, JournalReport, Remedy, remedy
from toolslot.journal._doctor._repair import RepairReport
from toolslot.journal._doctor._salvage import SalvageReport

_ADVICE = {
    Remedy.REPAIR: "`toolslot doctor --repair` mends: ",
    Remedy.SALVAGE: "`toolslot doctor --salvage DIR` brings what is sound into a new journal: ",
    Remedy.RESTORE: "restore a backup: ",
}


def show_report(report: JournalReport, *, as_json: bool) -> bool:
    """Whether it is sound."""
    if as_json:
        click.echo(json.dumps(report.to_json(), indent=2))
    else:
        _findings(report)
        _advice(report)
        click.echo("sound" if report.sound else f"{len(report.problems)} problems; nothing was changed")
    return report.sound


def show_repair(report: RepairReport, *, as_json: bool) -> bool:
    """Whether it is sound now."""
    after = report.after
    if as_json:
        data = {"repaired": list(report.done), "backup": report.backup, "before": report.before.to_json()}
        click.echo(json.dumps({**data, "after": after.to_json()}, indent=2))
        return after.sound
    _findings(report.before)
    for step in report.done:
        click.echo(f"  repaired {step}")
    if report.backup is not None:
        click.echo(f"  as it was before: {report.backup}")
    if not report.done:
        click.echo("nothing was changed")
    for problem in after.problems:
        click.echo(f"  STILL    {problem}")
    _advice(after)
    click.echo("sound" if after.sound else f"{len(after.problems)} problems are left")
    return after.sound


def show_salvage(report: SalvageReport, *, as_json: bool) -> bool:
    """Whether nothing was lost."""
    if as_json:
        data = {"source": report.source, "target": report.target, "batches": report.batches}
        rest = {"rows": report.rows, "lost": list(report.lost), "nameless": report.nameless}
        click.echo(json.dumps({**data, **rest, "notes": list(report.notes)}, indent=2))
        return report.complete
    click.echo(
        f"salvaged {count(report.batches, 'batch', 'batches')}, {count(report.rows, 'row')}: {report.source} -> {report.target}"
    )
    for note in report.notes:
        click.echo(f"  note     {note}")
    for loss in report.lost:
        click.echo(f"  LOST     {loss}")
    if report.nameless:
        click.echo(
            "  LOST     records that nothing names any more: before you resume a run that the new journal does not know, find out what"
            " it has done."
        )
    click.echo(
        "nothing was lost"
        if report.complete
        else "what is named as lost is refused in the new journal, not run"
    )
    return report.complete


def _findings(report: JournalReport) -> None:
    click.echo(
        f"journal {report.path} ({report.journal_id}): {count(report.batches, 'batch', 'batches')}, {count(report.rows, 'row')}"
    )
    for problem in report.problems:
        click.echo(f"  DAMAGED  {problem}")
    for note in report.notes:
        click.echo(f"  note     {note}")


def _advice(report: JournalReport) -> None:
    for kind, text in _ADVICE.items():
        found = sorted({finding.kind.value for finding in report.findings if remedy(finding.kind) is kind})
        if found and (kind is not Remedy.REPAIR or _can_repair(report)):
            click.echo(f"  {text}{', '.join(found)}")


def _can_repair(report: JournalReport) -> bool:
    return not any(
        report.of(kind) for kind in (FindingKind.ENGINE, FindingKind.UNREADABLE, FindingKind.REPLACED)
    )
