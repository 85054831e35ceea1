"""Whether tensors by name are a dictionary's own: all there, none besides, of its shapes and its dtype."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from mechscope.dictionaries.dictionary_weights import DictionaryWeights

SCALES = ("scale_in", "scale_out")
"""Tensors that may be missing (they are 1 then), and of which one number may stand for a whole row."""


def check_state(dictionary: DictionaryWeights, state: Mapping[str, Tensor]) -> None:
    """Check what is to replace a dictionary's tensors.

    Raises:
        ValueError: for missing, unknown or misshapen tensors, or another dtype.
    """
    cfg, own = dictionary.cfg, dictionary.state_dict()
    missing = [name for name in own if name not in state and name not in SCALES]
    unknown = [name for name in state if name not in own]
    if missing or unknown:
        raise ValueError(
            f"these tensors are not those of a {cfg.architecture} dictionary: "
            + "; ".join(
                f"{what} {', '.join(names)}"
                for what, names in (("missing", missing), ("unknown", unknown))
                if names
            )
            + f" (it has {', '.join(own)})."
        )
    for name, tensor in state.items():
        shapes = {tuple(own[name].shape)}
        if name in SCALES:
            shapes = {(), (cfg.d_in if name == "scale_in" else cfg.width_out,)}
        if tuple(tensor.shape) not in shapes:
            raise ValueError(
                f"{name} has shape {tuple(tensor.shape)}; this config (d_in {cfg.d_in}, d_sae "
                f"{dictionary.features_here}, d_out {cfg.width_out}) makes it {tuple(own[name].shape)}."
            )
        if tensor.dtype != own[name].dtype:
            raise ValueError(
                f"{name} is {tensor.dtype}, and the config makes it {own[name].dtype}: convert it, or set dtype."
            )
