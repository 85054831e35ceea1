"""The final figure of unit T: the learner's GPT runs the weights of a trained model."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import mechscope as ms
from mechscope.course.figure import UnitFigure
from mechscope.viz import bars

USES = (
    "layer_norm", "embed", "attention_pattern", "attention", "mlp", "block", "gpt", "next_token_probabilities",
)  # fmt: skip
TEXT = "At the stadium, Molly and Lewis shared a table until Lewis offered a hat to"
SHOWN = 6


def draw(functions: Any) -> UnitFigure:
    """The likeliest next tokens after a story, by the learner's GPT and by the model itself."""
    model = ms.load_model("ioi-twin")
    tokens = model.to_tokens(TEXT)
    with torch.no_grad():
        wanted = model(tokens)
        logits = functions.gpt(tokens, gpt_weights(model), model.cfg.n_layers)
        probabilities = [
            functions.next_token_probabilities(each[0, -1], 1.0, model.cfg.d_vocab, 1.0)
            for each in (wanted, logits)
        ]
    likeliest = probabilities[0].topk(SHOWN).indices
    figure = bars(
        [model.to_string(token).strip() for token in likeliest],
        {
            "mechscope's model": probabilities[0][likeliest].numpy(),
            "your GPT": probabilities[1][likeliest].numpy(),
        },
        title="After “… until Lewis offered a hat to”",
        x_title="next token",
        y_title="probability",
        number_format=".2f",
    )
    return UnitFigure(
        figure=figure,
        caption="A trained model with three attention layers, run by your functions and by mechscope. It has no MLPs, "
        "so yours get weights of zero. Whoever has been named once is given the hat.",
        number=float((logits - wanted).abs().max()),
        number_is="the largest difference between one of your logits and the model's, at any position",
        expected=(0.0, 1e-3),
    )


def gpt_weights(model: ms.HookedTransformer) -> dict[str, Tensor]:
    """The model's weights, with what a GPT-2 has and this model lacks: MLPs that write zeros, and norms that neither
    scale nor shift."""
    cfg = model.cfg
    weights = {name: value.detach() for name, value in model.state_dict().items()}
    norms = ["ln_final"]
    for layer in range(cfg.n_layers):
        norms += [f"blocks.{layer}.ln1", f"blocks.{layer}.ln2"]
        weights |= {
            f"blocks.{layer}.mlp.W_in": torch.zeros(cfg.d_model, 1),
            f"blocks.{layer}.mlp.b_in": torch.zeros(1),
            f"blocks.{layer}.mlp.W_out": torch.zeros(1, cfg.d_model),
            f"blocks.{layer}.mlp.b_out": torch.zeros(cfg.d_model),
        }
    for norm in norms:
        weights |= {f"{norm}.w": torch.ones(cfg.d_model), f"{norm}.b": torch.zeros(cfg.d_model)}
    return weights
