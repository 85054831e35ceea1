"""The kinds of sites: neurons, attention heads, a dictionary's latents, and directions from a file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from einops import einsum
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.exchange.load_dictionary import load_dictionary
from mechscope.dictionaries.files import load
from mechscope.dictionaries.head import head_read, head_written, read_part
from mechscope.model.names import get_act_name
from mechscope.model.precision import at_least_float32
from mechscope.model.sites import Site as Place
from mechscope.model.transformer import HookedTransformer
from mechscope.neuroscope.sites import Site
from mechscope.reading import open_safetensors
from mechscope.techniques._folded_weights import write_weight, written

if TYPE_CHECKING:
    from mechscope.neuroscope.sites import AnyModel

ONE_SIDED = frozenset({
    "relu", "gelu", "gelu_new", "gelu_pytorch_tanh", "gelu_fast", "silu", "solu",
})  # fmt: skip
"""Activation functions whose negative values are small: a neuron is on or off."""
_IN_RESIDUAL = ("resid_pre", "resid_mid", "resid_post", "attn_out", "mlp_out", "embed")


class Neurons(Site):
    """The neurons of one block."""

    def __init__(self, model: AnyModel, block: int) -> None:
        self.name = self.source = f"mlp{block}"
        self.model, self.number = model, block
        self.hook = f"blocks.{block}.mlp.hook_post"
        self.hooks = (self.hook,)
        self.units = int(model.cfg.d_mlp or 0)
        # Behind a gate, or a norm, the sign is that of another factor.
        self.signed = model.cfg.gated_mlp or model.cfg.act_fn not in ONE_SIDED

    def read(self, activations: Mapping[str, Tensor]) -> Tensor:
        return at_least_float32(activations[self.hook])

    def output_weights(self) -> Tensor | None:
        model = self.model
        if not isinstance(model, HookedTransformer):
            # An encoder normalizes after every block.
            return None
        return written(model, self.number, "mlp", model.blocks[self.number].mlp.W_out)


class Heads(Site):
    """One statistic of the heads of one block, at each query position."""

    def __init__(self, model: AnyModel, block: int, statistic: str) -> None:
        self.name = self.source = f"attn{block}.{statistic}"
        self.statistic = statistic
        self.pattern, self.values = f"blocks.{block}.attn.hook_pattern", f"blocks.{block}.attn.hook_v"
        self.hooks = (self.pattern, self.values) if statistic == "norm" else (self.pattern,)
        self.attention = model.blocks[block].attn
        self.units = model.cfg.n_heads
        self.signed = True

    def read(self, activations: Mapping[str, Tensor]) -> Tensor:
        pattern = at_least_float32(activations[self.pattern])
        if self.statistic == "entropy":
            found = torch.special.entr(pattern).sum(-1)
        elif self.statistic == "distance":
            queries = torch.arange(pattern.shape[-2], device=pattern.device)[:, None]
            keys = torch.arange(pattern.shape[-1], device=pattern.device)
            found = (pattern * (queries - keys).abs()).sum(-1)
        else:
            lengths = self._value_lengths(at_least_float32(activations[self.values]))
            found = einsum(pattern, lengths, "batch head query key, batch key head -> batch head query")
        return found.transpose(1, 2).contiguous()

    def output_weights(self) -> None:
        return None

    def _value_lengths(
        self, values: Float[Tensor, "batch pos head_kv d_head"]
    ) -> Float[Tensor, "batch pos head"]:
        """The lengths of the value vectors after W_O."""
        W_O = at_least_float32(self.attention.W_O.detach())
        gram = einsum(W_O, W_O, "head d_head d_model, head d_head_too d_model -> head d_head d_head_too")
        # In grouped attention, several heads share a value.
        values = values.repeat_interleave(self.units // values.shape[2], dim=2)
        squared = einsum(
            values, gram, values, "batch pos head i, head i j, batch pos head j -> batch pos head"
        )
        return squared.clamp(min=0).sqrt()


class Latents(Site):
    """The latents of a dictionary, at the hook point in its metadata."""

    def __init__(self, model: AnyModel, source: str) -> None:
        path = Path(source)
        self.name, self.source = path.resolve().name if path.exists() else source, source
        dictionary = load_dictionary(path) if path.exists() else load(source)
        self.dictionary = dictionary.to(model.cfg.device).float().eval()
        hook = self.dictionary.metadata.get("hook_name")
        if hook is None:
            raise ValueError(
                f"the dictionary {self.name} does not say at which hook point it was trained: its metadata has no "
                "'hook_name'. Set it and save the dictionary again."
            )
        self.model, self.hook = model, str(model.match_hook_names(str(hook))[0])
        self.hooks = (self.hook,)
        self.head = head_read(self.dictionary)
        self.units = int(self.dictionary.cfg.d_sae)
        self.signed = False
        width = _width(model, self.hook, whole=self.head is None)
        if width not in (None, self.dictionary.cfg.d_in):
            raise ValueError(
                f"the dictionary {self.name} reads vectors of width {self.dictionary.cfg.d_in}, but {self.hook} of "
                f"{model.cfg.model_name or 'this model'} has width {width}: it belongs to another model."
            )
        if self.dictionary.mixes_examples:
            raise ValueError(
                f"the dictionary {self.name} selects latents over a whole batch, because its threshold is not known: "
                "its activations would depend on what is read together. Train it further, or convert it."
            )

    def read(self, activations: Mapping[str, Tensor]) -> Tensor:
        return at_least_float32(
            self.dictionary.encode(read_part(activations[self.hook], self.head, self.hook))
        )

    def output_weights(self) -> Tensor | None:
        hook = self.hook
        if self.dictionary.cfg.transcodes:
            target = self.dictionary.metadata.get("hook_name_out")
            if target is None:
                return None
            hook = str(self.model.match_hook_names(str(target))[0])
        head = head_written(self.dictionary, read=self.head)
        W_dec = at_least_float32(self.dictionary.W_dec.detach()) / self.dictionary.scale_out
        return _in_residual(self.model, hook, W_dec, head)


class Directions(Site):
    """Directions at a hook point, from a safetensors file with one matrix [unit width].

    The activation of a unit is the projection, x · d. It rises by 1 if x moves by d / |d|², which is what
    `output_weights` and changes of a unit go by. For a direction of length 1, this is the direction itself.
    """

    def __init__(self, model: AnyModel, path: Path, hook: str) -> None:
        self.model, self.hook = model, str(model.match_hook_names(get_act_name(hook))[0])
        self.name, self.source = path.stem, f"{path}@{hook}"
        self.hooks = (self.hook,)
        self.directions = _read_directions(path).to(model.cfg.device)
        self.steps = self.directions / self.directions.square().sum(1, keepdim=True)
        """What must be added at the hook point so that a unit's activation rises by 1."""
        self.units = len(self.directions)
        self.signed = True
        width = _width(model, self.hook, whole=True)
        if width not in (None, self.directions.shape[1]):
            raise ValueError(
                f"the directions in {path} have width {self.directions.shape[1]}, but {self.hook} of "
                f"{model.cfg.model_name or 'this model'} has width {width}."
            )

    def read(self, activations: Mapping[str, Tensor]) -> Tensor:
        return at_least_float32(activations[self.hook]).flatten(2) @ self.directions.T

    def output_weights(self) -> Tensor | None:
        return _in_residual(self.model, self.hook, self.steps, None)


