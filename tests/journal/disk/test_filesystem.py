"""Journals live on local disks."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest

from support.batches import reserve
from toolslot._errors import JournalUnsafe, JournalWarning
from toolslot.journal import DiskJournal
from toolslot.journal._disk import _filesystem
from toolslot.journal._disk._filesystem import Trust

MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:21 / /dev/shm rw shared:2 - tmpfs tmpfs rw
24 22 0:30 / /mnt/share rw - nfs4 server:/share rw
25 24 254:1 / /mnt/share/local rw - xfs /dev/vdb rw
26 22 0:31 / /mnt/with\\040space rw - cifs //server/x rw
27 22 0:32 / /mnt/over rw - ext4 /dev/vdc rw
28 22 0:33 / /mnt/over rw - 9p host rw
29 22 0:34 / /home/me rw - fuse.sshfs me@host: rw
30 22 0:35 / /box rw - fuse.fuse-overlayfs overlay rw
31 22 0:36 / /dav rw - fuse https://dav.example/ rw
32 22 0:37 / /vm rw - virtiofs shared rw
33 22 0:38 / /new rw - somefs /dev/vdd rw
34 22 0:39 / /ntfs rw - fuseblk /dev/sdb1 rw
35 22 0:40 / /layer rw - overlay overlay rw
a line that is none
"""


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mountinfo"
    file.write_text(MOUNTS)
    type_of = _filesystem.type_of
    monkeypatch.setattr(_filesystem, "type_of", lambda path: type_of(path, file))


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/anywhere", "ext4"),
        ("/dev/shm/x", "tmpfs"),
        ("/dev/shm", "tmpfs"),
        ("/dev/shmoo", "ext4"),
        ("/mnt/share/a/b", "nfs4"),
        ("/mnt/share/local/a", "xfs"),
        ("/mnt/with space/a", "cifs"),
        ("/mnt/over/a", "9p"),
    ],
)
@pytest.mark.usefixtures("mounts")
def test_the_innermost_and_latest_mount_counts(path: str, kind: str) -> None:
    assert _filesystem.type_of(Path(path)) == kind


@pytest.mark.parametrize("path", ["/mnt/share/j", "/mnt/with space/j", "/mnt/over/j", "/home/me/j", "/dav/j"])
@pytest.mark.usefixtures("mounts")
def test_network_file_systems_are_refused_unless_allowed(path: str) -> None:
    with pytest.raises(JournalUnsafe, match="allow_network=True"):
        _filesystem.check(Path(path), allow_network=False, durable=True)
    _filesystem.check(Path(path), allow_network=True, durable=True)


@pytest.mark.parametrize("path", ["/j", "/mnt/share/local/j", "/box/j", "/layer/j"])
@pytest.mark.usefixtures("mounts")
def test_local_file_systems_are_taken(path: str) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _filesystem.check(Path(path), allow_network=False, durable=True)


@pytest.mark.parametrize("path", ["/vm/j", "/new/j", "/ntfs/j"])
@pytest.mark.usefixtures("mounts")
def test_of_file_systems_that_nobody_can_vouch_for_a_writer_is_told_unless_they_are_allowed(
    path: str,
) -> None:
    with pytest.warns(JournalWarning, match=r"does not know whether locks .* hold.*allow_network=True"):
        _filesystem.check(Path(path), allow_network=False, durable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _filesystem.check(Path(path), allow_network=True, durable=True)
        _filesystem.check(Path(path), allow_network=False, durable=False, writes=False)


@pytest.mark.parametrize(
    "kind", ["glusterfs", "fuse.glusterfs", "fuse.s3fs", "davfs", "ceph", "lustre", "smb3", "9p", "vboxsf"]
)
def test_what_several_machines_may_see_is_remote(kind: str) -> None:
    assert _filesystem.trust_in(kind) is Trust.REMOTE


@pytest.mark.usefixtures("mounts")
def test_the_file_system_is_that_behind_a_symbolic_link(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("/mnt/share/deep")
    assert _filesystem.type_of(link / "journal") == "nfs4"
    with pytest.raises(JournalUnsafe, match="nfs4"):
        DiskJournal.open(link / "journal")


@pytest.mark.usefixtures("mounts")
def test_a_journal_in_memory_warns_only_where_it_must_survive_a_power_cut() -> None:
    with pytest.warns(JournalWarning, match="in memory"):
        _filesystem.check(Path("/dev/shm/j"), allow_network=False, durable=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _filesystem.check(Path("/dev/shm/j"), allow_network=False, durable=False)


@pytest.mark.usefixtures("mounts")
def test_a_refused_file_system_gets_no_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_filesystem, "type_of", lambda _: "nfs")
    with pytest.raises(JournalUnsafe, match="nfs"):
        DiskJournal.open(tmp_path / "journal")
    assert not (tmp_path / "journal").exists()
    with DiskJournal.open(tmp_path / "journal", allow_network=True) as journal:
        reserve(journal)


def test_a_system_that_does_not_tell_is_trusted(tmp_path: Path) -> None:
    assert _filesystem.type_of(tmp_path, tmp_path / "no mountinfo") is None


@pytest.mark.skipif(not Path("/proc/self/mountinfo").exists(), reason="this system does not tell")
def test_the_real_answer_is_one_word() -> None:
    kind = _filesystem.type_of(Path("/"))
    assert kind is not None
    assert kind.isprintable()
    assert " " not in kind
