"""What the cells of a step's notebook call: the figures, numbers and verdicts of the run that the notebook made."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.labs.lab import LabFigure, LabRun
from mechscope.labs.report import claim_row
from mechscope.labs.shown_run import ShownRun, shown_run
from mechscope.near_names import did_you_mean_clause
from mechscope.pages.formatting import code_spans, with_minus
from mechscope.pages.frame import render_page
from mechscope.pages.lesson_parts import Section, split_lesson
from mechscope.pages.text_template import fill_text


@dataclass(frozen=True)
class Shown:
    """Something that a notebook displays when it is the last line of a cell."""

    plain: str
    """What a terminal shows."""
    markdown: str = ""
    """What a notebook shows: Markdown …"""
    html: str = ""
    """… or HTML."""

    def _repr_mimebundle_(self, **options: object) -> dict[str, str]:
        kinds = {"text/plain": self.plain, "text/markdown": self.markdown, "text/html": self.html}
        return {kind: content for kind, content in kinds.items() if content}


class NotebookLesson:
    """A finished run, as the cells of its step's notebook show it.

    Attributes:
        run: the run.
        figures: name → figure, with its Plotly figure in `figure` and the numbers behind it in `data`.
    """

    def __init__(self, run: LabRun) -> None:
        self.run = run
        self.figures: Mapping[str, LabFigure] = {figure.name: figure for figure in run.outcome.figures}
        text = run.lab.lesson.read_text(encoding="utf-8")
        values = run.outcome.lesson_values(run.seeds[0]) | {"config": run.lab.configs[run.budget]}
        self._sections = {section.title: section for section in split_lesson(fill_text(text, values))}
        self._shown = shown_run(run.lab)

    def __repr__(self) -> str:
        counts = ", ".join(
            f"{self.run.count(status)} {words}"
            for status, words in (("pass", "reproduced"), ("fail", "not reproduced"), ("not-run", "not run"))
        )
        return f"Step {self.run.lab.step}, {self.run.budget} budget: {len(self.figures)} figures; claims: {counts}"

    def show(self, name: str, **layout: Any) -> None:
        """Show a figure of the lesson, and its caption.

        Args:
            name: as in the lesson's text.
            layout: changes for Plotly's `update_layout`, such as `height=600` or `xaxis_type="log"`.

        Raises:
            KeyError: if the lesson has no such figure, with the nearest names.
            ValueError: for a change that Plotly does not know.
        """
        if name in self.run.outcome.missing_figures:
            reason = self.run.outcome.missing_figures[name]
            _display(_paragraph(f"No figure here this time: {reason}."))
            return
        if name not in self.figures:
            hint = did_you_mean_clause(name, self.figures, n=3) or f"there are: {', '.join(self.figures)}."
            raise KeyError(f"this run has no figure {name!r}; {hint}")
        figure = self.figures[name]
        # A copy, so that a change stays in its cell.
        type(figure.figure)(figure.figure).update_layout(**layout).show()
        _display(_paragraph(with_minus(figure.caption)))

    def section(self, title: str) -> Shown:
        """The text of a section of the lesson, with the numbers of this run.

        Raises:
            KeyError: if the lesson has no such section, with the nearest titles.
        """
        return _text(part.content for part in self._find(title).parts if part.kind == "text")

    def compare(self, title: str) -> Shown:
        """The paragraphs of a section that this run changes: other numbers, or other conclusions.

        Raises:
            KeyError: if the lesson has no such section, with the nearest titles.
        """
        section = self._find(title)
        known = (
            {}
            if self._shown is None
            else {s.title: s for s in shown_sections(self.run.lab.lesson, self._shown)}
        )
        before = known[title].paragraphs if title in known else []
        changed = [paragraph for paragraph in section.paragraphs if paragraph not in before]
        if not changed:
            return _text(["*Your run has the same numbers as the text above.*"])
        return _text(["*In your run:*", *changed])

    def claims(self) -> Shown:
        """A table of the claims: the reference number, this run's number, and the verdict."""
        page = render_page(
            Path(__file__).with_name("notebook_claims.html"),
            rows=[claim_row(checked) for checked in self.run.claims],
            code=code_spans,
        )
        plain = "\n".join(f"{checked.claim.id} {checked.status}" for checked in self.run.claims)
        return Shown(plain, html=page)

    def _find(self, title: str) -> Section:
        if title not in self._sections:
            hint = did_you_mean_clause(title, self._sections, n=3, show=repr)
            there = f"there are: {', '.join(self._sections)}."
            raise KeyError(f"the lesson has no section {title!r}; {hint or there}")
        return self._sections[title]


def shown_sections(lesson: Path, shown: ShownRun) -> list[Section]:
    """The sections of a lesson, filled with the numbers that are shown before a notebook is run."""
    return split_lesson(fill_text(lesson.read_text(encoding="utf-8"), shown.values))


def _text(paragraphs: Iterable[str]) -> Shown:
    text = "\n\n".join(paragraphs)
    return Shown(text, markdown=text)


def _paragraph(words: str) -> Shown:
    return Shown(words, html=f"<p>{code_spans(words)}</p>")


def _display(shown: Shown) -> None:
    # Imported late: IPython is there in every notebook, and nowhere else needed.
    from IPython.display import display

    display(shown)
