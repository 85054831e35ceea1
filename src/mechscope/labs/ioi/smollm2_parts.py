"""The parts of the work on SmolLM2-135M: each loads the model, computes tensors, and is stored once it is finished.

Parts depend on this module and what it imports, and on nothing that decides how their results are judged or drawn.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch

from mechscope.labs.ioi.attention_and_copying import copy_scores
from mechscope.labs.ioi.automatic import discover_heads
from mechscope.labs.ioi.behaviour import describe
from mechscope.labs.ioi.gpt2 import name_tokens
from mechscope.labs.ioi.halves import split_words
from mechscope.labs.ioi.patched_heads import WORKING, find_heads
from mechscope.labs.ioi.real_model_measures import (
    JUDGED,
    behaviour_measures,
    copying_measures,
    judged_measures,
    message_measures,
)
from mechscope.labs.ioi.roles import ORDER, Role, Roles
from mechscope.model.names import get_act_name
from mechscope.runs.workspace import Part, Workspace
from mechscope.techniques.activation_patching import patch
from mechscope.techniques.head_detectors import detect_heads

if TYPE_CHECKING:
    from mechscope.checkpoints.lab_models import LabModel
    from mechscope.model.transformer import HookedTransformer

PATTERNS = ("previous", "duplicate", "induction")
"""Attention patterns on random tokens."""
NAMED = ("IO", "S1", "S1+1", "S2", "end")
"""Positions at which the residual stream is patched."""
NULLS = ("random", "matched")
"""The draws of `Nulls`."""
LENS = ("IO is the likeliest token", "IO beats S")
"""What is read by the logit lens."""
SHARES = (0.0005, 0.0025, 0.015, 0.07)
"""Sizes of the circuits of edges that are judged, as shares of all edges."""


@dataclass(frozen=True)
class Finding:
    """What patching found in one half of the data."""

    needed: np.ndarray
    """What is lost without each head [layer position head]; the positions are WORKING."""
    enough: np.ndarray
    """What each head brings back at the end [layer head]."""
    direct: np.ndarray
    """What each head writes itself, as a share of the logit difference [layer head]."""
    roles: Roles
    """The circuit's heads by class."""


class PartRunner:
    """Stores each part of the work, and shows how many are finished."""

    def __init__(self, workspace: Workspace, subject: LabModel) -> None:
        self.workspace, self.subject = workspace, subject
        self.bar = workspace.bar(3 + 4 * len(workspace.seeds), f"studying {subject.title}")

    def __enter__(self) -> PartRunner:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def run(self, name: str, measure: Callable[[HookedTransformer], Part]) -> Part:
        """The part `name`, from an earlier run or computed now."""
        subject, device = self.subject, self.workspace.device

        def compute() -> Part:
            return measure(subject.load(device))

        part = self.workspace.load_or_compute(f"smollm2-{name}", compute)
        self.bar.update()
        return {key: tensor.cpu() for key, tensor in part.items()}


def find_in_half(seed: int, half: int, n: int, threshold: float) -> Callable[[HookedTransformer], Part]:
    """Find the heads on one half of the data of a seed; `finding_of` reads the part."""

    def find(model: HookedTransformer) -> Part:
        heads = find_heads(model, split_words(model, seed)[half].task(model, n), threshold)
        roles = heads.roles.roles
        positions = [[name in role.positions for name in WORKING] for role in roles]
        return {
            "needed": torch.as_tensor(heads.needed.values.values),
            "enough": torch.as_tensor(heads.enough.values.values),
            "direct": torch.as_tensor(heads.direct.values.values),
            "heads": torch.tensor([role.head for role in roles]).reshape(-1, 2),
            "kinds": torch.tensor([ORDER.index(role.kind) for role in roles], dtype=torch.long),
            "main": torch.tensor([WORKING.index(role.position) for role in roles], dtype=torch.long),
            "positions": torch.tensor(positions, dtype=torch.bool).reshape(-1, len(WORKING)),
            "effects": torch.tensor([[role.direct, role.total] for role in roles]).reshape(-1, 2),
        }

    return find


def finding_of(part: Part) -> Finding:
    """What `find_in_half` found."""
    roles = []
    for index, (layer, head) in enumerate(part["heads"].tolist()):
        main = WORKING[int(part["main"][index])]
        others = [
            name
            for name, works in zip(WORKING, part["positions"][index].tolist(), strict=True)
            if works and name != main
        ]
        direct, total = part["effects"][index].tolist()
        kind = ORDER[int(part["kinds"][index])]
        roles.append(Role((layer, head), kind, main, (main, *others), direct, total))
    needed, enough, direct = (part[name].numpy() for name in ("needed", "enough", "direct"))
    return Finding(needed, enough, direct, Roles(tuple(roles)))


