"""A batch whose tools fork, or that is run by children of multiprocessing.

forking_tools.py FOLDER fork HOW-THE-CHILD-ENDS call|run_all
forking_tools.py FOLDER many START-METHOD
forking_tools.py FOLDER pool START-METHOD
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from support.gate import say
from support.ledger import Ledger
from toolslot import Batch, BatchBusy, Call, DurableExecutor, Fenced, Limits


def batch(calls: int) -> Batch:
    return Batch(
        run_id="run",
        batch_id="batch",
        calls=[Call(tool="pay", args={"i": i, "folder": FOLDER}, call_id=f"c{i}") for i in range(calls)],
    )


def executor(**settings: Any) -> DurableExecutor:
    return DurableExecutor(Path(FOLDER) / "journal", hooks=[], **settings)


def tell(**what: object) -> None:
    say(json.dumps({"pid": os.getpid(), **what}))


# --- fork -----------------------------------------------------------------------------------------------------------------


def fork(end: str, where: str) -> None:
    warnings.simplefilter(
        "ignore", DeprecationWarning
    )  # of a fork beside threads, which is what this is about
    ledger = Ledger(Path(FOLDER) / "ledger")
    durable = executor()

    def pay(i: int, folder: str) -> str:
        if i == 1:
            pid = os.fork()
            if pid == 0:
                child(end)
                return "the child's"
            os.waitpid(pid, 0)
        ledger.note("effect", i)
        return f"paid {i} by {os.getpid()}"

    parent = os.getpid()
    try:
        if where == "run_all":
            answers = durable.run_all(batch(3), {"pay": pay})
        else:
            with durable.open(batch(3)) as run:
                answers = [run.call(i, lambda i=i: pay(i, FOLDER)) for i in range(3)]
    except Fenced:
        assert os.getpid() != parent
        os._exit(0)
    except (ZeroDivisionError, SystemExit):
        assert os.getpid() != parent
        raise
    assert os.getpid() == parent, "a child got an answer"
    tell(who="parent", answers=answers)


def child(end: str) -> None:
    match end:
        case "raises":
            raise ZeroDivisionError
        case "exits":
            sys.exit(0)
        case "is killed":
            os.kill(os.getpid(), signal.SIGKILL)
        case "runs the batch":
            try:
                executor(limits=Limits(busy_timeout=0.2)).run_all(
                    batch(3), {"pay": lambda i, folder: "the child's"}
                )
            except BatchBusy:
                os._exit(0)
            tell(who="child", answers="got through")
            os._exit(1)
        case _:
            pass


# --- multiprocessing ------------------------------------------------------------------------------------------------------


def pay_here(i: int, folder: str) -> str:
    Ledger(Path(folder) / "ledger").note("effect", i)
    return f"paid {i}"


def pay_and_sign(i: int, folder: str) -> str:
    return f"{pay_here(i, folder)} by {os.getpid()}"


def one_of_many(folder: str, barrier: Any) -> None:
    global FOLDER
    FOLDER = folder
    durable = executor(limits=Limits(busy_timeout=60))
    barrier.wait(60)
    tell(answers=durable.run_all(batch(6), {"pay": pay_and_sign}))


def many(method: str) -> None:
    context = multiprocessing.get_context(method)
    barrier = context.Barrier(3)
    processes = [context.Process(target=one_of_many, args=(FOLDER, barrier)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0, process


def pool(method: str) -> None:
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(method)) as processes:
        durable = executor(executor=processes)
        tools = {"pay": pay_here}
        tell(answers=durable.run_all(batch(6), tools), again=durable.run_all(batch(6), tools))


FOLDER = ""

if __name__ == "__main__":
    FOLDER, what, *rest = sys.argv[1:]
    {"fork": fork, "many": many, "pool": pool}[what](*rest)
