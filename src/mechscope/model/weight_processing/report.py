"""The report of weight processing: what was done or skipped and why, and the rounding error of each step."""

from __future__ import annotations

import textwrap
from dataclasses import dataclass
from typing import Literal

import torch

from mechscope.arguments import brief_repr
from mechscope.model.config import HookedTransformerConfig

Outcome = Literal["done", "skipped", "not asked for"]


@dataclass(frozen=True)
class RoundingError:
    """The difference between a step's tensors and the same step in float64, on the same input."""

    max_abs: float
    """Largest difference of any entry."""
    relative: float
    """The largest, over tensors, of (largest difference / largest entry)."""
    worst_tensor: str
    """The tensor with the largest relative error."""
    n_compared: int
    """How many entries were compared."""

    def __str__(self) -> str:
        return f"{self.max_abs:.1e} absolute, {self.relative:.1e} relative (worst: {self.worst_tensor})"


@dataclass(frozen=True)
class Step:
    """One step of the processing."""

    name: str
    """The step, as in the arguments of `process_weights`."""
    outcome: Outcome
    """done, skipped (it was asked for but does not apply) or not asked for."""
    notes: tuple[str, ...] = ()
    """What was done, and why parts were left out."""
    changed: tuple[str, ...] = ()
    """The tensors that it changed."""
    error: RoundingError | None = None
    """Its rounding error; None if nothing was changed or measured."""

    def __str__(self) -> str:
        lines = [f"{self.name}: {self.outcome}"]
        lines += [
            textwrap.fill(note, 100, initial_indent="    ", subsequent_indent="    ") for note in self.notes
        ]
        if self.error is not None:
            lines.append(f"    rounding error against float64: {self.error}")
        return "\n".join(lines)


@dataclass(frozen=True)
class ProcessingReport:
    """The steps in the order in which they were taken; `print` shows a summary."""

    model_name: str
    dtype: torch.dtype
    steps: tuple[Step, ...]
    measured: Literal["sample", "full", "none"]
    """Whether errors come from a sample of each tensor's entries, from all of them, or were not measured."""

    def __getitem__(self, name: str) -> Step:
        """A step by its name."""
        for step in self.steps:
            if step.name == name:
                return step
        raise KeyError(
            f"there is no step {name!r}; the steps are {', '.join(step.name for step in self.steps)}."
        )

    @property
    def changed(self) -> tuple[str, ...]:
        """Every tensor that a step changed, listed once."""
        return tuple(dict.fromkeys(name for step in self.steps for name in step.changed))

    @property
    def max_error(self) -> float:
        """The largest absolute rounding error of any step, 0 if none was measured."""
        return max((step.error.max_abs for step in self.steps if step.error is not None), default=0.0)

    def __str__(self) -> str:
        how = {
            "sample": "errors from a sample of entries",
            "full": "errors from every entry",
            "none": "errors not measured",
        }[self.measured]
        head = f"weights of {self.model_name!r}, {str(self.dtype).removeprefix('torch.')}"
        head += f": {len(self.changed)} tensors changed ({how})"
        return "\n".join([head, *(textwrap.indent(str(step), "  ") for step in self.steps)])


@dataclass(frozen=True)
class ProcessedWeights:
    """The result of processing; the original weights are unchanged."""

    cfg: HookedTransformerConfig
    """The config that fits the new weights (norms folded, embeddings untied)."""
    state_dict: dict[str, torch.Tensor]
    """Changed tensors are new; the others are the original tensors themselves."""
    report: ProcessingReport
    """What was done."""

    __repr__ = brief_repr
