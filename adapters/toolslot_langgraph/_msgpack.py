"""How deep msgpack is nested, and of how many parts it is, before a parser walks into it."""

from __future__ import annotations

from toolslot.hosting import CONTAINER_WEIGHT, MAX_DEPTH, MAX_WEIGHT

_MAPS, _ARRAYS, _EXT = range(0x80, 0x90), range(0x90, 0xA0), {0xD4: 1, 0xD5: 2, 0xD6: 4, 0xD7: 8, 0xD8: 16}
#: what begins with a length: how many bytes that takes
_TEXT = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_LONG_EXT = {0xC7: 1, 0xC8: 2, 0xC9: 4}
_LONG_ARRAY, _LONG_MAP = {0xDC: 2, 0xDD: 4}, {0xDE: 2, 0xDF: 4}
_LENGTHS = {**_TEXT, **_LONG_EXT, **_LONG_ARRAY, **_LONG_MAP}
_NESTING = bytes([*_MAPS, *_ARRAYS, *_EXT, *_LONG_EXT, *_LONG_ARRAY, *_LONG_MAP])
_NOT_NESTING = bytes(set(range(256)) - set(_NESTING))
_NOT_EXT = bytes(set(range(256)) - _EXT.keys() - _LONG_EXT.keys())

#: how long what is a part of its own is, its first byte included; 0 for what has a length
_NUMBERS = {0xCA: 5, 0xCB: 9, 0xCC: 2, 0xCD: 3, 0xCE: 5, 0xCF: 9, 0xD0: 2, 0xD1: 3, 0xD2: 5, 0xD3: 9}
_STEPS = tuple(
    0 if head in _NESTING or head in _TEXT else head - 0x9F if 0xA0 <= head < 0xC0 else _NUMBERS.get(head, 1)
    for head in range(256)
)

#: bytes that are one unit of weight. An extension holds msgpack again, which is copied before it is parsed.
_COPIED = 128
#: so many extensions the stack has room for, however deep the parser lets each be
_FEW = 4


def msgpack_exceeds(data: bytes) -> bool:
    """Whether parsing it takes more levels or memory than is allowed, by the measure of JSON: a million lists, maps and extensions, or
    eight million other parts.

    Levels are counted here only where there are more than a few extensions: the parser has a limit of its own, of about a thousand, but
    begins to count again in each, until the stack is full.
    """
    # At most so many: the bytes of texts and numbers are among them.
    nesting, extensions = len(data.translate(None, _NOT_NESTING)), len(data.translate(None, _NOT_EXT))
    most = len(data) + nesting * CONTAINER_WEIGHT + extensions * (len(data) // _COPIED)
    if (extensions <= _FEW or nesting <= MAX_DEPTH) and most <= MAX_WEIGHT:
        return False
    return _exceeds(data)


def _exceeds(data: bytes) -> bool:
    """The same, exactly: from part to part, without a look into texts."""
    place, end, left, weight = 0, len(data), 1, 0
    # what is open: how many parts are still to come, and where they must end
    around: list[tuple[int, int]] = []
    while True:
        if left == 0 or place >= end:
            if not around:
                return False
            inner, (left, end) = end, around.pop()
            place = inner if inner != end else place  # an extension ends where it says, whatever is in it
            continue
        left -= 1
        head = data[place]
        step = _STEPS[head]
        if step:
            place += step
            continue
        place, parts, size = _opened(data, place)
        if head in _TEXT:
            place += size
            continue
        parts = max(0, min(parts, end - place))
        weight += CONTAINER_WEIGHT + parts + size // _COPIED
        around.append((left, end))
        if weight > MAX_WEIGHT or len(around) > MAX_DEPTH:
            return True
        left, end = parts, min(end, place + size) if size else end


def _opened(data: bytes, place: int) -> tuple[int, int, int]:
    """Where that which begins at `place` goes on, how many parts it has, and how many bytes it takes where it says so."""
    head = data[place]
    width = _LENGTHS.get(head, 0)
    place += 1 + width
    length = int.from_bytes(data[place - width : place], "big")
    if head in _TEXT:
        return place, 0, length
    if head in _LONG_EXT or head in _EXT:
        size = _EXT.get(head, length)
        return place + 1, min(1, size), size
    if head in _MAPS or head in _ARRAYS:
        length = head & 0x0F
    return place, length * 2 if head in _MAPS or head in _LONG_MAP else length, 0
