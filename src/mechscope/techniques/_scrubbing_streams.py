"""What parts of a model read and wrote on every prompt, and the output of a head on other streams."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float

from mechscope.model.names import get_act_name
from mechscope.techniques._node_names import NodeName
from mechscope.techniques.sweep.base_run import BaseRun

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Stream = Float[torch.Tensor, "prompt pos d_model"]


class Streams:
    """Residual streams and contributions of parts, for one set of prompts.

    Args:
        model: the model.
        tokens: the prompts [prompt pos].
        nodes: the parts that will be used.
    """

    def __init__(self, model: HookedTransformer, tokens: torch.Tensor, nodes: Iterable[NodeName]) -> None:
        self.model = model
        self.run = BaseRun(model, tokens, None)
        self._written: dict[NodeName, Stream] = {}
        hooks: list[str] = []
        for node in nodes:
            hooks += self._read_at(node)
            hooks += {
                "input": self._embeddings(),
                "head": [get_act_name("z", node.layer)],
                "mlp": [get_act_name("mlp_out", node.layer)],
            }.get(node.kind, [])
        self.run.require(hooks)

    def _embeddings(self) -> list[str]:
        added = self.model.cfg.positional_embedding_type == "standard"
        return ["hook_embed", *(["hook_pos_embed"] if added else [])]

    def _read_at(self, node: NodeName) -> list[str]:
        cfg = self.model.cfg
        if node.kind == "logits":
            return [get_act_name("resid_post", cfg.n_layers - 1)]
        if node.kind == "mlp" and not cfg.parallel_attn_mlp:
            return [get_act_name("resid_mid", node.layer)]
        return [] if node.kind == "input" else [get_act_name("resid_pre", node.layer)]

    def read(self, node: NodeName) -> Stream:
        """The residual stream that a part reads."""
        return self.run[self._read_at(node)[0]]

    def wrote(self, node: NodeName) -> Stream:
        """The contribution of a part to the residual stream; a head's excludes the bias that its layer shares."""
        if node not in self._written:
            if node.kind == "input":
                written = torch.stack([self.run[hook] for hook in self._embeddings()]).sum(0)
            elif node.kind == "mlp":
                written = self.run[get_act_name("mlp_out", node.layer)]
            else:
                written = self._project(node, self.run[get_act_name("z", node.layer)])
            self._written[node] = written
        return self._written[node]

    def head(self, node: NodeName, query: Stream, key: Stream, value: Stream) -> Stream:
        """The contribution of a head whose inputs read these streams."""
        block, context = self.model.blocks[node.layer], self.run.context
        positions = context.shortformer_pos_embed
        if positions is not None:
            # Equal for all prompts, because none has padding.
            positions = positions[:1].expand(len(query), -1, -1)
        z = block.attn.head_outputs(
            block.attention_input("q", query, positions),
            block.attention_input("k", key, positions),
            block.attention_input("v", value, positions),
            context,
        )
        return self._project(node, z)

    def _project(self, node: NodeName, z: torch.Tensor) -> Stream:
        assert node.index is not None
        return self.model.blocks[node.layer].attn.head_result(z[:, :, node.index], node.index)
