"""Which file system a journal lies on: locks and shared memory do not hold across machines, and tmpfs outlives nothing."""

from __future__ import annotations

import os
import re
import warnings
from enum import Enum
from pathlib import Path

from toolslot._errors import JournalUnsafe, JournalWarning

_MOUNTINFO = Path("/proc/self/mountinfo")


class Trust(Enum):
    """Whether SQLite's locks and shared memory hold between all who can see a file."""

    #: one kernel has it, and answers for the locks itself
    LOCAL = "local"
    #: not known here, or known to depend on how it was set up
    DOUBTFUL = "doubtful"
    #: several machines may see it
    REMOTE = "remote"


#: Shares of a network, of a cluster, or of a host with its virtual machines. GFS2 and OCFS2 can lock across machines, their shared memory
#: cannot. 9p is what WSL 2 has Windows' drives on, too.
_REMOTE = frozenset(
    {
        "9p",
        "acfs",
        "afs",
        "beegfs",
        "ceph",
        "cifs",
        "coda",
        "cvfs",
        "davfs",
        "davfs2",
        "fhgfs",
        "gfs",
        "gfs2",
        "glusterfs",
        "gpfs",
    }
    | {
        "lustre",
        "mfs",
        "moosefs",
        "ncpfs",
        "nfs",
        "nfs4",
        "ocfs2",
        "orangefs",
        "panfs",
        "prl_fs",
        "pvfs2",
        "smb2",
        "smb3",
        "smbfs",
    }
    | {"sshfs", "vboxsf", "vmhgfs", "wekafs"}
)
#: A process answers, and may ask anybody: FUSE file systems are remote (davfs2 is plain "fuse") unless they are known to be local.
_FUSE = re.compile(r"fuse(\..*)?").fullmatch
_LOCAL_FUSE = frozenset({"fuse.fuse-overlayfs", "fuse.mergerfs", "fuse.ext2", "fuse.ext4", "fuse.bindfs"})
_ONE_KERNEL = frozenset({"bcachefs", "btrfs", "ext2", "ext3", "ext4", "f2fs", "jfs", "xfs", "zfs"})
_VOLATILE = frozenset({"tmpfs", "ramfs"})
#: With those of which a container sees its own layer, those of disks that other systems write, too, and what lies over another one.
_LOCAL = frozenset(
    {
        "apfs",
        "aufs",
        "devtmpfs",
        "ecryptfs",
        "exfat",
        "hfs",
        "hfsplus",
        "minix",
        "msdos",
        "nilfs2",
        "ntfs",
        "ntfs3",
        "overlay",
    }
    | {"reiserfs", "rootfs", "ubifs", "udf", "ufs", "vfat"}
    | _ONE_KERNEL
    | _VOLATILE
    | _LOCAL_FUSE
)


def check(path: Path, *, allow_network: bool, durable: bool, writes: bool = True) -> None:
    """Refuse a network file system, and warn of one that nobody can vouch for, or of one in memory when records are to survive a power
    cut (`durable`).

    Raises:
        JournalUnsafe: several machines may see this directory.
    """
    kind = type_of(path)
    if kind is None:
        return
    trust = trust_in(kind)
    if trust is Trust.REMOTE and not allow_network:
        raise JournalUnsafe(
            f"{path} lies on a {kind} file system, which several machines may see. SQLite's locks and shared memory do not hold there,"
            " and journals were damaged that way. Use a directory on a local disk; machines cannot share a journal. If only this machine"
            " uses it and its locks are known to work: DiskJournal.open(path, allow_network=True)."
        )
    if trust is Trust.DOUBTFUL and writes and not allow_network:
        warnings.warn(
            f"the journal {path} lies on a {kind} file system, of which toolslot does not know whether locks and shared memory hold. If"
            " they do not, two processes may run the same call. Use a directory on a local disk (ext4, xfs, btrfs, zfs and the like). If"
            " only this machine uses it and its locks are known to work, DiskJournal.open(path, allow_network=True) ends this warning.",
            JournalWarning,
            stacklevel=2,
        )
    if is_volatile(kind) and durable:
        warnings.warn(
            f"the journal {path} lies on {kind}, in memory: it survives the death of a process, but no reboot and no power"
            ' cut. Use a directory on a disk, or say durability="process" if that is what you want.',
            JournalWarning,
            stacklevel=2,
        )


def trust_in(kind: str) -> Trust:
    """What a file system of this type is good for."""
    if kind in _LOCAL:
        return Trust.LOCAL
    return Trust.REMOTE if kind in _REMOTE or _FUSE(kind) else Trust.DOUBTFUL


def is_volatile(kind: str) -> bool:
    """Whether a file system of this type lies in memory."""
    return kind in _VOLATILE


def locks_are_shared(path: Path) -> bool:
    """Whether a lock on a file here is seen by all who can use the file: true of file systems that only one kernel can have
    mounted. Then a lock tells about a process in another container, too, whatever that calls its host.
    """
    return type_of(path) in _ONE_KERNEL


def type_of(path: Path, mountinfo: Path = _MOUNTINFO) -> str | None:
    """The type of the file system that holds `path` (which may not exist yet) once symbolic links are followed; None where the system
    does not tell.
    """
    try:
        text = mountinfo.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return None
    real = os.path.realpath(path)
    best: tuple[int, str] | None = None
    for line in text.splitlines():
        before, _, after = line.partition(" - ")
        fields, types = before.split(" "), after.split(" ")
        if len(fields) < 5 or not types[0]:
            continue
        point = _unescape(fields[4])
        if _holds(point, real) and (best is None or len(point) >= best[0]):
            best = (len(point), types[0])  # of equally long ones the last was mounted over the others
    return best[1] if best else None


def _holds(point: str, path: str) -> bool:
    return path == point or path.startswith(point.rstrip("/") + "/")


def _unescape(text: str) -> str:
    return re.sub(r"\\([0-7]{3})", lambda match: os.fsdecode(bytes([int(match[1], 8)])), text)
