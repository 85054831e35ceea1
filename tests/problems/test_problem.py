"""Problems: what is read from their files, and the errors for authors."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import pytest
import yaml

from mechscope.pages.front_matter import read_front_matter
from mechscope.problems.problem import CATALOGUE, HEADINGS, LISTS, TEXTS, read_problem
from tests.problems.made import made_problem

FILES = sorted(CATALOGUE.glob("*/*/problem.md"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.parent.name)
def test_yaml_reads_the_same(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    texts, lists, _ = read_front_matter(text, path, texts=TEXTS, lists=LISTS, what="a problem")
    wanted = yaml.safe_load(text.split("\n---\n")[0])
    wanted["reviewed"] = str(wanted["reviewed"])  # YAML has dates
    assert wanted == texts | {key: list(values) for key, values in lists.items()}


def test_a_problem_is_read(tmp_path: Path) -> None:
    problem = made_problem(tmp_path, "my-problem", models="[mini-gelu-1l, planted/sort]")
    assert (problem.slug, problem.area, problem.title) == ("my-problem", "training", "What is my-problem?")
    assert (problem.rating, problem.status, problem.compute, problem.unit) == ("A", "open", "laptop", "02")
    assert problem.models == ("mini-gelu-1l", "planted/sort")
    assert problem.reviewed == date(2026, 11, 30)
    assert tuple(problem.parts) == HEADINGS and problem.parts["First steps"].startswith("1. One.")
    assert problem.starter == tmp_path / "training" / "my-problem" / "starter.py"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"rating": "E"}, "rating is A, B, C, D; found 'E'"),
        ({"status": "opne"}, "status is open, partly solved, solved; found 'opne'. Did you mean open?"),
        ({"compute": "GPU"}, "compute is laptop, free notebook, one GPU, cluster; found 'GPU'"),
        ({"title": "x" * 81}, "the title has 81 characters; at most 80"),
        ({"after": "[Late b]"}, "after lists ids such as induction-head, not 'Late b'"),
        ({"reviewed": "30 November 2026"}, "reviewed is a date such as 2026-11-30"),
        ({"text": "## The question\nwords"}, "expected the headings .*found ## The question"),
        ({"slug": "MyProblem"}, "named in lower case with hyphens"),
        ({"area": "trainng"}, "'trainng' is no area. Did you mean training?"),
        ({"ratign": "A"}, "no key 'ratign' in a problem. Did you mean rating?"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, values: dict[str, str], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        made_problem(tmp_path, **{"slug": "my-problem", **values})


def test_an_empty_folder_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "training" / "empty").mkdir(parents=True)
    with pytest.raises(FileNotFoundError, match=r"empty has no problem\.md"):
        read_problem(tmp_path / "training" / "empty")
