"""What attention is like, head by head: how spread out, how far back, how much of it rests on the first token.

Attention to the first token is often a way to do nothing (a sink, Xiao et al. 2023), because the value there is
small. So attention is reported twice: as it is, and weighted by the norm of what it moves (Kobayashi et al. 2020,
"Attention is Not Only a Weight").
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import einsum
from jaxtyping import Float, Int, Shaped

from mechscope.arguments import checked_arguments
from mechscope.model.layer_checks import check_has_layers, check_head
from mechscope.model.padding import real_positions
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import Tokens
from mechscope.results import Result, make_result
from mechscope.techniques._inputs import Prompts, TaskOrTokens, as_prompts

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

MEASURES = {
    "entropy": ("entropy of attention", "nats"),
    "distance": ("mean distance that attention reaches back", "tokens"),
    "largest": ("largest attention of a query", "attention"),
    "first": ("attention to the first token", "attention"),
    "first_by_norm": ("share of the first token in what is moved", "share"),
}


@dataclass(frozen=True)
class AttentionStatistics:
    """Means over every query except the first of each prompt; all results are (layer, head)."""

    entropy: Result
    """Entropy in nats; 0 if each query attends to one key."""
    distance: Result
    """Mean distance between query and key in tokens, weighted by attention."""
    largest: Result
    """Mean attention to the most attended key."""
    first: Result
    """Mean attention to position 0, the sink."""
    first_by_norm: Result
    """The share of position 0 in Σ ‖attention × value W_O‖: how much the sink contributes (0 if nothing is moved)."""

    def figure(self) -> Any:
        """The five measures side by side."""
        from mechscope.viz.panels import heatmap_panels

        return heatmap_panels(
            {what: getattr(self, name).values.values for name, (what, _) in MEASURES.items()},
            title="Attention, head by head",
            x_title="head",
            y_title="layer",
            unit=dict(MEASURES.values()),
            top_row_first=False,
        )

    def show(self) -> Any:
        """Display the figure and return it."""
        figure = self.figure()
        figure.show()
        return figure


@checked_arguments
def attention_statistics(
    model: HookedTransformer,
    data: TaskOrTokens,
    *,
    batch_size: int = 16,
    attention_mask: Shaped[torch.Tensor, "batch pos"] | None = None,
) -> AttentionStatistics:
    """Measure entropy, distance, peak and sink of every head's attention (layer, head).

    Args:
        data: a task (its clean prompts) or tokens [batch pos].
        batch_size: prompts per pass; the patterns of one layer are in memory at a time.
        attention_mask: for plain tokens, True where a token is real; None uses their own mask.

    Raises:
        ValueError: for prompts the model cannot read or of one token only, or a model that gives NaN.
    """
    check_has_layers(model, "attention statistics")
    prompts = as_prompts(model, data, attention_mask=attention_mask)
    firsts = prompts.index_of(0)
    counted = prompts.real.clone()
    counted[torch.arange(len(counted), device=counted.device), firsts] = False
    positions = real_positions(prompts.real)
    if not bool(counted.any()):
        raise ValueError(
            "prompts of one token have no attention to measure, because the first query sees only itself."
        )
    sums = torch.zeros(
        len(MEASURES),
        model.cfg.n_layers,
        model.cfg.n_heads,
        dtype=torch.float64,
        device=prompts.tokens.device,
    )
    with torch.no_grad():
        for rows in prompts.batches(batch_size):
            hooks: list[Any] = []
            for layer in range(model.cfg.n_layers):
                hooks += _layer_hooks(model, layer, counted[rows], positions[rows], firsts[rows], sums)
            model.run_with_hooks(
                prompts.tokens[rows], return_type=None, fwd_hooks=hooks, attention_mask=prompts.mask_of(rows)
            )
    if not bool(torch.isfinite(sums).all()):
        raise ValueError("attention is not finite on these prompts: does the model give NaN?")
    means = sums / counted.sum()
    return AttentionStatistics(
        **{
            name: make_result(means[index], ("layer", "head"), what.capitalize(), unit, prompts.provenance)
            for index, (name, (what, unit)) in enumerate(MEASURES.items())
        }
    )


def _layer_hooks(
    model: HookedTransformer,
    layer: int,
    counted: torch.Tensor,
    positions: torch.Tensor,
    firsts: torch.Tensor,
    sums: torch.Tensor,
) -> list[tuple[str, Any]]:
    """Two hooks for one layer: the first stores the norms of values, the second adds to `sums`."""
    kept: dict[str, torch.Tensor] = {}

    def keep(v: torch.Tensor, hook: Any) -> None:
        kept["norms"] = value_norms(model, layer, v)

    def add(pattern: Float[torch.Tensor, "batch head query key"], hook: Any) -> None:
        measured = torch.stack(_measures(at_least_float32(pattern), kept.pop("norms"), positions, firsts))
        queries = counted[None, :, None, :].to(measured.device)
        # A query at padding sees nothing and may give 0/0.
        total = torch.where(queries, measured, torch.zeros_like(measured)).sum((1, 3), dtype=torch.float64)
        sums[:, layer] += total

    return [(f"blocks.{layer}.attn.hook_v", keep), (f"blocks.{layer}.attn.hook_pattern", add)]


def _measures(
    pattern: Float[torch.Tensor, "batch head query key"],
    norms: Float[torch.Tensor, "batch head key"],
    positions: Int[torch.Tensor, "batch pos"],
    firsts: Int[torch.Tensor, " batch"],
) -> list[Float[torch.Tensor, "batch head query"]]:
    """One value per measure and query; distances and the first position count only real tokens."""
    distance = (positions[:, :, None] - positions[:, None, :]).abs().to(pattern.dtype)[:, None]
    moved = pattern * norms[:, :, None]
    first = firsts[:, None, None, None].expand(*pattern.shape[:-1], 1)
    return [
        -torch.special.xlogy(pattern, pattern).sum(-1),
        (pattern * distance).sum(-1),
        pattern.max(-1).values,
        pattern.gather(-1, first)[..., 0],
        _shares(moved).gather(-1, first)[..., 0],
    ]


def _shares(sizes: Float[torch.Tensor, "*rest key"]) -> Float[torch.Tensor, "*rest key"]:
    """Each key's share of the sum; 0 for all keys if the sum is 0."""
    total = sizes.sum(-1, keepdim=True)
    return sizes / total.masked_fill(total == 0, 1.0)


