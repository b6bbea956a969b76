"""What the model does, whatever API it is asked through: five calls at once for a user's message, five more for
their results, and a sentence for the results of those.
"""

from __future__ import annotations

from dataclasses import dataclass

ROUNDS = 2
ANSWERS = ROUNDS + 1
CALLS = 5
TOOL = "pay"
THOUGHT = "Five invoices are due; I pay all of them."


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    id: str
    arguments: dict[str, int]
    name: str = TOOL


def wants_calls(turn: int) -> bool:
    """Whether the answer of this number, counted from 0, asks for calls."""
    return turn % ANSWERS < ROUNDS


def calls(turn: int, prefix: str = "call_") -> list[Call]:
    """The calls of this answer; their ids are nine signs, all that Mistral allows, behind the prefix."""
    first = turn % ANSWERS * CALLS
    return [Call(id=f"{prefix}{turn:04d}x{i:04d}", arguments={"i": first + i}) for i in range(CALLS)]


def sentence(turn: int) -> str:
    return f"Paid, says answer {turn}."
