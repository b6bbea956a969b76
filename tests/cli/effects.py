"""Journals whose calls have effect keys, made by agents of one process."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from toolslot import Batch, Call, DiskJournal, DurableExecutor, Encryption, ToolPolicy

BY_INVOICE = ToolPolicy(effect_key="invoice")


class Broke(Exception):
    """Perhaps after it had its effect."""


def receipt(invoice: Any, **_: object) -> str:
    if invoice == "breaks":
        raise Broke
    return f"receipt for {invoice}"


def paid(
    home: Path,
    *calls: Mapping[str, object],
    run: str = "order-17",
    batch: str = "step-1",
    policy: ToolPolicy = BY_INVOICE,
    encryption: Encryption | None = None,
    tool: str = "pay",
) -> list[Any]:
    """One response of a model that pays; what it gets. The arguments of each call are given."""
    issued = [Call(tool=tool, args=args, call_id=f"call_{index}") for index, args in enumerate(calls)]
    with DiskJournal.open(home, encryption=encryption) as journal:
        executor = DurableExecutor(journal, policies={tool: policy}, hooks=[])
        asked = Batch(run_id=run, batch_id=batch, calls=issued)
        return executor.run_all(asked, {tool: receipt}, return_exceptions=True)


def invoice(number: object, **more: object) -> dict[str, object]:
    return {"invoice": number, **more}
