"""The course while the web lab is served: check what the learner saves, one exercise at a time."""

from __future__ import annotations

import logging
import threading
from collections import deque

from mechscope.course.result import FigureResult
from mechscope.course.session import CourseSession
from mechscope.course.unit import Exercise, Unit, all_units
from mechscope.course.watching import SavedExercises, is_watched

log = logging.getLogger(__name__)

Stamp = tuple[int, int] | None
"""When a file was written, and its size; None if it is missing."""


class LiveCourse:
    """The learner's work as pages see it. Its methods may be called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._session: CourseSession | None = None
        self._saved: SavedExercises | None = None
        self._stamps: dict[str, Stamp] = {}
        self._waiting: deque[Exercise] = deque()
        self._running: Exercise | None = None
        self._faults: dict[str, str] = {}

    def session(self) -> CourseSession:
        """The session of the folder that was started last.

        Raises:
            FileNotFoundError: if there is none; says how to begin.
        """
        found = CourseSession.find()
        with self._lock:
            known = self._session
            if known is None or (known.folder, known.progress.path) != (found.folder, found.progress.path):
                self._session, self._stamps = found, {}
                self._saved = SavedExercises(found, all_units())
                self._waiting.clear()
                return found
            return known

    def look(self, unit: Unit) -> None:
        """Check what was saved since the last look, unless `mechscope course watch` does."""
        session = self.session()
        path = session.folder / unit.file_name
        with self._lock:
            before, now = self._stamps.get(unit.id, _NEVER), _stamp(session, unit)
            self._stamps[unit.id] = now
            if before in (now, _NEVER) or now is None or self._saved is None:
                return
            changed = self._saved.changed(path)
        if not is_watched(session):
            for exercise in changed:
                self.check(exercise)

    def check(self, exercise: Exercise) -> None:
        """Check an exercise as soon as those before it are done."""
        self.session()
        with self._lock:
            if exercise in self._waiting:
                return
            self._faults.pop(exercise.id, None)
            self._waiting.append(exercise)
            if self._running is None:
                self._running = self._waiting.popleft()
                threading.Thread(target=self._work, name="mechscope-course", daemon=True).start()

    def is_checking(self, exercise: Exercise) -> bool:
        """Whether a check of it runs or waits."""
        with self._lock:
            return exercise == self._running or exercise in self._waiting

    def fault(self, exercise: Exercise) -> str:
        """Why its check could not be run, in a sentence; empty if it could."""
        return self._faults.get(exercise.id, "")

    def draw(self, unit: Unit) -> FigureResult:
        """Draw the unit's final figure with the functions that have passed."""
        return self.session().draw(unit)

    def _work(self) -> None:
        while True:
            with self._lock:
                exercise, session = self._running, self._session
            if exercise is None or session is None:
                return
            try:
                session.check(exercise)
            except Exception:
                # A fault of ours: the page must not wait for ever.
                log.exception("the check of %s failed", exercise.id)
                self._faults[exercise.id] = (
                    "The check itself failed, which is not your fault; the terminal of the server shows how."
                )
            with self._lock:
                self._running = self._waiting.popleft() if self._waiting else None


_NEVER: Stamp = (-1, -1)


def _stamp(session: CourseSession, unit: Unit) -> Stamp:
    try:
        found = (session.folder / unit.file_name).stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size
