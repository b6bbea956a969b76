"""What the model does, whatever API it is asked through: five calls at once for a user's message, a sentence for their results."""

from __future__ import annotations

from dataclasses import dataclass

CALLS = 5
TOOL = "pay"
THOUGHT = "Five invoices are due; I pay all of them."


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    id: str
    arguments: dict[str, int]
    name: str = TOOL


def calls(turn: int, prefix: str = "call_") -> list[Call]:
    """The calls of the model's answer of this number; their ids are nine signs, all that Mistral allows, behind the prefix."""
    return [Call(id=f"{prefix}{turn:04d}x{i:04d}", arguments={"i": i}) for i in range(CALLS)]


def sentence(turn: int) -> str:
    return f"Paid, says answer {turn}."
