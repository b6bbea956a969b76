"""What the user says about a tool, and what a reconciler may answer."""

from __future__ import annotations

import math
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import TYPE_CHECKING, Literal, TypeAlias, cast

from toolslot._domain._effect_names import EffectKey
from toolslot._domain._retry import Retry, as_retry
from toolslot._errors import InvalidSetting

if TYPE_CHECKING:
    from toolslot._codec import Codec
    from toolslot._domain._view import Slot

OnUnknown: TypeAlias = Literal["rerun", "fail", "ask"]
OnFailed: TypeAlias = Literal["retry", "replay"]
OnResume: TypeAlias = Literal["replay", "rerun"]
EffectScope: TypeAlias = Literal["journal", "run"]


@dataclass(frozen=True, slots=True)
class Done:
    """The call was done; `value` is its result, handed to the agent as if the tool had just returned it."""

    value: object = field(default=None, repr=False)  # may be a secret, and reprs end up in logs


@dataclass(frozen=True, slots=True)
class Failed:
    """The call was made and failed for good; the agent gets the failure. An exception or a text."""

    error: BaseException | str


@dataclass(frozen=True, slots=True)
class NotDone:
    """The call certainly had no effect: run it."""


@dataclass(frozen=True, slots=True)
class StillRunning:
    """The call is still under way elsewhere; ask again after `retry_after` seconds, until the batch's deadline."""

    retry_after: float = 1.0

    def __post_init__(self) -> None:
        check_seconds("StillRunning(retry_after=)", self.retry_after)


@dataclass(frozen=True, slots=True)
class CannotTell:
    """The reconciler does not know; `on_unknown` applies. A reconciler that raises says the same."""

    why: str = ""


Answer: TypeAlias = Done | Failed | NotDone | StillRunning | CannotTell
Reconciler: TypeAlias = "Callable[[Slot], Answer | Awaitable[Answer]]"


@dataclass(frozen=True, slots=True)
class Rate:
    """At most `calls` starts in any `per` seconds."""

    calls: int
    per: float = 1.0

    def __post_init__(self) -> None:
        check_count("Rate(calls=)", self.calls)
        check_seconds("Rate(per=)", self.per)

    @classmethod
    def parse(cls, text: str) -> Rate:
        """`"5/s"`, `"100/min"`, `"1000/h"`.

        Raises:
            InvalidSetting: the text has another form.
        """
        match = re.fullmatch(r"\s*(\d+)\s*/\s*(s|sec|m|min|h|hour)\s*", text)
        if match is None:
            raise InvalidSetting(
                f"rate={text!r} is not understood: write calls per unit, such as '5/s', '100/min' or Rate(5, per=2.0)."
            )
        per = {"s": 1.0, "sec": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "hour": 3600.0}[match[2]]
        return cls(int(match[1]), per)


