"""What every journal back end must do, as tests it can run on itself."""

from __future__ import annotations

from typing_extensions import override

from toolslot.journal import Journal
from toolslot.testing._closing import ClosingContract
from toolslot.testing._decisions import DecisionContract
from toolslot.testing._effects import ClaimContract
from toolslot.testing._effects_held import DoneEffectContract, HeldEffectContract
from toolslot.testing._effects_kept import EffectListContract, ForgettingContract, KeepingContract
from toolslot.testing._effects_moved import MovedEffectContract
from toolslot.testing._ending import EndingContract, IdempotentContract
from toolslot.testing._forks import AdoptionContract, RegenerationContract
from toolslot.testing._history import HistoryContract
from toolslot.testing._notes import NoteContract
from toolslot.testing._ownership import OwnerStateContract, TakeOverContract
from toolslot.testing._reserving import ReservingContract
from toolslot.testing._results import LateResultContract, RepetitionContract, ResultContract
from toolslot.testing._runs import AgeContract, ListingContract, PurgeContract
from toolslot.testing._starting import StartingContract
from toolslot.testing._traffic import TrafficContract
from toolslot.testing._values import ValueContract


class JournalContract(
    ReservingContract,
    StartingContract,
    EndingContract,
    IdempotentContract,
    ResultContract,
    LateResultContract,
    RepetitionContract,
    NoteContract,
    DecisionContract,
    ClaimContract,
    DoneEffectContract,
    HeldEffectContract,
    MovedEffectContract,
    ForgettingContract,
    KeepingContract,
    EffectListContract,
    TakeOverContract,
    OwnerStateContract,
    AdoptionContract,
    RegenerationContract,
    HistoryContract,
    ListingContract,
    AgeContract,
    PurgeContract,
    ValueContract,
    TrafficContract,
    ClosingContract,
):
    """The tests a `Journal` must pass.

    A back end's test class inherits them and says how to open one::

        class TestMyJournal(JournalContract):
            def setup_method(self) -> None:
                self.storage = ...      # fresh for every test

            def make_journal(self) -> Journal:
                return MyJournal(self.storage)

    The storage may come from a pytest fixture of the class as well. What must outlive the openers is dropped in
    `teardown_method`, after `super().teardown_method()` has closed them.
    """

    @override
    def make_journal(self) -> Journal:
        """Open one more journal over the storage of the current test.

        A test calls this several times: the openers share the storage as several processes would, and nothing
        else. What one has acknowledged, the others see.
        """
        return super().make_journal()

    @override
    def die(self, journal: Journal) -> None:
        """The opener's process ends without letting go of anything. Default: `close`.

        A back end whose openers can be separate processes, or that can drop its locks without tidying up, does
        that here. `close` is called on the opener once more when the test is over.
        """
        super().die(journal)
