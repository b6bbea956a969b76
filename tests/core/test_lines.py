"""Events in a file, a line each."""

from __future__ import annotations

import json
import logging
import multiprocessing
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from support.harness import batch, both
from support.small_disk import small_disk
from toolslot import DurableExecutor, EventKind, InvalidSetting, MemoryJournal
from toolslot.instrumentation import JsonLinesHook


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line, parse_constant=pytest.fail) for line in path.read_text("ascii").splitlines()]


def one_call(hook: JsonLinesHook, **args: Any) -> None:
    executor = DurableExecutor(MemoryJournal(), hooks=[hook])
    executor.run_all(batch("pay", args=args), {"pay": lambda **_: "paid"})


@both
def test_each_event_is_a_line_and_the_end_of_a_batch_is_one_with_the_metrics_of_all_calls(
    tmp_path: Path, run: Any
) -> None:
    path = tmp_path / "events.jsonl"
    executor = DurableExecutor(MemoryJournal(), hooks=[JsonLinesHook(path)])
    run(executor, batch("pay", "pay"), {"pay": lambda i: i})
    found = lines(path)
    assert [line["event"] for line in found].count("finished") == 2
    (whole,) = [line for line in found if line["event"] == "batch"]
    assert [(call["tool"], call["state"], call["attempt"]) for call in whole["calls"]] == [
        ("pay", "succeeded", 1)
    ] * 2
    assert all("args" not in line and "truncated" not in line for line in found)


def test_the_metrics_of_a_large_batch_are_not_cut(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    executor = DurableExecutor(MemoryJournal(), hooks=[JsonLinesHook(path, max_items=2)])
    executor.run_all(batch(*["pay"] * 30), {"pay": lambda i: i})
    assert len(lines(path)[-1]["calls"]) == 30


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("x" * 11, "xxxxxxxxxx... (10 of 11 characters)"),
        ("x" * 10, "x" * 10),
        ([1, 2, 3, 4], [1, 2, 3, "... (3 of 4 items)"]),
        ([1, 2, 3], [1, 2, 3]),
        ({"a": 1, "b": 2, "c": 3, "d": 4}, {"a": 1, "b": 2, "c": 3, "...": "... (3 of 4 items)"}),
        ({"a": {"b": 1}}, {"a": "... (1 items)"}),
        ({}, {}),
    ],
)
def test_what_is_long_or_deep_is_cut_and_says_how_much_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: Any, kept: Any
) -> None:
    monkeypatch.setenv("TOOLSLOT_LOG_ARGS", "1")
    path = tmp_path / "events.jsonl"
    one_call(JsonLinesHook(path, max_string=10, max_items=3, max_depth=2), v=given)
    (started,) = [line for line in lines(path) if line["event"] == "started"]
    assert started["args"] == {"v": kept}


def test_a_line_that_was_cut_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLSLOT_LOG_ARGS", "1")
    path = tmp_path / "events.jsonl"
    one_call(JsonLinesHook(path), memo="m" * 2001)
    assert {line.get("truncated", False) for line in lines(path) if "args" in line} == {True}
    assert all("truncated" not in line for line in lines(path) if line["event"] == "batch")


def test_verbose_cuts_nothing_and_off_writes_nothing_each_kind_for_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_LOG_ARGS", "1")
    path = tmp_path / "events.jsonl"
    hook = JsonLinesHook(path, levels={"finished": "verbose", "reserved": "off", "batch": "off"})
    one_call(hook, memo="m" * 3000)
    found = {line["event"]: len(line["args"]["memo"]) for line in lines(path)}
    assert found.keys() == {"started", "finished"}
    assert found["finished"] == 3000
    assert found["started"] < 2100
    assert not hook.wants(EventKind.RESERVED)
    assert not hook.wants(None)


