"""The catalogue: its order, filters, search, and how a problem is found by name."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope.problems.listing import all_problems, counts, find_problem, followers, search, select
from tests.problems.conftest import forget
from tests.problems.made import made_problem


def test_order_is_by_area_rating_and_title(catalogue: Path) -> None:
    assert list(all_problems()) == ["tool-c", "bet-d", "early-a", "late-b"]
    assert [problem.slug for problem in followers("late-b")] == ["early-a"]


@pytest.mark.parametrize(
    ("conditions", "found"),
    [
        ({}, ["tool-c", "bet-d", "early-a", "late-b"]),
        ({"rating": "A"}, ["early-a"]),
        ({"area": "circuits"}, ["tool-c", "bet-d"]),
        ({"time": "weekend"}, ["early-a"]),
        ({"time": "two-weeks"}, ["early-a", "late-b"]),
        ({"time": "months"}, ["tool-c", "early-a", "late-b"]),
        ({"status": "partly solved"}, ["late-b"]),
        ({"compute": "free notebook"}, ["tool-c"]),
        ({"area": "circuits", "rating": "A"}, []),
        ({"words": "dead neuron"}, ["early-a"]),
        ({"words": "dead neuron", "rating": "B"}, []),
    ],
)
def test_filters(catalogue: Path, conditions: dict[str, str], found: list[str]) -> None:
    assert [problem.slug for problem in select(**conditions)] == found


@pytest.mark.parametrize("name", ["early-a", "Early A", "EARLY_A", "are dead neurons revived?"])
def test_names_are_found_however_they_are_written(catalogue: Path, name: str) -> None:
    assert find_problem(name).slug == "early-a"


@pytest.mark.parametrize(
    ("name", "suggestion"), [("erly-a", "early-a"), ("revived", "early-a"), ("qqqqqq", "")]
)
def test_an_unknown_name_suggests_similar_ones(catalogue: Path, name: str, suggestion: str) -> None:
    question = rf"\. Did you mean {suggestion}\?" if suggestion else r"\. `mechscope problems` lists"
    with pytest.raises(KeyError, match=f"no problem '{name}'{question}"):
        find_problem(name)


def test_a_title_counts_more_than_the_text(catalogue: Path) -> None:
    made_problem(catalogue, "other", sources='["Doe et al. (2020), Dead neurons: revived"]')
    forget()
    assert [problem.slug for problem in search("dead neurons")] == ["early-a", "other"]


def test_counts(catalogue: Path) -> None:
    assert counts()["circuits"] == {"A": 0, "B": 0, "C": 1, "D": 1}
    assert counts()["training"] == {"A": 1, "B": 1, "C": 0, "D": 0}
    assert sum(sum(row.values()) for row in counts().values()) == 4


def test_an_id_is_unique_in_all_areas(catalogue: Path) -> None:
    made_problem(catalogue, "late-b", area="images")
    forget()
    with pytest.raises(ValueError, match="two problems are called late-b: in training and in images"):
        all_problems()
