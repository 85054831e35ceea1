"""Measure the baselines that are shipped, and draw their figures: `python -m mechscope.problems.draw`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import partial

from mechscope.pages.shipped import ship_all
from mechscope.problems.listing import all_problems, find_problem
from mechscope.problems.starter import ship_measurement, shipped_measurement


def main(names: Sequence[str]) -> int:
    """Run the starters of the named problems; without names, those that are new or have changed.

    Returns:
        1 if a starter failed, after running the others.
    """
    problems = [find_problem(name) for name in names] or [
        problem for problem in all_problems().values() if shipped_measurement(problem) is None
    ]
    return 1 if ship_all({problem.slug: partial(ship_measurement, problem) for problem in problems}) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
