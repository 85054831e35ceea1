"""Sites: where units are read. A name stands for a site, so that every process can find the same units again.

| name | units | one number per token |
|---|---|---|
| `mlp0` | the neurons of block 0 | the activation, after the activation function (and the gate, if there is one) |
| `attn0.entropy` | the heads of block 0 | the entropy of the attention pattern, in nats |
| `attn0.distance` | the heads of block 0 | how far back the head attends on average, in tokens |
| `attn0.norm` | the heads of block 0 | norm-weighted attention: the sum of attention times the length of the value |
| a dictionary's name or folder | its latents | the activation |
| `FILE.safetensors@HOOK` | directions [unit width] | the projection of the activation at the hook point |

Without a number, `mlp`, `attn.entropy`, `attn.distance` and `attn.norm` stand for all blocks.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.bundled_folders import BUNDLED, bundled_dictionary_names
from mechscope.near_names import did_you_mean
from mechscope.neuroscope.units import as_names
from mechscope.reading import read_json_object

if TYPE_CHECKING:
    from mechscope.model.encoder import HookedEncoder
    from mechscope.model.transformer import HookedTransformer

    AnyModel = HookedTransformer | HookedEncoder
else:
    from typing import Any as AnyModel

STATISTICS = ("entropy", "distance", "norm")
"""What can be read of an attention head."""
_BLOCK = re.compile(r"blocks\.(\d+)\.")
_NEURONS = re.compile(r"mlp(\d*)")
_HEADS = re.compile(rf"attn(\d*)\.({'|'.join(STATISTICS)})")


class Site(ABC):
    """Where units are read."""

    name: str
    """The name in unit addresses."""
    source: str
    """What `find_sites` needs to find it again: the name, or a path."""
    hooks: tuple[str, ...]
    """The hook points that it reads."""
    units: int
    """The number of units."""
    signed: bool
    """Whether low activations mean something. A neuron behind a ReLU or a GELU is merely off when it is not above 0,
    and so is a dictionary's latent: no contexts are kept for activations of at most 0."""

    @abstractmethod
    def read(self, activations: Mapping[str, Tensor]) -> Float[Tensor, "batch pos unit"]:
        """One number per token and unit.

        Args:
            activations: hook name → activation, for all hook points of the site.
        """

    @abstractmethod
    def output_weights(self) -> Float[Tensor, "unit d_model"] | None:
        """What an activation of 1 adds to the residual stream; None if a unit has no fixed effect."""

    @property
    def block(self) -> int | None:
        """The last block that it reads; None if it reads points outside blocks."""
        blocks = [_BLOCK.match(hook) for hook in self.hooks]
        return max(int(block[1]) for block in blocks if block) if all(blocks) else None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r}, {self.units:,} units)"


def find_sites(model: AnyModel, names: str | Sequence[str]) -> tuple[Site, ...]:
    """The sites with these names, in the same order.

    >>> from mechscope import load_model
    >>> model = load_model("mini-gelu-1l")
    >>> (neurons,) = find_sites(model, "mlp0")
    >>> _, cache = model.run_with_cache("import os")
    >>> neurons.read(cache).shape
    torch.Size([1, 6, 256])

    Args:
        names: names as in the table above; a site's `source` finds the same site again.

    Raises:
        KeyError: for an unknown name or hook point; suggests similar names.
        ValueError: for no names, a name given twice, or a site that does not fit the model.
        FileNotFoundError: for a path at which there is nothing.
    """
    found = [site for name in as_names(names) for site in _sites(model, name)]
    if not found:
        raise ValueError("a harvest needs at least one site, such as 'mlp' for the neurons of all blocks.")
    known = [site.name for site in found]
    if twice := sorted({name for name in known if known.count(name) > 1}):
        raise ValueError(
            f"{', '.join(map(repr, twice))} is there twice; every site needs a name of its own (a folder's or a file's "
            "name is the name of its site)."
        )
    return tuple(found)


def located_source(source: str) -> str:
    """A site's source with an absolute path if it is a file or a folder, so that it is found from other folders too.

    >>> located_source("mlp0")
    'mlp0'
    """
    if _NEURONS.fullmatch(source) or _HEADS.fullmatch(source) or source in bundled_dictionary_names():
        return source
    path, at, hook = source.rpartition("@") if "@" in source else (source, "", "")
    return f"{Path(path).resolve()}{at}{hook}" if Path(path).exists() else source


def known_sites(model: AnyModel) -> list[str]:
    """The names of all sites of a model that need no file.

    >>> from mechscope import load_model
    >>> known_sites(load_model("mini-gelu-1l"))
    ['mlp0', 'attn0.entropy', 'attn0.distance', 'attn0.norm', 'mini-gelu-1l-neurons']
    """
    blocks = range(model.cfg.n_layers)
    neurons = [] if model.cfg.attn_only else [f"mlp{block}" for block in blocks]
    heads = [f"attn{block}.{statistic}" for block in blocks for statistic in STATISTICS]
    return [*neurons, *heads, *_dictionaries_of(model.cfg.model_name)]


def _dictionaries_of(model_name: str | None) -> list[str]:
    """The bundled dictionaries that were trained on a model."""
    return [
        name
        for name in bundled_dictionary_names()
        if read_json_object(BUNDLED / name / "config.json")["metadata"].get("model_name") == model_name
    ]


def _sites(model: AnyModel, name: str) -> list[Site]:
    from mechscope.neuroscope._site_readers import Directions, Heads, Latents, Neurons

    if (match := _NEURONS.fullmatch(name)) is not None:
        if model.cfg.attn_only:
            raise ValueError(f"{_called(model)} has no neurons: it is attention-only. Try 'attn.entropy'.")
        return [Neurons(model, block) for block in _blocks(model, name, match[1])]
    if (match := _HEADS.fullmatch(name)) is not None:
        return [Heads(model, block, match[2]) for block in _blocks(model, name, match[1])]
    path, _, hook = name.rpartition("@")
    if path:
        return [Directions(model, Path(path), hook)]
    if name in bundled_dictionary_names() or Path(name).exists():
        return [Latents(model, name)]
    if "/" in name or "\\" in name:
        raise FileNotFoundError(f"there is no dictionary at {name!r}: nothing has this name.")
    known = [*known_sites(model), "mlp", *(f"attn.{statistic}" for statistic in STATISTICS)]
    hint = did_you_mean(name, known, n=3) or f" There are {', '.join(known[:6])} and others."
    raise KeyError(f"{_called(model)} has no site {name!r}.{hint}")


def _blocks(model: AnyModel, name: str, number: str) -> Sequence[int]:
    n_layers = model.cfg.n_layers
    if number and int(number) >= n_layers:
        raise KeyError(
            f"{_called(model)} has no site {name!r}: it has {n_layers} blocks, from 0 to {n_layers - 1}."
        )
    return [int(number)] if number else range(n_layers)


def _called(model: AnyModel) -> str:
    return model.cfg.model_name or "this model"
