"""LayerNorm and RMSNorm, with and without learned scales.

Each has two hook points: `hook_scale`, the divisor of the (centred) input [... 1], and `hook_normalized`, the quotient,
before the learned scale and shift. If neither has hooks, a fused kernel computes the norm.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import nn

from mechscope.model.components._component import Component
from mechscope.model.config import ConfigLike, HookedTransformerConfig
from mechscope.model.hook_points import HookPoint
from mechscope.model.precision import at_least_float32


class Norm(Component):
    """y = (x - mean) / sqrt(variance + eps) * w + b, over the last axis.

    Args:
        cfg: the config, for eps, data type and device.
        length: the size of the axis; None means d_model.
        centre: subtract the mean (LayerNorm) or not (RMSNorm).
        scaled: learn a scale `w` and, with `centre`, a shift `b`.
    """

    w: torch.Tensor | None
    b: torch.Tensor | None

    def __init__(self, cfg: ConfigLike, length: int | None = None, *, centre: bool, scaled: bool) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        self.cfg = cfg
        # With eps=0, a constant vector would give 0/0. The smallest float32 makes that 0 and changes no other result.
        self.eps = max(cfg.eps, torch.finfo(torch.float32).tiny)
        self.length = cfg.d_model if length is None else length
        self.centre = centre
        if scaled:
            self.w = nn.Parameter(torch.ones(self.length, dtype=cfg.dtype, device=cfg.device))
        else:
            self.register_parameter("w", None)
        if scaled and centre:
            self.b = nn.Parameter(torch.zeros(self.length, dtype=cfg.dtype, device=cfg.device))
        else:
            self.register_parameter("b", None)
        self.hook_scale = HookPoint()
        self.hook_normalized = HookPoint()

    def forward(self, x: Float[torch.Tensor, "*batch length"]) -> Float[torch.Tensor, "*batch length"]:
        """[... length] -> [... length]"""
        if not (self.hook_scale.watched or self.hook_normalized.watched):
            if self.centre:
                return torch.layer_norm(x, (self.length,), self.w, self.b, self.eps)
            return torch.rms_norm(x, (self.length,), self.w, self.eps)
        dtype = x.dtype
        wide = at_least_float32(x)
        if self.centre:
            wide = wide - wide.mean(-1, keepdim=True)
        scale = self.hook_scale((wide.pow(2).mean(-1, keepdim=True) + self.eps).sqrt())
        normalized = self.hook_normalized((wide / scale).to(dtype))
        if self.w is not None:
            normalized = normalized * self.w
        return normalized if self.b is None else normalized + self.b

    def extra_repr(self) -> str:
        return f"length={self.length}, eps={self.eps}"


class LayerNorm(Norm):
    """Subtract the mean, divide by the standard deviation, multiply by `w` and add `b` (Ba et al. 2016)."""

    def __init__(self, cfg: ConfigLike, length: int | None = None) -> None:
        super().__init__(cfg, length, centre=True, scaled=True)


class LayerNormPre(Norm):
    """LayerNorm without `w` and `b`, which were folded into the weights that read it."""

    def __init__(self, cfg: ConfigLike, length: int | None = None) -> None:
        super().__init__(cfg, length, centre=True, scaled=False)


class RMSNorm(Norm):
    """Divide by the root mean square and multiply by `w` (Zhang and Sennrich 2019)."""

    def __init__(self, cfg: ConfigLike, length: int | None = None) -> None:
        super().__init__(cfg, length, centre=False, scaled=True)


class RMSNormPre(Norm):
    """RMSNorm without `w`, which was folded into the weights that read it."""

    def __init__(self, cfg: ConfigLike, length: int | None = None) -> None:
        super().__init__(cfg, length, centre=False, scaled=False)


NORMS: dict[str, Callable[[HookedTransformerConfig], Norm]] = {
    "LN": LayerNorm,
    "LNPre": LayerNormPre,
    "RMS": RMSNorm,
    "RMSPre": RMSNormPre,
}


def make_norm(cfg: HookedTransformerConfig, *, final: bool = False) -> nn.Module:
    """The norm of the config, for the residual stream; Identity if it has none."""
    kind = cfg.normalization_type
    if kind is None:
        return nn.Identity()
    if final and cfg.final_rms:
        kind = "RMS" if kind in ("LN", "RMS") else "RMSPre"
    return NORMS[kind](cfg)


def make_output_norm(cfg: HookedTransformerConfig) -> nn.Module:
    """The norm of a sublayer's output; it is never folded, because no linear map reads it."""
    return LayerNorm(cfg) if cfg.normalization_type in ("LN", "LNPre") else RMSNorm(cfg)
