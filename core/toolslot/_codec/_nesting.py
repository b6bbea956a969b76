"""How deep a JSON text is nested, before a parser walks into it."""

from __future__ import annotations

import re
from itertools import accumulate

_STRING = re.compile(rb'"[^"]*"?')
_STEPS = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}
_NO_BRACKETS = bytes(set(range(256)) - _STEPS.keys())


def nesting_exceeds(body: bytes, levels: int) -> bool:
    """Whether a JSON text is nested deeper, found without recursion. Exact as far as the text is JSON, which is as far as a parser gets."""
    if body.count(b"[") + body.count(b"{") <= levels:
        return False
    if b"\\" in body:
        body = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    brackets = _STRING.sub(b"", body).translate(None, _NO_BRACKETS)
    return max(accumulate(map(_STEPS.__getitem__, brackets)), default=0) > levels
