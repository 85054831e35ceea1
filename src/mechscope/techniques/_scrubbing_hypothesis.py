"""A hypothesis for causal scrubbing: a tree of parts, each with what it needs and what must be kept there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int

from mechscope.techniques._node_names import NodeName, parse_node

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Feature = Callable[[Int[torch.Tensor, "prompt pos"]], torch.Tensor]


@dataclass(frozen=True)
class Part:
    """One part of a hypothesis, with what it needs."""

    name: str
    """"logits" (the root), a head "a1.h3", an MLP "m0", or "input" (the embedding)."""
    feature: Feature | None = None
    """What of the prompt must be kept here: from prompts [prompt pos] to numbers [prompt ...], compared
    exactly. None keeps the prompt itself."""
    inputs: Mapping[str, Sequence[Part]] | Sequence[Part] | None = None
    """What it needs: parts; for a head, parts by input {"q": …, "k": …, "v": …}, where an input that is left out
    needs nothing. None: taken as it is."""
    positions: tuple[int, ...] | None = None
    """Where what it writes matters; None everywhere."""

    def needs(self) -> Iterator[tuple[str, Sequence[Part]]]:
        """Its inputs by name, "" where it has only one."""
        if isinstance(self.inputs, Mapping):
            yield from self.inputs.items()
        elif self.inputs is not None:
            yield "", self.inputs

    def walk(self) -> Iterator[Part]:
        """This part and all below it."""
        yield self
        for _, parts in self.needs():
            for part in parts:
                yield from part.walk()


def check_tree(model: HookedTransformer, root: Part) -> None:
    """See that a hypothesis is a tree over this model.

    Raises:
        KeyError: for parts that do not exist.
        ValueError: for a part that needs what comes after it, or a model whose residual stream is no sum.
    """
    cfg = model.cfg
    if cfg.norm_placement != "pre":
        raise ValueError(
            "this model norms what its parts write, so its residual stream is no sum of heads, which scrubbing needs."
        )
    if root.name != "logits":
        raise ValueError(f"the root of a hypothesis is Part('logits', …), not {root.name!r}.")
    if root.inputs is None:
        raise ValueError(
            "the root must say what the logits need: Part('logits', inputs=[…]), which may be empty."
        )

    def check(part: Part, node: NodeName) -> None:
        if node.kind == "neuron" or node.reads:
            raise ValueError(f"{part.name} is no part of a hypothesis: name heads, MLPs and 'input'.")
        by_input = isinstance(part.inputs, Mapping)
        if part.inputs is not None and by_input != (node.kind == "head"):
            raise ValueError(
                f"the inputs of {part.name} are "
                + ("given by q, k and v." if node.kind == "head" else "a list of parts: it reads one stream.")
            )
        if node.kind == "input" and part.inputs:
            raise ValueError("the input needs nothing; give it a feature.")
        for which, children in part.needs():
            if by_input and which not in ("q", "k", "v"):
                raise ValueError(f"a head reads 'q', 'k' and 'v', not {which!r}.")
            names = [child.name for child in children]
            if len(set(names)) < len(names):
                raise ValueError(f"a part is named twice among what {part.name} needs: {names}.")
            for child in children:
                below = parse_node(model, child.name)
                if not below.writes_before(node, cfg.parallel_attn_mlp):
                    raise ValueError(f"{part.name} cannot need {child.name}: it reads before that writes.")
                check(child, below)

    check(root, parse_node(model, root.name))
