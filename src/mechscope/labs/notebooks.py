"""A step as a Jupyter notebook, from the same lesson as its page: text, code, and this run's figures and verdicts."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator
from typing import Any

from mechscope.arguments import is_whole_number
from mechscope.labs.finished_runs import seeds_in_words
from mechscope.labs.lab import BUDGETS, Budget, Lab
from mechscope.labs.notebook_lesson import shipped_page
from mechscope.labs.run_page import RunPage
from mechscope.pages.lesson_parts import INTRODUCTION, Part, Section, split_lesson
from mechscope.pages.notebook import INSTALL, Cell, notebook_json
from mechscope.results import versions

SET_UP = """\
import dataclasses
import os

# Threads that wait should leave the processor to others. It has to be said before torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import torch
from IPython.display import clear_output

import mechscope as ms
from mechscope.labs import NotebookLesson, find_lab, run_lab
from mechscope.viz import use_in_notebooks

use_in_notebooks()  # figures are saved as data, without a copy of Plotly\
"""
SETTINGS = """\
BUDGET = "{budget}"  # {other}
SEED = 0
RUNS = "runs"  # a folder beside this notebook; `mechscope run` uses the same
THREADS = None  # a number leaves processor cores to other programs\
"""
CONFIG = """\
if THREADS is not None:
    torch.set_num_threads(THREADS)
torch.manual_seed(SEED)
lab = find_lab("{slug}")
config = lab.configs[BUDGET]
# To change a setting, remove the # from the next line:
# config = dataclasses.replace(config, {change})
config\
"""
BUDGET_WORDS = {
    "quick": 'or "full", which takes longer: several seeds, and larger models in some steps',
    "full": 'or "quick", which takes a minute or a few',
}
RUN = """\
run = run_lab(lab.with_config(BUDGET, config), BUDGET, SEED, RUNS, progress=True)
clear_output()  # a saved notebook need not keep every state of the progress bars
lesson = NotebookLesson(run)
lesson\
"""
ABOUT_RUN = """\
## Run the experiment

The next cell does all the work of this step: it trains, analyses and measures. With the quick budget it takes a few
minutes at most; read on while it runs. Finished parts are kept in the folder `runs` beside this notebook. If you stop
the cell, or run the notebook again tomorrow, it continues from them. Changed settings never use parts made with others.

The function that does it is `lab.experiment`; `lab.experiment??` shows its code.\
"""
ABOUT_FIGURES = """\
The cells below show the figures of this run. `lesson.show("{figure}", height=600)` changes how one is drawn: any
option of Plotly's `update_layout` will do. The numbers behind it, with named axes, are in
`lesson.figures["{figure}"].data`.\
"""
GO_ON = """\
## Go on from here

Change a setting at the top, and run all cells again: which claims still hold? What this run trained is in
`run.outcome.weights`, and in a file beside its report:\
"""
WEIGHTS = """\
print(run.report)
for name, tensor in run.outcome.weights.items():
    print(name, tuple(tensor.shape))\
