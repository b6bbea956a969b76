"""The guide for LlamaIndex: every Python block runs, in the order of its section, and what the text says of the framework is so."""

from __future__ import annotations

import asyncio
import inspect
import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("llama_index.core")

from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.llms import ChatMessage
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.tools import AsyncBaseTool, FunctionTool, ToolMetadata, ToolOutput
from llama_index.core.tools.calling import acall_tool
from llama_index.core.workflow import Context, Event
from llama_index.core.workflow.events import HumanResponseEvent, InputRequiredEvent

from support.guides import blocks, sections
from support.llama_guide import GUIDE, ROOT, Page, World
from toolslot import BatchMismatch, Draining, ToolPolicy, current_call
from toolslot_llamaindex import ToolOutcomeQuestion, durable
from toolslot_llamaindex._demo_agent import ScriptedLLM

PAID = ["receipt for A-1", "receipt for A-2", "5000 on m"]


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Page:
    monkeypatch.setenv("TOOLSLOT_HOME", str(tmp_path / "journal"))
    return Page(World())


def go(agent: Any, **settings: Any) -> Any:
    """One run of the guide's order."""

    async def main() -> Any:
        return await agent.run(**{"user_msg": "Pay A-1 and A-2.", "run_id": "order-17", **settings})

    return asyncio.run(main())


def test_the_first_block_pays_and_run_again_it_only_answers(page: Page) -> None:
    for _ in range(2):
        found = asyncio.run(page.run("What you change"))
        assert str(found["answer"]) == "Done."
        assert page.world.heard() == PAID
    assert sorted(page.world.paid) == ["A-1", "A-2"]
    assert page.world.llm.asked == 2
    assert type(found["agent"]).__name__ == "FunctionAgent"


def test_the_code_that_answers_questions_about_calls_of_unknown_outcome(page: Page) -> None:
    world = page.world
    ask = {"pay": ToolPolicy(on_unknown="ask")}
    shown: list[str] = []

    async def main() -> Any:
        world.hang = {"A-2"}
        handler = world.agent(policies=ask).run(user_msg="Pay A-1 and A-2.", run_id="order-17")
        await world.hanging.wait()
        await handler.cancel_run()
        with pytest.raises(BaseException):  # noqa: B017 - cancelled
            await handler
        agent = world.agent(policies=ask)
        found = await page.run('`on_unknown="ask"`', agent=agent)
        shown.extend(ToolOutcomeQuestion.model_fields)
        return found["answer"]

    assert str(asyncio.run(main())) == "Done."
    assert world.heard() == PAID
    assert sorted(world.paid) == ["A-1", "A-2"]
    named = re.search(r"with `tool`.*?`reason`:", sections(GUIDE)['`on_unknown="ask"`'], re.DOTALL)
    assert named is not None
    assert {*re.findall(r"`(\w+)`", named[0])} <= {*shown}


def test_the_tool_that_asks_repeats_what_stands_before_its_question(page: Page) -> None:
    world = page.world
    entered: list[str] = []

    async def main() -> Any:
        found = await page.run("A tool's own `wait_for_event`")
        tool = found["pay_if_allowed"]

        async def counted(ctx: Context, invoice: str) -> str:
            """Counts."""
            entered.append(invoice)
            return str(await tool(ctx, invoice))

        counted.__annotations__["ctx"] = Context
        world.llm = ScriptedLLM([[("counted", {"invoice": "A-1"}), ("counted", {"invoice": "A-2"})], "Done."])
        handler = world.agent([counted]).run(user_msg="go", run_id="asks")
        async for event in handler.stream_events():
            if isinstance(event, InputRequiredEvent):
                said = "yes" if event.invoice == "A-1" else "no"
                handler.ctx.send_event(HumanResponseEvent(invoice=event.invoice, response=said))
        return await handler

    assert str(asyncio.run(main())) == "Done."
    assert world.heard() == ["receipt for A-1", "refused"]
    assert world.paid == ["A-1"]
    assert sorted(entered) == ["A-1", "A-1", "A-2", "A-2"]


def test_allowed_types_come_back_as_themselves_and_others_as_text(
    page: Page, caplog: pytest.LogCaptureFixture
) -> None:
    @dataclass
    class Receipt:
        number: int

    async def buy() -> Receipt:
        """Buys."""
        return Receipt(number=7)

    world = page.world
    world.llm = ScriptedLLM([[("buy", {})], "Done."])
    for name, options, expected in (
        ("a", {"allowed_types": [Receipt]}, Receipt(number=7)),
        ("b", {}, str(Receipt(7))),
    ):
        for _ in range(2):
            (call,) = go(world.agent([buy], **options), run_id=name).tool_calls
        assert call.tool_output.raw_output == expected
    assert "raw_output_lossy" in caplog.text
    asyncio.run(page.run("What survives the journal", Receipt=Receipt))


