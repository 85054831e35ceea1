"""IOI prompts in two halves that share neither templates nor names: what is found in one is confirmed in the other."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mechscope.labs.ioi.heads import Head
from mechscope.tasks.indirect_object import ioi, ioi_double_io
from mechscope.tasks.ioi_words import get_ioi_words
from mechscope.tasks.reader import Reader
from mechscope.tasks.task import Task

if TYPE_CHECKING:
    import numpy as np

    from mechscope.model.transformer import HookedTransformer

JUDGED_TEMPLATES = 4
"""Templates that circuits are judged on: few, so that a mean over prompts of one form has several prompts."""


@dataclass(frozen=True)
class Half:
    """Some names and templates."""

    names: tuple[str, ...]
    templates: tuple[int, ...]
    seed: int
    """Of the prompts."""

    def task(self, model: HookedTransformer, n: int, corruption: str = "ABC") -> Task:
        """Prompts from these names and templates, in both orders."""
        return ioi(
            model,
            n,
            self.seed,
            corruption=corruption,
            words={"names": self.names},
            templates=self.templates,
        )

    def judged(self, model: HookedTransformer, n: int) -> Task:
        """Other prompts from a few of the templates, so that a mean over one form is one over several prompts."""
        templates = self.templates[:JUDGED_TEMPLATES]
        return ioi(model, n, self.seed + 1000, words={"names": self.names}, templates=templates)

    def named_again(self, model: HookedTransformer, n: int, who: str) -> Task:
        """Prompts that name "IO" or "S" once more."""
        return ioi_double_io(model, n, self.seed, mention=who, words={"names": self.names})  # type: ignore[arg-type]


def split_words(model: HookedTransformer, seed: int) -> tuple[Half, Half]:
    """Names that are single tokens, and all templates, dealt out in two halves.

    Raises:
        ValueError: for a model without a tokenizer, or one that knows too few names.
    """
    words = get_ioi_words("ours")
    draw = random.Random(f"ioi halves {seed}")
    names = list(Reader(model).words(words.names, "names", 20))
    templates = list(range(len(words.templates)))
    draw.shuffle(names)
    draw.shuffle(templates)
    one, other = (
        Half(tuple(names[start::2]), tuple(templates[start::2]), 2 * seed + start) for start in (0, 1)
    )
    return one, other


def confirmed(found: np.ndarray, again: np.ndarray, threshold: float) -> float:
    """Share of the heads found in one half that the other confirms: same sign, and at least half the effect.

    Args:
        found: effects in one half [layer head].
        again: effects in the other.
        threshold: smallest effect, of either sign, that counts as found.

    Returns:
        NaN if none is found.

    >>> import numpy as np
    >>> confirmed(np.array([[0.4, -0.3, 0.0]]), np.array([[0.2, 0.3, 0.1]]), 0.1)
    0.5
    """
    heads = heads_above(found, threshold)
    return _mean([_confirms(found[head], again[head]) for head in heads])


def confirmed_by_chance(found: np.ndarray, again: np.ndarray, threshold: float) -> float:
    """The same if every head that was found is compared with the other heads of its layer instead of itself."""
    hits = [
        _confirms(found[layer, head], again[layer, other])
        for layer, head in heads_above(found, threshold)
        for other in range(found.shape[1])
        if other != head
    ]
    return _mean(hits)


def heads_above(effects: np.ndarray, threshold: float) -> list[Head]:
    """Heads with at least this effect, of either sign."""
    layers, heads = effects.shape
    return [
        (layer, head)
        for layer in range(layers)
        for head in range(heads)
        if abs(effects[layer, head]) >= threshold
    ]


def _confirms(effect: float, again: float) -> bool:
    return bool(effect * again > 0 and abs(again) >= abs(effect) / 2)


def _mean(hits: list[bool]) -> float:
    return sum(hits) / len(hits) if hits else float("nan")
