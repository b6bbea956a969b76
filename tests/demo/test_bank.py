from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import enumerate as living_threads

import pytest

from toolslot._demo._bank import Bank
from toolslot._demo._client import BankClient, BankError
from toolslot._demo._story import RequestKind

ORDER = {"invoice": "INV-1", "payee": "rent", "cents": 12_345}
HELD = frozenset({("INV-1", RequestKind.PAY)})


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[Bank]:
    with Bank(tmp_path / "ledger.db") as bank:
        yield bank


@pytest.fixture
def client(bank: Bank) -> BankClient:
    return BankClient(bank.port, timeout=10)


def watch_nothing() -> None: ...


def test_a_repeated_idempotency_key_is_answered_with_the_first_receipt(
    bank: Bank, client: BankClient
) -> None:
    first = client.post("payments", ORDER, idempotency_key="k")
    assert client.post("payments", ORDER, idempotency_key="k") == first
    assert len(bank.ledger.copy().payments) == 1


def test_orders_without_a_key_are_all_booked(bank: Bank, client: BankClient) -> None:
    client.post("payments", ORDER)
    client.post("payments", ORDER)
    assert len(bank.ledger.copy().payments) == 2


def test_a_key_sent_with_another_order_is_refused(client: BankClient) -> None:
    client.post("payments", ORDER, idempotency_key="k")
    with pytest.raises(BankError, match="409"):
        client.post("payments", ORDER | {"cents": 1}, idempotency_key="k")


def test_a_payment_is_found_by_its_key(client: BankClient) -> None:
    assert client.get("payments", invoice="INV-1", key="k")["receipt"] is None
    receipt = client.post("payments", ORDER, idempotency_key="k")["receipt"]
    assert client.get("payments", invoice="INV-1", key="k")["receipt"] == receipt


def test_the_balance_falls_by_what_was_paid(client: BankClient) -> None:
    assert client.get("accounts", "main")["balance"] == "10,000.00 EUR"
    client.post("payments", ORDER)
    assert client.get("accounts", "main")["balance"] == "9,876.55 EUR"


def test_an_unknown_invoice_is_an_error(client: BankClient) -> None:
    with pytest.raises(BankError, match="404: no invoice INV-404"):
        client.get("invoices", "INV-404")


def test_an_unknown_page_is_an_error(client: BankClient) -> None:
    with pytest.raises(BankError, match="404: no such page"):
        client.get("vault")


def test_a_held_payment_is_booked_and_answered_only_after_the_release(tmp_path: Path) -> None:
    with Bank(tmp_path / "ledger.db", held=HELD) as bank, ThreadPoolExecutor(1) as pool:
        answer = pool.submit(BankClient(bank.port).post, "payments", ORDER)
        assert bank.wait_until_held(seconds=10, watch=watch_nothing)
        assert bank.ledger.copy().tally("INV-1").booked == 1
        assert bank.ledger.copy().tally("INV-1").unanswered == 1
        assert not answer.done()
        bank.release()
        assert answer.result(timeout=10)["receipt"] == "R-1"


def test_after_the_release_nothing_is_held(tmp_path: Path) -> None:
    with Bank(tmp_path / "ledger.db", held=HELD) as bank:
        bank.release()
        assert BankClient(bank.port, timeout=10).post("payments", ORDER)["receipt"] == "R-1"


def test_waiting_for_held_requests_that_never_come_ends_in_time(tmp_path: Path) -> None:
    with Bank(tmp_path / "ledger.db", held=HELD) as bank:
        assert not bank.wait_until_held(seconds=0.01, watch=watch_nothing)


def test_waiting_ends_with_what_the_watch_raises(tmp_path: Path) -> None:
    def agent_died() -> None:
        raise ChildProcessError

    with Bank(tmp_path / "ledger.db", held=HELD) as bank, pytest.raises(ChildProcessError):
        bank.wait_until_held(seconds=60, watch=agent_died)


def test_leaving_the_block_ends_the_server_though_a_request_still_hangs(tmp_path: Path) -> None:
    with ThreadPoolExecutor(1) as pool:
        with Bank(tmp_path / "ledger.db", held=HELD) as bank:
            hanging = pool.submit(BankClient(bank.port, timeout=10).post, "payments", ORDER)
            assert bank.wait_until_held(seconds=10, watch=watch_nothing)
        hanging.exception(timeout=10)  # answered or cut off: both are an end
    assert not any(thread.name == "demo-bank" for thread in living_threads())
