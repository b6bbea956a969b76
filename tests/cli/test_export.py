"""`toolslot export`."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from cli.commands import CANNOT_RUN, OK, PROBLEM, command, killed, said

pytestmark = pytest.mark.crash


def lines(*args: object, code: int = OK) -> list[Any]:
    return [json.loads(line) for line in said(command("export", *args), code).splitlines()]


def test_every_batch_and_every_call_is_one_object_a_line(dead: Path) -> None:
    found = lines("--jsonl", "--journal", dead)
    assert [each["type"] for each in found] == ["batch", *["call"] * 6]
    assert [each["state"] for each in found[1:]] == ["succeeded"] * 3 + ["unknown"] * 2 + ["succeeded"]
    assert found[0]["calls"] == 6


def test_arguments_and_results_are_left_out_unless_asked_for(dead: Path) -> None:
    assert all(each["args"] is None and each["result"] is None for each in lines("--journal", dead)[1:])
    first = lines("--reveal", "--journal", dead)[1]
    assert (first["args"], first["result"]) == ({"i": 0}, '{"receipt": 0}')


def test_only_the_runs_that_are_named(folder: Path) -> None:
    home = killed(folder, "--run", "other", "--calls", "1", hang="0")
    assert {each["run_id"] for each in lines("--journal", home)} == {"order-17", "other"}
    assert {each["run_id"] for each in lines("other", "--journal", home)} == {"other"}
    said(command("export", "nobody", "--journal", home), PROBLEM)


def test_into_a_file(dead: Path, tmp_path: Path) -> None:
    said(command("export", "-o", tmp_path / "out.jsonl", "--journal", dead))
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 7


def test_a_batch_that_cannot_be_read_is_named_and_hides_no_other(folder: Path) -> None:
    home = killed(folder, "--run", "other", "--calls", "1", hang="0")
    with sqlite3.connect(home / "db" / "cache.db") as database:
        (name,) = database.execute("SELECT min(key) FROM Cache WHERE key GLOB 'b/*/[0-9]*'").fetchone()
        database.execute("DELETE FROM Cache WHERE key = ?", (name,))
    database.close()
    found = lines("--journal", home, code=PROBLEM)
    assert [each["type"] for each in found].count("damaged") == 1
    assert [each["type"] for each in found].count("batch") == 1


def test_a_file_that_cannot_be_written_is_named(dead: Path, tmp_path: Path) -> None:
    output = said(command("export", "-o", tmp_path / "no" / "x.jsonl", "--journal", dead), CANNOT_RUN)
    assert "x.jsonl" in output
