"""The OV and QK circuits of a head over the vocabulary, from the weights alone.

OV, W_E W_V W_O W_U: if a head attends to this token, which tokens' logits does it raise?
QK, W_E W_Q W_Kᵀ W_Eᵀ: seen from this token, which tokens does the head attend to?

Each is a vocabulary by vocabulary matrix of rank d_head, kept as two thin factors (`FactoredMatrix`) and never
multiplied out. Source: Elhage et al. 2021, "Splitting attention-head terms into circuits".

How it misleads. These are direct paths only: a head reads the embedding and everything that earlier heads and MLPs
added to it. The learned scales of norms are included, but their divisors are not, so entries can be compared within a
circuit but not between layers. Biases are omitted. With rotary embeddings the QK circuit is that of a token attending
to its own position.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float, Int

from mechscope.arguments import checked_arguments, visible_token
from mechscope.model.factored_matrix import FactoredMatrix
from mechscope.model.layer_checks import check_has_layers, check_head
from mechscope.model.model_name import model_name
from mechscope.model.token_texts import token_texts
from mechscope.results import Provenance, Result, make_result
from mechscope.techniques._folded_weights import Embedding, embedding, read_weight, unembedding, write_weight

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

__all__ = [
    "TokenPairs",
    "copying_scores",
    "eigenvalue_score",
    "embedding",
    "full_circuit",
    "read_weight",
    "top_entries",
    "top_token_pairs",
    "unembedding",
    "write_weight",
]

Circuit = Literal["OV", "QK"]


@checked_arguments
def full_circuit(
    model: HookedTransformer,
    layer: int,
    head: int | None = None,
    circuit: Circuit = "OV",
    *,
    through: Embedding = "embed",
) -> FactoredMatrix:
    """A head's circuit over the vocabulary as two thin factors [d_vocab d_vocab] (for all heads: [head …]).

    Rows of OV are the token attended to, and columns the token whose logit changes. Rows of QK are the token that
    attends, and columns the token attended to; its unit is attention scores (divided by the head's scale).

    Args:
        layer: the layer.
        head: the head; None for all heads of the layer.
        circuit: "OV" or "QK".
        through: "embed" reads the embedding, "mlp0" the embedding after the first MLP.

    Raises:
        ValueError: for a layer, head or circuit that does not exist, or a QK circuit that is not linear because
            queries and keys are normalised.
    """
    check_head(model, layer, head)
    if circuit not in ("OV", "QK"):
        raise ValueError(f"circuit must be 'OV' or 'QK', not {circuit!r}.")
    if circuit == "QK" and model.cfg.qk_norm != "none":
        raise ValueError(
            "this model normalises queries and keys, so its attention scores are not linear in the tokens and there is "
            "no QK circuit; measure attention on prompts instead."
        )
    tokens = embedding(model, through=through)
    chosen = slice(None) if head is None else head
    if circuit == "OV":
        return FactoredMatrix(
            tokens @ read_weight(model, layer, "W_V")[chosen],
            write_weight(model, layer)[chosen] @ unembedding(model),
        )
    queries = tokens @ read_weight(model, layer, "W_Q")[chosen] / model.blocks[layer].attn.scale
    return FactoredMatrix(queries, (tokens @ read_weight(model, layer, "W_K")[chosen]).mT)


@checked_arguments
def copying_scores(model: HookedTransformer, *, through: Embedding = "embed") -> Result:
    """How much each head copies: Σ Re λ / Σ |λ| of its OV circuit's eigenvalues (layer, head), -1 to 1.

    1 means that attending to a token only raises the logits of that token and similar ones; -1 that it lowers them.
    The nonzero eigenvalues of the d_vocab² circuit are those of a d_head × d_head matrix, which is all that is
    computed. Source: Elhage et al. 2021, "Detecting copying behavior".

    Raises:
        ValueError: if input and output vocabularies differ.
    """
    check_has_layers(model, "copying")
    if model.cfg.d_vocab != model.cfg.d_vocab_out:
        raise ValueError(
            f"copying needs one vocabulary, but this model reads {model.cfg.d_vocab} tokens and predicts "
            f"{model.cfg.d_vocab_out}."
        )
    # W_U W_E is the same for all heads, so the sum over the vocabulary is computed once.
    around = (unembedding(model) @ embedding(model, through=through)).cpu().double()
    scores: list[torch.Tensor] = []
    for layer in range(model.cfg.n_layers):
        writes, reads = (
            write_weight(model, layer).cpu().double(),
            read_weight(model, layer, "W_V").cpu().double(),
        )
        scores.append(eigenvalue_score(FactoredMatrix(writes @ around, reads)))
    return make_result(
        torch.stack(scores),
        ("layer", "head"),
        "Copying: Σλ / Σ|λ| of each head's OV circuit",
        "score",
        Provenance(model_name(model), "weights"),
    )


def eigenvalue_score(matrix: FactoredMatrix) -> Float[torch.Tensor, "*leading"]:
    """Σ Re λ / Σ |λ| of square matrices, 0 if all eigenvalues are 0; from the small factors, in float64."""
    values = FactoredMatrix(matrix.A.cpu().double(), matrix.B.cpu().double()).eigenvalues
    total = values.abs().sum(-1)
    return torch.where(total > 0, values.real.sum(-1) / total.clamp(min=1e-300), torch.zeros_like(total))


_LINES = 20
"""How many pairs are listed when they are printed."""


@dataclass(frozen=True)
class TokenPairs:
    """The largest (or smallest) entries of a head's circuit, in order."""

    values: Result
    """Logits (OV) or attention scores (QK), (pair); labels give the tokens as text and their ids."""
    rows: Int[torch.Tensor, " pair"]
    """OV: the token attended to. QK: the token that attends."""
    columns: Int[torch.Tensor, " pair"]
    """OV: the token whose logit changes. QK: the token attended to."""

    def figure(self) -> Any:
        """The pairs as horizontal bars."""
        from mechscope.viz.ranked_bars import ranked_bars

        return ranked_bars(
            [str(pair) for pair in self.values.values.coords["pair"].values],
            self.values.values.values,
            title=self.values.title,
            x_title=self.values.unit,
            y_title="attended to → written" if "OV" in self.values.title else "from → attended to",
        )

    def __repr__(self) -> str:
        values = self.values.values
        lines = [repr(self.values)]
        for pair, value in zip(values.coords["pair"].values[:_LINES], values.values[:_LINES], strict=True):
            lines.append(f"  {float(value):8.4g}  {pair}")
        more = len(values) - _LINES
        return "\n".join([*lines, f"  and {more} more"] if more > 0 else lines)

    def show(self) -> Any:
        """Display the figure and return it."""
        figure = self.figure()
        figure.show()
        return figure


@checked_arguments
def top_token_pairs(
    model: HookedTransformer,
    layer: int,
    head: int,
    circuit: Circuit = "OV",
    k: int = 20,
    *,
    largest: bool = True,
    through: Embedding = "embed",
    block: int = 1024,
) -> TokenPairs:
    """The k largest (or smallest) entries of a head's d_vocab² circuit, exactly (pair).

    Args:
        block: how many rows of the circuit are in memory at a time.

    Units: logits for OV, attention scores for QK (both without the divisors of norms).

    Raises:
        ValueError: for a layer, head or circuit that does not exist, or a k that is not positive.
    """
    matrix = full_circuit(model, layer, head, circuit, through=through)
    values, rows, columns = top_entries(matrix, k, largest=largest, block=block)
    sources, targets = (list(map(visible_token, token_texts(model, part))) for part in (rows, columns))
    what = "OV" if circuit == "OV" else "QK"
    result = make_result(
        values,
        ("pair",),
        f"{'Strongest' if largest else 'Most negative'} token pairs of a{layer}.h{head}'s {what} circuit",
        "logits" if circuit == "OV" else "attention score",
        Provenance(model_name(model), "weights"),
        {"pair": [f"{source} → {target}" for source, target in zip(sources, targets, strict=True)]},
        labels={
            "row_token": (("pair",), sources),
            "row_id": (("pair",), rows),
            "column_token": (("pair",), targets),
            "column_id": (("pair",), columns),
        },
    )
    return TokenPairs(result, rows, columns)


def top_entries(
    matrix: FactoredMatrix, k: int, *, largest: bool = True, block: int = 1024
) -> tuple[Float[torch.Tensor, " k"], Int[torch.Tensor, " k"], Int[torch.Tensor, " k"]]:
    """The k largest or smallest entries of A B with their rows and columns, a block of rows at a time.

    Raises:
        ValueError: for a batch of matrices, or k or block below 1.
    """
    if matrix.has_leading_dims:
        raise ValueError(f"top entries need one matrix, not {tuple(matrix.shape)}; choose a head.")
    if k < 1 or block < 1:
        raise ValueError(f"k and block must be at least 1, not {k} and {block}.")
    sign = 1 if largest else -1
    best = matrix.A.new_empty(0)
    places = torch.empty(0, dtype=torch.long, device=best.device)
    for start in range(0, matrix.ldim, block):
        entries = matrix.A[start : start + block] @ matrix.B * sign
        # The k largest entries are in the k rows with the largest maxima, so most rows need no sorting.
        rows = entries.max(-1).values.topk(min(k, len(entries))).indices
        found = entries[rows].flatten().topk(min(k, len(rows) * matrix.rdim))
        best = torch.cat([best, found.values])
        row, column = rows[found.indices // matrix.rdim], found.indices % matrix.rdim
        places = torch.cat([places, (row + start) * matrix.rdim + column])
        kept = best.topk(min(k, len(best))).indices
        best, places = best[kept], places[kept]
    return best * sign, places // matrix.rdim, places % matrix.rdim
