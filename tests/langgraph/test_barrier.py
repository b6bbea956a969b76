"""No call begins before the model's answer that asked for it is safe in the saver."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.runnables import RunnableConfig
from langchain_core.tools import tool
from langgraph.checkpoint.memory import InMemorySaver
from langgraph.func import entrypoint, task
from langgraph.graph import START, MessagesState, StateGraph
from langgraph.prebuilt import ToolNode

from support.sending import FORMS, GO
from toolslot import Done, InvalidSetting, ResponseNotSaved, ToolPolicy
from toolslot_langgraph import DurableParallelToolNode, _loops

DOORS = {"node": lambda talk, tools, **settings: talk.graph(tools, **settings), **FORMS}
CALLS: Any = [{"name": "pay", "args": {"i": i}, "id": f"c{i}", "type": "tool_call"} for i in range(3)]
AT_MOST_ONCE = {
    "ask": ToolPolicy(on_unknown="ask"),
    "fail": ToolPolicy(on_unknown="fail"),
    "reconcile": ToolPolicy(reconcile=lambda slot: Done()),
}


class Saver(InMemorySaver):
    """A saver that takes its time with every write, and notes which checkpoints it has that ask for calls, and results of tasks."""

    def __init__(self) -> None:
        super().__init__()
        self.log: list[str] = []
        #: seconds for each write, by namespace; the root's for those that are not named
        self.seconds: dict[str, float] = {"": 0.0}
        self.looks = 0
        #: what a checkpoint that asks for calls waits for, and whether one has come
        self.release: threading.Event | None = None
        self.writing = threading.Event()

    def _delay(self, config: Any) -> float:
        namespace: str = config["configurable"].get("checkpoint_ns", "")
        return self.seconds.get(namespace.partition(":")[0], self.seconds[""])

    def _kept(self, config: Any, values: Any) -> None:
        namespace: str = config["configurable"].get("checkpoint_ns", "")
        last = [value[-1] if isinstance(value, list) and value else value for value in values]
        if any(isinstance(value, AIMessage) and value.tool_calls for value in last):
            self.log.append(f"saved {namespace.partition(':')[0]}".strip())

    def _written(self, config: Any, writes: Any) -> None:
        self._kept(config, [value for channel, value in writes if channel == "__return__"])
        if any(channel == "messages" for channel, _ in writes):
            self.log.append("written")

    def _held(self, checkpoint: Any) -> threading.Event | None:
        asks = getattr((checkpoint["channel_values"].get("messages") or [None])[-1], "tool_calls", None)
        if asks:
            self.writing.set()
        return self.release if asks else None

    def put(self, config: Any, checkpoint: Any, *args: Any, **kwargs: Any) -> Any:
        time.sleep(self._delay(config))
        if (release := self._held(checkpoint)) is not None:
            assert release.wait(20)
        self._kept(config, checkpoint["channel_values"].values())
        return super().put(config, checkpoint, *args, **kwargs)

    async def aput(self, config: Any, checkpoint: Any, *args: Any, **kwargs: Any) -> Any:
        await asyncio.sleep(self._delay(config))
        if (release := self._held(checkpoint)) is not None:
            assert await asyncio.to_thread(release.wait, 20)
        self._kept(config, checkpoint["channel_values"].values())
        return super().put(config, checkpoint, *args, **kwargs)

    def put_writes(self, config: Any, writes: Any, *args: Any, **kwargs: Any) -> None:
        time.sleep(self._delay(config))
        self._written(config, writes)
        super().put_writes(config, writes, *args, **kwargs)

    async def aput_writes(self, config: Any, writes: Any, *args: Any, **kwargs: Any) -> None:
        await asyncio.sleep(self._delay(config))
        self._written(config, writes)
        super().put_writes(config, writes, *args, **kwargs)

    def get_tuple(self, config: Any) -> Any:
        self.looks += 1
        return super().get_tuple(config)

    async def aget_tuple(self, config: Any) -> Any:
        self.looks += 1
        return super().get_tuple(config)


class Bank:
    """Notes in the saver's log when a call begins."""

    def __init__(self, talk: Any) -> None:
        talk.saver, talk.calls = Saver(), CALLS
        self.saver: Saver = talk.saver
        log = self.saver.log
        #: how often the saver had been asked as each call began
        self.looks: list[int] = []

        def pay(i: int) -> str:
            """Pays."""
            log.append("begun")
            self.looks.append(self.saver.looks)
            return f"paid {i}"

        async def apay(i: int) -> str:
            """Pays."""
            return pay(i)

        self.tool = tool("pay")(apay if talk.asynchronous else pay)

    @property
    def begun(self) -> int:
        return self.saver.log.count("begun")

    def before(self, what: str) -> int:
        """How many calls began before the saver had that."""
        return self.saver.log[: self.saver.log.index(what)].count("begun")


