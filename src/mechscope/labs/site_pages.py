"""The pages of the six steps in the web lab: what each one is about, its live figure, and how to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mechscope.labs.finished_runs import seeds_in_words
from mechscope.labs.overview import overview
from mechscope.labs.registry import LABS, LabEntry
from mechscope.labs.shown_run import ShownRun, choose_run
from mechscope.pages.formatting import code_spans, day_in_words, duration, time_in_words
from mechscope.pages.site import PageContext, SitePage, SiteRoom

HERE = Path(__file__).parent
TEMPLATES = HERE / "site_templates"
JOB_PANEL = "job_panel.js"
"""The web lab's module that runs the experiment of a step (`[data-job]`)."""
LIVE_PLACE = Markup("<!--live-->")
"""Where the lesson's template puts the live figure. No text of a lesson can look like it: text is escaped."""


@dataclass(frozen=True)
class LiveFigure:
    """A figure that computes in the page."""

    question: str
    """What the reader can find out with it: its heading."""
    words: str
    """What to do, and what to expect."""
    modules: tuple[str, ...]
    """Its ES modules, in the folder of the lab; the first one starts it."""


LIVE: dict[str, LiveFigure] = {
    "superposition": LiveFigure(
        "How many features fit into a plane?",
        "This network has two hidden dimensions and must remember more features than that. It trains in this page "
        "while you watch. Each arrow is the direction of one feature. Make the features rarer, and predict first: "
        "when do five of them form a pentagon, and when are only two kept?",
        ("superposition_live.js", "pentagon.js", "toy_model.js"),
    ),
    "induction": LiveFigure(
        "Which head looks back at the first copy?",
        "A small language model reads your text twice. On the second copy it could know every token, if it looked "
        "back at what came after the same token before. Words that do not exist make it plain: nothing else could "
        "help. Look for a head whose attention has a diagonal stripe from the second copy back to the first, switch "
        "it off, and watch the loss on the second copy. Then find the head in layer 0 that it depends on.",
        ("induction_live.js",),
    ),
    "ioi": LiveFigure(
        "Who was given something?",
        "Two people, one of them named twice: who is the sentence about to name? Choose the names, and take the "
        "model apart. Which head writes the answer? What happens without it? The last map compares two stories that "
        "differ in the second mention only.",
        ("ioi_live.js",),
    ),
}
"""Step's name → its live figure."""


def site_pages() -> SiteRoom:
    """The list of steps and one page per step."""
    pages = [SitePage("steps/", "Steps", TEMPLATES / "steps.html", _steps, "Steps")]
    modules: list[Path] = []
    for place, entry in enumerate(LABS):
        live = LIVE.get(entry.slug)
        scripts = [] if live is None else [_folder(entry) / name for name in live.modules]
        modules += scripts
        page = SitePage(
            route=f"steps/{entry.folder_name}/",
            title=f"Step {entry.step}",
            template=TEMPLATES / "step.html",
            content=partial(
                step_content,
                entry,
                live,
                LABS[place - 1] if place else None,
                LABS[place + 1] if place + 1 < len(LABS) else None,
            ),
            scripts=(*(path.name for path in scripts[:1]), JOB_PANEL),
            has_figures=True,
        )
        pages.append(page)
    return SiteRoom(pages, modules, [HERE / "live.css"])


def _folder(entry: LabEntry) -> Path:
    return HERE / entry.package.rpartition(".")[2]


def _steps(context: PageContext) -> Mapping[str, Any]:
    return {"steps": overview(context.runs), "time_in_words": time_in_words}


def step_content(
    entry: LabEntry,
    live: LiveFigure | None,
    before: LabEntry | None,
    after: LabEntry | None,
    context: PageContext,
) -> Mapping[str, Any]:
    """The variables of step.html.

    Args:
        entry: the step.
        live: its live figure, if it has one.
        before: the step before it.
        after: the step after it.
        context: the site around the page.
    """
    choice = choose_run(context.runs, entry, live=LIVE_PLACE)
    run = choice.run
    lesson, _, rest = ("", "", "") if run is None else run.parts["lesson"].partition(LIVE_PLACE)
    return {
        "step": entry,
        "live": live,
        "problems": choice.problems,
        "shown": run,
        "lesson": lesson,
        "rest_of_lesson": rest,
        "code": code_spans,
        "time": "" if run is None else duration(run.page.claims.seconds),
        "when": "" if run is None else _when(run),
        "seeds": "" if run is None else seeds_in_words(run.page.claims.seeds),
        "before": before,
        "after": after,
    }


def _when(run: ShownRun) -> str:
    finished = run.page.claims.finished
    if finished is None:
        return ""
    # The reader's own in the reader's time; of ours, the day is enough.
    return time_in_words(finished) if run.is_own else day_in_words(finished)
