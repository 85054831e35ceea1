"""Figures of step 02 about other models than the one that the rest of its figures show."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mechscope.labs.grokking.bundled_study import NAME, Faithfulness
from mechscope.labs.grokking.composition import Composition
from mechscope.labs.grokking.structure import Structure
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import named_result, stacked_result
from mechscope.results import Provenance

REPLACED = {
    "whole": "whole model",
    "sums": "neurons: only waves of a+b",
    "waves": "logits: only key frequencies",
    "inside": "neurons: on 2K directions",
    "outside": "neurons: without them",
}
"""Replacement → its name in the figure."""


def draw_faithfulness(found: Faithfulness, seed: int) -> LabFigure:
    """Loss with each part replaced, keeping the key frequencies or others."""
    losses = stacked_result(
        {
            "key frequencies": [found.losses[name] for name in REPLACED],
            "as many others": [found.other_losses[name] for name in REPLACED],
        },
        ("series", "label"),
        "How well the model does with only the explanation kept",
        "nats",
        Provenance(NAME, f"addition modulo {found.p}", seed),
        {"label": list(REPLACED.values())},
        kind="bars",
    )
    figure = LabFigure.of(
        losses,
        f"The scale is logarithmic; guessing costs {math.log(found.p):.1f} nats. Look at which replacements leave the "
        "loss where it was, and what happens if other frequencies are kept instead.",
        name="faithfulness",
        key="losses",
        x_title="what is kept",
        y_title="loss over all pairs (nats)",
        number_format=".1e",
    )
    figure.figure.update_yaxes(type="log", exponentformat="power", dtick=2)
    return figure


def draw_directions(found: Faithfulness, seed: int) -> LabFigure:
    """How well waves of the sum explain what W_L reads from the neurons, compared with random directions."""
    names = [f"{wave} {k}" for k in found.keys for wave in ("cos", "sin")]
    shares = named_result(
        {
            **dict(zip(names, (100 * found.shares.flatten()).tolist(), strict=True)),
            f"best of {len(found.random_shares)} random": 100 * float(found.random_shares.max()),
        },
        "What the answers read from the neurons is a wave of the sum",
        "% of variance",
        Provenance(NAME, f"addition modulo {found.p}", seed),
    )
    figure = LabFigure.of(
        shares,
        "The share of each direction's variance that cos and sin w_k(a+b) of its frequency explain. Look at how much "
        "higher the key directions are than the best of many random ones.",
        name="directions",
        key="shares",
        x_title="direction of neuron space",
        y_title="variance explained (%)",
        number_format=".0f",
    )
    figure.figure.update_yaxes(range=[0, 108])
    return figure


def draw_rounding(found: Mapping[str, Structure], seed: int) -> LabFigure:
    """What the formula leaves unexplained in two trainings that differ in the precision of their loss."""
    left = stacked_result(
        {
            f"loss in {name}": [100 * (1 - structure.explained), 100 * structure.outside]
            for name, structure in found.items()
        },
        ("series", "label"),
        "What a rounded loss leaves behind",
        "%",
        Provenance("one-layer transformer, small", "addition modulo p", seed),
        {"label": ["logits not explained", "W_L outside the keys"]},
        kind="bars",
    )
    return LabFigure.of(
        left,
        "Same initial weights, same pairs, same number of epochs; only the arithmetic of the loss differs. Look at "
        "which of the two models keeps more outside its key frequencies.",
        name="rounding",
        key="left",
        x_title="measure",
        y_title="share left over (%)",
        number_format=".2f",
    )


IRREPS = {
    "4+1": "standard (4)",
    "3+2": "3+2 (5)",
    "3+1+1": "3+1+1 (6)",
    "2+2+1": "2+2+1 (5)",
    "2+1+1+1": "standard × sign (4)",
    "1+1+1+1+1": "sign (1)",
}
"""Irrep of the permutations of five things → its name in the figure, with its dimension in brackets."""


def draw_characters(found: Composition, seed: int) -> LabFigure:
    """How much of the logits each irrep's character explains: at the end, when memorised, and in the wrong order."""
    similarity = {
        "at the end": found.similarity,
        "when memorised": found.memorised_similarity,
        "at the end, b before a": found.swapped,
    }
    shares = stacked_result(
        {name: 100 * values.square() for name, values in similarity.items()},
        ("series", "label"),
        "Which irreps' characters the logits are made of",
        "% of variance",
        Provenance(
            "network of two embeddings", f"composition of permutations of {found.group.n} things", seed
        ),
        {"label": [IRREPS.get(name, name) for name in found.names]},
        kind="bars",
    )
    return LabFigure.of(
        shares,
        "Each bar is the share of the logits' variance, constant over the answers removed. Look for how few irreps the "
        "finished network uses, and which one does not notice that the order is wrong.",
        name="characters",
        key="shares",
        x_title="irrep (and its dimension)",
        y_title="variance explained (%)",
        number_format=".1f",
    )
