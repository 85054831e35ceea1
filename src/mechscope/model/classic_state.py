"""Read state dicts as other programs save them: wrapped, with prefixes, and with buffers that are not weights.

Training scripts save `{"model": …, "optimizer": …}`; `torch.compile`, data parallel and Lightning put `_orig_mod.`,
`module.` and `model.` in front of every name; the classic class also saves each block's causal mask and its fill value.
`weights_of` extracts the weights under our names. `ClassicStateDict` does the opposite for notebooks: it offers the
classic class's buffers by name, although our models do not have them.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

import torch

from mechscope.arguments import shown

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig

WRAPPERS = ("state_dict", "model_state_dict", "model", "module", "weights")
"""Keys under which training scripts save a model's weights."""
BUFFERS = re.compile(r"(^|\.)(mask|IGNORE|rotary_sin|rotary_cos|alibi)$")
"""Names of buffers in classic checkpoints that are not weights."""
EMBEDDINGS = frozenset({"model.embed.W_E", "model.embed.embed.W_E"})
_PREFIXES = re.compile(r"^(?:(?:module|_orig_mod)\.)+|(?<=\.)_orig_mod\.")
_MASK = re.compile(r"blocks\.(\d+)\.attn\.(mask|IGNORE)")


def unwrapped(state: Mapping[str, Any]) -> Mapping[str, Any]:
    """Extract the tensors from `{"model": {…}, "epoch": 3}` and the like; a state dict is returned unchanged.

    >>> unwrapped({"model": {"embed.W_E": torch.ones(1)}, "step": 3}).keys()
    dict_keys(['embed.W_E'])
    """
    if not isinstance(state, Mapping):
        raise TypeError(f"a state dict is a mapping from names to tensors, not {shown(state)}.")
    while True:
        inside = [name for name in WRAPPERS if isinstance(state.get(name), Mapping)]
        if not inside and len(state) == 1:
            inside = [name for name, value in state.items() if isinstance(value, Mapping)]
        if not inside:
            return state
        state = cast("Mapping[str, Any]", state[inside[0]])


def weights_of(state: Mapping[str, Any]) -> OrderedDict[str, torch.Tensor]:
    """The weights of a state dict: unwrapped, without prefixes, and without the classic class's buffers.

    Raises:
        ValueError: if two names become the same.
    """
    inner = unwrapped(state)
    found: OrderedDict[str, torch.Tensor] = OrderedDict()
    names = {name: _PREFIXES.sub("", name) for name in inner}
    # The prefix of Lightning; Hugging Face's own names also start with it and keep it.
    if all(plain.startswith("model.") for plain in names.values()) and EMBEDDINGS & set(names.values()):
        names = {name: plain.removeprefix("model.") for name, plain in names.items()}
    for name, value in inner.items():
        plain = names[name]
        if BUFFERS.search(plain):
            continue
        if plain in found:
            raise ValueError(f"the state dict has {plain!r} twice, with and without a prefix.")
        found[plain] = value
    # Here torch stores the versions of modules.
    metadata = getattr(inner, "_metadata", None)
    if metadata is not None:
        found._metadata = metadata  # type: ignore[attr-defined]
    return found


def drop_unused(
    state: Mapping[str, torch.Tensor], cfg: HookedTransformerConfig
) -> Mapping[str, torch.Tensor]:
    """The state dict without weights that a model with this config does not use.

    These are W_U if embeddings are tied, and the position embeddings that the classic class stores in models with ALiBi
    but never adds.

    Raises:
        ValueError: if W_U is not the transpose of W_E, so that tying them would change the model.
    """
    if cfg.positional_embedding_type == "alibi" and "pos_embed.W_pos" in state:
        state = OrderedDict((name, value) for name, value in state.items() if name != "pos_embed.W_pos")
    if not cfg.tie_word_embeddings or "unembed.W_U" not in state:
        return state
    W_U, W_E = state["unembed.W_U"], state.get("embed.W_E")
    if W_E is not None and W_U.device.type != "meta":
        same = W_U.shape == W_E.mT.shape and torch.equal(W_U.to(W_E), W_E.mT)
        if not same:
            raise ValueError(
                "the config has tie_word_embeddings=True, but the weights have an unembedding that is not the "
                "transpose of the embedding: set tie_word_embeddings=False to keep both."
            )
    return OrderedDict((name, value) for name, value in state.items() if name != "unembed.W_U")


class ClassicStateDict(OrderedDict[str, Any]):
    """A model's state dict, in which the classic class's buffers can also be looked up by name.

    `state["blocks.0.attn.mask"]` and `state["blocks.0.attn.IGNORE"]` exist for notebooks that copy them from one state
    dict to another. They are not among its names, so that saving, counting and comparing involve only the weights.
    """

    _metadata: Any

    def __init__(self, state: Mapping[str, Any], n_layers: int, n_ctx: int, causal: bool) -> None:
        super().__init__(state)
        self._metadata = getattr(state, "_metadata", OrderedDict())
        self._shape = n_layers, n_ctx, causal

    def __missing__(self, name: str) -> torch.Tensor:
        n_layers, n_ctx, causal = self._shape
        match = _MASK.fullmatch(name) if isinstance(name, str) else None
        if match is None or int(match[1]) >= n_layers:
            raise KeyError(name)
        if match[2] == "IGNORE":
            return torch.tensor(-torch.inf)
        everywhere = torch.ones(n_ctx, n_ctx, dtype=torch.bool)
        return everywhere.tril() if causal else everywhere

    def copy(self) -> ClassicStateDict:
        return ClassicStateDict(self, *self._shape)

    def __reduce__(self) -> Any:
        # Pickled as a plain OrderedDict, which torch.load can read without running code.
        plain = OrderedDict(self)
        plain._metadata = self._metadata  # type: ignore[attr-defined]
        return plain.__reduce__()