def measure_links(roles: tuple[Role, ...], seed: int, n: int) -> Callable[[HookedTransformer], Part]:
    """Behaviour, copying and messages of heads found on the first half, measured on the second."""

    def measure(model: HookedTransformer) -> Part:
        halves = split_words(model, seed)
        task, twins = (halves[1].task(model, n, corruption) for corruption in ("ABC", "S2"))
        classes = Roles(roles).classes
        return part_of(
            behaviour_measures(model, halves, n)
            | copying_measures(model, task, classes)
            | message_measures(model, task, twins, classes)
        )

    return measure


def judge_circuit(
    roles: tuple[Role, ...], seed: int, n: int, draws: int
) -> Callable[[HookedTransformer], Part]:
    """Judge the circuit found on the first half, on other prompts of the second."""

    def measure(model: HookedTransformer) -> Part:
        if not roles:
            return part_of(dict.fromkeys(JUDGED, float("nan"))) | dict.fromkeys(NULLS, torch.zeros(0))
        task = split_words(model, seed)[1].judged(model, n)
        measures, judgement = judged_measures(model, task, Roles(roles), draws, seed)
        nulls = judgement.nulls
        draws_of = dict(zip(NULLS, (nulls.random, nulls.matched), strict=True))
        return part_of(measures) | {name: torch.tensor(values) for name, values in draws_of.items()}

    return measure


def weights_and_random_tokens(model: HookedTransformer) -> Part:
    """What is known of every head without IOI prompts: copying by the weights, and attention on random tokens."""
    scores = detect_heads(model, None, PATTERNS, seeds=(0,)).scores.values
    return {
        "copying": torch.as_tensor(copy_scores(model, name_tokens(model)).values.values),
        **{pattern: torch.as_tensor(scores.sel(label=pattern).values) for pattern in PATTERNS},
    }


def score_edges(
    roles: tuple[Role, ...], seed: int, n: int, draws: int
) -> Callable[[HookedTransformer], Part]:
    """Score every edge on the first half, compare with the heads, and judge circuits of edges on the second."""

    def measure(model: HookedTransformer) -> Part:
        found_on, other = (half.task(model, n) for half in split_words(model, seed))
        found = discover_heads(model, found_on, {role.head for role in roles})
        sizes = [math.ceil(share * found.discovery.graph.n_edges) for share in SHARES]
        few = other.select(slice(0, max(2, n // 2)))
        evaluation = found.discovery.evaluate(few, sizes, draws=draws, seed=seed, progress=False)
        return {
            "discovery_auc": torch.tensor(found.head_auc, dtype=torch.float64),
            "faithfulness": torch.tensor(evaluation.faithfulness.values.values),
            "size": torch.tensor([circuit.n_edges for circuit in evaluation.circuits]),
        }

    return measure


def trace_stream(seed: int, n: int) -> Callable[[HookedTransformer], Part]:
    """Where the answer is: patching the residual stream, and what the logit lens reads of it at the end."""

    def measure(model: HookedTransformer) -> Part:
        task = split_words(model, seed)[0].task(model, n)
        effects = patch(model, task, "resid_pre", progress=False).values
        layers = range(model.cfg.n_layers)
        hooks = [get_act_name("resid_pre", layer) for layer in layers]
        with torch.no_grad():
            _, cache = model.run_with_cache(
                task.clean, return_type=None, names_filter=hooks, attention_mask=task.attention_mask
            )
            read = [describe(task.logits_at_answers(model, cache[hook]), task) for hook in hooks]
        return {
            "stream": torch.as_tensor(effects.sel(pos=list(NAMED)).values),
            "lens": torch.tensor([[one.first for one in read], [one.accuracy for one in read]]),
        }

    return measure


def part_of(measures: Mapping[str, float]) -> Part:
    """Measures as a part."""
    return {name: torch.tensor(value, dtype=torch.float64) for name, value in measures.items()}


def numbers_of(part: Part) -> dict[str, float]:
    """The measures among a part's tensors: those without axes."""
    return {name: float(tensor) for name, tensor in part.items() if tensor.ndim == 0}
