"""What features do: one number a feature, with the error term as a node of its own beside them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor

from mechscope.dictionaries.attach import Attached
from mechscope.model.gradients import gradients_on
from mechscope.results import Provenance, Result, make_result
from mechscope.tasks.positions import Position, each_position
from mechscope.tasks.task import Task

if TYPE_CHECKING:
    from mechscope.dictionaries.dictionary import Dictionary
    from mechscope.model.transformer import HookedTransformer

BYS = (("feature",), ("pos", "feature"))
"""What effects can be told apart by."""


@dataclass(frozen=True)
class FeatureEffect:
    """One number of many."""

    feature: int
    """Which feature."""
    pos: str
    """The position's label; empty where positions are taken together."""
    value: float
    """Its effect."""


@dataclass(frozen=True)
class FeatureEffects:
    """Effects of a dictionary's features and of what it misses."""

    features: Result
    """dims ("feature",) or ("pos", "feature"): those features that differ anywhere; no other has an effect."""
    error: Result | None
    """The error term's, dims () or ("pos",); None where the dictionary is attached without it."""
    whole: float
    """The effect of all features and the error term at once, from a run and not from a sum."""

    @property
    def total(self) -> float:
        """The sum over features, the error term and positions."""
        error = 0.0 if self.error is None else float(self.error.values.sum())
        return float(self.features.values.sum()) + error

    @property
    def unexplained(self) -> float:
        """The whole less the total: what single numbers miss of their joint effect. 0 where nothing bends."""
        return self.whole - self.total

    def top(self, count: int = 10) -> tuple[FeatureEffect, ...]:
        """The effects that are largest in magnitude, first the largest."""
        values = self.features.values
        flat = values.values.ravel()
        order = np.argsort(-np.abs(flat), kind="stable")[:count]
        positions, numbers = _labels(self.features)
        width = len(numbers)
        return tuple(
            FeatureEffect(int(numbers[place % width]), str(positions[place // width]), float(flat[place]))
            for place in order
        )

    def figure(self, count: int = 20) -> Any:
        """Bars of the largest effects and of the error term."""
        from mechscope.viz.ranked_bars import ranked_bars

        rows = [(_name(one), one.value) for one in self.top(count)]
        if self.error is not None:
            rows.append(("error term", float(self.error.values.sum())))
        names, values = zip(*rows, strict=True)
        return ranked_bars(
            names, values, title=self.features.title, x_title=self.features.unit, y_title="feature"
        )

    def __str__(self) -> str:
        lines = [f"{self.features.title} [{self.features.unit}]"]
        lines += [f"  {_name(one):<24}{one.value:>10.4f}" for one in self.top()]
        left = self.features.values.size - len(lines) + 1
        if left > 0:
            others = float(self.features.values.sum()) - sum(one.value for one in self.top())
            lines.append(f"  {f'{left} more':<24}{others:>10.4f}")
        if self.error is not None:
            lines.append(f"  {'error term':<24}{float(self.error.values.sum()):>10.4f}")
        lines.append(f"  {'sum':<24}{self.total:>10.4f}")
        lines.append(f"  {'all at once':<24}{self.whole:>10.4f}")
        return "\n".join(lines)


def _name(one: FeatureEffect) -> str:
    return f"feature {one.feature}" + (f" at {one.pos}" if one.pos else "")


def _labels(result: Result) -> tuple[Sequence[Any], Sequence[Any]]:
    coords = result.values.coords
    positions: Sequence[Any] = list(coords["pos"].values) if "pos" in coords else [""]
    return positions, list(coords["feature"].values)


# What patching and attribution share ----------------------------------------------------------


def check_attached(model: HookedTransformer, attached: Attached) -> None:
    """See that the dictionary is in the model, and that examples do not mix in it.

    Raises:
        KeyError: outside the dictionary's context.
        ValueError: where the dictionary chooses features over a whole batch.
    """
    model.match_hook_names(attached.features)
    if attached.dictionary.mixes_examples:
        raise ValueError(
            f"this {attached.dictionary.cfg.architecture} dictionary has no threshold yet, so its features depend on "
            "the whole batch, and one example's would change with the company it runs in; train it first."
        )


def check_one_block(attached: Attached) -> None:
    """See that a sweep, which resumes in the middle of a model, passes reader and writer alike.

    Raises:
        ValueError: for a transcoder that reads in one block and writes in another.
    """
    if attached.reads.split(".")[:2] != attached.writes.split(".")[:2]:
        raise ValueError(
            f"this transcoder reads at {attached.reads} and writes at {attached.writes}; a sweep resumes at the block "
            "of an edit, so both must be in one block. Use model.run_with_hooks."
        )


def check_by(by: Sequence[str]) -> tuple[str, ...]:
    """The dims of the result.

    Raises:
        ValueError: for others than ("feature",) and ("pos", "feature").
    """
    dims = (by,) if isinstance(by, str) else tuple(by)
    if dims not in BYS:
        raise ValueError(f"by must be one of {' and '.join(map(str, BYS))}, not {by!r}.")
    return dims


def check_features(features: Sequence[int], dictionary_size: int) -> tuple[int, ...]:
    """The numbers of features.

    Raises:
        ValueError: for none, one out of range, or one that is named twice.
    """
    chosen = tuple(int(feature) for feature in features)
    if not chosen or min(chosen) < 0 or max(chosen) >= dictionary_size:
        raise ValueError(
            f"features are numbered 0 to {dictionary_size - 1}; name at least one, not {list(chosen)[:5]}."
        )
    if len(set(chosen)) < len(chosen):
        raise ValueError(f"a feature is named twice in {list(chosen)}.")
    return chosen


def features_to_try(differs: Tensor, features: Sequence[int] | None, dictionary_size: int) -> tuple[int, ...]:
    """The features that are asked for; those that differ anywhere [batch pos feature], where none are.

    Raises:
        ValueError: as `check_features`, or where nothing differs.
    """
    if features is not None:
        return check_features(features, dictionary_size)
    chosen = tuple(cast("list[int]", differs.flatten(0, 1).any(0).nonzero()[:, 0].tolist()))
    if not chosen:
        raise ValueError("no feature differs from what would be put in its place, so nothing could change.")
    return chosen


def positions_of(task: Task, dims: tuple[str, ...]) -> list[Position] | None:
    """The positions that are told apart; None where all are taken together."""
    return each_position(task) if "pos" in dims else None


def effects_result(
    values: Tensor,
    dims: tuple[str, ...],
    places: list[Position] | None,
    features: Sequence[int] | None,
    title: str,
    unit: str,
    provenance: Provenance,
) -> Result:
    """A result over positions and features, as far as the dims name them; without `features`, of the error term."""
    kept = dims if features is not None else tuple(dim for dim in dims if dim != "feature")
    coords: dict[str, Any] = {}
    if places is not None:
        coords["pos"] = np.array([place.label for place in places])
    if features is not None:
        coords["feature"] = np.array(features)
    kind = {1: "bars", 2: "heatmap"}.get(len(kept), "")
    return make_result(values, kept, title, unit, provenance, coords, kind)


def pulled_back(dictionary: Dictionary, features: Tensor, x: Tensor, towards: Tensor) -> Tensor:
    """A gradient at what is written, as the gradient at the features [... feature]; the decoder is linear in them.

    Args:
        x: what was read, which normalization may need.
        towards: the gradient, in any shape that holds as many numbers as what is written.
    """
    with gradients_on("the effect of features by their gradients"):
        leaf = features.detach().requires_grad_()
        written = dictionary.decode(leaf, x)
        return torch.autograd.grad(written, leaf, towards.reshape(written.shape).to(written))[0]


def at_positions(values: Tensor, places: list[Position] | None) -> Tensor:
    """Contributions [batch pos ...] as their mean over examples [place ...], or summed over positions [...]."""
    if places is None:
        return values.sum(1).mean(0)
    return torch.stack([place.take(values).mean(0) for place in places])
