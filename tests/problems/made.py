"""Problems for tests."""

from __future__ import annotations

from pathlib import Path

from mechscope.problems.problem import HEADINGS, Problem, read_problem

STARTER = '''"""Measure one number."""

import numpy as np
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter


def starting_point(seed: int = 0) -> StartingPoint:
    value = 2.5 + seed
    figure = viz.curves(
        np.arange(3),
        {"measured": value * np.arange(3)},
        title="A <line>",
        x_title="step",
        y_title="loss (nats)",
    )
    return StartingPoint({"loss (nats)": value}, figure, f"It rises to {2 * value:.1f} nats.")


if __name__ == "__main__":
    run_starter(starting_point)
'''


def made_problem(
    catalogue: Path, slug: str, area: str = "training", text: str = "", **values: str
) -> Problem:
    """A problem without mistakes of its own, except that its words must differ from those of others.

    Args:
        catalogue: the folder of the areas.
        slug: its id, of which its words are made.
        area: its area.
        text: all of the text, if it should be something else.
        values: values of keys in the front matter as they stand there.
    """
    folder = catalogue / area / slug
    folder.mkdir(parents=True, exist_ok=True)
    words = " ".join(f"{slug}{number}" for number in range(38))
    parts = dict.fromkeys(HEADINGS, words)
    parts["What is known"] += " (Doe et al. 2020)"
    parts["First steps"] = "1. One.\n2. Two.\n3. Three."
    front = {
        "title": f"What is {slug}?",
        "rating": "A",
        "status": "open",
        "compute": "laptop",
        "models": "[grokking-p113]",
        "unit": '"02"',
        "glossary": "[grokking]",
        "after": "[]",
        "sources": '["Doe et al. (2020), A paper: it showed something"]',
        "reviewed": "2026-11-30",
    } | values
    lines = "\n".join(f"{key}: {value}" for key, value in front.items())
    text = text or "\n\n".join(f"## {heading}\n{part}" for heading, part in parts.items())
    (folder / "problem.md").write_text(f"---\n{lines}\n---\n{text}\n", encoding="utf-8")
    (folder / "starter.py").write_text(STARTER, encoding="utf-8")
    return read_problem(folder)
