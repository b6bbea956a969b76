"""Everything that is wrong with what lies in a directory, also where it cannot be opened any more."""

from __future__ import annotations

import os
from dataclasses import replace

from toolslot._errors import (
    JournalCorrupt,
    JournalError,
    JournalIOError,
    JournalReplaced,
    JournalTooNew,
    JournalTooOld,
    JournalUnavailable,
    JournalUnsafe,
    NotAJournal,
)
from toolslot.journal._disk._commit_lock import noted_id
from toolslot.journal._disk._faults import translate
from toolslot.journal._disk._place import Place
from toolslot.journal._doctor._check import examine
from toolslot.journal._doctor._findings import Finding, FindingKind, JournalReport
from toolslot.journal._doctor._surroundings import surroundings
from toolslot.journal._format._encryption import Encryption

_KINDS: tuple[tuple[type[JournalError], FindingKind], ...] = (
    (JournalReplaced, FindingKind.REPLACED),
    (JournalTooNew, FindingKind.TOO_NEW),
    (JournalTooOld, FindingKind.OLD_FORMAT),
    (JournalUnsafe, FindingKind.UNSAFE),
    (JournalCorrupt, FindingKind.UNREADABLE),
    (JournalIOError, FindingKind.UNREADABLE),
)


def diagnose(place: Place, encryption: Encryption | None = None) -> JournalReport:
    """Look at the journal and where it lies. Changes nothing and hinders nobody.

    Raises:
        JournalError: there is no journal here, or it cannot be looked at now.
    """
    try:
        if not os.path.isdir(place.root):
            raise JournalUnavailable(f"there is no journal in {place.root}. Check the path.")
        noted = noted_id(place.commit_lock)
        around = tuple(surroundings(place))
    except OSError as error:
        raise translate(error, str(place.root)) from error
    report = _content(place, noted, around, encryption)
    texts = {finding.text for finding in report.findings}
    return replace(
        report,
        findings=(*report.findings, *(finding for finding in around if finding.text not in texts)),
    )


def _content(
    place: Place, noted: str, around: tuple[Finding, ...], encryption: Encryption | None
) -> JournalReport:
    try:
        _refuse_missing(place, noted, around)
        report = examine(place, encryption)
    except JournalError as error:
        kind = _kind(error, noted)
        if kind is None:
            raise
        finding = Finding(kind=kind, text=str(error), subject=place.database)
        return JournalReport(path=str(place.root), journal_id=noted, findings=(finding,))
    if noted and report.journal_id and noted != report.journal_id:
        text = (
            f"{place.directory} holds journal {report.journal_id}, but {place.commit_lock} belongs to journal {noted}: one was put in"
            " the other's place. Put back what belongs together."
        )
        return replace(report, findings=(Finding(kind=FindingKind.REPLACED, text=text), *report.findings))
    return report


def _refuse_missing(place: Place, noted: str, around: tuple[Finding, ...]) -> None:
    try:
        empty = os.stat(place.database).st_size == 0
    except FileNotFoundError:
        empty = True
    if empty and noted:
        raise JournalReplaced(
            f"{place.database} is missing or empty, but journal {noted} was kept in it. Restore it from a backup."
        )
    if empty and any(finding.kind is FindingKind.UNFINISHED for finding in around):
        raise JournalUnavailable(
            f"the journal in {place.root} is being made just now, or its maker died before it was there: then the next process that"
            " opens it makes it."
        )


def _kind(error: JournalError, noted: str) -> FindingKind | None:
    """What an error says of the files; None when it says nothing of them."""
    if isinstance(error, NotAJournal):
        return FindingKind.REPLACED if noted else None
    for kind, finding in _KINDS:
        if isinstance(error, kind):
            return finding
    return None
