"""The page of all replications in the web lab: every claim of every step, with what was published and what came out."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.labs.registry import LABS, LabEntry
from mechscope.labs.shown_run import ShownRun, choose_run
from mechscope.pages.formatting import code_spans
from mechscope.pages.site import HomeEntry, PageContext, SitePage

TEMPLATE = Path(__file__).parent / "site_templates" / "replications.html"
SUMMARY = "Every published number beside the one that came out here, and whether the claim held."
HOME = HomeEntry("Replications", SUMMARY, "replications/")


@dataclass(frozen=True)
class _Step:
    entry: LabEntry
    run: ShownRun | None

    @property
    def claims(self) -> list[Mapping[str, Any]]:
        """Rows of the table; none without a run."""
        return [] if self.run is None else self.run.parts["claims"]

    def count(self, status: str) -> int:
        """How many of its claims ended as pass, fail or not-run."""
        return 0 if self.run is None else self.run.page.claims.count(status)


def replications_page() -> SitePage:
    """The page, with the same run of each step as the step's own page shows."""
    return SitePage(
        "replications/",
        "Replications",
        TEMPLATE,
        _content,
        "Replications",
        scripts=("tables_page.js",),
        summary=SUMMARY,
    )


def _content(context: PageContext) -> Mapping[str, Any]:
    steps = [_Step(entry, choose_run(context.runs, entry).run) for entry in LABS]
    return {"steps": steps, "code": code_spans}