def test_a_name_cannot_begin_a_line_of_its_own_or_reach_a_terminal(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    evil = 'pay\n{"event": "finished"}\x1b[2J\u2028\u202e\ud800'
    executor = DurableExecutor(MemoryJournal(), hooks=[JsonLinesHook(path)])
    executor.run_all(batch(evil), {evil: lambda i: i})
    text = path.read_text("ascii")
    assert all(character.isprintable() or character == "\n" for character in text)
    assert {line.get("tool", evil) for line in lines(path)} == {evil}


def test_numbers_that_json_does_not_know_are_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOOLSLOT_LOG_ARGS", "1")
    path = tmp_path / "events.jsonl"
    one_call(JsonLinesHook(path), v=[float("nan"), float("inf"), 0.5, True, None])
    assert lines(path)[0]["args"]["v"] == ["nan", "inf", 0.5, True, None]


def test_a_file_that_the_system_moves_away_is_begun_again(tmp_path: Path) -> None:
    path, moved = tmp_path / "events.jsonl", tmp_path / "events.jsonl.1"
    hook = JsonLinesHook(path)
    one_call(hook)
    before = path.read_text()
    path.rename(moved)
    one_call(hook)
    assert moved.read_text() == before
    assert lines(path)[-1]["event"] == "batch"


def test_only_its_owner_can_read_a_new_file(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    JsonLinesHook(path)
    assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0


def test_a_full_disk_touches_no_call_is_told_once_and_told_when_it_is_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with small_disk(tmp_path / "small") as disk:
        hook = JsonLinesHook(disk.path / "events.jsonl")
        with caplog.at_level(logging.WARNING, "toolslot"):
            with disk.full():
                one_call(hook)
                one_call(hook)
            assert hook.lost == 8
            (told,) = caplog.records
            assert "events_not_written" in told.getMessage()
            assert "events.jsonl" in told.getMessage()
            one_call(hook)
        assert hook.lost == 8
        assert caplog.records[-1].getMessage().endswith("lost=8")
        assert len(lines(disk.path / "events.jsonl")) == 4


def test_a_line_of_which_only_a_part_found_room_is_not_glued_to_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TOOLSLOT_LOG_ARGS", "1")
    with small_disk(tmp_path / "small") as disk:
        path = disk.path / "events.jsonl"
        path.write_text("{}\n")  # the rest of the block is what the file may still have when the disk is full
        hook = JsonLinesHook(path, level="verbose")
        with disk.full():
            one_call(hook, memo="m" * 10_000)
        one_call(hook)
        found = path.read_text("ascii").splitlines()
        assert hook.lost == 4
        assert found[1].endswith("mmm")
        assert [json.loads(line)["event"] for line in found[2:]] == [
            "reserved",
            "started",
            "finished",
            "batch",
        ]


def test_a_directory_that_is_gone_touches_no_call(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    hook = JsonLinesHook(folder / "events.jsonl")
    (folder / "events.jsonl").unlink()
    folder.rmdir()
    one_call(hook)
    assert hook.lost == 4


def test_lines_of_many_threads_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    hook = JsonLinesHook(path)
    threads = [threading.Thread(target=one_call, args=(hook,)) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(lines(path)) == 16 * 4


def write_much(path: Path, word: str) -> None:
    hook = JsonLinesHook(path)
    executor = DurableExecutor(MemoryJournal(), hooks=[hook])
    for turn in range(20):
        tool = word * 1500
        executor.run_all(batch(*[tool] * 20, run=f"{word}{turn}"), {tool: lambda i: i})
    assert hook.lost == 0


@pytest.mark.slow
def test_lines_of_several_processes_stay_whole(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    spawn = multiprocessing.get_context("spawn")
    workers = [spawn.Process(target=write_much, args=(path, word)) for word in "abc"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join(60)
        assert worker.exitcode == 0
    assert len(lines(path)) == 3 * 20 * (20 * 3 + 1)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"level": "loud"}, "'loud'.*'off', 'standard', 'verbose'"),
        ({"levels": {"started": "loud"}}, "'loud'"),
        ({"levels": {"begun": "off"}}, "'begun'.*started.*batch"),
        ({"max_string": 0}, "max_string.*0"),
        ({"max_items": -1}, "max_items.*-1"),
        ({"max_depth": True}, "max_depth.*True"),
    ],
)
def test_a_setting_that_means_nothing_is_refused(tmp_path: Path, settings: Any, said: str) -> None:
    with pytest.raises(InvalidSetting, match=said):
        JsonLinesHook(tmp_path / "events.jsonl", **settings)


def test_a_file_that_cannot_be_opened_is_refused_at_once(tmp_path: Path) -> None:
    with pytest.raises(InvalidSetting, match=r"nowhere/events\.jsonl.*directory that exists"):
        JsonLinesHook(tmp_path / "nowhere" / "events.jsonl")
    with pytest.raises(InvalidSetting, match="cannot be written"):
        JsonLinesHook(tmp_path)
