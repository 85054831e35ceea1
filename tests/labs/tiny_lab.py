"""A lab that takes no time, to test the framework with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from mechscope.labs import Claim, Condition, Lab, LabFigure, Outcome
from mechscope.results import Provenance, make_result
from mechscope.runs import Workspace
from mechscope.viz import curves

LESSON = """The *value* is {{ value | significant(6) }} and $x^2$ is a formula.

[[figure line]]

## What this does not show

- Much.
"""

CLAIMS = (
    Claim(
        "9.1",
        "The value is 1.",
        "1",
        "a test",
        "design",
        "counted",
        (Condition("value", "value", 0.9, 1.1),),
        remark="Counting is <hard>.",
    ),
    Claim(
        "9.2",
        "It needs <b>stars</b> & more.",
        "42 %",
        "a test",
        "P",
        "not at all",
        (Condition("stars", "stars", low=42),),
        needs="stars",
    ),
)


@dataclass(frozen=True)
class TinyConfig:
    """Settings of the tiny lab."""

    value: float = 1.0


def tiny_lab(folder: Path, value: float = 1.0, inputs: str = "nothing", calls: list | None = None) -> Lab:
    """A lab whose one number is `value`; `calls` collects the seeds that were really computed."""

    def experiment(workspace: Workspace) -> Outcome:
        def compute(seed: int) -> dict[str, torch.Tensor]:
            if calls is not None:
                calls.append(seed)
            return {"value": torch.tensor(float(workspace.config.value)), "line": torch.arange(3.0) + seed}

        parts = {
            seed: workspace.load_or_compute(f"seed-{seed}", lambda seed=seed: compute(seed))
            for seed in workspace.seeds
        }
        line = parts[workspace.seeds[0]]["line"]
        figure = curves([0, 1, 2], {"a": line}, title="A line", x_title="x", y_title="y")
        data = make_result(line, ("step",), "A line", "1", Provenance("tiny", "test"))
        return Outcome(
            measures={seed: {"value": float(part["value"])} for seed, part in parts.items()},
            figures=(LabFigure("line", figure, "Look for <the> line.", {"line": data}),),
            not_run={"stars": "there are no stars"},
            weights={"line": line},
        )

    lesson = folder / "lesson.md"
    lesson.write_text(LESSON, encoding="utf-8")
    return Lab(
        step="99",
        slug="tiny",
        title="Tiny",
        idea="Small.",
        claims=CLAIMS,
        lesson=lesson,
        configs={"quick": TinyConfig(value), "full": TinyConfig(value)},
        seeds={"quick": 1, "full": 3},
        inputs=lambda: {"input": inputs},
        experiment=experiment,
    )