@pytest.fixture
def bank(talk: Any) -> Bank:
    return Bank(talk)


def invoked(talk: Any, graph: Any, value: Any = GO, durability: Any = "async", **config: Any) -> Any:
    config = {**talk.config, **config}
    if talk.asynchronous:
        return asyncio.run(graph.ainvoke(value, config, durability=durability))
    return graph.invoke(value, config, durability=durability)


def answers(outcome: Any) -> list[Any]:
    return [message.content for message in outcome["messages"] if isinstance(message, ToolMessage)]


PAID = [f"paid {i}" for i in range(3)]

# --- a saver that takes its time, and one that fails ------------------------------------------------------------------------


@pytest.mark.pairwise
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("seconds", [0.0, 0.02, 0.5])
@pytest.mark.parametrize("durability", ["async", "sync"])
def test_no_call_begins_before_the_saver_has_the_answer(
    talk: Any, bank: Bank, door: str, seconds: float, durability: str
) -> None:
    bank.saver.seconds[""] = seconds
    outcome = invoked(talk, DOORS[door](talk, [bank.tool]), durability=durability)
    assert answers(outcome) == PAID
    assert bank.before("saved") == 0
    assert (talk.asked, bank.begun) == (1, 3)


@pytest.mark.parametrize("door", DOORS)
def test_with_a_saver_that_fails_nothing_begins_and_the_model_is_not_asked_again(
    talk: Any, bank: Bank, door: str
) -> None:
    graph = DOORS[door](talk, [bank.tool])
    kept = bank.saver._kept

    def failing(config: Any, values: Any) -> None:
        before = len(bank.saver.log)
        kept(config, values)
        if len(bank.saver.log) > before:
            raise ConnectionError("the saver is away")

    bank.saver.__dict__["_kept"] = failing
    with pytest.raises(ResponseNotSaved, match=r"'pay'.*the saver failed to write it") as caught:
        invoked(talk, graph)
    assert isinstance(caught.value.__cause__, ConnectionError)
    assert bank.begun == 0
    del bank.saver.__dict__["_kept"]
    assert answers(invoked(talk, graph, None)) == PAID
    assert (talk.asked, bank.begun) == (1, 3)


@pytest.mark.parametrize("door", DOORS)
def test_it_waits_no_longer_than_it_was_told(talk: Any, bank: Bank, door: str) -> None:
    bank.saver.release = threading.Event()
    graph = DOORS[door](talk, [bank.tool], answer_timeout=0.05)
    # LangGraph itself waits for its write when the run ends.
    threading.Timer(0.5, bank.saver.release.set).start()
    with pytest.raises(ResponseNotSaved, match=r"did not write it within 0\.05 s"):
        invoked(talk, graph)
    assert bank.begun == 0
    assert answers(invoked(talk, graph, None)) == PAID
    assert (talk.asked, bank.begun) == (1, 3)


