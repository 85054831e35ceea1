"""How the plan in a folder and the one that is wanted differ, in words."""

import dataclasses

import pytest

from mechscope.neuroscope.plan import HarvestPlan
from mechscope.neuroscope.settings import HarvestSettings

PLAN = HarvestPlan(
    model="m",
    weights="0",
    device="cpu",
    sites=("mlp0", "mine"),
    site_inputs=("", "abc"),
    corpus=("library",),
    corpus_description="the library",
    settings=HarvestSettings(),
)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({}, ""),
        # What follows from another difference is not said.
        ({"sites": ("mlp0",), "site_inputs": ("",)}, "sites is ['mlp0', 'mine'] there and ['mlp0'] here"),
        (
            {"corpus": ("books",), "corpus_description": "books"},
            "corpus is ['library'] there and ['books'] here",
        ),
        ({"site_inputs": ("", "abd")}, "site_inputs is ['', 'abc'] there and ['', 'abd'] here"),
        (
            {"corpus_description": "it, 2"},
            "corpus_description is 'the library' there and 'it, 2' here",
        ),
    ],
)
def test_differences_are_said_once(changes, words):
    assert PLAN.differences(dataclasses.replace(PLAN, **changes)) == words
