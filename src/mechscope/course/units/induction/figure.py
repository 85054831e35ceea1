"""The final figure of unit 03: the induction heads of a trained model beside the one that the learner wired."""

from __future__ import annotations

from typing import Any

import torch

import mechscope as ms
from mechscope.course.figure import UnitFigure
from mechscope.course.units.induction.checks import run_wired
from mechscope.viz import bars

USES = ("repeated_tokens", "loss_gap", "induction_score", "wire_induction")
MODEL, BEGIN = "induction-2l", 128
"""A model with two attention layers, trained on repeated tokens, and the token that its texts begin with."""
TEXTS, LENGTH = 16, 30
WIRED_VOCAB, WIRED_LENGTH = 12, 8


def draw(functions: Any, seed: int = 0) -> UnitFigure:
    """Score every head on repeated random tokens."""
    model = ms.load_model(MODEL)
    repeated = functions.repeated_tokens(TEXTS, LENGTH, BEGIN, seed)
    tokens = torch.cat([torch.full((TEXTS, 1), BEGIN), repeated], 1)
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens)
    losses = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    scores: dict[str, float] = {}
    for layer in range(model.cfg.n_layers):
        # Without the token that begins the text, which is not repeated.
        pattern = cache[f"blocks.{layer}.attn.hook_pattern"][:, :, 1:, 1:]
        for head, score in enumerate(functions.induction_score(pattern, LENGTH).tolist()):
            scores[f"{layer}.{head}"] = score
    scores["wired"] = _score_of_wired(functions, seed)
    figure = bars(
        list(scores),
        {"score": list(scores.values())},
        title="Four heads of the second layer learned what you wired by hand",
        x_title="layer and head",
        y_title="induction score",
        number_format=".2f",
    )
    return UnitFigure(
        figure=figure,
        caption=f"The eight heads of {MODEL}, on random tokens that are repeated once, and your own head. No head of "
        "the first layer can find the token after the first copy: it would have to know what stands before another "
        "token.",
        number=functions.loss_gap(losses[:, 1:], LENGTH),
        number_is="how much lower the trained model's loss is on the second copy than on the first, in nats",
        expected=(4.3, 4.85),
    )


def _score_of_wired(functions: Any, seed: int) -> float:
    """The score of the wired head, on text without accidental repetitions: it looks everywhere where the token was."""
    generator = torch.Generator().manual_seed(seed)
    half = torch.randperm(WIRED_VOCAB, generator=generator)[:WIRED_LENGTH]
    tokens = torch.cat([half, half])
    weights = functions.wire_induction(WIRED_VOCAB, len(tokens))
    _, pattern = run_wired(weights, tokens, WIRED_VOCAB, len(tokens))
    return float(functions.induction_score(pattern[None, None], WIRED_LENGTH)[0])
