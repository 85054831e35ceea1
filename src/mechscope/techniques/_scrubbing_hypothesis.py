"""A hypothesis for causal scrubbing: a tree of parts, each with its inputs and the feature that must be preserved."""

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
    """One part of a hypothesis, with the parts that it needs."""

    name: str
    """"logits" (the root), a head "a1.h3", an MLP "m0", or "input" (the embedding)."""
    feature: Feature | None = None
    """What must be preserved here: a function of prompts [prompt pos] that returns values [prompt ...], which are
    compared exactly. None keeps the prompt itself."""
    inputs: Mapping[str, Sequence[Part]] | Sequence[Part] | None = None
    """The parts that it needs; for a head, by input: {"q": …, "k": …, "v": …}, where a missing input needs nothing.
    None takes this part as it is on its prompt. Under grouped-query attention each query head computes the keys and
    values that it shares with others from its own inputs, so it has a copy of its own."""
    positions: tuple[int, ...] | None = None
    """The positions at which its output matters; None for all."""

    def needs(self) -> Iterator[tuple[str, Sequence[Part]]]:
        """Its inputs by name, "" for a part with one input."""
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
    """Check that a hypothesis is a valid tree for this model.

    Raises:
        KeyError: for parts that do not exist.
        ValueError: for a part that needs a later one, or a model whose residual stream is not a sum of parts.
    """
    cfg = model.cfg
    if cfg.norm_placement != "pre":
        raise ValueError(
            "this model normalises what its parts write, but scrubbing needs a residual stream that is a sum of heads."
        )
    if root.name != "logits":
        raise ValueError(f"the root of a hypothesis must be Part('logits', …), not {root.name!r}.")
    if root.inputs is None:
        raise ValueError(
            "the root must list what the logits need: Part('logits', inputs=[…]); the list may be empty."
        )

    def check(part: Part, node: NodeName) -> None:
        if node.kind == "neuron" or node.reads:
            raise ValueError(f"{part.name} cannot be a part of a hypothesis: use heads, MLPs and 'input'.")
        by_input = isinstance(part.inputs, Mapping)
        if part.inputs is not None and by_input != (node.kind == "head"):
            raise ValueError(
                f"the inputs of {part.name} are "
                + (
                    "a mapping with q, k and v."
                    if node.kind == "head"
                    else "a list of parts, as it reads one stream."
                )
            )
        if node.kind == "input" and part.inputs:
            raise ValueError("the input needs no other parts; give it a feature.")
        for which, children in part.needs():
            if by_input and which not in ("q", "k", "v"):
                raise ValueError(f"the inputs of a head are 'q', 'k' and 'v', not {which!r}.")
            names = [child.name for child in children]
            if len(set(names)) < len(names):
                raise ValueError(f"{part.name} needs the same part twice: {names}.")
            for child in children:
                below = parse_node(model, child.name)
                if not below.writes_before(node, cfg.parallel_attn_mlp):
                    raise ValueError(
                        f"{part.name} cannot need {child.name}, because it reads before {child.name} writes."
                    )
                check(child, below)

    check(root, parse_node(model, root.name))
