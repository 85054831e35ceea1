"""`mechscope run`: check all arguments, then run the steps one after another."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from mechscope.cli.command_line import command_line
from mechscope.cli.commands import Replications, Run
from mechscope.cli.errors import UserError, user_errors

if TYPE_CHECKING:
    from mechscope.labs.parallel_steps import Finished


def run(command: Run) -> int:
    """Run the steps and print where their reports are.

    Returns 1 if a step could not be finished, else 0, even if claims failed (that is for `verify` to judge).
    """
    names = expand(command.steps)
    with user_errors():
        # Check names first: a typo should not have to wait for torch.
        from mechscope.labs.registry import find_entry, find_lab

        for name in names:
            find_entry(name)
        from mechscope.labs.index_page import write_index
        from mechscope.labs.parallel_steps import run_steps
        from mechscope.labs.running import prepare
        from mechscope.runs.parallel_runs import choose_jobs

        prepared = [
            prepare(find_lab(name), command.budget, command.seed, command.out, command.device)
            for name in names
        ]
        jobs = choose_jobs(command.jobs, len(prepared), prepared[0].device)
        steps = run_steps(prepared, jobs, progress=False if command.no_progress else None)
    for preparation in prepared:
        lab = preparation.lab
        seeds = ", ".join(map(str, preparation.seeds))
        print(f"{lab.step} {lab.slug} ({command.budget} budget, seed {seeds}, on {preparation.device})")
        for name, words in preparation.inputs.items():
            print(f"   {name}: {words}")
    if jobs > 1:
        print(f"{jobs} steps at once")
    print(flush=True)
    broken = 0
    with closing(steps):
        for finished in steps:
            broken += not finished.ok
            report(finished)
            sys.stdout.flush()
    if broken:
        say_on_stderr(f"{command.kept} The same command continues from there.")
    index = write_index(command.out)
    verify = command_line(
        "verify", *([] if len(names) == len(expand(("all",))) else names), *same_runs(command)
    )
    print(f"Open {index} in a browser; `{verify}` prints every claim.")
    return 1 if broken else 0


def same_runs(command: Run | Replications, budget: str = "quick") -> list[str]:
    """The non-default options with which another command reads these runs.

    Args:
        budget: the other command's default.
    """
    options = [] if command.budget == budget else ["--budget", command.budget]
    options += ["--seed", str(command.seed)] if command.seed else []
    return options + (["--out", str(command.out)] if command.out != type(command).out else [])


def say_on_stderr(words: str) -> None:
    """Print to standard error without buffering, so that programs can read standard output."""
    print(words, file=sys.stderr, flush=True)


def report(finished: Finished) -> None:
    """Report on a step: verdicts on standard output, errors on standard error."""
    lab = finished.preparation.lab
    if not finished.ok:
        print(f"{lab.step} {lab.slug}: not finished. {finished.problem}", file=sys.stderr)
        if finished.details:
            print(finished.details, file=sys.stderr, flush=True)
        return
    counts = ", ".join(
        f"{finished.counts[status]} {words}"
        for status, words in (("pass", "reproduced"), ("fail", "not reproduced"), ("not-run", "not run"))
    )
    print(f"{lab.step} {lab.slug}: {counts} (in {finished.seconds:.0f} s)")
    alike: dict[tuple[str, str], list[str]] = {}
    for status, claim, reason in finished.unproven:
        alike.setdefault((status, reason), []).append(claim)
    for (status, reason), claims in alike.items():
        print(f"   {'✗' if status == 'fail' else '–'} {', '.join(claims)}: {reason}")
    print(f"   report: {finished.report}")


def expand(steps: Sequence[str]) -> list[str]:
    """Step names without duplicates, with "all" replaced by every step.

    Raises:
        UserError: if no step is named.
    """
    from mechscope.labs.registry import LABS

    if not steps:
        there = ", ".join(f"{entry.step} {entry.slug}" for entry in LABS)
        raise UserError(f"name the steps to run, or all. Steps: {there}.")
    by_number = {entry.step: entry.slug for entry in LABS}
    every = list(by_number.values())
    named = [slug for step in steps for slug in (every if step == "all" else [by_number.get(step, step)])]
    return list(dict.fromkeys(named))
