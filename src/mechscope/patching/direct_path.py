"""Patch the direct path from a head to the logits, and no other path."""

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
from mechscope.patching.sweep import Metric, check_clean_run, single_number

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
    """The metric when only the direct path from one head to the logits is patched, for each head [layer head].

    The head's output at all positions is that of the clean run, but only the final norm and the unembedding see it: all
    later heads and MLPs have the outputs of the corrupted run. This takes one corrupted pass, and one unembedding per
    head.

    Source: Wang et al. 2022, "Interpretability in the Wild", section 3.1 (path patching from a head to the logits).

    Args:
        model: the model.
        corrupted_tokens: tokens [batch pos] (or text) of the run that is patched.
        clean_cache: the activations of the clean run, of the same length.
        patching_metric: a function from logits [batch pos d_vocab] to a number.
        progress: show a progress bar.

    Raises:
        ValueError: for a clean run of another length or batch size, or a model that normalizes the outputs of its
            sublayers, in which heads have no direct path.
    """
    if model.cfg.norm_placement != "pre":
        raise ValueError(
            "this model normalizes the output of each sublayer, so a single head has no direct path to the logits."
        )
    tokens = model.as_tokens(corrupted_tokens)
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
