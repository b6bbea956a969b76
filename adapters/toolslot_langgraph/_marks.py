"""By what a durable door is known to code that looks for one, without importing it."""

from __future__ import annotations


class DurableNode:
    """A tool node whose calls have slots."""

    __slots__ = ()


class DurableAround:
    """What stands around the tool calls of a node, as a middleware does, and gives them slots."""

    __slots__ = ()
