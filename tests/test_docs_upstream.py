"""The guide lists what differs in the suites of LangGraph and LangChain, in the form that `make upstream` reads and checks."""

from __future__ import annotations

import runpy
from pathlib import Path

RUN = runpy.run_path(str(Path(__file__).parent / "upstream" / "run.py"))


def test_every_difference_that_the_guide_lists_is_of_a_suite_that_is_run_and_has_a_reason() -> None:
    listed = RUN["expected"]()
    assert listed
    assert {package for package, _ in listed} <= {suite.package for suite in RUN["SUITES"]}
    assert all(len(why.split()) > 5 for why in listed.values())
