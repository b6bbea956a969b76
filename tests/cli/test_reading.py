"""Looking disturbs nobody, and needs no permission to write."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from cli.commands import command
from support.forked import TESTS, Child
from support.nobody import as_nobody, common_ground, needs_root

pytestmark = pytest.mark.crash

VIEWS = (
    ("runs",),
    ("show", "run-0"),
    ("pending",),
    ("effects",),
    ("export",),
    ("watch", "--until-idle"),
    ("doctor",),
)

# Also done before the rights are given up: whatever is loaded late could not be read by that user.
LOOK = """
from click.testing import CliRunner
from toolslot.cli import cli
def look(home):
    for words in (["runs"], ["show", "order-17"], ["pending"], ["export"]):
        done = CliRunner().invoke(cli, [*words, "--journal", home])
        yield f"{words[0]} {done.exit_code} {'order-17' in done.output}"
list(look(sys.argv[1]))
"""


def test_an_agent_that_waits_for_no_lock_never_meets_one(tmp_path: Path) -> None:
    with Child(TESTS / "cli" / "writing.py", str(tmp_path)) as writer:
        writer.await_line("WRITING")
        for words in VIEWS * 3:
            assert command(*words, "--journal", tmp_path / "journal").exit_code == 0
        (tmp_path / "go-on").touch()
        report = writer.report()
    assert report["batches"] > 20
    assert report["refused"] == 0


@needs_root
def test_a_journal_that_one_may_only_read_can_be_looked_at(dead: Path) -> None:
    with common_ground() as ground:
        home = ground / "journal"
        shutil.copytree(dead, home)
        before = sorted(path.name for path in home.rglob("*"))
        for path in (home, *home.rglob("*")):
            path.chmod(0o555 if path.is_dir() else 0o444)
        said = as_nobody("for line in look(sys.argv[2]): print(line)", str(dead), str(home), imports=LOOK)
        assert said.splitlines() == ["runs 0 True", "show 2 True", "pending 2 True", "export 0 True"]
        assert sorted(path.name for path in home.rglob("*")) == before
