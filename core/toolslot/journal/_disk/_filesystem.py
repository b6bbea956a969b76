"""Which file system a journal lies on: locks and shared memory do not hold across machines, and tmpfs outlives nothing."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path

from toolslot._errors import JournalUnsafe, JournalWarning

_MOUNTINFO = Path("/proc/self/mountinfo")
_NETWORK = frozenset(
    {
        "9p",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "gfs2",
        "gpfs",
        "lustre",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "smb3",
    }
    | {"smbfs", "vboxsf", "vmhgfs"}
)
#: FUSE file systems known to be local
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.ext2", "fuse.ext4", "fuse.bindfs"})
_ONE_KERNEL = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "xfs", "zfs"})
_VOLATILE = frozenset({"tmpfs", "ramfs"})


def check(path: Path, *, allow_network: bool, durable: bool) -> None:
    """Refuse a network file system, and warn of one in memory when records are to survive a power cut (`durable`).

    Raises:
        JournalUnsafe: several machines may see this directory.
    """
    kind = type_of(path)
    if kind is None:
        return
    if is_remote(kind) and not allow_network:
        raise JournalUnsafe(
            f"{path} lies on a {kind} file system. SQLite's locks and shared memory do not hold there, and journals were"
            " damaged that way. Use a directory on a local disk; machines cannot share a journal. If only this machine uses it and"
            " its locks are known to work: DiskJournal.open(path, allow_network=True)."
        )
    if is_volatile(kind) and durable:
        warnings.warn(
            f"the journal {path} lies on {kind}, in memory: it survives the death of a process, but no reboot and no power"
            ' cut. Use a directory on a disk, or say durability="process" if that is what you want.',
            JournalWarning,
            stacklevel=2,
        )


def is_remote(kind: str) -> bool:
    """Whether several machines may see a file system of this type, or nobody knows."""
    return kind in _NETWORK or (kind.startswith("fuse.") and kind not in _LOCAL_FUSE)


def is_volatile(kind: str) -> bool:
    """Whether a file system of this type lies in memory."""
    return kind in _VOLATILE


def locks_are_shared(path: Path) -> bool:
    """Whether a lock on a file here is seen by whoever can use the file at all: true of file systems that only one kernel can have
    mounted. Then a lock tells about a process in another container, too, whatever that calls its host.
    """
    return type_of(path) in _ONE_KERNEL


def type_of(path: Path, mountinfo: Path = _MOUNTINFO) -> str | None:
    """The type of the file system that holds `path` (which may not exist yet); None where the system does not tell."""
    try:
        text = mountinfo.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    best: tuple[int, str] | None = None
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, types = before.split(" "), after.split(" ")
        if len(fields) < 5 or not types[0]:
            continue
        point = _unescape(fields[4])
        if _holds(point, str(path)) and (best is None or len(point) >= best[0]):
            best = (len(point), types[0])  # of equally long ones the last was mounted over the others
    return best[1] if best else None


def _holds(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: os.fsdecode(bytes([int(match[1], 8)])), text)
