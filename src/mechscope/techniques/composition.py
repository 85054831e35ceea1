"""Composition scores: how much of what one head writes lies in the subspace that a later head reads.

The score of a pair is ‖W_OV W_read‖ / (‖W_OV‖ ‖W_read‖) in Frobenius norms, where W_read is the later head's QK
(Q-composition), its transpose (K) or its OV (V). Source: Elhage et al. 2021, "Three kinds of composition".

Chance. If the later head read along random directions, the squared score would be 1/d_model on average, whatever the
singular values of the two matrices. Its variance depends on the singular values, so the baseline keeps those of every
head and draws the directions at random.

How it misleads. Weights say what could be read, not what is present in the stream or what is attended to. A large
score may come from a direction that all heads share, which the baseline does not contain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Float
from tqdm.auto import tqdm

from mechscope.arguments import checked_arguments
from mechscope.model.composition import composition_scores as pair_scores
from mechscope.model.factored_matrix import FactoredMatrix
from mechscope.model.model_name import model_name
from mechscope.results import Provenance, Result, make_result
from mechscope.techniques._folded_weights import centred, read_weight, write_weight

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Kind = Literal["Q", "K", "V"]


@dataclass(frozen=True)
class Composition:
    """Scores of every pair of an earlier and a later head, and the scores expected by chance.

    All results are (head_out, head_in) with names such as "a0.h1"; NaN unless head_out is in an earlier layer.
    """

    scores: Result
    """The scores, 0 to 1."""
    baseline: Result
    """The mean score with the same singular values and random directions."""
    baseline_sd: Result
    """Its standard deviation over the draws."""

    @property
    def excess(self) -> Result:
        """Scores in standard deviations above the mean of the baseline."""
        difference, spread = self.scores.values - self.baseline.values, self.baseline_sd.values
        # A head with zero weights has score, mean and spread 0, so its excess is 0.
        values = difference / spread.where((spread != 0) | (difference != 0), 1.0)
        return self.scores.replace(
            values=values, title=f"{self.scores.title}, above chance", unit="standard deviations"
        )

    def top(self, k: int = 10) -> list[tuple[str, str, float]]:
        """The k pairs (writer, reader, score) with the highest scores."""
        pairs = self.scores.values.stack(both=("head_out", "head_in")).dropna("both")
        order = pairs.values.argsort()[::-1][:k]
        names: list[tuple[str, str]] = [(str(out), str(into)) for out, into in pairs.coords["both"].values]
        return [(*names[place], float(pairs.values[place])) for place in order]

    def figure(self) -> Any:
        """Two maps: the scores, and their excess over chance."""
        from mechscope.viz.panels import heatmap_panels

        values = self.scores.values
        return heatmap_panels(
            {"score": values.values, "standard deviations above chance": self.excess.values.values},
            title=self.scores.title,
            x_title="later head (reads)",
            y_title="earlier head (writes)",
            unit={"score": "score", "standard deviations above chance": "sd"},
            x=list(values.coords["head_in"].values),
            y=list(values.coords["head_out"].values),
            top_row_first=False,
        )

    def show(self) -> Any:
        """Draw and display the scores; returns the figure."""
        figure = self.figure()
        figure.show()
        return figure


@checked_arguments
def composition_scores(
    model: HookedTransformer, kind: Kind = "K", *, draws: int = 32, seed: int = 0, progress: bool = True
) -> Composition:
    """Score every pair of heads in different layers, with a random-matrix baseline.

    Args:
        kind: "Q", "K" or "V": the input through which the later head reads.
        draws: draws of the baseline for every pair; 32 give its standard deviation to about an eighth.
        seed: seed of the draws.

    Under grouped-query attention readers are query heads, and those of one group share W_K and W_V.

    Scores have no unit; chance is about 1/√d_model. Source: Elhage et al. 2021, "Three kinds of composition".

    Raises:
        ValueError: for another kind, a model of one layer, or fewer than two draws.
    """
    if kind not in ("Q", "K", "V"):
        raise ValueError(f"kind must be 'Q', 'K' or 'V', not {kind!r}.")
    layers, heads = model.cfg.n_layers, model.cfg.n_heads
    if layers < 2:
        found = "one layer" if layers else "no layers"
        raise ValueError(f"composition needs heads in different layers, but this model has {found}.")
    if draws < 2:
        raise ValueError(f"draws must be at least 2 to give a standard deviation, not {draws}.")
    writes = [_writes(model, layer) for layer in range(layers)]
    reads = [_reads(model, layer, kind) for layer in range(layers)]
    # A norm that centres removes one dimension, for writers and readers alike.
    width = model.cfg.d_model - int(centred(model.blocks[1].ln1))
    shape = (layers, heads, layers, heads)
    scores, mean, spread = (torch.full(shape, torch.nan, dtype=torch.float64) for _ in range(3))
    generator = torch.Generator().manual_seed(seed)
    pairs = [(early, late) for late in range(layers) for early in range(late)]
    for early, late in tqdm(pairs, desc=f"{kind}-composition", disable=not progress):
        scores[early, :, late] = pair_scores(writes[early], reads[late]).double()
        drawn = random_composition(writes[early].S, reads[late].S, width, draws, generator)
        mean[early, :, late], spread[early, :, late] = drawn.mean(0), drawn.std(0)
    names = np.array([f"a{layer}.h{head}" for layer in range(layers) for head in range(heads)])
    writers, readers = slice(0, -heads), slice(heads, None)

    def result(values: torch.Tensor, what: str, drawn: int | None) -> Result:
        return make_result(
            values.reshape(layers * heads, layers * heads)[writers, readers],
            ("head_out", "head_in"),
            f"{kind}-composition{what}",
            "score",
            Provenance(model_name(model), "weights", drawn),
            {"head_out": names[writers], "head_in": names[readers]},
        )

    return Composition(
        result(scores, "", None),
        result(mean, ": mean of random directions", seed),
        result(spread, ": standard deviation of random directions", seed),
    )


def random_composition(
    writes: Float[torch.Tensor, "head_out rank"],
    reads: Float[torch.Tensor, "head_in rank"],
    width: int,
    draws: int,
    generator: torch.Generator,
) -> Float[torch.Tensor, "draw head_out head_in"]:
    """Composition scores of matrices with these singular values and random directions.

    A score depends only on the angles between written and read directions, so it is enough to draw orthonormal frames
    [width rank], one per head, and weight their inner products by the singular values.
    """
    writes, reads = (part.detach().cpu().float()[:, :width] for part in (writes, reads))
    norms = writes.norm(dim=-1)[:, None] * reads.norm(dim=-1)
    norms = norms.masked_fill(norms == 0, 1.0)  # a head with zero weights scores 0
    scores: list[torch.Tensor] = []
    for _ in range(draws):
        left, right = (_frames(len(part), width, part.shape[1], generator) for part in (writes, reads))
        inner = torch.einsum("odi,rdj->orij", left, right)
        squared = torch.einsum("oi,orij,rj->or", writes**2, inner**2, reads**2)
        scores.append(squared.sqrt() / norms)
    return torch.stack(scores)


def _frames(
    count: int, width: int, rank: int, generator: torch.Generator
) -> Float[torch.Tensor, "count width rank"]:
    """Uniformly distributed random orthonormal columns."""
    normal = torch.randn(count, width, rank, generator=generator)
    # QR chooses signs, but the span is uniform, and only squares are used here.
    return torch.linalg.qr(normal).Q


def _writes(model: HookedTransformer, layer: int) -> FactoredMatrix:
    weight = write_weight(model, layer)
    if centred(model.blocks[layer].ln1):
        # The reader's norm subtracts the mean.
        weight = weight - weight.mean(-1, keepdim=True)
    return FactoredMatrix(read_weight(model, layer, "W_V"), weight)


def _reads(model: HookedTransformer, layer: int, kind: Kind) -> FactoredMatrix:
    if kind == "V":
        return FactoredMatrix(read_weight(model, layer, "W_V"), write_weight(model, layer))
    queries, keys = read_weight(model, layer, "W_Q"), read_weight(model, layer, "W_K")
    return FactoredMatrix(queries, keys.mT) if kind == "Q" else FactoredMatrix(keys, queries.mT)