@pytest.mark.parametrize("talk", ["async"], indirect=True)
def test_a_run_that_is_cancelled_while_it_waits_has_begun_nothing_and_cancels_no_write(
    talk: Any, bank: Bank
) -> None:
    bank.saver.release = threading.Event()
    graph = talk.graph([bank.tool])

    async def life() -> None:
        run = asyncio.ensure_future(graph.ainvoke(GO, talk.config))
        assert await asyncio.to_thread(bank.saver.writing.wait, 20)
        run.cancel()
        assert bank.saver.release is not None
        bank.saver.release.set()
        with pytest.raises(asyncio.CancelledError):
            await run

    asyncio.run(life())
    assert bank.begun == 0
    assert "saved" in bank.saver.log
    assert answers(invoked(talk, graph, None)) == PAID
    assert (talk.asked, bank.begun) == (1, 3)


def test_batches_of_tools_that_may_run_twice_do_not_wait(talk: Any, bank: Bank) -> None:
    bank.saver.seconds[""] = 0.2
    policies = {"pay": ToolPolicy(idempotent=True)}
    assert answers(invoked(talk, talk.graph([bank.tool], policies=policies))) == PAID
    assert bank.before("saved") == 3


@pytest.mark.parametrize("door", DOORS)
def test_one_thing_at_a_time_does_not_stand_still(talk: Any, bank: Bank, door: str) -> None:
    """LangGraph's writes and its tasks share `max_concurrency`."""
    bank.saver.seconds[""] = 0.02
    graph = DOORS[door](talk, [bank.tool], answer_timeout=5)
    assert answers(invoked(talk, graph, max_concurrency=1)) == PAID
    assert bank.before("saved") == 0


@pytest.mark.parametrize("seconds", [0, -1, float("inf"), True, "30"])
def test_a_wait_that_means_nothing_is_refused(seconds: Any) -> None:
    with pytest.raises(InvalidSetting, match="answer_timeout"):
        DurableParallelToolNode([], answer_timeout=seconds)


# --- who is asked --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("door", DOORS)
def test_the_saver_is_not_asked_where_its_write_was_awaited(talk: Any, bank: Bank, door: str) -> None:
    """LangGraph itself reads the thread once."""
    invoked(talk, DOORS[door](talk, [bank.tool]))
    assert bank.saver.looks == 1


@pytest.mark.parametrize("door", DOORS)
def test_where_the_loop_is_not_known_the_saver_is_asked_until_it_has_the_answer(
    talk: Any, bank: Bank, door: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loops, "KNOWN", False)
    bank.saver.seconds[""] = 0.05
    assert answers(invoked(talk, DOORS[door](talk, [bank.tool]))) == PAID
    assert bank.before("written") == 0  # which is as good: a resume makes the checkpoint of it
    assert bank.saver.looks > 1


def test_an_answer_that_the_saver_never_has_is_an_error_there(
    talk: Any, bank: Bank, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_loops, "KNOWN", False)
    graph = one_node(talk, talk.node([bank.tool], answer_timeout=0.05))
    with pytest.raises(ResponseNotSaved, match=r"did not have it within 0\.05 s"):
        invoked(talk, graph)
    assert bank.begun == 0


@pytest.mark.parametrize("talk", ["async"], indirect=True)
def test_a_sync_call_on_the_thread_of_the_loop_is_an_error_while_the_write_needs_that_thread(
    talk: Any, bank: Bank
) -> None:
    bank.saver.seconds[""] = 0.05
    node = talk.node([bank.tool], answer_timeout=0.1)
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [AIMessage("", id="ai-1", tool_calls=CALLS)]})

    async def act(state: MessagesState, config: RunnableConfig) -> Any:
        return node.invoke(state, config)

    builder.add_node("act", act)
    builder.add_edge(START, "model")
    builder.add_edge("model", "act")
    graph: Any = builder.compile(checkpointer=bank.saver)
    with pytest.raises(ResponseNotSaved, match=r"did not have it within 0\.1 s"):
        invoked(talk, graph)
    assert bank.begun == 0


