"""Input of probes: activations at chosen positions, and labels that are checked before fitting."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from mechscope.linear_probes import Kind, Metric
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import Tokens
from mechscope.techniques._inputs import Prompts

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class ProbePositions:
    """The positions that are probed."""

    indices: NDArray[Any]
    """The index of each position in each prompt [batch place]."""
    names: tuple[str, ...]
    """A name for each position."""


@dataclass(frozen=True)
class ProbeLabels:
    """Labels as numbers."""

    values: NDArray[Any]
    """[batch] or [batch pos]: class numbers from 0, or values."""
    classes: tuple[str, ...]
    """The classes' names in the order of their numbers; "value" for regression."""

    def at(self, positions: NDArray[Any]) -> NDArray[Any]:
        """The label of each example [batch]; if labels are per token, at these positions.

        Raises:
            ValueError: if a class does not occur there.
        """
        if self.values.ndim == 1:
            return self.values
        found = self.values[np.arange(len(positions)), positions]
        missing = sorted(set(range(len(self.classes))) - set(found.tolist()))
        if len(self.classes) > 1 and missing:
            raise ValueError(
                f"no example has the label {self.classes[missing[0]]!r} at position {int(positions[0])}; probe "
                "positions at which every class occurs."
            )
        return found


def as_labels(labels: Any, tokens: Tokens, kind: Kind, metric: Metric) -> ProbeLabels:
    """Convert labels of any kind to numbers, and check them.

    Raises:
        ValueError: for another shape, NaN, only one class, a class with one example, or more than two classes
            if two are needed.
    """
    found = labels.detach().cpu().numpy() if isinstance(labels, torch.Tensor) else np.asarray(labels)
    batch, length = tokens.shape
    if found.shape not in ((batch,), (batch, length)):
        raise ValueError(
            f"labels have shape {found.shape}; with prompts {(batch, length)} they must be one per example "
            f"[{batch}] or one per token [{batch} {length}]."
        )
    real = np.ones(found.shape, dtype=bool) if found.ndim == 1 else tokens.is_real.cpu().numpy()
    known = found[real]  # labels of padding are ignored
    if found.dtype.kind == "f" and not np.isfinite(known).all():
        raise ValueError(f"{int((~np.isfinite(known)).sum())} labels are not finite.")
    if kind == "regression":
        if found.dtype.kind not in "fiub":
            raise ValueError(f"regression needs numbers for labels, not {found.dtype}.")
        if len(np.unique(known)) < 2:
            raise ValueError(f"every label is {known.tolist()[0]!r}, so there is nothing to predict.")
        return ProbeLabels(found.astype(float), ("value",))
    classes, class_numbers, counts = np.unique(known, return_inverse=True, return_counts=True)
    if len(classes) < 2:
        raise ValueError(f"every label is {classes.tolist()[0]!r}: a probe needs at least two classes.")
    if counts.min() < 2:
        raise ValueError(
            f"class {classes.tolist()[counts.argmin()]!r} has one example, but needs one to fit and one to test."
        )
    if found.dtype.kind == "f" and len(classes) > 20:
        raise ValueError(
            f"{len(classes)} different decimal numbers are too many classes; use kind='regression'."
        )
    if len(classes) > 2 and (kind == "mean difference" or metric == "auroc"):
        what = "AUROC" if metric == "auroc" else "a mean-difference probe"
        raise ValueError(f"{what} needs two classes, but there are {len(classes)}.")
    numbers = np.zeros(found.shape, dtype=class_numbers.dtype)
    numbers[real] = class_numbers
    return ProbeLabels(numbers, tuple(map(str, classes)))


def probe_positions(prompts: Prompts, positions: str | Sequence[int]) -> ProbePositions:
    """Positions by name or number, for every example.

    Raises:
        KeyError: for a name that the task does not have.
        ValueError: for an empty list, numbers out of range, or "all" if prompts are not aligned.
    """
    length = prompts.length
    task = prompts.task
    if isinstance(positions, str) and positions != "all":
        if task is None:
            raise ValueError(
                f"position {positions!r} is a name, but only tasks have named positions; give numbers for tokens."
            )
        if positions == "answers":
            if task.answers.positions.shape[1] > 1:
                raise ValueError(f"{task.name} has several answers per prompt; give positions as numbers.")
            return ProbePositions(task.answers.positions.cpu().numpy(), ("answer",))
        if positions not in task.positions:
            names = ", ".join(map(repr, ("all", "answers", *task.positions)))
            raise KeyError(f"{task.name} has no position called {positions!r}; it has {names}.")
        return ProbePositions(task.positions[positions].cpu().numpy()[:, None], (positions,))
    if positions == "all":
        if task is not None and not task.aligned:
            raise ValueError(
                f"in {task.name} a position means different things in different prompts; probe a named position "
                f"({', '.join(task.positions) or 'answers'})."
            )
        if task is None and len(prompts.tokens.lengths.unique()) > 1:
            raise ValueError(
                "the prompts have different lengths, so a position means different things in different prompts; give "
                "positions as numbers that every prompt has, such as [-1] for the last token."
            )
        chosen = list(range(int(prompts.tokens.lengths[0]) if task is None else length))
    else:
        chosen = [int(position) for position in positions]
        if not chosen:
            raise ValueError("the list of positions is empty.")
    indices = np.stack([prompts.index_of(position).cpu().numpy() for position in chosen], axis=1)
    same = (indices == indices[:1]).all(0)
    names = (
        prompts.labels[at] if shared else str(position)
        for position, at, shared in zip(chosen, indices[0], same, strict=True)
    )
    return ProbePositions(indices, tuple(names))


def probe_activations(
    model: HookedTransformer, prompts: Prompts, names: list[str], where: ProbePositions, batch_size: int
) -> list[NDArray[Any]]:
    """Activations at the positions: one array [batch place d_model] per hook name (heads are concatenated).

    Raises:
        ValueError: if an activation is not finite.
    """
    found: dict[str, list[torch.Tensor]] = {name: [] for name in names}
    indices = torch.as_tensor(where.indices)
    for rows in prompts.batches(batch_size):
        with torch.no_grad():
            _, cache = model.run_with_cache(
                prompts.tokens[rows],
                return_type=None,
                names_filter=names,
                attention_mask=prompts.mask_of(rows),
            )
        at = indices[rows].to(prompts.tokens.device)
        each = torch.arange(len(at), device=at.device)[:, None]
        for name in names:
            found[name].append(at_least_float32(cache[name].flatten(2)[each, at]).cpu())
    stacked = [torch.cat(found[name]).numpy() for name in names]
    for name, values in zip(names, stacked, strict=True):
        if not np.isfinite(values).all():
            raise ValueError(f"{name} is not finite at some probed positions: does the model give NaN?")
    return stacked
