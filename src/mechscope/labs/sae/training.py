"""Dictionaries of this lab: trained several at a time, kept as a finished part, read back as they were."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from torch import Tensor

from mechscope.dictionaries.building import build, from_state
from mechscope.dictionaries.config import DictionaryConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.stream import Stream
from mechscope.dictionaries.training import train
from mechscope.dictionaries.training_config import Revival, TrainingConfig, short_schedule
from mechscope.runs.training_state import with_prefix
from mechscope.runs.workspace import Workspace


def train_together(
    workspace: Workspace,
    name: str,
    configs: Mapping[str, DictionaryConfig],
    stream: Callable[[], Stream],
    cfg: TrainingConfig,
) -> dict[str, Dictionary]:
    """Dictionaries trained on the same batches, or read back if an earlier run finished them.

    Args:
        name: the part's name.
        configs: a dictionary's name → what it is.
        stream: makes the stream; called only where there is something to train.
    """

    def compute() -> dict[str, Tensor]:
        students = {key: build(each, cfg.seed).to(workspace.device) for key, each in configs.items()}
        # A killed run goes on from its last checkpoint.
        unfinished = workspace.unfinished_folder(name)
        run = train(students, stream(), cfg, folder=unfinished, progress=workspace.progress)
        return {
            f"{key}/{tensor}": value
            for key, dictionary in run.dictionaries.items()
            for tensor, value in dictionary.state().items()
        }

    part = workspace.load_or_compute(name, compute)
    found: dict[str, Dictionary] = {}
    for key, each in configs.items():
        found[key] = from_state(each, with_prefix(part, f"{key}/")).to(workspace.device)
    return found


def settings(
    steps: int,
    learning_rate: float,
    seed: int,
    *,
    revive: Revival = "none",
    dead_after: int = 1_000_000,
    penalty_rises: bool = True,
) -> TrainingConfig:
    """How everything here learns: a short schedule.

    Args:
        penalty_rises: over a tenth of the training; else it has its full strength from the first step.
    """
    schedule = short_schedule(steps)
    if not penalty_rises:
        schedule["sparsity_warmup"] = 0
    return TrainingConfig(
        steps=steps,
        lr=learning_rate,
        **schedule,
        revive=revive,
        dead_after=dead_after,
        resample_every=max(1, steps // 4),
        checkpoint_every=200,
        seed=seed,
    )
