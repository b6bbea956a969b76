"""Rows of diskcache's table as they lie in the pages of a database file, read without SQLite, which refuses a damaged tree.

Only the format of leaf pages is known here (https://www.sqlite.org/fileformat2.html). Whatever does not fit it is passed over:
the caller believes no row without its seal.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

#: the kind of page that holds rows of a table
_LEAF = 0x0D
_FILE_HEADER = 100
#: rowid (which stands elsewhere), key, raw, store_time, expire_time, access_time, access_count, tag, size, mode, filename, value
_COLUMNS = 12
_KEY, _VALUE = 1, 11
_WIDTHS = (0, 1, 2, 3, 4, 6, 8, 8, 0, 0)
#: how many times as much as a page holds is read from it: rows share nothing, and pages that were given up repeat few
_MOST_READ = 16


@dataclass(frozen=True, slots=True)
class Found:
    """A row: neither key nor value is more than what the bytes say."""

    rowid: int
    key: str
    value: bytes


def found_rows(file: bytes, page_size: int) -> Iterator[Found]:
    """Every row on every page that looks like a leaf, in no order. A row may be found more than once.

    Where a crafted file has a great many rows share their bytes, only the first of them are found: it takes no longer than to read the
    file a few times.
    """
    pages = _Pages(file, page_size)
    for start in range(0, len(file) - page_size + 1, page_size):
        head = start + (_FILE_HEADER if start == 0 else 0)
        if file[head] != _LEAF:
            continue
        cells = int.from_bytes(file[head + 3 : head + 5], "big")
        for number in range(min(cells, page_size // 4)):
            place = head + 8 + 2 * number
            offset = int.from_bytes(file[place : place + 2], "big")
            try:
                row = _row(pages, start, offset)
            except (IndexError, ValueError):
                continue
            if row is not None:
                yield row


class _Pages:
    """The file, and how much was read from each page of it."""

    __slots__ = ("_read", "file", "size")

    def __init__(self, file: bytes, size: int) -> None:
        self.file, self.size = file, size
        self._read: Counter[int] = Counter()

    def bytes_at(self, place: int, count: int) -> bytes:
        """`count` bytes of one page."""
        page = place // self.size
        self._read[page] += count
        if self._read[page] > self.size * _MOST_READ:
            raise ValueError("more rows than there can be share a page")
        return self.file[place : place + count]


def _row(pages: _Pages, start: int, offset: int) -> Found | None:
    file = pages.file
    if not 8 <= offset < pages.size - 4:
        return None
    size, place = _varint(file, start + offset)
    rowid, place = _varint(file, place)
    payload = _payload(pages, place, start + pages.size, size)
    end, place = _varint(payload, 0)
    kinds: list[int] = []
    while place < end and len(kinds) <= _COLUMNS:
        kind, place = _varint(payload, place)
        kinds.append(kind)
    if len(kinds) != _COLUMNS or place != end:
        return None
    columns: list[bytes] = []
    for kind in kinds:
        width = _width(kind)
        columns.append(payload[place : place + width])
        place += width
    if place != len(payload) or not _is_text(kinds[_KEY]) or not _is_blob(kinds[_VALUE]):
        return None
    return Found(rowid, columns[_KEY].decode("utf-8"), columns[_VALUE])


def _payload(pages: _Pages, place: int, page_end: int, size: int) -> bytes:
    """The row's bytes, the rest of which stands on a chain of further pages when they are many."""
    file, page_size = pages.file, pages.size
    if size > len(file):
        raise ValueError("longer than the file")
    most = page_size - 35
    if size <= most:
        near = size
    else:
        least = (page_size - 12) * 32 // 255 - 23
        near = least + (size - least) % (page_size - 4)
        near = near if near <= most else least
    if place + near > page_end:
        raise ValueError("beyond its page")
    parts = [pages.bytes_at(place, near)]
    left, link = size - near, place + near
    while left > 0:
        page = int.from_bytes(file[link : link + 4], "big")
        link = (page - 1) * page_size
        if page < 2 or link + page_size > len(file):
            raise ValueError("the chain is broken")
        parts.append(pages.bytes_at(link + 4, min(left, page_size - 4)))
        left -= page_size - 4
    return b"".join(parts)


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = 0
    for number in range(8):
        byte = data[place + number]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, place + number + 1
    return value << 8 | data[place + 8], place + 9


def _width(kind: int) -> int:
    if kind < len(_WIDTHS):
        return _WIDTHS[kind]
    if kind < 12:
        raise ValueError("a kind of column that is reserved")
    return (kind - 12) // 2


def _is_text(kind: int) -> bool:
    return kind >= 13 and kind % 2 == 1


def _is_blob(kind: int) -> bool:
    return kind >= 12 and kind % 2 == 0
