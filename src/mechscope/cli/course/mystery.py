"""`mechscope course mystery`: a file for a mystery model, and its grades."""

from __future__ import annotations

import random
from pathlib import Path

from rich.console import Console
from rich.text import Text

from mechscope.cli.console import Terminal
from mechscope.cli.course.commands import Mystery
from mechscope.cli.errors import UserError, user_errors
from mechscope.course.learner_file import LearnerError
from mechscope.course.mystery_file import PARTS, PartResult, file_name, grade_file, write_starter
from mechscope.course.session import LARGEST_SEED, CourseSession

MARKS = {"passed": ("✓ ", "bold green"), "not-started": ("· ", "yellow")}


def run_mystery(command: Mystery) -> int:
    """Write the file of a mystery if there is none yet, or grade it."""
    console = Terminal()
    seed = random.randrange(LARGEST_SEED) if command.seed is None else command.seed
    if seed < 0:
        raise UserError(f"the seed of a mystery must not be negative, and {seed} is.")
    folder = command.folder or _folder()
    path = folder / file_name(seed)
    if not path.exists():
        with user_errors():
            write_starter(folder, seed)
        console.print(f"Written: {path}", soft_wrap=True)
        console.print(
            f"Write what you find out into its four functions; `mechscope course mystery {seed}` grades them."
        )
        return 0
    console.print(f"[dim]Grading {path}; Ctrl-C ends.[/dim]", soft_wrap=True)
    try:
        results = grade_file(path, seed)
    except LearnerError as error:
        line = f" (line {error.line}: {error.source})" if error.line else ""
        raise UserError(f"{error.problem}{line} {error.diagnosis}".strip()) from error
    for result in results:
        _show(console, result)
    if all(result.status == "passed" for result in results):
        console.print(
            f"[bold green]Mystery {seed} is solved.[/bold green] `mechscope course mystery` draws another one."
        )
        return 0
    return 1


def _show(console: Console, result: PartResult) -> None:
    mark = MARKS.get(result.status, ("✗ ", "bold red"))
    console.print(Text.assemble(mark, (result.part, "bold"), f"  {PARTS[result.part]}"))
    console.print(Text(f"  {result.words}"))
    if result.line:
        console.print(Text.assemble((f"  line {result.line}: ", "dim"), result.source))


def _folder() -> Path:
    try:
        return CourseSession.find().folder
    except FileNotFoundError:
        return Path.cwd()
