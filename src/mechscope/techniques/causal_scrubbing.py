"""Causal scrubbing: resample everything that a hypothesis calls unimportant, and measure what remains.

Source: Chan et al. 2022, "Causal scrubbing: a method for rigorously testing interpretability hypotheses".

A hypothesis is a tree of parts. Its root is the output on one prompt. Each part lists the earlier parts that it
needs (and at which input), and for each of those a feature, a function of the prompt, that must be preserved. Then,
from the root down:

1. A needed part is computed on another prompt, drawn uniformly from those with the same feature.
2. Everything else that the part reads is taken together from one prompt, drawn from all prompts.
3. A part whose own inputs are not specified (`inputs=None`) is taken as it is on its prompt.

Every occurrence of a part in the tree has its own draw. If the hypothesis is right, the metric stays the same. The
recovered share is (scrubbed - random) / (model - random), where "random" scores each prompt's answers on the logits
of a random other prompt.

How it misleads. A hypothesis that claims little (whole prompts as features, few resampled parts) passes without
being informative; `stand_ins` says how many prompts could replace the original one at each part. Parts whose errors
cancel may also pass.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Int
from tqdm import tqdm

from mechscope.arguments import checked_arguments
from mechscope.model.model_name import model_name
from mechscope.model.token_batch import TextOrIds
from mechscope.results import Provenance, Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques._inputs import read_tokens
from mechscope.techniques._node_names import parse_node
from mechscope.techniques._scrubbing_hypothesis import Feature, Part, check_tree
from mechscope.techniques._scrubbing_streams import Streams

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

__all__ = ["CausalScrubbing", "Part", "causal_scrubbing"]

Rows = Int[torch.Tensor, " batch"]


@dataclass(frozen=True)
class CausalScrubbing:
    """How much of the behaviour a hypothesis keeps."""

    recovered: Result
    """The recovered share of the metric in each draw ("draw",)."""
    stand_ins: Result
    """How many prompts could replace the original one at each part of the tree, mean over examples ("component",)."""

    @property
    def share(self) -> float:
        """The mean recovered share: 1 keeps the behaviour, 0 is no better than random other prompts."""
        return float(self.recovered.values.mean())

    @property
    def interval(self) -> tuple[float, float]:
        """The middle 95% of draws."""
        low, high = np.quantile(self.recovered.values, [0.025, 0.975])
        return float(low), float(high)

    def figure(self) -> Any:
        """The figure of the draws; `stand_ins` has a figure of its own."""
        return self.recovered.figure()

    def show(self) -> Any:
        """Display the figure and return it."""
        return self.recovered.show()

    def __repr__(self) -> str:
        low, high = self.interval
        return f"<{self.recovered.title}: {self.share:.3f} ({low:.3f} to {high:.3f}); {self.recovered.provenance}>"


@checked_arguments
def causal_scrubbing(
    model: HookedTransformer,
    task: Task,
    hypothesis: Part,
    *,
    prompts: Int[torch.Tensor, "prompt pos"] | TextOrIds | None = None,
    draws: int = 20,
    seed: int = 0,
    progress: bool = True,
) -> CausalScrubbing:
    """Measure the share of the metric that remains when everything a hypothesis calls unimportant is resampled.

    Args:
        hypothesis: the root of the tree, `Part("logits", inputs=[…])`.
        prompts: more prompts (text or tokens) to resample from, besides the task's clean prompts, of the same length.
        draws: how many times to resample everything.
        seed: seed of the draws.
        progress: show a progress bar.

    Raises:
        KeyError: for parts that do not exist.
        ValueError: for an invalid tree (a part that needs a later one), prompts of different shapes, a model that
            normalises what its parts write, or a metric that random prompts do not change.
    """
    if draws < 1:
        raise ValueError(f"draws must be at least 1, not {draws}.")
    task.check(model)
    check_tree(model, hypothesis)
    tokens = _prompts(model, task, prompts)
    scrub = _Scrub(model, task, tokens, hypothesis, seed)
    scores = torch.stack([scrub.draw() for _ in tqdm(range(draws), desc="scrubbing", disable=not progress)])
    clean, random = float(scrub.clean.mean()), float(scores[:, 1].mean())
    if not bool(torch.isfinite(scores).all()):
        raise ValueError("the metric of a scrubbed run is not finite: does the model give NaN?")
    if abs(clean - random) <= 1e-4 * max(abs(clean), abs(random), 1e-6):
        raise ValueError(
            f"the metric is {clean:.6g} on each prompt's own logits and {random:.6g} on those of other prompts, so "
            "there is nothing to recover. Do all prompts have the same answer?"
        )
    made_by = Provenance(model_name(model), task.name, seed)
    recovered = (scores[:, 0] - random) / (clean - random)
    labels, counts = zip(*scrub.stand_ins(), strict=True)
    return CausalScrubbing(
        make_result(
            recovered,
            ("draw",),
            f"Recovered by causal scrubbing: {task.metric.name}",
            "share recovered",
            made_by,
        ),
        make_result(
            list(counts),
            ("component",),
            f"Prompts that could replace the original, of {len(tokens)}",
            "prompts",
            made_by,
            {"component": np.array(labels)},
        ),
    )


class _Scrub:
    """Draws of one hypothesis on one set of prompts; the task's own prompts come first."""

    def __init__(
        self, model: HookedTransformer, task: Task, tokens: torch.Tensor, hypothesis: Part, seed: int
    ) -> None:
        self.model, self.task, self.tokens, self.hypothesis = model, task, tokens, hypothesis
        self.generator = torch.Generator().manual_seed(seed)
        names = {part.name: parse_node(model, part.name) for part in hypothesis.walk()}
        self.nodes = names
        self.streams = Streams(model, tokens, names.values())
        self.rows = torch.arange(task.n_examples)
        self.groups = {part.feature: self._group(part.feature) for part in hypothesis.walk() if part.feature}
        with torch.no_grad():
            self.end = self.streams.read(names["logits"])
            self.reference = self._logits(self.end[self.rows])
            self.clean = task.measure(self.reference, self.reference)

    def _group(self, feature: Feature) -> Int[torch.Tensor, " prompt"]:
        """A group number for each prompt; prompts of one group have the same value of the feature."""
        values = torch.as_tensor(feature(self.tokens))
        if values.ndim == 0 or len(values) != len(self.tokens):
            raise ValueError(
                f"a feature must return one value per prompt [{len(self.tokens)} …], not shape {tuple(values.shape)}."
            )
        flat = values.reshape(len(values), -1)
        return flat.unique(dim=0, return_inverse=True)[1].cpu()

    def draw(self) -> torch.Tensor:
        """The mean metric of one scrubbed run, and on the logits of random other prompts [2]."""
        with torch.no_grad():
            scrubbed = self._logits(self._stream(self.hypothesis, "", self.rows))
            others = self._logits(self.end[self._anyone()])
            scores = [self.task.measure(logits, self.reference).mean() for logits in (scrubbed, others)]
            return torch.stack(scores)

    def stand_ins(self) -> list[tuple[str, float]]:
        """For each part below the root, how many prompts could be drawn."""
        found: list[tuple[str, float]] = []

        def walk(part: Part, path: str) -> None:
            for which, children in part.needs():
                for child in children:
                    label = f"{child.name}→{path}" + (f"<{which}>" if which else "")
                    count = 1.0
                    if child.feature is not None:
                        group = self.groups[child.feature]
                        count = float((group[self.rows, None] == group).sum(1).double().mean())
                    found.append((label, count))
                    walk(child, label)

        walk(self.hypothesis, self.hypothesis.name)
        return found or [("nothing", float(len(self.tokens)))]

    def _anyone(self) -> Rows:
        return torch.randint(len(self.tokens), (len(self.rows),), generator=self.generator)

    def _alike(self, feature: Feature | None, rows: Rows) -> Rows:
        """For each prompt, one drawn from those with the same feature."""
        if feature is None:
            return rows
        group = self.groups[feature]
        order = group.argsort(stable=True)
        sizes = group.bincount()
        first = sizes.cumsum(0) - sizes
        mine = group[rows]
        step = (torch.rand(len(rows), generator=self.generator, dtype=torch.float64) * sizes[mine]).long()
        return order[first[mine] + step]

    def _stream(self, part: Part, which: str, rows: Rows) -> torch.Tensor:
        """The stream that a part reads at one input: needed parts as drawn, everything else from a random prompt."""
        others = self._anyone()
        stream = self.streams.read(self.nodes[part.name])[others].clone()
        needed = dict(part.needs()).get(which, ())
        for child in needed:
            change = self._writes(child, self._alike(child.feature, rows))
            change = change - self.streams.wrote(self.nodes[child.name])[others]
            if child.positions is None:
                stream += change
            else:
                stream[:, list(child.positions)] += change[:, list(child.positions)]
        return stream

    def _writes(self, part: Part, rows: Rows) -> torch.Tensor:
        """The contribution of a part to the residual stream [batch pos d_model]."""
        node = self.nodes[part.name]
        if part.inputs is None or node.kind == "input":
            return self.streams.wrote(node)[rows]
        if node.kind == "mlp":
            return self.model.blocks[node.layer].mlp_output(self._stream(part, "", rows))
        return self.streams.head(node, *(self._stream(part, which, rows) for which in "qkv"))

    def _logits(self, stream: torch.Tensor) -> torch.Tensor:
        """Logits at the answers of each example."""
        return self.model.unembed(self.model.ln_final(self.task.at_answers(stream)))


def _prompts(model: HookedTransformer, task: Task, prompts: torch.Tensor | TextOrIds | None) -> torch.Tensor:
    if task.lengths is not None and bool((task.lengths != task.length).any()):
        raise ValueError(
            f"{task.name}: prompts have different lengths, but scrubbing exchanges activations position by position; "
            "select prompts of one length with task.select."
        )
    if prompts is None:
        return task.clean.to(model.W_E.device)
    prompts = read_tokens(model, prompts)
    if prompts.attention_mask is not None:
        raise ValueError(
            "further prompts must not have padding, because scrubbing exchanges activations position by position."
        )
    if prompts.shape[1] != task.length:
        raise ValueError(
            f"further prompts must have {task.length} positions, like the task's, not {prompts.shape[1]}."
        )
    return torch.cat([task.clean, prompts.to(task.clean)]).to(model.W_E.device)
