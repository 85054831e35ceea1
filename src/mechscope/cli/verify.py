"""`mechscope verify`: every claim with its verdict, as a table or as JSON."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mechscope.cli.commands import Verify
from mechscope.cli.errors import user_errors
from mechscope.cli.run import expand, report, say_on_stderr

if TYPE_CHECKING:
    from mechscope.labs.verify import Verification

MARKS = {"pass": "✓ pass", "fail": "✗ fail", "not-run": "– not run"}


def verify(command: Verify) -> int:
    """Print the verdicts; 0 only if no claim failed and every step could be run."""
    names = expand(command.steps or ("all",))
    with user_errors():
        from mechscope.labs.registry import find_entry, find_lab

        for name in names:
            find_entry(name)
        from mechscope.labs.parallel_steps import run_steps
        from mechscope.labs.verify import prepare_to_verify, verification_of
        from mechscope.runs.parallel_runs import choose_jobs

        prepared = [
            prepare_to_verify(find_lab(name), command.budget, command.seed, command.out, command.device)
            for name in names
        ]
        to_run = [preparation for preparation, problem in prepared if problem]
        jobs = choose_jobs(command.jobs, len(to_run), prepared[0][0].device)
        steps = run_steps(to_run, jobs, progress=False if command.no_progress else None)
    for preparation, problem in prepared:
        if problem:
            say_on_stderr(f"{preparation.lab.step} {preparation.lab.slug}: {problem}; running it")
    broken: set[str] = set()
    with closing(steps):
        for finished in steps:
            if not finished.ok:
                broken.add(finished.preparation.lab.slug)
                report(finished)
    if broken:
        say_on_stderr(f"{command.kept} The same command continues from there.")
    found = [
        verification_of(preparation, ran_now=bool(problem))
        for preparation, problem in prepared
        if preparation.lab.slug not in broken
    ]
    failed = sum(verification.count("fail") for verification in found)
    print(to_json(found) if command.json else to_table(found))
    return 1 if failed or broken else 0


def to_json(found: Sequence[Verification]) -> str:
    """The verdicts as JSON."""
    content = {
        "failed": sum(verification.count("fail") for verification in found),
        "steps": [
            {
                "step": verification.lab.step,
                "slug": verification.lab.slug,
                "folder": str(verification.folder),
                "ran_now": verification.ran_now,
                "inputs": dict(verification.inputs),
                "counts": {status: verification.count(status) for status in MARKS},
                "claims": [dict(claim) for claim in verification.claims],
            }
            for verification in found
        ],
    }
    return json.dumps(content, indent=1, ensure_ascii=False)


def to_table(found: Sequence[Verification]) -> str:
    """The verdicts as a readable table."""
    lines: list[str] = []
    for verification in found:
        lines.append(f"{verification.lab.step} · {verification.lab.title}")
        lines += [f"  {name}: {words}" for name, words in verification.inputs.items()]
        remarks = verification.lab.remarks
        for claim in verification.claims:
            lines += _claim_lines(claim, remarks.get(claim["id"], ""))
        lines.append("")
    totals = {status: sum(verification.count(status) for verification in found) for status in MARKS}
    lines.append(f"{totals['pass']} passed, {totals['fail']} failed, {totals['not-run']} not run.")
    return "\n".join(lines)


def _claim_lines(claim: Mapping[str, Any], remark: str) -> list[str]:
    head = f"  {MARKS[claim['status']]:<10} {claim['id']:<5}"
    indent = " " * (len(head) + 1)
    lines = textwrap.wrap(claim["statement"], 100, initial_indent=f"{head} ", subsequent_indent=indent)
    lines.append(f"{indent}reference: {claim['paper']} [{claim['tag']}]")
    if claim["status"] == "not-run":
        lines.append(f"{indent}{claim['reason']}")
    for finding in claim["findings"]:
        ours = ", ".join(
            "not a number" if value is None else f"{value:.4g}" for value in finding["ours"].values()
        )
        unit = f" {finding['unit']}" if finding["unit"] else ""
        wanted = finding["wanted"].replace("\u00a0", " ")
        if "yardstick" in finding:
            compared = ", ".join(
                "–" if value is None else f"{value:.4g}" for value in finding["yardstick"].values()
            )
            wanted += f" ({compared})"
        lines.append(
            f"{indent}{'✓' if finding['ok'] else '✗'} {finding['what']}: {ours}{unit}; wanted {wanted}"
        )
    if remark and claim["status"] == "fail":
        lines += textwrap.wrap(f"known: {remark}", 100, initial_indent=indent, subsequent_indent=indent)
    return lines
