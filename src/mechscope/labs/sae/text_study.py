"""Dictionaries on the neurons of a language model: two frontiers, three ways with dead latents, densities."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.config import DictionaryConfig, ReluConfig, TopKConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import evaluate
from mechscope.dictionaries.evaluation.density import Activity, ActivityCounts
from mechscope.dictionaries.evaluation.evaluating import Evaluation
from mechscope.dictionaries.frontier.comparing import at_l0
from mechscope.dictionaries.stream import TensorStream
from mechscope.dictionaries.training_config import Revival
from mechscope.labs.sae.config import TextConfig
from mechscope.labs.sae.language import HOOK, Texts, activations
from mechscope.labs.sae.training import settings, train_together
from mechscope.model.transformer import HookedTransformer
from mechscope.runs.workspace import Workspace

LOWEST, HIGHEST = 8.0, 64.0
"""The frontier that is compared: L0 between these."""
REVIVALS: dict[str, Revival] = {"nothing": "none", "resampling": "resample", "auxiliary loss": "auxiliary"}
"""What is done for dead latents, in words → as the training calls it."""


@dataclass(frozen=True)
class TextStudy:
    """A language model and the dictionaries on its neurons."""

    config: TextConfig
    """Settings."""
    model: HookedTransformer
    """The model."""
    texts: Texts
    """What was read."""
    test: Float[Tensor, "batch pos d_mlp"]
    """Its neurons on the held-out text, without BOS."""
    topk: Mapping[int, Evaluation]
    """k → scores, spliced into the model."""
    relu: Mapping[float, Evaluation]
    """Penalty → scores."""
    dead: Mapping[str, float]
    """What was done for dead latents → share that is dead on the held-out text."""
    chosen: Dictionary
    """The TopK dictionary that is looked at."""
    rare: Activity | None
    """Of the ReLU dictionary that was trained long, over the text that it was trained on; None if there is none."""

    @property
    def scores(self) -> Evaluation:
        """Of the chosen dictionary."""
        return self.topk[self.config.chosen]

    @property
    def sparsest_relu(self) -> Activity:
        """Activity of the ReLU dictionary with the strongest penalty."""
        return self.relu[max(self.relu)].activity


def study_text(
    workspace: Workspace, model: HookedTransformer, texts: Texts, config: TextConfig, seed: int
) -> TextStudy:
    """Train every dictionary on the model's neurons and splice each back in."""
    width = model.cfg.d_mlp
    assert width is not None
    train = activations(model, texts.train).flatten(0, 1)
    test = activations(model, texts.test)

    def trained(
        name: str,
        configs: Mapping[str, DictionaryConfig],
        revive: Revival,
        steps: int,
        dead_after: int,
        learning_rate: float = config.learning_rate,
        penalty_rises: bool = True,
    ) -> dict[str, Dictionary]:
        how = settings(
            steps, learning_rate, seed, revive=revive, dead_after=dead_after, penalty_rises=penalty_rises
        )
        return train_together(
            workspace,
            f"{name}-seed-{seed}",
            configs,
            lambda: TensorStream(train, batch_size=config.batch, seed=seed, source="the model's neurons"),
            how,
        )

    def scored(dictionary: Dictionary) -> Evaluation:
        return evaluate(
            dictionary,
            texts.test.to(workspace.device),
            model=model,
            hook_name=HOOK,
            skip_first=1,
            text_batch_size=64,
        )

    sparse: dict[str, DictionaryConfig] = {
        str(k): TopKConfig(d_in=width, d_sae=config.size, k=k, b_dec_start="geometric_median")
        for k in config.ks
    }
    dense: dict[str, DictionaryConfig] = {
        f"{l1:g}": ReluConfig(d_in=width, d_sae=config.size, l1=l1, b_dec_start="geometric_median")
        for l1 in config.l1
    }
    topk = trained("topk", sparse, "auxiliary", config.steps, config.dead_after)
    relu = trained("relu", dense, "none", config.steps, config.dead_after)
    many: dict[str, DictionaryConfig] = {
        "many": TopKConfig(
            d_in=width, d_sae=config.revival_size, k=config.revival_k, b_dec_start="geometric_median"
        )
    }
    silent_for = max(1, config.revival_steps // 8) * config.batch
    dead: dict[str, float] = {}
    for name, revive in REVIVALS.items():
        found = trained(
            f"dead-{revive}",
            many,
            revive,
            config.revival_steps,
            silent_for,
            config.revival_learning_rate,
        )
        dead[name] = activity_of(found["many"], test.flatten(0, 1)).dead_share
    rare = None
    if config.rare_steps:
        wide: dict[str, DictionaryConfig] = {
            "wide": ReluConfig(
                d_in=width, d_sae=config.rare_size, l1=config.rare_l1, b_dec_start="geometric_median"
            )
        }
        # A penalty that rises slowly, as became usual later, spares the latents that this is about.
        found = trained(
            "rare-latents",
            wide,
            "none",
            config.rare_steps,
            config.dead_after,
            config.rare_learning_rate,
            penalty_rises=False,
        )
        # Over all the text there is: what happens once in a hundred thousand tokens cannot be seen on a few.
        rare = activity_of(found["wide"], train)
    on_topk = {k: scored(topk[str(k)]) for k in config.ks}
    return TextStudy(
        config,
        model,
        texts,
        test,
        on_topk,
        {l1: scored(relu[f"{l1:g}"]) for l1 in config.l1},
        dead,
        topk[str(config.chosen)],
        rare,
    )


def train_chosen(
    workspace: Workspace, model: HookedTransformer, texts: Texts, config: TextConfig, seed: int, name: str
) -> Dictionary:
    """A dictionary like the chosen one on another model's neurons."""
    width = model.cfg.d_mlp
    assert width is not None
    train = activations(model, texts.train).flatten(0, 1)
    cfg = TopKConfig(d_in=width, d_sae=config.size, k=config.chosen, b_dec_start="geometric_median")
    how = settings(config.steps, config.learning_rate, seed, revive="auxiliary", dead_after=config.dead_after)
    return train_together(
        workspace,
        f"{name}-seed-{seed}",
        {"chosen": cfg},
        lambda: TensorStream(train, batch_size=config.batch, seed=seed, source=f"neurons of {name}"),
        how,
    )["chosen"]


@torch.no_grad()
def activity_of(dictionary: Dictionary, x: Float[Tensor, "example d_in"]) -> Activity:
    """How often each latent is active."""
    counts = ActivityCounts()
    for rows in x.split(4096):
        counts.add(dictionary.encode(rows))
    return counts.activity()


@dataclass(frozen=True)
class Duel:
    """TopK beside ReLU at equal L0."""

    points: tuple[tuple[float, float, float], ...]
    """(L0 of a ReLU dictionary, its FVU, TopK's FVU interpolated at that L0)."""

    @property
    def worst(self) -> float:
        """Largest ratio of TopK's FVU to ReLU's; NaN where no ReLU dictionary fell into the range."""
        return max((ours / theirs for _, theirs, ours in self.points), default=math.nan)


def duel(topk: Mapping[int, Evaluation], relu: Mapping[float, Evaluation]) -> Duel:
    """Compare frontiers wherever a ReLU dictionary's L0 lies in the range and between two TopK dictionaries."""
    points: list[tuple[float, float, float]] = []
    for each in relu.values():
        if LOWEST <= each.l0 <= HIGHEST and (ours := at_l0(topk.values(), each.l0)) is not None:
            points.append((each.l0, each.fvu, ours))
    return Duel(tuple(points))


def valley(densities: Float[Tensor, " feature"], bins: int = 12) -> tuple[float, float]:
    """How bimodal the histogram of log10 density is.

    Returns:
        Latents at the valley between the two highest peaks over those at the lower peak (1: no valley at all), and the
        share of living latents below the valley. Counts are smoothed over three bins.
    """
    alive = densities[densities > 0].log10()
    if len(alive) < 2 or float(alive.max()) == float(alive.min()):
        return 1.0, 0.0
    counts = torch.histc(alive, bins, float(alive.min()), float(alive.max()))
    padded = torch.nn.functional.pad(counts, (1, 1))
    smooth = (padded[:-2] + padded[1:-1] + padded[2:]) / 3
    best = (1.0, 0.0)
    for middle in range(1, bins - 1):
        left, right = float(smooth[:middle].max()), float(smooth[middle + 1 :].max())
        lower = min(left, right)
        ratio = float(smooth[middle]) / lower if lower > 0 else 1.0
        if ratio < best[0]:
            best = ratio, float(counts[:middle].sum() / counts.sum())
    return best
