"""`make chaos`: kill agents at every named point, in every door, and judge what is left by a ledger outside of them.

    python -m crash.chaos [--deaths N] [--workers N]      the matrix, until N processes have died
    python -m crash.chaos --door .. --mode .. --policy .. --point .. --seed .. [--race ..] [--control ..]      one trial
    python -m crash.chaos --controls      broken builds in every door; each must be caught

Prints one line of figures. Exit code: 0 when nothing was violated and every point was reached; 1 otherwise.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from itertools import product

from crash.chaos.broken import CONTROLS
from crash.chaos.controls import WHERE, attempts
from crash.chaos.figures import Figures, repeat
from crash.chaos.grid import POINTS, cells, trials
from crash.chaos.plan import MODES, POLICIES, STOPPED, Door, Trial, possible
from crash.chaos.pool import run_many
from crash.chaos.trial import Outcome


def parsed(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="crash.chaos", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--deaths", type=int, default=5000)
    parser.add_argument("--workers", type=int, default=3)
    parser.add_argument("--door", type=Door, metavar="{plain,node,agent,llama}")
    parser.add_argument("--mode", choices=MODES)
    parser.add_argument("--policy", choices=POLICIES)
    parser.add_argument("--point", choices=POINTS)
    parser.add_argument("--seed", type=int, default=0, help="the first one; with a whole cell, the only one")
    parser.add_argument(
        "--race", type=int, choices=(2, 3), default=0, help="only trials in which so many recover at once"
    )
    parser.add_argument("--control", choices=tuple(CONTROLS), default="")
    parser.add_argument("--controls", action="store_true", help="see that every broken build is caught")
    return parser.parse_args(argv)


def wanted(args: argparse.Namespace) -> Iterator[Trial]:
    """The trials in question; one when all is given."""
    asked = {name: getattr(args, name) for name in ("door", "mode", "policy", "point")}
    if all(value is not None for value in asked.values()):
        if args.race and args.point == STOPPED:
            raise SystemExit("an owner that is stopped is taken over by one process; there is no race")
        yield Trial(**asked, seed=args.seed, race=args.race, control=args.control)
        return
    if not any(
        all(value in (None, part) for value, part in zip(asked.values(), cell, strict=True))
        for cell in cells()
    ):
        raise SystemExit("no trial reaches that point in that door, with that mode and policy")
    for trial in trials(args.seed, args.race):
        if all(value in (None, getattr(trial, name)) for name, value in asked.items()):
            yield trial


def matrix(args: argparse.Namespace) -> int:
    began = time.monotonic()
    outcomes: list[Outcome] = []
    deaths = shown = 0
    for outcome in run_many(wanted(args), args.workers):
        outcomes.append(outcome)
        deaths += len(outcome.deaths)
        print(*repeat(outcome), sep="\n", end="\n" if outcome.violations else "", flush=True)
        if deaths // 100 > shown:
            shown = deaths // 100
            print(Figures.of(outcomes).line(time.monotonic() - began), file=sys.stderr, flush=True)
        if deaths >= args.deaths:
            break
    figures = Figures.of(outcomes)
    print(figures.line(time.monotonic() - began))
    whole = not any((args.door, args.mode, args.policy, args.point))
    if whole and figures.unreached:
        print(f"nothing died at: {', '.join(figures.unreached)}")
    return 1 if figures.found or (whole and figures.unreached) else 0


def controls() -> int:
    began, missed, caught = time.monotonic(), 0, 0
    for control, door, mode in product(CONTROLS, Door, MODES):
        policy, point, _ = WHERE[control]
        if not possible(door, mode, policy, point):
            continue
        if any(outcome.violations for outcome in run_many(attempts(control, mode, door), 1)):
            caught += 1
        else:
            missed += 1
            print(f"not caught: {control} --door {door.value} --mode {mode}", flush=True)
    print(
        f"broken_builds={len(CONTROLS)} caught={caught} missed={missed} seconds={time.monotonic() - began:.0f}"
    )
    return 1 if missed else 0


def main(argv: list[str] | None = None) -> int:
    args = parsed(argv)
    return controls() if args.controls else matrix(args)


if __name__ == "__main__":
    sys.exit(main())
