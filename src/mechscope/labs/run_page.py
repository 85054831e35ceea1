"""What a page about a run shows, as plain data: the report, the step's page in the web lab and others are made from it.

A run keeps it as page.json. The file holds no HTML: the lesson is Markdown with its numbers, figures are Plotly's data,
claims are those of claims.json. So a file of unknown origin can be shown without its text becoming part of a page.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mechscope.arguments import not_of_kind, shown
from mechscope.labs.claim import TAGS
from mechscope.labs.claims_file import ClaimsFile, claims_content, parse_claims
from mechscope.labs.finished_runs import seeds_in_words
from mechscope.pages.figures import DrawnFigure, draw_figure
from mechscope.pages.formatting import duration, first_capital
from mechscope.pages.markdown import fill_lesson
from mechscope.reading import parse_json, read_text
from mechscope.storage.files import write_atomically

if TYPE_CHECKING:  # the web lab reads these files without torch
    from mechscope.labs.lab import LabRun

FORMAT = "mechscope page 1"
FILE = "page.json"
MOST_BYTES = 20_000_000
"""The largest page.json that is read; those of the six steps are a hundred times smaller."""


@dataclass(frozen=True)
class RunPage:
    """Everything that a page about one run shows."""

    step: str
    """Two digits."""
    slug: str
    """Name of the lab on the command line."""
    idea: str
    """The one idea, in a few words."""
    lesson: str
    """The lesson's Markdown with this run's numbers."""
    figures: tuple[DrawnFigure, ...]
    """In the order in which they are drawn where the lesson does not place them."""
    missing_figures: Mapping[str, str]
    """Figure that the lesson places → why there is none."""
    facts: tuple[tuple[str, str], ...]
    """What ran on what: name, words."""
    keeps_weights: bool
    """Whether the run kept trained weights."""
    claims: ClaimsFile
    """Verdicts, budget, seeds, versions, and when it was finished."""


def page_content(run: LabRun) -> dict[str, Any]:
    """The content of a run's page.json, as plain JSON values.

    Raises:
        KeyError: if the lesson asks for a value that the run did not produce.
        ValueError: as `fill_lesson`; for a figure that a page cannot show.
    """
    outcome = run.outcome
    values = outcome.lesson_values(run.seeds[0]) | {"config": run.lab.configs[run.budget]}
    return {
        "format": FORMAT,
        "idea": run.lab.idea,
        "lesson": fill_lesson(run.lab.lesson.read_text(encoding="utf-8"), values),
        "figures": [dataclasses.asdict(draw_figure(figure)) for figure in outcome.figures],
        "missing_figures": dict(outcome.missing_figures),
        "facts": [list(fact) for fact in _facts(run)],
        "keeps_weights": bool(outcome.weights),
        "claims": claims_content(run),
    }


def write_page(content: Mapping[str, Any], folder: Path) -> Path:
    """Write page.json into a run's folder."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return write_atomically(folder / FILE, text + "\n")


def read_page(path: Path) -> RunPage:
    """Read a page.json.

    Raises:
        OSError: if it cannot be read.
        ValueError: if it is damaged, too large, or of another format; says what was found.
    """
    return parse_page(parse_json(read_text(path, at_most=MOST_BYTES), str(path), fix=""), path)


def parse_page(content: Any, path: Path) -> RunPage:
    """What the content of a page.json says.

    Args:
        path: the file that it is from.

    Raises:
        ValueError: if it is not what `page_content` gave.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} does not say format {FORMAT!r}.")
    fields = cast("dict[str, Any]", content)
    _check(fields, _PAGE, f"{path}: the page")
    for number, figure in enumerate(fields["figures"]):
        _check(figure, _FIGURE, f"{path}: figure {number}")
    if not all(len(fact) == 2 for fact in fields["facts"]):
        raise ValueError(f"{path}: facts must be pairs of a name and words.")
    claims = parse_claims(fields["claims"], path)
    if strange := sorted({claim["tag"] for claim in claims.claims} - TAGS.keys()):
        raise ValueError(f"{path}: a claim has the tag {strange[0]!r}; tags are {', '.join(TAGS)}.")
    lab = fields["claims"]["lab"]
    _check(lab, {"step": str, "slug": str}, f"{path}: lab")
    try:
        figures = tuple(
            DrawnFigure(figure["name"], figure["title"], figure["caption"], figure["plot"])
            for figure in fields["figures"]
        )
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error
    return RunPage(
        step=lab["step"],
        slug=lab["slug"],
        idea=fields["idea"],
        lesson=fields["lesson"],
        figures=figures,
        missing_figures=fields["missing_figures"],
        facts=tuple((name, words) for name, words in fields["facts"]),
        keeps_weights=fields["keeps_weights"],
        claims=claims,
    )


_PAGE: dict[str, Any] = {
    "idea": str, "lesson": str, "figures": list[Any], "missing_figures": dict[str, str], "facts": list[list[str]],
    "keeps_weights": bool, "claims": dict[str, Any],
}  # fmt: skip
_FIGURE: dict[str, Any] = {"name": str, "title": str, "caption": str, "plot": dict[str, Any]}


def _check(found: object, kinds: Mapping[str, Any], what: str) -> None:
    if not isinstance(found, Mapping):
        raise ValueError(f"{what} must be an object {{…}}, not {shown(found)}.")
    for name, kind in kinds.items():
        if name not in found:
            raise ValueError(f"{what} has no {name!r}.")
        if (words := not_of_kind(found[name], kind)) is not None:
            raise ValueError(f"{what}: {name} must be {words}, not {shown(found[name])}.")


def _facts(run: LabRun) -> list[tuple[str, str]]:
    facts = [(first_capital(name), words) for name, words in run.inputs.items()]
    facts.append(("Budget", f"{run.budget}, {seeds_in_words(run.seeds)}"))
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
