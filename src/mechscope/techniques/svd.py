"""Singular directions of weights, read in the vocabulary: the main things that a head or an MLP reads and writes.

Source: Millidge and Black 2022, "The Singular Value Decompositions of Transformer Weight Matrices are Highly
Interpretable".

How it misleads. The sign of a direction is arbitrary, so both of its ends are shown. If two singular values are close,
any rotation within their plane would do as well, and the single directions mean little. In middle layers, output is
often read by later layers and not by the unembedding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float, Int

from mechscope.arguments import checked_arguments, visible_token
from mechscope.model.factored_matrix import FactoredMatrix
from mechscope.model.layer_checks import check_head
from mechscope.model.model_name import model_name
from mechscope.model.precision import at_least_float32
from mechscope.model.token_texts import token_texts
from mechscope.results import Provenance, Result, make_result
from mechscope.techniques._folded_weights import (
    embedding,
    read_mlp_weight,
    read_weight,
    unembedding,
    write_weight,
    written,
)
from mechscope.viz.token_grid import token_grid

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Part = Literal["OV", "OV input", "w_in", "w_out"]
PARTS: tuple[Part, ...] = ("OV", "OV input", "w_in", "w_out")
WORDS = {
    "OV": "what head {name} writes",
    "OV input": "what head {name} reads",
    "w_in": "what {name}'s neurons read",
    "w_out": "what {name}'s neurons write",
}

_LINES = 10
"""How many directions a reading lists when it is printed."""


@dataclass(frozen=True)
class VocabularyReading:
    """Directions of the residual stream, and the tokens at both ends of each."""

    strength: Result
    """Singular values, or the directions' norms (rank)."""
    logits: Result
    """Scores of the listed tokens, the highest first, then the lowest (rank, component); the labels "token" and
    "token_id" say which."""
    top_tokens: Int[torch.Tensor, "rank token"]
    """The tokens with the highest scores along each direction."""
    bottom_tokens: Int[torch.Tensor, "rank token"]
    """The tokens with the lowest scores, the lowest first."""
    top_texts: tuple[tuple[str, ...], ...]
    """The top tokens as text, with ␣ for spaces (see `visible_token`)."""
    bottom_texts: tuple[tuple[str, ...], ...]
    """The bottom tokens as text."""
    directions: Float[torch.Tensor, "rank d_model"]
    """The directions themselves, of norm 1."""

    def figure(self) -> Any:
        """One row of tokens per direction, from its top end on the left to its bottom end on the right."""
        values = self.logits.values.values
        return token_grid(
            values,
            [
                [*top, *reversed(bottom)]
                for top, bottom in zip(self.top_texts, self.bottom_texts, strict=True)
            ],
            title=self.logits.title,
            x_title="tokens, from one end of the direction to the other",
            y_title="direction and its strength",
            unit=self.logits.unit,
            x=[str(label) for label in self.logits.values.coords["component"].values],
            y=[f"{rank}: {float(value):.3g}" for rank, value in enumerate(self.strength.values.values)],
            top_row_first=True,
        )

    def __repr__(self) -> str:
        lines = [repr(self.logits)]
        for rank, strength in enumerate(self.strength.values.values[:_LINES]):
            top, bottom = "  ".join(self.top_texts[rank]), "  ".join(self.bottom_texts[rank])
            lines.append(f"  {rank}: {float(strength):.3g}  top: {top}  |  bottom: {bottom}")
        more = len(self.top_texts) - _LINES
        return "\n".join([*lines, f"  and {more} more"] if more > 0 else lines)

    def show(self) -> Any:
        """Display the figure and return it."""
        figure = self.figure()
        figure.show()
        return figure


@checked_arguments
def singular_directions(
    model: HookedTransformer,
    layer: int,
    head: int | None = None,
    part: Part = "OV",
    *,
    n: int = 10,
    top: int = 6,
) -> VocabularyReading:
    """The largest singular directions of a head's OV or of an MLP's weights, with the tokens at their ends.

    Args:
        model: the model.
        layer: the layer.
        head: the head, for "OV" and "OV input".
        part: "OV" (what a head writes, through W_U), "OV input" (what it reads, through W_E), "w_in" (what neurons
            read, through W_E) or "w_out" (what they write, through W_U). The learned scales of norms are included.
        n: how many directions.
        top: how many tokens at each end.

    Raises:
        ValueError: for a part, layer or head that does not exist, or more directions than the matrix has.
    """
    if part not in PARTS:
        raise ValueError(f"part must be one of {', '.join(PARTS)}, not {part!r}.")
    check_head(model, layer)
    if part.startswith("OV"):
        if head is None:
            raise ValueError(f"{part!r} needs a head: give head, from 0 to {model.cfg.n_heads - 1}.")
        check_head(model, layer, head)
    elif head is not None:
        raise ValueError(f"{part!r} covers all neurons of a layer; leave head out.")
    strength, directions = _decompose(model, layer, head, part)
    if not 0 < n <= len(strength):
        raise ValueError(f"n must be between 1 and {len(strength)}, the rank of this matrix, not {n}.")
    name = f"m{layer}" if head is None else f"a{layer}.h{head}"
    return read_in_vocabulary(
        model,
        directions[:n],
        strength[:n],
        top=top,
        side="read" if part in ("OV input", "w_in") else "write",
        title=f"Singular directions of {WORDS[part].format(name=name)}",
    )


