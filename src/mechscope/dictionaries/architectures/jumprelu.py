"""JumpReLU: a threshold per feature, learned with straight-through estimates of its gradient.

Rajamanoharan et al. 2024, "Jumping Ahead": section 3 for the loss, section 4 and the appendix for the gradients, with a
rectangle as the kernel. The parameter is the threshold itself, not its logarithm, and is kept at or above zero.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mechscope.dictionaries.config import JumpReluConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.features import as_rows
from mechscope.model.precision import at_least_float32


class JumpReluDictionary(Dictionary):
    """f = pre where pre > threshold, otherwise 0; the penalty is l0 · the number of active features."""

    threshold: Float[Tensor, " feature"]

    def _add_parameters(self, dtype: torch.dtype) -> None:
        super()._add_parameters(dtype)
        start = cast("JumpReluConfig", self.cfg).start_threshold
        self.threshold = nn.Parameter(torch.full((self.features_here,), start, dtype=dtype))

    def activate(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """Pre-activations above their thresholds; a negative one is never active."""
        cfg = cast("JumpReluConfig", self.cfg)
        return _Jump.apply(pre, self.threshold.clamp_min(0), cfg.bandwidth)  # pyright: ignore[reportReturnType]

    def _penalties(
        self, z: Tensor, target: Tensor, pre: Tensor, features: Tensor, sparsity: float
    ) -> dict[str, Tensor]:
        cfg = cast("JumpReluConfig", self.cfg)
        active = cast("Tensor", _Step.apply(pre, self.threshold, cfg.bandwidth))
        return {"l0": sparsity * cfg.l0 * self.ranks.sum(at_least_float32(active).sum(-1).mean())}

    def _multiply_features(self, factor: Tensor) -> None:
        super()._multiply_features(factor)
        self.threshold.mul_(factor)

    @torch.no_grad()
    def after_step(self) -> None:
        """Restore unit rows, and raise negative thresholds to zero."""
        super().after_step()
        self.threshold.clamp_min_(0)


def _window(pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
    """The rectangle kernel over its bandwidth: a density of height 1/bandwidth around the threshold."""
    return ((pre - threshold).abs() < bandwidth / 2).to(pre.dtype) / bandwidth


class _Jump(torch.autograd.Function):
    """pre · [pre > threshold]. The threshold's gradient is −threshold (the height of the jump) times a kernel."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return pre * (pre > threshold)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        pre, threshold = ctx.saved_tensors
        (flowing,) = gradients
        into_threshold = -(threshold * _window(pre, threshold, ctx.bandwidth) * flowing)
        return flowing * (pre > threshold), as_rows(into_threshold).sum(0), None


class _Step(torch.autograd.Function):
    """[pre > threshold]. Only the threshold gets a gradient."""

    @staticmethod
    def forward(ctx: Any, pre: Tensor, threshold: Tensor, bandwidth: float) -> Tensor:
        ctx.save_for_backward(pre, threshold)
        ctx.bandwidth = bandwidth
        return (pre > threshold).to(pre.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[None, Tensor, None]:
        pre, threshold = ctx.saved_tensors
        (flowing,) = gradients
        into_threshold = -(_window(pre, threshold, ctx.bandwidth) * flowing)
        return None, as_rows(into_threshold).sum(0), None
