"""Attention between the named positions, and whether heads copy the names that they attend to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from einops import einsum
from torch import Tensor

from mechscope.labs.ioi.heads import Head
from mechscope.model.model_name import model_name
from mechscope.model.names import get_act_name
from mechscope.results import Provenance, Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques.head_detectors import detect_heads
from mechscope.techniques.ov_qk_circuits import embedding, read_weight, unembedding, write_weight

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

ATTENTION_PATHS = (
    ("end", "IO"),
    ("end", "S1"),
    ("end", "S2"),
    ("S2", "S1"),
    ("S2", "S1+1"),
    ("S2", "IO"),
    ("S1+1", "S1"),
)
"""Pairs of named positions (from, to) along which attention is measured."""
SCALE = "ln_final.hook_scale"
TOP = 5
"""A name counts as copied if it is among this many highest logits."""


def attention_between(model: HookedTransformer, task: Task) -> Result:
    """Mean attention of every head along ATTENTION_PATHS (label, layer, head). A label is, for example, "end to IO"."""
    patterns = {
        f"{query} to {key}": _one_cell(task, query, key)
        for query, key in ATTENTION_PATHS
        if query in task.positions and key in task.positions
    }
    return detect_heads(model, task, patterns).scores


def _one_cell(task: Task, query: str, key: str) -> Tensor:
    target = torch.zeros(task.n_examples, task.length, task.length, dtype=torch.bool)
    target[torch.arange(task.n_examples), task.positions[query], task.positions[key]] = True
    return target


def attention_along(attention: Result, head: Head, label: str) -> float:
    """One head's attention along one of ATTENTION_PATHS."""
    return float(attention.values.sel(label=label).values[head])


def copy_scores(model: HookedTransformer, names: Sequence[int], *, sign: int = 1) -> Result:
    """Share of names that are among the five likeliest tokens when a head attends to them (layer, head).

    Computed from the weights: a name's embedding after the first MLP (if there is one) through W_V W_O W_U. With
    `sign=-1`, the negative copy score: the same through -W_O. Source: Wang et al. 2022, section 3.1.
    """
    through = "embed" if model.cfg.attn_only else "mlp0"
    tokens = torch.as_tensor(list(names), device=model.W_E.device)
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        # Only the names, and once for all layers: the first MLP on a whole vocabulary takes seconds.
        embedded, logits_of = embedding(model, tokens, through), sign * unembedding(model)
        for layer in range(model.cfg.n_layers):
            read, write = read_weight(model, layer, "W_V"), write_weight(model, layer)
            for head in range(model.cfg.n_heads):
                logits = (embedded @ read[head]) @ (write[head] @ logits_of)
                top = logits.topk(min(TOP, logits.shape[-1]), dim=-1).indices
                scores[layer, head] = (top == tokens[:, None]).any(-1).float().mean()
    title = "Copy score" if sign > 0 else "Negative copy score"
    return make_result(
        scores, ("layer", "head"), title, "share of names", Provenance(model_name(model), "names")
    )


def copy_scores_on_prompts(model: HookedTransformer, task: Task, *, sign: int = 1) -> Result:
    """Share of prompts on which a head that attends only to IO puts it among the five likeliest tokens (layer, head).

    Unlike in `copy_scores`, the head reads what the layers before it have made of the name on these prompts, as it does
    in the model. In a deep model that has little in common with the name's embedding after the first MLP. With
    `sign=-1`, the same through -W_O.
    """
    rows, io = torch.arange(task.n_examples), task.answers.correct[:, 0, 0]
    values = [get_act_name("v", layer) for layer in range(model.cfg.n_layers)]
    scores = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    with torch.no_grad():
        _, cache = model.run_with_cache(
            task.clean, return_type=None, names_filter=values, attention_mask=task.attention_mask
        )
        logits_of = sign * unembedding(model)
        io = io.to(logits_of.device)
        for layer, hook in enumerate(values):
            at_io = cache[hook][rows, task.positions["IO"]]
            # Under grouped-query attention several heads share a value.
            by_head = at_io.repeat_interleave(model.cfg.n_heads // at_io.shape[1], dim=1)
            for head in range(model.cfg.n_heads):
                logits = by_head[:, head] @ write_weight(model, layer)[head] @ logits_of
                top = logits.topk(min(TOP, logits.shape[-1]), dim=-1).indices
                scores[layer, head] = (top == io[:, None]).any(-1).float().mean()
    title = f"{'Copy' if sign > 0 else 'Negative copy'} score on prompts"
    made_by = Provenance(model_name(model), task.name, task.seed)
    return make_result(scores, ("layer", "head"), title, "share of prompts", made_by)


@dataclass(frozen=True)
class Projections:
    """What heads attend to and write, for every prompt and name (IO, then S)."""

    attention: Tensor
    """Attention from the end to the name [head prompt name]."""
    written: Tensor
    """What the head writes at the end, projected on the name's unembedding, after the final norm [head prompt name]."""

    def correlation(self) -> float:
        """Pearson's r over all prompts, names and heads; NaN if one of the two is constant."""
        pairs = torch.stack([self.attention.flatten(), self.written.flatten()]).double()
        return float(torch.corrcoef(pairs)[0, 1])


def projections(model: HookedTransformer, task: Task, heads: Sequence[Head]) -> Projections:
    """Attention to IO and to S (both mentions added up), and what each head writes in their directions.

    Source: Wang et al. 2022, figure 3c.
    """
    assert task.answers.wrong is not None
    rows = torch.arange(task.n_examples)
    names = [
        get_act_name(part, layer)
        for part in ("z", "pattern")
        for layer in sorted({layer for layer, _ in heads})
    ]
    normed = model.cfg.normalization_type is not None
    with torch.no_grad():
        _, cache = model.run_with_cache(
            task.clean,
            return_type=None,
            names_filter=names if not normed else [*names, SCALE],
            attention_mask=task.attention_mask,
        )
    end = task.positions["end"]
    scale = cache[SCALE][rows, end] if normed else torch.ones(1, device=model.W_E.device)  # [batch 1]
    tokens = torch.stack([task.answers.correct[:, 0, 0], task.answers.wrong[:, 0, 0]], 1)
    directions = unembedding(model).T[tokens]  # [batch name d_model]
    attention: list[Tensor] = []
    written: list[Tensor] = []
    for layer, head in heads:
        pattern = cache[get_act_name("pattern", layer)][rows, head, end]
        to_s = pattern[rows, task.positions["S1"]] + pattern[rows, task.positions["S2"]]
        attention.append(torch.stack([pattern[rows, task.positions["IO"]], to_s], 1))
        output = cache[get_act_name("z", layer)][rows, end, head] @ write_weight(model, layer)[head] / scale
        written.append(einsum(output, directions, "batch d_model, batch name d_model -> batch name"))
    return Projections(torch.stack(attention), torch.stack(written))