# --- graphs around the node ------------------------------------------------------------------------------------------------


def agent_in_a_tool(talk: Any, inner: Any) -> Any:
    if talk.asynchronous:

        async def sub() -> str:
            """Runs an agent."""
            return str(answers(await inner.ainvoke(GO)))
    else:

        def sub() -> str:
            """Runs an agent."""
            return str(answers(inner.invoke(GO)))

    call = {"name": "sub", "args": {}, "id": "s", "type": "tool_call"}
    builder = StateGraph(MessagesState)
    builder.add_node("model", lambda state: {"messages": [AIMessage("", id="outer", tool_calls=[call])]})
    builder.add_node("tools", ToolNode([tool("sub")(sub)]))
    builder.add_edge(START, "model")
    builder.add_edge("model", "tools")
    return builder.compile(checkpointer=talk.saver)


def agent_as_a_node(talk: Any, inner: Any) -> Any:
    builder = StateGraph(MessagesState)
    builder.add_node("tools", inner)
    builder.add_edge(START, "tools")
    return builder.compile(checkpointer=talk.saver)


@pytest.mark.pairwise
@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("around", [agent_in_a_tool, agent_as_a_node])
@pytest.mark.parametrize("slow", ["", "tools"])
def test_it_waits_for_every_graph_around_the_calls(
    talk: Any, bank: Bank, door: str, around: Callable[..., Any], slow: str
) -> None:
    """Here the first write of the outer graph's step may come long after the inner one's."""
    bank.saver.seconds = {"": 0.0, "tools": 0.0, slow: 0.3}
    outer = around(talk, DOORS[door](talk, [bank.tool], saver=None))
    invoked(talk, outer)
    assert bank.begun == 3
    assert bank.before("saved tools") == 0
    if around is agent_in_a_tool:
        assert bank.before("saved") == 0


@pytest.mark.parametrize("durability", ["async", "sync"])
@pytest.mark.parametrize("max_concurrency", [None, 4])
def test_a_workflow_of_functions_waits_for_the_result_of_the_task_that_asked_the_model(
    talk: Any, bank: Bank, durability: str, max_concurrency: int | None
) -> None:
    """`durability="sync"` saves them in the background, too."""
    bank.saver.seconds[""] = 0.1
    flow = workflow(talk, talk.node([bank.tool]))
    assert invoked(talk, flow, "go", durability, max_concurrency=max_concurrency) == PAID
    assert bank.before("saved") == 0
    assert (talk.asked, bank.begun) == (1, 3)


def test_in_a_workflow_the_saver_is_not_asked_again_for_an_answer_that_it_had(talk: Any, bank: Bank) -> None:
    invoked(talk, workflow(talk, talk.node([bank.tool]), times=3), "go")
    assert bank.begun == 9
    assert len(set(bank.looks)) == 1


def workflow(talk: Any, node: Any, times: int = 1) -> Any:
    answer = AIMessage("", id="ai-1", tool_calls=CALLS)
    if talk.asynchronous:

        @task
        async def aask(text: str) -> AIMessage:
            talk.asked += 1
            return answer

        @entrypoint(checkpointer=talk.saver)
        async def aflow(text: str, config: RunnableConfig) -> Any:
            found = await aask(text)
            for _ in range(times):
                done = await node.ainvoke({"messages": [found]}, config)
            return answers(done)

        return aflow

    @task
    def ask(text: str) -> AIMessage:
        talk.asked += 1
        return answer

    @entrypoint(checkpointer=talk.saver)
    def flow(text: str, config: RunnableConfig) -> Any:
        found = ask(text).result()
        for _ in range(times):
            done = node.invoke({"messages": [found]}, config)
        return answers(done)

    return flow


# --- answers that no saver will hold ---------------------------------------------------------------------------------------


