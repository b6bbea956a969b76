"""The agents of the crash tests: of every kind, with models that follow a script and note every question."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent

from support.ledger import Ledger
from toolslot_llamaindex._demo_agent import Scripted, ScriptedLLM

#: called in `handle_tool_call_results`, which `aggregate_tool_results` calls: "before" it adds its messages, and "after"; how many
Moment = Callable[[str, int], Awaitable[None]]


class Watched(FunctionAgent):
    """Tells when the results of a turn are being handled."""

    _moment: Moment | None = None

    async def handle_tool_call_results(self, ctx: Any, results: Any, memory: Any) -> None:
        if self._moment is not None:
            await self._moment("before", len(results))
        await super().handle_tool_call_results(ctx, results, memory)
        if self._moment is not None:
            await self._moment("after", len(results))


class Cast:
    """Makes agents. `models` keeps what each model heard, by the name of its agent."""

    def __init__(self, ledger: Ledger, moment: Moment, asking: Callable[[int], None]) -> None:
        self.ledger = ledger
        self.models: dict[str, ScriptedLLM] = {}
        self._moment = moment
        self._asking = asking

    def make(self, kind: str, tools: list[Any], calls: list[tuple[Any, ...]]) -> Any:
        return {
            "function": self._function,
            "workflow": self._workflow,
            "react": self._react,
            "codeact": self._codeact,
        }[kind](tools, calls)

    def last_heard(self) -> list[dict[str, Any]]:
        """The last question to the model that spoke last, in this life."""
        heard = [model.heard[-1] for model in self.models.values() if model.heard]
        return [shown(message) for message in heard[-1]] if heard else []

    def _model(self, name: str, *script: Scripted) -> ScriptedLLM:
        def asked(number: int) -> None:
            self.ledger.note("model", name, number)
            self._asking(number)

        model = self.models[name] = ScriptedLLM(script, before=asked)
        return model

    def _function(self, tools: list[Any], calls: list[tuple[Any, ...]]) -> Any:
        return self._watched(tools=tools, llm=self._model("A", calls, "done"))

    def _workflow(self, tools: list[Any], calls: list[tuple[Any, ...]]) -> Any:
        """A asks for a call and hands over in one answer; B's answer asks for the calls."""
        handing = [("pay", {"i": 9}), ("handoff", {"to_agent": "B", "reason": "B pays"})]
        a, b = self._model("A", handing), self._model("B", "never", calls, "done")
        return AgentWorkflow(
            agents=[
                self._watched(name="A", description="first", tools=tools, llm=a),
                self._watched(name="B", description="second", tools=tools, llm=b),
            ],
            root_agent="A",
        )

    def _react(self, tools: list[Any], calls: list[tuple[Any, ...]]) -> Any:
        thoughts = [f"Thought: I need it.\nAction: {name}\nAction Input: {args}" for name, args in calls]
        model = self._model("A", *thoughts, "Thought: I can answer.\nAnswer: done")
        return ReActAgent(tools=tools, llm=model)

    def _codeact(self, tools: list[Any], calls: list[tuple[Any, ...]]) -> Any:
        """The only tool runs code; each piece of code pays one."""

        async def execute(code: str) -> str:
            """Runs code."""
            paid: Any = tools[0](int(code))
            return str(await paid if hasattr(paid, "__await__") else paid)

        pieces = [f"<execute>\n{args['i']}\n</execute>" for _, args in calls]
        return CodeActAgent(code_execute_fn=execute, tools=[], llm=self._model("A", *pieces, "done"))

    def _watched(self, **settings: Any) -> FunctionAgent:
        agent = Watched(**settings)
        object.__setattr__(agent, "_moment", self._moment)
        return agent


def shown(message: Any) -> dict[str, Any]:
    extra = message.additional_kwargs
    return {
        "role": message.role.value,
        "text": message.content or "",
        "calls": [call["id"] for call in extra.get("tool_calls", ())],
        "answers": extra.get("tool_call_id", ""),
    }
