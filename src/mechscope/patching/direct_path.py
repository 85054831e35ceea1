"""Patch a head's direct path to the logits, and nothing on the way."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from einops import einsum
from jaxtyping import Float
from tqdm import tqdm

from mechscope.arguments import checked_arguments
from mechscope.model.layer_checks import check_has_layers
from mechscope.model.names import get_act_name
from mechscope.patching.sweep import Metric, as_tokens, check_clean_run, single_number

if TYPE_CHECKING:
    from mechscope.model.activation_cache import ActivationCache
    from mechscope.model.transformer import HookedTransformer


@checked_arguments
def get_act_patch_direct_path(
    model: HookedTransformer,
    corrupted_tokens: torch.Tensor | str | list[str],
    clean_cache: ActivationCache | Mapping[str, torch.Tensor],
    patching_metric: Metric,
    *,
    progress: bool = True,
) -> Float[torch.Tensor, "layer head"]:
    """What each head does to the metric by itself: [layer head].

    The head writes what it wrote in the clean run, at all positions, and only the final norm and the
    unembedding see it: every head and MLP after it does what it did in the corrupted run. One corrupted
    pass is enough; then each head costs an unembedding.

    Source: Wang et al. 2022, "Interpretability in the Wild", section 3.1 (path patching from a head to
    the logits).

    Raises:
        ValueError: for a clean run of another length or batch size, or a model that norms its sublayers'
            outputs, where a head has no path of its own.
    """
    if model.cfg.norm_placement != "pre":
        raise ValueError(
            "this model norms each sublayer's output, so no single head has a direct path to the logits."
        )
    tokens = as_tokens(model, corrupted_tokens)
    check_has_layers(model, "direct path patching")
    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    check_clean_run(model, clean_cache, "z", tokens, range(n_layers))
    z_names = [get_act_name("z", layer) for layer in range(n_layers)]
    last = get_act_name("resid_post", n_layers - 1)
    effects = torch.zeros(n_layers, n_heads, device=model.cfg.device)
    with torch.no_grad(), tqdm(total=effects.numel(), disable=not progress) as bar:
        _, corrupted = model.run_with_cache(tokens, return_type=None, names_filter=[*z_names, last])
        for layer, name in enumerate(z_names):
            change = clean_cache[name].to(corrupted[name].device) - corrupted[name]
            for head in range(n_heads):
                written = einsum(
                    change[:, :, head],
                    model.blocks[layer].attn.W_O[head],
                    "batch pos d_head, d_head d_model -> batch pos d_model",
                )
                logits = model.unembed(model.ln_final(corrupted[last] + written))
                effects[layer, head] = single_number(patching_metric(logits))
                bar.update()
    return effects
