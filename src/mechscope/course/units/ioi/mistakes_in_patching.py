"""Mistakes in patching activations and paths."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.ioi import reference


def _is_z(name):
    return name.endswith("hook_z")


# One activation


def _exchanged(model, source, target, name, positions, head=None):
    return reference.patch_at(model, target, source, name, positions, head)


def _patched(model, source, target, name, choose):
    _, cache = model.run_with_cache(source, names_filter=name)

    def patch(value, hook):
        value = value.clone()
        where = choose(value)
        value[where] = cache[name][where]
        return value

    return model.run_with_hooks(target, fwd_hooks=[(name, patch)])


def _all_of_each(model, source, target, name, positions, head=None):
    if head is None:
        return _patched(model, source, target, name, lambda value: (slice(None), positions))
    return _patched(model, source, target, name, lambda value: (slice(None), positions, head))


def _everywhere(model, source, target, name, positions, head=None):
    where = slice(None) if head is None else (slice(None), slice(None), head)
    return _patched(model, source, target, name, lambda value: where)


def _first_position(model, source, target, name, positions, head=None):
    return reference.patch_at(model, source, target, name, positions[:1].expand(len(positions)), head)


def _every_head(model, source, target, name, positions, head=None):
    return reference.patch_at(model, source, target, name, positions)


def _added(model, source, target, name, positions, head=None):
    _, cache = model.run_with_cache(source, names_filter=name)
    rows = torch.arange(len(target))
    where = (rows, positions) if head is None else (rows, positions, head)

    def patch(value, hook):
        value = value.clone()
        value[where] += cache[name][where]
        return value

    return model.run_with_hooks(target, fwd_hooks=[(name, patch)])


# Both directions


def _directions_exchanged(model, clean, control, site, positions, metric):
    enough, needed = reference.enough_and_needed(model, clean, control, site, positions, metric)
    return needed, enough


def _what_is_left(model, clean, control, site, positions, metric):
    enough, needed = reference.enough_and_needed(model, clean, control, site, positions, metric)
    return enough, 1 - needed


def _in_logits(model, clean, control, site, positions, metric):
    enough, needed = reference.enough_and_needed(model, clean, control, site, positions, metric)
    gap = (metric(model(clean)) - metric(model(control))).detach()
    return enough * gap, needed * gap


def _share_of_clean(model, clean, control, site, positions, metric):
    enough, needed = reference.enough_and_needed(model, clean, control, site, positions, metric)
    with torch.no_grad():
        best, worst = metric(model(clean)), metric(model(control))
    return (worst + enough * (best - worst)) / best, needed * (best - worst) / best


# Paths


def _path(
    model,
    clean,
    control,
    sender,
    receiver,
    site,
    *,
    hold=True,
    end_here=False,
    whole=False,
):
    _, clean_cache = model.run_with_cache(clean, names_filter=_is_z)
    _, control_cache = model.run_with_cache(control, names_filter=_is_z)
    heard = {}
    at = f"blocks.{receiver[0]}.attn.hook_{site}"
    hooks = []
    for layer in range(model.cfg.n_layers):
        name = f"blocks.{layer}.attn.hook_z"
        value = clean_cache[name].clone()
        if layer == sender[0]:
            value[:, :, sender[1]] = control_cache[name][:, :, sender[1]]
        if hold or layer == sender[0]:
            hooks.append((name, lambda old, hook, value=value: value))
    hooks.append((at, lambda value, hook: heard.update({at: value.clone()})))
    frozen = model.run_with_hooks(clean, fwd_hooks=hooks)
    if end_here:
        return frozen

    def tell(value, hook):
        if whole:
            return heard[at]
        value = value.clone()
        value[:, :, receiver[1]] = heard[at][:, :, receiver[1]]
        return value

    return model.run_with_hooks(clean, fwd_hooks=[(at, tell)])


def _nothing_held(model, clean, control, sender, receiver, site):
    return _path(model, clean, control, sender, receiver, site, hold=False)


def _to_everyone(model, clean, control, sender, receiver, site):
    return _path(model, clean, control, sender, receiver, site, end_here=True)


def _whole_layer_listens(model, clean, control, sender, receiver, site):
    return _path(model, clean, control, sender, receiver, site, whole=True)


def _plain_patch(model, clean, control, sender, receiver, site):
    _, cache = model.run_with_cache(control)
    name = f"blocks.{sender[0]}.attn.hook_z"

    def patch(z, hook):
        z = z.clone()
        z[:, :, sender[1]] = cache[name][:, :, sender[1]]
        return z

    return model.run_with_hooks(clean, fwd_hooks=[(name, patch)])


def _receiver_from_control(model, clean, control, sender, receiver, site):
    _, cache = model.run_with_cache(control)
    name = f"blocks.{receiver[0]}.attn.hook_{site}"

    def patch(value, hook):
        value = value.clone()
        value[:, :, receiver[1]] = cache[name][:, :, receiver[1]]
        return value

    return model.run_with_hooks(clean, fwd_hooks=[(name, patch)])


MISTAKES = {
    "patch_at": (
        Mistake(_exchanged, "This patches the target into the source run: it is the other way round."),
        Mistake(
            _all_of_each,
            "value[:, positions] takes all these positions in every prompt. For one position in each, index with rows, "
            "too: value[rows, positions].",
        ),
        Mistake(_everywhere, "You patched every position."),
        Mistake(_first_position, "You used the first prompt's position for all prompts."),
        Mistake(_every_head, "You patched all heads; only one was asked for."),
        Mistake(_added, "You added the source's activation instead of replacing the target's."),
    ),
    "enough_and_needed": (
        Mistake(
            _directions_exchanged,
            "The two are exchanged. Enough: restore in the control run. Needed: break in the clean run.",
        ),
        Mistake(
            _what_is_left,
            "Your second answer is what is left. What is lost is asked for: 0 is no effect.",
        ),
        Mistake(
            _in_logits, "These are logits: divide by the difference between the clean and the control run."
        ),
        Mistake(
            _share_of_clean,
            "You divided by the clean metric. The control run's is seldom 0; the difference of both is the scale.",
        ),
    ),
    "path_patch": (
        Mistake(
            _nothing_held,
            "Other heads reacted to the sender before the receiver listened. In step 2, hold every head's z.",
        ),
        Mistake(
            _to_everyone,
            "These are the logits of step 2, in which the sender has spoken to everyone. Step 3 is missing.",
        ),
        Mistake(
            _whole_layer_listens, "All heads of the receiver's layer heard it; only the receiver should."
        ),
        Mistake(
            _plain_patch,
            "This is activation patching: the sender speaks to everything that comes after it.",
        ),
        Mistake(
            _receiver_from_control,
            "The receiver heard the whole control run. It should hear the clean run, except for the sender.",
        ),
    ),
}
"""Exercise → its known mistakes."""
