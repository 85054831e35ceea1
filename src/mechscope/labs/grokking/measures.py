"""The measures that the claims are checked on."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from mechscope.labs.grokking.anatomy import anatomy_of_weights
from mechscope.labs.grokking.config import ModelConfig
from mechscope.labs.grokking.full_batch import run_pairs
from mechscope.labs.grokking.hand_wired import hand_wired_addition
from mechscope.labs.grokking.pairs import all_pairs
from mechscope.labs.grokking.progress import (
    Progress,
    first_epoch,
    follow_progress,
    half_guessing_epoch,
    unmirrored_accuracy,
)
from mechscope.labs.grokking.structure import Structure, analyse_structure
from mechscope.labs.grokking.sweep import LONGEST, SCARCE, SweepRun
from mechscope.labs.grokking.training import GROKKED, LEARNED, Trained
from mechscope.runs.workspace import Workspace


@dataclass(frozen=True)
class Analysis:
    """A trained model and its analysis."""

    trained: Trained
    """The model."""
    structure: Structure
    """What it computes with at the end of the training."""
    progress: Progress
    """Progress measures at every checkpoint."""


def analyse(workspace: Workspace, trained: Trained, name: str) -> Analysis:
    """Analyse structure and progress. The progress takes longest, so it is stored as a part of the run."""
    structure = analyse_structure(anatomy_of_weights(trained.weights, trained.config.p))
    part = workspace.load_or_compute(
        f"{name}-progress", lambda: vars(follow_progress(trained, structure.keys))
    )
    return Analysis(trained, structure, Progress(**{key: tensor.cpu() for key, tensor in part.items()}))


def measure(analysis: Analysis, size: str) -> dict[str, float]:
    """All measures of one model; their names begin with `size`."""
    trained, structure = analysis.trained, analysis.structure
    history, p = trained.history, trained.config.p
    memorised = first_epoch(history.epoch, history.train_accuracy >= LEARNED)
    grokked = first_epoch(history.epoch, history.test_accuracy >= GROKKED)
    found = {
        "guessing": math.log(p),
        "memorised_epoch": memorised,
        "grokked_epoch": grokked,
        "test_accuracy": 100 * float(history.test_accuracy[-1]),
        "test_loss": float(history.test_loss[-1]),
        "epochs": float(history.epoch[-1]),
        "keys": len(structure.keys),
        "explained": 100 * structure.explained,
        "outside": 100 * structure.outside,
        "single_neurons": 100 * structure.single_neurons,
        "mixed_firing": 100 * structure.mixed_firing,
        "mixed_influence": 100 * structure.mixed_influence,
        "single_heads": 100 * structure.single_heads,
        "worst_head": 100 * structure.worst_head,
        "separation": structure.separation,
        **_after_memorising(trained, memorised),
        **measure_story(analysis.progress, memorised, grokked, p),
    }
    return {f"{size}_{name}": float(value) for name, value in found.items()}


def _after_memorising(trained: Trained, memorised: float) -> dict[str, float]:
    later = (trained.kept_epochs >= memorised).nonzero()
    if not len(later):
        return {"test_loss_memorised": math.nan, "unmirrored_accuracy": math.nan}
    row = int(later[0])
    evaluation = int((trained.history.epoch == trained.kept_epochs[row]).nonzero()[0])
    return {
        "test_loss_memorised": float(trained.history.test_loss[evaluation]),
        "unmirrored_accuracy": 100 * unmirrored_accuracy(trained, row),
    }


def measure_story(progress: Progress, memorised: float, grokked: float, p: int) -> dict[str, float]:
    """The order of events, from the checkpoints; NaN for a model that never memorised or never grokked."""
    between = (progress.epoch >= memorised) & (progress.epoch <= grokked)
    found = {
        "restricted_epoch": half_guessing_epoch(progress.epoch, progress.restricted, p),
        "test_epoch": half_guessing_epoch(progress.epoch, progress.test_loss, p),
    }
    if not math.isfinite(grokked) or int(between.sum()) < 2:
        names = ("excluded_rise", "train_loss_change", "gini_embedding_change")
        return found | dict.fromkeys((*names, "gini_to_logits_change", "squares_change"), math.nan)
    excluded, train = progress.excluded[between], progress.train_loss[between]
    peak = int(progress.test_loss.argmax())

    def gained(curve: Tensor) -> float:
        return float(curve[-1] - curve[peak])

    return found | {
        "excluded_rise": float(excluded[-1] / excluded.min()),
        "train_loss_change": float(train[-1] / train[0]),
        "gini_embedding_change": gained(progress.gini_embedding),
        "gini_to_logits_change": gained(progress.gini_to_logits),
        "squares_change": float(progress.squared_weights[-1] / progress.squared_weights[peak]),
    }


def measure_hand_wired(seed: int, config: ModelConfig) -> dict[str, float]:
    """Accuracy in percent of weights written by hand, with and without their doubling of angles."""
    generator = torch.Generator().manual_seed(seed)
    frequencies = (torch.randperm(config.p // 2, generator=generator)[:5] + 1).tolist()
    return {
        "hand_wired_accuracy": 100 * _accuracy(config, frequencies, spoil=False),
        "hand_wired_spoilt": 100 * _accuracy(config, frequencies, spoil=True),
    }


def _accuracy(config: ModelConfig, frequencies: Sequence[int], *, spoil: bool) -> float:
    weights = hand_wired_addition(config, frequencies)
    if spoil:
        # Each neuron writes in the direction that it reads, so the angle is not doubled.
        width = 2 * len(frequencies)
        read = weights["blocks.0.mlp.W_in"][:width].T
        weights["blocks.0.mlp.W_out"][:, width : 2 * width] = read
    pairs = all_pairs(config.p)
    right = run_pairs(weights, pairs).logits.argmax(-1) == pairs.answer
    return float(right.double().mean())


def measure_sweep(runs: Mapping[str, SweepRun]) -> dict[str, float]:
    """The measures of claims 2.10 and 2.14, and the other final accuracies."""
    delays = {f"sweep_{name}_delay".replace("-", "_"): run.delay for name, run in runs.items()}
    ends = {f"sweep_{name}_accuracy".replace("-", "_"): run.accuracy for name, run in runs.items()}
    epochs = [runs[name].solved for name in SCARCE]
    usual = runs["much"].solved
    strong = runs["strong-decay"].solved
    return (
        delays
        | ends
        | {
            # A model that never got there is later than one that did; two such models have no order.
            "sweep_least_later": min(
                later / earlier if math.isfinite(earlier) else math.nan
                for earlier, later in itertools.pairwise(epochs)
            ),
            "sweep_latest_over_earliest": epochs[-1] / epochs[0] if math.isfinite(epochs[-1]) else math.nan,
            "sweep_weak_decay_later": min(runs["weak-decay"].solved, LONGEST) / usual,
            # If the decay is too strong, the loss may never get low. The claim allows this too.
            "sweep_strong_decay": strong / usual if math.isfinite(strong) else 0.0,
        }
        | {f"sweep_{name}_solved".replace("-", "_"): min(run.solved, LONGEST) for name, run in runs.items()}
    )
