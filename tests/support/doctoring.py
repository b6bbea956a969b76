"""The doctor's work on the journal in a directory, and what its tests put there."""

from __future__ import annotations

import os

from toolslot import Encryption
from toolslot.journal import JournalReport
from toolslot.journal._disk import _seal
from toolslot.journal._disk._place import resolve
from toolslot.journal._doctor import _diagnosis, _repair, _salvage
from toolslot.journal._doctor._findings import FindingKind, Remedy, remedy
from toolslot.journal._doctor._repair import RepairReport
from toolslot.journal._doctor._salvage import SalvageReport

__all__ = [
    "FindingKind",
    "JournalReport",
    "Remedy",
    "RepairReport",
    "SalvageReport",
    "diagnose",
    "remedy",
    "repair",
    "salvage",
    "seal",
    "unseal",
]

seal, unseal = _seal.seal, _seal.unseal


def diagnose(root: str | os.PathLike[str], encryption: Encryption | None = None) -> JournalReport:
    return _diagnosis.diagnose(resolve(root), encryption)


def repair(root: str | os.PathLike[str]) -> RepairReport:
    return _repair.repair(resolve(root))


def salvage(root: str | os.PathLike[str], target: str | os.PathLike[str]) -> SalvageReport:
    return _salvage.salvage(resolve(root), resolve(target))
