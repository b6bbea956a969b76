"""What a power cut leaves of a directory, told from a log of everything that was asked of its files (see powercut.c).

The model is what POSIX promises and no more: the content of a file is on the disk once it was synced, a name once its directory
was; what was asked after that may be there in part, sector by sector and in any order.
"""

from __future__ import annotations

import os
import random
import shutil
import struct
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path, PurePosixPath

import pytest

SOURCE = Path(__file__).parents[1] / "crash" / "journal" / "powercut.c"
SECTOR = 512
_HEAD = struct.Struct("=cQQII")


@dataclass(frozen=True)
class Call:
    op: str
    inode: int
    number: int
    path: PurePosixPath
    data: bytes


@dataclass
class File:
    """The content on the disk, and what was written since the last sync."""

    durable: bytearray = field(default_factory=bytearray)
    pending: list[tuple[int, bytes | None]] = field(default_factory=lambda: [])

    def sync(self) -> None:
        for place, data in self.pending:
            _change(self.durable, place, data)
        self.pending.clear()

    def after_cut(self, chance: random.Random | None) -> bytearray:
        content = bytearray(self.durable)
        if chance is None:
            return content
        for place, data in self.pending:
            if data is None:
                if chance.random() < 0.5:
                    _change(content, place, None)
                continue
            # Sectors of the disk, not of the write: an edge falls where the disk has one.
            edges = [*range(-(place % SECTOR), len(data), SECTOR), len(data)]
            for edge, end in pairwise(edges):
                if chance.random() < 0.5:
                    begin = max(edge, 0)
                    _change(content, place + begin, data[begin:end])
        return content


def _change(content: bytearray, place: int, data: bytes | None) -> None:
    """Put `data` at `place`; None means that the file ends there."""
    if len(content) < place:
        content.extend(bytes(place - len(content)))
    if data is None:
        del content[place:]
    else:
        content[place : place + len(data)] = data


@dataclass
class Directory:
    """Names that are on the disk, and changes of names since the last sync: (old name or None, new name or None, inode)."""

    durable: dict[str, int] = field(default_factory=lambda: {})
    pending: list[tuple[str | None, str | None, int]] = field(default_factory=lambda: [])

    def sync(self) -> None:
        self.durable = self._names(len(self.pending))
        self.pending.clear()

    def _names(self, changes: int) -> dict[str, int]:
        names = dict(self.durable)
        for old, new, inode in self.pending[:changes]:
            if old is not None:
                names.pop(old, None)
            if new is not None:
                names[new] = inode
        return names

    def now(self) -> dict[str, int]:
        return self._names(len(self.pending))

    def after_cut(self, chance: random.Random | None) -> dict[str, int]:
        """File systems keep the order of such changes; how many came through is chance."""
        return self._names(0 if chance is None else chance.randint(0, len(self.pending)))


class Disk:
    """The directory `root` after some calls."""

    def __init__(self, root: Path) -> None:
        self._root = PurePosixPath(root)
        self._things: dict[int, File | Directory] = {0: Directory()}

    def apply(self, call: Call) -> None:
        match call.op:
            case "c" | "m":
                self._things[call.inode] = File() if call.op == "c" else Directory()
                self._parent(call.path).pending.append((None, call.path.name, call.inode))
            case "w":
                self._file(call).pending.append((call.number, call.data))
            case "t":
                self._file(call).pending.append((call.number, None))
            case "s":
                thing = self._things.get(call.inode) or self._things[self._inode(call.path)]
                thing.sync()
            case "u":
                self._parent(call.path).pending.append((call.path.name, None, 0))
            case "r":
                self._rename(call.path, PurePosixPath(os.fsdecode(call.data)))
            case _:
                raise AssertionError(call.op)

    def _file(self, call: Call) -> File:
        thing = self._things[call.inode]
        assert isinstance(thing, File)
        return thing

    def _rename(self, old: PurePosixPath, new: PurePosixPath) -> None:
        assert old.parent == new.parent, "the journal renames within a directory only"
        self._parent(old).pending.append((old.name, new.name, self._inode(old)))

    def _inode(self, path: PurePosixPath) -> int:
        inode = 0
        for part in path.relative_to(self._root).parts:
            directory = self._things[inode]
            assert isinstance(directory, Directory)
            inode = directory.now()[part]
        return inode

    def _parent(self, path: PurePosixPath) -> Directory:
        thing = self._things[self._inode(path.parent)]
        assert isinstance(thing, Directory)
        return thing

    def rebuild(self, target: Path, chance: random.Random | None) -> None:
        """Make the directory as it is after the cut: only what was synced, or with chance some of the rest."""
        self._rebuild(target, 0, chance)

    def _rebuild(self, target: Path, inode: int, chance: random.Random | None) -> None:
        thing = self._things[inode]
        if isinstance(thing, File):
            target.write_bytes(thing.after_cut(chance))
            target.chmod(0o600)
            return
        target.mkdir(0o700)
        for name, child in thing.after_cut(chance).items():
            if not name.endswith("-shm"):  # memory that is shared, and made anew after a start
                self._rebuild(target / name, child, chance)


def calls(log: Path) -> Iterator[Call]:
    with log.open("rb") as file:
        while head := file.read(_HEAD.size):
            op, inode, number, path_size, size = _HEAD.unpack(head)
            path = PurePosixPath(os.fsdecode(file.read(path_size)))
            yield Call(op.decode(), inode, number, path, file.read(size))


def shim(directory: Path) -> Path:
    """The shim, compiled; the test is skipped where that cannot be done."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if compiler is None or os.uname().sysname != "Linux":
        pytest.skip("a power cut needs Linux and a C compiler (cc) for the shim that records what was synced")
    library = directory / "powercut.so"
    done = subprocess.run(
        [compiler, "-O1", "-shared", "-fPIC", "-o", str(library), str(SOURCE), "-ldl", "-lpthread"],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        pytest.skip(f"the shim that records what was synced cannot be compiled here: {done.stderr[:500]}")
    return library
