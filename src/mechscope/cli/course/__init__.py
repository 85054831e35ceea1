"""`mechscope course`: one function per command."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import attach_modules

__getattr__ = attach_modules(__name__, __file__)

if TYPE_CHECKING:
    from mechscope.cli.course.commands import Course


def course(command: Course) -> int:
    """Run a command under `mechscope course` and return its exit code."""
    from mechscope.cli.course import actions
    from mechscope.cli.course.commands import (
        Check,
        Export,
        Figure,
        Hint,
        Import,
        Lesson,
        Lint,
        List,
        Mystery,
        Reset,
        Skip,
        Solution,
        Start,
        Watch,
    )

    match command.command:
        case Start() as start:
            return actions.start(start)
        case Watch() as watch:
            return actions.watch(watch)
        case Check() as check:
            return actions.check(check)
        case Hint() as hint:
            return actions.hint(hint)
        case Solution() as solution:
            return actions.solution(solution)
        case Lesson() as lesson:
            return actions.lesson(lesson)
        case Figure() as figure:
            from mechscope.cli.course.figure import run_figure

            return run_figure(figure)
        case List() as listing:
            return actions.list_exercises(listing)
        case Skip() as skip:
            return actions.skip(skip)
        case Reset() as reset:
            return actions.reset(reset)
        case Export() as export:
            return actions.export(export)
        case Import() as importing:
            return actions.import_progress(importing)
        case Mystery() as mystery:
            from mechscope.cli.course.mystery import run_mystery

            return run_mystery(mystery)
        case Lint() as lint:
            from mechscope.cli.course.lint import run_lint

            return run_lint(lint)
        case status:
            return actions.status(status)
