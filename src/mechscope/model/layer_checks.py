"""Check that a model has layers, and a given layer or head, with the same error everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


def check_has_layers(model: HookedTransformer, what: str) -> None:
    """Refuse a model without layers.

    Args:
        what: the subject of the error's sentence, such as "activation patching".

    Raises:
        ValueError: for a model with n_layers=0.
    """
    if model.cfg.n_layers == 0:
        raise ValueError(
            f"{what} needs a model with layers, but this one has none (n_layers=0): it only embeds and unembeds. "
            "Use a model with at least one layer, or read this one with logit_lens or direct_logit_attribution."
        )


def check_layer(model: HookedTransformer, layer: int) -> None:
    """Refuse a layer that the model does not have.

    Raises:
        ValueError: with the number of layers.
    """
    n_layers = model.cfg.n_layers
    if not 0 <= layer < n_layers:
        there = "no layers at all" if n_layers == 0 else f"{n_layers}, numbered 0 to {n_layers - 1}"
        raise ValueError(f"there is no layer {layer}: this model has {there}.")


def check_head(model: HookedTransformer, layer: int, head: int | None = None) -> None:
    """Refuse a layer, or a head if one is given, that the model does not have.

    Raises:
        ValueError: with the number of layers or heads.
    """
    check_layer(model, layer)
    if head is not None and not 0 <= head < model.cfg.n_heads:
        raise ValueError(
            f"there is no head {head}: each layer of this model has {model.cfg.n_heads} heads, numbered from 0."
        )
