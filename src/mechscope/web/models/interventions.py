"""Interventions of the microscope as hooks of a model: the same kinds as in viz/components/edits.js."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from mechscope.model.hook_points import HookPoint
from mechscope.web.models.messages import Intervention

Hook = tuple[str, Callable[..., torch.Tensor]]
PATCHED = {
    "residual": "blocks.{}.hook_resid_pre",
    "attention": "blocks.{}.hook_attn_out",
    "mlp": "blocks.{}.hook_mlp_out",
    "heads": "blocks.{}.attn.hook_z",
}
"""What a patch replaces → its hook point."""
NEEDED = {
    "ablate_head": ("head",),
    "ablate_mlp": (),
    "mean_head": ("head",),
    "mean_mlp": (),
    "scale_head": ("head", "factor"),
    "scale_mlp": ("factor",),
    "ablate_neuron": ("neuron",),
    "add_neuron": ("neuron", "amount"),
    "steer": ("scale", "token"),
    "contrast": ("scale", "plus", "minus"),
    "patch": ("site", "index", "source"),
}
"""Kind of intervention → the fields that it needs."""


def hooks_of(edits: Sequence[Intervention], model: Any, n_tokens: int) -> list[Hook]:
    """The hooks for `model.hooks(fwd_hooks=…)`.

    Args:
        edits: the interventions.
        model: a `HookedTransformer`, run without hooks for those that need activations of other texts.
        n_tokens: the length of the run.

    Raises:
        ValueError: for an intervention that makes no sense in this model or run.
    """
    return [_hook(edit, model, n_tokens) for edit in edits]


def activation_of(model: Any, tokens: Sequence[int], name: str) -> torch.Tensor:
    """One activation of the run on some tokens [1 pos …]."""
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor([tokens]), names_filter=[name], return_type=None)
    return cache[name]


def _hook(edit: Intervention, model: Any, n_tokens: int) -> Hook:
    _check(edit, model, n_tokens)
    if edit.kind in ("steer", "contrast"):
        return _addition(edit, _direction(edit, model))
    if edit.kind == "patch":
        return _patch(edit, model)
    action, _, part = edit.kind.partition("_")
    change = CHANGES[action](edit)
    if part == "neuron":

        def change_neuron(post: torch.Tensor, hook: HookPoint) -> torch.Tensor:
            post[:, :, edit.neuron] = change(post[:, :, edit.neuron])
            return post

        return f"blocks.{edit.layer}.mlp.hook_post", change_neuron
    if part == "mlp":
        return f"blocks.{edit.layer}.hook_mlp_out", lambda mlp_out, hook: change(mlp_out)

    def change_head(z: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        z[:, :, edit.head] = change(z[:, :, edit.head])
        return z

    return f"blocks.{edit.layer}.attn.hook_z", change_head


CHANGES: dict[str, Callable[[Intervention], Callable[[torch.Tensor], torch.Tensor]]] = {
    "ablate": lambda edit: lambda output: output * 0,
    "mean": lambda edit: lambda output: output.mean(1, keepdim=True).expand_as(output),
    "scale": lambda edit: lambda output: output * (edit.factor or 0.0),
    "add": lambda edit: lambda output: output + (edit.amount or 0.0),
}
"""What is done to an output [batch pos d], or to a neuron's activations [batch pos]."""


def _direction(edit: Intervention, model: Any) -> torch.Tensor:
    if edit.kind == "steer":
        direction = model.W_U[:, edit.token].detach()
        if edit.minus_token is not None:
            direction = direction - model.W_U[:, edit.minus_token].detach()
    else:
        assert edit.plus is not None
        assert edit.minus is not None
        stream = f"blocks.{edit.layer}.hook_resid_pre"
        ends = [activation_of(model, tokens, stream)[0, -1] for tokens in (edit.plus, edit.minus)]
        direction = ends[0] - ends[1]
    if float(direction.norm()) < 1e-6:
        raise ValueError(
            "both ends of this direction are the same point, so there is no direction between them: choose a later "
            "block, or other words."
        )
    return direction / direction.norm()


def _addition(edit: Intervention, direction: torch.Tensor) -> Hook:
    where = slice(None) if edit.position is None else edit.position
    added = (edit.scale or 0.0) * direction

    def add(resid: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        resid[:, where] += added
        return resid

    return f"blocks.{edit.layer}.hook_resid_pre", add


def _patch(edit: Intervention, model: Any) -> Hook:
    assert edit.site is not None
    assert edit.source is not None
    name = PATCHED[edit.site].format(edit.layer)
    other = activation_of(model, edit.source, name)

    def replace(activation: torch.Tensor, hook: HookPoint) -> torch.Tensor:
        if edit.site == "heads":
            activation[:, :, edit.index] = other[:, :, edit.index]
        else:
            activation[:, edit.index] = other[:, edit.index]
        return activation

    return name, replace


def _check(edit: Intervention, model: Any, n_tokens: int) -> None:
    cfg = model.cfg
    if missing := [name for name in NEEDED[edit.kind] if getattr(edit, name) is None]:
        raise ValueError(f"an intervention of the kind {edit.kind!r} needs {', '.join(missing)}.")
    _among("layer", edit.layer, cfg.n_layers)
    if cfg.attn_only and (edit.kind.endswith(("_mlp", "_neuron")) or edit.site == "mlp"):
        raise ValueError(f"{cfg.model_name} has no MLPs: its blocks are attention only.")
    if edit.kind.endswith("_head"):
        _among("head", edit.head, cfg.n_heads)
    if edit.kind.endswith("_neuron"):
        _among("neuron", edit.neuron, cfg.d_mlp)
    for name in ("token", "minus_token"):
        _among(name, getattr(edit, name), cfg.d_vocab_out)
    for name in ("plus", "minus", "source"):
        if (tokens := getattr(edit, name)) is not None:
            check_tokens(tokens, model, name)
    _among("position", edit.position, n_tokens)
    if edit.kind == "patch":
        if len(edit.source or ()) != n_tokens:
            raise ValueError(
                f"a patch comes from a text of {len(edit.source or ())} tokens and the run has {n_tokens}: both must "
                "have the same number."
            )
        _among("index", edit.index, cfg.n_heads if edit.site == "heads" else n_tokens)


def check_tokens(tokens: Sequence[int], model: Any, what: str = "tokens") -> None:
    """Refuse token ids that a model cannot read.

    Raises:
        ValueError: for none, too many, or ids that it does not have.
    """
    most = model.cfg.n_ctx
    if not 1 <= len(tokens) <= most:
        raise ValueError(f"{what}: there are {len(tokens)} tokens, and 1 to {most} can be read.")
    for token in tokens:
        _among(f"a token of {what}", token, model.cfg.d_vocab)


def _among(what: str, value: int | None, size: int) -> None:
    if value is not None and not 0 <= value < size:
        raise ValueError(f"{what} is {value}, and this model has 0 to {size - 1}.")
