"""A compiled model with a known circuit: weights, program and true graph."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int

from mechscope.planted._drawing import all_inputs, draw_inputs, draw_task
from mechscope.planted._evaluating import evaluate
from mechscope.planted.program import Program

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer
    from mechscope.tasks.metrics import Metric
    from mechscope.tasks.task import Task

BOS = "BOS"
MOST_INPUTS = 20_000
"""Up to this many inputs, `check` tries all of them; above it, a random sample."""


@dataclass(frozen=True)
class Check:
    """The result of comparing a model with the reference interpreter."""

    inputs: int
    """Inputs compared."""
    complete: bool
    """Whether these are all possible inputs."""
    answers: int
    """Answers compared."""
    wrong: int
    """Answers that the model gets wrong."""
    margin: float
    """The smallest margin of a right answer over the next best token, in logits."""

    @property
    def exact(self) -> bool:
        """Whether every answer was right."""
        return self.wrong == 0


@dataclass(frozen=True)
class PlantedModel:
    """A compiled program: the model, what it computes, and the true circuit in the published naming."""

    name: str
    model: HookedTransformer
    program: Program
    vocabulary: tuple[str, ...]
    """The string of each token id; token 0 is BOS."""
    true_edges: frozenset[str]
    """Edges that carry token-dependent information to the output: `a0.h1->a1.h0<k>`."""
    fixed_edges: frozenset[str]
    """Edges that carry only positions, BOS and constants; these never change, so swapping inputs cannot reveal them."""
    true_nodes: frozenset[str]
    """The ends of the true edges."""
    notes: dict[str, str]
    """Node → a description of what that component does."""
    noise: float = 0.0
    """Scale of the random weights that were added (0: none)."""
    rotated: bool = False
    """Whether bases are rotated and heads renumbered."""
    seed: int = 0
    """Seed of noise, rotation and renumbering."""

    @property
    def description(self) -> str:
        """A precise description of what it computes."""
        return self.program.description

    @property
    def true_heads(self) -> tuple[tuple[int, int], ...]:
        """(layer, head) of the heads that do something, including heads with an input-independent job."""
        heads = (node[1:].split(".h") for node in self.notes if node.startswith("a"))
        return tuple(sorted((int(layer), int(head)) for layer, head in heads))

    def encode(self, inputs: Sequence[str] | Sequence[Sequence[str]]) -> Int[torch.Tensor, "batch pos"]:
        """Token ids with BOS first; each input is a sequence of tokens, or text with spaces between them.

        Raises:
            ValueError: for an input of the wrong length.
            KeyError: for a token that the model does not know.
        """
        ids = {token: index for index, token in enumerate(self.vocabulary)}
        rows: list[list[int]] = []
        for row in _rows(inputs):
            if len(row) != self.program.length:
                raise ValueError(
                    f"{self.name} takes {self.program.length} tokens (not counting BOS), not {len(row)}: "
                    f"{' '.join(row)!r}."
                )
            unknown = [token for token in row if token not in self.program.alphabet]
            if unknown:
                raise KeyError(
                    f"{self.name} has no token {unknown[0]!r}; its tokens are {' '.join(self.program.alphabet)}."
                )
            rows.append([0, *(ids[token] for token in row)])
        if not rows:
            raise ValueError(f"{self.name} needs at least one input.")
        return torch.tensor(rows)

    def run(self, inputs: Sequence[str] | Sequence[Sequence[str]]) -> list[list[str]]:
        """The token that the model predicts at every position, starting with BOS."""
        with torch.no_grad():
            best = self.model(self.encode(inputs).to(self.model.W_E.device)).argmax(-1)
        return [[self.vocabulary[index] for index in row] for row in best.tolist()]

    def expected(self, inputs: Sequence[str] | Sequence[Sequence[str]]) -> list[list[str | None]]:
        """The reference interpreter's answer at every position, starting with BOS; None where it has no answer."""
        return [evaluate(self.program, row) for row in _rows(inputs)]

    def check(self, n: int | None = None, seed: int = 0) -> Check:
        """Compare with the reference interpreter on all inputs, or on `n` random ones.

        If there are more than 20,000 inputs or they cannot be enumerated, 2,000 are drawn.
        """
        rows = None if n is not None else all_inputs(self.program, MOST_INPUTS)
        complete = rows is not None
        if rows is None:
            rows = draw_inputs(self.program, 2000 if n is None else n, seed)
        answers = wrong = 0
        margin = float("inf")
        batches = iter(rows)
        while batch := list(islice(batches, 1000)):
            leads = self.leads(batch)
            answers += len(leads)
            wrong += int((leads <= 0).sum())
            margin = min([margin, *leads.tolist()])
        return Check(len(rows), complete, answers, wrong, margin)

    def leads(self, rows: Sequence[tuple[str, ...]]) -> torch.Tensor:
        """The margin of each right answer over the next best token, in logits [answer]."""
        ids = {token: index for index, token in enumerate(self.vocabulary)}
        due = [
            (row, pos, ids[answer])
            for row, answers in enumerate(self.expected(rows))
            for pos, answer in enumerate(answers)
            if answer is not None
        ]
        if not due:
            return torch.zeros(0)
        where, pos, right = torch.tensor(due).T
        with torch.no_grad():
            logits = self.model(self.encode(rows).to(self.model.W_E.device)).cpu()[where, pos]
        correct = logits.gather(1, right[:, None])
        return (correct - logits.scatter(1, right[:, None], -torch.inf).amax(1, keepdim=True))[:, 0]

    def task(
        self,
        n: int = 64,
        seed: int = 0,
        metric: str | Metric = "logit_difference",
        at: int | None = None,
    ) -> Task:
        """Make a task from pairs of random inputs whose answers differ at one position; there the clean
        input's answer is right and the corrupted input's wrong.

        Args:
            n: number of pairs.
            at: the answer position of every pair (so that positions mean the same in all pairs); None draws one
                of those where the two answers differ.

        Raises:
            ValueError: if no such pairs are found.
        """
        return draw_task(self, n, seed, metric, at)

    def __repr__(self) -> str:
        cfg = self.model.cfg
        hidden = ", rotated" * self.rotated + f", noise {self.noise:g}" * bool(self.noise)
        return (
            f"<planted {self.name}: {cfg.n_layers} layers of {cfg.n_heads} heads, d_model {cfg.d_model}, "
            f"{len(self.true_edges)} true edges{hidden}>"
        )


def _rows(inputs: Sequence[str] | Sequence[Sequence[str]]) -> list[tuple[str, ...]]:
    if isinstance(inputs, str):
        raise ValueError("give a list of inputs, such as [text], not one text.")
    return [tuple(row.split()) if isinstance(row, str) else tuple(row) for row in inputs]
