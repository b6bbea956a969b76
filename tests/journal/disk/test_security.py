"""Who may write a journal, and what happens when somebody else has."""

from __future__ import annotations

import os
import pickle
import sqlite3
import stat
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from support.batches import database, reserve
from support.examining import examined
from toolslot._errors import JournalCorrupt, JournalUnsafe, JournalUnsupported, NotAJournal
from toolslot.journal import DiskJournal

SPRUNG: list[str] = []


class Trap:
    """Unpickling it runs code."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return SPRUNG.append, ("a pickle was loaded",)


@pytest.fixture(autouse=True)
def _nothing_sprang() -> Iterator[None]:
    SPRUNG.clear()
    yield
    assert SPRUNG == []


@pytest.fixture
def filled(root: Path) -> Path:
    """A closed journal with a batch of two calls, one of them done."""
    with DiskJournal.open(root) as journal:
        reserve(journal).run(0, "done")
    return root


def tamper(root: Path, statement: str, *values: object) -> None:
    with closing(sqlite3.connect(database(root))) as connection, connection:
        connection.execute(statement, values)


def load(root: Path) -> None:
    from toolslot import BatchKey

    with DiskJournal.open(root) as journal:
        journal.load(BatchKey("run", "batch")).result(10)


def test_everything_is_for_the_owner_alone_whatever_the_umask(root: Path) -> None:
    before = os.umask(0)
    try:
        with DiskJournal.open(root) as journal:
            reserve(journal)
            found = {path: stat.S_IMODE(path.lstat().st_mode) for path in [root, *root.rglob("*")]}
    finally:
        os.umask(before)
    secret = {path: mode for path, mode in found.items() if path.name != ".gitignore"}
    assert {path: mode for path, mode in secret.items() if mode & 0o077} == {}
    assert {path.name for path in secret if path.parent == root / "db"} == {
        "cache.db",
        "cache.db-wal",
        "cache.db-shm",
    }


@pytest.mark.parametrize("mode", [4, 2, 3, 0])
def test_a_planted_value_of_another_kind_is_not_decoded(filled: Path, mode: int) -> None:
    tamper(filled, "UPDATE Cache SET mode = ?, value = ? WHERE key LIKE 'b/%#m'", mode, pickle.dumps(Trap()))
    with pytest.raises(JournalCorrupt, match="planted or damaged"):
        load(filled)


@pytest.mark.parametrize("name", ["/etc/hostname", "../../outside", "inside.val"])
def test_a_planted_file_name_is_neither_read_nor_deleted(filled: Path, tmp_path: Path, name: str) -> None:
    outside = tmp_path / "outside"
    outside.write_text("precious")
    tamper(filled, "UPDATE Cache SET filename = ? WHERE key LIKE 'b/%#f'", name)
    with pytest.raises(JournalCorrupt, match="planted or damaged"):
        load(filled)
    assert outside.read_text() == "precious"


def test_a_planted_pickled_key_is_not_decoded(filled: Path) -> None:
    tamper(
        filled,
        "INSERT INTO Cache(key, raw, store_time, access_time, mode, value) VALUES (?, 0, 0, 0, 1, x'00')",
        pickle.dumps(Trap()),
    )
    load(filled)
    with DiskJournal.open(filled) as journal:
        assert journal.keys().result(10)
        assert any("never writes" in problem for problem in examined(journal).problems)


@pytest.mark.parametrize(
    ("name", "value"),
    [("_directory", "/tmp/elsewhere"), ("disk_evil", 1), ("sqlite_temp_store_directory", "'/tmp'")],
)
def test_planted_settings_are_not_applied(filled: Path, name: str, value: object) -> None:
    tamper(filled, "INSERT INTO Settings VALUES (?, ?)", name, value)
    with pytest.raises(JournalUnsafe, match=name):
        DiskJournal.open(filled)


@pytest.mark.parametrize(
    "statement",
    [
        "CREATE TRIGGER evil AFTER INSERT ON Cache BEGIN DELETE FROM Cache; END",
        "CREATE TRIGGER Settings_count_more AFTER INSERT ON Cache FOR EACH ROW BEGIN DELETE FROM Cache; END",
        "CREATE VIEW evil AS SELECT 1",
        "CREATE TABLE evil (x)",
    ],
)
def test_planted_triggers_views_and_tables_are_refused(filled: Path, statement: str) -> None:
    tamper(filled, statement)
    with pytest.raises(JournalUnsafe, match=r"evil|Settings_count_more"):
        DiskJournal.open(filled)


@pytest.mark.parametrize("part", ["", "db", "owners", "commit.lock", "db/cache.db"])
def test_what_others_can_write_is_refused(filled: Path, part: str) -> None:
    (filled / part).chmod((filled / part).stat().st_mode | 0o022)
    with pytest.raises(JournalUnsafe, match="chmod go-w"):
        DiskJournal.open(filled)


def test_a_directory_that_others_can_only_read_is_taken(root: Path) -> None:
    root.mkdir(mode=0o755)
    root.chmod(0o755)
    with DiskJournal.open(root):
        assert stat.S_IMODE((root / "db").stat().st_mode) == 0o700


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("part", ["", "db", "owners", "commit.lock", "db/cache.db"])
def test_what_belongs_to_somebody_else_is_refused(filled: Path, part: str) -> None:
    os.chown(filled / part, 12345, -1)
    with pytest.raises(JournalUnsafe, match="belongs to user 12345"):
        DiskJournal.open(filled)


def test_a_symbolic_link_as_the_path_is_refused(filled: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(filled)
    with pytest.raises(JournalUnsafe, match="symbolic link"):
        DiskJournal.open(link)


@pytest.mark.parametrize("part", ["db", "owners", "commit.lock", "db/cache.db", "commit.holder"])
def test_a_symbolic_link_inside_is_refused(filled: Path, tmp_path: Path, part: str) -> None:
    moved = (filled / part).rename(tmp_path / "moved")
    (filled / part).symlink_to(moved)
    with pytest.raises(JournalUnsafe, match="symbolic link"):
        DiskJournal.open(filled)


def test_a_link_above_the_journal_is_followed_and_is_the_same_journal(filled: Path, tmp_path: Path) -> None:
    above = tmp_path / "above"
    above.symlink_to(tmp_path)
    with DiskJournal.open(filled) as one, DiskJournal.open(above / "journal") as other:
        assert one is other


def test_somebody_elses_database_is_left_alone(filled: Path) -> None:
    tamper(filled, "PRAGMA application_id=7")
    before = database(filled).read_bytes()
    with pytest.raises(NotAJournal, match="application id 7"):
        DiskJournal.open(filled)
    assert database(filled).read_bytes() == before


def test_a_diskcache_directory_is_left_alone(tmp_path: Path) -> None:
    import diskcache

    with diskcache.Cache(str(tmp_path / "cache")) as cache:
        cache["key"] = "value"
    with pytest.raises(NotAJournal, match="diskcache directory"):
        DiskJournal.open(tmp_path / "cache")
    assert not (tmp_path / "cache" / "commit.lock").exists()


def test_a_directory_with_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(NotAJournal, match="other files"):
        DiskJournal.open(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_file_in_place_of_the_directory_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("mine")
    with pytest.raises(NotAJournal, match="is a file"):
        DiskJournal.open(tmp_path / "journal")
    assert (tmp_path / "journal").read_text() == "mine"


def test_results_are_kept_out_of_repositories(journal: DiskJournal, root: Path) -> None:
    assert (root / ".gitignore").read_text() == "*\n"


def test_errors_and_reprs_hold_no_values(filled: Path) -> None:
    with DiskJournal.open(filled) as journal:
        worker = reserve(journal, batch="other")
        worker.run(0, "my secret")
        texts = [repr(journal), str(worker.record())]
    tamper(filled, "UPDATE Cache SET value = value || x'00' WHERE key LIKE 'b/run/other/0%'")
    with DiskJournal.open(filled) as journal:
        texts += examined(journal).problems
        with pytest.raises(JournalCorrupt) as caught:
            journal.load(worker.key).result(10)
    texts.append(str(caught.value))
    assert not [text for text in texts if "my secret" in text]


def test_a_path_that_diskcache_would_rewrite_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_TEST_PART", "elsewhere")
    with pytest.raises(JournalUnsupported, match="environment variable"):
        DiskJournal.open(tmp_path / "$TOOLSLOT_TEST_PART")


@pytest.mark.parametrize(
    "name", ["with space", "ünïcödé 日本", "100%", "~", "a?b#c", "$NOT_SET_ANYWHERE", "x" * 200]
)
def test_any_other_path_will_do(tmp_path: Path, name: str) -> None:
    with DiskJournal.open(tmp_path / name) as journal:
        worker = reserve(journal)
    with DiskJournal.open(tmp_path / name) as journal:
        assert worker.through(journal).record()
        assert examined(journal).sound
    assert (tmp_path / name / "db" / "cache.db").exists()