def test_limits_and_retries_are_settings_that_exist(page: Page) -> None:
    asyncio.run(page.run("Limits"))
    asyncio.run(page.run("Retries"))


@pytest.mark.parametrize(("error", "tries"), [(ConnectionRefusedError, 3), (TimeoutError, 1)])
def test_only_failures_that_did_nothing_are_tried_again(
    page: Page, error: type[Exception], tries: int
) -> None:
    keys: list[str] = []

    async def pay() -> str:
        """Pays."""
        keys.append(current_call().idempotency_key)
        raise error("no answer")

    page.world.llm = ScriptedLLM([[("pay", {})], "Done."])
    policy = asyncio.run(page.run("Retries"))["policy"]
    go(page.world.agent([pay], policies={"pay": policy}))
    assert (len(keys), len({*keys})) == (tries, 1)
    assert page.world.heard() == ["no answer"]


def test_a_drained_agent_starts_nothing_and_the_run_goes_on_later(page: Page) -> None:
    world = page.world
    agent = world.agent()
    asyncio.run(page.run("Shutting down", agent=agent))
    with pytest.raises(Draining):
        go(agent)
    assert world.paid == []
    assert str(go(world.agent())) == "Done."
    assert (sorted(world.paid), world.llm.asked) == (["A-1", "A-2"], 2)


def test_another_input_for_a_known_id_is_refused(page: Page) -> None:
    go(page.world.agent())
    for other in ({"user_msg": "Pay B-1."}, {"chat_history": [ChatMessage(role="user", content="before")]}):
        with pytest.raises(BatchMismatch):
            go(page.world.agent(), **other)
    assert page.world.llm.asked == 2


def test_changed_prompts_replay_with_one_warning(page: Page, caplog: pytest.LogCaptureFixture) -> None:
    world = page.world
    go(world.agent())
    with caplog.at_level(logging.WARNING, "toolslot"):
        tools = [world.pay, world.balance]
        changed = world.agent(agent=FunctionAgent(tools=tools, llm=world.llm, system_prompt="New."))
        assert str(go(changed)) == "Done."
    assert caplog.text.count("toolslot.input_differs") == 1
    assert world.llm.asked == 2


def test_a_resumed_run_sets_the_given_memory_back_to_what_it_was_before_the_run(page: Page) -> None:
    memory = ChatMemoryBuffer.from_defaults()
    memory.put(ChatMessage(role="user", content="before"))
    go(page.world.agent(), memory=memory)
    once = [message.content for message in memory.get_all()]
    memory.put(ChatMessage(role="user", content="of somebody else"))
    go(page.world.agent(), memory=memory)
    assert [message.content for message in memory.get_all()] == once
    assert once[:2] == ["before", "Pay A-1 and A-2."]


@pytest.mark.filterwarnings("ignore:is_running called from within a step:DeprecationWarning")  # by the agent
def test_a_closing_answer_of_early_stopping_is_asked_for_again_and_no_tool_runs(page: Page) -> None:
    world = page.world
    for asked in (3, 4):
        again = {"max_iterations": 2, "early_stopping_method": "generate"}
        go(world.agent(), **again)
        assert world.llm.asked == asked
    assert sorted(world.paid) == ["A-1", "A-2"]


def test_structured_output_is_made_again_and_no_tool_runs(page: Page) -> None:
    world, made = page.world, list[int]()

    def structure(messages: Any) -> dict[str, Any]:
        made.append(len(messages))
        return {"n": len(messages)}

    tools = [world.pay, world.balance]
    for _ in range(2):
        go(world.agent(agent=FunctionAgent(tools=tools, llm=world.llm, structured_output_fn=structure)))
    assert len(made) == 2
    assert sorted(world.paid) == ["A-1", "A-2"]


def test_what_is_streamed_again_on_replay_and_what_is_not(page: Page) -> None:
    class Progress(Event):
        """Sent by a tool."""

    async def tell(ctx: Context) -> str:
        """Tells."""
        ctx.write_event_to_stream(Progress())
        return "told"

    tell.__annotations__["ctx"] = Context
    page.world.llm = ScriptedLLM([[("tell", {})], "Done."])

    async def streamed() -> dict[str, int]:
        handler = page.world.agent([tell]).run(user_msg="go", run_id="order-17")
        seen = [type(event).__name__ async for event in handler.stream_events()]
        return {
            name: seen.count(name) for name in ("ToolCall", "ToolCallResult", "AgentOutput", "Progress")
        } | {"AgentStream": "AgentStream" in seen}

    again = {"ToolCall": 1, "ToolCallResult": 1, "AgentOutput": 2}
    assert asyncio.run(streamed()) == {**again, "Progress": 1, "AgentStream": True}
    assert asyncio.run(streamed()) == {**again, "Progress": 0, "AgentStream": False}


