"""Run a model as a circuit: every edge outside the circuit carries what its source wrote in another run.

Each destination reads the residual stream with some sources replaced: resid + Σ_patched (source_other - source_now),
where `source_now` is what the source writes when its own input is patched too. The computation is exact, and batches
many circuits. Sources: Wang et al. 2022 (knock-out by patching), Conmy et al. 2023 (edge by edge).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Float
from tqdm import tqdm

from mechscope.model.components import PassContext
from mechscope.tasks.task import Baselines, Task
from mechscope.techniques.circuits._live_edges import live_edges, reaches_logits
from mechscope.techniques.circuits._node_outputs import Run, plain_run, write
from mechscope.techniques.circuits.graph import EdgeGraph
from mechscope.techniques.sweep import memory_budget
from mechscope.techniques.sweep._memory import batch_memory
from mechscope.techniques.sweep.task_sweep import compact

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Patch = Literal["corrupted", "zero", "mean"]
PATCHES = ("corrupted", "zero", "mean")
_FEW = 32
Weights = Float[torch.Tensor, "circuit source destination"]


@dataclass
class _Rows:
    """Some examples of the task, with everything that does not depend on the circuit."""

    rows: slice
    tokens: torch.Tensor
    context: PassContext
    other: Run
    """The run that provides the contributions along edges outside the circuit."""
    held: torch.Tensor
    """Contributions in the held circuit, minus those of `other` [source batch pos d_model]."""


class MaskedRun:
    """Runs circuits of one model on one task.

    Args:
        model: the model.
        task: its clean prompts are run; its corrupted prompts provide the activations outside the circuit.
        graph: the edge graph; by default with separate q, k and v inputs.
        patch: the activations along edges outside the circuit: what the source writes on the "corrupted" prompt, the
            "mean" of that over the task's examples at each position, or "zero".
        memory: bytes that it may use; by default a quarter of the free memory.
        baselines: the task's baselines, if they are known.

    Raises:
        ValueError: for a task that does not fit the model, a metric that is not one number per example, or an unknown
            patch.
    """

    def __init__(
        self,
        model: HookedTransformer,
        task: Task,
        graph: EdgeGraph | None = None,
        *,
        patch: Patch = "corrupted",
        memory: int | None = None,
        baselines: Baselines | None = None,
    ) -> None:
        if patch not in PATCHES:
            raise ValueError(f"patch must be one of {', '.join(PATCHES)}, not {patch!r}.")
        self.model, self.task, self.patch = model, task, patch
        self.graph = EdgeGraph.of(model) if graph is None else graph
        self.baselines = task.baselines(model) if baselines is None else baselines
        self._split = self.graph.split
        self._device = model.W_E.device
        self._budget = memory_budget(memory, self._device)
        self._vocabulary: torch.Tensor | None = None
        self._answers = task.answers
        if task.metric.reads_answers_only:
            self._answers, self._vocabulary = compact(task.answers)
        self._mean = self._mean_run() if patch == "mean" else None
        self._held_weights = self._split.valid.to(self._device, model.W_E.dtype)
        size, cuts = self._rows_at_once()
        self._cuts = cuts
        self._kept: list[_Rows] | None = (
            [self._prepare(rows) for rows in cuts] if task.n_examples * size * 2 <= self._budget else None
        )

    # Measuring --------------------------------------------------------------------------------

    def measure(
        self, circuits: torch.Tensor, *, progress: bool = False, description: str = "circuits"
    ) -> Float[torch.Tensor, "circuit batch"]:
        """The task's metric of each example in each circuit.

        Args:
            circuits: True for edges in each circuit [circuit source destination]; a number between 0 and 1 lets that
                share of an edge through.
            progress: show a progress bar.
            description: text for the progress bar.
        """
        reference = self.baselines.reference

        def metric(logits: torch.Tensor, rows: slice) -> torch.Tensor:
            some = None if reference is None else reference[rows]
            return self.task.metric(logits, self._answers.select(rows), some)

        return self._run(circuits, metric, self._vocabulary, progress, description)

    def logits(self, circuits: torch.Tensor) -> Float[torch.Tensor, "circuit batch answer d_vocab"]:
        """The logits of each circuit at the answers."""
        return self._run(circuits, lambda logits, rows: logits, None, False, "")

    def hold(self, circuit: torch.Tensor) -> None:
        """Store the activations of a circuit, so that later runs resume at the first stage where they differ from it.

        At the start the whole model is held. This has no effect on results.
        """
        self._check(circuit[None])
        weights = self._weights(circuit[None])
        if self._kept is None:
            return  # the activations of all examples do not fit in memory: runs start from the whole model
        stage = int(self._first_stage(weights)[0])
        for rows in self._kept:
            new = self._propagate(rows, weights, stage, everything=True)[1]
            start = rows.held.shape[0] - new.shape[1]
            rows.held = torch.cat([rows.held[:start], new[0]])
        self._held_weights = weights[0]

    # Running ----------------------------------------------------------------------------------

    def _run(
        self,
        circuits: torch.Tensor,
        read: Callable[[torch.Tensor, slice], torch.Tensor],
        vocabulary: torch.Tensor | None,
        progress: bool,
        description: str,
    ) -> torch.Tensor:
        self._check(circuits)
        # Converted to numbers at once, the circuits of an evaluation would need more memory than running them.
        first = torch.cat([self._first_stage(self._weights(some)) for some in circuits.split(_FEW)])
        order = first.argsort(stable=True)
        answers: list[torch.Tensor] = []
        with (
            tqdm(total=len(circuits) * len(self._cuts), desc=description, disable=not progress) as bar,
            torch.no_grad(),
        ):
            for rows in self._all_rows():
                parts: list[torch.Tensor] = []
                at = 0
                while at < len(order):
                    stage = int(first[order[at]])
                    chosen = order[at : at + self._circuits_at_once(stage, rows)]
                    final, _ = self._propagate(rows, self._weights(circuits[chosen]), stage)
                    logits = self._unembed(final, vocabulary)
                    parts += [read(one, rows.rows) for one in logits]
                    at += len(chosen)
                    bar.update(len(chosen))
                answers.append(torch.stack(parts)[order.argsort()])
        return torch.cat(answers, dim=1)

    def _check(self, circuits: torch.Tensor) -> None:
        graph = self.graph
        if circuits.ndim != 3 or tuple(circuits.shape[1:]) != tuple(graph.valid.shape):
            raise ValueError(
                f"circuits must have shape [circuit, {len(graph.sources)} sources, {len(graph.destinations)} "
                f"destinations], not {tuple(circuits.shape)}."
            )
        if not len(circuits):
            raise ValueError("the list of circuits is empty; give at least one.")
        outside = (circuits != 0).any(0).cpu() & ~graph.valid
        if bool(outside.any()):
            row, column = outside.nonzero()[0].tolist()
            raise ValueError(
                f"a circuit has the edge {graph.sources[row]}->{graph.destinations[column]}, which does not exist."
            )

    def _weights(self, circuits: torch.Tensor) -> Weights:
        columns = self.graph.column_of.to(circuits.device)
        return circuits[..., columns].to(self._device, self.model.W_E.dtype)

    def _first_stage(self, weights: Weights) -> torch.Tensor:
        """The first stage of each circuit whose input differs from that in the held circuit."""
        differs = (weights != self._held_weights).any(1).cpu()
        last = len(self._split.stages) - 1
        return torch.where(differs, self._split.destination_stage, last).amin(1)

    def _propagate(
        self, rows: _Rows, weights: Weights, first: int, everything: bool = False
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Run circuits from stage `first` on.

        Returns:
            the last residual stream at the answers [circuit batch answer d_model], and with `everything` the
            contributions of sources from stage `first` on, minus those of the other run
            [circuit source batch pos d_model].
        """
        graph = self._split
        known = int((graph.source_stage < first).sum())
        held = rows.held[:known]
        needed = torch.arange(known, len(graph.sources))
        if not everything:
            needed = needed[self._matters(weights != 0)[known:].cpu()]
        new = held.new_empty(len(weights), len(needed), *held.shape[1:])
        context = rows.context.repeated(len(weights))
        place = {int(source): index for index, source in enumerate(needed)}
        done = 0
        with torch.no_grad():
            for number in range(first, len(graph.stages) - 1):
                stage = graph.stages[number]
                heads = [source - stage.sources.start for source in stage.sources if source in place]
                if not heads:
                    continue
                read = partial(
                    _mix,
                    rows.other.read[number],
                    (weights[:, :known], weights[:, needed[:done]]),
                    held,
                    new[:, :done],
                )
                written = write(self.model, graph, stage, heads, read, context)
                other = rows.other.sources[[stage.sources.start + head for head in heads]]
                new[:, done : done + len(heads)] = written.unflatten(1, (len(weights), -1)).transpose(0, 1)
                new[:, done : done + len(heads)] -= other
                done += len(heads)
            at = self._answer_positions(rows)
            final = _mix(
                rows.other.read[-1][at],
                (weights[:, :known], weights[:, needed]),
                held[:, *at],
                new[:, :, *at],
                [len(graph.destinations) - 1],
            )
        return final[:, 0], new

    def _matters(self, edges: torch.Tensor) -> torch.Tensor:
        """True for sources that matter in any of the circuits."""
        if any(block.heads_interact for block in self.model.blocks):
            return torch.ones(edges.shape[1], dtype=torch.bool)
        if self.patch == "corrupted":
            # A source without a path from the input writes the same as in the other run.
            return live_edges(self._split, edges).any(-1).any(0)
        return reaches_logits(self._split, edges).any(0)

    def _unembed(self, final: torch.Tensor, vocabulary: torch.Tensor | None) -> torch.Tensor:
        flat = self.model.ln_final(final.flatten(0, 1))
        logits = self.model.unembed(flat) if vocabulary is None else self.model.unembed.only(flat, vocabulary)
        return logits.unflatten(0, final.shape[:2])

    def _answer_positions(self, rows: _Rows) -> tuple[torch.Tensor, torch.Tensor]:
        where = self.task.answers.positions[rows.rows].to(self._device)
        return torch.arange(len(where), device=self._device)[:, None], where

    # Examples and memory ------------------------------------------------------------------------

    def _all_rows(self) -> Iterator[_Rows]:
        if self._kept is not None:
            yield from self._kept
        else:
            yield from map(self._prepare, self._cuts)

    def _prepare(self, rows: slice) -> _Rows:
        task, graph = self.task, self._split
        padding = None if task.attention_mask is None else task.attention_mask[rows]
        tokens = task.clean[rows].to(self._device)
        clean = plain_run(self.model, graph, tokens, padding)
        if self.patch == "corrupted":
            other = plain_run(self.model, graph, task.corrupted[rows].to(self._device), padding)
        elif self.patch == "mean":
            assert self._mean is not None
            count = len(tokens)
            other = Run(
                self._mean.sources.expand(-1, count, -1, -1), self._mean.read.expand(-1, count, -1, -1)
            )
        else:
            other = self._zero_run(clean.read[0])
        with torch.no_grad():
            _, context = self.model.start_pass(tokens, padding)
        return _Rows(rows, tokens, context, other, clean.sources - other.sources)

    def _zero_run(self, like: torch.Tensor) -> Run:
        """A run in which nothing is written except constants, which are the same in every run."""
        total = torch.zeros_like(like)
        read = like.new_empty(len(self._split.stages), *like.shape)
        before_attention = total
        for number, stage in enumerate(self._split.stages):
            if stage.kind == "attn":
                before_attention = total
                read[number] = total
                total = total + self.model.blocks[stage.layer].attention_constant.detach()
            else:
                read[number] = before_attention if stage.kind == "mlp" and self._split.parallel else total
        return Run(like.new_zeros(1, 1, 1, 1).expand(len(self._split.sources), *like.shape), read)

    def _mean_run(self) -> Run:
        """Means over the corrupted prompts at each position, without padding [.. 1 pos d_model]."""
        task = self.task
        real = torch.ones_like(task.corrupted, dtype=torch.bool)
        real = real if task.attention_mask is None else task.attention_mask
        dtype = self.model.W_E.dtype
        wide = torch.promote_types(dtype, torch.float32)
        share = (real.double() / real.sum(0).clamp(min=1)).to(self._device, wide)[..., None]
        sums: list[torch.Tensor] = []
        _, cuts = self._rows_at_once()
        for rows in cuts:
            padding = None if task.attention_mask is None else task.attention_mask[rows]
            run = plain_run(self.model, self._split, task.corrupted[rows].to(self._device), padding)
            parts = [(part.to(wide) * share[rows]).sum(1, keepdim=True) for part in (run.sources, run.read)]
            sums = parts if not sums else [total + part for total, part in zip(sums, parts, strict=True)]
        return Run(sums[0].to(dtype), sums[1].to(dtype))

    def _rows_at_once(self) -> tuple[int, list[slice]]:
        """The memory of one example's activations, and slices of examples that fit the budget."""
        width = self._bytes(1)
        size = (2 * len(self._split.sources) + len(self._split.stages)) * width
        n_examples = self.task.n_examples
        count = max(1, min(n_examples, int(self._budget // (4 * size))))
        return size, [slice(start, min(start + count, n_examples)) for start in range(0, n_examples, count)]

    def _circuits_at_once(self, first: int, rows: _Rows) -> int:
        new = int((self._split.source_stage >= first).sum())
        reads = max(len(stage.destinations) for stage in self._split.stages)
        mlp = 0 if self.graph.attn_only else 4 * (self.model.cfg.d_mlp or 0) // self.model.cfg.d_model
        used = (new + 4 * reads + mlp) * self._bytes(rows.tokens.shape[0])
        return max(1, batch_memory(self._budget, self._device) // max(used, 1))

    def _bytes(self, examples: int) -> int:
        dtype = self.model.W_E.dtype
        return examples * self.task.length * self.model.cfg.d_model * torch.finfo(dtype).bits // 8


def _mix(
    base: torch.Tensor,
    weights: tuple[torch.Tensor, torch.Tensor],
    held: torch.Tensor,
    new: torch.Tensor,
    columns: list[int],
) -> torch.Tensor:
    """The inputs of some destinations [circuit destination batch pos d_model]: the other run's stream plus differences.

    Args:
        base: the other run's residual stream there [batch pos d_model].
        weights: how much of each held and of each new source they read [circuit source destination].
        held: differences shared by all circuits [source batch pos d_model].
        new: differences of each circuit [circuit source batch pos d_model].
    """
    shared, own = (part[:, :, columns].transpose(1, 2) for part in weights)
    mixed = base + (shared.flatten(0, 1) @ held.flatten(1)).view(*shared.shape[:2], *base.shape)
    if new.shape[1]:
        mixed = mixed + torch.bmm(own, new.flatten(2)).view_as(mixed)
    return mixed
