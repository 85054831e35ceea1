"""What the cells of a step's notebook call: the figures, numbers and verdicts of the run that the notebook made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from mechscope.labs.lab import Lab, LabFigure, LabRun
from mechscope.labs.page_parts import page_parts
from mechscope.labs.run_page import FILE, RunPage, page_content, parse_page, read_page
from mechscope.labs.shown_run import SHIPPED
from mechscope.near_names import did_you_mean_clause
from mechscope.pages.formatting import code_spans, with_minus
from mechscope.pages.frame import render_page
from mechscope.pages.lesson_parts import Section, split_lesson
from mechscope.pages.markdown import figures_placed
from mechscope.pages.notebook import Shown

CLAIMS_TABLE = Path(__file__).parent.parent / "pages" / "templates" / "claims_table.html"
TABLE_STYLE = ".mechscope-claims :is(td, th) { text-align: left !important; vertical-align: top; }"
"""Notebooks align the cells of tables to the right, which suits numbers only."""

LEFT_OUT = "this run had not the settings or the model that it needs (the claims below say which)"
"""Why there is no figure, where the experiment gives no reason of its own."""


class NotebookLesson:
    """A finished run, as the cells of its step's notebook show it.

    Attributes:
        run: the run.
        figures: name → figure, with its Plotly figure in `figure` and the numbers behind it in `data`.
    """

    def __init__(self, run: LabRun) -> None:
        self.run = run
        self.figures: Mapping[str, LabFigure] = {figure.name: figure for figure in run.outcome.figures}
        self._page = parse_page(page_content(run), run.folder / FILE)
        self._sections = {section.title: section for section in split_lesson(self._page.lesson)}
        shipped = shipped_page(run.lab)
        before = [] if shipped is None else split_lesson(shipped.lesson)
        self._paragraphs_before = {section.title: section.paragraphs for section in before}
        self._not_shown = list(self.figures)
        # Text that depends on what was measured may place figures that this run has not even looked for.
        placed = figures_placed(run.lab.lesson.read_text(encoding="utf-8"))
        left_out = dict.fromkeys((name for name in placed if name not in self.figures), LEFT_OUT)
        self._missing = {**left_out, **run.outcome.missing_figures}

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{self.run.count(status)} {words}"
            for status, words in (("pass", "reproduced"), ("fail", "not reproduced"), ("not-run", "not run"))
        )
        lab = self.run.lab
        return f"Step {lab.step}, {lab.title} ({self.run.budget} budget): {len(self.figures)} figures; claims: {counts}"

    def show(self, name: str, **layout: Any) -> None:
        """Show a figure of the lesson, and its caption.

        Args:
            name: as in the lesson's text.
            layout: changes for Plotly's `update_layout`, such as `height=600` or `xaxis_type="log"`.

        Raises:
            KeyError: if the lesson has no such figure, with the nearest names.
            ValueError: for a change that Plotly does not know.
        """
        if reason := self._missing.get(name):
            _display(_paragraph(f"No figure here this time: {reason}."))
            return
        if name not in self.figures:
            hint = did_you_mean_clause(name, self.figures, n=3) or f"there are: {', '.join(self.figures)}."
            raise KeyError(f"this run has no figure {name!r}; {hint}")
        figure = self.figures[name]
        # A copy, so that a change stays in its cell.
        type(figure.figure)(figure.figure).update_layout(**layout).show()
        _display(_paragraph(with_minus(figure.caption)))
        self._not_shown = [other for other in self._not_shown if other != name]

    def show_others(self) -> None:
        """Show the figures that no cell has shown, such as those of parts that only the full budget runs."""
        for name in self._not_shown:
            self.show(name)

    def section(self, title: str) -> Shown:
        """The text of a section of the lesson, with the numbers of this run.

        Raises:
            KeyError: if the lesson has no such section, with the nearest titles.
        """
        return _text(part.content for part in self._find(title).parts if part.kind == "text")

    def compare(self, title: str) -> Shown:
        """The paragraphs of a section that this run changes: other numbers, or other conclusions.

        They are compared with the run that comes with mechscope, whose numbers the text of a notebook shows.

        Raises:
            KeyError: if the lesson has no such section, with the nearest titles.
        """
        before = self._paragraphs_before.get(title, [])
        changed = [paragraph for paragraph in self._find(title).paragraphs if paragraph not in before]
        if not changed:
            return _text(["*Your run has the numbers of the text above.*"])
        return _text(["*In your run:*", *changed])

    def claims(self) -> Shown:
        """A table of the claims: the reference number, this run's number, and the verdict."""
        parts = page_parts(self._page)
        table = render_page(CLAIMS_TABLE, claims=parts["claims"], tags=parts["tags"], code=code_spans)
        plain = "\n".join(f"{checked.claim.id} {checked.status}" for checked in self.run.claims)
        return Shown(plain, html=f'<div class="mechscope-claims"><style>{TABLE_STYLE}</style>{table}</div>')

    def _find(self, title: str) -> Section:
        if title not in self._sections:
            hint = did_you_mean_clause(title, self._sections, n=3, show=repr)
            there = f"there are: {', '.join(self._sections)}."
            raise KeyError(f"the lesson has no section {title!r}; {hint or there}")
        return self._sections[title]


def shipped_page(lab: Lab, folder: Path | None = None) -> RunPage | None:
    """The run of a lab that comes with mechscope, whose numbers a notebook shows before it is run; None without one.

    Args:
        folder: where such runs are; None means in the package.

    Raises:
        ValueError: if it is damaged.
    """
    path = (SHIPPED if folder is None else folder) / f"{lab.folder_name}.json"
    return read_page(path) if path.is_file() else None


def _text(paragraphs: Iterable[str]) -> Shown:
    text = "\n\n".join(paragraphs)
    return Shown(text, markdown=text)


def _paragraph(words: str) -> Shown:
    return Shown(words, html=f"<p>{code_spans(words)}</p>")


def _display(shown: Shown) -> None:
    # Imported late: IPython is there in every notebook, and nowhere else needed.
    from IPython.display import display

    display(shown)
