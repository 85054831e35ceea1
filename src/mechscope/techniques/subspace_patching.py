"""Subspace patching: patch only the component of an activation along a direction or in a subspace.

Source: Geiger et al. 2023 (distributed interchange interventions); Makelov et al. 2023 (illusions).

How it misleads. A direction that changes the behaviour need not be used by the model. It may combine a component that
differs between the prompts but that nothing reads with a component that is read but never varies; patched together,
the first switches on the second (the illusion of Makelov et al. 2023). So every effect is compared with three others:
the rest of the activation, the whole activation, and random subspaces of the same size. For neurons ("post") there is
a fourth: the subspace without the part that W_out cannot read. A genuine direction keeps its effect there; an
illusory one loses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from mechscope.arguments import checked_arguments
from mechscope.model.grouped_heads import key_value_head_of, query_heads_in_words
from mechscope.model.layer_checks import check_layer
from mechscope.model.names import get_act_name
from mechscope.tasks.positions import named_positions
from mechscope.techniques._random_null import RandomNull, check_count, with_random_null
from mechscope.techniques.activation_patching import KINDS
from mechscope.techniques.subspaces import complement, orthonormal_basis, random_subspaces
from mechscope.techniques.sweep import Edit
from mechscope.techniques.sweep.task_sweep import Direction, TaskSweep, in_words

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer
    from mechscope.tasks.task import Task


@checked_arguments
def subspace_patching(
    model: HookedTransformer,
    task: Task,
    subspace: torch.Tensor,
    layer: int,
    site: str = "resid_pre",
    *,
    head: int | None = None,
    positions: Sequence[str | int] | str | int | None = None,
    direction: Direction = "denoise",
    normalize: bool = True,
    n_random: int = 20,
    seed: int = 0,
    memory: int | None = None,
    progress: bool = True,
) -> RandomNull:
    """Measure the effect of patching a subspace of one activation, with comparisons.

    Args:
        model: the model.
        task: clean and corrupted prompts, answers, metric.
        subspace: one direction [d] or several as columns [d k]; they are made orthonormal. Examples are the weights
            of a probe, a difference of means (`steering_vector`) or `principal_subspace`.
        layer: the layer.
        site: a short hook name, as for `patch`.
        head: the head, for sites that have heads (a key/value head for "k" and "v").
        positions: numbers or names of the task's positions; None for all.
        direction: "denoise" (base corrupted, source clean) or "noise".
        normalize: report shares of the whole effect, not the metric itself.
        n_random: how many random subspaces.
        seed: seed of their draw.
        memory: bytes that a batch may use.
        progress: show a progress bar.

    Returns:
        the series "subspace", "rest", "whole activation", and for neurons "subspace, read part"; and the random null.

    Raises:
        KeyError: for a site, layer or position that does not exist.
        ValueError: for a subspace or a task that does not fit.
    """
    check_count(n_random)
    site = "z" if site == "head" else site
    if site not in KINDS or site == "pattern":
        raise KeyError(
            f"{site!r} has no subspaces to patch; choose from {', '.join(set(KINDS) - {'pattern'})}."
        )
    check_layer(model, layer)
    hook = get_act_name(site, layer)
    model.match_hook_names([hook])
    basis = orthonormal_basis(subspace)
    _check(model, site, head, basis)
    places: list[Any] = (
        [None] if positions is None else [place.pos for place in named_positions(task, positions)]
    )
    run = TaskSweep(model, task, direction, normalize=normalize, memory=memory, progress=progress)
    d, k = basis.shape
    bases: dict[str, torch.Tensor | None] = {
        "subspace": basis,
        "rest": complement(basis),
        "whole activation": None,
    }
    if site == "post":
        read = _read_part(model, layer, basis)
        if read is not None:
            bases["subspace, read part"] = read
    if k == d:
        del bases["rest"]
    drawn = random_subspaces(d, k, n_random, seed)
    value = run.source[hook]
    interventions = [
        [
            Edit(hook, value, pos=pos, head=head, basis=None if each is None else each.to(value.device))
            for pos in places
        ]
        for each in (*bases.values(), *drawn)
    ]
    effects = run.effects(interventions, "subspace patching")
    where = f"{KINDS[site].words}, layer {layer}" + _head_in_words(model, site, head)
    size = "a direction" if k == 1 else f"{k} of {d} dimensions"
    made_by = run.provenance
    return with_random_null(
        dict(zip(bases, effects[: len(bases)], strict=True)),
        effects[len(bases) :],
        title=f"Patching {size} ({where}), {in_words(direction)}: {task.metric.name}",
        null_title=f"Random subspaces of {k} dimensions ({where}), {in_words(direction)}: {task.metric.name}",
        unit=run.unit,
        provenance=type(made_by)(made_by.model, made_by.task, seed),
    )


def _check(model: HookedTransformer, site: str, head: int | None, basis: torch.Tensor) -> None:
    by_head = site in ("z", "q", "k", "v")
    if by_head != (head is not None):
        raise ValueError(f"{site!r} has {'heads: give head=…' if by_head else 'no heads: leave head out'}.")
    heads = model.cfg.n_kv_heads if site in ("k", "v") else model.cfg.n_heads
    if head is not None and not 0 <= head < heads:
        if heads < model.cfg.n_heads and 0 <= head < model.cfg.n_heads:
            shared = key_value_head_of(head, model.cfg.n_heads, heads)
            raise ValueError(
                f"query head {head} reads key/value head {shared} (of {heads}): give head={shared} for {site!r}, which "
                "counts key/value heads."
            )
        raise ValueError(f"there is no head {head} at {site!r}, only 0 to {heads - 1}.")
    expected = model.cfg.d_head if by_head else model.cfg.d_mlp if site == "post" else model.cfg.d_model
    if basis.shape[0] != expected:
        raise ValueError(f"directions at {site!r} must have {expected} entries, not {basis.shape[0]}.")


def _head_in_words(model: HookedTransformer, site: str, head: int | None) -> str:
    if head is None:
        return ""
    cfg = model.cfg
    if site in ("k", "v") and cfg.n_kv_heads != cfg.n_heads:
        readers = query_heads_in_words(head, cfg.n_heads, cfg.n_kv_heads)
        return f", key/value head {head} of {readers}"
    return f", head {head}"


def _read_part(model: HookedTransformer, layer: int, basis: torch.Tensor) -> torch.Tensor | None:
    """The projection of a subspace onto what W_out reads; None if W_out reads everything, or nothing of it."""
    W_out = model.blocks[layer].mlp.W_out.detach().to(basis)
    axes, sizes, _ = torch.linalg.svd(W_out, full_matrices=False)
    axes = axes[:, sizes > 1e-5 * sizes[0]]
    if axes.shape[1] == len(W_out):
        return None
    seen = axes @ (axes.mT @ basis)
    directions, lengths, _ = torch.linalg.svd(seen, full_matrices=False)
    kept = directions[:, lengths > 1e-4]
    return kept if kept.shape[1] else None
