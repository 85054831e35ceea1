"""The learner's folder, progress and the runner of checks together: what every face of the course works with."""

from __future__ import annotations

import ast
import hashlib
import random
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path

from mechscope.course.learner_file import LearnerError, function_node, parse
from mechscope.course.learner_folder import is_course_folder
from mechscope.course.progress import ExerciseState, Progress, state_of
from mechscope.course.result import CheckResult, FigureResult
from mechscope.course.runner import CheckRunner
from mechscope.course.static_check import result_without_running
from mechscope.course.unit import Exercise, Unit, find_exercises, find_unit

LARGEST_SEED = 10_000
"""Seeds are drawn below this, so that they are short enough to type."""
FOLDER = "folder"
"""The setting that remembers the learner's folder."""


class CourseSession:
    """One learner's work.

    Args:
        folder: the learner's folder.
        progress: where progress is kept.
    """

    def __init__(self, folder: Path, progress: Progress) -> None:
        self.folder = folder
        self.progress = progress

    @classmethod
    def find(cls, folder: Path | None = None, progress: Progress | None = None) -> CourseSession:
        """The session of a folder.

        Args:
            folder: the learner's folder; None means this folder if it is one, or else the one that was started last.
            progress: where progress is kept; None means the usual place.

        Raises:
            FileNotFoundError: if there is no such folder yet; says how to begin.
        """
        progress = Progress() if progress is None else progress
        begin = "`mechscope course start DIR` makes one."
        if folder is not None:
            if not is_course_folder(folder):
                raise FileNotFoundError(f"{folder} is not a course folder. {begin}")
            return cls(folder, progress)
        if is_course_folder(Path.cwd()):
            return cls(Path.cwd(), progress)
        remembered = progress.get(FOLDER)
        if remembered and is_course_folder(Path(remembered)):
            return cls(Path(remembered), progress)
        if remembered:
            raise FileNotFoundError(
                f"the course folder was {remembered}, and is not there any more. If you moved it, name its new "
                f"place with --folder; otherwise {begin}"
            )
        raise FileNotFoundError(f"there is no course folder yet. {begin}")

    @cached_property
    def runner(self) -> CheckRunner:
        """Runs checks; made when the first one is due."""
        return CheckRunner()

    def path(self, exercise: Exercise) -> Path:
        """The file in which the learner writes the exercise."""
        return self.folder / find_unit(exercise.unit).file_name

    def check(self, exercise: Exercise, seed: int | None = None) -> CheckResult:
        """Check an exercise and keep the outcome.

        Args:
            seed: decides the check's inputs; None draws one.
        """
        states = self.progress.states()
        unit = find_unit(exercise.unit)
        passed = {other.name for other in unit.exercises if state_of(states, other).passed}
        seed = random.randrange(LARGEST_SEED) if seed is None else seed
        result = result_without_running(exercise, self.path(exercise), seed)
        if result is None:
            result = self.runner.run(exercise, self.path(exercise), passed, seed)
        if result.status != "not-started":
            self.progress.record(result, self.digest(exercise))
        return result

    def draw(self, unit: Unit) -> FigureResult:
        """Draw the unit's final figure with the functions that have passed as they stand in the file now."""
        return self.runner.draw(unit, self.folder / unit.file_name, self.finished(unit))

    def is_finished(self, exercise: Exercise, states: dict[str, ExerciseState] | None = None) -> bool:
        """Whether it passed as it stands in the file now, so that a check would say nothing new."""
        state = state_of(self.progress.states() if states is None else states, exercise)
        return state.passed and state.digest == self.digest(exercise)

    def digest(self, exercise: Exercise) -> str:
        """A digest of the learner's function that comments and layout do not change; empty if it cannot be read."""
        return self.digests(find_unit(exercise.unit)).get(exercise.name, "")

    def digests(self, unit: Unit) -> dict[str, str]:
        """Function → digest, for the exercises that the learner's file of a unit has; none if it cannot be read."""
        try:
            tree = parse(self.folder / unit.file_name)
        except LearnerError:
            return {}
        nodes = {each.name: function_node(tree, each.name) for each in unit.exercises}
        return {
            name: hashlib.sha256(ast.dump(node).encode()).hexdigest()[:16]
            for name, node in nodes.items()
            if node is not None
        }

    def finished(self, unit: Unit) -> set[str]:
        """The functions of a unit that passed as they stand in the file now.

        If the file cannot be read, those that ever passed: whoever runs it learns what is wrong with it.
        """
        states, digests = self.progress.states(), self.digests(unit)
        return {
            exercise.name
            for exercise in unit.exercises
            if (state := state_of(states, exercise)).passed
            and (not digests or state.digest == digests.get(exercise.name))
        }

    def next_exercise(self, after: Exercise | None = None) -> Exercise | None:
        """As the function `next_exercise`, with this learner's progress.

        Args:
            after: the exercise that the learner works on; None means the one that was checked last.
        """
        return next_exercise(self.progress.states(), after or last_exercise(self.progress))


def last_exercise(progress: Progress) -> Exercise | None:
    """The exercise that was checked last, or for which a hint was shown; None before the first."""
    latest = progress.latest()
    return next((each for each in find_exercises("all") if each.id == latest), None)


def next_exercise(states: Mapping[str, ExerciseState], after: Exercise | None = None) -> Exercise | None:
    """The first exercise that is neither passed nor skipped; None at the end of the course.

    Args:
        states: as `Progress.states`.
        after: the exercise that the learner works on: what follows it in its unit goes first, then the rest of the
            unit, then the units after it, and last those before it, so that learners may begin with any unit.
    """
    candidates = list(find_exercises("all"))
    if after is not None:
        unit = find_unit(after.unit).exercises
        place, rest = unit.index(after), candidates.index(unit[-1]) + 1
        candidates = [*unit[place:], *unit[:place], *candidates[rest:], *candidates[:rest]]
    return next((each for each in candidates if not state_of(states, each).is_done), None)