@dataclass(frozen=True, kw_only=True, slots=True)
class ToolPolicy:
    """How one tool's calls are run and, after a crash, settled.

    Attributes:
        on_unknown: What to do with a call that began and left no record: "rerun" it, "fail" with `UnknownOutcome`, or "ask". Default
            "rerun", as every framework does, but with a warning; "ask" when a reconciler or an effect key is given.
        reconcile: Sync or async function that is asked first, on recovery, whether such a call was done.
        idempotent: Running it twice does no harm. No start mark is written and recovery reruns it without asking.
        on_failed: What a resumed run does with a recorded failure that crashed the run: "retry", or "replay" the failure. Default: retry
            where `on_unknown` is "rerun"; elsewhere the call counts as unknown, unless the exception is one of `not_done`.
        on_resume: What a process does with a recorded answer that another process made: "replay" it, which is the default, or "rerun" the
            call: for tools that leave something in the memory of their process (a loaded file, a session), which is gone with it. The
            process that has run the call replays it. Such a call may run any number of times, whatever is recorded.
        not_done: Exception types which say for certain that nothing happened (a refused connection, say).
        timeout: Seconds for one attempt; None is off. A call that times out is unknown, not failed.
        retry: Attempts within a run: `Retry(stop=, wait=, retry=)` or any tenacity `Retrying`. Obeys the rule of `on_failed`.
        max_parallel: Calls of this tool at once, over all batches of the process. None is off.
        rate: `Rate(5, per=1.0)` or "5/s": starts of this tool over all batches of the process. None is off.
        codec: How this tool's results are stored and read, in place of the executor's codec.
        record: False: the call keeps its place in its batch, its limits and its events, and nothing of it is stored, neither arguments nor
            result. It runs again on every resume, in closed batches too. For results that are large, secret or worthless tomorrow.
        effect_key: What the call does in the world, named by its arguments: the name of one ("invoice"), several names, or a function of
            all. In one journal an effect that is recorded as done is never had again, whichever batch, run or framework asks for it: the
            call gets the recorded result. With other arguments beside the same key it gets `EffectConflict`. A key is an int or a string,
            or several of them; arguments that give none are refused, to the model. With it `on_unknown` is "ask" unless it is given.
        effect_ignore: Arguments that may differ between calls of one effect.
        effect_name: In place of the tool's name, so that a renamed tool keeps its effects, or two tools share them.
        effect_scope: "journal", or "run" where the same key means another thing in another run.
        effect_ttl: Seconds after which an effect that was had may be had again, with a new idempotency key. None is never.

    Raises:
        InvalidSetting: a value that means nothing; 0 and negative limits are refused, use None for "no limit".
    """

    on_unknown: OnUnknown | None = None
    reconcile: Reconciler | None = None
    idempotent: bool = False
    on_failed: OnFailed | None = None
    on_resume: OnResume | None = None
    not_done: tuple[type[BaseException], ...] = ()
    timeout: float | None = None
    retry: Retry | None = None
    max_parallel: int | None = None
    rate: Rate | None = None
    codec: Codec | None = None
    record: bool = True
    effect_key: EffectKey | None = None
    effect_ignore: tuple[str, ...] = ()
    effect_name: str | None = None
    effect_scope: EffectScope = "journal"
    effect_ttl: float | None = None

    def __init__(
        self,
        *,
        on_unknown: OnUnknown | None = None,
        reconcile: Reconciler | None = None,
        idempotent: bool = False,
        on_failed: OnFailed | None = None,
        on_resume: OnResume | None = None,
        not_done: type[BaseException] | tuple[type[BaseException], ...] = (),
        timeout: float | None = None,
        retry: object | None = None,
        max_parallel: int | None = None,
        rate: Rate | str | None = None,
        codec: Codec | None = None,
        record: bool = True,
        effect_key: EffectKey | None = None,
        effect_ignore: str | tuple[str, ...] = (),
        effect_name: str | None = None,
        effect_scope: EffectScope = "journal",
        effect_ttl: float | None = None,
    ) -> None:
        _check_choice("on_unknown", on_unknown, ("rerun", "fail", "ask"))
        _check_choice("on_failed", on_failed, ("retry", "replay"))
        _check_choice("on_resume", on_resume, ("replay", "rerun"))
        if reconcile is not None and not callable(reconcile):
            raise InvalidSetting(
                f"reconcile={reconcile!r} is not callable: give a function that takes the slot."
            )
        if idempotent and (reconcile is not None or on_unknown in ("ask", "fail")):
            raise InvalidSetting(
                "idempotent=True says that running twice does no harm, so nothing is ever asked: leave out reconcile= and on_unknown=."
            )
        if on_resume == "rerun" and (
            reconcile is not None or on_unknown in ("ask", "fail") or on_failed == "replay"
        ):
            raise InvalidSetting(
                "on_resume='rerun' says that the call may run any number of times, also when its result is recorded, so nothing is ever"
                " asked and no failure is kept: leave out reconcile=, on_unknown='ask' or 'fail', and on_failed='replay'. A tool whose"
                " effect must not happen twice is no tool for on_resume='rerun'."
            )
        if not record and (
            reconcile is not None
            or on_unknown in ("ask", "fail")
            or on_failed == "replay"
            or codec is not None
        ):
            raise InvalidSetting(
                "record=False says that nothing of the call is stored and that it runs again on every resume, so there is nothing to ask"
                " about and nothing to hand out again: leave out reconcile=, on_unknown='ask' or 'fail', on_failed='replay' and codec=. A"
                " tool whose effect must not happen twice is no tool for record=False."
            )
        ignored = (effect_ignore,) if isinstance(effect_ignore, str) else tuple(effect_ignore)
        if effect_key is None and (ignored or effect_name or effect_scope != "journal" or effect_ttl):
            raise InvalidSetting(
                "effect_ignore=, effect_name=, effect_scope= and effect_ttl= say more of an effect that effect_key= names: give that too."
            )
        if effect_key is not None and (idempotent or on_resume == "rerun" or not record):
            raise InvalidSetting(
                "effect_key= says that the effect must be had once; idempotent=True, on_resume='rerun' and record=False say that the call"
                " may run any number of times. Leave one of them out."
            )
        _check_effect(effect_key, ignored, effect_name, effect_scope, effect_ttl)
        types = not_done if isinstance(not_done, tuple) else (not_done,)
        for item in types:
            if not (isinstance(item, type) and issubclass(item, BaseException)):  # pyright: ignore[reportUnnecessaryIsInstance]
                raise InvalidSetting(f"not_done={not_done!r}: {item!r} is not an exception type.")
        check_seconds("timeout", timeout)
        check_count("max_parallel", max_parallel)
        values = {
            "on_unknown": on_unknown,
            "reconcile": reconcile,
            "idempotent": idempotent,
            "on_failed": on_failed,
            "on_resume": on_resume,
            "not_done": types,
            "timeout": timeout,
            "retry": as_retry(retry),
            "max_parallel": max_parallel,
            "rate": Rate.parse(rate) if isinstance(rate, str) else rate,
            "codec": codec,
            "record": record,
            "effect_key": effect_key,
            "effect_ignore": ignored,
            "effect_name": effect_name,
            "effect_scope": effect_scope,
            "effect_ttl": effect_ttl,
        }
        for item_ in fields(self):
            object.__setattr__(self, item_.name, values[item_.name])

    @classmethod
    def from_annotations(cls, annotations: Mapping[str, object]) -> ToolPolicy | None:
        """What the MCP annotations of a tool, in the protocol's spelling or in snake case, say about a second run; None for nothing.

        Only what is said counts: the defaults of the protocol do not.
        """

        def says(camel: str, snake: str) -> bool:
            return annotations.get(camel) is True or annotations.get(snake) is True

        if says("readOnlyHint", "read_only_hint") or says("idempotentHint", "idempotent_hint"):
            return cls(idempotent=True)
        if says("destructiveHint", "destructive_hint"):
            return cls(on_unknown="ask")
        return None

    @property
    def unknown_rule(self) -> OnUnknown:
        """`on_unknown` with its default filled in."""
        if self.on_unknown is not None:
            return self.on_unknown
        return "ask" if self.reconcile is not None or self.effect_key is not None else "rerun"

    @property
    def going_on(self) -> ToolPolicy:
        """The same, for a call whose code goes on from where it stood when it is entered again on resume; not so when it is tried again."""
        return replace(self, on_unknown="rerun", reconcile=None, retry=None)

    @property
    def unserved(self) -> ToolPolicy:
        """What holds for a call whose tool is served no more: there is nothing to run, and that a second run does no harm helps no more."""
        policy = replace(self, on_resume=None)
        if policy.idempotent or policy.unknown_rule != "rerun":
            return policy
        return replace(policy, on_unknown="ask")


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """How many calls may run at once, and how long to wait. None is off; 0 and negative values are refused.

    Attributes:
        batch: Calls of one batch. Default 32.
        process: Calls of this process, over all batches and executors. Default 128.
        tools: Calls by tool name, over all batches of the process; `ToolPolicy.max_parallel` says the same in the policy.
        batch_timeout: Seconds from the opening of a batch to its deadline. Calls that never began then stay RESERVED.
        busy_timeout: Seconds to wait before `BatchBusy`: for another living owner of the batch, for an attempt that still runs in this
            process, and for a permit that only calls hold which outlived their callers. Default 30; None waits for ever.

    Raises:
        InvalidSetting: a value that means nothing.
    """

    batch: int | None = 32
    process: int | None = 128
    tools: Mapping[str, int] = field(default_factory=lambda: {})
    batch_timeout: float | None = None
    busy_timeout: float | None = 30.0

    def __post_init__(self) -> None:
        check_count("Limits(batch=)", self.batch)
        check_count("Limits(process=)", self.process)
        for tool, limit in self.tools.items():
            check_count(f"Limits(tools={{{tool!r}: ...}})", limit)
        check_seconds("Limits(batch_timeout=)", self.batch_timeout)
        check_seconds("Limits(busy_timeout=)", self.busy_timeout)