@checked_arguments
def neuron_tokens(
    model: HookedTransformer, layer: int, neurons: int | Sequence[int], *, top: int = 6
) -> VocabularyReading:
    """Read the output of one or more neurons in the vocabulary: rows of W_out through W_U.

    Args:
        model: the model.
        layer: the layer.
        neurons: the number of a neuron, or several numbers.
        top: how many tokens at each end.

    Returns:
        a reading with one direction per neuron; printed, it lists the tokens that each promotes and suppresses most.

    Raises:
        ValueError: for an attention-only model, or a layer or neuron that does not exist.

    >>> import mechscope as ms
    >>> neuron_tokens(ms.load_model("mini-gelu-1l"), 0, 5, top=3).logits.title
    'What neuron 5 of m0 writes'
    """
    check_head(model, layer)
    if model.cfg.attn_only:
        raise ValueError("this model is attention-only: it has no neurons.")
    several = list(neurons) if isinstance(neurons, Sequence) else [int(neurons)]
    weights = written(model, layer, "mlp", model.blocks[layer].mlp.W_out)
    bad = [neuron for neuron in several if not 0 <= neuron < len(weights)]
    if bad or not several:
        raise ValueError(
            f"neurons must be one or more numbers from 0 to {len(weights) - 1}, not {bad or several}."
        )
    rows = weights[several]
    one = len(several) == 1
    return read_in_vocabulary(
        model,
        rows,
        rows.norm(dim=-1),
        top=top,
        title=f"What neuron{'' if one else 's'} {', '.join(map(str, several))} of m{layer} write{'s' if one else ''}",
        strength_unit="norm",
    )


def read_in_vocabulary(
    model: HookedTransformer,
    directions: Float[torch.Tensor, "rank d_model"],
    strength: Float[torch.Tensor, " rank"] | None = None,
    *,
    top: int = 6,
    side: Literal["write", "read"] = "write",
    title: str = "Directions read in the vocabulary",
    strength_unit: str = "singular value",
) -> VocabularyReading:
    """The tokens at both ends of directions of the residual stream.

    Args:
        model: the model.
        directions: [rank d_model], each with a norm above 0.
        strength: the strength of each; None uses its norm.
        top: how many tokens at each end.
        side: "write" scores tokens by W_U (their logits), "read" by W_E (the projection of a token's embedding).
        title: title of the result.
        strength_unit: unit of `strength`.

    Raises:
        ValueError: for another shape, a direction that is 0 or not finite, or more tokens than the vocabulary has.
    """
    d_model = model.cfg.d_model
    if directions.ndim != 2 or directions.shape[1] != d_model:
        raise ValueError(f"directions must be [rank {d_model}], not {tuple(directions.shape)}.")
    directions = at_least_float32(directions.detach())
    norms = directions.norm(dim=-1, keepdim=True)
    if not bool(((norms > 0) & torch.isfinite(norms)).all()):
        raise ValueError("a direction is 0 or not finite, so it cannot be read.")
    if side not in ("write", "read"):
        raise ValueError(f"side must be 'write' or 'read', not {side!r}.")
    unit = directions / norms
    dictionary = unembedding(model) if side == "write" else embedding(model).mT
    if not 1 <= top <= dictionary.shape[1] // 2:
        raise ValueError(f"top must be between 1 and {dictionary.shape[1] // 2}, not {top}.")
    scores = unit @ dictionary
    high, low = scores.topk(top, dim=-1), scores.topk(top, dim=-1, largest=False)
    provenance = Provenance(model_name(model), "weights")
    ends = [
        *(f"top {place + 1}" for place in range(top)),
        *(f"bottom {place}" for place in range(top, 0, -1)),
    ]

    def texts(tokens: torch.Tensor) -> tuple[tuple[str, ...], ...]:
        return tuple(tuple(map(visible_token, token_texts(model, row))) for row in tokens)

    listed = torch.cat([high.indices, low.indices.flip(-1)], -1)
    top_texts, bottom_texts = texts(high.indices), texts(low.indices)
    return VocabularyReading(
        strength=make_result(
            norms[:, 0] if strength is None else strength,
            ("rank",),
            f"{title}: strength",
            "norm" if strength is None else strength_unit,
            provenance,
            kind="curves",
        ),
        logits=make_result(
            torch.cat([high.values, low.values.flip(-1)], -1),
            ("rank", "component"),
            title,
            "logits" if side == "write" else "projection",
            provenance,
            {"component": np.array(ends)},
            kind="heatmap",
            labels={
                "token": (
                    ("rank", "component"),
                    [[*top, *reversed(bottom)] for top, bottom in zip(top_texts, bottom_texts, strict=True)],
                ),
                "token_id": (("rank", "component"), listed),
            },
        ),
        top_tokens=high.indices,
        bottom_tokens=low.indices,
        top_texts=top_texts,
        bottom_texts=bottom_texts,
        directions=unit,
    )


def _decompose(
    model: HookedTransformer, layer: int, head: int | None, part: Part
) -> tuple[Float[torch.Tensor, " rank"], Float[torch.Tensor, "rank d_model"]]:
    if head is not None:
        decomposed = FactoredMatrix(
            read_weight(model, layer, "W_V")[head], write_weight(model, layer)[head]
        ).svd()
        return decomposed.S, (decomposed.V if part == "OV" else decomposed.U).mT
    if part == "w_in":
        left, strength, _ = torch.linalg.svd(read_mlp_weight(model, layer), full_matrices=False)
        return strength, left.mT
    if model.cfg.attn_only:
        raise ValueError("this model is attention-only: it has no w_out; use 'OV'.")
    weights = written(model, layer, "mlp", model.blocks[layer].mlp.W_out)
    _, strength, right = torch.linalg.svd(weights, full_matrices=False)
    return strength, right
