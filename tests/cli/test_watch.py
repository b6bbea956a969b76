"""`toolslot watch`."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cli.commands import NEEDS_DECISION, OK, agent, command, in_terminal, said

pytestmark = pytest.mark.crash

WATCH = [sys.executable, "-m", "toolslot", "watch", "--interval", "0.05"]


def test_where_nothing_runs_it_ends_at_once_when_asked_to(dead: Path) -> None:
    assert said(command("watch", "--until-idle", "--journal", dead), OK) == ""
    assert "nothing runs in" in said(in_terminal("watch", "--until-idle", "--journal", dead), OK)


def test_piped_each_change_is_a_line_until_all_is_done(tmp_path: Path) -> None:
    with agent(tmp_path, "--calls", "2", "--hang", "1") as child:
        child.await_line("HANGING")
        watching = subprocess.Popen(
            [*WATCH, "--until-idle", "--journal", str(tmp_path / "journal")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        first = watching.stdout.readline()
        assert first == "run order-17 batch step-1: running, 1 of 2 calls settled (1R 1S)\n"
        (tmp_path / "go-on").touch()
        child.report()
        rest, _ = watching.communicate(timeout=60)
    assert rest.splitlines()[-1] == "run order-17 batch step-1: closed, 2 of 2 calls settled (2S)"
    assert watching.returncode == OK


def test_a_batch_that_dies_while_it_is_watched_ends_the_watch_with_code_2(tmp_path: Path) -> None:
    with agent(tmp_path, "--calls", "2", "--hang", "1") as child:
        child.await_line("HANGING")
        watching = subprocess.Popen(
            [*WATCH, "--until-idle", "--journal", str(tmp_path / "journal")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        watching.stdout.readline()
        child.kill()
        rest, _ = watching.communicate(timeout=60)
    assert "unknown, 1 of 2 calls settled (1S 1U)" in rest
    assert watching.returncode == NEEDS_DECISION


def test_ctrl_c_ends_it_without_a_word(dead: Path, tmp_path: Path) -> None:
    with agent(tmp_path, "--calls", "1", "--hang", "0") as child:
        child.await_line("HANGING")
        watching = subprocess.Popen(
            [*WATCH, "--journal", str(tmp_path / "journal")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        watching.stdout.readline()
        watching.send_signal(signal.SIGINT)
        _, errors = watching.communicate(timeout=60)
    assert (watching.returncode, errors) == (OK, "")


def test_one_run_can_be_watched_alone(tmp_path: Path) -> None:
    with agent(tmp_path, "--calls", "1", "--hang", "0") as child:
        child.await_line("HANGING")
        assert said(command("watch", "another", "--until-idle", "--journal", tmp_path / "journal"), OK) == ""


def test_a_terminal_shows_a_bar_for_each_batch(tmp_path: Path) -> None:
    """It ends with the agent, whose death is the last that is seen."""
    with agent(tmp_path, "--calls", "2", "--hang", "1") as child:
        child.await_line("HANGING")
        ours, theirs = pty.openpty()
        watching = subprocess.Popen(
            [*WATCH, "--until-idle", "--journal", str(tmp_path / "journal")],
            stdout=theirs,
            env={**os.environ, "TERM": "xterm", "COLUMNS": "80", "LINES": "24"},
        )
        os.close(theirs)
        output = b""
        while b"1/2" not in output:
            output += os.read(ours, 4096)
        child.kill()
        while True:
            try:
                more = os.read(ours, 4096)
            except OSError:  # the other end is closed
                break
            if not more:
                break
            output += more
        os.close(ours)
        assert watching.wait(60) == NEEDS_DECISION
    assert "order-17" in output.decode()
    assert "━" in output.decode()


def test_as_json_each_change_is_the_batch_with_its_calls(tmp_path: Path) -> None:
    with agent(tmp_path, "--calls", "2", "--hang", "1") as child:
        child.await_line("HANGING")
        watching = subprocess.Popen(
            [*WATCH, "--json", "--until-idle", "--journal", str(tmp_path / "journal")],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        (tmp_path / "go-on").touch()
        rest, _ = watching.communicate(timeout=60)
    assert [call["state"] for call in first["calls"]] == ["succeeded", "running"]
    assert json.loads(rest.splitlines()[-1])["state"] == "closed"
