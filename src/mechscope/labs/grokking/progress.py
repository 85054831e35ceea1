"""Progress measures: what changes while the training loss is flat, measured at every checkpoint."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechscope.labs.grokking.anatomy import anatomy_of_weights
from mechscope.labs.grokking.fourier_ablation import excluded_loss, restricted_loss
from mechscope.labs.grokking.full_batch import plain_loss, run_pairs
from mechscope.labs.grokking.pairs import Pairs
from mechscope.labs.grokking.spectra import embedding_gini, neuron_to_logit_gini
from mechscope.labs.grokking.training import Trained


@dataclass(frozen=True)
class Progress:
    """Progress measures at every checkpoint, for the key frequencies of the final model. Losses are in nats."""

    epoch: Int[Tensor, " checkpoint"]
    """Epochs trained."""
    train_loss: Float[Tensor, " checkpoint"]
    """Loss on the training pairs."""
    test_loss: Float[Tensor, " checkpoint"]
    """Loss on all other pairs."""
    restricted: Float[Tensor, " checkpoint"]
    """Restricted loss on the test pairs."""
    excluded: Float[Tensor, " checkpoint"]
    """Excluded loss on the training pairs."""
    gini_embedding: Float[Tensor, " checkpoint"]
    """Gini coefficient of the embedding's frequencies: near 1 if it uses few."""
    gini_to_logits: Float[Tensor, " checkpoint"]
    """The same for W_L."""
    squared_weights: Float[Tensor, " checkpoint"]
    """Sum of all squared weights."""


def follow_progress(trained: Trained, keys: list[int]) -> Progress:
    """All progress measures at every checkpoint."""
    rows: list[list[float]] = []
    p = trained.config.p
    for row in range(len(trained.kept_epochs)):
        weights = trained.checkpoint(row)
        logits = anatomy_of_weights(weights, p).logits
        rows.append(
            [
                float(plain_loss(logits[trained.train.a, trained.train.b], trained.train.answer)),
                float(plain_loss(logits[trained.test.a, trained.test.b], trained.test.answer)),
                restricted_loss(logits, keys, trained.test),
                excluded_loss(logits, keys, trained.train),
                embedding_gini(weights),
                neuron_to_logit_gini(weights),
                sum(float(tensor.double().square().sum()) for tensor in weights.values()),
            ]
        )
    return Progress(trained.kept_epochs, *torch.tensor(rows, dtype=torch.float64).T.contiguous())


def first_epoch(epoch: Int[Tensor, " step"], reached: Bool[Tensor, " step"]) -> float:
    """The first epoch from which something is reached and stays so until the end; infinite if there is none."""
    kept = reached.flip(0).cumprod(0).flip(0).bool()
    return float(epoch[kept][0]) if bool(kept.any()) else math.inf


def half_guessing_epoch(epoch: Int[Tensor, " step"], loss: Float[Tensor, " step"], p: int) -> float:
    """The epoch at which a loss falls below half the loss of guessing for good, interpolated linearly."""
    level = math.log(p) / 2
    after = first_epoch(epoch, loss < level)
    if not math.isfinite(after) or after == float(epoch[0]):
        return after
    row = int((epoch == int(after)).nonzero()[0])
    high, low = float(loss[row - 1]), float(loss[row])
    before = float(epoch[row - 1])
    return before + (after - before) * (high - level) / (high - low)


def unmirrored_accuracy(trained: Trained, row: int) -> float:
    """Accuracy of a checkpoint on test pairs (a, b) for which (b, a) was not trained on either.

    A model that has only learned that the order does not matter gets all other test pairs right.
    """
    p, test = trained.config.p, trained.test
    seen = torch.zeros(p, p, dtype=torch.bool)
    seen[trained.train.a, trained.train.b] = True
    alone = ~seen[test.b, test.a]
    chosen = Pairs(test.a[alone], test.b[alone], test.answer[alone], p)
    guesses = run_pairs(trained.checkpoint(row), chosen).logits.argmax(-1)
    return float((guesses == chosen.answer).double().mean())
