"""The page of all replications: claim by claim, what was found again and what was not, from finished runs."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.labs.claim import TAGS
from mechscope.labs.claims_file import ClaimsFile, read_claims
from mechscope.labs.lab import Budget, Lab
from mechscope.labs.running import key_of
from mechscope.pages.tables import markdown_table

VERDICTS = {"pass": "✓ reproduced", "fail": "✗ **not reproduced**", "not-run": "– not run"}


@dataclass(frozen=True)
class Replication:
    """A step, and its finished run where there is one that still speaks for it."""

    lab: Lab
    """Which step."""
    found: ClaimsFile | None
    """Its verdicts; None if there is no current run."""
    problem: str
    """Why there is none, in words; empty where there is."""


def read_replications(
    labs: Sequence[Lab], budget: Budget = "full", seed: int = 0, out: str | Path = "runs"
) -> list[Replication]:
    """The finished runs of these steps. Runs nothing.

    A run counts on the kind of device that it ran on, but its settings, inputs and code must be those of now.
    """
    return [
        _read(lab, budget, seed, Path(out) / lab.folder_name / f"{budget}-seed-{seed}" / "claims.json")
        for lab in labs
    ]


def _read(lab: Lab, budget: Budget, seed: int, path: Path) -> Replication:
    if not path.is_file():
        return Replication(lab, None, f"no finished run with the {budget} budget and seed {seed}")
    try:
        found = read_claims(path)
    except ValueError as error:
        return Replication(lab, None, str(error).rstrip("."))
    device_type = found.device.partition(":")[0]
    changes = found.changes_since(key_of(lab, budget, seed, device_type))
    if not changes:
        return Replication(lab, found, "")
    return Replication(lab, None, f"a stale run, not shown: {changes}")


def replications_page(found: Sequence[Replication], budget: Budget = "full", seed: int = 0) -> str:
    """The page as Markdown. It bears no date: the same runs give the same page."""
    command = f"mechscope run all --budget {budget}" + (f" --seed {seed}" if seed else "")
    lines = [
        "# Replications, claim by claim",
        "",
        "What was published, what came out here, and how far off we allowed ourselves to be. A claim counts as "
        "reproduced only if every condition holds in every seed. *Not run* is neither a success nor a failure. Values "
        "stand in the order of the seeds.",
        "",
        f"Made from finished runs by `mechscope replications --budget {budget} --docs docs/replications.md`; the runs "
        f"by `{command}`. Nothing on this page is typed by hand.",
        "",
        *_totals(found),
        "",
        "Where the published numbers come from: "
        + "; ".join(f"**{tag}** {meaning}" for tag, meaning in TAGS.items())
        + ".",
        "",
        *_not_reproduced(found),
        *_not_run(found),
    ]
    for replication in found:
        lines += _step(replication)
    return "\n".join(lines).rstrip() + "\n"


def _totals(found: Sequence[Replication]) -> list[str]:
    rows: list[list[str]] = []
    sums = dict.fromkeys(VERDICTS, 0)
    for replication in found:
        name = f"{replication.lab.step} {replication.lab.title}"
        run = replication.found
        if run is None:
            rows.append([name, _without_tags(replication.problem), "", "", "", ""])
            continue
        counts = {status: run.count(status) for status in VERDICTS}
        for status, count in counts.items():
            sums[status] += count
        seeds = ", ".join(map(str, run.seeds))
        rows.append([name, *map(str, counts.values()), seeds, f"{run.seconds:.0f} s"])
    rows.append(["**all**", *(f"**{count}**" for count in sums.values()), "", ""])
    return [markdown_table(["step", "reproduced", "not reproduced", "not run", "seeds", "time"], rows)]


def _not_reproduced(found: Sequence[Replication]) -> list[str]:
    failed = [
        f"- **{claim['id']}** {claim['statement']} Seen: {claim['reason']}. "
        f"{_without_tags(replication.lab.remarks.get(claim['id'], ''))}".rstrip()
        for replication in found
        if replication.found
        for claim in replication.found.claims
        if claim["status"] == "fail"
    ]
    return ["## Not reproduced", "", *failed, ""] if failed else []


def _not_run(found: Sequence[Replication]) -> list[str]:
    by_reason: dict[str, list[str]] = defaultdict(list)
    for replication in found:
        if replication.found is None:
            by_reason[replication.problem].append(f"step {replication.lab.step}")
            continue
        for claim in replication.found.claims:
            if claim["status"] == "not-run":
                by_reason[claim["reason"]].append(claim["id"])
    lines = [f"- {', '.join(ids)}: {reason}." for reason, ids in by_reason.items()]
    return ["## Not run", "", *lines, ""] if lines else []


def _step(replication: Replication) -> list[str]:
    lab, run = replication.lab, replication.found
    lines = [f"## {lab.step} · {lab.title}", "", lab.idea, ""]
    if run is None:
        return [*lines, f"*{replication.problem}.*", ""]
    seeds = f"{'seed' if len(run.seeds) == 1 else 'seeds'} {', '.join(map(str, run.seeds))}"
    made_of = "; ".join(f"{name}: {words}" for name, words in run.inputs.items())
    packages = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    where = f"{run.device} ({'; '.join(run.machines)})" if run.machines else run.device
    lines += [f"{run.budget.capitalize()} budget, {seeds}, on {where}, {run.seconds:.0f} s.", ""]
    headers = ["claim", "published", "ours", "wanted", "source", "verdict"]
    lines.append(markdown_table(headers, [_row(claim) for claim in run.claims]))
    return [*lines, "", f"Read: {made_of}. Made with {packages}.", ""]


def _row(claim: Mapping[str, Any]) -> list[str]:
    ours = [f"{finding['what']}: {_values(finding)}" for finding in claim["findings"]]
    wanted = [_wanted(finding) for finding in claim["findings"]]
    by = "" if claim["tolerance_by"] == "ours" or not wanted else f" (bounds by {claim['tolerance_by']})"
    return [
        _without_tags(f"**{claim['id']}** {claim['statement']}"),
        _without_tags(claim["paper"]),
        "<br>".join(map(_without_tags, ours)) or _without_tags(claim["reason"]),
        "<br>".join(map(_without_tags, wanted)) + by,
        _without_tags(f"{claim['tag']} · {claim['source']}"),
        VERDICTS[claim["status"]],
    ]


def _values(finding: Mapping[str, Any]) -> str:
    unit = f" {finding['unit']}" if finding["unit"] else ""
    return _by_seed(finding["ours"]) + unit


def _wanted(finding: Mapping[str, Any]) -> str:
    if "yardstick" not in finding:
        return finding["wanted"]
    return f"{finding['wanted']} ({_by_seed(finding['yardstick'])})"


def _by_seed(values: Mapping[str, float | None]) -> str:
    """The values in the order of the seeds; one for all where they are the same, as of a model that has no seed."""
    numbers = [_number(value) for value in values.values()]
    return numbers[0] + " (each)" if len(numbers) > 1 and len(set(numbers)) == 1 else " · ".join(numbers)


def _number(value: float | None) -> str:
    return "not a number" if value is None else f"{value:.4g}"


def _without_tags(text: str) -> str:
    """Escape what Markdown would take for an HTML tag."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")