def one_node(talk: Any, node: Any, saver: Any = ...) -> Any:
    """The model is asked in the node that runs its calls."""
    answer = AIMessage("", id="ai-1", tool_calls=CALLS)

    def act(state: MessagesState, config: RunnableConfig) -> Any:
        talk.asked += 1
        return {"messages": [answer, *node.invoke({"messages": [answer]}, config)["messages"]]}

    async def aact(state: MessagesState, config: RunnableConfig) -> Any:
        talk.asked += 1
        return {"messages": [answer, *(await node.ainvoke({"messages": [answer]}, config))["messages"]]}

    builder = StateGraph(MessagesState)
    builder.add_node("act", aact if talk.asynchronous else act)
    builder.add_edge(START, "act")
    return builder.compile(checkpointer=talk.saver if saver is ... else saver)


def run_exit(talk: Any, bank: Bank, **settings: Any) -> Any:
    return invoked(talk, talk.graph([bank.tool], **settings), durability="exit")


def run_one_node(talk: Any, bank: Bank, **settings: Any) -> Any:
    return invoked(talk, one_node(talk, talk.node([bank.tool], **settings)))


def run_without_saver(talk: Any, bank: Bank, **settings: Any) -> Any:
    talk.config = {"configurable": {"durable_run_key": "order-17"}}
    return invoked(talk, talk.graph([bank.tool], saver=None, **settings), durability=None)


UNSAVED = {
    "durability=exit": (run_exit, "toolslot.durability_exit", "durability='async' or 'sync'"),
    "one node": (run_one_node, "toolslot.response_not_saved", "in a node of its own"),
    "no saver": (run_without_saver, "toolslot.response_not_saved", "with a checkpointer"),
}


@pytest.mark.parametrize("case", UNSAVED)
def test_an_answer_that_no_saver_will_hold_is_told_of_once(
    talk: Any, bank: Bank, case: str, caplog: pytest.LogCaptureFixture
) -> None:
    run, warning, remedy = UNSAVED[case]
    assert answers(run(talk, bank)) == PAID
    told = [record.getMessage() for record in caplog.records if record.name == "toolslot"]
    said = [text for text in told if "_exit" in text or "not_saved" in text]
    assert len(said) == 1
    assert said[0].startswith(warning)
    assert remedy.removeprefix("durability=") in said[0] or "'sync'" in said[0]


@pytest.mark.parametrize("case", UNSAVED)
@pytest.mark.parametrize("policy", AT_MOST_ONCE)
def test_there_a_policy_that_cannot_be_kept_is_refused(talk: Any, bank: Bank, case: str, policy: str) -> None:
    run, _, remedy = UNSAVED[case]
    with pytest.raises(ResponseNotSaved, match=remedy):
        run(talk, bank, policies={"pay": AT_MOST_ONCE[policy]})
    assert bank.begun == 0


def test_with_durability_exit_an_answer_that_was_loaded_is_safe(talk: Any, bank: Bank) -> None:
    graph = talk.graph([bank.tool], policies={"pay": AT_MOST_ONCE["ask"]})
    graph.interrupt_before_nodes = ["tools"]
    invoked(talk, graph, durability="exit")
    assert bank.begun == 0
    graph.interrupt_before_nodes = []
    assert answers(invoked(talk, graph, None, "exit")) == PAID
    assert (talk.asked, bank.begun) == (1, 3)


def test_an_answer_that_the_caller_gave_is_the_callers_to_keep(talk: Any, bank: Bank) -> None:
    """He has it, whatever becomes of this process."""
    talk.config = {"configurable": {"durable_run_key": "order-17"}}
    builder = StateGraph(MessagesState)
    builder.add_node("tools", talk.node([bank.tool], policies={"pay": AT_MOST_ONCE["ask"]}))
    builder.add_edge(START, "tools")
    for _ in range(2):
        given = {"messages": [HumanMessage("go"), AIMessage("", id="ai-1", tool_calls=CALLS)]}
        assert answers(invoked(talk, builder.compile(), given, durability=None)) == PAID
    assert bank.begun == 3
