"""What a lab is, and what a run of one leaves behind."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from torch import Tensor

from mechscope.labs.claim import CheckedClaim, Claim
from mechscope.pages.figures import PageFigure
from mechscope.results import Result
from mechscope.viz import render_result

if TYPE_CHECKING:
    from mechscope.runs.workspace import Workspace

Budget = Literal["quick", "full"]
BUDGETS: tuple[Budget, ...] = ("quick", "full")


@dataclass(frozen=True)
class LabFigure(PageFigure):
    """A figure with the words that go with it, and its numbers."""

    data: Mapping[str, Result] = field(default_factory=dict)
    """The numbers behind it, written beside the report."""

    @classmethod
    def of(
        cls,
        result: Result,
        caption: str,
        *,
        name: str,
        key: str = "numbers",
        data: Mapping[str, Result] | None = None,
        **options: Any,
    ) -> LabFigure:
        """The figure of a result, with its numbers beside it.

        Args:
            name: the lesson places the figure by it.
            key: what the result is called in the file of numbers beside the report.
            data: further numbers in that file.
            options: how to draw it, such as `markers` or `log_y` (see `mechscope.viz.render_result`).

        Raises:
            ValueError, TypeError: as `render_result`.
        """
        return cls(name, render_result(result, **options), caption, {key: result, **(data or {})})

    @property
    def numbers_link(self) -> str | None:
        """From the report to the file with the numbers behind the figure; None if it has none."""
        return f"figures/{quote(self.name)}.json" if self.data else None


@dataclass(frozen=True)
class Outcome:
    """What an experiment hands back to the framework."""

    measures: Mapping[int, Mapping[str, float]]
    """Seed → name → number: what the claims' conditions are checked against."""
    figures: tuple[LabFigure, ...]
    """In the order in which they are drawn where the lesson does not place them."""
    not_run: Mapping[str, str] = field(default_factory=dict)
    """Claim id (or what a claim needs) → why it could not be run."""
    missing_figures: Mapping[str, str] = field(default_factory=dict)
    """Figure that the lesson places → why there is none this time."""
    facts: Any = None
    """What the lesson quotes besides measures and settings: a frozen dataclass, whose fields the lesson's template
    reads by name and formats. No number in a lesson is typed by hand."""
    weights: Mapping[str, Tensor] = field(default_factory=dict)
    """Trained weights to keep."""
    numbers: Mapping[str, str] = field(default_factory=dict)
    """Ignored unless given, and gone in the next version: formatted numbers, which are now `facts` and filters."""

    def __post_init__(self) -> None:
        if self.numbers:
            warnings.warn(
                "Outcome(numbers=...) will go in the next version: lessons read measures and `facts` themselves and "
                "format them with filters.",
                DeprecationWarning,
                stacklevel=3,
            )

    def lesson_values(self, seed: int) -> dict[str, Any]:
        """Everything that the lesson's template can read by name: the measures of one seed and the facts.

        `measures` is the dictionary of all measures, for names that a template cannot write (`shapes_1/2`).

        Raises:
            ValueError: if a fact has the name of a measure.
        """
        measures = dict(self.measures[seed])
        facts = {} if self.facts is None else vars(self.facts)
        if both := sorted(measures.keys() & facts):
            raise ValueError(f"{both} are measures and facts at once; a lesson could not tell them apart.")
        return {"measures": measures} | measures | facts | dict(self.numbers)


@dataclass(frozen=True)
class Lab:
    """One replication: an idea, the claims that carry it, an experiment that checks them, and a lesson."""

    step: str
    """Two digits: its place in the curriculum."""
    slug: str
    """Its name on the command line."""
    title: str
    """Its name on the page."""
    idea: str
    """The one idea, in a few words."""
    claims: tuple[Claim, ...]
    """What is to be reproduced."""
    lesson: Path
    """The lesson's Markdown file."""
    configs: Mapping[Budget, Any]
    """Budget → the experiment's settings (a frozen dataclass)."""
    seeds: Mapping[Budget, int]
    """Budget → how many seeds are run, counting up from the one that is given."""
    inputs: Callable[[], dict[str, str]]
    """What the experiment would read now, by name: cheap to call, part of a run's key, fetches nothing."""
    experiment: Callable[[Workspace], Outcome]
    """Train, analyse, measure."""
    version: int | None = None
    """Ignored, and gone in the next version: changed code is now noticed by itself."""

    def __post_init__(self) -> None:
        if self.version is not None:
            warnings.warn(
                "Lab(version=...) is ignored and will go in the next version: finished parts carry a digest of the "
                "source files that computed them.",
                DeprecationWarning,
                stacklevel=3,
            )

    @property
    def folder_name(self) -> str:
        """Name of the folder that runs of this lab go to."""
        return f"{self.step}-{self.slug}"

    @property
    def remarks(self) -> dict[str, str]:
        """Known reasons why a claim fails, by claim id; only for claims with a known reason."""
        return {claim.id: claim.remark for claim in self.claims if claim.remark}


@dataclass(frozen=True)
class LabRun:
    """A finished run: where its files are, what was measured, and the verdicts."""

    lab: Lab
    """Which lab."""
    folder: Path
    """Holds report.html, page.json, claims.json, figures/ and weights.safetensors."""
    budget: Budget
    """quick or full."""
    seeds: tuple[int, ...]
    """Every seed that was run."""
    device: str
    """Device that it ran on."""
    inputs: Mapping[str, str]
    """What data and models it read, in words."""
    claims: tuple[CheckedClaim, ...]
    """The verdict on each claim."""
    outcome: Outcome
    """Measures, figures, numbers, weights."""
    seconds: float
    """Time that the work took, that of parts finished by an earlier, interrupted run included."""
    reused_seconds: float
    """How much of it such an earlier run had done."""
    versions: Mapping[str, str]
    """Package → version."""
    machines: tuple[str, ...] = ()
    """Processors and thread counts that computed it, in words."""

    @property
    def report(self) -> Path:
        """The page to open."""
        return self.folder / "report.html"

    def count(self, status: str) -> int:
        """How many claims ended as pass, fail or not-run."""
        return sum(claim.status == status for claim in self.claims)
