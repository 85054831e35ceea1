"""The edge graph of a model: all parts that write to the residual stream, and all inputs that read from it.

An edge connects a part that writes (`input`, a head, an MLP) to an input that reads later (a head's query, key or
value, an MLP, `logits`). Source: Conmy et al. 2023, section 2 (the graph), Hanna et al. 2024 (its names).
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

import torch
from jaxtyping import Bool, Int
from torch.nn.utils.prune import BasePruningMethod

from mechscope.arguments import checked_arguments
from mechscope.model.grouped_heads import input_of_head_in_words, query_heads_of
from mechscope.model.layer_checks import check_has_layers
from mechscope.near_names import did_you_mean_clause

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

_SHARED_INPUT = re.compile(r"a(\d+)\.h(\d+)<([kv])>")


@dataclass(frozen=True)
class Stage:
    """A sublayer, in the order of the forward pass: what it reads and what it writes."""

    kind: Literal["attn", "mlp", "logits"]
    layer: int
    sources: range
    """Rows of the graph that it writes (heads, an MLP; none for logits)."""
    destinations: range
    """Columns of the graph that it reads."""


def _refuse_torch_hooks(model: HookedTransformer) -> None:
    """Refuse torch's own hooks, which would not fire because a circuit's run computes heads separately."""
    for layer, block in enumerate(model.blocks):
        for name, part in ((f"blocks.{layer}", block), (f"blocks.{layer}.attn", block.attn)):
            # Pruning adds a hook only to keep the weight up to date.
            hooks = [*part._forward_hooks.values(), *part._forward_pre_hooks.values()]
            if any(not isinstance(hook, BasePruningMethod) for hook in hooks):
                raise ValueError(
                    f"{name} has one of torch's own hooks (register_forward_hook), which a circuit's run would not "
                    "fire: change weights by a parametrization instead (torch.nn.utils.parametrize)."
                )


@dataclass(frozen=True)
class EdgeGraph:
    """All edges that a model of this shape can have, as a matrix [source, destination] in forward order.

    Under grouped-query attention keys and values have one destination per key/value head: `a1.h0<k>` is key/value head
    0, which a whole group of query heads reads. Unknown names such as `a1.h3<k>` are answered with the right one.
    """

    n_layers: int
    n_heads: int
    n_kv_heads: int
    attn_only: bool = False
    parallel: bool = False
    """Attention and MLP of a block read the same residual stream, so heads do not write to their own block's MLP."""
    qkv: bool = True
    """Whether a head's queries, keys and values are separate destinations."""

    def __post_init__(self) -> None:
        if self.n_layers < 1 or self.n_heads < 1 or self.n_heads % self.n_kv_heads:
            raise ValueError(
                f"a graph needs layers and heads, and heads in equal groups; found {self.n_layers} layers, "
                f"{self.n_heads} heads, {self.n_kv_heads} key/value heads."
            )
        if not self.qkv and self.n_kv_heads != self.n_heads:
            raise ValueError(
                "heads of this model share keys and values, so their inputs cannot be combined: use qkv=True."
            )

    @classmethod
    @checked_arguments
    def of(cls, model: HookedTransformer, qkv: bool = True) -> EdgeGraph:
        """The graph of a model.

        Args:
            model: the model.
            qkv: use separate inputs for a head's queries, keys and values.

        Raises:
            ValueError: for a model without layers, or if one of torch's own hooks is on a block or its attention.
        """
        check_has_layers(model, "a circuit")
        _refuse_torch_hooks(model)
        cfg = model.cfg
        parallel = bool(cfg.parallel_attn_mlp) and not cfg.attn_only
        return cls(cfg.n_layers, cfg.n_heads, cfg.n_kv_heads, bool(cfg.attn_only), parallel, qkv)

    # Names ----------------------------------------------------------------------------------

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """All parts that write, in forward order: `input`, then heads and MLP of each layer."""
        names = ["input"]
        for layer in range(self.n_layers):
            names += [f"a{layer}.h{head}" for head in range(self.n_heads)]
            names += [] if self.attn_only else [f"m{layer}"]
        return tuple(names)

    @cached_property
    def destinations(self) -> tuple[str, ...]:
        """All inputs, in forward order: queries, keys and values of each layer's heads, its MLP; last `logits`."""
        names: list[str] = []
        for layer in range(self.n_layers):
            for suffix, heads in self._inputs:
                names += [f"a{layer}.h{head}{suffix}" for head in range(heads)]
            names += [] if self.attn_only else [f"m{layer}"]
        return (*names, "logits")

    @property
    def _inputs(self) -> tuple[tuple[str, int], ...]:
        if not self.qkv:
            return (("", self.n_heads),)
        return (("<q>", self.n_heads), ("<k>", self.n_kv_heads), ("<v>", self.n_kv_heads))

    @cached_property
    def nodes(self) -> tuple[str, ...]:
        """The sources, and `logits`."""
        return (*self.sources, "logits")

    @cached_property
    def source_index(self) -> dict[str, int]:
        """The row of each source."""
        return {name: index for index, name in enumerate(self.sources)}

    @cached_property
    def destination_index(self) -> dict[str, int]:
        """The column of each destination."""
        return {name: index for index, name in enumerate(self.destinations)}

    # Structure ------------------------------------------------------------------------------

    @cached_property
    def stages(self) -> tuple[Stage, ...]:
        """Sublayers in forward order, the last one for `logits`."""
        stages: list[Stage] = []
        row, column = 1, 0
        reads = sum(heads for _, heads in self._inputs)
        for layer in range(self.n_layers):
            stages.append(Stage("attn", layer, range(row, row + self.n_heads), range(column, column + reads)))
            row, column = row + self.n_heads, column + reads
            if not self.attn_only:
                stages.append(Stage("mlp", layer, range(row, row + 1), range(column, column + 1)))
                row, column = row + 1, column + 1
        stages.append(Stage("logits", self.n_layers, range(row, row), range(column, column + 1)))
        return tuple(stages)

    @cached_property
    def source_stage(self) -> Int[torch.Tensor, " source"]:
        """The number of the stage that writes each source; -1 for the input."""
        numbers = [-1]
        for number, stage in enumerate(self.stages):
            numbers += [number] * len(stage.sources)
        return torch.tensor(numbers)

    @cached_property
    def destination_stage(self) -> Int[torch.Tensor, " destination"]:
        """The number of the stage that reads each destination."""
        return torch.tensor([number for number, stage in enumerate(self.stages) for _ in stage.destinations])

    @cached_property
    def valid(self) -> Bool[torch.Tensor, "source destination"]:
        """True for edges that exist: the destination reads a residual stream that contains the source."""
        reads = self.destination_stage.clone()
        if self.parallel:
            is_mlp = torch.tensor([name.startswith("m") for name in self.destinations])
            reads[is_mlp] -= 1
        return self.source_stage[:, None] < reads[None, :]

    @cached_property
    def feeds(self) -> Bool[torch.Tensor, "destination source"]:
        """True if a destination is an input of a source; `logits` is an input of none."""
        feeds = torch.zeros(len(self.destinations), len(self.sources), dtype=torch.bool)
        for name, column in self.destination_index.items():
            part = name.split("<")[0]
            if name.endswith(("<k>", "<v>")):
                layer, head = part.split(".h")
                for member in query_heads_of(int(head), self.n_heads, self.n_kv_heads):
                    feeds[column, self.source_index[f"{layer}.h{member}"]] = True
            elif part != "logits":
                feeds[column, self.source_index[part]] = True
        return feeds

    @cached_property
    def split(self) -> EdgeGraph:
        """The same graph with separate q, k and v inputs."""
        return (
            self
            if self.qkv
            else EdgeGraph(self.n_layers, self.n_heads, self.n_kv_heads, self.attn_only, self.parallel)
        )

    @cached_property
    def column_of(self) -> Int[torch.Tensor, " destination"]:
        """The column in this graph of each destination of `split`."""
        names = (name if self.qkv else name.split("<")[0] for name in self.split.destinations)
        return torch.tensor([self.destination_index[name] for name in names])

    @property
    def n_edges(self) -> int:
        """Number of edges."""
        return int(self.valid.sum())

    # From names to indices -----------------------------------------------------------------

    def edge_names(self, edges: Bool[torch.Tensor, "source destination"] | None = None) -> list[str]:
        """Names `src->dst` of some edges (by default all valid ones), in forward order."""
        chosen = self.valid if edges is None else edges
        return [
            f"{self.sources[row]}->{self.destinations[column]}" for row, column in chosen.nonzero().tolist()
        ]

    def edge(self, name: str) -> tuple[int, int]:
        """Row and column of an edge.

        Raises:
            KeyError: for an unknown edge; suggests the nearest names.
        """
        ends = name.split("->")
        if len(ends) != 2:
            raise KeyError(f"{name!r} is not an edge; an edge is written src->dst, such as input->a0.h0<q>.")
        row, column = self._find(ends[0], self.source_index), self._find(ends[1], self.destination_index)
        if not bool(self.valid[row, column]):
            raise KeyError(f"there is no edge {name!r}, because {ends[0]} writes after {ends[1]} reads.")
        return row, column

    def mask(self, names: Iterable[str]) -> Bool[torch.Tensor, "source destination"]:
        """The named edges as a matrix.

        Raises:
            KeyError: for an unknown edge; suggests the nearest names.
        """
        edges = torch.zeros_like(self.valid)
        for name in names:
            edges[self.edge(name)] = True
        return edges

    def node(self, name: str) -> str:
        """Check that a name is a node of this graph, and return it.

        Raises:
            KeyError: for an unknown node; suggests the nearest names.
        """
        if name == "logits":
            return name
        self._find(name, self.source_index)
        return name

    def edges_of(self, node: str) -> Bool[torch.Tensor, "source destination"]:
        """Edges that start or end at a node."""
        touching = torch.zeros_like(self.valid)
        if self.node(node) == "logits":
            touching[:, -1] = True
        else:
            row = self.source_index[node]
            touching[row] = True
            # The inputs of a key/value head belong to its whole group, so they are not edges of a single head.
            touching[:, self.feeds[:, row] & (self.feeds.sum(1) == 1)] = True
        return touching & self.valid

    def _find(self, name: str, index: dict[str, int]) -> int:
        if name in index:
            return index[name]
        shared = _SHARED_INPUT.fullmatch(name)
        if shared and f"a{shared[1]}.h{shared[2]}" in self.source_index and self.n_kv_heads != self.n_heads:
            layer, head, reads = int(shared[1]), int(shared[2]), shared[3]
            explained = input_of_head_in_words(layer, head, reads, self.n_heads, self.n_kv_heads)
            raise KeyError(f"there is no {name!r}: {explained}.")
        examples = f"names are {', '.join(list(index)[:4])}, …"
        hint = did_you_mean_clause(name, index, n=3) or examples
        what = "writes to" if index is self.source_index else "reads from"
        raise KeyError(f"no part called {name!r} {what} this model's residual stream; {hint}")

    def __repr__(self) -> str:
        return (
            f"<edge graph: {len(self.nodes)} nodes, {len(self.destinations)} inputs, {self.n_edges} edges"
            f"{'' if self.qkv else ', q, k and v together'}>"
        )