def value_norms(
    model: HookedTransformer, layer: int, v: Float[torch.Tensor, "batch key kv_head d_head"]
) -> Float[torch.Tensor, "batch head key"]:
    """‖value W_O‖ of every head and position, from the Gram matrix of W_O; no tensor of width d_model is made."""
    W_O, v = at_least_float32(model.blocks[layer].attn.W_O.detach()), at_least_float32(v)
    v = v.repeat_interleave(W_O.shape[0] // v.shape[2], dim=2)
    squared = einsum(v, W_O @ W_O.mT, v, "batch key head i, head i j, batch key head j -> batch head key")
    return squared.clamp(min=0).sqrt()


@checked_arguments
def norm_weighted_attention(
    model: HookedTransformer,
    data: TaskOrTokens,
    layer: int,
    head: int,
    *,
    example: int = 0,
    attention_mask: Shaped[torch.Tensor, "batch pos"] | None = None,
) -> Result:
    """‖attention × value W_O‖ of one head on one prompt (query, key): how much each position contributes.

    Rows are divided by their sum, so that they can be compared with the attention pattern. Source: Kobayashi et al.
    2020, section 3 (with the value's bias, and before a norm of the sublayer's output if there is one).

    Args:
        example: index of the prompt.
        attention_mask: for plain tokens, True where a token is real; None uses their own mask. Padding is excluded.

    Raises:
        ValueError: for a layer, head or prompt that does not exist.
    """
    prompts = as_prompts(model, data, attention_mask=attention_mask)
    check_head(model, layer, head)
    if not 0 <= example < len(prompts.tokens):
        raise ValueError(f"there is no prompt {example}: there are {len(prompts.tokens)}.")
    weights = _norm_weights(model, prompts, layer, head, example)
    labels = np.array(prompts.labels)[prompts.real[example].cpu().numpy()]
    return make_result(
        weights,
        ("query", "key"),
        f"Attention of a{layer}.h{head}, weighted by the norm of what it moves",
        "share",
        prompts.provenance,
        {"query": labels, "key": labels},
        kind="heatmap",
    )


def _norm_weights(
    model: HookedTransformer, prompts: Prompts, layer: int, head: int, example: int
) -> torch.Tensor:
    tokens = prompts.tokens[example].ids[prompts.real[example]]
    names = [f"blocks.{layer}.attn.hook_{part}" for part in ("pattern", "v")]
    with torch.no_grad():
        _, cache = model.run_with_cache(Tokens(tokens[None]), return_type=None, names_filter=names)
        norms = value_norms(model, layer, cache[names[1]])[0, head]
        weights = cache[names[0]][0, head] * norms
    if not bool(torch.isfinite(weights).all()):
        raise ValueError("attention is not finite on this prompt: does the model give NaN?")
    return _shares(weights)
