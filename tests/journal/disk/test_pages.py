"""Rows read from the pages of a file without SQLite: a crafted file costs time in proportion to its size."""

from __future__ import annotations

from toolslot.journal._doctor._pages import Found, found_rows

PAGE = 512
#: of a row that goes on elsewhere, so many bytes stand on its own page; so many stand on each further one
NEAR, FAR = 39, PAGE - 4
COLUMNS = 12


def varint(number: int) -> bytes:
    low = [number & 0x7F]
    while number := number >> 7:
        low.append(number & 0x7F | 0x80)
    return bytes(reversed(low))


def row(further: int) -> bytes:
    """A row that fills its part of its own page and `further` others."""
    size, head = NEAR + FAR * further, 1 + COLUMNS + 2
    value = varint(12 + 2 * (size - head - 1)).rjust(3, b"\x80")  # as many bytes, whatever it says
    kinds = b"\0" + varint(13 + 2 * 1) + b"\0" * (COLUMNS - 3) + value
    return (bytes([head]) + kinds + b"k").ljust(size, b"v")


def crafted(leaves: int, rows: int, further: int) -> bytes:
    """Leaves with so many rows each, all of them one row whose further pages are the same as well."""
    body = row(further)
    cell = varint(len(body)) + b"\1" + body[:NEAR] + (leaves + 2).to_bytes(4, "big")
    offset = (PAGE - len(cell)).to_bytes(2, "big")
    leaf = b"\x0d\0\0" + rows.to_bytes(2, "big") + b"\0\0\0" + offset * rows
    leaf = leaf.ljust(PAGE - len(cell), b"\0") + cell
    chain = [
        (0 if n == further - 1 else leaves + 3 + n).to_bytes(4, "big")
        + body[NEAR + FAR * n : NEAR + FAR * (n + 1)]
        for n in range(further)
    ]
    return bytes(PAGE) + leaf * leaves + b"".join(chain)


def test_a_row_that_goes_on_on_further_pages_is_found_whole() -> None:
    found = list(found_rows(crafted(1, 1, 5), PAGE))
    assert found == [Found(1, "k", b"v" * (len(row(5)) - 16))]


def test_rows_that_share_their_pages_are_not_read_again_and_again() -> None:
    """A megabyte would be read five thousand times."""
    found = list(found_rows(crafted(50, 100, 2000), PAGE))
    assert len(set(found)) == 1
    assert len(found) <= 16
