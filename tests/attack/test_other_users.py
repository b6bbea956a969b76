"""A second user of the same machine, who really is one."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.batches import reserve
from support.nobody import NOBODY, as_nobody, common_ground, needs_root
from toolslot import DiskJournal, JournalUnsafe

pytestmark = needs_root

LOOK_AROUND = """
root = Path(sys.argv[1])
print((root.parent / "open.txt").read_text())  # this user can read what it may
folders = [root, root / "db", root / "owners"]
files = [root / name for name in ("commit.lock", "commit.holder", "db/cache.db", "db/cache.db-wal", "db/cache.db-shm")]
tried = [(path, lambda path=path: list(path.iterdir())) for path in folders]
tried += [(path, lambda path=path: (path / "new").touch()) for path in folders]
tried += [(path, path.read_bytes) for path in files]
tried += [(path, lambda path=path: path.write_bytes(b"x")) for path in files]
for path, attempt in tried:
    try:
        attempt()
    except PermissionError:
        continue
    print("could", path)
"""


def test_another_user_can_neither_read_nor_write_any_file_of_an_open_or_closed_journal() -> None:
    with common_ground() as folder:
        (folder / "open.txt").write_text("for all")
        (folder / "open.txt").chmod(0o644)
        with DiskJournal.open(folder / "journal") as journal:
            reserve(journal).run(0, "secret")
            assert (
                as_nobody(LOOK_AROUND, str(folder / "journal"), imports="from pathlib import Path")
                == "for all\n"
            )
        assert (
            as_nobody(LOOK_AROUND, str(folder / "journal"), imports="from pathlib import Path") == "for all\n"
        )


SWAP = """
root = sys.argv[1]
os.rename(root, root + ".stolen")
os.mkdir(root)
"""

PLANT = """
os.mkdir(sys.argv[1], 0o777)
os.symlink("/etc", sys.argv[1] + "/owners")
"""


@pytest.mark.parametrize(("code", "before"), [(SWAP, True), (PLANT, False)])
def test_a_directory_that_another_user_put_in_place_is_refused(code: str, before: bool) -> None:
    with common_ground(0o777) as folder:
        root = folder / "journal"
        if before:
            with DiskJournal.open(root) as journal:
                reserve(journal)
        as_nobody(code, str(root))
        assert root.stat().st_uid == NOBODY
        with pytest.raises(JournalUnsafe, match=f"belongs to user {NOBODY}"):
            DiskJournal.open(root)


def test_a_journal_that_others_were_let_into_is_refused_after_one_of_them_wrote_there() -> None:
    with common_ground() as folder:
        root = folder / "journal"
        with DiskJournal.open(root) as journal:
            reserve(journal)
        root.chmod(0o777)
        as_nobody("open(sys.argv[1] + '/planted', 'w').close()", str(root))
        assert (root / "planted").exists()
        with pytest.raises(JournalUnsafe, match="chmod go-w"):
            DiskJournal.open(root)


def test_a_journal_of_root_is_not_opened_by_another_user_for_writing() -> None:
    with common_ground() as folder:
        root: Path = folder / "journal"
        with DiskJournal.open(root) as journal:
            reserve(journal)
        for path in (root, root / "db", root / "owners"):
            path.chmod(0o755)
        code = "try:\n DiskJournal.open(sys.argv[1])\nexcept toolslot.ToolslotError as error:\n print(type(error).__name__)"
        said = as_nobody(code, str(root), imports="import toolslot; from toolslot import DiskJournal")
        assert said == "JournalUnsafe\n"
