"""The pages of the six steps in the web lab: what each one is about, its live figure, and how to run it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from markupsafe import Markup

from mechscope.labs.finished_runs import seeds_in_words
from mechscope.labs.ioi_circuit_page import ioi_page
from mechscope.labs.live_files import live_files
from mechscope.labs.overview import overview
from mechscope.labs.registry import LABS, LabEntry
from mechscope.labs.replications_site import HOME as REPLICATIONS
from mechscope.labs.replications_site import replications_page
from mechscope.labs.shown_run import ShownRun, choose_run
from mechscope.labs.step_job import STEP_JOB
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
    models: tuple[str, ...] = ()
    """Bundled models that it runs and that have no page of their own."""
    dictionaries: tuple[str, ...] = ()
    """Bundled dictionaries that it reads."""


LIVE: dict[str, LiveFigure] = {
    "mnist-templates": LiveFigure(
        "What does the network look for in a digit?",
        "This network has one weight per pixel and digit, and nothing else. Draw a digit, or take one from the test "
        "set. Each of the ten pictures shows what every pixel adds to one score: add up a picture, and you have the "
        "score. Try to turn a 3 into an 8 with as few pixels as you can. Then choose a pixel of the template and drag "
        "its weight: by how much does the score change, and why not at all where there is no ink?",
        ("templates_live.js", "centring.js", "linear_classifier.js"),
    ),
    "superposition": LiveFigure(
        "How many features fit into a plane?",
        "This network has two hidden dimensions and must remember more features than that. It trains in this page "
        "while you watch. Each arrow is the direction of one feature. Make the features rarer, and predict first: "
        "when do five of them form a pentagon, and when are only two kept?",
        ("superposition_live.js", "pentagon.js", "toy_model.js"),
    ),
    "grokking": LiveFigure(
        "What grows while the loss stands still?",
        "A small network learns to add modulo 113 from a third of all pairs. Here it is at the end of its training: "
        "drag the slider back to the beginning, and then forward. First it learns its training pairs by heart. For "
        "thousands of epochs nothing seems to happen, but watch the waves in its embedding, and the line through the "
        "numbers: when does it become a circle? Only then does the loss on unseen pairs fall. Below, see how the "
        "finished network answers: choose two numbers, and predict where the cosines agree.",
        ("grokking_live.js", "training_scrubber.js", "cosine_sum.js"),
        models=("grokking-p113",),
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
    "sae": LiveFigure(
        "Which features does a text have?",
        "A dictionary writes the neurons of a small language model as a sum of 512 features, 16 of them at a time. "
        "Choose a token of your text and one of its features, and say what it means before you read what it promotes. "
        "Then steer: add the feature at every token, and watch the next token and the text that follows. The first "
        "feature is on after words such as “should”: what will the model write if it is on everywhere? If you have "
        "understood a feature, you can predict that; with a negative amount, expect the opposite.",
        ("sae_live.js", "feature_page.js"),
        dictionaries=("mini-gelu-1l-neurons",),
    ),
}
"""Step's name → its live figure."""


def site_pages() -> SiteRoom:
    """The list of steps, one page per step, all claims on one page, and the circuit that step 04 studies."""
    pages = [SitePage("steps/", "Steps", TEMPLATES / "steps.html", _steps, "Steps")]
    modules: list[Path] = []
    files: dict[str, Path] = {}
    for place, entry in enumerate(LABS):
        live = LIVE.get(entry.slug)
        scripts = [] if live is None else [_folder(entry) / name for name in live.modules]
        modules += scripts
        if live:
            files |= live_files(entry.slug, _folder(entry), live.models, live.dictionaries)
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
            links_terms=True,
        )
        pages.append(page)
    pages += [ioi_page(), replications_page()]
    reports = {report_path(entry): partial(own_report, entry) for entry in LABS}
    styles = [HERE / "live.css", HERE / "replications.css"]
    notebooks = {notebook_path(entry): partial(_notebook, entry) for entry in LABS}
    home = [REPLICATIONS]
    return SiteRoom(pages, modules, styles, files, notebooks, home=home, jobs=[STEP_JOB], run_files=reports)


def notebook_path(entry: LabEntry) -> str:
    """Where the site has a step's notebook."""
    return f"steps/{entry.folder_name}/{entry.folder_name}.ipynb"


def report_path(entry: LabEntry) -> str:
    """Where a server has the report of the run that a step's page shows."""
    return f"steps/{entry.folder_name}/report.html"


def own_report(entry: LabEntry, runs: Path) -> Path | None:
    """The report of the reader's run that the step's page shows; None if it shows none of theirs."""
    run = choose_run(runs, entry).run
    return None if run is None else run.report


def _notebook(entry: LabEntry) -> bytes:
    # Imported late, because a lab imports torch, and the pages do without.
    from mechscope.labs.notebooks import lab_notebook
    from mechscope.labs.registry import find_lab

    return lab_notebook(find_lab(entry.slug)).encode()


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
        "notebook": context.file(notebook_path(entry)),
        "report": _report(entry, run, context),
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


def _report(entry: LabEntry, run: ShownRun | None, context: PageContext) -> str:
    """The link to the report of the reader's run; empty if there is none, or no server to send it."""
    there = context.is_served and run is not None and run.report is not None
    return context.file(report_path(entry)) if there else ""


def _when(run: ShownRun) -> str:
    finished = run.page.claims.finished
    if finished is None:
        return ""
    # The reader's own in the reader's time; of ours, the day is enough.
    return time_in_words(finished) if run.is_own else day_in_words(finished)
