"""Effects of features: one number per feature, and one for the error term."""

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
"""Axes along which effects can be separated."""


@dataclass(frozen=True)
class FeatureEffect:
    """The effect of one feature."""

    feature: int
    """Which feature."""
    pos: str
    """The position's label; empty if positions are taken together."""
    value: float
    """Its effect."""


@dataclass(frozen=True)
class FeatureEffects:
    """Effects of a dictionary's features and of its error term."""

    features: Result
    """Effects (feature,) or (pos, feature) of the features that differ anywhere; others have no effect."""
    error: Result | None
    """The effect of the error term, () or (pos,); None if the dictionary is attached without it."""
    whole: float
    """The effect of changing all features and the error term at once, measured by a run."""

    @property
    def total(self) -> float:
        """The sum over features, the error term and positions."""
        error = 0.0 if self.error is None else float(self.error.values.sum())
        return float(self.features.values.sum()) + error

    @property
    def unexplained(self) -> float:
        """`whole` minus `total`: the part of the joint effect that single effects miss; 0 if effects are linear."""
        return self.whole - self.total

    def top(self, count: int = 10) -> tuple[FeatureEffect, ...]:
        """The effects with the largest magnitudes, the largest first."""
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


# Shared by patching and attribution ------------------------------------------------------------


def check_attached(model: HookedTransformer, attached: Attached) -> None:
    """Check that the dictionary is attached, and that examples do not interact in it.

    Raises:
        KeyError: outside the dictionary's context.
        ValueError: if the dictionary selects features over a whole batch.
    """
    model.match_hook_names(attached.features)
    if attached.dictionary.mixes_examples:
        raise ValueError(
            f"this {attached.dictionary.cfg.architecture} dictionary has no threshold yet, so its features depend on "
            "the whole batch, and an example's would change with the other examples; train it first."
        )


def check_one_block(attached: Attached) -> None:
    """Check that a sweep, which resumes inside a model, runs both the reader and the writer.

    Raises:
        ValueError: for a transcoder that reads in one block and writes in another.
    """
    if attached.reads.split(".")[:2] != attached.writes.split(".")[:2]:
        raise ValueError(
            f"this transcoder reads at {attached.reads} and writes at {attached.writes}; a sweep resumes at the block "
            "of an edit, so both must be in one block. Use model.run_with_hooks."
        )


def check_by(by: Sequence[str]) -> tuple[str, ...]:
    """Check the axes of the result.

    Raises:
        ValueError: unless they are ("feature",) or ("pos", "feature").
    """
    dims = (by,) if isinstance(by, str) else tuple(by)
    if dims not in BYS:
        raise ValueError(f"by must be one of {' and '.join(map(str, BYS))}, not {by!r}.")
    return dims


def check_features(features: Sequence[int], dictionary_size: int) -> tuple[int, ...]:
    """Check a list of features.

    Raises:
        ValueError: for an empty list, a number out of range, or a duplicate.
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
    """The given features, or all that differ anywhere [batch pos feature] if none are given.

    Raises:
        ValueError: as `check_features`, or if nothing differs.
    """
    if features is not None:
        return check_features(features, dictionary_size)
    chosen = tuple(cast("list[int]", differs.flatten(0, 1).any(0).nonzero()[:, 0].tolist()))
    if not chosen:
        raise ValueError("every feature already has its replacement value, so nothing would change.")
    return chosen


def positions_of(task: Task, dims: tuple[str, ...]) -> list[Position] | None:
    """The positions by which effects are separated; None if all are taken together."""
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
    """A result over positions and features, depending on `dims`; without `features`, of the error term."""
    kept = dims if features is not None else tuple(dim for dim in dims if dim != "feature")
    coords: dict[str, Any] = {}
    if places is not None:
        coords["pos"] = np.array([place.label for place in places])
    if features is not None:
        coords["feature"] = np.array(features)
    kind = {1: "bars", 2: "heatmap"}.get(len(kept), "")
    return make_result(values, kept, title, unit, provenance, coords, kind)


def pulled_back(dictionary: Dictionary, features: Tensor, x: Tensor, towards: Tensor) -> Tensor:
    """Convert a gradient at the dictionary's output to a gradient at its features [... feature].

    Args:
        dictionary: the dictionary, whose decoder is linear in the features.
        features: the features.
        x: the dictionary's input, which normalization may need.
        towards: the gradient, in any shape with as many numbers as the output.
    """
    with gradients_on("the effect of features by their gradients"):
        leaf = features.detach().requires_grad_()
        written = dictionary.decode(leaf, x)
        return torch.autograd.grad(written, leaf, towards.reshape(written.shape).to(written))[0]


def at_positions(values: Tensor, places: list[Position] | None) -> Tensor:
    """Contributions [batch pos ...], mean over examples, at some positions [place ...] or summed over all [...]."""
    if places is None:
        return values.sum(1).mean(0)
    return torch.stack([place.take(values).mean(0) for place in places])
