"""What a harvest knows at any time: statistics and contexts of every unit, and the texts that contexts refer to.

A state is made by `harvest_shard` and by `merge`. Its size depends on the numbers of units and of kept contexts, not on
the corpus. Equal states have equal tensors in an equal order, so their safetensors files are equal byte for byte.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float16, Float32, Float64, Int32, Int64
from safetensors.torch import load, save
from torch import Tensor

from mechscope.arguments import brief_repr
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.settings import decode

NO_SEQUENCE = -1
"""In place of a sequence's id where a unit has fewer contexts than could be kept."""
SEQUENCES_PER_SHARD = 2**24
"""The id of a sequence is the index of its shard times this, plus its number in the shard."""


@dataclass(frozen=True, eq=False)
class Extremes:
    """The contexts with the highest, or the lowest, activations of every unit of a site: the most extreme first.

    Places without a context have the sequence `NO_SEQUENCE` and zeros everywhere else.
    """

    value: Float32[Tensor, "unit rank"]
    """The activation at the token for which the context was chosen."""
    sequence: Int64[Tensor, "unit rank"]
    """The id of the sequence."""
    position: Int32[Tensor, "unit rank"]
    """The token's position in the sequence."""
    key: Int64[Tensor, "unit rank"]
    """A hash of the last tokens up to this one: contexts with the same key are duplicates."""
    window: Float16[Tensor, "unit rank offset"]
    """The unit's activations from `before` tokens before this token to `after` tokens after it; 0 beyond the ends of
    the sequence."""

    __repr__ = brief_repr

    def __len__(self) -> int:
        """The number of units."""
        return len(self.sequence)

    @property
    def ranks(self) -> int:
        """How many contexts can be kept per unit."""
        return self.sequence.shape[1]

    @classmethod
    def empty(cls, units: int, ranks: int, window: int) -> Extremes:
        """No contexts yet."""
        return cls(
            torch.zeros(units, ranks, dtype=torch.float32),
            torch.full((units, ranks), NO_SEQUENCE, dtype=torch.int64),
            torch.zeros(units, ranks, dtype=torch.int32),
            torch.zeros(units, ranks, dtype=torch.int64),
            torch.zeros(units, ranks, window, dtype=torch.float16),
        )


@dataclass(frozen=True, eq=False)
class SiteState:
    """What is known about the units of one site."""

    tokens: int
    """The number of tokens that count."""
    left_out: int
    """The number of tokens that were left out because attention rests there."""
    firing: Int64[Tensor, " unit"]
    """At how many tokens each unit's activation is above 0."""
    sums: Float64[Tensor, "node power unit"]
    """The sums of the activations' first to fourth powers, for each of the state's `nodes`."""
    minimum: Float32[Tensor, " unit"]
    """Infinity as long as no token counts."""
    maximum: Float32[Tensor, " unit"]
    """Minus infinity as long as no token counts."""
    histogram: Int64[Tensor, "unit bin"]
    """Counts of activations in the bins of `bins.py`."""
    top: Extremes
    low: Extremes | None
    """None at sites where the sign does not matter."""

    __repr__ = brief_repr

    @property
    def units(self) -> int:
        """The number of units."""
        return len(self.firing)

    def moments(self) -> Float64[Tensor, "power unit"]:
        """The means of the first to fourth powers over the tokens that count; NaN if there are none."""
        # One after another: the order decides the last digits.
        total = torch.zeros_like(self.sums[0])
        for node in self.sums:
            total += node
        return total / self.tokens


@dataclass(frozen=True, eq=False)
class Sequences:
    """Sequences of tokens with the documents that they come from, in the order of their ids."""

    ids: Int64[Tensor, " sequence"]
    starts: Int64[Tensor, " end"]
    """Where each sequence starts in `tokens`, and as the last number where the last one ends."""
    tokens: Int32[Tensor, " token"]
    """The tokens of all sequences, one sequence after another, with begin tokens and without padding."""
    documents: tuple[str, ...]
    """The name of each sequence's document."""

    __repr__ = brief_repr

    def __len__(self) -> int:
        return len(self.ids)

    def index(self, sequence: int) -> int:
        """The place of a sequence.

        Raises:
            KeyError: for a sequence that is not here.
        """
        place = int(torch.searchsorted(self.ids, sequence))
        if place == len(self.ids) or int(self.ids[place]) != sequence:
            raise KeyError(f"there is no sequence {sequence} among the {len(self.ids):,} that are kept.")
        return place

    def tokens_of(self, sequence: int) -> Int32[Tensor, " pos"]:
        """The tokens of a sequence.

        Raises:
            KeyError: for a sequence that is not here.
        """
        place = self.index(sequence)
        return self.tokens[int(self.starts[place]) : int(self.starts[place + 1])]


