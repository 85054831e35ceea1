"""Figures of step 02 about models other than the two that every run trains."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from mechscope.labs.grokking.bundled_study import NAME, Faithfulness
from mechscope.labs.grokking.composition import Composition
from mechscope.labs.grokking.structure import Structure
from mechscope.labs.lab import LabFigure
from mechscope.results import Provenance, make_result
from mechscope.viz import bars

REPLACED = {
    "whole": "whole model",
    "sums": "neurons: only waves of a+b",
    "waves": "logits: only key frequencies",
    "inside": "neurons: on 2K directions",
    "outside": "neurons: without them",
}
"""Replacement → its name in the figure."""


def draw_faithfulness(found: Faithfulness, seed: int) -> LabFigure:
    """Loss with each part replaced, by key frequencies and by others."""
    title = "How well the model does with only the explanation kept"
    series = {
        "key frequencies": [found.losses[name] for name in REPLACED],
        "as many others": [found.other_losses[name] for name in REPLACED],
    }
    figure = bars(
        list(REPLACED.values()),
        series,
        title=title,
        x_title="what is kept",
        y_title="loss over all pairs (nats)",
        number_format=".1e",
    )
    figure.update_yaxes(type="log", exponentformat="power", dtick=2)
    data = make_result(
        torch.tensor(list(series.values()), dtype=torch.float64),
        ("series", "label"),
        title,
        "nats",
        Provenance(NAME, f"addition modulo {found.p}", seed),
        {"series": list(series), "label": list(REPLACED.values())},
    )
    return LabFigure(
        "faithfulness",
        figure,
        f"The scale is logarithmic; guessing costs {torch.tensor(found.p).log():.1f} nats. Look which replacements "
        "leave the loss where it was, and what happens if other frequencies are kept instead.",
        {"losses": data},
    )


def draw_directions(found: Faithfulness, seed: int) -> LabFigure:
    """How well waves of the sum explain what W_L reads from the neurons, beside random directions."""
    names = [f"{wave} {k}" for k in found.keys for wave in ("cos", "sin")]
    title = "What the answers read from the neurons is a wave of the sum"
    shares = [*(100 * found.shares.flatten()).tolist(), 100 * float(found.random_shares.max())]
    names.append(f"best of {len(found.random_shares)} random")
    figure = bars(
        names,
        {"variance explained": shares},
        title=title,
        x_title="direction of neuron space",
        y_title="variance explained (%)",
        number_format=".0f",
    )
    figure.update_yaxes(range=[0, 108])
    data = make_result(
        torch.tensor(shares, dtype=torch.float64),
        ("label",),
        title,
        "% of variance",
        Provenance(NAME, f"addition modulo {found.p}", seed),
        {"label": names},
    )
    return LabFigure(
        "directions",
        figure,
        "The share of each direction's variance that cos and sin w_k(a+b) of its frequency explain. Look how much "
        "higher the key directions are than the best of many random ones.",
        {"shares": data},
    )


def draw_rounding(found: Mapping[str, Structure], seed: int) -> LabFigure:
    """The two trainings that differ in the rounding of their loss."""
    names = ["logits not explained", "W_L outside the keys"]
    series = {
        f"loss in {name}": [100 * (1 - structure.explained), 100 * structure.outside]
        for name, structure in found.items()
    }
    title = "What a rounded loss leaves behind"
    figure = bars(
        names, series, title=title, x_title="measure", y_title="share left over (%)", number_format=".2f"
    )
    data = make_result(
        torch.tensor(list(series.values()), dtype=torch.float64),
        ("series", "label"),
        title,
        "%",
        Provenance("one-layer transformer, small", "addition modulo p", seed),
        {"series": list(series), "label": names},
    )
    return LabFigure(
        "rounding",
        figure,
        "Same initial weights, same pairs, same number of epochs; only the arithmetic of the loss differs. Look "
        "which of the two models keeps more outside its key frequencies.",
        {"left": data},
    )


IRREPS = {
    "4+1": "standard (4)",
    "3+2": "3+2 (5)",
    "3+1+1": "3+1+1 (6)",
    "2+2+1": "2+2+1 (5)",
    "2+1+1+1": "standard × sign (4)",
    "1+1+1+1+1": "sign (1)",
}
"""Irrep of the permutations of five things → its name in the figure, with its dimension."""


def draw_characters(found: Composition, seed: int) -> LabFigure:
    """How much of the logits each irrep's character explains: at the end, before, and in the wrong order."""
    names = [IRREPS.get(name, name) for name in found.names]
    at_end = found.history.similarity[-1]
    memorised = found.history.similarity[found.memorised_look]
    series = {
        "at the end": at_end,
        "when memorised": memorised,
        "at the end, b before a": found.swapped,
    }
    shares = {what: (100 * similarity.square()).tolist() for what, similarity in series.items()}
    title = "Which irreps' characters the logits are made of"
    figure = bars(
        names,
        shares,
        title=title,
        x_title="irrep (and its dimension)",
        y_title="variance explained (%)",
        number_format=".1f",
    )
    data = make_result(
        torch.tensor(list(shares.values()), dtype=torch.float64),
        ("series", "label"),
        title,
        "% of variance",
        Provenance(
            "network of two embeddings", f"composition of permutations of {found.group.n} things", seed
        ),
        {"series": list(shares), "label": names},
    )
    return LabFigure(
        "characters",
        figure,
        "Each bar is the share of the logits' variance, constant over the answers removed. Look for how few irreps the "
        "finished network uses, and which one does not notice that the order is wrong.",
        {"shares": data},
    )