def check_count(name: str, value: object) -> None:
    """None, or an int of at least 1.

    Raises:
        InvalidSetting: anything else; 0 could mean "nothing" or "no limit", so it means neither.
    """
    if value is None:
        return
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InvalidSetting(f"{name} is {value!r}: it must be an int of at least 1, or None for no limit.")


def check_seconds(name: str, value: object) -> None:
    """None, or a positive finite number of seconds.

    Raises:
        InvalidSetting: anything else; 0 could mean "at once" or "never", so it means neither.
    """
    if value is None:
        return
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not math.isfinite(value)
        or value <= 0
    ):
        raise InvalidSetting(
            f"{name} is {value!r}: it must be a positive number of seconds, or None for no limit."
        )


def _check_effect(key: object, ignored: tuple[object, ...], name: object, scope: object, ttl: object) -> None:
    if not (key is None or isinstance(key, (str, tuple)) or callable(key)):
        raise InvalidSetting(
            f"effect_key={key!r}: give the name of an argument, a tuple of names, or a function of the arguments."
        )
    names: tuple[object, ...] | None = (key,) if isinstance(key, str) else None
    if isinstance(key, tuple):
        names = cast("tuple[object, ...]", key)
    for each in (*(names or ()), *ignored):
        if not (isinstance(each, str) and each):
            raise InvalidSetting(f"effect_key= and effect_ignore= name arguments, and {each!r} is no name.")
    if names == ():
        raise InvalidSetting(
            "effect_key=() names no argument, so all calls of the tool would be one effect: name some."
        )
    if name is not None and not (isinstance(name, str) and name):
        raise InvalidSetting(f"effect_name={name!r}: give a text, or None for the tool's own name.")
    _check_choice("effect_scope", scope, ("journal", "run"))
    check_seconds("effect_ttl", ttl)


def _check_choice(name: str, value: object, choices: tuple[str, ...]) -> None:
    if value is not None and value not in choices:
        listed = ", ".join(repr(choice) for choice in choices)
        raise InvalidSetting(f"{name}={value!r} is not known: choose one of {listed}.")
