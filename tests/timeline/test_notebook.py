"""What a notebook shows of a run: a figure without style or script, and text."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

import toolslot
from support.harness import World, batch
from support.views import batch as view_of
from support.views import call, everything, five_calls, killed_and_resumed, many_calls, owner, run
from toolslot import BatchRun, DiskJournal, DurableExecutor, MemoryJournal, ToolslotError
from toolslot._views import Insights

HOSTILE = "<script>alert(1)</script>\"'&</svg>\u202e\x1b[31m\x00"


def html(view: object) -> str:
    return view._repr_mimebundle_()["text/html"]  # type: ignore[attr-defined]


@pytest.mark.parametrize("story", [five_calls, killed_and_resumed, many_calls, everything, run])
def test_a_figure_is_well_formed_and_has_neither_style_nor_script(story: object) -> None:
    root = ET.fromstring(html(story()))  # type: ignore[operator]
    names = {element.tag.rpartition("}")[2] for element in root.iter()}
    assert "svg" in names
    assert not names & {"style", "script", "foreignObject", "image", "a", "use"}
    assert not any(name.startswith("on") or "href" in name for e in root.iter() for name in e.attrib)


def test_a_hostile_name_stays_text_in_figure_and_text() -> None:
    view = run(view_of([call(0, HOSTILE)], [owner(since=0, last_seen=1)], name=HOSTILE), run_id=HOSTILE)
    bundle = view._repr_mimebundle_()
    ET.fromstring(bundle["text/html"])
    assert "<script" not in bundle["text/html"]
    assert not set("\u202e\x1b\x00") & set("".join(bundle.values()))


def test_a_large_batch_is_drawn_at_a_glance_and_stays_small() -> None:
    bundle = many_calls()._repr_mimebundle_()
    assert len(bundle["text/html"]) < 60_000
    assert "and 960 more calls" in bundle["text/plain"]


def test_the_kernel_shows_a_batch_and_what_show_returns() -> None:
    shell = pytest.importorskip("IPython.core.formatters")
    for value in (toolslot.show(five_calls()), five_calls(), five_calls().batches[0]):
        formats, _ = shell.DisplayFormatter().format(value)
        assert "<svg" in formats["text/html"]
        assert "search_flights" in formats["text/plain"]


def test_text_tells_waiting_working_dying_and_replay() -> None:
    lines = str(toolslot.show(killed_and_resumed())).splitlines()
    rent = next(line for line in lines if "pay_rent" in line)
    assert "=" in rent
    assert "X<" in rent, "its owner died, and its result was there for the next one"
    assert "??X" in next(line for line in lines if "pay_taxes" in line)


# --- show ---------------------------------------------------------------------------------------------------------------


def test_show_finds_a_run_in_the_journal_at_a_path_and_lets_go_of_it(tmp_path: Path) -> None:
    with DiskJournal.open(tmp_path / "journal") as journal:
        DurableExecutor(journal).run_all(batch("read", "read"), {"read": lambda i: i})
    assert "2 calls" in repr(toolslot.show("run-1", tmp_path / "journal"))
    with DiskJournal.open(tmp_path / "journal") as journal:
        assert journal.keys().result(), "nobody holds it"


def test_show_takes_an_open_batch_and_reads_its_own_journal() -> None:
    executor = DurableExecutor(MemoryJournal())
    with executor.open(batch("read")) as open_batch:
        open_batch.call(0, lambda: "fog")
        assert "running" in repr(toolslot.show(open_batch)) or "finished" in repr(toolslot.show(open_batch))
    assert isinstance(open_batch, BatchRun)
    assert "1 call" in repr(toolslot.show(open_batch)), "also once it was let go"


def test_show_uses_the_journal_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "home"))
    with DiskJournal.open(tmp_path / "home") as journal:
        DurableExecutor(journal).run_all(batch("read"), {"read": lambda i: i})
    assert "run-1" in repr(toolslot.show("run-1"))


def test_an_unknown_run_is_an_error_that_names_those_there_are() -> None:
    journal = MemoryJournal()
    DurableExecutor(journal).run_all(batch("read"), {"read": lambda i: i})
    with pytest.raises(ToolslotError, match=r"holds no run 'other'\. Its newest runs are 'run-1'"):
        toolslot.show("other", journal)


def test_a_death_and_a_replay_that_really_happened_are_drawn() -> None:
    world = World()
    first = world.executor()
    with first.open(batch("read", "pay")) as dying:
        dying.call(0, world.tool("read"))
        world.crash()
    second = world.executor()
    second.run_all(batch("read", "pay"), {"read": world.tool("read"), "pay": world.tool("pay")})
    view = Insights(world.journals[-1]).run("run-1")
    assert view is not None
    assert "died" in html(view)
    assert "nothing ran" in html(view)
    assert world.effects == ["read", "pay"]


def test_arguments_are_shown_only_when_asked_for() -> None:
    journal = MemoryJournal()
    secret = batch("read", args={"password": "hunter2"})
    DurableExecutor(journal).run_all(secret, {"read": lambda password: password})
    assert "hunter2" not in html(toolslot.show("run-1", journal))
    assert "hunter2" in html(toolslot.show("run-1", journal, reveal=True))


def test_save_writes_a_page(tmp_path: Path) -> None:
    path = toolslot.show(five_calls()).save(tmp_path / "run.html")
    assert path.read_text(encoding="utf-8").startswith("<!doctype html>")
