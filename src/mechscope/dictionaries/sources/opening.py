"""Open a source of activations: streams to train on, and held-out activations to evaluate on."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from mechscope.checkpoints.weights_checksum import DIGITS
from mechscope.dictionaries._seeding import seeded
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation.evaluating import Evaluation, evaluate
from mechscope.dictionaries.head import HEAD, HEAD_OUT
from mechscope.dictionaries.model_stream import ModelStream
from mechscope.dictionaries.position_mask import excluded_ids, position_mask
from mechscope.dictionaries.shards import ShardStream, write_shards
from mechscope.dictionaries.sources.config import SourceConfig
from mechscope.dictionaries.sources.models import model_checksum, open_model, row_length, token_rows
from mechscope.dictionaries.sources.texts import read_texts
from mechscope.dictionaries.stream import Batch, GeneratorStream, Stream, hash_of
from mechscope.dictionaries.synthetic import named_features
from mechscope.model.token_batch import Tokens
from mechscope.model.transformer import HookedTransformer

WEIGHTS = "model_weights"
"""Metadata key of the checksum of the model's weights."""
TEXTS_AT_ONCE = 32
"""Texts per batch of an evaluation …"""
MOST_LOGITS = 2**25
"""… unless their logits would be more numbers than this, 128 MiB in float32."""
BUFFER_BATCHES = 16
"""Default number of batches that are shuffled together."""


class Source(ABC):
    """An open source of activations, after checking its settings."""

    config: SourceConfig
    description: str
    """A description in one line."""

    @property
    @abstractmethod
    def d_in(self) -> int:
        """Width of the inputs."""

    @property
    @abstractmethod
    def d_out(self) -> int | None:
        """Width of the targets; None without targets."""

    @abstractmethod
    def stream(self, seed: int) -> Stream:
        """Training batches, in the order given by a seed."""

    @abstractmethod
    def held_out(self, n: int) -> Batch:
        """Up to n of the held-out activations, always the same."""

    @abstractmethod
    def evaluate(self, dictionary: Dictionary) -> Evaluation:
        """All metrics that this source allows, on held-out activations."""

    def made_from(self) -> Mapping[str, str]:
        """Checksums, by name, of the model's weights and the text, which the config names but does not contain."""
        return {}

    def evaluated_on(self) -> Mapping[str, str]:
        """Checksums, by name, of the model's weights and the held-out text."""
        return {}

    def metadata(self) -> dict[str, Any]:
        """Metadata for dictionaries that are trained on it."""
        return {"source": self.config.to_dict()}


def open_source(config: SourceConfig, device: torch.device | None = None) -> Source:
    """Load the model and read the text, or make the known features, and check everything.

    Raises:
        KeyError: for an unknown hook point or unknown known features; suggests the closest names.
        ValueError, FileNotFoundError: as `open_model` and `read_texts`, and for less text than the buffer needs.
    """
    device = torch.device("cpu") if device is None else device
    return KnownSource(config, device) if config.synthetic else ModelSource(config, device)


