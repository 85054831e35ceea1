"""What a challenge asks a model to compute: inputs, labels, the rule, and which inputs the model was trained on."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass

Tokens = tuple[str, ...]
"""One input, without the beginning-of-sequence token and the final "="."""
BOS = "^"
"""The first token of every input of a model."""
ASK = "="
"""The last token that a model reads, at which it answers, unless the input itself ends with the question."""
HELD_OUT = 5
"""One input in so many is held out: no model was trained on it."""


@dataclass(frozen=True)
class Shape:
    """The size of a model."""

    n_layers: int = 1
    n_heads: int = 1
    d_model: int = 32
    d_mlp: int = 0
    """0 means attention only."""


@dataclass(frozen=True)
class ChallengeTask:
    """One task with its training recipe."""

    name: str
    """The name for loading it."""
    question: str
    """What the model was asked, in a sentence."""
    alphabet: Tokens
    """The tokens of inputs."""
    labels: Tokens
    """The possible answers."""
    length: int
    """Tokens in an input."""
    rule: Callable[[Tokens], str]
    """The true label of an input."""
    draw: Callable[[random.Random], Tokens]
    """Draws an input as the model's training data were drawn."""
    draw_any: Callable[[random.Random], Tokens]
    """Draws an input from a wider distribution, which includes kinds of input that training rarely or never showed."""
    shape: Shape
    """The size of the model."""
    steps: int = 1_500
    """Training steps."""
    weight_decay: float = 0.1
    """Weight decay; a task with few inputs needs much, or its model learns them by heart."""
    asks: bool = True
    """Whether a final "=" is added, at which the answer is read; otherwise it is read at the last token."""
    taught: Callable[[Tokens, random.Random], str] | None = None
    """The label in the training data, if it is not always the true one."""
    is_valid: Callable[[Tokens], bool] = lambda tokens: True
    """Whether an input of the right length and alphabet is an input of the task."""

    @property
    def vocabulary(self) -> Tokens:
        """The string of each token id."""
        return (BOS, *self.alphabet, ASK)

    def check_input(self, tokens: Tokens) -> None:
        """Make sure that something is an input of the task.

        Raises:
            ValueError: if it is not; says why.
        """
        shown = " ".join(map(str, tokens))
        if len(tokens) != self.length:
            raise ValueError(f"{self.name} takes {self.length} tokens, not {len(tokens)}: {shown!r}.")
        if unknown := [token for token in tokens if token not in self.alphabet]:
            raise ValueError(
                f"{self.name} has no token {unknown[0]!r}; its tokens are {' '.join(self.alphabet)}."
            )
        if not self.is_valid(tokens):
            raise ValueError(f"{shown!r} is not an input of {self.name}: {self.question}")

    def held_out(self, n: int, seed: int, *, wide: bool = False) -> list[Tokens]:
        """Draw inputs that the model was not trained on.

        Args:
            n: how many; an input may occur more than once where there are few.
            seed: decides which.
            wide: draw from the wider distribution.
        """
        return self._drawn(n, f"{self.name} held out {seed}", self.draw_any if wide else self.draw, True)

    def training_set(self, n: int, seed: int) -> list[tuple[Tokens, str]]:
        """Draw training examples: inputs that are not held out, with the labels of the training data."""
        rng = random.Random(f"{self.name} labels {seed}")
        label = self.taught or (lambda tokens, rng: self.rule(tokens))
        rows = self._drawn(n, f"{self.name} training {seed}", self.draw, False)
        return [(row, label(row, rng)) for row in rows]

    def _drawn(
        self, n: int, seed: str, draw: Callable[[random.Random], Tokens], held_out: bool
    ) -> list[Tokens]:
        def endless() -> Iterator[Tokens]:
            rng = random.Random(seed)
            while True:
                tokens = draw(rng)
                if self.is_held_out(tokens) == held_out:
                    yield tokens

        rows = endless()
        return [next(rows) for _ in range(n)]

    def is_held_out(self, tokens: Tokens) -> bool:
        """Whether an input is held out, which depends on nothing but the input."""
        return zlib.crc32(" ".join((self.name, *tokens)).encode()) % HELD_OUT == 0
