from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from threading import Barrier, Thread

import pytest

from toolslot._demo._ledger import KeyReused, Ledger
from toolslot._demo._story import RequestKind


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    ledger = Ledger(tmp_path / "ledger.db")
    yield ledger
    ledger.close()


def pay_rent(ledger: Ledger, key: str | None = None, cents: int = 100) -> str:
    return ledger.book(invoice="INV-1", payee="rent", cents=cents, key=key).receipt


def test_without_a_key_every_order_moves_money(ledger: Ledger) -> None:
    assert pay_rent(ledger) != pay_rent(ledger)
    assert ledger.spent() == 200


def test_a_repeated_key_returns_the_first_receipt_and_moves_no_money(ledger: Ledger) -> None:
    assert pay_rent(ledger, "k") == pay_rent(ledger, "k")
    assert ledger.spent() == 100


def test_a_key_that_comes_back_with_another_amount_is_refused(ledger: Ledger) -> None:
    pay_rent(ledger, "k")
    with pytest.raises(KeyReused):
        pay_rent(ledger, "k", cents=101)
    assert ledger.spent() == 100


def test_two_orders_with_one_key_at_the_same_time_are_booked_once(ledger: Ledger) -> None:
    ready = Barrier(8)
    receipts: list[str] = []

    def order() -> None:
        ready.wait()
        receipts.append(pay_rent(ledger, "k"))

    threads = [Thread(target=order) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(receipts) == 8
    assert len(set(receipts)) == 1
    assert len(ledger.copy().payments) == 1


def test_a_request_counts_when_it_arrives_not_when_it_is_answered(ledger: Ledger) -> None:
    request = ledger.note("INV-1", RequestKind.ENTER)
    assert (ledger.copy().tally("INV-1").entered, ledger.copy().tally("INV-1").unanswered) == (1, 1)
    ledger.answered(request, 404)
    tally = ledger.copy().tally("INV-1")
    assert (tally.entered, tally.unanswered, tally.refused) == (1, 0, 1)


def test_a_tally_counts_only_its_own_call(ledger: Ledger) -> None:
    pay_rent(ledger)
    ledger.note("INV-1", RequestKind.PAY)
    ledger.note("INV-1", RequestKind.ASK)
    mine, other = ledger.copy().tally("INV-1"), ledger.copy().tally("INV-2")
    assert (mine.booked, mine.pay_requests, mine.asked) == (1, 1, 1)
    assert (other.booked, other.pay_requests, other.asked) == (0, 0, 0)
