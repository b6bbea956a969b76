"""Which agent a run belongs to. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from llama_index.core.agent.workflow import AgentWorkflow, CodeActAgent, FunctionAgent, ReActAgent
from typing_extensions import Self

from toolslot import BatchMismatch
from toolslot.hosting import quoted

_KINDS = (FunctionAgent, ReActAgent, CodeActAgent, AgentWorkflow)


@dataclass(frozen=True, kw_only=True, slots=True)
class Identity:
    """What tells one agent from another. `tools` are its tools' names, None where a retriever finds them; `prompt` a digest, or empty."""

    name: str
    kind: str
    tools: tuple[str, ...] | None
    prompt: str

    @classmethod
    def of(cls, agent: Any) -> Identity:
        """Of an agent, or of a workflow of agents: that of its first one, with the tools of all."""
        agents: list[Any] = list(agent.agents.values()) if isinstance(agent, AgentWorkflow) else [agent]
        first: Any = agent.agents[agent.root_agent] if isinstance(agent, AgentWorkflow) else agent
        open_ended = any(getattr(each, "tool_retriever", None) is not None for each in agents)
        prompt: object = getattr(first, "system_prompt", None)
        return cls(
            name=str(first.name),
            kind=next((kind.__name__ for kind in _KINDS if isinstance(agent, kind)), type(agent).__name__),
            tools=None if open_ended else tuple(sorted(set(_tool_names(agents)))),
            prompt=hashlib.sha256(prompt.encode()).hexdigest() if isinstance(prompt, str) and prompt else "",
        )

    def packed(self) -> list[Any]:
        return [self.name, self.kind, None if self.tools is None else list(self.tools), self.prompt]

    @classmethod
    def unpacked(cls, data: Any) -> Self:
        name, kind, tools, prompt = data
        return cls(name=name, kind=kind, tools=None if tools is None else tuple(tools), prompt=prompt)

    def is_same_as(self, other: Identity) -> bool:
        """Whether one may be the other after a deploy, which may change tools and prompt, but not all of both.

        The name and the kind stay. So does one of the tools, or the prompt.
        """
        if (self.name, self.kind) != (other.name, other.kind):
            return False
        if not self.tools or not other.tools or not set(self.tools).isdisjoint(other.tools):
            return True
        return self.prompt == other.prompt != ""

    def check(self, run_id: str, now: Identity) -> None:
        """Raises `BatchMismatch` when the run was begun by another agent than the one that it is given to `now`."""
        if not self.is_same_as(now):
            raise BatchMismatch(
                f"run {quoted(run_id)} was begun by {self} and is given to {now} now, which is another agent. What was recorded belongs to"
                " the first one, so nothing was replayed and nothing ran. Give each agent run ids of its own, such as the name of the"
                " agent and the id of the order; if this is the same agent under another name or with other tools, durable(...,"
                ' on_other_agent="resume") lets it go on.'
            )

    def __str__(self) -> str:
        tools = "tools from a retriever" if self.tools is None else f"tools {_listed(self.tools)}"
        return f"the {self.kind} {quoted(self.name)} ({tools})"


def _tool_names(agents: Iterable[Any]) -> Iterable[str]:
    for agent in agents:
        for tool in agent.tools or ():
            name: object = getattr(getattr(tool, "metadata", None), "name", None) or getattr(
                tool, "__name__", None
            )
            if isinstance(name, str):
                yield name


def _listed(names: tuple[str, ...]) -> str:
    shown = ", ".join(quoted(name) for name in names[:8])
    return (shown or "none") + (f" and {len(names) - 8} more" if len(names) > 8 else "")
