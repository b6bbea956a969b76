"""SQLite's write-ahead log as it lies in the file (https://www.sqlite.org/fileformat2.html#the_write_ahead_log).

SQLite itself believes it up to the first damaged frame, and passes over what was committed after that without a word.
"""

from __future__ import annotations

import struct

_HEADER, _FRAME = 32, 24
_LITTLE, _BIG = 0x377F0682, 0x377F0683


def unread_commits(log: bytes) -> int:
    """How many commits of the same log stand in a row behind a frame that SQLite does not believe; of several rows, the longest.

    One may be what a crash tore, and each process that died beside others that went on may have left one: its row ends where theirs began,
    for every frame's sum goes on from the one before it. Where there are more in a row, records are lost that were acknowledged.
    """
    if len(log) < _HEADER:
        return 0
    magic, _, page_size = struct.unpack(">III", log[:12])
    order = {_LITTLE: "<", _BIG: ">"}.get(magic)
    if order is None or not 512 <= page_size <= 65536:
        return 0
    salts, state = log[16:24], _sum(order, log[:24], (0, 0))
    believed = struct.pack(">II", *state) == log[24:32]
    commits = most = 0
    before = state
    for start in range(_HEADER, len(log) - _FRAME - page_size + 1, _FRAME + page_size):
        head = log[start : start + _FRAME]
        if head[8:16] != salts:
            believed, commits = False, 0  # damaged, or left from before the log began again
            continue
        page = log[start + _FRAME : start + _FRAME + page_size]
        follows = _sum(order, head[:8] + page, before) == (stored := struct.unpack(">II", head[16:24]))
        believed = believed and follows
        if not follows:
            commits = 0  # another row
        if not believed and head[4:8] != b"\0\0\0\0":
            commits += 1
            most = max(most, commits)
        before = stored
    return most


def _sum(order: str, data: bytes, state: tuple[int, int]) -> tuple[int, int]:
    first, second = state
    words = struct.unpack(f"{order}{len(data) // 4}I", data)
    for even, odd in zip(words[::2], words[1::2], strict=True):
        first = (first + even + second) & 0xFFFFFFFF
        second = (second + odd + first) & 0xFFFFFFFF
    return first, second
