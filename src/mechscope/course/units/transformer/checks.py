"""The checks of unit T."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import math

import torch
from torch import Tensor

from mechscope.course.kit import random_gpt
from mechscope.course.trial import Trial
from mechscope.course.units.transformer import reference


def _attention_weights(trial: Trial, heads: int, d_model: int, d_head: int) -> dict[str, Tensor]:
    weights = {f"W_{name}": trial.normal(heads, d_model, d_head) / math.sqrt(d_model) for name in "QKV"}
    weights |= {f"b_{name}": trial.normal(heads, d_head) for name in "QKV"}
    return weights | {
        "W_O": trial.normal(heads, d_head, d_model) / math.sqrt(d_head),
        "b_O": trial.normal(d_model),
    }


def _mlp_weights(trial: Trial, d_model: int, d_mlp: int) -> dict[str, Tensor]:
    return {
        "W_in": trial.normal(d_model, d_mlp) / math.sqrt(d_model),
        "b_in": trial.normal(d_mlp),
        "W_out": trial.normal(d_mlp, d_model) / math.sqrt(d_mlp),
        "b_out": trial.normal(d_model),
    }


def _norm_weights(trial: Trial, d_model: int) -> dict[str, Tensor]:
    return {"w": trial.uniform(d_model, low=0.5, high=1.5), "b": trial.normal(d_model)}


def _named(prefix: str, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}{name}": value for name, value in weights.items()}


def _block_weights(trial: Trial, d_model: int) -> dict[str, Tensor]:
    return {
        **_named("ln1.", _norm_weights(trial, d_model)),
        **_named("attn.", _attention_weights(trial, 2, d_model, 4)),
        **_named("ln2.", _norm_weights(trial, d_model)),
        **_named("mlp.", _mlp_weights(trial, d_model, 2 * d_model)),
    }


# LayerNorm


def check_layer_norm(trial: Trial) -> None:
    d_model = trial.number(5, 10)
    w, b = _norm_weights(trial, d_model).values()
    # Small vectors, so that eps shows and where it stands; a mean far from zero.
    for scale in (1.0, 3e-3):
        x = scale * (trial.normal(2, 3, d_model) + 2)
        trial.compare(x, w, b, rtol=1e-3, atol=1e-4, what="the normalised vectors")


# Embedding


def check_embed(trial: Trial) -> None:
    d_vocab, d_model, n_ctx = trial.number(8, 12), trial.number(3, 7), trial.number(8, 12)
    tokens = trial.whole(0, min(d_vocab, n_ctx), 3, trial.number(4, 7))
    trial.compare(
        tokens, trial.normal(d_vocab, d_model), trial.normal(n_ctx, d_model), what="the residual stream"
    )


# The pattern of attention


def check_attention_pattern(trial: Trial) -> None:
    for _ in range(2):
        shape = (trial.number(2, 4), trial.number(4, 7), trial.number(2, 4), trial.number(5, 9))
        pattern = trial.compare(2 * trial.normal(*shape), 2 * trial.normal(*shape), what="the pattern")
        trial.require(
            torch.allclose(pattern.sum(-1), torch.ones(()), atol=1e-4), "the rows do not add up to 1."
        )


# Attention


def check_attention(trial: Trial) -> None:
    d_model = trial.number(6, 9)
    weights = _attention_weights(trial, trial.number(2, 4), d_model, trial.number(3, 6))
    x = trial.normal(2, trial.number(4, 7), d_model)
    out = trial.compare(x, weights, rtol=1e-3, atol=1e-4, what="the output")
    changed = x.clone()
    changed[:, -1] += 1
    trial.require(
        torch.allclose(out[:, :-1], trial.call(changed, weights)[:, :-1], atol=1e-4),
        "changing the last position changes the output at earlier ones, which must not see it.",
    )


# The MLP


def check_mlp(trial: Trial) -> None:
    d_model = trial.number(4, 8)
    # Small tolerances: the two forms of GELU differ by less than a thousandth.
    weights = _mlp_weights(trial, d_model, trial.number(10, 20))
    trial.compare(2 * trial.normal(2, 40, d_model), weights, rtol=1e-5, atol=2e-5, what="the output")


# A block


def check_block(trial: Trial) -> None:
    d_model = trial.number(6, 9)
    x = 2 * trial.normal(2, trial.number(4, 6), d_model) + 1
    trial.compare(x, _block_weights(trial, d_model), rtol=1e-3, atol=1e-3, what="the residual stream")


# The whole model


def check_gpt(trial: Trial) -> None:
    model = random_gpt(trial.seed)
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    tokens = trial.whole(0, 17, 2, trial.number(5, 10))
    logits = trial.compare(tokens, weights, 3, rtol=1e-3, atol=1e-3, what="the logits")
    with torch.no_grad():
        expected = model(tokens)
    gap = float((logits - expected).abs().max())
    trial.require(gap < 1e-3, f"the logits differ from those of mechscope's own model by up to {gap:.3g}.")


# The loss


def check_language_model_loss(trial: Trial) -> None:
    for _ in range(2):
        batch, pos, d_vocab = trial.number(2, 4), trial.number(4, 7), trial.number(5, 9)
        logits, tokens = 2 * trial.normal(batch, pos, d_vocab), trial.whole(0, d_vocab, batch, pos)
        trial.compare(logits, tokens, what="the loss")
    uniform = trial.call(torch.zeros(2, 5, 8), trial.whole(0, 8, 2, 5))
    trial.require(
        abs(float(uniform) - math.log(8)) < 1e-4,
        f"with equal logits for 8 tokens the loss is log 8 = {math.log(8):.4f}, not {float(uniform):.4f}.",
    )


# Sampling


def check_next_token_probabilities(trial: Trial) -> None:
    for _ in range(4):
        logits = 2 * trial.normal(trial.number(10, 16))
        top_k, temperature = trial.number(5, 9), float(trial.uniform(1, low=0.5, high=0.8))
        trial.compare(logits, temperature, top_k, 1.0, what="the probabilities without top-p")
        # Between two steps of the cumulative probabilities after top-k, so that rounding decides nothing.
        ordered = (logits / temperature).softmax(-1).sort(descending=True).values[:top_k]
        sums = (ordered / ordered.sum()).cumsum(0)
        place = trial.number(1, 4)
        top_p = float((sums[place - 1] + sums[place]) / 2)
        found = trial.compare(logits, temperature, top_k, top_p, what="the probabilities")
        trial.require(abs(float(found.sum()) - 1) < 1e-4, "the probabilities do not add up to 1.")
    trial.compare(logits, 1.3, len(logits), 1.0, what="the probabilities without top-k and top-p")
    trial.compare(logits, 0.7, 1, 1.0, what="the probabilities with top_k = 1")


# The cache of keys and values


def check_attention_step(trial: Trial) -> None:
    d_model, heads, d_head, earlier = (
        trial.number(6, 9),
        trial.number(2, 4),
        trial.number(3, 6),
        trial.number(3, 6),
    )
    weights = _attention_weights(trial, heads, d_model, d_head)
    text = trial.normal(2, earlier + 1, d_model)
    keys, values = (
        torch.einsum("bpm, hmd -> bphd", text[:, :-1], weights[f"W_{name}"]) + weights[f"b_{name}"]
        for name in "KV"
    )
    out, _, _ = trial.compare(
        text[:, -1], weights, keys, values, rtol=1e-3, atol=1e-4, what="output, keys and values"
    )
    whole = reference.attention(text, weights)[:, -1]
    trial.require(
        torch.allclose(out, whole, atol=1e-3), "the output differs from attention over the whole text."
    )


# Llama's variants


def check_rms_norm(trial: Trial) -> None:
    d_model = trial.number(5, 10)
    w = trial.uniform(d_model, low=0.5, high=1.5)
    for scale in (1.0, 1e-3):
        trial.compare(
            scale * (trial.normal(2, 3, d_model) + 1), w, rtol=1e-3, atol=1e-4, what="the normalised vectors"
        )


def check_rotary(trial: Trial) -> None:
    batch, pos, heads, half = trial.number(2, 4), trial.number(4, 8), trial.number(2, 4), trial.number(2, 5)
    x = trial.normal(batch, pos, heads, 2 * half)
    for base in (10_000.0, 100.0):
        found = trial.compare(x, base, rtol=1e-3, atol=1e-4, what="the turned vectors")
    trial.require(
        torch.allclose(found.norm(dim=-1), x.norm(dim=-1), atol=1e-3), "a rotation leaves lengths alone."
    )