"""


def lab_notebook(lab: Lab, budget: Budget = "quick") -> str:
    """A step as the text of an .ipynb file that has not been run.

    Args:
        budget: what its settings cell says at first.

    Raises:
        ValueError: for an unknown budget, or a lesson whose code blocks are damaged.
    """
    if budget not in BUDGETS:
        raise ValueError(f"budget is one of {', '.join(BUDGETS)}, not {budget!r}.")
    cells = list(_cells(lab, budget, shipped_page(lab)))
    version = versions(("mechscope",)).get("mechscope", "")
    return notebook_json(cells, {"step": lab.step, "version": version})


def _cells(lab: Lab, budget: Budget, shown: RunPage | None) -> Iterator[Cell]:
    source = split_lesson(lab.lesson.read_text(encoding="utf-8"))
    filled = {} if shown is None else {section.title: section for section in split_lesson(shown.lesson)}
    yield Cell("markdown", "title", _title(lab, shown))
    yield Cell("code", "install", INSTALL)
    yield Cell("code", "set-up", SET_UP)
    settings = SETTINGS.format(budget=budget, other=BUDGET_WORDS[budget])
    yield Cell("code", "settings", settings, ("parameters",))
    change = example_change(lab.configs[budget])
    yield Cell("code", "config", CONFIG.format(slug=lab.slug, change=change))
    yield Cell("markdown", "about-run", ABOUT_RUN)
    yield Cell("code", "run", RUN)
    figures = [part.content for section in source for part in section.parts if part.kind == "figure"]
    if figures:
        yield Cell("markdown", "about-figures", ABOUT_FIGURES.format(figure=figures[0]))
    with_numbers = {section.title for section in source if any(part.is_template for part in section.parts)}
    for section in source:
        known = filled.get(section.title)
        if section.title not in with_numbers:
            yield from _section(section)
        elif known is None or _code(known) != _code(section):
            # Without a run to show, or where the lesson has changed since it was made.
            yield from _unfilled(section)
        else:
            yield from _section(known)
            yield Cell("code", f"{_slug(section.title)}-compare", f"lesson.compare({_quoted(section.title)})")
    yield Cell("code", "other-figures", "lesson.show_others()  # those that the text does not mention")
    yield Cell("markdown", "about-claims", "## Claim by claim")
    yield Cell("code", "claims", "lesson.claims()")
    yield Cell("markdown", "go-on", GO_ON)
    yield Cell("code", "weights", WEIGHTS)


def _code(section: Section) -> list[str]:
    return [part.content for part in section.parts if part.kind == "code"]


def _title(lab: Lab, shown: RunPage | None) -> str:
    title = f"# Step {lab.step}: {lab.title}\n\n*{lab.idea}*\n\n"
    title += "Run the cells from top to bottom. Once mechscope is installed, nothing is fetched from the network.\n\n"
    if shown is None:
        return title + "The numbers of the lesson appear once the experiment has been run."
    return title + (
        f"The numbers in the text were measured by a run that comes with mechscope ({shown.claims.budget} budget, "
        f"{seeds_in_words(shown.claims.seeds)}). Yours may differ. At the end of each section, a cell repeats the "
        "paragraphs that your run changes."
    )


def _section(section: Section) -> Iterator[Cell]:
    """The cells of a section whose text is complete."""
    name = _slug(section.title)
    heading = "" if section.title == INTRODUCTION else f"## {section.title}"
    for number, part in enumerate(section.parts, start=1):
        if part.kind == "text":
            yield Cell("markdown", f"{name}-{number}", "\n\n".join(filter(None, (heading, part.content))))
            heading = ""
            continue
        if heading:
            yield Cell("markdown", name, heading)
            heading = ""
        yield from _code_or_figure(part, f"{name}-{number}")


def _unfilled(section: Section) -> Iterator[Cell]:
    """The cells of a section whose numbers are known only once the experiment has been run."""
    name = _slug(section.title)
    if section.title != INTRODUCTION:
        yield Cell("markdown", name, f"## {section.title}")
    yield Cell("code", f"{name}-text", f"lesson.section({_quoted(section.title)})")
    for number, part in enumerate(section.parts, start=1):
        yield from _code_or_figure(part, f"{name}-{number}")


def _code_or_figure(part: Part, id_: str) -> Iterator[Cell]:
    if part.kind == "code":
        yield Cell("code", id_, part.content)
    elif part.kind == "figure":
        yield Cell("code", f"figure-{part.content}", f"lesson.show({_quoted(part.content)})")


def example_change(config: Any) -> str:
    """A change of one setting to its own value, as arguments of `dataclasses.replace`: a whole number if there is one.

    Raises:
        ValueError: if the settings have no fields.
    """
    fields = {field.name: getattr(config, field.name) for field in dataclasses.fields(config)}
    for name, value in fields.items():
        if is_whole_number(value) and value > 1:
            return f"{name}={value!r}"
    for name, value in fields.items():
        if dataclasses.is_dataclass(value):
            return f"{name}=dataclasses.replace(config.{name}, {example_change(value)})"
    for name, value in fields.items():
        return f"{name}={value!r}"
    raise ValueError(f"{type(config).__name__} has no settings to change.")


def _slug(title: str) -> str:
    """A title as part of a cell's id.

    >>> _slug("Is it a phase change?")
    'is-it-a-phase-change'
    """
    return re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].strip("-")


def _quoted(text: str) -> str:
    # Double quotes, as in all of our code; repr would choose single ones.
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
