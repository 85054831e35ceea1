"""Hook names and their short forms."""

from __future__ import annotations

import re

# The component of a block that the hook point of a short name belongs to.
IN_ATTENTION = frozenset({"q", "k", "v", "z", "rot_q", "rot_k", "attn_scores", "pattern", "result"})
IN_MLP = frozenset({"pre", "post", "mid", "pre_linear"})
IN_NORM = frozenset({"scale", "normalized"})

# Other names that notebooks use for the same activations.
ALIASES = {
    "attn": "pattern",
    "attn_logits": "attn_scores",
    "mlp_pre": "pre",
    "mlp_mid": "mid",
    "mlp_post": "post",
}
LAYER_TYPES = {"a": "attn", "attention": "attn", "m": "mlp", "b": "", "block": "", "blocks": ""}

_COMPACT = re.compile(r"([a-z_]*[a-z])(\d+)([a-z][a-z0-9_]*)?")


def get_act_name(name: str, layer: int | str | None = None, layer_type: str | None = None) -> str:
    """The full hook name for a short name.

    Args:
        name: an activation ("q", "resid_pre", "attn_scores"), a compact form ("k6", "scale4ln1"), or a full name,
            which is returned unchanged.
        layer: the block, from 0.
        layer_type: the component of the block, if the activation does not imply it: "ln1", "ln2", "attn" (or "a"),
            "mlp" (or "m").

    >>> get_act_name("k", 6), get_act_name("normalized", 2, "ln2")
    ('blocks.6.attn.hook_k', 'blocks.2.ln2.hook_normalized')
    >>> get_act_name("pre5"), get_act_name("scale4ln1"), get_act_name("embed")
    ('blocks.5.mlp.hook_pre', 'blocks.4.ln1.hook_scale', 'hook_embed')
    >>> get_act_name("scale")
    'ln_final.hook_scale'

    Raises:
        TypeError: for a name that is not a string.
        ValueError: for an impossible layer, a layer together with a full name, or a component that does not have the
            activation.
    """
    if not isinstance(name, str):
        raise TypeError(f"an activation's name is a string, not {type(name).__name__} ({name!r}).")
    if "." in name or (name.startswith("hook_") and layer is None and layer_type is None):
        if layer is not None or layer_type is not None:
            raise ValueError(
                f"{name!r} is a full hook name, so it needs no layer; to give a layer, use a short name such as 'q'."
            )
        return name
    if layer is None and layer_type is None:
        compact = _COMPACT.fullmatch(name)
        if compact is not None:
            name, layer, layer_type = compact.groups()
    name = name.removeprefix("hook_")
    name = ALIASES.get(name, name)
    part = _part(name, layer, layer_type)
    block = "" if layer is None else f"blocks.{_layer_number(name, layer)}."
    return f"{block}{part}hook_{name}"


def _part(name: str, layer: int | str | None, layer_type: str | None) -> str:
    """The component between block and hook point, with a dot after it."""
    for home, names in (("attn", IN_ATTENTION), ("mlp", IN_MLP)):
        if name in names:
            if layer_type is not None and LAYER_TYPES.get(layer_type, layer_type) not in (home, ""):
                raise ValueError(f"{name!r} is an activation of {home!r}, not of {layer_type!r}.")
            return f"{home}."
    if layer_type is not None:
        part = LAYER_TYPES.get(layer_type, layer_type)
    elif name in IN_NORM and layer is None:
        part = "ln_final"
    else:
        part = ""
    return f"{part}." if part else ""


def _layer_number(name: str, layer: int | str) -> int:
    try:
        number = int(layer)
    except (TypeError, ValueError):
        number = -1
    if number < 0 or isinstance(layer, (bool, float)):
        raise ValueError(f"the layer of {name!r} must be a whole number of at least 0, not {layer!r}.")
    return number
