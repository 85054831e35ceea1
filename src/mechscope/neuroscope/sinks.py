"""Measure, once per harvest, how long an activation must be to count as massive."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from mechscope.model.massive_activations import SAMPLE, length_limit
from mechscope.model.precision import at_least_float32
from mechscope.neuroscope.sequences import Cutter, in_batches
from mechscope.neuroscope.site_reader import SiteReader, steady_arithmetic
from mechscope.neuroscope.sites import Site

if TYPE_CHECKING:
    from mechscope.neuroscope.settings import HarvestSettings
    from mechscope.neuroscope.shards import Shard
    from mechscope.neuroscope.sites import AnyModel


def calibrated(model: AnyModel, settings: HarvestSettings, shard: Shard) -> HarvestSettings:
    """The settings with `massive_limits`, measured on the first tokens of a shard; unchanged if they have limits.

    First positions and special tokens, which are left out anyway, are not part of the sample.

    Raises:
        ValueError: for a model without a tokenizer, or a shard without text.
    """
    if settings.massive_limits is not None:
        return settings
    n_layers = model.cfg.n_layers
    without = dataclasses.replace(settings, massive_limits=(None,) * n_layers)
    if not settings.leave_out_sinks:
        return without
    cutter, sequences, tokens = Cutter(model, settings), [], 0
    for _, text in shard.documents:
        found = cutter.sequences(text)
        sequences += found
        tokens += sum(len(sequence) - 1 for sequence in found)
        if tokens >= SAMPLE:
            break
    points = [_BeforeBlock(block, model) for block in range(n_layers)]
    reader = SiteReader(model, points, without)
    residuals: list[list[Tensor]] = [[] for _ in points]

    def receive(site: Site, values: Tensor, counts: Tensor) -> None:
        assert isinstance(site, _BeforeBlock)
        residuals[site.number].append(values[counts].norm(dim=-1))

    with steady_arithmetic(settings.threads):
        for batch in in_batches(sequences, settings.batch_tokens):
            reader.read(batch, receive)
    if not residuals[0] or not sum(map(len, residuals[0])):
        raise ValueError(
            f"shard {shard.index} has no text of more than one token, so the lengths of activations cannot be measured."
        )
    limits = [length_limit(torch.cat(lengths)[:SAMPLE, None]) for lengths in residuals]
    return dataclasses.replace(
        settings, massive_limits=tuple(limit if math.isfinite(limit) else None for limit in limits)
    )


class _BeforeBlock(Site):
    """The residual stream that a block reads."""

    def __init__(self, block: int, model: AnyModel) -> None:
        self.number = block
        self.name = self.source = f"resid_pre{block}"
        self.hooks = (f"blocks.{block}.hook_resid_pre",)
        self.units = model.cfg.d_model
        self.signed = True

    def read(self, activations: Mapping[str, Tensor]) -> Tensor:
        return at_least_float32(activations[self.hooks[0]])

    def output_weights(self) -> Tensor:
        return torch.eye(self.units)
