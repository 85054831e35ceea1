"""What the cells of a unit's notebook show: text for a terminal, and HTML."""

from __future__ import annotations

from markupsafe import Markup

from mechscope.course.result import CheckResult
from mechscope.course.terminal import HINT_TITLES
from mechscope.course.unit import Exercise
from mechscope.pages.formatting import code_spans
from mechscope.pages.notebook import Shown

GREEN, RED, BLUE, GREY = "#2e8b57", "#c0392b", "#2f7fbd", "#8a94a3"
BOX = Markup('<div style="border-left:4px solid {};padding:4px 12px;margin:4px 0;max-width:60em">{}</div>')
LINE = Markup('<div style="margin:3px 0">{}</div>')
CODE = Markup('<pre style="margin:4px 0;white-space:pre-wrap;background:none">{}</pre>')


class Page:
    """Lines of text, each in plain form and in HTML."""

    def __init__(self) -> None:
        self.plain: list[str] = []
        self.html: list[Markup] = []

    def line(self, text: str, html: Markup | None = None) -> None:
        """Add a line; if no HTML is given, it is the text, with code between backticks."""
        self.plain.append(text)
        self.html.append(LINE.format(code_spans(text) if html is None else html))

    def strong(self, text: str) -> None:
        """Add a line that stands out."""
        self.line(text, Markup("<strong>{}</strong>").format(code_spans(text)))

    def code(self, label: str, code: str) -> None:
        """Add a line with code in it."""
        self.line(f"{label}{code}", Markup("{}<code>{}</code>").format(label, code))

    def block(self, text: str) -> None:
        """Add text that keeps its line breaks."""
        self.plain.append(text)
        self.html.append(CODE.format(text))

    def shown(self, colour: str) -> Shown:
        """The lines in a box with a coloured edge."""
        return Shown("\n".join(self.plain), html=str(BOX.format(colour, Markup("").join(self.html))))


def shown_result(
    result: CheckResult, exercise: Exercise, following: Exercise | None, end: str = "", warning: str = ""
) -> Shown:
    """What a check found, and what to do next.

    Args:
        following: the exercise to go on with after a success; None at the end of the course.
        end: what to do after the unit, if this was its last exercise.
        warning: why progress could not be kept.
    """
    page = Page()
    heading = Markup("{} <strong>{}</strong> {}")
    if result.status == "passed":
        page.line(f"✓ {exercise.id}  {exercise.title}", heading.format("✓", exercise.id, exercise.title))
        _printed(page, result)
        if end:
            page.strong(f"Unit {exercise.unit} is done.")
            page.line(end)
        if following is not None:
            page.line(f"Next: {following.id}  {following.title}")
        else:
            page.line("That was the last exercise. Well done!")
    elif result.status == "not-started":
        words = f"{exercise.title}: not begun yet. Write the function in the cell above, run it, then run this cell."
        page.line(f"· {exercise.id}  {words}", heading.format("·", exercise.id, words))
    else:
        page.line(f"✗ {exercise.id}  {exercise.title}", heading.format("✗", exercise.id, exercise.title))
        page.line(result.problem)
        if result.diagnosis:
            page.strong(result.diagnosis)
        if result.line:
            page.code(f"line {result.line} of its cell: ", result.source)
        if result.call:
            page.code("called as ", result.call)
        _printed(page, result)
        page.code("The same inputs again: ", f"check({exercise.name}, seed={result.seed})")
        page.code("Stuck? ", f"hint({exercise.name})")
    if warning:
        page.line(warning)
    return page.shown({"passed": GREEN, "not-started": GREY}.get(result.status, RED))


def _printed(page: Page, result: CheckResult) -> None:
    if result.printed.strip():
        page.line("Your code printed:")
        page.block(result.printed.rstrip())


def shown_hint(exercise: Exercise, level: int) -> Shown:
    """One hint.

    Args:
        level: 1 for the nudge, 2 for the shapes, 3 for half of it.
    """
    page = Page()
    page.strong(f"{HINT_TITLES[level - 1]} · {exercise.id}")
    text = exercise.hints[level - 1]
    if level == len(exercise.hints):
        page.block(text)
        page.code("After this only the solution is left: ", f"solution({exercise.name})")
    else:
        page.line(text)
        page.line("Ask again for the next hint.")
    return page.shown(BLUE)


def shown_solution(exercise: Exercise, solution: str) -> Shown:
    """The solution."""
    page = Page()
    page.strong(f"A solution · {exercise.id}")
    page.block(solution.rstrip())
    return page.shown(BLUE)
