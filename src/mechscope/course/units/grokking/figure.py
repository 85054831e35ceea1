"""The final figure of unit 02: what the loss on unseen pairs hides, in the bundled network's training."""

from __future__ import annotations

from types import SimpleNamespace

import plotly.graph_objects as go
import torch

from mechscope.checkpoints.load import load_model
from mechscope.course.figure import UnitFigure
from mechscope.labs.grokking.full_batch import run_pairs
from mechscope.labs.grokking.pairs import all_pairs

USES = ("split_pairs", "key_frequencies", "restricted_and_excluded", "turning_point")

P, N_TRAIN, SEED = 113, 3830, 0
"""The modulus of grokking-p113, its training pairs and the seed that drew them."""
EPOCHS = (0, 200, 400, 1000, 2000, 2800, 3800, 4800, 5800, 6600, 7000, 7400, 7600, 8200, 8800, 9800, 11900)
"""Its checkpoints."""


def draw(functions: SimpleNamespace) -> UnitFigure:
    """The four losses at checkpoints of grokking-p113, and when two of them turn."""
    keys = functions.key_frequencies(weights_at(EPOCHS[-1])["embed.W_E"][:P])
    train, test = functions.split_pairs(P, N_TRAIN, SEED)
    losses: dict[str, list[float]] = {name: [] for name in ("training", "unseen", "restricted", "excluded")}
    for epoch in EPOCHS:
        logits = run_pairs(weights_at(epoch), all_pairs(P)).logits.unflatten(0, (P, P))
        for name, pairs in (("training", train), ("unseen", test)):
            a, b = pairs.unbind(1)
            loss = torch.nn.functional.cross_entropy(logits[a, b].double(), (a + b) % P)
            losses[name].append(float(loss))
        restricted, excluded = functions.restricted_and_excluded(logits, keys, train, test)
        losses["restricted"].append(restricted)
        losses["excluded"].append(excluded)
    turns = {
        name: functions.turning_point(list(EPOCHS), losses[name], P) for name in ("restricted", "unseen")
    }
    names = {
        "training": "training pairs",
        "unseen": "unseen pairs",
        "restricted": "restricted: the rule alone, unseen pairs",
        "excluded": "excluded: the memory alone, training pairs",
    }
    figure = go.Figure(
        [
            go.Scatter(x=list(EPOCHS), y=values, name=names[name], mode="lines+markers")
            for name, values in losses.items()
        ]
    )
    figure.update_layout(
        title=f"Addition modulo {P}: key frequencies {', '.join(map(str, keys))}",
        xaxis_title="epoch",
        yaxis_title="loss (nats)",
        yaxis_type="log",
        yaxis_exponentformat="power",
        yaxis_range=[-8, 2],
    )
    return UnitFigure(
        figure,
        caption=(
            f"On unseen pairs the network's loss falls below half of guessing at epoch {turns['unseen']:,.0f}, but "
            f"that of the rule alone at epoch {turns['restricted']:,.0f}: the rule grew while no ordinary loss "
            "showed it. The memory alone gets worse as the rule takes over."
        ),
        number=turns["unseen"] - turns["restricted"],
        number_is="the number of epochs by which the rule alone is ahead of the whole network on unseen pairs",
        expected=(4200.0, 4200.0),
    )


def weights_at(epoch: int) -> dict[str, torch.Tensor]:
    """The weights of grokking-p113 at one of its checkpoints."""
    model = load_model("grokking-p113", process=False, device="cpu", checkpoint_value=epoch)
    return {name: weight.detach() for name, weight in model.state_dict().items()}
