"""Run a model and read sites while it runs, so that no activations are kept longer than needed."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from mechscope.model.hook_points import hook_scope
from mechscope.model.massive_activations import is_massive
from mechscope.model.transformer import HookedTransformer
from mechscope.neuroscope.sequences import Batch

if TYPE_CHECKING:
    from mechscope.neuroscope.settings import HarvestSettings
    from mechscope.neuroscope.sites import AnyModel, Site

Receive = Callable[
    ["Site", Float[Tensor, "batch pos unit"], Bool[Tensor, "batch pos"]],
    None,
]
"""Is called with a site, its activations, and at which tokens they count."""


class SiteReader:
    """Reads sites of a model.

    A token counts at a site unless it is padding or attention rests there (`leave_out_sinks`): it is at the first
    position, it is a special token, or its activation is massive in the residual stream that the site, its block or an
    earlier one reads. (The stream after the last block is read by no block, and has no limit.)

    Args:
        settings: `leave_out_sinks` needs `massive_limits`, one per block.

    Raises:
        KeyError: for a site with a hook point that the model does not have.
        ValueError: if the limits are missing, or are those of a model with another number of blocks.
    """

    def __init__(self, model: AnyModel, sites: Sequence[Site], settings: HarvestSettings) -> None:
        self.model, self.sites, self.settings = model, sites, settings
        self.limits = _limits(model, settings)
        for name in {name for site in sites for name in site.hooks}:
            model.match_hook_names(name)
        special: Any = getattr(model.tokenizer, "all_special_ids", ())
        self.special = torch.tensor(sorted({int(token) for token in special}), dtype=torch.long)

    def read(self, batch: Batch, receive: Receive) -> None:
        """Run the model on a batch, until all sites are read, and hand their activations on.

        A site is handed on as soon as its last hook point is reached, and its activations are then forgotten.
        """
        current = _Pass(self.sites, self.counting(batch), self.limits, receive)
        hooks = {name: current.keep for site in self.sites for name in site.hooks}
        starts = {
            name: current.start_block
            for block in range(self.model.cfg.n_layers)
            for name in _starts_of(self.model, block)
        }
        tokens = batch.tokens.to(self.model.cfg.device)
        # Not stop_at_layer, because encoders have none, and because it would finish the block.
        with torch.inference_mode(), _listening(self.model, starts, hooks), suppress(_AllSitesRead):
            self.model(tokens, return_type=None, attention_mask=batch.real)
        if current.left:
            names = ", ".join(site.name for site in current.left)
            raise RuntimeError(f"the pass did not reach the hook points of {names}.")

    def counting(self, batch: Batch) -> Bool[Tensor, "batch pos"]:
        """At which tokens activations count, as far as the tokens decide it."""
        counts = batch.real.clone()
        if self.settings.leave_out_sinks:
            counts[:, 0] = False
            counts &= ~torch.isin(batch.tokens, self.special)
        return counts.to(self.model.cfg.device)


class _AllSitesRead(Exception):  # noqa: N818 - not an error
    """Ends a pass."""


class _Pass:
    """One pass: the activations that sites wait for, and which tokens count so far."""

    def __init__(
        self, sites: Sequence[Site], counts: Tensor, limits: Sequence[float | None], receive: Receive
    ) -> None:
        self.left, self.counts, self.limits, self.receive = list(sites), counts, limits, receive
        self.kept: dict[str, Tensor] = {}

    def start_block(self, activation: Tensor, hook: Any) -> None:
        number = int(hook.name.split(".")[1]) + hook.name.endswith("resid_post")
        limit = self.limits[number]
        if limit is not None:
            # A token stays left out in later blocks, even if the vector is a little shorter there.
            self.counts = self.counts & ~is_massive(activation, limit)

    def keep(self, activation: Tensor, hook: Any) -> None:
        self.kept[hook.name] = activation
        for site in [site for site in self.left if self.kept.keys() >= set(site.hooks)]:
            self.left.remove(site)
            self.receive(site, site.read(self.kept).float(), self.counts)
        needed = {name for site in self.left for name in site.hooks}
        for name in self.kept.keys() - needed:
            del self.kept[name]
        if not self.left:
            raise _AllSitesRead


def _starts_of(model: AnyModel, block: int) -> list[str]:
    """The hook points with the residual stream that a block reads.

    In a decoder the end of the block before is one too: a site may read the stream at either, and the same tokens must
    be left out there. An encoder normalizes the stream in between.
    """
    own = f"blocks.{block}.hook_resid_pre"
    return (
        [f"blocks.{block - 1}.hook_resid_post", own]
        if block and isinstance(model, HookedTransformer)
        else [own]
    )


@contextmanager
def steady_arithmetic(threads: int) -> Generator[None]:
    """Compute with so many threads inside a `with` block, and treat numbers below 1.2e-38 as 0.

    Such numbers arise when small activations are raised to the fourth power; processors take a hundred times as long
    for them.
    """
    before, flushed = torch.get_num_threads(), not bool(torch.tensor(1e-38) * 0.1)
    torch.set_num_threads(threads)
    torch.set_flush_denormal(True)
    try:
        yield
    finally:
        torch.set_num_threads(before)
        torch.set_flush_denormal(flushed)


@contextmanager
def _listening(model: AnyModel, *groups: Mapping[str, Callable[..., None]]) -> Generator[None]:
    """Add listeners that only read; at the same point, those of the first group come first."""
    with hook_scope(model) as scope:
        # model.add_hook also looks names up, which takes longer than a small model's pass.
        added = [
            (point, point.add_hook(hook, reads_only=True, scope=scope))
            for group in groups
            for point, hook in ((model.hook_dict[name], hook) for name, hook in group.items())
        ]
        try:
            yield
        finally:
            for point, listener in added:
                point.discard(listener)


def _limits(model: AnyModel, settings: HarvestSettings) -> tuple[float | None, ...]:
    n_layers = model.cfg.n_layers
    if not settings.leave_out_sinks:
        return (None,) * n_layers
    if settings.massive_limits is None:
        raise ValueError(
            "the lengths above which activations are massive have not been measured: get settings from "
            "sinks.calibrated(model, settings, first_shard), and use them for every shard."
        )
    if len(settings.massive_limits) != n_layers:
        raise ValueError(
            f"massive_limits has limits for {len(settings.massive_limits)} blocks, but "
            f"{model.cfg.model_name or 'this model'} has {n_layers}: they were measured in another model."
        )
    return settings.massive_limits
