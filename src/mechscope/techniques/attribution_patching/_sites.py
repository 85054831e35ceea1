"""What attribution patching estimates: sites, the axes that are told apart, and how products are summed."""

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
from mechscope.techniques.activation_patching import KINDS

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
    """A site, and what is told apart there beside the layer."""

    asked: str
    """As the caller wrote it."""
    site: str
    """Short name of the hook point."""
    by: tuple[str, ...]
    places: tuple[Position, ...]
    """The positions that are told apart, if any."""
    named: bool
    """Whether these are named positions, which must be picked out."""

    def hooks(self, model: HookedTransformer) -> list[str]:
        """The site in every layer."""
        return [get_act_name(self.site, layer) for layer in range(model.cfg.n_layers)]

    @property
    def words(self) -> str:
        """For titles."""
        return KINDS[self.site].words

    def sum_up(self, change: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
        """change . gradient, summed over what is not told apart [batch, *by]; no product is kept."""
        axes = _AXES.get(self.site, _STREAM)
        kept = ("batch", *(dim for dim in axes if dim in self.by))
        names = " ".join(axes)
        return self.order(einsum(change, gradient, f"{names}, {names} -> {' '.join(kept)}"), kept)

    def order(self, values: torch.Tensor, axes: Sequence[str]) -> torch.Tensor:
        """Values with these axes as [batch, *by], at the positions that are asked for."""
        values = values.permute([list(axes).index(dim) for dim in ("batch", *self.by)])
        for dim in ("pos", "query"):
            if self.named and dim in self.by:
                axis = 1 + self.by.index(dim)
                values = torch.stack([place.take(values, axis) for place in self.places], axis)
        return values

    def coords(self, layers: int) -> dict[str, Any]:
        """Coordinates of the result's axes that do not count from 0."""
        labels = np.asarray([place.label for place in self.places])
        return {"layer": np.arange(layers)} | {
            dim: labels for dim in self.by if dim in ("pos", "query", "key")
        }


def resolve_sites(model: HookedTransformer, task: Task, sites: str | Sequence[str], by: By) -> list[Target]:
    """The targets that are asked for.

    Raises:
        KeyError: for a site that does not exist, or that this model does not have.
        ValueError: for no sites, axes that a site does not have, or positions that cannot be told apart.
    """
    asked = [sites] if isinstance(sites, str) else list(sites)
    if not asked:
        raise ValueError("the list of sites is empty; name at least one, such as 'head' or 'neuron'.")
    if by is not None and not isinstance(by, Mapping):
        if len(asked) > 1:
            raise ValueError(
                "with several sites, say by site what is told apart: by={'head': ('pos', 'head')}."
            )
        by = {asked[0]: by}
    return [_target(model, task, name, (by or {}).get(name)) for name in asked]


def _target(model: HookedTransformer, task: Task, asked: str, by: Sequence[str] | None) -> Target:
    site = SYNONYMS.get(asked, asked)
    if site not in KINDS:
        raise KeyError(f"{asked!r} is no site; there are {', '.join([*SYNONYMS, *KINDS])}.")
    kind = KINDS[site]
    dims = tuple(kind.usual if by is None else by)
    if any(dim not in kind.dims for dim in dims) or len(set(dims)) < len(dims):
        raise ValueError(f"{asked!r} can be told apart by {', '.join(kind.dims)}, not by {dims}.")
    model.match_hook_names([get_act_name(site, layer) for layer in range(model.cfg.n_layers)])
    places: list[Position] = []
    if any(dim in ("pos", "query", "key") for dim in dims):
        places = each_position(task)
        if "key" in dims and not task.aligned:
            raise ValueError("key positions can be told apart only where all prompts are aligned.")
    return Target(asked, site, dims, tuple(places), bool(places) and not task.aligned)
