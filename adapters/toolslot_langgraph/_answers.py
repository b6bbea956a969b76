"""Which human answer belongs to which call, when all calls of a node share one LangGraph task.

LangGraph keeps a task's answers in one list and hands them out in the order in which `interrupt()` is called. Once recorded calls are not
run again, that order shifts, and a call would get the answer to another call's question. So each call here sees a scratchpad of its own,
and what LangGraph saves for the task says whose each answer is.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias, cast

from langchain_core.runnables import RunnableConfig

from toolslot_langgraph._compat import RESUME, lend, scratchpad_of, sender_of
from toolslot_langgraph._questions import names_questions

#: a call's index, or the node's own questions about calls of unknown outcome
Asker: TypeAlias = "int | str"
NODE: Asker = "node"

_MARK = "__toolslot__"


class Answers:
    """The task's answers by asker, for one execution of a node.

    What is saved is a list whose first item tells it all; the others only keep its length, from which LangGraph makes the ids of
    interrupts: that of a question which is still open stays as it is. A new answer goes to the asker whose question was shown last. In a
    task that has asked nothing yet (the graph's state was updated after the question, say) it goes to the one that `expect` names. The
    first `skip` answers belong to others in the same task, who read them as LangGraph saved them; the rest, until it is kept by asker, to
    `first`, if that is known. `ordinal`: how many other batches have begun in the same task, whose answers and nested graphs are their own.
    """

    def __init__(
        self,
        config: RunnableConfig,
        size: int,
        *,
        skip: int = 0,
        first: int | None = None,
        ordinal: int = 0,
    ) -> None:
        self._ordinal = ordinal
        self._scratchpad = scratchpad_of(config)
        self._send = sender_of(config)
        self._size = size
        self._lock = threading.Lock()
        everything: list[Any] = self._scratchpad.resume if self._scratchpad is not None else []
        self._skipped, saved = everything[:skip], everything[skip:]
        self._length = len(saved)
        self._asked, self._given, self._newest = _read(saved)
        if first is not None and saved and not _marked(saved):
            self._given[first] = list(saved)
        #: what each asker sees, where its own answers begin in that, and where they ended when it was made
        self._views: dict[Asker, tuple[list[Any], int, int]] = {}
        self._expected: Asker | None = None

    @property
    def usable(self) -> bool:
        """Whether LangGraph's own book-keeping has the shape known here; if not, calls share it as they do without toolslot."""
        return self._scratchpad is not None and self._send is not None

    def _own(self, asker: Asker) -> Asker:
        """The asker's name among those of all batches of the task."""
        if isinstance(asker, int):
            return numbered(asker, self._ordinal)
        return asker if self._ordinal == 0 else f"{asker} {self._ordinal}"

    def adopt(self, asker: Asker, config: RunnableConfig) -> None:
        """Give `config`, which belongs to the asker alone, a scratchpad of the asker's own."""
        if self._scratchpad is None:
            return
        asker = self._own(asker)
        own = list(self._newest if asker == self._asked and _is_node(asker) else self._given.get(asker, ()))
        # LangGraph makes the id of the next question from the length of the view: a new one stands behind all that were shown.
        still_open = asker == self._asked and not self._newest
        place = self._length if still_open else self._length + 1
        before = len(self._skipped) + max(place - len(own), 0)
        view = [None] * before + own
        self._views[asker] = (view, before, len(view))
        counters: dict[str, Any] = {}
        if isinstance(asker, int):
            # LangGraph numbers nested graphs and tasks in the order they come; calls that are replayed do not come any more.
            for name in ("subgraph_counter", "call_counter"):
                counters[name] = itertools.count(asker, self._size).__next__
        scratchpad = replace(
            self._scratchpad,
            interrupt_counter=itertools.count(before).__next__,
            **counters,
            resume=view,
            get_null_resume=self._new_answer(asker),
        )
        lend(config, scratchpad, self._sender(asker))

    def surface(self, asker: Asker) -> None:
        """Save, together with the interrupt that is raised next, whose question it is."""
        asker = self._own(asker)
        if asker in self._views:
            self._save(len(self._views[asker][0]) - len(self._skipped), asker)

    def expect(self, asker: Asker | None) -> None:
        """Say who asks first, where nothing that is saved says whose question was shown last."""
        self._expected = None if asker is None else self._own(asker)

    def awaited(self) -> bool:
        """Whether there is a new answer for a tool, and it is not known yet for which call."""
        if self._scratchpad is None or self._asked is not None or self._expected is not None:
            return False
        return _fits(0, self._scratchpad.get_null_resume(False))

    def _new_answer(self, asker: Asker) -> Callable[..., Any]:
        """How the asker gets the answer that was given without the id of an interrupt: it is one for the whole run."""
        assert self._scratchpad is not None
        get: Callable[..., Any] = self._scratchpad.get_null_resume
        if asker == self._asked:
            return get
        if self._asked is not None or not (_is_node(asker) or asker == self._expected):
            return _nothing
        return _fitting(asker, get)

    def _sender(self, asker: Asker) -> Callable[[Any], None]:
        send = self._send
        assert send is not None

        def forward(writes: Any) -> None:
            items = list(writes)
            resumes = [value for channel, value in items if channel == RESUME]
            if resumes:
                self._note(asker, resumes[-1])
            others = [item for item in items if item[0] != RESUME]
            if others:
                send(others)

        return forward

    def _note(self, asker: Asker, seen: list[Any]) -> None:
        """The asker has read its answers up to here: `seen` is the beginning of its view."""
        view, before, length = self._views[asker]
        own = seen[before:]
        with self._lock:
            # The node's own answers are acted upon when they come; a call reads its answers again from the first.
            if not _is_node(asker) and len(own) > len(self._given.get(asker, ())):
                self._given[asker] = list(own)
        if len(view) > length:
            self._asked = asker  # an answer came just now
        self._save(self._length + len(view) - length, self._asked)

    def _save(self, length: int, asked: Asker | None) -> None:
        assert self._send is not None
        with self._lock:
            given = [[asker, value] for asker, values in self._given.items() for value in values]
        state = {_MARK: 1, "asked": asked, "given": given, "length": length}
        saved = [*self._skipped, state, *[None] * (length - 1)]
        if self._scratchpad is not None:
            self._scratchpad.resume[:] = saved  # a retry of the node sees this list, and not what was sent
        self._send([(RESUME, saved)])


def numbered(index: int, ordinal: int) -> int:
    """A call's number among those of all batches of its task: of no other batch that has fewer calls than this, and nested graphs."""
    return ordinal * _FAR + index


_FAR = 10_000


def _is_node(asker: Asker) -> bool:
    """Whether it is a node, with its questions about calls of unknown outcome."""
    return isinstance(asker, str)


def begun_at(config: RunnableConfig) -> int | None:
    """Where the answers begin that are kept by asker, among all of the task; None when none are."""
    scratchpad = scratchpad_of(config)
    saved: list[Any] = scratchpad.resume if scratchpad is not None else []
    return next((at for at in range(len(saved)) if _marked(saved[at:])), None)


def tools_only(config: RunnableConfig) -> None:
    """Keep answers to questions about calls from a tool that LangGraph itself answers. `config` belongs to the call alone."""
    scratchpad, send = scratchpad_of(config), sender_of(config)
    if scratchpad is not None and send is not None:
        lend(config, replace(scratchpad, get_null_resume=_fitting(0, scratchpad.get_null_resume)), send)


def read_by_others(config: RunnableConfig) -> int:
    """How many answers were read in this task so far, by what ran in it before; counts as one more, so for one use only."""
    scratchpad = scratchpad_of(config)
    return scratchpad.interrupt_counter() if scratchpad is not None else 0


def of_the_node(config: RunnableConfig) -> int:
    """How many of the task's answers the node's own code has read, which asked before it ran calls."""
    begun = begun_at(config)
    if begun is not None:
        return begun
    counter: object = getattr(scratchpad_of(config), "interrupt_counter", None)
    unused = getattr(counter, "_counter", counter) is None
    return 0 if unused else read_by_others(config)


def _read(saved: list[Any]) -> tuple[Asker | None, dict[Asker, list[Any]], list[Any]]:
    """Whose question was shown last, the answers by asker, and what LangGraph appended since: the answer to that question."""
    given: dict[Asker, list[Any]] = {}
    if not _marked(saved):
        # Nothing was asked yet, or by a plain ToolNode: whose answers these are is not known.
        return None, given, []
    state = cast("dict[str, Any]", saved[0])
    for asker, value in state["given"]:
        given.setdefault(asker, []).append(value)
    asked: Asker | None = state["asked"]
    newest = saved[int(state["length"]) :]
    if isinstance(asked, int):
        given.setdefault(asked, []).extend(newest)
    return asked, given, newest


def _marked(saved: list[Any]) -> bool:
    first: object = saved[0] if saved else None
    return isinstance(first, dict) and cast("dict[str, object]", first).get(_MARK) == 1


def _fits(asker: Asker, answer: object) -> bool:
    """Whether it may be an answer for the asker: those about calls of unknown outcome name the questions that they answer."""
    return answer is not None and names_questions(answer) == _is_node(asker)


def _fitting(asker: Asker, get: Callable[..., Any]) -> Callable[..., Any]:
    """The new answer if it fits the asker. Another task may have asked: what is an answer to another kind of question is left for it."""

    def fitting(consume: bool = False) -> Any:
        return get(consume) if _fits(asker, get(False)) else None

    return fitting


def _nothing(*_: object) -> None:
    return None
