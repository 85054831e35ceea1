"""The weights of an attention layer, and the products with them: queries, keys, values, and the layer's output.

Weights have the classic shapes, one slice per head, and are contiguous in memory, so that everything that torch does
with a module's parameters works.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from einops import einsum
from jaxtyping import Float
from torch import nn

from mechscope.model._weight_views import weight_copy
from mechscope.model.components._component import Component
from mechscope.model.components.normalization import RMSNorm
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.factored_matrix import FactoredMatrix
from mechscope.model.hook_points import HookPoint

# The input of queries, keys or values: the residual stream, or one copy of it per head.
AtQueries = Float[torch.Tensor, "batch query d_model"] | Float[torch.Tensor, "batch query head d_model"]
ByHead = Float[torch.Tensor, "batch pos d_model"] | Float[torch.Tensor, "batch pos head d_model"]
ByKeyValueHead = Float[torch.Tensor, "batch pos d_model"] | Float[torch.Tensor, "batch pos kv_head d_model"]


class Projections(NamedTuple):
    """Queries, keys and values as the weights project them: before hook points, norms and rotation."""

    queries: Float[torch.Tensor, "batch query head d_head"]
    keys: Float[torch.Tensor, "batch pos kv_head d_head"]
    values: Float[torch.Tensor, "batch pos kv_head d_head"]


class AttentionWeights(Component):
    """Weights by head, and the products with them; `Attention` computes the steps in between."""

    cfg: HookedTransformerConfig
    grouped: bool
    group_size: int
    q_norm: nn.Module | None
    k_norm: nn.Module | None
    hook_result: HookPoint

    def _make_weights(self, cfg: HookedTransformerConfig) -> None:
        def projection(heads: int) -> nn.Parameter:
            return nn.Parameter(
                torch.empty(heads, cfg.d_model, cfg.d_head, dtype=cfg.dtype, device=cfg.device)
            )

        def bias(heads: int) -> nn.Parameter:
            return nn.Parameter(torch.zeros(heads, cfg.d_head, dtype=cfg.dtype, device=cfg.device))

        # In the classic order, so that a seed gives the same initial weights as in the classic class.
        prefix = "_" if self.grouped else ""
        self.W_Q = projection(cfg.n_heads)
        self.W_O = nn.Parameter(
            torch.empty(cfg.n_heads, cfg.d_head, cfg.d_model, dtype=cfg.dtype, device=cfg.device)
        )
        self.b_Q = bias(cfg.n_heads)
        self.b_O = nn.Parameter(torch.zeros(cfg.d_model, dtype=cfg.dtype, device=cfg.device))
        self.register_parameter(f"{prefix}W_K", projection(cfg.n_kv_heads))
        self.register_parameter(f"{prefix}W_V", projection(cfg.n_kv_heads))
        self.register_parameter(f"{prefix}b_K", bias(cfg.n_kv_heads))
        self.register_parameter(f"{prefix}b_V", bias(cfg.n_kv_heads))

    @staticmethod
    def _make_norms(cfg: HookedTransformerConfig) -> tuple[nn.Module | None, nn.Module | None]:
        if cfg.qk_norm == "none":
            return None, None
        if cfg.qk_norm == "per_head":
            return RMSNorm(cfg, cfg.d_head), RMSNorm(cfg, cfg.d_head)
        return RMSNorm(cfg, cfg.n_heads * cfg.d_head), RMSNorm(cfg, cfg.n_kv_heads * cfg.d_head)

    def __getattr__(self, name: str) -> torch.Tensor:
        if name in ("W_K", "W_V", "b_K", "b_V") and self.__dict__.get("grouped"):
            return self._by_query_head_copy(name)
        return super().__getattr__(name)  # type: ignore[return-value]

    def _by_query_head_copy(self, name: str) -> torch.Tensor:
        with torch.inference_mode(False):
            repeated = getattr(self, f"_{name}").repeat_interleave(self.group_size, dim=0)
        return weight_copy(
            repeated,
            f"with grouped-query attention, {name} is a copy that repeats each key/value head for every query head; "
            f"write to _{name} inside torch.no_grad(), or .clone() it for a tensor of your own",
        )

    def __setattr__(self, name: str, value: Any) -> None:
        if name in ("W_K", "W_V", "b_K", "b_V") and self.__dict__.get("grouped"):
            raise AttributeError(
                f"with grouped-query attention, {name} is a copy of _{name} with one slice per query head: set "
                f"_{name}, which has {self.cfg.n_kv_heads} heads."
            )
        super().__setattr__(name, value)

    @property
    def OV(self) -> FactoredMatrix:
        """W_V W_O of each head, as a factored matrix [head d_model d_model]."""
        from mechscope.model.factored_matrix import FactoredMatrix

        return FactoredMatrix(self.W_V, self.W_O)

    @property
    def QK(self) -> FactoredMatrix:
        """W_Q W_K^T of each head, as a factored matrix [head d_model d_model]."""
        from mechscope.model.factored_matrix import FactoredMatrix

        return FactoredMatrix(self.W_Q, self.W_K.mT)

    def projections(
        self,
        query_input: AtQueries,
        key_input: ByKeyValueHead,
        value_input: ByKeyValueHead,
        heads: Sequence[int] | None = None,
    ) -> Projections:
        """Queries, keys and values before hook points, norms and rotation; `head_outputs_of` continues from here.

        Args:
            query_input: the input of the queries [batch pos d_model], or [batch pos head d_model] if split by head.
            key_input: the input of the keys.
            value_input: the input of the values.
            heads: project only for these heads.
        """
        return Projections(
            self._project("Q", query_input, heads),
            self._project("K", key_input, heads),
            self._project("V", value_input, heads),
        )

    def _weights(self, which: str) -> tuple[torch.Tensor, torch.Tensor]:
        """The stored weight and bias of "Q", "K" or "V"."""
        prefix = "_" if self.grouped and which != "Q" else ""
        return self._stored(f"{prefix}W_{which}"), self._stored(f"{prefix}b_{which}")

    def _project(self, which: str, x: torch.Tensor, heads: Sequence[int] | None = None) -> torch.Tensor:
        weight, bias = self._weights(which)
        return project(x, weight, bias) if heads is None else project(x, weight[heads], bias[heads])

    def input_gradients(
        self, gradients: Sequence[torch.Tensor]
    ) -> Float[torch.Tensor, "input batch pos d_model"]:
        """Gradients at the inputs of the heads' queries, then keys, then values, from those at the `projections`."""
        by_input = [
            einsum(
                gradient,
                self._weights(which)[0],
                "batch pos head d_head, head d_model d_head -> head batch pos d_model",
            )
            for which, gradient in zip("QKV", gradients, strict=True)
        ]
        return torch.cat(by_input)

    def normed_queries(
        self, q: Float[torch.Tensor, "batch pos head d_head"]
    ) -> Float[torch.Tensor, "batch pos head d_head"]:
        """Queries after the norm on queries (`cfg.qk_norm`), if the model has one."""
        return q if self.q_norm is None else self._normalize(self.q_norm, q)

    def normed_keys(
        self, k: Float[torch.Tensor, "batch pos kv_head d_head"]
    ) -> Float[torch.Tensor, "batch pos kv_head d_head"]:
        """Keys after the norm on keys (`cfg.qk_norm`), if the model has one."""
        return k if self.k_norm is None else self._normalize(self.k_norm, k)

    def _normalize(self, norm: nn.Module, x: torch.Tensor) -> torch.Tensor:
        return norm(x) if self.cfg.qk_norm == "per_head" else norm(x.flatten(2)).view_as(x)

    def output(
        self, z: Float[torch.Tensor, "batch pos head d_head"]
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """The output of the layer [batch pos d_model], from the heads' z; head by head if `hook_result` has hooks."""
        if self.hook_result.watched:
            result = self.hook_result(
                einsum(z, self.W_O, "batch pos head d_head, head d_head d_model -> batch pos head d_model")
            )
            return result.sum(2) + self.b_O
        return F.linear(z.flatten(2), self._stored("W_O").flatten(0, 1).mT, self._stored("b_O"))

    def head_result(
        self, z: Float[torch.Tensor, "batch pos d_head"], head: int
    ) -> Float[torch.Tensor, "batch pos d_model"]:
        """The part of the layer's output that comes from one head, from that head's z."""
        return z @ self.W_O[head]

    def _stored(self, name: str) -> torch.Tensor:
        """A weight by name, without torch's slow attribute lookup unless a parametrization or pruning computes it."""
        parameter = self._parameters.get(name)
        return getattr(self, name) if parameter is None else parameter


# From this many positions on, one product for all heads saves more time than concatenating their weights costs.
POSITIONS_FOR_ONE_PRODUCT = 96


def project(
    x: ByHead, weight: Float[torch.Tensor, "head d_model d_head"], bias: Float[torch.Tensor, "head d_head"]
) -> Float[torch.Tensor, "batch pos head d_head"]:
    """The projection of x by each head; x may be split by head.

    The heads' weights are stored one after the other, not as one matrix. For few positions the heads are computed as a
    batch of products; for many, their weights are first concatenated.
    """
    if x.ndim == 4:
        return (
            einsum(x, weight, "batch pos head d_model, head d_model d_head -> batch pos head d_head") + bias
        )
    heads, d_model, d_head = weight.shape
    positions = x.shape[:-1]
    if positions.numel() >= POSITIONS_FOR_ONE_PRODUCT:
        merged = weight.transpose(0, 1).reshape(d_model, heads * d_head)
        return F.linear(x, merged.mT, bias.reshape(-1)).view(*positions, heads, d_head)
    by_head = torch.baddbmm(bias[:, None], x.reshape(-1, d_model).expand(heads, -1, -1), weight)
    return by_head.transpose(0, 1).contiguous().view(*positions, heads, d_head)
