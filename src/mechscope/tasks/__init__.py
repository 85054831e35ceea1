"""Tasks: prompts, answers and a metric in one object that every technique takes. Names are imported on first use."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.tasks._ioi_corruptions import IOI_CORRUPTIONS
    from mechscope.tasks.agreement import subject_verb_agreement
    from mechscope.tasks.algorithmic import balanced_brackets, modular_addition, reversal, sorting
    from mechscope.tasks.docstrings import docstring
    from mechscope.tasks.greater_than_years import greater_than
    from mechscope.tasks.indirect_object import ioi, ioi_double_io
    from mechscope.tasks.metrics import METRICS, Answers, Metric, get_metric
    from mechscope.tasks.own_prompts import from_prompts, from_tokens
    from mechscope.tasks.pronouns import gendered_pronoun
    from mechscope.tasks.repeated_tokens import repeated_random_tokens
    from mechscope.tasks.task import Baselines, Task
    from mechscope.tasks.word_vocabulary import vocabulary

_HOMES = {
    "Answers": "mechscope.tasks.metrics",
    "Baselines": "mechscope.tasks.task",
    "IOI_CORRUPTIONS": "mechscope.tasks._ioi_corruptions",
    "METRICS": "mechscope.tasks.metrics",
    "Metric": "mechscope.tasks.metrics",
    "Task": "mechscope.tasks.task",
    "balanced_brackets": "mechscope.tasks.algorithmic",
    "docstring": "mechscope.tasks.docstrings",
    "from_prompts": "mechscope.tasks.own_prompts",
    "from_tokens": "mechscope.tasks.own_prompts",
    "gendered_pronoun": "mechscope.tasks.pronouns",
    "get_metric": "mechscope.tasks.metrics",
    "greater_than": "mechscope.tasks.greater_than_years",
    "ioi": "mechscope.tasks.indirect_object",
    "ioi_double_io": "mechscope.tasks.indirect_object",
    "modular_addition": "mechscope.tasks.algorithmic",
    "repeated_random_tokens": "mechscope.tasks.repeated_tokens",
    "reversal": "mechscope.tasks.algorithmic",
    "sorting": "mechscope.tasks.algorithmic",
    "subject_verb_agreement": "mechscope.tasks.agreement",
    "vocabulary": "mechscope.tasks.word_vocabulary",
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


__getattr__, __dir__ = lazy_names(__name__, _HOMES)
