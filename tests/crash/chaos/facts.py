"""What the ledger of a trial says, line by line: written by the tools, the hooks and the runner, read by the judge."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Verb(str, Enum):
    """The first word of a line."""

    #: a start mark was asked for; it may or may not have become durable
    MARK = "mark"
    #: the tool's code was entered
    BEGIN = "begin"
    EFFECT = "effect"
    #: it is about to fail without an effect, or to ask a person
    HARMLESS = "harmless"
    #: it has noted its effect, and that was acknowledged
    NOTED = "noted"
    #: its outcome was recorded, and that was acknowledged
    ACK = "ack"
    TIMEOUT = "timeout"
    #: somebody was asked whether it was done; `word`, of a reconciler: the effect that the newest note names, or "none"
    ASKED = "asked"
    #: an operator or a person said so
    DECIDED = "decided"
    #: the journal refused its start mark or its outcome, for the batch was somebody else's
    FENCED = "fenced"
    #: a life was killed, or ended by itself; `word`: how
    DEATH = "death"
    OVER = "over"
    #: a life has taken the batch over by force
    TAKEOVER = "takeover"
    PURGED = "purged"


#: from here on, the index of a call that names an effect: what is said of it is said of the effect, whose key the line has
SHARED = 1000


@dataclass(frozen=True, kw_only=True, slots=True)
class Fact:
    """One line. `life` counts the processes that ran calls; `key` is the idempotency key; `word` depends on the verb."""

    verb: Verb
    life: int
    index: int = -1
    attempt: int = 0
    key: str = "-"
    word: str = "-"

    def words(self) -> tuple[str, ...]:
        return (self.verb.value, str(self.life), str(self.index), str(self.attempt), self.key, self.word)


def parse(lines: Iterable[str]) -> tuple[Fact, ...]:
    """The facts in the order in which they happened."""
    return tuple(_fact(line) for line in lines)


def _fact(line: str) -> Fact:
    verb, life, index, attempt, key, word = line.split(" ")
    return Fact(verb=Verb(verb), life=int(life), index=int(index), attempt=int(attempt), key=key, word=word)
