"""What the pages of the course ask a server for."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Annotated, Literal

from mechscope.course.live import LiveCourse
from mechscope.course.progress import ExerciseState, Progress, RecordedResult, state_of
from mechscope.course.result import CheckResult
from mechscope.course.unit import Exercise, Unit, find_exercises, find_unit
from mechscope.course.watching import is_watched
from mechscope.pages.endpoints import Endpoint, Length, Limits, Nothing, RefusedError, refused_as
from mechscope.pages.formatting import first_capital
from mechscope.settings import NonNegativeFloat, NonNegativeInt, Range, Settings

DRAWING = Limits("drawing figures of the course", at_once=1, waiting=4, seconds=150.0, body_bytes=16_384)
"""A figure may wait for a check that runs."""


@dataclass(frozen=True, kw_only=True)
class UnitName(Settings):
    """Which unit."""

    unit: Annotated[str, Length(least=1, most=4)]
    """Its id, such as 00 or P."""


@dataclass(frozen=True, kw_only=True)
class ExerciseName(Settings):
    """Which exercise."""

    exercise: Annotated[str, Length(least=1, most=80)]
    """Its id, such as 00.evidence."""


@dataclass(frozen=True, kw_only=True)
class ShownHint(Settings):
    """A hint that the learner has opened."""

    exercise: Annotated[str, Length(least=1, most=80)]
    """The id of its exercise."""
    level: Annotated[int, Range(least=1, most=4)]
    """1 for the nudge, 2 for the shapes, 3 for half of it, 4 for the solution."""


@dataclass(frozen=True, kw_only=True)
class LearnersExercise(Settings):
    """One exercise as the learner has it."""

    exercise: str
    """Its id."""
    state: Literal["passed", "skipped", "tried", "new"]
    """How far it is."""
    attempts: NonNegativeInt
    """How many checks were run on it."""
    hints: NonNegativeInt
    """How many hints were shown; 4 is the solution."""
    is_checking: bool
    """Whether a check of it runs or waits."""
    is_changed: bool
    """Whether the function differs from the one that was checked last."""
    fault: str
    """Why its check could not be run, in a sentence; empty if it could."""
    checked: NonNegativeFloat | None
    """When it was checked last, in seconds since 1970."""
    result: CheckResult | None
    """What that check found."""


@dataclass(frozen=True, kw_only=True)
class LearnersUnit(Settings):
    """One unit as the learner has it."""

    unit: str
    """Its id."""
    file: str
    """The learner's file; empty if there is no course folder yet."""
    begin: str
    """How to begin; empty once there is a course folder."""
    is_watched: bool
    """Whether `mechscope course watch` checks what is saved; otherwise the server does."""
    finished: tuple[str, ...]
    """The functions that passed as they stand in the file now."""
    exercises: tuple[LearnersExercise, ...]
    """In the order of the unit."""


@dataclass(frozen=True, kw_only=True)
class LearnersFigure(Settings):
    """The final figure of a unit, drawn with the learner's functions."""

    status: Literal["drawn", "broken", "stopped"]
    """broken: a function or the file raises an error; stopped: out of time or memory."""
    problem: str
    """What went wrong, in a sentence; empty if it was drawn."""
    diagnosis: str
    """What that usually means."""
    line: NonNegativeInt
    """The line of the learner's file; 0 if the problem is about none."""
    source: str
    """The text of that line."""
    printed: str
    """What the learner's code printed."""
    functions: str
    """Whose functions it was drawn with, in words."""
    caption: str
    """What to see in it."""
    number: str
    """The number that the unit reproduces, what it is, and whether it is as expected, in words."""
    is_reproduced: bool
    """Whether it is."""
    plot: str
    """`data` and `layout` as Plotly reads them: JSON as text."""


def course_endpoints() -> list[Endpoint]:
    """The endpoints of the course, over the learner's folder and progress."""
    pages = CoursePages(LiveCourse())
    no_unit, no_exercise = {404: "There is no such unit."}, {404: "There is no such exercise."}
    no_folder = {409: "There is no course folder yet."}
    return [
        Endpoint(
            "GET",
            "course/units/{unit}",
            "How far the learner is in a unit",
            UnitName,
            LearnersUnit,
            pages.read,
            problems=no_unit,
        ),
        Endpoint(
            "POST",
            "course/units/{unit}/look",
            "Check what was saved since the last look, and say how far the learner is",
            UnitName,
            LearnersUnit,
            pages.look,
            problems=no_unit,
        ),
        Endpoint(
            "POST",
            "course/units/{unit}/figure",
            "Draw the final figure of a unit with the learner's functions",
            UnitName,
            LearnersFigure,
            pages.draw,
            DRAWING,
            problems={404: "There is no such unit, or it has no final figure.", **no_folder},
        ),
        Endpoint(
            "POST",
            "course/exercises/{exercise}/check",
            "Check an exercise; the result is part of its unit once it is there",
            ExerciseName,
            LearnersUnit,
            pages.check,
            problems=no_exercise | no_folder,
        ),
        Endpoint(
            "POST",
            "course/exercises/{exercise}/hint",
            "Remember that the learner has opened a hint",
            ShownHint,
            LearnersUnit,
            pages.hint,
            problems=no_exercise | no_folder,
        ),
        Endpoint(
            "GET",
            "course/progress",
            "Progress as `mechscope course export` writes it",
            Nothing,
            bytes,
            export,
        ),
    ]


