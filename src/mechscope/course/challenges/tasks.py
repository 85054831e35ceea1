"""The eleven tasks by name."""

from mechscope.course.challenges.lookups import LOOKUPS
from mechscope.course.challenges.yes_or_no import YES_OR_NO

TASKS = {task.name: task for task in (*YES_OR_NO, *LOOKUPS)}
"""Name → task."""
