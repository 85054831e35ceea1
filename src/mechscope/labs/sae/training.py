"""Train several dictionaries on the same batches, and store them as one part of the run."""

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
    """Train dictionaries on the same batches, or read them back if an earlier run finished them.

    Args:
        name: the part's name.
        configs: name → settings of the dictionary.
        stream: makes the stream of activations; called only if there is something to train.
    """

    def compute() -> dict[str, Tensor]:
        dictionaries = {key: build(each, cfg.seed).to(workspace.device) for key, each in configs.items()}
        # An interrupted run continues from its last checkpoint.
        unfinished = workspace.unfinished_folder(name)
        run = train(dictionaries, stream(), cfg, folder=unfinished, progress=workspace.progress)
        return {
            f"{key}/{tensor}": value
            for key, dictionary in run.dictionaries.items()
            for tensor, value in dictionary.state().items()
        }

    part = workspace.load_or_compute(name, compute)
    return {
        key: from_state(each, with_prefix(part, f"{key}/")).to(workspace.device)
        for key, each in configs.items()
    }


def settings(
    steps: int,
    learning_rate: float,
    seed: int,
    *,
    revive: Revival = "none",
    dead_after: int = 1_000_000,
    penalty_rises: bool = True,
    checkpoint_every: int = 200,
) -> TrainingConfig:
    """The training settings of this lab: a short schedule.

    Args:
        penalty_rises: raise the L1 penalty over the first tenth of the training; False: full strength throughout.
        checkpoint_every: steps between two checkpoints.
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
        checkpoint_every=checkpoint_every,
        seed=seed,
    )
