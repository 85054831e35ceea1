"""The final figure of unit R: what is left of "it does induction" after the learner's own red team."""

from __future__ import annotations

from typing import Any

import plotly.graph_objects as go
import torch
from torch import Tensor

import mechscope as ms
from mechscope.course.figure import UnitFigure
from mechscope.course.units.research.reference import (
    Program,
    bigram,
    copying,
    first_occurrence,
    induction,
    skip_trigram,
)

USES = ("sides_with", "weigh", "red_team")
PROMPTS, LENGTH, WORDS, BEGIN = 100, 24, 128, 128
DRAWS = 39
COLOURS = {"supports": "#2a9d8f", "undermines": "#d1495b", "inconclusive": "#9a8c98"}
RIVAL = "first occurrence"


def draw(functions: Any, seed: int = 0) -> UnitFigure:
    """Attack the claim that the bundled model induction-2l says what followed the last occurrence.

    Args:
        functions: an object with the functions of USES.
        seed: seed of the prompts and of the null.
    """
    generator = torch.Generator().manual_seed(seed)
    prompts, edited = _prompts(generator)
    says = _model()
    text = _prompts(generator)[0]
    rivals = {
        "bigram": bigram(text, WORDS + 1),
        "skip-trigram": skip_trigram(text, WORDS + 1),
        "copying": copying,
        RIVAL: first_occurrence,
    }
    null = [_of_other_prompts(says, generator) for _ in range(DRAWS)]
    with torch.no_grad():
        rungs = functions.red_team(says, induction, rivals, prompts, edited, null, seed)
        wins, losses = functions.sides_with(says(edited), induction(edited), first_occurrence(edited))
    measured = [rung for rung in rungs if "measured" in rung]
    figure = go.Figure()
    for verdict, colour in COLOURS.items():
        here = [rung for rung in measured if rung["verdict"] == verdict]
        error = {
            "type": "data",
            "symmetric": False,
            "array": [rung["high"] - rung["measured"] for rung in here],
            "arrayminus": [rung["measured"] - rung["low"] for rung in here],
        }
        figure.add_trace(
            go.Scatter(
                x=[rung["measured"] for rung in here],
                y=[rung["name"] for rung in here],
                error_x=error,
                mode="markers",
                marker={"color": colour, "size": 11},
                name=verdict,
                showlegend=True,
            )
        )
    figure.update_layout(
        title="“It says what followed last time”, attacked",
        xaxis={
            "title": "share of prompts on which the model says what the claim says (95 % interval)",
            "range": [-0.03, 1.03],
        },
        yaxis={
            "title": "evidence",
            "categoryorder": "array",
            "categoryarray": [rung["name"] for rung in reversed(measured)],
            "automargin": True,
        },
    )
    return UnitFigure(
        figure=figure,
        caption=(
            f"With one earlier occurrence of the last token, the model agrees with the claim on "
            f"{rungs[0]['measured']:.0%} of the prompts. One edit makes it two occurrences: now the model says what "
            f"followed the last one in {wins.mean():.0%} of the cases, and what followed the first in "
            f"{losses.mean():.0%}."
        ),
        number=float(wins.mean()),
        number_is="how often the model sides with the last occurrence against the first one",
        expected=(0.1, 0.4),
    )


def _prompts(generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Prompts whose last token has occurred once before, and the same with one token edited: it has occurred twice."""
    tokens = torch.stack([torch.randperm(WORDS, generator=generator)[:LENGTH] for _ in range(PROMPTS)])
    # Neither right before the last token, nor next to each other.
    places = torch.stack([torch.randperm(LENGTH // 2 - 2, generator=generator)[:2] for _ in range(PROMPTS)])
    rows = torch.arange(PROMPTS)
    tokens[rows, 2 * places[:, 0] + 1] = tokens[:, -1]
    edited = tokens.clone()
    edited[rows, 2 * places[:, 1] + 1] = tokens[:, -1]
    begin = torch.full((PROMPTS, 1), BEGIN)
    return torch.cat([begin, tokens], 1), torch.cat([begin, edited], 1)


def _model() -> Program:
    model = ms.load_model("induction-2l")
    known: dict[bytes, Tensor] = {}

    def says(tokens: Tensor) -> Tensor:
        # The null asks about the same prompts again and again.
        key = tokens.numpy().tobytes()
        if key not in known:
            known[key] = model(tokens)[:, -1, :WORDS].argmax(-1)
        return known[key]

    return says


def _of_other_prompts(program: Program, generator: torch.Generator) -> Program:
    """The model's answers to other prompts: what agreement is worth that does not depend on the prompt."""
    seed = int(torch.randint(10**6, (1,), generator=generator))

    def says(tokens: Tensor) -> Tensor:
        order = torch.randperm(len(tokens), generator=torch.Generator().manual_seed(seed))
        return program(tokens)[order]

    return says
