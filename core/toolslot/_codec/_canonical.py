"""One text for each value, the same in every process and Python version, for comparing values by their digests."""

from __future__ import annotations

from toolslot._codec._tree import Tree, ordered


def canonical(value: object) -> bytes | None:
    """Canonical JSON in UTF-8; None for what `JsonCodec()` could not store.

    Different values give different bytes, with two exceptions: the order of the keys of a dict does not count, and a tuple equals a list
    of the same items. In particular 1, 1.0, True and "1" differ, so do 0.0 and -0.0, and text is not normalised.
    """
    try:
        return ordered(Tree({}, canonical=True).tree(value)).encode("utf-8", "surrogatepass")
    except Exception:  # NotStorable, too little stack, classes that fail when they are looked at
        return None
