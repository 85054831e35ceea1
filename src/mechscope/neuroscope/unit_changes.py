"""Change one unit while a model runs: switch it off, add to its activation, or multiply a head's output."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor

from mechscope.dictionaries.head import read_part, write_part
from mechscope.neuroscope._site_readers import Directions, Heads, Latents, Neurons
from mechscope.neuroscope.messages import Change
from mechscope.neuroscope.sites import Site

Hook = tuple[str, Callable[..., Tensor]]
"""A hook point and a function for `model.hooks(fwd_hooks=…)`."""


def changes_of(site: Site) -> tuple[Change, ...]:
    """What can be done to the units of a site; nothing where a change has no clear meaning."""
    if isinstance(site, Heads):
        return ("zero", "multiply")
    if isinstance(site, Neurons | Directions):
        return ("zero", "add")
    if isinstance(site, Latents) and not site.dictionary.cfg.transcodes:
        return ("zero", "add")
    return ()


def change_hook(site: Site, unit: int, change: Change, amount: float) -> Hook:
    """The hook that changes a unit at every position.

    A neuron's activation is replaced. A head's statistic cannot be set, so its output is multiplied instead. A latent
    moves the activation that its dictionary reads along the latent's direction. A direction from a file moves the
    activation along itself until the projection is 0, or larger by `amount`; it need not have the length 1.

    >>> from mechscope import load_model
    >>> from mechscope.neuroscope.sites import find_sites
    >>> model = load_model("mini-gelu-1l")
    >>> (neurons,) = find_sites(model, ["mlp0"])
    >>> with model.hooks(fwd_hooks=[change_hook(neurons, 17, "zero", 0)]):
    ...     _, cache = model.run_with_cache("import os")
    >>> bool(cache["post", 0][..., 17].any())
    False

    Args:
        amount: what is added to the activation, or the factor; 0 for "zero".

    Raises:
        ValueError: for a change that makes no sense at this site.
    """
    if change not in changes_of(site):
        allowed = " or ".join(changes_of(site)) or "nothing"
        raise ValueError(f"units of {site.name} can be changed by {allowed}, not by {change!r}.")
    factor = 0.0 if change == "zero" else amount
    if isinstance(site, Heads):

        def scale(z: Tensor, hook: Any) -> Tensor:
            z[:, :, unit] = z[:, :, unit] * factor
            return z

        return site.pattern.replace("hook_pattern", "hook_z"), scale
    if isinstance(site, Neurons):

        def set_neuron(post: Tensor, hook: Any) -> Tensor:
            post[:, :, unit] = 0 if change == "zero" else post[:, :, unit] + amount
            return post

        return site.hook, set_neuron
    assert isinstance(site, Latents | Directions)
    direction, head = (
        (site.steps[unit], None) if isinstance(site, Directions) else (_decoder(site, unit), site.head)
    )

    def move(activation: Tensor, hook: Any) -> Tensor:
        step = -site.read({site.hook: activation})[..., unit, None] if change == "zero" else amount
        moved = read_part(activation, head, site.hook) + step * direction
        return write_part(activation, moved, head, site.hook)

    return site.hook, move


def _decoder(site: Latents, unit: int) -> Tensor:
    return site.dictionary.W_dec[unit].detach() / site.dictionary.scale_out
