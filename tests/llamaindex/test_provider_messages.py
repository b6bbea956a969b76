"""What a model's own classes put into messages: the model is told the same after a resume, or the run stops before anything is run."""

from __future__ import annotations

import asyncio
import copy
import importlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from llama_index.core.agent.workflow import FunctionAgent
from llama_index.core.base.llms.types import ChatMessage, ChatResponse, ThinkingBlock
from llama_index.core.memory import ChatMemoryBuffer
from pydantic import BaseModel, ConfigDict, PrivateAttr

from toolslot import Batch, ResultNotStorable, TypeCodec, UnreadablePayload
from toolslot_llamaindex import durable
from toolslot_llamaindex._demo_agent import ScriptedLLM
from toolslot_llamaindex._records import question_of
from toolslot_llamaindex._values import ValueCodec

_SDK = """
from enum import Enum
from pydantic import BaseModel, ConfigDict

class Reason(str, Enum):
    STOP = "stop"

class Call(BaseModel):
    model_config = ConfigDict(extra="allow")
    id: str
    index: int = 0
    reason: Reason = Reason.STOP
"""
_INTEGRATION = """
import fakeco_sdk
from toolslot_llamaindex._demo_agent import ScriptedLLM

class FakeCo(ScriptedLLM):
    def _answer(self, messages):
        response = super()._answer(messages)
        response.message.additional_kwargs["sdk"] = [fakeco_sdk.Call(id="c", strange=b"\\xff")]
        return response
"""


class Sdk(BaseModel):
    """An object of an SDK that no one told toolslot of."""

    model_config = ConfigDict(extra="allow")
    id: str


class Handle:
    """Nothing says how to write it."""


class Putting(ScriptedLLM):
    """A model whose class puts something beside plain JSON into each answer."""

    _put: Any = PrivateAttr(default=None)

    def _answer(self, messages: Any) -> ChatResponse:
        response = super()._answer(messages)
        self._put(response.message)
        return response


class Router(Putting):
    """Hands each question on to a model that it holds."""

    inner: Any = None


def router_of(inner: Any) -> Router:
    router = Router(["done"])
    router.inner = inner
    return router


class NoSecond(Exception):
    """The provider fails at its second question."""


