"""report.html: one self-contained page with the lesson, its figures, the verdicts, and what ran on what."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mechscope.labs.claim import TAGS, CheckedClaim, Finding
from mechscope.labs.lab import LabRun
from mechscope.labs.navigation import INDEX, neighbours
from mechscope.pages.figures import figure_html
from mechscope.pages.formatting import code_spans, duration, first_capital, number, with_minus
from mechscope.pages.frame import render_page
from mechscope.pages.markdown import figures_placed, render_lesson
from mechscope.storage.files import write_atomically


def write_report(run: LabRun) -> Path:
    """Write the run's report.html and return its path."""
    return write_atomically(run.report, render_report(run))


def render_report(run: LabRun) -> str:
    """The report as one HTML document: styles, script, Plotly and all figures inside; it fetches nothing.

    Raises:
        KeyError: if the lesson asks for a figure or a value that the run did not produce.
        ValueError: as `fill_text`.
    """
    outcome = run.outcome
    text = run.lab.lesson.read_text(encoding="utf-8")
    placed = figures_placed(text)
    values = outcome.lesson_values(run.seeds[0]) | {"config": run.lab.configs[run.budget]}
    blocks = {figure.name: figure_html(figure) for figure in outcome.figures}
    missing = {
        name: f'<p class="missing">No figure here this time: {code_spans(reason)}.</p>'
        for name, reason in outcome.missing_figures.items()
    }
    return render_page(
        Path(__file__).with_suffix(".html"),
        run=run,
        lab=run.lab,
        lesson=Markup(render_lesson(text, values, {**blocks, **missing})),
        further_figures=[block for name, block in blocks.items() if name not in placed],
        claims=[_claim_row(checked) for checked in run.claims],
        tags={tag: meaning for tag, meaning in TAGS.items() if any(c.claim.tag == tag for c in run.claims)},
        facts=_facts(run),
        code=code_spans,
        time=duration(run.seconds),
        index=INDEX,
        neighbours=neighbours(run),
    )


def _claim_row(checked: CheckedClaim) -> dict[str, Any]:
    return {
        "claim": checked.claim,
        "status": checked.status,
        "mark": {"pass": "✓", "fail": "✗", "not-run": "–"}[checked.status],
        "reason": checked.reason,
        "seeds": ", ".join(map(str, checked.seeds)),
        "findings": [
            {"what": finding.what, "ours": _ours(finding), "wanted": _wanted(finding), "ok": finding.ok}
            for finding in checked.findings
        ],
    }


def _ours(finding: Finding) -> str:
    values = finding.ours.values()
    unit = f"\u00a0{finding.unit}" if finding.unit and any(map(math.isfinite, values)) else ""
    return " · ".join(map(number, values)) + unit


def _wanted(finding: Finding) -> str:
    wanted = with_minus(finding.wanted)
    if not finding.yardstick:
        return wanted
    return f"{wanted} ({' · '.join(map(number, finding.yardstick.values()))})"


def _facts(run: LabRun) -> list[tuple[str, str]]:
    facts = [(first_capital(name), words) for name, words in run.inputs.items()]
    seeds = ", ".join(map(str, run.seeds))
    facts.append(("Budget", f"{run.budget}, {'seed' if len(run.seeds) == 1 else 'seeds'} {seeds}"))
    facts.append(("Device", " · ".join([run.device, *run.machines])))
    time = duration(run.seconds)
    if run.reused_seconds >= 1:
        earlier = duration(run.reused_seconds)
        time += f", of which {earlier} by an earlier run whose finished parts were taken over"
    facts.append(("Time", time))
    facts.append(
        (
            "Settings",
            ", ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in _settings(run).items()),
        )
    )
    facts.append(("Versions", ", ".join(f"{package} {version}" for package, version in run.versions.items())))
    command = f"mechscope run {run.lab.slug} --budget {run.budget} --seed {run.seeds[0]}"
    facts.append(("Repeat it", command))
    return facts


def _plain(value: object) -> str:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {key.replace("_", " "): entry for key, entry in vars(value).items() if entry is not None}
        return f"({', '.join(f'{key} {_plain(entry)}' for key, entry in fields.items())})"
    if isinstance(value, tuple):
        return " and ".join(entry if isinstance(entry, str) else f"{entry:g}" for entry in value)
    return str(value)


def _settings(run: LabRun) -> dict[str, Any]:
    settings = vars(run.lab.configs[run.budget])
    return {key: value for key, value in settings.items() if value is not None}
