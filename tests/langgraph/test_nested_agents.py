"""Agents that are tools of other agents: when the process died inside one, it goes on where it was."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from langchain.agents import create_agent
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.types import Command

from support.agents import asking, react, run, said
from support.harness import World
from toolslot import EventKind, ToolPolicy
from toolslot_langgraph import durable_nodes, make_durable


class Company:
    """A supervisor that asks a clerk, who pays three times. In the first life the second payment hangs once it was made.

    Each `graph()` is what a new process would build.
    """

    def __init__(self, build: Callable[..., Any], *, asynchronous: bool, clerks: int = 1) -> None:
        self.build, self.asynchronous, self.clerks = build, asynchronous, clerks
        self.world, self.saver = World(), InMemorySaver()
        self.paid: Counter[int] = Counter()
        self.asked = 0
        self.hangs = True
        self.inside, self.release = threading.Semaphore(0), threading.Event()

    def pay(self, i: int) -> str:
        self.paid[i] += 1
        if i == 1 and self.hangs:
            self.inside.release()
            self.release.wait(20)
        return f"paid {i}"

    async def apay(self, i: int) -> str:
        return await asyncio.to_thread(self.pay, i)

    def graph(self, **options: Any) -> Any:
        paying = tool("pay", description="Pays.")(self.apay if self.asynchronous else self.pay)
        clerk = self.build(asking("pay"), [paying], name="clerk")

        def ask(i: int) -> str:
            self.asked += 1
            return ",".join(said(clerk.invoke({"messages": ["pay"]})))

        async def aask(i: int) -> str:
            self.asked += 1
            return ",".join(said(await clerk.ainvoke({"messages": ["pay"]})))

        asks = tool("ask", description="Asks the clerk.")(aask if self.asynchronous else ask)
        supervisor = self.build(asking("ask", self.clerks), [asks], checkpointer=self.saver)
        journal = self.world.executor().journal
        return make_durable(supervisor, journal=journal, hooks=[self.world.events], **options)

    @contextlib.contextmanager
    def dead(self, **options: Any) -> Any:
        """The first life; what hangs in it ends with the block."""
        graph = self.graph(**options)

        def life() -> None:
            with contextlib.suppress(Exception):
                run(graph, {"messages": ["go"]}, asynchronous=self.asynchronous)

        thread = threading.Thread(target=life)
        thread.start()
        for _ in range(self.clerks):
            assert self.inside.acquire(timeout=20)
        while len(self.world.events.calls(EventKind.FINISHED)) < 2 * self.clerks:
            pass
        self.world.crash()
        self.hangs = False
        try:
            yield
        finally:
            self.release.set()
            thread.join(20)

    def run(self, graph: Any, value: Any = None) -> Any:
        return run(graph, value, asynchronous=self.asynchronous)


BUILDS = {
    "create_agent": create_agent,
    "react_v1": lambda *args, **settings: react(*args, version="v1", **settings),
    "react_v2": lambda *args, **settings: react(*args, version="v2", **settings),
}


@pytest.fixture(params=BUILDS)
def build(request: Any) -> Any:
    return BUILDS[request.param]


@pytest.fixture(params=[False, True], ids=["sync", "async"])
def company(request: Any, build: Any) -> Company:
    return Company(build, asynchronous=request.param)


def test_the_agent_inside_goes_on_and_repeats_no_recorded_call(company: Company) -> None:
    with company.dead():
        assert said(company.run(company.graph())) == ["paid 0,paid 1,paid 2"]
    assert company.paid == {0: 1, 1: 2, 2: 1}
    assert company.asked == 2


def test_running_an_agent_again_needs_no_policy_and_a_call_inside_does(company: Company) -> None:
    with company.dead():
        company.run(company.graph())
    reruns = {event.tool: event.detail for event in company.world.events.calls(EventKind.RERUN)}
    assert reruns["ask"] == "run again by policy"
    assert "No policy is declared" in reruns["pay"]


def test_a_default_to_ask_asks_about_the_call_inside_and_not_about_the_agent(company: Company) -> None:
    options = {"default_policy": ToolPolicy(on_unknown="ask")}
    with company.dead(**options):
        graph = company.graph(**options)
        (shown,) = company.run(graph)["__interrupt__"]
        (question,) = shown.value["questions"]
        assert question["tool"] == "pay"
        answer = Command(resume={question["id"]: {"done": "paid 1, says the bank"}})
        assert said(company.run(graph, answer)) == ["paid 0,paid 1, says the bank,paid 2"]
    assert company.paid == {0: 1, 1: 1, 2: 1}


def test_a_policy_of_the_tools_own_holds_for_the_agent(company: Company) -> None:
    options = {"policies": {"ask": ToolPolicy(on_unknown="ask")}}
    with company.dead(**options):
        (shown,) = company.run(company.graph(**options))["__interrupt__"]
        assert [question["tool"] for question in shown.value["questions"]] == ["ask"]
    assert company.asked == 1


@pytest.mark.parametrize("asynchronous", [False, True], ids=["sync", "async"])
def test_two_agents_at_once_each_go_on_from_where_they_were(build: Any, asynchronous: bool) -> None:
    company = Company(build, asynchronous=asynchronous, clerks=2)
    with company.dead():
        assert said(company.run(company.graph())) == ["paid 0,paid 1,paid 2"] * 2
    assert company.paid == {0: 2, 1: 4, 2: 2}


def test_the_node_inside_has_the_same_options_and_journal(company: Company) -> None:
    nodes = durable_nodes(company.graph(on_fork="rerun"))
    assert [*nodes] == ["tools", "tools/ask/tools"]
    outer, inner = nodes.values()
    assert inner.executor.journal is outer.executor.journal
    assert inner._settings.on_fork == "rerun"
