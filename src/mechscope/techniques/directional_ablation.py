"""Directional ablation: remove one direction from everything that is written to the residual stream.

The output of every part that writes (embeddings, attention, MLPs) is projected onto the orthogonal complement of the
direction, so no later part can read along it. Projecting the weights once gives the same model.
Source: Arditi et al. 2024, "Refusal in language models is mediated by a single direction", sections 2.4 and 4.1.
"""

from __future__ import annotations

import copy
from collections.abc import Generator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch

from mechscope.arguments import checked_arguments
from mechscope.model.names import get_act_name
from mechscope.model.precision import at_least_float32
from mechscope.results import Provenance
from mechscope.tasks.task import Task
from mechscope.techniques._random_null import RandomNull, check_count, with_random_null
from mechscope.techniques.subspaces import orthonormal_basis, random_subspaces
from mechscope.techniques.sweep import Edit
from mechscope.techniques.sweep.task_sweep import TaskSweep

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@checked_arguments
@contextmanager
def without_direction(model: HookedTransformer, direction: torch.Tensor) -> Generator[HookedTransformer]:
    """Within the `with` block, nothing is written along a direction [d_model] (or a subspace [d_model k]).

    Raises:
        ValueError: for a direction that does not fit.
    """
    basis = _basis(model, direction)

    def project(written: torch.Tensor, hook: Any) -> torch.Tensor:
        own = at_least_float32(written)
        here = basis.to(own)
        return (own - (own @ here) @ here.mT).to(written.dtype)

    with model.hooks(fwd_hooks=[(_writers(model), project)]):
        yield model


@checked_arguments
def orthogonalize_weights(model: HookedTransformer, direction: torch.Tensor) -> HookedTransformer:
    """Return a copy of the model whose weights write nothing along a direction, like `without_direction` permanently.

    Raises:
        ValueError: for a direction that does not fit, or a model whose weights cannot be projected, because a norm
            follows or the embedding is also the unembedding.
    """
    basis = _basis(model, direction)
    cfg = model.cfg
    if cfg.norm_placement != "pre" or cfg.post_embedding_ln:
        raise ValueError(
            "this model normalises what its parts write, so changing their weights cannot remove a direction; use "
            "`with without_direction(model, direction)`."
        )
    if cfg.tie_word_embeddings:
        raise ValueError(
            "the embedding of this model is also its unembedding, so removing a direction from one would change the "
            "other; use `with without_direction(model, direction)`, or load the model with process=True, which unties "
            "them."
        )
    changed = copy.deepcopy(model)
    writing: list[torch.Tensor] = [changed.embed.W_E]
    if cfg.positional_embedding_type == "standard":
        writing.append(changed.pos_embed.W_pos)
    for block in changed.blocks:
        writing += [block.attn.W_O, block.attn.b_O]
        if not cfg.attn_only:
            writing += [block.mlp.W_out, block.mlp.b_out]
    with torch.no_grad():
        for weight in writing:
            own = at_least_float32(weight)
            here = basis.to(own)
            weight.copy_(own - (own @ here) @ here.mT)
    return changed


@checked_arguments
def directional_ablation(
    model: HookedTransformer,
    task: Task,
    direction: torch.Tensor,
    *,
    normalize: bool = True,
    n_random: int = 20,
    seed: int = 0,
    memory: int | None = None,
    progress: bool = True,
) -> RandomNull:
    """Measure the effect of removing a direction from everything that is written, on the clean prompts.

    Args:
        direction: [d_model], or several as columns [d_model k].
        normalize: report (ablated - clean) / (corrupted - clean): 0 changes nothing, 1 is as bad as the corrupted
            prompts. Otherwise report the metric of the ablated model.
        n_random: random directions (or subspaces of the same size) to compare with.
        seed: seed of their draw.
        memory: bytes that a batch may use.
        progress: show a progress bar.

    Raises:
        ValueError: for a direction or a task that does not fit.
    """
    check_count(n_random)
    basis = _basis(model, direction)
    run = TaskSweep(model, task, "noise", normalize=normalize, memory=memory, progress=progress)
    bases = [basis, *random_subspaces(basis.shape[0], basis.shape[1], n_random, seed)]
    interventions = [
        [Edit(hook, 0.0, basis=each.to(model.W_E.device)) for hook in _writers(model)] for each in bases
    ]
    effects = run.effects(interventions, "directional ablation")
    what = "a direction" if basis.shape[1] == 1 else f"{basis.shape[1]} directions"
    return with_random_null(
        {"direction": effects[0]},
        effects[1:],
        title=f"Removing {what} from everything that is written: {task.metric.name}",
        null_title=f"Removing random directions: {task.metric.name}",
        unit=run.unit,
        provenance=Provenance(run.provenance.model, task.name, seed),
    )


def _writers(model: HookedTransformer) -> list[str]:
    """Every hook point whose activation is about to be added to the residual stream."""
    names = ["hook_embed"]
    if model.cfg.positional_embedding_type == "standard":
        names.append("hook_pos_embed")
    for layer in range(model.cfg.n_layers):
        names.append(get_act_name("attn_out", layer))
        if not model.cfg.attn_only:
            names.append(get_act_name("mlp_out", layer))
    return names


def _basis(model: HookedTransformer, direction: torch.Tensor) -> torch.Tensor:
    basis = orthonormal_basis(direction)
    if basis.shape[0] != model.cfg.d_model:
        raise ValueError(
            f"a direction of this residual stream must have {model.cfg.d_model} entries, not {basis.shape[0]}."
        )
    return basis
