"""What an MCP server says about its tools counts, until the user says otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.tools import StructuredTool

from toolslot import ToolPolicy
from toolslot_langgraph._hints import hinted_policies


def policy(**metadata: Any) -> ToolPolicy | None:
    made = StructuredTool.from_function(lambda: "", name="made", description="d", metadata=metadata)
    return hinted_policies([made]).get("made")


def flat(camel: dict[str, bool]) -> dict[str, Any]:
    return camel


def snake(camel: dict[str, bool]) -> dict[str, Any]:
    names = {
        "readOnlyHint": "read_only_hint",
        "idempotentHint": "idempotent_hint",
        "destructiveHint": "destructive_hint",
    }
    return {names[key]: value for key, value in camel.items()}


def nested(camel: dict[str, bool]) -> dict[str, Any]:
    return {"mcp": {"tool": {"annotations": snake(camel), "_meta": {}}, "server": {"name": "s"}}}


forms = pytest.mark.parametrize("form", [flat, snake, nested])


@forms
@pytest.mark.parametrize("hint", ["readOnlyHint", "idempotentHint"])
def test_a_tool_that_only_reads_or_is_idempotent_may_run_again(form: Any, hint: str) -> None:
    assert policy(**form({hint: True})) == ToolPolicy(idempotent=True)


@forms
def test_an_explicitly_destructive_tool_is_asked_about(form: Any) -> None:
    assert policy(**form({"destructiveHint": True, "readOnlyHint": False})) == ToolPolicy(on_unknown="ask")


@forms
@pytest.mark.parametrize(
    "hints", [{}, {"destructiveHint": False}, {"readOnlyHint": False, "idempotentHint": False}], ids=str
)
def test_hints_that_say_nothing_about_a_second_run_change_nothing(form: Any, hints: dict[str, bool]) -> None:
    assert policy(**form(hints)) is None


@pytest.mark.parametrize(
    "metadata", [{"readOnlyHint": "yes"}, {"mcp": "x"}, {"mcp": {"tool": None}}, {"readOnlyHint": 1}], ids=str
)
def test_only_a_plain_true_counts(metadata: dict[str, Any]) -> None:
    assert policy(**metadata) is None


def test_the_users_own_policy_comes_first_and_a_hint_before_the_default(talk: Any) -> None:
    tools = [
        StructuredTool.from_function(
            lambda: "", name=name, description="d", metadata={"destructiveHint": True}
        )
        for name in ("a", "b")
    ]
    node = talk.node(
        tools, policies={"a": ToolPolicy(on_unknown="fail")}, default_policy=ToolPolicy(on_unknown="rerun")
    )
    engine = node.executor._engine()
    assert [engine.policy(name).unknown_rule for name in "abc"] == ["fail", "ask", "rerun"]
