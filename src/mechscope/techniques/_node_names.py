"""Names of the parts of a model, as in published circuits: `input`, `a3.h1`, `m2`, `logits`.

A suffix names one input of a head, `a3.h1<q>`, `<k>` or `<v>`; one neuron is `m2.n17`.

Under grouped-query attention, several query heads share the keys and values of one key/value head, of which there is
one copy. `<k>` and `<v>` therefore count key/value heads: with 9 query heads and 3 key/value heads, `a3.h1<k>` are the
keys that query heads 3, 4 and 5 read, and `a3.h3<k>` is an error that says so.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from mechscope.model.grouped_heads import input_of_head_in_words, query_heads_in_words

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Kind = Literal["input", "head", "mlp", "neuron", "logits"]
_HEAD = re.compile(r"a(\d+)\.h(\d+)(?:<([qkv])>)?")
_MLP = re.compile(r"m(\d+)(?:\.n(\d+))?")


@dataclass(frozen=True)
class NodeName:
    """A part of a model; make one with `parse_node`."""

    kind: Kind
    layer: int = 0
    index: int | None = None
    """Which head or neuron."""
    reads: str = ""
    """q, k or v for one input of a head."""

    def __str__(self) -> str:
        if self.kind == "head":
            return f"a{self.layer}.h{self.index}" + (f"<{self.reads}>" if self.reads else "")
        if self.kind == "mlp":
            return f"m{self.layer}"
        return f"m{self.layer}.n{self.index}" if self.kind == "neuron" else self.kind

    def writes_before(self, reader: NodeName, parallel: bool) -> bool:
        """Whether `reader` reads a residual stream that contains what this part writes.

        Args:
            reader: another part.
            parallel: whether attention and MLP of a block read the same residual stream.
        """
        if self.kind == "logits" or reader.kind == "input":
            return False
        if self.kind == "input" or reader.kind == "logits":
            return True
        if self.layer != reader.layer:
            return self.layer < reader.layer
        return self.kind == "head" and reader.kind in ("mlp", "neuron") and not parallel


def parse_node(model: HookedTransformer, name: str) -> NodeName:
    """Parse the name of a part.

    Raises:
        KeyError: for an unknown name, or a part that this model does not have.
    """
    cfg = model.cfg
    if name in ("input", "logits"):
        return NodeName(name)
    head, mlp = _HEAD.fullmatch(name), _MLP.fullmatch(name)
    if head is not None:
        node = NodeName("head", int(head[1]), int(head[2]), head[3] or "")
        heads = cfg.n_kv_heads if node.reads in ("k", "v") else cfg.n_heads
        what = "key/value heads" if heads != cfg.n_heads else "heads"
        shares = heads != cfg.n_heads
        if shares and node.layer < cfg.n_layers and heads <= int(head[2]) < cfg.n_heads:
            explained = input_of_head_in_words(node.layer, int(head[2]), node.reads, cfg.n_heads, heads)
            raise KeyError(f"this model has no {name!r}: {explained}.")
        if node.layer >= cfg.n_layers or int(head[2]) >= heads:
            raise KeyError(f"this model has no {name!r}: it has {cfg.n_layers} layers of {heads} {what}.")
        return node
    if mlp is None:
        raise KeyError(
            f"{name!r} is not the name of a part; names are 'input', 'a3.h1' (a head), 'a3.h1<q>' (its query input), "
            "'m2' (an MLP), 'm2.n17' (a neuron) and 'logits'."
        )
    if cfg.attn_only:
        raise KeyError(f"this model is attention-only: it has no {name!r}.")
    node = NodeName(
        "mlp" if mlp[2] is None else "neuron", int(mlp[1]), None if mlp[2] is None else int(mlp[2])
    )
    if node.layer >= cfg.n_layers or (node.index is not None and node.index >= (cfg.d_mlp or 0)):
        raise KeyError(f"this model has no {name!r}: it has {cfg.n_layers} layers of {cfg.d_mlp} neurons.")
    return node


def with_readers(model: HookedTransformer, name: str) -> str:
    """The name of a part, for titles: shared keys and values with the query heads that read them."""
    node, cfg = parse_node(model, name), model.cfg
    if node.reads not in ("k", "v") or cfg.n_kv_heads == cfg.n_heads or node.index is None:
        return name
    readers = query_heads_in_words(node.index, cfg.n_heads, cfg.n_kv_heads)
    return f"{name} (key/value head {node.index} of {readers})"


def all_heads(model: HookedTransformer) -> list[NodeName]:
    """Every head, layer by layer."""
    return [
        NodeName("head", layer, head)
        for layer in range(model.cfg.n_layers)
        for head in range(model.cfg.n_heads)
    ]


def all_mlps(model: HookedTransformer) -> list[NodeName]:
    """Every MLP.

    Raises:
        ValueError: for an attention-only model.
    """
    if model.cfg.attn_only:
        raise ValueError("this model is attention-only: it has no MLPs.")
    return [NodeName("mlp", layer) for layer in range(model.cfg.n_layers)]
