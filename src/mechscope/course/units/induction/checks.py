"""The checks of unit 03."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import torch
from torch import Tensor

from mechscope.course.trial import CheckFailedError, Trial


def check_repeated_tokens(trial: Trial) -> None:
    for _ in range(2):
        sizes = (trial.number(2, 5), trial.number(4, 8), trial.number(6, 20))
        trial.compare(*sizes, trial.number(0, 100), what="the tokens")


def check_loss_gap(trial: Trial) -> None:
    for _ in range(2):
        length = trial.number(4, 8)
        losses = trial.uniform(3, 2 * length - 1, low=0, high=5)
        trial.compare(losses, length, what="the gap")


def _patterns(trial: Trial, size: int) -> Tensor:
    scores = 2 * trial.normal(2, 3, size, size)
    later = torch.ones(size, size, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(-1)


def check_induction_score(trial: Trial) -> None:
    for _ in range(2):
        length = trial.number(4, 8)
        trial.compare(_patterns(trial, 2 * length), length, what="the scores")
    perfect = torch.zeros(1, 1, 2 * length, 2 * length)
    for query in range(length, 2 * length):
        perfect[0, 0, query, query - length + 1] = 1
    trial.require(
        torch.allclose(trial.call(perfect, length), torch.ones(1)),
        "a perfect induction head must have the score 1.",
    )


def check_copying_score(trial: Trial) -> None:
    for _ in range(3):
        # A share is a coarse number: many tokens, so that two ways of counting rarely agree.
        d_vocab, d_model, d_head = trial.number(150, 200), trial.number(40, 50), trial.number(12, 16)
        W_E, W_V = trial.normal(d_vocab, d_model), trial.normal(d_model, d_head)
        W_O = W_V.T + 0.6 * trial.normal(d_head, d_model)
        trial.compare(W_E, W_V, W_O, W_E.T + 0.6 * trial.normal(d_model, d_vocab), what="the share")


def check_k_composition(trial: Trial) -> None:
    for _ in range(2):
        d_model = trial.number(6, 12)
        W_OV = trial.normal(d_model, 3) @ trial.normal(3, d_model)
        W_QK = trial.normal(d_model, 3) @ trial.normal(3, d_model)
        trial.compare(W_OV, W_QK, what="the composition")


def check_null_p_value(trial: Trial) -> None:
    null = trial.normal(trial.number(15, 25))
    trial.compare(float(null.sort().values[-4]), null, what="the p-value of a score that the null also has")
    trial.compare(10.0, null, what="the p-value of a score above all of the null")
    trial.compare(-10.0, null, what="the p-value of a score below all of the null")


def check_predict_by_induction(trial: Trial) -> None:
    for _ in range(3):
        trial.compare(trial.whole(0, 4, trial.number(9, 14)), what="the predictions")
    trial.compare(torch.arange(5), what="the predictions where nothing is repeated")


def run_wired(weights: dict[str, Tensor], tokens: Tensor, d_vocab: int, n_ctx: int) -> tuple[Tensor, Tensor]:
    """The predictions of a wired model at each position, and the pattern of its second layer.

    Args:
        tokens: [pos].
    """
    size = len(tokens)
    x = torch.zeros(size, 3 * d_vocab + n_ctx)
    x[torch.arange(size), tokens] = 1
    x[torch.arange(size), 3 * d_vocab + torch.arange(size)] = 1
    later = torch.ones(size, size, dtype=torch.bool).triu(1)
    pattern = x
    for layer in (0, 1):
        q, k, v = (x @ weights[f"{name}{layer}"] for name in "QKV")
        pattern = (q @ k.T).masked_fill(later, -torch.inf).softmax(-1)
        x = x + pattern @ v @ weights[f"O{layer}"]
    return x[:, 2 * d_vocab : 3 * d_vocab].argmax(-1), pattern


SAME_TOKEN = (
    "It predicts the token that stands there: the second layer looks at the same token, not at the next one."
)
NO_LAYER_0 = "The second part of the stream does not hold the previous token: look at the first layer first."
TOO_SOFT = "The heads look in the right direction, but not sharply enough: make their scores larger."
FIRST = "Position 0 has no previous token, and must not be found by the second layer."


def check_wire_induction(trial: Trial) -> None:
    for _ in range(2):
        d_vocab, length = trial.number(6, 10), trial.number(4, 6)
        n_ctx = 2 * length + trial.number(0, 3)
        weights = trial.call(d_vocab, n_ctx)
        _check_shapes(trial, weights, d_vocab, n_ctx)
        for _ in range(4):
            half = torch.randperm(d_vocab, generator=trial.generator)[:length]
            tokens = torch.cat([half, half])
            predictions, pattern = run_wired(weights, tokens, d_vocab, n_ctx)
            # Every token of the second copy but the last one has a known continuation.
            wrong = predictions[length:-1] != tokens[length + 1 :]
            if not wrong.any():
                continue
            raise CheckFailedError(
                f"on {tokens.tolist()} it predicts {predictions[length:-1].tolist()} in the second copy; "
                f"{tokens[length + 1 :].tolist()} is expected.",
                _diagnosis(weights, tokens, predictions, pattern, d_vocab, n_ctx),
            )


def _diagnosis(
    weights: dict[str, Tensor], tokens: Tensor, predictions: Tensor, pattern: Tensor, d_vocab: int, n_ctx: int
) -> str:
    length = len(tokens) // 2
    previous = _previous_part(weights, tokens, d_vocab, n_ctx)
    if (previous[1:].argmax(-1) != tokens[:-1]).any():
        return NO_LAYER_0
    if (predictions[length:-1] == tokens[length:-1]).all():
        return SAME_TOKEN
    stripe = pattern[length:, :].diagonal(1)
    if (predictions[length] != tokens[length + 1]) and (
        predictions[length + 1 : -1] == tokens[length + 2 :]
    ).all():
        return FIRST
    if (stripe > 1.5 / len(tokens)).all():
        return TOO_SOFT
    return ""


def _previous_part(weights: dict[str, Tensor], tokens: Tensor, d_vocab: int, n_ctx: int) -> Tensor:
    """What the first layer writes into the part for the previous token: [pos, d_vocab]."""
    size = len(tokens)
    x = torch.zeros(size, 3 * d_vocab + n_ctx)
    x[torch.arange(size), tokens] = 1
    x[torch.arange(size), 3 * d_vocab + torch.arange(size)] = 1
    later = torch.ones(size, size, dtype=torch.bool).triu(1)
    pattern = (x @ weights["Q0"] @ (x @ weights["K0"]).T).masked_fill(later, -torch.inf).softmax(-1)
    return (pattern @ x @ weights["V0"] @ weights["O0"])[:, d_vocab : 2 * d_vocab]


def _check_shapes(trial: Trial, weights: object, d_vocab: int, n_ctx: int) -> None:
    d_model, d_head = 3 * d_vocab + n_ctx, max(d_vocab, n_ctx)
    trial.require(isinstance(weights, dict), "a dictionary of weights is expected.")
    assert isinstance(weights, dict)
    for layer in (0, 1):
        for name in "QKVO":
            shape = (d_head, d_model) if name == "O" else (d_model, d_head)
            found = weights.get(f"{name}{layer}")
            trial.require(
                isinstance(found, Tensor) and found.shape == shape,
                f"{name}{layer} is {list(found.shape) if isinstance(found, Tensor) else found}; "
                f"a tensor of shape {list(shape)} is expected.",
            )