@pytest.fixture
def fakeco(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An integration of LlamaIndex with the SDK it is built on, imported."""
    folder = tmp_path / "llama_index" / "llms" / "fakeco"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text("from llama_index.llms.fakeco.base import FakeCo")
    (folder / "base.py").write_text(_INTEGRATION)
    (tmp_path / "fakeco_sdk.py").write_text(_SDK)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield importlib.import_module("llama_index.llms.fakeco.base").FakeCo
    for name in [each for each in sys.modules if "fakeco" in each]:
        del sys.modules[name]


def failing_once(number: int, left: list[int], at: int = 1) -> None:
    if number == at and left:
        left.clear()
        raise NoSecond


def five() -> list[Any]:
    return [("pay", {"i": i}) for i in range(5)]


def conversation(talk: Any, put: Any, *, earlier: int = 0, **settings: Any) -> Any:
    """An agent whose model puts something into its answers, and fails at the second question the first time.

    `earlier` answers are in its memory.
    """
    left = [1]
    script = [*["said"] * earlier, five(), "done"]
    talk.llm = Putting(script, before=lambda number: failing_once(number, left, 1 + earlier))
    talk.llm._put = put
    return agent_of(talk, **settings)


def agent_of(talk: Any, **settings: Any) -> Any:
    async def pay(i: int) -> str:
        """Pays."""
        talk.effects.append(f"pay {i}")
        return f"paid {i}"

    return talk.agent([pay], **settings)


PUTS: dict[str, Any] = {
    "bytes beside": lambda message: message.additional_kwargs.update(thought_signatures=[b"\xff\x80", None]),
    "bytes in a block": lambda message: message.blocks.insert(
        0, ThinkingBlock(content="hm", additional_information={"thought_signature": b"\xff"})
    ),
    "a tuple, a set and int keys": lambda message: message.additional_kwargs.update(a=(1, {2}), b={1: "x"}),
}


@pytest.mark.parametrize("what", PUTS)
def test_what_a_model_put_beside_plain_json_is_told_it_again_after_a_resume(talk: Any, what: str) -> None:
    agent = conversation(talk, PUTS[what])
    with pytest.raises(NoSecond):
        talk.run(agent)
    asked = talk.llm.heard[-1]
    assert str(talk.run(agent_of(talk))) == "done"
    assert talk.llm.heard[-1] == asked
    assert [str(each) for each in talk.llm.heard[-1]] == [str(each) for each in asked]
    assert len(talk.effects) == 5


def test_objects_of_the_sdk_that_the_agents_model_is_built_on_come_back(talk: Any, fakeco: Any) -> None:
    left = [1]
    talk.llm = fakeco([five(), "done"], before=lambda number: failing_once(number, left))
    with pytest.raises(NoSecond):
        talk.run(agent_of(talk))
    asked = talk.llm.heard[-1]
    assert str(talk.run(agent_of(talk))) == "done"
    sdk = talk.llm.heard[-1][1].additional_kwargs["sdk"]
    assert type(sdk[0]).__module__ == "fakeco_sdk"
    assert sdk[0].model_fields_set == {"id", "strange"}
    assert talk.llm.heard[-1] == asked


@pytest.mark.parametrize(
    "held",
    [
        lambda llm: llm,
        lambda llm: [llm],
        lambda llm: (None, llm),
        lambda llm: {"big": [llm]},
        lambda llm: router_of([router_of({"b": llm})]),
    ],
    ids=["itself", "in a list", "in a tuple", "in a dict of lists", "through routers"],
)
def test_objects_of_the_sdk_of_a_model_that_another_model_holds_come_back(
    talk: Any, fakeco: Any, held: Any
) -> None:
    router = router_of(held(fakeco(["done"])))
    import fakeco_sdk  # type: ignore[import-not-found]

    values = ValueCodec.of().serving(lambda: [router])
    call = fakeco_sdk.Call(id="x")
    assert values.decode(values.encode([call])) == [call]


def test_a_live_run_goes_on_with_an_object_that_cannot_come_back_and_says_what_to_do(
    talk: Any, caplog: Any
) -> None:
    agent = conversation(talk, lambda message: message.additional_kwargs.update(sdk=Sdk(id="a")))
    with pytest.raises(NoSecond):
        talk.run(agent)
    told = [each.getMessage() for each in caplog.records if "answer_not_restorable" in each.getMessage()]
    assert len(told) == 1
    assert f"{__name__}.Sdk" in told[0]
    assert "allowed_types=" in told[0]


def test_a_resume_that_cannot_tell_the_model_the_same_stops_first_and_goes_on_once_the_class_is_allowed(
    talk: Any,
) -> None:
    agent = conversation(
        talk, lambda message: message.additional_kwargs.update(sdk=[Sdk(id="a", more=b"\xff")])
    )
    with pytest.raises(NoSecond):
        talk.run(agent)
    asked, times, effects = talk.llm.heard[-1], talk.llm.asked, list(talk.effects)
    for _ in range(2):
        with pytest.raises(ResultNotStorable) as stopped:
            talk.run(agent_of(talk))
        assert "response.additional_kwargs.sdk[0]" in str(stopped.value)
        assert f"{__name__}.Sdk" in str(stopped.value)
        assert "allowed_types=" in str(stopped.value)
        assert "more" not in str(stopped.value)
    assert (talk.llm.asked, talk.effects) == (times, effects)
    assert str(talk.run(agent_of(talk, allowed_types=[Sdk]))) == "done"
    assert talk.llm.heard[-1] == asked
    assert talk.effects == effects


def test_an_object_of_which_nothing_could_be_kept_stops_a_resume_until_a_codec_stands_in_for_it(
    talk: Any,
) -> None:
    agent = conversation(talk, lambda message: message.additional_kwargs.update(handle=Handle()))
    with pytest.raises(NoSecond):
        talk.run(agent)
    with pytest.raises(ResultNotStorable, match="TypeCodec"):
        talk.run(agent_of(talk))
    own = TypeCodec(name="handle", cls=Handle, dump=lambda _: None, load=lambda _: Handle())
    assert str(talk.run(agent_of(talk, allowed_types=[own]))) == "done"
    assert isinstance(talk.llm.heard[-1][1].additional_kwargs["handle"], Handle)
    assert len(talk.effects) == 5


def test_messages_of_earlier_runs_in_the_memory_come_back_as_they_were(talk: Any) -> None:
    earlier = [
        ChatMessage(role="user", content="before"),
        ChatMessage(
            role="assistant", content="yes", additional_kwargs={"sig": b"\xff", "t": (1,), "n": {2: {3}}}
        ),
    ]
    agent = conversation(talk, lambda message: None, earlier=1)
    with pytest.raises(NoSecond):
        talk.run(agent, memory=ChatMemoryBuffer.from_defaults(chat_history=list(earlier)))
    asked = talk.llm.heard[-1]
    assert str(talk.run(agent_of(talk), memory=ChatMemoryBuffer.from_defaults())) == "done"
    assert talk.llm.heard[-1] == asked
    assert talk.llm.heard[-1][:2] == earlier


def test_a_memory_that_cannot_be_set_back_stops_the_resume_and_one_that_is_as_it_was_does_not(
    talk: Any,
) -> None:
    def memory() -> ChatMemoryBuffer:
        earlier = ChatMessage(role="assistant", content="yes", additional_kwargs={"sdk": Sdk(id="a")})
        return ChatMemoryBuffer.from_defaults(chat_history=[earlier])

    agent = conversation(talk, lambda message: None, earlier=1)
    with pytest.raises(NoSecond):
        talk.run(agent, memory=memory())
    times = talk.llm.asked
    with pytest.raises(ResultNotStorable, match=r"memory.*allowed_types"):
        talk.run(agent_of(talk), memory=ChatMemoryBuffer.from_defaults())
    assert talk.llm.asked == times
    assert str(talk.run(agent_of(talk), memory=memory())) == "done"


@pytest.mark.parametrize("version", [1, 3, None])
def test_a_run_that_another_version_recorded_is_refused_with_a_clear_error(talk: Any, version: Any) -> None:
    executor = agent_of(talk).toolslot_executor
    run = json.dumps({"v": version, "agent": None, "question": "", "memory": None, "state": []}).encode()
    with executor.open(Batch(run_id="r-1", batch_id="turn-0", calls=(), payload=b"{}", run_payload=run)):
        pass
    with pytest.raises(UnreadablePayload, match="of a format that is not known here"):
        talk.run(agent_of(talk))
    assert (talk.llm.asked, talk.effects) == (0, [])


def test_the_question_is_the_same_as_a_text_and_as_a_message() -> None:
    values = ValueCodec.of()
    assert question_of(values, "go", None) == question_of(values, ChatMessage(role="user", content="go"), [])


def test_arguments_that_are_no_json_are_the_same_call_in_every_process(talk: Any) -> None:
    agent = conversation(talk, lambda message: None)
    talk.llm._script[0] = [("pay", {"i": 1, "tags": {"x", "y", "z"}, "sdk": Sdk(id="a"), "sig": b"\xff"})]
    with pytest.raises(NoSecond):
        talk.run(agent)
    assert str(talk.run(agent_of(talk, allowed_types=[Sdk]))) == "done"


def test_a_durable_agent_takes_the_models_of_all_its_agents_into_account(fakeco: Any) -> None:
    import fakeco_sdk  # type: ignore[import-not-found]

    agent = durable(FunctionAgent(tools=[], llm=ScriptedLLM(["x"])))
    call = [fakeco_sdk.Call(id="x")]
    values = agent._toolslot.codec.values  # type: ignore[attr-defined]
    assert values.keep(call).problem is not None
    agent.llm = fakeco(["x"])
    assert values.keep(call).problem is None
    agent.llm = ScriptedLLM(["x"])
    copied = copy.deepcopy(agent)
    copied.llm = fakeco(["x"])
    assert values.keep(call).problem is not None
    asyncio.run(said(copied))
    assert values.keep(call).problem is None


async def said(agent: Any) -> str:
    return str(await agent.run(user_msg="go"))
