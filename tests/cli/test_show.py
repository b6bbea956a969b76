"""`toolslot show`."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from cli.commands import NEEDS_DECISION, OK, PROBLEM, answer, command, in_terminal, killed, resumed, said
from toolslot import Batch, Call, DiskJournal, DurableExecutor, ToolPolicy

pytestmark = pytest.mark.crash

#: what makes colours and weights
STYLE = re.compile(r"\x1b\[[0-9;]*m")


def shown(home: Path, *args: object) -> str:
    return said(command("show", "order-17", "--journal", home, *args), NEEDS_DECISION)


def row(output: str, index: int) -> str:
    return next(line for line in output.splitlines() if re.match(rf"{index}  [A-Z-]  ", line))


def test_each_call_is_a_row_with_its_state_letter_tool_call_id_and_times(dead: Path) -> None:
    output = shown(dead)
    assert re.match(r"0  S  pay   call_0 +1 .*\+\d+ ms.*", row(output, 0))
    assert "owner died" in row(output, 3)
    assert row(output, 3).split()[1] == "U"


def test_a_call_that_nobody_saw_the_end_of_has_no_end_and_no_latency(dead: Path) -> None:
    call = answer(command("show", "order-17", "--json", "--journal", dead), NEEDS_DECISION)["batches"][0][
        "calls"
    ][3]
    assert call["latency"] is None
    assert len(re.findall(r"\+\d+ ms", row(shown(dead), 3))) == 2, "queued and started, no end"


def test_arguments_and_results_are_hidden_until_they_are_asked_for(dead: Path) -> None:
    assert "arguments" not in shown(dead)
    with_args = shown(dead, "--args")
    assert '#3 arguments: {"i": 3}' in with_args
    assert "receipt" not in with_args
    assert '#0 result: {"receipt": 0}' in shown(dead, "--reveal")
    hidden = answer(command("show", "order-17", "--json", "--journal", dead), NEEDS_DECISION)["batches"][0][
        "calls"
    ][0]
    assert (hidden["args"], hidden["result"]) == (None, None)


def test_the_owner_is_told_with_its_limit_and_its_death(dead: Path) -> None:
    (owner,) = [line for line in shown(dead).splitlines() if line.startswith("  owner ")]
    assert "3 at once" in owner
    assert "died" in owner


def test_the_timeline_has_a_bar_for_each_call_and_a_mark_where_the_owner_died(dead: Path) -> None:
    bars = [line for line in shown(dead).splitlines() if re.match(r" +\d [A-Z-] pay ", line)]
    assert len(bars) == 6
    assert all("█" in bar for bar in bars)
    assert bars[0].rstrip().endswith("┃")
    assert "died after this; no process has taken over" in shown(dead)


def test_after_a_resume_the_results_of_the_dead_are_replayed(folder: Path) -> None:
    resumed(folder)
    output = shown(folder / "journal")
    assert "replayed" in row(output, 0)
    assert sum(line.startswith("  owner ") for line in output.splitlines()) == 2


def test_one_batch_can_be_asked_for(folder: Path) -> None:
    killed(folder, "--batch", "step-2")
    where = ("--journal", folder / "journal")
    both = answer(command("show", "order-17", "--json", *where), NEEDS_DECISION)
    assert [batch["batch_id"] for batch in both["batches"]] == ["step-1", "step-2"]
    one = answer(command("show", "order-17", "--batch", "step-2", "--json", *where), NEEDS_DECISION)
    assert [batch["batch_id"] for batch in one["batches"]] == ["step-2"]
    said(command("show", "order-17", "--batch", "step-3", *where), PROBLEM)


def test_a_run_that_needs_nothing_ends_with_code_0(folder: Path) -> None:
    where = ("--journal", folder / "journal")
    for index in (3, 4):
        said(command("resolve", "order-17", index, "--done", "1", "--why", "test", *where))
    resumed(folder)
    assert "replayed" in said(command("show", "order-17", *where), OK)


def test_a_run_that_is_not_there_is_one_line_and_code_1(dead: Path) -> None:
    output = said(command("show", "nobody", "--journal", dead), PROBLEM)
    assert len(output.splitlines()) == 1
    assert "there is no run 'nobody'" in output


def test_a_terminal_of_80_columns_is_enough(dead: Path) -> None:
    output = said(in_terminal("show", "order-17", "--journal", dead), NEEDS_DECISION)
    table = output[output.index("call id") :]
    assert max(len(STYLE.sub("", line)) for line in table.splitlines()) <= 80
    assert STYLE.search(output)


def test_on_a_narrow_terminal_a_call_is_one_line_and_its_call_id_gives_way(tmp_path: Path) -> None:
    killed(tmp_path, "--tool", "transfer_money_to_a_foreign_account", "--call-id", "call_" + "x" * 24)
    words = ("show", "order-17", "--journal", tmp_path / "journal")
    output = STYLE.sub("", said(in_terminal(*words), NEEDS_DECISION))
    table = output[output.index("#  ") : output.index("\n\n", output.index("#  "))]
    assert len(table.splitlines()) == 1 + 6
    assert "call_" not in output
    assert "call id" in said(in_terminal(*words, COLUMNS="140"), NEEDS_DECISION)


def test_what_a_mark_of_the_timeline_means_is_never_cut(tmp_path: Path) -> None:
    killed(tmp_path, "--tool", "transfer_money_to_a_foreign_account")
    output = said(in_terminal("show", "order-17", "--journal", tmp_path / "journal"), NEEDS_DECISION)
    assert "died after this; no process has taken over" in output


def test_a_decision_is_told_in_a_line_of_its_own_with_who_and_why(home: Path) -> None:
    why = "found in the ledger of the bank, page 3, under the key that was printed"
    said(
        command(
            "resolve", "order-17", 3, "--done", "1", "--why", why, "--by", "ann\x1b[2J", "--journal", home
        )
    )
    output = said(in_terminal("show", "order-17", "--journal", home), NEEDS_DECISION)
    assert rf"#3 decision: done, says ann\x1b[2J: {why}" in STYLE.sub("", output)


def test_no_color_is_honoured(dead: Path) -> None:
    output = said(in_terminal("show", "order-17", "--journal", dead, NO_COLOR="1"), NEEDS_DECISION)
    codes = {code for style in STYLE.findall(output) for code in style[2:-1].split(";")}
    assert codes <= {"0", "1", "2"}, "bold and dim at most"


def test_where_there_is_no_terminal_nothing_is_coloured_wrapped_or_cut(folder: Path) -> None:
    tool, home = "a_tool_with_a_rather_long_name_" * 2, folder / "journal"
    killed(folder, "--run", "long", "--tool", tool, "--call-id", "call_" + "x" * 50)
    output = said(command("show", "long", "--journal", home), NEEDS_DECISION)
    assert "\x1b" not in output
    assert all(tool[:59] in line for line in output.splitlines() if re.match(r"\d  [SU-]  ", line))


def test_a_call_of_which_nothing_is_recorded_is_not_said_to_wait_or_to_be_undone(tmp_path: Path) -> None:
    with DiskJournal.open(tmp_path / "journal") as journal:
        executor = DurableExecutor(journal, policies={"look": ToolPolicy(record=False)}, hooks=[])
        executor.run_all(
            Batch(run_id="order-17", batch_id="b", calls=[Call(tool="look")]), {"look": lambda: "seen"}
        )
    output = said(command("show", "order-17", "--journal", tmp_path / "journal"), OK)
    assert "not recorded" in row(output, 0)
    assert "certainly not done" not in output
