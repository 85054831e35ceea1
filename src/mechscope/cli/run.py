"""`mechscope run`: check everything that was asked for, then run step after step."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mechscope.cli.commands import Run
from mechscope.cli.errors import UserError, user_errors


def run(command: Run) -> int:
    """Run the steps and say where their reports are; 0 also where claims failed (that is `verify`'s to judge)."""
    names = expand(command.steps)
    with user_errors():
        # Names first: a typing mistake should not wait for torch.
        from mechscope.labs.registry import find_entry, find_lab

        for name in names:
            find_entry(name)
        from mechscope.labs.running import prepare, run_prepared

        prepared = [
            prepare(find_lab(name), command.budget, command.seed, command.out, command.device)
            for name in names
        ]
    for preparation in prepared:
        lab = preparation.lab
        seeds = ", ".join(map(str, preparation.seeds))
        print(f"{lab.step} {lab.slug} ({command.budget} budget, seed {seeds}, on {preparation.device})")
        for name, words in preparation.inputs.items():
            print(f"   {name}: {words}")
        sys.stdout.flush()
        finished = run_prepared(preparation, progress=False if command.no_progress else None)
        counts = ", ".join(
            f"{finished.count(status)} {words}"
            for status, words in (("pass", "reproduced"), ("fail", "not reproduced"), ("not-run", "not run"))
        )
        print(f"   claims: {counts} (in {finished.seconds:.0f} s)")
        for checked in finished.claims:
            if checked.status != "pass":
                print(f"   {'✗' if checked.status == 'fail' else '–'} {checked.claim.id} {checked.reason}")
        print(f"   report: {finished.report}")
    print("Open a report in a browser; `mechscope verify` prints every claim.")
    return 0


def expand(steps: Sequence[str]) -> list[str]:
    """Step names with "all" replaced by every step, each once.

    Raises:
        UserError: if none is named.
    """
    from mechscope.labs.registry import LABS

    if not steps:
        there = ", ".join(f"{entry.step} {entry.slug}" for entry in LABS)
        raise UserError(f"name the steps to run, or all. Steps: {there}.")
    by_number = {entry.step: entry.slug for entry in LABS}
    every = list(by_number.values())
    named = [slug for step in steps for slug in (every if step == "all" else [by_number.get(step, step)])]
    return list(dict.fromkeys(named))