def test_the_block_that_shows_events_of_calls(page: Page, capsys: pytest.CaptureFixture[str]) -> None:
    asyncio.run(page.run("Streams"))
    shown = [line.split()[:2] for line in capsys.readouterr().out.splitlines()]
    for tool, times in (("pay", 2), ("balance", 1)):
        assert [kind for kind, name in shown if name == tool].count("finished") == times
    assert {kind for kind, _ in shown} == {"reserved", "started", "finished"}


def test_upstream_enters_a_tool_of_one_argument_twice_when_it_raises() -> None:
    """Why tools alone cannot be durable. If this fails, the guide can say something better."""
    effects: list[object] = []

    class Pay(AsyncBaseTool):
        @property
        def metadata(self) -> ToolMetadata:
            return FunctionTool.from_defaults(fn=lambda invoice: "", name="pay", description="Pays.").metadata

        def call(self, *args: Any, **kwargs: Any) -> ToolOutput:
            raise NotImplementedError

        async def acall(self, *args: Any, **kwargs: Any) -> ToolOutput:
            effects.append((args, kwargs))
            raise TimeoutError("the money has gone")

    output = asyncio.run(acall_tool(Pay(), {"invoice": "A-1"}))
    assert output.is_error
    assert effects == [(("A-1",), {}), ((), {"invoice": "A-1"})]


def test_an_inner_agent_that_takes_its_run_id_from_the_outer_call_is_replayed_with_it(page: Page) -> None:
    world = page.world
    outer_runs: list[str] = []
    inner = world.agent()

    async def accounting() -> str:
        """Asks the accountant."""
        outer_runs.append(current_call().idempotency_key)
        said = str(await inner.run(user_msg="go", run_id=current_call().idempotency_key))
        if len(outer_runs) == 1:
            raise ConnectionError("after the inner run had ended")
        return said

    outer = ScriptedLLM([[("accounting", {})], "All done."])
    policies = {"accounting": ToolPolicy(retry=2)}
    assert str(go(world.agent([accounting], llm=outer, policies=policies))) == "All done."
    assert (len(outer_runs), len({*outer_runs})) == (2, 1)
    assert sorted(world.paid) == ["A-1", "A-2"]


def test_every_section_with_python_has_a_test() -> None:
    source = Path(__file__).read_text()
    for heading, text in sections(GUIDE).items():
        if blocks(text):
            assert json.dumps(heading)[1:-1].replace('\\"', '"') in source, heading


def test_the_guide_names_every_option() -> None:
    options = [*inspect.signature(durable).parameters][1:]
    text = sections(GUIDE)["What you change"]
    named = re.search(r"Its options: (.*?)\. The journal", text, re.DOTALL)
    assert named is not None
    assert re.findall(r"`(\w+)`", named[1]) == options


def test_the_guide_quotes_the_promise_word_for_word() -> None:
    """As the README has it, and nothing stronger."""
    promise = re.search(
        r"Within its batch, .*?never had again\.", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert promise is not None
    assert " ".join(promise[0].split()) in " ".join(sections(GUIDE)["What is promised"].split())


def test_the_guide_names_the_versions_that_the_extra_allows() -> None:
    named = re.search(r"^\| llama-index-core \| ([\d.]+) \| ([\d.]+) \|", GUIDE, re.MULTILINE)
    assert named is not None
    assert f'"llama-index-core>={named[1]},<{named[2]}"' in (ROOT / "pyproject.toml").read_text()


def test_the_map_of_the_house_shows_every_module_of_the_adapter() -> None:
    listed = (
        (ROOT / "CONTRIBUTING.md").read_text().partition("toolslot_llamaindex/")[2].partition("\ntests/")[0]
    )
    for module in (ROOT / "adapters" / "toolslot_llamaindex").glob("_[a-z]*.py"):
        assert re.search(rf"(?<!\w){module.stem}\.py\b", listed), module.name


def test_links_of_the_guide_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", GUIDE):
        assert (ROOT / "docs" / target).exists(), target


@pytest.mark.parametrize("on_unknown", ["rerun", "fail", "ask"])
def test_a_call_that_timed_out_is_told_to_the_model_the_same_on_replay(page: Page, on_unknown: Any) -> None:
    entered: list[str] = []

    async def slow() -> str:
        """Never returns."""
        entered.append("slow")
        await asyncio.Event().wait()
        return ""

    page.world.llm = ScriptedLLM([[("slow", {})], "Done."])
    policies = {"slow": ToolPolicy(timeout=0.02, on_unknown=on_unknown)}
    told: list[str] = []
    for _ in range(2):
        (call,) = go(page.world.agent([slow], policies=policies)).tool_calls
        told.append(call.tool_output.content)
    assert entered == ["slow"]
    assert told[0] == told[1]
    assert "did not return within" in told[0]
