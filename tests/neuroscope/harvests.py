"""Small harvests for tests: a site whose activations a test chooses, and texts whose tokens a test chooses."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from mechscope.model.transformer import HookedTransformer
from mechscope.neuroscope.harvest_shard import harvest_shard
from mechscope.neuroscope.sequences import Cutter, in_batches
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.shards import Shard
from mechscope.neuroscope.site_reader import SiteReader
from mechscope.neuroscope.sites import Site
from mechscope.neuroscope.state import SEQUENCES_PER_SHARD, HarvestState
from tests.neuroscope.brute_force import ReadSequence

VOCABULARY = 12
SETTINGS = HarvestSettings(
    context=9, top=4, low=3, before=3, after=2, same=2, batch_tokens=27, sample=5, massive_limits=(None,)
)


class Digits:
    """A tokenizer of texts like "3 1 4": every number is a token; 0 begins texts."""

    bos_token_id = 0
    all_special_ids = (0,)

    def encode(self, text: str, add_special_tokens: bool = False) -> list[int]:
        return [int(word) for word in text.split()]


class Chosen(Site):
    """Units whose activation is chosen by the token and its position in the sequence."""

    source = "chosen"
    hooks = ("hook_tokens",)

    def __init__(
        self, units: int, signed: bool, activation: Callable[[Tensor], Tensor], name: str = "chosen"
    ) -> None:
        self.name, self.units, self.signed, self.activation = name, units, signed, activation

    def read(self, activations: Mapping[str, Tensor]) -> Tensor:
        return self.activation(activations["hook_tokens"])

    def output_weights(self) -> None:
        return None


def model(begin: bool = True) -> HookedTransformer:
    """A model that reads digits; its own activations do not matter."""
    cfg = {
        "n_layers": 1,
        "d_model": 4,
        "n_ctx": 16,
        "d_head": 4,
        "d_vocab": VOCABULARY,
        "attn_only": True,
        "seed": 0,
    }
    made = HookedTransformer({**cfg, "default_prepend_bos": begin})
    made.tokenizer = Digits()
    return made


def random_site(units: int, *, signed: bool, levels: int = 5, seed: int = 0, name: str = "chosen") -> Chosen:
    """Activations in few different levels, so that there are many ties."""
    generator = torch.Generator().manual_seed(seed)
    table = torch.randint(-levels, levels + 1, (VOCABULARY, 16, units), generator=generator) / 2

    def activation(tokens: Tensor) -> Tensor:
        return table[tokens, torch.arange(tokens.shape[1])]

    return Chosen(units, signed, activation, name)


def random_shards(count: int, documents: int, seed: int = 0, longest: int = 30) -> list[Shard]:
    """Documents of fewer than `longest` tokens of few different kinds, so that there are duplicates."""
    random = np.random.default_rng(seed)
    shards = []
    for index in range(count):
        lengths = random.integers(0, longest, documents)
        texts = [" ".join(map(str, random.integers(1, VOCABULARY, length))) for length in lengths]
        shards.append(Shard(index, tuple((f"{index}.{number}", text) for number, text in enumerate(texts))))
    return shards


def read_all(
    some_model: Any, site: Site, settings: HarvestSettings, shards: Sequence[Shard]
) -> list[ReadSequence]:
    """Every sequence of some shards, with what the site reads there."""
    found = list[ReadSequence]()
    reader, cutter = SiteReader(some_model, [site], settings), Cutter(some_model, settings)
    for shard in shards:
        sequences, names = list[np.ndarray](), list[str]()
        for name, text in shard.documents:
            cut = cutter.sequences(text)
            sequences += cut
            names += [name] * len(cut)
        values = list[tuple[np.ndarray, np.ndarray]]()

        def receive(
            _: Site, read: Tensor, counts: Tensor, values: list[tuple[np.ndarray, np.ndarray]] = values
        ) -> None:
            values.append((read[0].numpy(), counts[0].numpy()))

        for sequence in sequences:
            reader.read(next(in_batches([sequence], 1)), receive)
        first = shard.index * SEQUENCES_PER_SHARD
        found += [
            ReadSequence(first + number, names[number], sequence.tolist(), *values[number])
            for number, sequence in enumerate(sequences)
        ]
    return found


def harvest_all(
    some_model: Any, sites: Sequence[Site], settings: HarvestSettings, shards: Sequence[Shard]
) -> list[HarvestState]:
    """One state per shard."""
    return [harvest_shard(some_model, sites, settings, shard) for shard in shards]
