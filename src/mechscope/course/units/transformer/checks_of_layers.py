"""The checks of unit T for layers and whole models."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechscope.checkpoints.lab_models import GPT2_SMALL
from mechscope.course.kit import random_gpt
from mechscope.course.trial import Trial
from mechscope.course.units.transformer import reference
from mechscope.course.units.transformer.stories import starting_weights

if TYPE_CHECKING:
    from mechscope.model import HookedTransformer


def attention_weights(trial: Trial, heads: int, d_model: int, d_head: int) -> dict[str, Tensor]:
    """Random weights of an attention layer."""
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
        **_named("attn.", attention_weights(trial, 2, d_model, 4)),
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
    weights = attention_weights(trial, trial.number(2, 4), d_model, trial.number(3, 6))
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


# The unembedding


def check_unembed(trial: Trial) -> None:
    d_model, d_vocab = trial.number(5, 8), trial.number(9, 14)
    weights = {
        **_named("ln_final.", _norm_weights(trial, d_model)),
        "unembed.W_U": trial.normal(d_model, d_vocab),
        "unembed.b_U": trial.normal(d_vocab),
    }
    x = 2 * trial.normal(2, trial.number(3, 6), d_model) + 1
    trial.compare(x, weights, rtol=1e-3, atol=1e-3, what="the logits")


# The whole model


def check_gpt(trial: Trial) -> None:
    model = random_gpt(trial.seed)
    tokens = trial.whole(0, 17, 2, trial.number(5, 10))
    trial.compare(tokens, _weights(model), 3, rtol=1e-3, atol=1e-3, what="the logits")
    _matches_model(trial, model, tokens, "a model with random weights")
    bundled, prompt = _bundled()
    logits = _matches_model(trial, bundled, bundled.to_tokens(prompt), "the bundled model ioi-twin")
    name = str(bundled.to_string(logits[0, -1].argmax())).strip()
    trial.note(f"Your GPT runs the bundled model ioi-twin: after {prompt!r} it says {name!r}.")
    weights, tokens = _like_gpt2(), trial.whole(0, 50_257, 1, 4)
    with torch.no_grad():
        _is_near(
            trial,
            trial.function(tokens, weights, 12),
            reference.gpt(tokens, weights, 12),
            "a model of GPT-2's size",
        )
    if GPT2_SMALL.is_available:
        import mechscope as ms

        gpt2 = ms.load_model(GPT2_SMALL.name, process=False)
        _matches_model(trial, gpt2, trial.whole(0, gpt2.cfg.d_vocab, 1, 6), "GPT-2")
        trial.note("Its logits are GPT-2's, with GPT-2's own weights.")
    else:
        trial.note(f"With GPT-2's own weights it was not run: {GPT2_SMALL.missing}.")


def _weights(model: HookedTransformer) -> dict[str, Tensor]:
    return {name: weight.detach() for name, weight in model.named_parameters()}


@cache
def _bundled() -> tuple[HookedTransformer, str]:
    """A trained model that comes with mechscope, and a text that it can continue."""
    import mechscope as ms

    prompt = "On Monday morning, Anna and Peter met at the library, and Peter handed a book to"
    return ms.load_model("ioi-twin", process=False), prompt


@cache
def _like_gpt2() -> dict[str, Tensor]:
    """Random weights in the shape of GPT-2 small; its blocks share theirs, to save time and memory."""
    generator = torch.Generator().manual_seed(0)
    one = starting_weights(50_257, 1_024, 768, 12, 1, generator)
    blocks = {f"blocks.{layer}.": reference.part(one, "blocks.0.") for layer in range(12)}
    return one | {prefix + name: weight for prefix, block in blocks.items() for name, weight in block.items()}


def _matches_model(trial: Trial, model: HookedTransformer, tokens: Tensor, whose: str) -> Tensor:
    """Compare the learner's logits with those of a model of mechscope that has the same weights."""
    weights = _weights(model)
    d_model = model.cfg.d_model
    for layer in range(model.cfg.n_layers if model.cfg.attn_only else 0):
        # Without MLPs, as with MLPs whose weights are zero.
        shapes = {"ln2.w": (d_model,), "ln2.b": (d_model,), "mlp.W_in": (d_model, 1), "mlp.b_in": (1,)}
        shapes |= {"mlp.W_out": (1, d_model), "mlp.b_out": (d_model,)}
        weights |= {f"blocks.{layer}.{name}": torch.zeros(shape) for name, shape in shapes.items()}
    with torch.no_grad():
        logits = trial.function(tokens, weights, model.cfg.n_layers)
        _is_near(trial, logits, model(tokens), whose)
    return logits


def _is_near(trial: Trial, logits: Tensor, expected: Tensor, whose: str) -> None:
    gap = float((logits - expected).abs().max() / expected.abs().max())
    trial.require(
        gap < 1e-4,
        f"with the weights of {whose}, your logits differ from the right ones by up to {gap:.2g} of the largest one.",
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
