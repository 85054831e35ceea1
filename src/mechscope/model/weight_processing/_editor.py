"""Edit a state dict without changing the original, and measure the rounding errors of the edits.

A tensor is copied when it is first edited and edited in place from then on, so several steps cost one copy. Each edit
can be repeated in float64 on a sample of entries, to measure its rounding error.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch

from mechscope.model.config import HookedTransformerConfig
from mechscope.model.precision import at_least_float32
from mechscope.model.weight_processing.report import RoundingError

Measure = Literal["sample", "full", "none"]
Part = int | Literal["all", "outside"]
"""A part of a model's weights: one layer, what is outside of the blocks, or all of them."""
Edit = Callable[..., None]
# A sample takes this many indices along an axis, or fewer if they hold more entries than SAMPLE_ENTRIES.
SAMPLE_SIZE = 8
SAMPLE_ENTRIES = 10_000


class WeightEditor:
    """Weights that may be edited, and a record of the edits' rounding errors.

    Args:
        state_dict: the weights; unless `in_place`, neither the mapping nor its tensors are changed.
        measure: compare a sample of entries with float64, all of them, or none.
        in_place: edit the dict itself and its tensors, none of which may share memory.
        part: which part of a model's weights these are.
    """

    def __init__(
        self,
        state_dict: Mapping[str, torch.Tensor],
        measure: Measure = "sample",
        *,
        in_place: bool = False,
        part: Part = "all",
    ) -> None:
        self.part: Part = part
        self.tensors = state_dict if in_place and isinstance(state_dict, dict) else dict(state_dict)
        self.measure = measure
        self._owned: set[str] = set(state_dict) if in_place else set()
        self._borrowed_from: dict[str, str] = {}
        self.start_step()

    def layers(self, cfg: HookedTransformerConfig) -> Sequence[int]:
        """The layers that are in this part."""
        if isinstance(self.part, int):
            return (self.part,)
        return range(cfg.n_layers) if self.part == "all" else ()

    @property
    def outside(self) -> bool:
        """Whether the weights outside of the blocks are in this part."""
        return self.part in ("all", "outside")

    def start_step(self) -> None:
        """Forget what the previous step changed."""
        self.changed: dict[str, None] = {}
        self._max_abs = 0.0
        self._worst = (0.0, "")
        self._n_compared = 0

    def __contains__(self, name: str) -> bool:
        return name in self.tensors

    def __getitem__(self, name: str) -> torch.Tensor:
        if name not in self.tensors:
            raise ValueError(
                f"these weights lack {name!r}, which their config requires; check that the state dict has "
                "the classic layout and belongs to this config."
            )
        return self.tensors[name].detach()

    def wide(self, name: str) -> torch.Tensor:
        """The tensor in float32 or float64, for computing; do not edit it."""
        return at_least_float32(self[name])

    def edit(self, name: str, edit: Edit, *sources: str, axes: tuple[int | None, ...]) -> None:
        """Call `edit(tensor, *source tensors)`, which changes the tensor in place.

        Args:
            name: the tensor to change.
            edit: the function that changes it.
            sources: the names of other tensors that the edit reads.
            axes: for the tensor and for each source, an axis along which the edit treats entries independently, so
                that errors can be sampled along it; None if the edit needs all of it.
        """
        before = self[name]
        reads = [self.wide(source) for source in sources]
        where = self._sample([before, *reads], axes)
        reference = None
        if self.measure != "none":
            reference = _pick(before, axes[0], where).double()
            if reference.data_ptr() == before.data_ptr():
                reference = reference.clone()
            parts = zip(reads, axes[1:], strict=True)
            edit(reference, *(_pick(read, axis, where).double() for read, axis in parts))
        if name in self._owned and before.dtype in (torch.float32, torch.float64):
            own = before
        elif before.dtype in (torch.float32, torch.float64):
            own = before.clone(memory_format=torch.contiguous_format)
        else:
            own = before.float()
        edit(own, *reads)
        self.put(name, own.to(before.dtype))
        if reference is not None:
            self.compare(name, _pick(self.tensors[name], axes[0], where), reference)

    def put(self, name: str, tensor: torch.Tensor) -> None:
        """Replace or add a tensor; no other weight may share its memory."""
        if (lender := self._borrowed_from.pop(name, None)) is not None:
            self._owned.add(lender)
        self.tensors[name] = tensor
        self._owned.add(name)
        self.changed[name] = None

    def share(self, name: str, lender: str, tensor: torch.Tensor) -> None:
        """Add a view of another tensor; it is copied when either is edited, unless the other was replaced before."""
        if lender in self._owned:
            self._owned.discard(lender)
            self._borrowed_from[name] = lender
        self.tensors[name] = tensor
        self._owned.discard(name)

    def drop(self, name: str) -> None:
        """Remove a tensor that the new config does not have."""
        del self.tensors[name]
        self._owned.discard(name)

    # Rounding errors ----------------------------------------------------------------------------

    def compare(self, name: str, found: torch.Tensor, reference: torch.Tensor) -> None:
        """Record the difference between `found` and the same values in float64."""
        if reference.numel() == 0:
            return
        difference = (found.double() - reference).abs().max().item()
        largest = reference.abs().max().item()
        relative = difference / largest if largest > 0 else difference
        self._max_abs = max(self._max_abs, difference)
        if relative > self._worst[0] or not self._worst[1]:
            self._worst = (relative, name)
        self._n_compared += reference.numel()

    def error(self) -> RoundingError | None:
        """The rounding error of this step so far."""
        if not self._n_compared:
            return None
        return RoundingError(self._max_abs, *self._worst, self._n_compared)

    def _sample(self, tensors: Sequence[torch.Tensor], axes: Sequence[int | None]) -> slice:
        """The indices to compare along the axes, evenly spread; a slice, so that selecting them gives a view."""
        sizes = [tensor.numel() for tensor, axis in zip(tensors, axes, strict=True) if axis is not None]
        if self.measure == "full" or axes[0] is None or max(sizes) <= SAMPLE_ENTRIES:
            return slice(None)
        length = tensors[0].shape[axes[0]]
        entries_of_one = max(sizes) // length
        size = max(1, min(SAMPLE_SIZE, SAMPLE_ENTRIES // entries_of_one))
        return slice(None, None, -(-length // size))


def _pick(tensor: torch.Tensor, axis: int | None, where: slice) -> torch.Tensor:
    if axis is None:
        return tensor
    return tensor[*(slice(None),) * (axis % tensor.ndim), where]


def untie(cfg: HookedTransformerConfig, weights: WeightEditor) -> HookedTransformerConfig:
    """Give a model with tied embeddings a W_U that can be edited; until then it is a view of W_E, not a copy."""
    if not cfg.tie_word_embeddings or not weights.outside:
        return cfg
    weights.share("unembed.W_U", "embed.W_E", weights["embed.W_E"].mT)
    return dataclasses.replace(cfg, tie_word_embeddings=False)
