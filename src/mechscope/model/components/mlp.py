"""The MLP sublayer, plain and gated."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import nn

from mechscope.model.components._component import Component
from mechscope.model.components.activations import ACTIVATIONS
from mechscope.model.components.normalization import LayerNorm, LayerNormPre
from mechscope.model.config import ConfigLike, HookedTransformerConfig
from mechscope.model.hook_points import HookPoint


class MLP(Component):
    """post = act(x W_in + b_in); out = post W_out + b_out.

    With `solu_ln`, a LayerNorm follows the activation function, and `hook_mid` is between the two.
    """

    def __init__(self, cfg: ConfigLike) -> None:
        super().__init__()
        cfg = HookedTransformerConfig.unwrap(cfg)
        assert cfg.d_mlp is not None and cfg.act_fn is not None
        self.cfg = cfg
        self.d_mlp = cfg.d_mlp
        dtype, device = cfg.dtype, cfg.device
        self.W_in = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp, dtype=dtype, device=device))
        self.b_in = nn.Parameter(torch.zeros(cfg.d_mlp, dtype=dtype, device=device))
        self.W_out = nn.Parameter(torch.empty(cfg.d_mlp, cfg.d_model, dtype=dtype, device=device))
        self.b_out = nn.Parameter(torch.zeros(cfg.d_model, dtype=dtype, device=device))
        self.act_fn = ACTIVATIONS[cfg.act_fn]
        self.hook_pre = HookPoint()
        self.hook_post = HookPoint()
        self.ln: nn.Module | None = None
        if cfg.is_layer_norm_activation:
            self.hook_mid = HookPoint()
            folded = cfg.is_layer_norm_folded()
            self.ln = LayerNormPre(cfg, cfg.d_mlp) if folded else LayerNorm(cfg, cfg.d_mlp)

    def forward(
        self, x: Float[torch.Tensor, "batch pos d_model"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """[batch pos d_model] -> [batch pos d_model]"""
        pre = self.hook_pre(F.linear(x, self.W_in.mT, self.b_in))
        post = self.hook_post(self.activate(pre))
        return F.linear(post, self.W_out.mT, self.b_out)

    def activate(self, pre: Float[torch.Tensor, "batch pos d_mlp"]) -> Float[torch.Tensor, "batch pos d_mlp"]:
        """Apply the activation function, and its LayerNorm if it has one: [batch pos d_mlp] -> [batch pos d_mlp]"""
        if self.ln is None:
            return self.act_fn(pre)
        return self.ln(self.hook_mid(self.act_fn(pre)))


class GatedMLP(MLP):
    """post = act(x W_gate) * (x W_in) + b_in; out = post W_out + b_out (Shazeer 2020).

    `hook_pre` is the gate before the activation function, `hook_pre_linear` the branch that it multiplies. As in the
    classic interface, the bias is added after the product.
    """

    def __init__(self, cfg: ConfigLike) -> None:
        cfg = HookedTransformerConfig.unwrap(cfg)
        super().__init__(cfg)
        assert cfg.d_mlp is not None
        self.W_gate = nn.Parameter(torch.empty(cfg.d_model, cfg.d_mlp, dtype=cfg.dtype, device=cfg.device))
        self.hook_pre_linear = HookPoint()

    def forward(
        self, x: Float[torch.Tensor, "batch pos d_model"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """[batch pos d_model] -> [batch pos d_model]"""
        pre = self.hook_pre(x @ self.W_gate)
        linear = self.hook_pre_linear(x @ self.W_in)
        post = self.hook_post(self.activate(pre) * linear + self.b_in)
        return F.linear(post, self.W_out.mT, self.b_out)


def make_mlp(cfg: HookedTransformerConfig) -> MLP:
    """The MLP of a config: plain or gated."""
    return GatedMLP(cfg) if cfg.gated_mlp else MLP(cfg)