class KnownSource(Source):
    """Known features."""

    def __init__(self, config: SourceConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.features = named_features(config.synthetic, seeded(config.seed, 41))
        true, width = self.features.directions.shape
        self.description = f"{true} known features in {width} dimensions ({config.synthetic})"

    @property
    def d_in(self) -> int:
        return self.features.d_in

    @property
    def d_out(self) -> int | None:
        return None

    def stream(self, seed: int) -> Stream:
        return GeneratorStream(
            lambda n, generator: self.features.sample(n, generator)[0].to(self.device),
            batch_size=self.config.batch_size,
            seed=seed,
            source=f"{self.description}, seed {self.config.seed}",
        )

    def held_out(self, n: int) -> Batch:
        x, _ = self.features.sample(self.config.held_out, seeded(self.config.seed, 42))
        return Batch(x[:n].to(self.device))

    def evaluate(self, dictionary: Dictionary) -> Evaluation:
        x = self.held_out(self.config.held_out).x
        return evaluate(dictionary, x, truth=self.features.directions.to(self.device), name=self.description)


class ModelSource(Source):
    """A model's hook points over text."""

    def __init__(self, config: SourceConfig, device: torch.device) -> None:
        self.config, self.device = config, device
        self.model = open_model(config.model, device, [*config.hook, *config.target_hook])
        # Computed now, because files can be replaced later.
        self.weights = model_checksum(config.model)
        # Check names first: a typo should not have to wait for the tokenizer.
        self.model.match_hook_names([*config.hook, *config.target_hook])
        self._texts = read_texts(config.text, config.seed)
        self._length = row_length(self.model, config.context)
        self.held_out_tokens = token_rows(
            self.model,
            self._texts.held_out,
            self._length,
            config.held_out,
            f"the held-out part of {config.text}",
            prepend_bos=config.prepend_bos,
        )
        self._excluded = excluded_ids(self.model, config.exclude_special_tokens)
        where = " + ".join(config.hook)
        if config.head is not None:
            where = f"head {config.head} of {where}"
        if config.target_hook:
            where += f" to {' + '.join(config.target_hook)}"
        self.description = f"{where} of {config.model} on {config.text}"
        # One buffer for all held-out activations, so that `peek` can return any number of them.
        self._held_out = self._read(self.held_out_tokens, 1, self._count_positions(self.held_out_tokens), 0)

    @cached_property
    def train_tokens(self) -> Int[Tensor, "batch pos"]:
        """Rows to train on, which are made when they are first needed."""
        return token_rows(
            self.model,
            self._texts.train,
            self._length,
            self.config.tokens,
            f"the training part of {self.config.text}",
            prepend_bos=self.config.prepend_bos,
        )

    @property
    def d_in(self) -> int:
        return self._held_out.d_in

    @property
    def d_out(self) -> int | None:
        return self._held_out.d_out

    def stream(self, seed: int) -> ModelStream:
        counted, wanted = self._count_positions(self.train_tokens), self.config.buffer_size
        if counted < self.config.batch_size:
            raise ValueError(
                f"the training part of {self.config.text} has {counted:,} activations, fewer than one batch of "
                f"{self.config.batch_size:,}: give more text or tokens, or a smaller batch."
            )
        return self._read(
            self.train_tokens,
            self.config.batch_size,
            min(BUFFER_BATCHES * self.config.batch_size, counted) if wanted is None else wanted,
            seed,
        )

    def stored_stream(self, seed: int, folder: Path, batches: int) -> Stream:
        """A stream of activations that are computed once and stored in a folder.

        Args:
            batches: the largest number of batches to store.
        """
        stream = self.stream(self.config.seed)
        here = max(1, min(batches, self._count_positions(self.train_tokens) // self.config.batch_size))
        a_shard = min(here, BUFFER_BATCHES)
        write_shards(stream, folder, shards=max(1, here // a_shard), batches=a_shard)
        return ShardStream(folder, batch_size=self.config.batch_size, seed=seed)

    def held_out(self, n: int) -> Batch:
        return self._held_out.peek(n)

    def evaluate(self, dictionary: Dictionary) -> Evaluation:
        one_place = len(self.config.hook) == 1 and len(self.config.target_hook) < 2
        if isinstance(self.model, HookedTransformer) and one_place:
            return evaluate(
                dictionary,
                self.held_out_tokens.to(self.device),
                model=self.model,
                hook_name=self.config.hook[0],
                hook_out=self.config.target_hook[0] if self.config.target_hook else None,
                skip_first=self.config.skip_first,
                exclude_special_tokens=self._excluded,
                head=self.config.head,
                head_out=self.config.target_head,
                text_batch_size=self._texts_at_once(),
            )
        held_out = self.held_out(self._count_positions(self.held_out_tokens))
        data = held_out.x if held_out.target is None else (held_out.x, held_out.target)
        return evaluate(dictionary, data, name=self.description)

    def _texts_at_once(self) -> int:
        """As many texts as have logits within the limit: those of a large vocabulary take gigabytes."""
        a_text = self.held_out_tokens.shape[1] * self.model.cfg.d_vocab
        return max(1, min(TEXTS_AT_ONCE, MOST_LOGITS // a_text))

    def made_from(self) -> Mapping[str, str]:
        return {"tokens": hash_of(self.train_tokens)[:DIGITS], **self.evaluated_on()}

    def evaluated_on(self) -> Mapping[str, str]:
        return {
            "model weights": self.weights,
            "held-out tokens": hash_of(self.held_out_tokens)[:DIGITS],
        }

    def metadata(self) -> dict[str, Any]:
        kept = super().metadata() | {"model_name": self.config.model, WEIGHTS: self.weights}
        if len(self.config.hook) == 1:
            kept["hook_name"] = self.config.hook[0]
        if len(self.config.target_hook) == 1:
            kept["hook_name_out"] = self.config.target_hook[0]
        for name, head in ((HEAD, self.config.head), (HEAD_OUT, self.config.target_head)):
            if head is not None:
                kept[name] = head
        return kept

    def _count_positions(self, tokens: Tensor) -> int:
        return int(position_mask(Tokens(tokens), self.config.skip_first, self._excluded).sum())

    def _read(self, tokens: Tensor, batch_size: int, buffer_size: int, seed: int) -> ModelStream:
        return ModelStream(
            self.model,
            tokens.to(self.device),
            list(self.config.hook),
            batch_size=batch_size,
            buffer_size=buffer_size,
            target_hook_name=list(self.config.target_hook) or None,
            skip_first=self.config.skip_first,
            exclude_special_tokens=self._excluded,
            head=self.config.head,
            target_head=self.config.target_head,
            seed=seed,
            weights=self.weights,
        )


def with_seed(config: SourceConfig, seed: int) -> SourceConfig:
    """The config for another seed: known features are drawn again; text stays the same, so that results compare."""
    return dataclasses.replace(config, seed=seed) if config.synthetic else config