@dataclass(frozen=True, eq=False)
class HarvestState:
    """The result of harvesting some shards."""

    settings: HarvestSettings
    shards: Int64[Tensor, "range 2"]
    """The shards that are in it, as ranges of indices from the first number up to, but not including, the second."""
    documents: int
    """How many documents were read, …"""
    sequences_read: int
    """… as how many sequences …"""
    tokens: int
    """… of how many tokens, begin tokens and the ones that were left out included."""
    nodes: Int64[Tensor, "node 2"]
    """To which shards each of the `sums` belongs: level n and index i stand for shards i·2ⁿ to (i+1)·2ⁿ−1. Two halves
    of a node are added as soon as both are there, so the order of merging cannot change a digit."""
    sequences: Sequences
    """The sequences that contexts or the sample refer to."""
    sample: Int64[Tensor, " drawn"]
    """The ids of the sequences drawn at random, in random order."""
    sites: Mapping[str, SiteState]
    """Site name → its units."""

    __repr__ = brief_repr

    def to_tensors(self) -> dict[str, Tensor]:
        """Everything as tensors for a safetensors file."""
        head = {
            "settings": self.settings.to_dict(),
            "documents": self.documents,
            "sequences_read": self.sequences_read,
            "tokens": self.tokens,
            "sites": {
                name: {"tokens": site.tokens, "left_out": site.left_out} for name, site in self.sites.items()
            },
            "names": self.sequences.documents,
        }
        tensors = {
            "head": _bytes(json.dumps(head, ensure_ascii=True)),
            "shards": self.shards,
            "nodes": self.nodes,
            "sample": self.sample,
            **{f"sequences.{name}": getattr(self.sequences, name) for name in _OF_SEQUENCES},
        }
        for number, site in enumerate(self.sites.values()):
            tensors |= {f"{number}.{name}": getattr(site, name) for name in _OF_SITES}
            for kind in ("top", "low"):
                extremes: Extremes | None = getattr(site, kind)
                if extremes is not None:
                    tensors |= {f"{number}.{kind}.{name}": getattr(extremes, name) for name in _OF_EXTREMES}
        return {name: tensor.contiguous() for name, tensor in tensors.items()}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, Tensor]) -> HarvestState:
        """The state that `to_tensors` returned.

        Raises:
            ValueError: if a tensor is missing, or the tensors are not those of a state.
        """
        try:
            return cls._read(tensors)
        except (KeyError, TypeError, AttributeError, UnicodeDecodeError, json.JSONDecodeError) as error:
            raise ValueError(
                f"this is not a state of a harvest, or another version of mechscope wrote it ({error!r}). Delete it, "
                "and its shards are harvested again."
            ) from error

    @classmethod
    def _read(cls, tensors: Mapping[str, Tensor]) -> HarvestState:
        head = json.loads(bytes(tensors["head"].numpy()))
        sites = dict[str, SiteState]()
        for number, (name, counts) in enumerate(head["sites"].items()):
            parts: dict[str, Any] = {part: tensors[f"{number}.{part}"] for part in _OF_SITES}
            sites[name] = SiteState(
                **counts,
                **parts,
                top=_extremes(tensors, f"{number}.top"),
                low=_extremes(tensors, f"{number}.low") if f"{number}.low.value" in tensors else None,
            )
        return cls(
            settings=decode(HarvestSettings, head["settings"], "the settings of a harvest"),
            shards=tensors["shards"],
            documents=head["documents"],
            sequences_read=head["sequences_read"],
            tokens=head["tokens"],
            nodes=tensors["nodes"],
            sequences=Sequences(
                **{name: tensors[f"sequences.{name}"] for name in _OF_SEQUENCES},
                documents=tuple(head["names"]),
            ),
            sample=tensors["sample"],
            sites=sites,
        )

    def to_bytes(self) -> bytes:
        """The contents of a safetensors file."""
        return save(self.to_tensors())

    @classmethod
    def from_bytes(cls, data: bytes) -> HarvestState:
        """Read what `to_bytes` returned.

        Raises:
            ValueError: for anything else.
        """
        return cls.from_tensors(load(data))


_OF_SEQUENCES = ("ids", "starts", "tokens")
_OF_SITES = ("firing", "sums", "minimum", "maximum", "histogram")
_OF_EXTREMES = ("value", "sequence", "position", "key", "window")


def _bytes(text: str) -> Tensor:
    return torch.from_numpy(np.frombuffer(text.encode(), dtype=np.uint8).copy())


def _extremes(tensors: Mapping[str, Tensor], prefix: str) -> Extremes:
    return Extremes(**{name: tensors[f"{prefix}.{name}"] for name in _OF_EXTREMES})
