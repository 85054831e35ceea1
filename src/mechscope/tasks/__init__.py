"""Tasks: what is studied, in one object that every technique takes; names are imported when first used."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mechscope.tasks.agreement import subject_verb_agreement
    from mechscope.tasks.algorithmic import balanced_brackets, modular_addition, reversal, sorting
    from mechscope.tasks.docstrings import docstring
    from mechscope.tasks.greater_than_years import greater_than
    from mechscope.tasks.indirect_object import ioi, ioi_double_io
    from mechscope.tasks.ioi_corruptions import IOI_CORRUPTIONS
    from mechscope.tasks.metrics import METRICS, Answers, Metric, get_metric
    from mechscope.tasks.needed_words import vocabulary
    from mechscope.tasks.own_prompts import from_prompts, from_tokens
    from mechscope.tasks.pronouns import gendered_pronoun
    from mechscope.tasks.repeated_tokens import repeated_random_tokens
    from mechscope.tasks.task import Baselines, Task

# No file is called like a function in it: importing the file would hide the function.
_HOMES = {
    "Answers": "metrics",
    "Baselines": "task",
    "IOI_CORRUPTIONS": "ioi_corruptions",
    "METRICS": "metrics",
    "Metric": "metrics",
    "Task": "task",
    "balanced_brackets": "algorithmic",
    "docstring": "docstrings",
    "from_prompts": "own_prompts",
    "from_tokens": "own_prompts",
    "gendered_pronoun": "pronouns",
    "get_metric": "metrics",
    "greater_than": "greater_than_years",
    "ioi": "indirect_object",
    "ioi_double_io": "indirect_object",
    "modular_addition": "algorithmic",
    "repeated_random_tokens": "repeated_tokens",
    "reversal": "algorithmic",
    "sorting": "algorithmic",
    "subject_verb_agreement": "agreement",
    "vocabulary": "needed_words",
}

__all__ = [
    "IOI_CORRUPTIONS",
    "METRICS",
    "Answers",
    "Baselines",
    "Metric",
    "Task",
    "balanced_brackets",
    "docstring",
    "from_prompts",
    "from_tokens",
    "gendered_pronoun",
    "get_metric",
    "greater_than",
    "ioi",
    "ioi_double_io",
    "modular_addition",
    "repeated_random_tokens",
    "reversal",
    "sorting",
    "subject_verb_agreement",
    "vocabulary",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}; there are {', '.join(__all__)}")
    value = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
