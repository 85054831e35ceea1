"""The parts of a page about a run: its lesson with figures, and its claims as rows of a table."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from markupsafe import Markup

from mechscope.labs.claim import TAGS
from mechscope.labs.run_page import RunPage
from mechscope.pages.figures import figure_html
from mechscope.pages.formatting import code_spans, number, with_minus
from mechscope.pages.markdown import figures_placed, lesson_html

MARKS = {"pass": "✓", "fail": "✗", "not-run": "–"}


def page_parts(
    page: RunPage, *, live: str = "", numbers: Mapping[str, str | None] | None = None
) -> dict[str, Any]:
    """What templates need to show a run, by name: `lesson`, `further_figures`, `claims` and `tags`.

    Args:
        page: the run.
        live: HTML for the place of the live figure.
        numbers: figure → relative link to a file with its numbers.

    Raises:
        KeyError: if the lesson places a figure that the run does not have.
        ValueError: for a formula that cannot be read.
    """
    links = numbers or {}
    figures = {figure.name: figure_html(figure, links.get(figure.name)) for figure in page.figures}
    missing = {
        name: Markup('<p class="missing">No figure here this time: {}.</p>').format(code_spans(reason))
        for name, reason in page.missing_figures.items()
    }
    placed = figures_placed(page.lesson)
    claims = page.claims.claims
    return {
        "lesson": Markup(lesson_html(page.lesson, {**figures, **missing}, live)),
        "further_figures": [block for name, block in figures.items() if name not in placed],
        "claims": [_claim_row(claim) for claim in claims],
        "tags": {tag: TAGS[tag] for tag in TAGS if any(claim["tag"] == tag for claim in claims)},
    }


def _claim_row(claim: Mapping[str, Any]) -> dict[str, Any]:
    findings = [
        {"what": finding["what"], "ours": _ours(finding), "wanted": _wanted(finding), "ok": finding["ok"]}
        for finding in claim["findings"]
    ]
    seeds = ", ".join(map(str, claim["seeds"]))
    return {
        "how": "",
        "remark": "",
        **claim,
        "mark": MARKS[claim["status"]],
        "seeds": seeds,
        "findings": findings,
    }


def _ours(finding: Mapping[str, Any]) -> str:
    values = _numbers(finding["ours"])
    unit = f"\u00a0{finding['unit']}" if finding["unit"] and any(map(math.isfinite, values)) else ""
    return " · ".join(map(number, values)) + unit


def _wanted(finding: Mapping[str, Any]) -> str:
    wanted = with_minus(finding["wanted"])
    if not (values := _numbers(finding.get("yardstick", {}))):
        return wanted
    return f"{wanted} ({' · '.join(map(number, values))})"


def _numbers(by_seed: Mapping[str, float | None]) -> list[float]:
    # JSON has no NaN: a number that could not be measured is null.
    return [math.nan if value is None else value for value in by_seed.values()]
