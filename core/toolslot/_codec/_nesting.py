"""How deep a JSON text is nested, and of how many parts it is, before a parser walks into it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import accumulate

_STRING = re.compile(rb'"[^"]*"?')
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - _STEPS.keys())

#: what a list or an object takes in memory, compared with another item
CONTAINER = 8
#: of what is stored by default: at most about 8 million numbers, or one million lists
MAX_WEIGHT = 8 * 2**20
#: strings are left out of so much text at a time: of millions of them at once the pieces alone would take gigabytes
_BLOCK = 2**20


def nesting_exceeds(body: bytes, levels: int) -> bool:
    """Whether a JSON text is nested deeper, found without recursion. Exact as far as the text is JSON, which is as far as a parser gets."""
    if body.count(b"[") + body.count(b"{") <= levels:
        return False
    depth = 0
    for block in _outside_strings(body):
        brackets = block.translate(None, _NO_BRACKETS)
        depths = list(accumulate(map(_STEPS.__getitem__, brackets), initial=depth))
        if max(depths) > levels:
            return True
        depth = depths[-1]
    return False


def weight_exceeds(body: bytes, limit: int) -> bool:
    """Whether parsing a JSON text takes more than `limit` units of memory, of about 100 bytes: a list or an object is eight, every
    other item or key is one. 64 MiB of `[[],[],...` would take over a gigabyte.
    """
    if len(body) * CONTAINER <= limit or _weight(body) <= limit:
        return False
    weight = 0
    for block in _outside_strings(body):
        weight += _weight(block)
        if weight > limit:
            return True
    return False


def _weight(body: bytes) -> int:
    return CONTAINER * (body.count(b"[") + body.count(b"{")) + body.count(b",") + body.count(b":")


def _outside_strings(body: bytes) -> Iterator[bytes]:
    """The text without its strings, a block at a time."""
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    start = 0
    while start < len(body):
        end = start + _BLOCK
        if body.count(b'"', start, end) % 2:  # it ends within a string
            end = body.find(b'"', end) + 1 or len(body)
        yield _STRING.sub(b"", body[start:end])
        start = end
