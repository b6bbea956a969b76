"""The guide for LangGraph: every Python block runs, in the order of its section, and does what the text around it says."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import signal
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("langchain")

from langchain.agents import create_agent
from langchain_core.messages import AIMessage, ToolMessage
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode, tools_condition
from langgraph.types import interrupt

from support.guides import blocks, sections
from toolslot import Limits, RecordMissing, ToolPolicy, current_call
from toolslot_langgraph import DurableOptions, durable_nodes, make_durable

ROOT = Path(__file__).parent.parent
GUIDE = (ROOT / "docs" / "langgraph.md").read_text()


def scripted_model() -> Any:
    """The chat model of the examples, which lie outside of every package."""
    name = "toolslot_examples_scripted"
    spec = importlib.util.spec_from_file_location(name, ROOT / "examples" / "scripted.py")
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[name] = importlib.util.module_from_spec(spec)  # pydantic looks there
    spec.loader.exec_module(module)
    return module


scripted: Any = scripted_model()


class World:
    """What the guide takes for granted: a model that asks for two payments and a balance, and a bank."""

    def __init__(self) -> None:
        self.paid: list[str] = []
        self.receipts: dict[str, str] = {}
        #: invoices whose payment fails once: the money has gone, and the answer is lost
        self.lost: set[str] = set()
        self.during: Callable[[str], None] = lambda invoice: None
        self.config: Any = {"configurable": {"thread_id": "order-17"}}
        self.checkpointer = InMemorySaver()
        world = self

        def pay(invoice: str) -> str:
            """Pay an invoice."""
            world.during(invoice)
            world.paid.append(invoice)
            receipt = world.receipts[current_call().idempotency_key] = f"receipt for {invoice}"
            if invoice in world.lost:
                world.lost.discard(invoice)
                raise TimeoutError("no answer")
            return receipt

        def balance(account: str) -> str:
            """The balance of an account."""
            return f"5000 on {account}"

        self.tools = [pay, balance]

    @property
    def model(self) -> Any:
        calls = [
            scripted.call("pay", invoice="A-1"),
            scripted.call("pay", invoice="A-2"),
            scripted.call("balance", account="m"),
        ]
        return scripted.ScriptedModel(script=[calls, "Done."])

    def one_node(self, **options: Any) -> Any:
        """A graph whose node runs all calls."""
        model = self.model
        graph = StateGraph(MessagesState)
        graph.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
        graph.add_node("tools", ToolNode(self.tools))
        graph.add_edge(START, "model")
        graph.add_conditional_edges("model", tools_condition)
        graph.add_edge("tools", "model")
        return make_durable(graph.compile(checkpointer=self.checkpointer), **options)

    def one_task_per_call(self, **options: Any) -> Any:
        return make_durable(create_agent(self.model, self.tools, checkpointer=self.checkpointer), **options)

    def crashed(self, agent: Any, *lost: str) -> Any:
        """The agent, after a run that ended at payments of unknown outcome."""
        self.lost = set(lost)
        with pytest.raises(TimeoutError):
            agent.invoke({"messages": [("user", "go")]}, self.config, durability="sync")
        return agent

    def find(self, key: str) -> str | None:
        return self.receipts.get(key)

    def names(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "pay": self.tools[0],
            "balance": self.tools[1],
            "checkpointer": self.checkpointer,
            "config": self.config,
            "bank": self,
            "create_agent": create_agent,
            "make_durable": make_durable,
            "durable_nodes": durable_nodes,
        }


@dataclass
class Page:
    """Runs the blocks of one section over what a test gives."""

    world: World

    def run(self, heading: str, **given: Any) -> dict[str, Any]:
        found = {"__name__": "guide", **self.world.names(), **given}
        for number, block in enumerate(blocks(sections(GUIDE)[heading])):
            exec(compile(block, f"{heading}, block {number}", "exec"), found)
        return found


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "journal"))
    return Page(World())


def answers(state: Any) -> list[str]:
    return [message.text for message in state["messages"] if isinstance(message, ToolMessage)]


PAID = ["receipt for A-1", "receipt for A-2", "5000 on m"]


def test_both_doors_for_create_agent(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    found = page.run("Which door")
    assert capsys.readouterr().out == "DurableNodes(['tools'])\n"
    assert answers(found["agent"].invoke({"messages": [("user", "go")]}, page.world.config)) == PAID


def test_resuming(page: Page) -> None:
    agent = page.world.crashed(page.world.one_task_per_call(), "A-2")
    assert answers(page.run("What you need", agent=agent)["state"]) == PAID
    assert sorted(page.world.paid) == ["A-1", "A-2", "A-2"]


def test_replay_on_fork(page: Page) -> None:
    world = page.world
    agent = page.run("Forks and time travel")["agent"]
    agent.invoke({"messages": [("user", "go")]}, world.config)
    before = next(state for state in agent.get_state_history(world.config) if state.next[:1] == ("tools",))
    assert answers(agent.invoke(None, before.config)) == PAID
    assert sorted(world.paid) == ["A-1", "A-2"]


def test_a_journal_that_has_no_record_of_the_thread(
    page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = page.world
    world.crashed(page.run("After a deploy, and in another journal")["agent"], "A-2")
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "elsewhere"))
    agent = page.run("After a deploy, and in another journal")["agent"]
    with pytest.raises(RecordMissing, match=str(tmp_path / "elsewhere")):
        agent.invoke(None, world.config)
    assert sorted(world.paid) == ["A-1", "A-2"]


def test_a_run_key_in_a_graph_without_a_checkpointer(page: Page) -> None:
    conversation = [AIMessage("", tool_calls=[scripted.call("pay", invoice="A-1")], id="m1")]
    for _ in range(2):
        found = page.run("Without a checkpointer", conversation=conversation)
        assert answers(found["result"]) == ["receipt for A-1"]
    assert page.world.paid == ["A-1"]


@pytest.mark.parametrize("form", ["one_node", "one_task_per_call"])
def test_the_loop_that_answers_a_tools_own_questions(page: Page, form: str) -> None:
    world = page.world
    entered: list[str] = []

    def ask(invoice: str) -> None:
        entered.append(invoice)
        assert interrupt(f"pay {invoice}?") == f"yes to pay {invoice}?"

    world.during = ask
    found = page.run(
        "Your tools' own `interrupt()`",
        agent=getattr(world, form)(),
        approve=lambda question: f"yes to {question}",
    )
    assert answers(found["state"]) == PAID
    assert sorted(world.paid) == ["A-1", "A-2"]
    assert len(entered) >= 4  # what stands before the question runs again at its answer


@pytest.mark.parametrize("form", ["one_node", "one_task_per_call"])
def test_the_code_that_answers_questions_about_calls_of_unknown_outcome(page: Page, form: str) -> None:
    world = page.world
    agent = getattr(world, form)(policies={"pay": ToolPolicy(on_unknown="ask")})
    found = page.run('`on_unknown="ask"`', agent=world.crashed(agent, "A-1", "A-2"))
    assert answers(found["state"]) == PAID
    assert sorted(world.paid) == ["A-1", "A-2"]


@pytest.mark.parametrize(("form", "interrupts"), [("one_node", 1), ("one_task_per_call", 2)])
def test_the_question_that_the_guide_shows_has_the_form_of_a_real_one(
    page: Page, form: str, interrupts: int
) -> None:
    world = page.world
    agent = getattr(world, form)(policies={"pay": ToolPolicy(on_unknown="ask")})
    state = world.crashed(agent, "A-1", "A-2").invoke(None, world.config)
    assert len(state["__interrupt__"]) == interrupts
    (shown,) = (json.loads(block) for block in blocks(sections(GUIDE)['`on_unknown="ask"`'], "json"))
    real = json.loads(json.dumps(state["__interrupt__"][0].value))
    assert list(shown) == list(real)
    assert [*shown["questions"][0]] == [*real["questions"][0]]
    assert real["message"].startswith(shown["message"].removesuffix("..."))
    assert {key: type(value) for key, value in shown["questions"][0].items()} == {
        key: type(value) for key, value in real["questions"][0].items()
    }
    assert real["questions"][0]["id"].startswith(real["questions"][0]["idempotency_key"])


def test_an_agent_inside_a_tool(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    def search(words: str) -> str:
        """Search."""
        return f"found {words}"

    found = page.run(
        "Agents inside tools",
        search=search,
        research_model=scripted.ScriptedModel(script=[[scripted.call("search", words="x")], "It is x."]),
        model=scripted.ScriptedModel(script=[[scripted.call("research", topic="x")], "Done."]),
    )
    assert capsys.readouterr().out == "DurableNodes(['tools', 'tools/research/tools'])\n"
    state = found["supervisor"].invoke({"messages": [("user", "go")]}, page.world.config)
    assert answers(state) == ["It is x."]


def test_marks_and_own_events(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    world = page.world
    agent = world.crashed(world.one_node(), "A-2")
    state = agent.invoke(None, world.config)
    world.checkpointer, world.config = InMemorySaver(), {"configurable": {"thread_id": "another"}}
    page.run("Streams, callbacks and traces", state=state)
    shown = capsys.readouterr().out.splitlines()
    assert shown[:3] == ["pay {'replayed': True}", "pay None", "balance {'replayed': True}"]
    assert {"reserved pay", "started pay", "finished pay", "finished balance", "batch None"} <= {*shown[3:]}


def test_the_metadata_of_a_replay_is_what_the_guide_lists(page: Page) -> None:
    from langchain_core.callbacks import BaseCallbackHandler

    seen: list[dict[str, Any]] = []

    class Handler(BaseCallbackHandler):
        def on_tool_start(self, *args: Any, metadata: Any = None, **kwargs: Any) -> None:
            seen.append(metadata)

    world = page.world
    agent = world.crashed(world.one_node(replay_callbacks=True), "A-2")
    agent.invoke(None, {**world.config, "callbacks": [Handler()]})
    told = {name for name in seen[0] if name.startswith("durable_")}
    listed = re.findall(r"`(durable_(?!nodes)\w+)`", sections(GUIDE)["Streams, callbacks and traces"])
    assert told == {*listed}


def test_allowed_types(page: Page) -> None:
    @dataclass
    class Receipt:
        number: int

    page.run("What survives the journal", Receipt=Receipt)


def test_a_policy_with_retries(page: Page) -> None:
    page.run("Retries")


@pytest.mark.skipif(sys.platform == "win32", reason="a process cannot send itself SIGTERM there")
def test_sigterm_ends_the_run_after_the_calls_that_run_and_the_rest_resumes(page: Page) -> None:
    world = page.world
    agent = world.one_node(limits=Limits(batch=1))
    draining: threading.Event = vars(durable_nodes(agent)["tools"].executor)["_draining"]

    def terminate(invoice: str) -> None:
        if not draining.is_set():
            os.kill(os.getpid(), signal.SIGTERM)
            assert draining.wait(20)

    world.during = terminate
    before = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit):
            page.run("Shutting down", agent=agent)
    finally:
        signal.signal(signal.SIGTERM, before)
    assert len(world.paid) == 1
    assert answers(world.one_node().invoke(None, world.config)) == PAID
    assert sorted(world.paid) == ["A-1", "A-2"]


def test_a_tool_node_written_by_hand_and_a_thread_with_open_calls(page: Page) -> None:
    world = page.world
    broken = world.crashed(world.one_node(), "A-2")
    found = page.run("Tool nodes written by hand", agent=broken)
    said = broken.get_state(world.config).values["messages"]
    assert [message.text for message in said if isinstance(message, ToolMessage)][::2] == PAID[::2]
    assert "failed: no answer" in said[3].text

    builder = StateGraph(MessagesState)
    model = world.model
    builder.add_node("model", lambda state: {"messages": [model.invoke(state["messages"])]})
    builder.add_node("tools", found["tool_node"])
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    graph = builder.compile(checkpointer=world.checkpointer)
    config: Any = {"configurable": {"thread_id": "by hand"}}
    assert answers(graph.invoke({"messages": [("user", "go")]}, config)) == PAID


def test_every_section_with_python_has_a_test() -> None:
    source = Path(__file__).read_text()
    for heading, text in sections(GUIDE).items():
        if blocks(text):
            assert repr(heading)[1:-1] in source.replace('\\"', '"'), heading


def test_the_guide_names_every_option() -> None:
    for option in DurableOptions.__annotations__:
        assert f"`{option}`" in sections(GUIDE)["Which door"]


def test_the_guide_quotes_the_promise_word_for_word() -> None:
    """As the README has it, and nothing stronger."""
    promise = re.search(
        r"Within its batch, .*?never had again\.", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert promise is not None
    assert " ".join(promise[0].split()) in " ".join(sections(GUIDE)["What is promised"].split())


def test_the_guide_names_the_lowest_versions_that_the_extras_allow() -> None:
    metadata = (ROOT / "pyproject.toml").read_text()
    named = re.findall(
        r"^\| (lang[\w-]+) \| ([\d.]+) \|", sections(GUIDE)["Supported versions"], re.MULTILINE
    )
    assert len(named) == 5
    for package, version in named:
        assert f'"{package}>={version},<' in metadata or f'"{package}>={version}"' in metadata


def test_the_map_of_the_house_shows_every_module_of_the_adapter() -> None:
    listed = (ROOT / "CONTRIBUTING.md").read_text()
    for module in (ROOT / "adapters" / "toolslot_langgraph").glob("_[a-z]*.py"):
        assert re.search(rf"(?<!\w){module.stem}\.py\b", listed), module.name


def test_links_of_the_guide_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target
