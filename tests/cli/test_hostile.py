"""Names, arguments and results that want to mislead whoever looks: they come out written out, in every view."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from cli.commands import NEEDS_DECISION, command, in_terminal, killed, said
from cli.paying import HOSTILE
from support.views import attempt, batch, call, owner
from toolslot.cli._watch_report import changes, picture

pytestmark = pytest.mark.crash

RUN = f"run {HOSTILE}"
BATCH = f"batch {HOSTILE}"
#: colours of ours, which a terminal is given
STYLE = re.compile(r"\x1b\[(\d+(;\d+)*)?m")


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = ("--run", RUN, "--batch", BATCH, "--tool", HOSTILE, "--call-id", HOSTILE, "--calls", "2")
    names = (*names, "--effect-key", "i")
    return killed(tmp_path_factory.mktemp("hostile"), *names, hang="1")


VIEWS = {
    "runs": (("runs",), 0),
    "show": (("show", RUN, "--reveal"), NEEDS_DECISION),
    "pending": (("pending", "--args"), NEEDS_DECISION),
    "export": (("export", "--reveal"), 0),
    "show as json": (("show", RUN, "--json"), NEEDS_DECISION),
    "not a call": (("resolve", RUN, HOSTILE + "9", "--rerun", "--why", "x"), 1),
    "not a run": (("show", HOSTILE), 1),
    "stale": (("resolve", RUN, "1", "--version", "0", "--rerun", "--why", "x"), 1),
    "unfinished": (("purge", RUN), 1),
    "effects": (("effects",), 0),
    "effects as json": (("effects", "--json"), 0),
    "no effect": (("forget-effect", HOSTILE, HOSTILE, "--run", HOSTILE, "--why", "x"), 1),
    "an effect": (("forget-effect", HOSTILE, "0", "--dry-run", "--why", "x"), 0),
}


@pytest.mark.parametrize("view", VIEWS)
@pytest.mark.parametrize("run", [command, in_terminal], ids=["piped", "terminal"])
def test_no_name_moves_the_cursor_turns_the_text_around_or_begins_a_line(
    view: str, run: object, hostile: Path
) -> None:
    words, code = VIEWS[view]
    assert callable(run)
    output = said(run(*words, "--journal", hostile), code)
    left = STYLE.sub("", output).replace("\n", "")
    assert left.isprintable(), [c for c in left if not c.isprintable()]
    assert "\x1b[31m[bold]" not in output
    assert not any(line.startswith("rm -rf") for line in STYLE.sub("", output).splitlines())


@pytest.mark.parametrize("words", [("show", RUN), ("pending",)])
def test_markup_stays_text(words: tuple[str, ...], hostile: Path) -> None:
    assert "[bold]" in said(command(*words, "--journal", hostile), NEEDS_DECISION)


def test_json_gives_the_very_names_back(hostile: Path) -> None:
    output = said(command("show", RUN, "--json", "--journal", hostile), NEEDS_DECISION)
    assert output.isascii()
    assert json.loads(output)["batches"][0]["calls"][0]["tool"] == HOSTILE


def test_an_output_that_cannot_say_every_character_says_it_otherwise(tmp_path: Path) -> None:
    home = killed(tmp_path, "--tool", "bezahle_für_日本", "--calls", "1", hang="0")
    done = subprocess.run(
        [sys.executable, "-m", "toolslot", "show", "order-17", "--journal", str(home)],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == NEEDS_DECISION, done.stderr
    assert "bezahle_f\\xfcr_\\u65e5\\u672c" in done.stdout
    assert "|" in done.stdout, "the mark of a death, in ASCII"


def test_the_batches_that_are_watched_stay_on_their_lines() -> None:
    calls = [call(0, HOSTILE, attempt(queued=0, started=0, until=1))]
    seen = replace(batch(calls, [owner(since=0, last_seen=1)], name=BATCH), run_id=RUN)
    (line,) = changes([seen], {})
    assert line.isprintable()
    drawn = StringIO()
    Console(file=drawn, width=120, markup=False).print(picture([seen], "/journal"))
    assert drawn.getvalue().replace("\n", "").isprintable()
    assert len(drawn.getvalue().splitlines()) <= 4
