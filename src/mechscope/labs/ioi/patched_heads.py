"""Find the heads of a large model by patching each one only at the positions where heads of this circuit work.

A change at one position leaves everything before it as it was, so that a head at the end costs a single position's
pass. Away from the end a layer's whole attention is patched first, and its heads only if the layer matters. (A layer
whose heads cancel each other would be overlooked.)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from mechscope.labs.ioi.attention_and_copying import attention_along, attention_between
from mechscope.labs.ioi.roles import Role, Roles, classify, raised_io
from mechscope.model.names import get_act_name
from mechscope.results import Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques.direct_logit_attribution import direct_logit_attribution
from mechscope.techniques.sweep.task_sweep import Direction, TaskSweep

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

WRITERS = ("name mover", "S-suppressor", "negative name mover")
"""Classes of heads that write names to the logits."""
LEAST_READ = 0.1
"""Attention from the end to the names below which a head is not one of these."""
WORKING = ("end", "S2", "S1+1")
"""Named positions at which the heads of the published circuit work."""


@dataclass(frozen=True)
class PatchedHeads:
    """The effect of every head at every position at which heads were patched. All are shares of the whole effect."""

    needed: Result
    """What is lost if the head is corrupted (layer, pos, head); 0 for heads of layers that do not matter there."""
    enough: Result
    """What comes back if the head is restored in the corrupted run, at the end (layer, head)."""
    direct: Result
    """The head's direct contribution, as a share of the logit difference (layer, head)."""
    roles: Roles
    """The heads whose effect is large enough in one of the two directions, by class."""

    def at(self, position: str) -> np.ndarray:
        """Needed at one named position [layer head]."""
        return self.needed.values.sel(pos=position).values


def find_heads(
    model: HookedTransformer,
    task: Task,
    threshold: float = 0.05,
    *,
    positions: Sequence[str] = WORKING,
    memory: int | None = None,
    progress: bool = False,
) -> PatchedHeads:
    """Find the heads that the task needs, or that are enough to bring its answer back, and classify them.

    Args:
        task: IOI prompts (see `tasks.ioi`), with three other names in the corrupted ones.
        threshold: the smallest share of the effect, of either sign, that makes a head part of the circuit.
        positions: named positions at which heads are patched; the first must be "end".
        memory: bytes that a batch may take.
        progress: show bars.

    Raises:
        KeyError: for positions that the task does not name.
        ValueError: if the first position is not "end", the threshold is not positive, or clean and corrupted prompts
            score alike.
    """
    if not positions or positions[0] != "end":
        raise ValueError(
            f'the first of the positions must be "end", where the answer is given, not {positions}.'
        )
    if missing := [name for name in positions if name not in task.positions]:
        raise KeyError(
            f"{task.name} has no position {', '.join(missing)}; it names {', '.join(task.positions)}."
        )
    if not threshold > 0:
        raise ValueError(f"the threshold must be a share of the effect above 0, not {threshold!r}.")
    noise = _sweep(model, task, "noise", memory, progress)
    layers = range(model.cfg.n_layers)
    tables = {"end": _heads_at(noise, "end", layers)}
    for name in positions[1:]:
        tables[name] = _heads_at(noise, name, _layers_that_matter(noise, name, threshold))
    provenance = noise.provenance
    needed = make_result(
        np.stack(list(tables.values()), 1),
        ("layer", "pos", "head"),
        "What is lost without each head",
        noise.unit,
        provenance,
        {"pos": list(tables)},
    )
    restored = _heads_at(_sweep(model, task, "denoise", memory, progress), "end", layers)
    enough = make_result(restored, ("layer", "head"), "What each head brings back", noise.unit, provenance)
    attribution = direct_logit_attribution(model, task, "head")
    direct = make_result(
        attribution.contributions.values.values / attribution.total,
        ("layer", "head"),
        "What each head writes itself",
        "share of the logit difference",
        provenance,
    )
    return PatchedHeads(
        needed, enough, direct, _roles(model, task, tables, enough, direct, needed, threshold)
    )


def _sweep(
    model: HookedTransformer, task: Task, direction: Direction, memory: int | None, progress: bool
) -> TaskSweep:
    sweep = TaskSweep(model, task, direction, memory=memory, progress=progress)
    parts = ("z", "attn_out") if direction == "noise" else ("z",)
    sweep.source.require([get_act_name(part, layer) for part in parts for layer in range(model.cfg.n_layers)])
    return sweep


def _layers_that_matter(sweep: TaskSweep, position: str, threshold: float) -> list[int]:
    """Layers whose whole attention, patched at this position, has a large enough effect."""
    edits = [
        sweep.edit(get_act_name("attn_out", layer), pos=sweep.task.positions[position])
        for layer in range(sweep.model.cfg.n_layers)
    ]
    effects = sweep.effects(edits, f"patching layers at {position}")
    return [layer for layer, effect in enumerate(effects) if abs(float(effect)) >= threshold]


def _heads_at(sweep: TaskSweep, position: str, layers: Sequence[int]) -> np.ndarray:
    """Effects of the heads of these layers at one position; 0 for the others [layer head]."""
    cfg = sweep.model.cfg
    table = np.zeros((cfg.n_layers, cfg.n_heads))
    edits = [
        sweep.edit(get_act_name("z", layer), head=head, pos=sweep.task.positions[position])
        for layer in layers
        for head in range(cfg.n_heads)
    ]
    if edits:
        effects = sweep.effects(edits, f"patching heads at {position}")
        table[list(layers)] = torch.as_tensor(effects).cpu().numpy().reshape(len(layers), cfg.n_heads)
    return table


def _roles(
    model: HookedTransformer,
    task: Task,
    tables: Mapping[str, np.ndarray],
    enough: Result,
    direct: Result,
    needed: Result,
    threshold: float,
) -> Roles:
    # At the end, the larger of the two effects: a name mover is enough by itself, but hardly needed if others back it
    # up; a head that only says where to look is needed, but not enough among other names.
    restored = enough.values.values
    lost = tables["end"]
    effects = {**tables, "end": np.where(np.abs(restored) > np.abs(lost), restored, lost)}
    large = np.any([np.abs(table) >= threshold for table in effects.values()], axis=0)
    heads = [(int(layer), int(head)) for layer, head in np.argwhere(large)]
    writers = [head for head in heads if abs(direct.values.values[head]) >= threshold]
    raised = raised_io(model, task, writers) if writers else {}
    attention = attention_between(model, task)
    roles = classify(heads, effects, direct.values.values, attention, raised, threshold)
    return Roles(tuple(_only_if_it_reads_names(role, attention) for role in roles), needed)


def _only_if_it_reads_names(role: Role, attention: Result) -> Role:
    """The role, or "other" for a head that writes to the logits without reading a name, such as one that scales up what
    earlier heads wrote."""
    read = sum(attention_along(attention, role.head, f"end to {name}") for name in ("IO", "S1", "S2"))
    return dataclasses.replace(role, kind="other") if role.kind in WRITERS and read < LEAST_READ else role