def _read_directions(path: Path) -> Float[Tensor, "unit width"]:
    with open_safetensors(path) as file:
        names = list(file.keys())
        name = "directions" if "directions" in names else names[0] if len(names) == 1 else None
        if name is None:
            raise ValueError(
                f"{path} has {len(names)} tensors ({', '.join(names[:6])}); the directions must be the only one, or be "
                "called 'directions'."
            )
        found: Tensor = file.get_tensor(name)
    if found.ndim != 2 or not found.is_floating_point() or not len(found):
        raise ValueError(
            f"{name!r} in {path} must be a matrix of numbers [unit width], not {found.dtype} {tuple(found.shape)}."
        )
    found = at_least_float32(found)
    if not bool(found.isfinite().all()):
        raise ValueError(f"{name!r} in {path} has numbers that are not finite.")
    if len(empty := (~found.any(1)).nonzero()):
        raise ValueError(
            f"row {int(empty[0])} of {name!r} in {path} has only zeros, which is no direction: leave it out."
        )
    return found


def _width(model: AnyModel, hook: str, *, whole: bool) -> int | None:
    """The width of an activation, of all heads together if `whole`; None if it is not known from the name."""
    try:
        axes = Place.of(hook).axes(model.cfg)  # pyright: ignore[reportArgumentType]
    except ValueError:
        return None
    if axes is None or axes[1] == 0:
        return None
    heads, width = axes
    return width * heads if whole and heads is not None else width


def _in_residual(
    model: AnyModel, hook: str, weights: Float[Tensor, "unit width"], head: int | None
) -> Float[Tensor, "unit d_model"] | None:
    """What vectors at a hook point add to the residual stream; None if the point does not write there linearly."""
    if not isinstance(model, HookedTransformer):
        return None
    try:
        place = Place.of(hook)
    except ValueError:
        return None
    if place.part.removeprefix("hook_") in _IN_RESIDUAL:
        return weights
    if place.part == "mlp.hook_post":
        return weights @ written(model, place.layer, "mlp", model.blocks[place.layer].mlp.W_out)
    if place.part == "attn.hook_z":
        W_O = write_weight(model, place.layer)
        return weights @ (W_O.flatten(0, 1) if head is None else W_O[head])
    return None
