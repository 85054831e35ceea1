"""The targets of attribution patching: sites, the axes along which effects are separated, and sums over the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from einops import einsum

from mechscope.model.names import get_act_name
from mechscope.tasks.positions import Position, each_position
from mechscope.tasks.task import Task
from mechscope.techniques.activation_patching import KINDS, site_dims

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

SYNONYMS = {"head": "z", "neuron": "post"}
_AXES = {
    "pattern": ("batch", "head", "query", "key"),
    "post": ("batch", "pos", "d_mlp"),
    **dict.fromkeys(("z", "q", "k", "v"), ("batch", "pos", "head", "d_head")),
}
_STREAM = ("batch", "pos", "d_model")

By = Sequence[str] | Mapping[str, Sequence[str]] | None


@dataclass(frozen=True)
class Target:
    """A site, and the axes besides the layer along which effects are separated."""

    name: str
    """The site as the caller wrote it."""
    site: str
    """Short name of the hook point."""
    by: tuple[str, ...]
    """Axes along which effects are separated."""
    positions: tuple[Position, ...]
    """Positions by which effects are separated, if any."""
    named: bool
    """Whether these are named positions, which must be selected."""

    def hooks(self, model: HookedTransformer) -> list[str]:
        """The hook points of the site in all layers."""
        return [get_act_name(self.site, layer) for layer in range(model.cfg.n_layers)]

    @property
    def words(self) -> str:
        """The name of the activation in titles."""
        return KINDS[self.site].words

    def sum_up(self, change: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """change . gradient, summed over the axes that are not separated [batch, *by], without storing the product."""
        axes = _AXES.get(self.site, _STREAM)
        kept = ("batch", *(dim for dim in axes if dim in self.by))
        names = " ".join(axes)
        return self.order(einsum(change, gradient, f"{names}, {names} -> {' '.join(kept)}"), kept)

    def order(self, values: torch.Tensor, axes: Sequence[str]) -> torch.Tensor:
        """Reorder values with these axes to [batch, *by], at the separated positions."""
        values = values.permute([list(axes).index(dim) for dim in ("batch", *self.by)])
        for dim in ("pos", "query"):
            if self.named and dim in self.by:
                axis = 1 + self.by.index(dim)
                values = torch.stack([position.take(values, axis) for position in self.positions], axis)
        return values

    def coords(self, layers: int) -> dict[str, Any]:
        """Coordinates of the result's axes."""
        labels = np.asarray([position.label for position in self.positions])
        return {"layer": np.arange(layers)} | {
            dim: labels for dim in self.by if dim in ("pos", "query", "key")
        }


def resolve_sites(model: HookedTransformer, task: Task, sites: str | Sequence[str], by: By) -> list[Target]:
    """Parse the sites and axes that a caller gives.

    Raises:
        KeyError: for a site that does not exist, or that this model does not have.
        ValueError: for no sites, axes that a site does not have, or positions that cannot be separated.
    """
    names = [sites] if isinstance(sites, str) else list(sites)
    if not names:
        raise ValueError("the list of sites is empty; name at least one, such as 'head' or 'neuron'.")
    if by is not None and not isinstance(by, Mapping):
        if len(names) > 1:
            raise ValueError(
                "with several sites, `by` must be a mapping by site: by={'head': ('pos', 'head')}."
            )
        by = {names[0]: by}
    return [_target(model, task, name, (by or {}).get(name)) for name in names]


def _target(model: HookedTransformer, task: Task, name: str, by: Sequence[str] | None) -> Target:
    site = SYNONYMS.get(name, name)
    if site not in KINDS:
        raise KeyError(f"{name!r} is not a site; choose from {', '.join([*SYNONYMS, *KINDS])}.")
    kind = KINDS[site]
    dims = site_dims(site, by)
    if any(dim not in kind.dims for dim in dims) or len(set(dims)) < len(dims):
        raise ValueError(f"effects at {name!r} can be separated by {', '.join(kind.dims)}, not by {dims}.")
    model.match_hook_names([get_act_name(site, layer) for layer in range(model.cfg.n_layers)])
    positions: list[Position] = []
    if any(dim in ("pos", "query", "key") for dim in dims):
        positions = each_position(task)
        if "key" in dims and not task.aligned:
            raise ValueError("effects can be separated by key position only if all prompts are aligned.")
    return Target(name, site, dims, tuple(positions), bool(positions) and not task.aligned)
