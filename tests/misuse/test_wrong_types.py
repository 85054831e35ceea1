"""Every argument of every public function, given things of another kind: refused in our words, before any work."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from tests.misuse.calls import calls, model, task
from tests.misuse.test_corpus import check


class Thing:
    """Something that no function has a use for."""


WRONG: dict[str, Any] = {
    "a thing": Thing(),
    "text": "zebra",
    "NaN": float("nan"),
    "a class": int,
    "a dictionary": {"zebra": 1},
    "a model": model(),
    "a task": task(),
    "floats": torch.randn(2, 3, generator=torch.Generator().manual_seed(0)),
}
# What these arguments may be, beside what `calls` gives them.
MAY_BE: dict[str, set[str]] = {
    "a model": {"model"},
    "a task": {"task", "data", "positive"},
    "text": {
        "data",
        "input",
        "seq",
        "corrupted_tokens",
        "string",
        "name",
        "site",
        "hook",
        "hook_name",
        "metric",
    },
    "floats": {"values", "strength", "value", "x", "residual_stack", "labels", "groups", "tokens", "pattern"},
    "NaN": {"value"},
    "a dictionary": {"patterns", "dictionaries", "cfg", "clean_cache"},
}
READS_TEXT = {
    "steering_vector": {"positive", "negative"},
    "steering_curve": {"text"},
    "direct_logit_attribution": {"task"},
    "Sweep": {"tokens"},
    "spliced_loss": {"tokens"},
    "read_features": {"tokens"},
    "feature_pages": {"tokens"},
}
"""Arguments of these functions that may be text, although arguments of the same name elsewhere may not."""
QUIET = {"progress", "verbose"}


@pytest.mark.parametrize("name", calls())
def test_wrong_kinds_of_values_are_refused(name: str) -> None:
    call = calls()[name]
    tried = 0
    for argument in call.arguments:
        if argument in QUIET:
            continue
        for words, value in WRONG.items():
            if argument in MAY_BE.get(words, ()):
                continue
            if words == "text" and argument in READS_TEXT.get(name, ()):
                continue
            tried += 1
            try:
                call.with_changes(**{argument: value})
            except Exception as error:
                check(error)
            else:
                pytest.fail(f"{name} took {words} for {argument!r} and said nothing")
    assert tried