class CoursePages:
    """What requests see of the learner's work.

    Args:
        live: the learner's work.
    """

    def __init__(self, live: LiveCourse) -> None:
        self._live = live

    def read(self, request: UnitName) -> LearnersUnit:
        """How far the learner is in a unit."""
        return self._unit(_unit(request))

    def look(self, request: UnitName) -> LearnersUnit:
        """Check what was saved, and say how far the learner is in a unit."""
        unit = _unit(request)
        # Without a folder, the answer says how to begin.
        with suppress(FileNotFoundError):
            self._live.look(unit)
        return self._unit(unit)

    def check(self, request: ExerciseName) -> LearnersUnit:
        """Check an exercise."""
        exercise = _exercise(request)
        with refused_as(409):
            self._live.check(exercise)
        return self._unit(find_unit(exercise.unit))

    def hint(self, request: ShownHint) -> LearnersUnit:
        """Remember a hint."""
        exercise = _exercise(request)
        with refused_as(409):
            self._live.session().progress.record_hint(exercise.id, request.level)
        return self._unit(find_unit(exercise.unit))

    def draw(self, request: UnitName) -> LearnersFigure:
        """Draw a figure."""
        unit = _unit(request)
        if not unit.has_figure:
            raise RefusedError(404, f"Unit {unit.id} has no final figure.")
        with refused_as(409):
            self._live.session()
        result = self._live.draw(unit)
        return LearnersFigure(
            status=result.status,
            problem=result.problem,
            diagnosis=result.diagnosis,
            line=result.line,
            source=result.source,
            printed=result.printed,
            functions=result.functions_in_words if result.status == "drawn" else "",
            caption=result.caption,
            number=result.number_in_words if result.status == "drawn" else "",
            is_reproduced=result.is_reproduced,
            plot=json.dumps(result.plot),
        )

    def _unit(self, unit: Unit) -> LearnersUnit:
        try:
            session = self._live.session()
        except FileNotFoundError as missing:
            return LearnersUnit(
                unit=unit.id,
                file="",
                begin=first_capital(str(missing)),
                is_watched=False,
                finished=(),
                exercises=(),
            )
        # Before the results: a check that ends in between must not look as if it had found nothing new.
        checking = {exercise for exercise in unit.exercises if self._live.is_checking(exercise)}
        states, results = session.progress.states(), session.progress.results(unit.id)
        digests = session.digests(unit)
        return LearnersUnit(
            unit=unit.id,
            file=str(session.folder / unit.file_name),
            begin="",
            is_watched=is_watched(session),
            finished=tuple(sorted(session.finished(unit))),
            exercises=tuple(
                _face(
                    exercise,
                    state_of(states, exercise),
                    results.get(exercise.id),
                    is_checking=exercise in checking,
                    digest=digests.get(exercise.name, ""),
                    fault=self._live.fault(exercise),
                )
                for exercise in unit.exercises
            ),
        )


def _face(
    exercise: Exercise,
    state: ExerciseState,
    recorded: RecordedResult | None,
    *,
    is_checking: bool,
    digest: str,
    fault: str,
) -> LearnersExercise:
    return LearnersExercise(
        exercise=exercise.id,
        state=state.name,
        attempts=state.attempts,
        hints=state.hints,
        is_checking=is_checking,
        is_changed=recorded is not None and recorded.digest != digest,
        fault=fault,
        checked=None if recorded is None else recorded.at,
        result=None if recorded is None else recorded.result,
    )


def export(request: Nothing) -> bytes:
    """The learner's progress."""
    return (json.dumps(Progress().to_json(), indent=1) + "\n").encode()


def _unit(request: UnitName) -> Unit:
    with refused_as(404):
        return find_unit(request.unit)


def _exercise(request: ExerciseName | ShownHint) -> Exercise:
    with refused_as(404):
        found = find_exercises(request.exercise)
    if len(found) != 1 or found[0].id != request.exercise:
        raise RefusedError(404, f"There is no exercise {request.exercise!r}; an id looks like {found[0].id}.")
    return found[0]
