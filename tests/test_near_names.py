"""The nearest names: how many, how near, and how an error says so."""

from __future__ import annotations

import subprocess
import sys

import pytest

from mechscope.near_names import did_you_mean, did_you_mean_clause, near_names

KNOWN = ("resid_pre", "resid_mid", "resid_post", "mlp_out")


def test_the_nearest_come_first_and_not_more_than_asked_for() -> None:
    assert near_names("resid_pr", KNOWN) == ["resid_pre", "resid_post", "resid_mid"]
    assert near_names("resid_pr", KNOWN, n=1) == ["resid_pre"]
    assert near_names("resid_pr", iter(KNOWN), n=1) == ["resid_pre"]


def test_what_is_not_like_enough_is_not_named() -> None:
    assert near_names("attention", KNOWN) == []
    assert near_names("mlp", KNOWN) == ["mlp_out"]
    # Likeness is twice the letters in common over all letters: 2 · 3 / (3 + 7) = 0.6.
    assert near_names("mlp", KNOWN, cutoff=0.61) == []


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({}, " Did you mean resid_pre?"),
        ({"n": 2}, " Did you mean resid_pre or resid_post?"),
        ({"n": 2, "show": repr}, " Did you mean 'resid_pre' or 'resid_post'?"),
        ({"cutoff": 0.99}, ""),
    ],
)
def test_the_question_as_a_sentence_and_within_one(options: dict, sentence: str) -> None:
    assert did_you_mean("resid_pr", KNOWN, **options) == sentence
    assert did_you_mean_clause("resid_pr", KNOWN, **options) == sentence.strip().replace("Did", "did")


def test_it_loads_the_standard_library_alone() -> None:
    code = (
        "import sys, mechscope.near_names; print([m for m in ('torch', 'numpy', 'tyro') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
