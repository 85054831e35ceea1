"""Patch only the direct path from one head to the queries, keys or values of a later head."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import torch
from einops import einsum
from jaxtyping import Float
from tqdm import tqdm

from mechscope.model.components.normalization import Norm
from mechscope.model.names import get_act_name
from mechscope.patching.sweep import Metric, check_clean_run, single_number

if TYPE_CHECKING:
    from mechscope.model.hook_points import HookFunction
    from mechscope.model.transformer import HookedTransformer

Component = Literal["q", "k", "v"]
COMPONENTS = ("q", "k", "v")


def get_act_patch_direct_path(
    model: HookedTransformer,
    corrupted_tokens: Any,
    clean_cache: Any,
    corrupted_cache: Any,
    patching_metric: Metric,
    src_layer: int,
    src_head: int,
    component: Component = "q",
    verbose: bool = True,
) -> Float[torch.Tensor, "layer head"]:
    """The metric when only one later head reads the source head's clean output, for each later head [layer head].

    The queries (keys, values) of the later head change by the direct contribution of the source head, scaled like the
    norm of the corrupted run; everything else reads the source head's corrupted output. Layers up to that of the source
    are 0.

    Source: Wang et al. 2022, "Interpretability in the Wild" (path patching), with the scale of the norm held fixed.

    Args:
        model: the model.
        corrupted_tokens: tokens [batch pos] (or text) of the run that is patched.
        clean_cache: the activations of the clean run.
        corrupted_cache: the activations of the corrupted run.
        patching_metric: a function from logits [batch pos d_vocab] to a number.
        src_layer: the layer of the source head.
        src_head: the source head.
        component: the input of the later head to patch: "q", "k" or "v".
        verbose: show a progress bar.

    Raises:
        ValueError: for runs whose lengths or batch sizes differ, a head that the model does not have, grouped keys and
            values (which several heads share), or a model that normalizes the outputs of its sublayers.
    """
    tokens = model.as_tokens(corrupted_tokens)
    _check(model, clean_cache, corrupted_cache, tokens, src_layer, src_head, component)
    name = get_act_name("z", src_layer)
    written = einsum(
        (clean_cache[name] - corrupted_cache[name])[:, :, src_head],
        model.blocks[src_layer].attn.W_O[src_head],
        "batch pos d_head, d_head d_model -> batch pos d_model",
    )
    results = torch.zeros(model.cfg.n_layers, model.cfg.n_heads, device=model.cfg.device)
    later = range(src_layer + 1, model.cfg.n_layers)
    with torch.no_grad(), tqdm(total=len(later) * model.cfg.n_heads, disable=not verbose) as bar:
        for layer in later:
            read = _through_norm(model, corrupted_cache, layer, written)
            weight = getattr(model.blocks[layer].attn, f"W_{component.upper()}")
            hook_name = get_act_name(component, layer)
            for head in range(model.cfg.n_heads):
                hook = _adding_to(head, read @ weight[head])
                logits = model.run_with_hooks(tokens, fwd_hooks=[(hook_name, hook)])
                results[layer, head] = single_number(patching_metric(logits))
                bar.update()
    return results


def get_act_patch_direct_path_all_sources(
    model: HookedTransformer,
    corrupted_tokens: Any,
    clean_cache: Any,
    corrupted_cache: Any,
    patching_metric: Metric,
    component: Component = "q",
    verbose: bool = True,
) -> Float[torch.Tensor, "layer head layer head"]:
    """`get_act_patch_direct_path` from every head [source_layer source_head layer head].

    See `get_act_patch_direct_path` for the arguments.
    """
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    results = torch.zeros(n_layers, n_heads, n_layers, n_heads, device=model.cfg.device)
    sources = [(layer, head) for layer in range(n_layers) for head in range(n_heads)]
    for layer, head in tqdm(sources, disable=not verbose):
        results[layer, head] = get_act_patch_direct_path(
            model,
            corrupted_tokens,
            clean_cache,
            corrupted_cache,
            patching_metric,
            layer,
            head,
            component,
            False,
        )
    return results


def _check(
    model: HookedTransformer,
    clean_cache: Any,
    corrupted_cache: Any,
    tokens: torch.Tensor,
    src_layer: int,
    src_head: int,
    component: str,
) -> None:
    cfg = model.cfg
    if component not in COMPONENTS:
        raise ValueError(f"component must be 'q', 'k' or 'v', not {component!r}.")
    if not (0 <= src_layer < cfg.n_layers and 0 <= src_head < cfg.n_heads):
        raise ValueError(
            f"there is no head {src_head} in layer {src_layer}: this model has {cfg.n_layers} layers of "
            f"{cfg.n_heads} heads."
        )
    if cfg.norm_placement != "pre":
        raise ValueError(
            "this model normalizes the output of each sublayer, so there are no direct paths between single heads."
        )
    if component != "q" and cfg.n_key_value_heads is not None:
        raise ValueError(
            "heads share keys and values in this model, so no path leads to those of a single head; use component='q'."
        )
    for cache in (clean_cache, corrupted_cache):
        check_clean_run(model, cache, "z", tokens, [src_layer])


def _through_norm(model: HookedTransformer, cache: Any, layer: int, change: torch.Tensor) -> torch.Tensor:
    """A change of the residual stream after the first norm of a layer, with its scale held fixed."""
    norm = model.blocks[layer].ln1
    if not isinstance(norm, Norm):
        return change
    if norm.centre:
        change = change - change.mean(-1, keepdim=True)
    change = change / cache["scale", layer, "ln1"]
    return change if norm.w is None else change * norm.w


def _adding_to(head: int, change: torch.Tensor) -> HookFunction:
    def add(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        del hook
        activation[:, :, head] += change
        return activation

    return add
