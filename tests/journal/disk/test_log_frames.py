"""What of a write-ahead log SQLite would pass over, told from the file alone."""

from __future__ import annotations

import struct

import pytest

from toolslot.journal._disk._log_frames import _sum, unread_commits

PAGE = 512
SALTS = b"saltsalt"
HEAD = struct.pack(">IIII", 0x377F0682, 3007000, PAGE, 0) + SALTS
HEADER = HEAD + struct.pack(">II", *_sum("<", HEAD, (0, 0)))


def frames(log: bytes, contents: str) -> bytes:
    """The log with one more frame for each letter, the sums going on; a capital is the end of a commit."""
    for letter in contents:
        before = struct.unpack(">II", log[24:32] if len(log) == len(HEADER) else log[-PAGE - 8 : -PAGE])
        head = struct.pack(">II", 1, 1 if letter.isupper() else 0)
        page = letter.encode() * PAGE
        sums = struct.pack(">II", *_sum("<", head + page, (before[0], before[1])))
        log += head + SALTS + sums + page
    return log


def beginning(log: bytes, count: int) -> bytes:
    return log[: len(HEADER) + count * (24 + PAGE)]


def behind(log: bytes, count: int) -> bytes:
    return log[len(beginning(log, count)) :]


WHOLE = frames(HEADER, "aBcDeFgH")


def test_of_a_sound_log_nothing_is_passed_over() -> None:
    assert unread_commits(HEADER) == unread_commits(WHOLE) == 0


@pytest.mark.parametrize(("frame", "lost"), [(0, 4), (2, 3), (3, 3), (6, 1), (7, 1)])
def test_behind_a_damaged_page_all_commits_count(frame: int, lost: int) -> None:
    log = bytearray(WHOLE)
    log[len(beginning(WHOLE, frame)) + 24 + 9] ^= 1
    assert unread_commits(bytes(log)) == lost


def test_a_damaged_sum_hides_what_comes_after_it_too() -> None:
    log = bytearray(WHOLE)
    log[len(beginning(WHOLE, 2)) + 16] ^= 1
    assert unread_commits(bytes(log)) == 3


def test_what_several_processes_left_that_died_beside_others_is_one_commit_each() -> None:
    """Each wrote from where the log ended, and died before it said so; who lived wrote over the beginning of that."""
    left = frames(beginning(WHOLE, 2), "xyzwvU")
    later = frames(beginning(WHOLE, 2), "mnoP")
    log = frames(beginning(WHOLE, 2), "qR") + behind(later, 4) + behind(left, 6)
    assert unread_commits(log) == 1
    assert unread_commits(log + behind(frames(beginning(WHOLE, 2), "abcdefgHiJ"), 8)) == 2, (
        "two in a row were acknowledged"
    )
