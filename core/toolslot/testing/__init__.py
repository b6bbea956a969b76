"""What tests of journals, and of code that uses toolslot, need: the journal contract, crash points, a clock.

Importing it needs no pytest; the contract's tests are collected by pytest like any others.
"""

from __future__ import annotations

from toolslot._crashpoints import CrashPoint
from toolslot.testing._clock import FakeClock
from toolslot.testing._contract import JournalContract
from toolslot.testing._crash import crash_at, crash_environment

__all__ = ["CrashPoint", "FakeClock", "JournalContract", "crash_at", "crash_environment"]
