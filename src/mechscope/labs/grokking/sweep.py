"""When does a model grok? The small model with other amounts of data and other weight decays."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass

from mechscope.labs.grokking.config import ModelConfig
from mechscope.labs.grokking.progress import first_epoch
from mechscope.labs.grokking.training import GROKKED, LEARNED, History, train_model
from mechscope.runs.workspace import Workspace

SOLVED = 1e-2
"""Test loss in nats below which a training of the sweep stops."""
DECAY_SHARE = 0.6
"""Share of the pairs that is trained on while the decay is varied."""
SHARES = ("most-of-all", "most", "much", "half", "standard")
"""Trainings that differ only in their share of the pairs, from the largest share to the smallest that groks."""
SCARCE = ("much", "half", "standard")
"""Those whose epochs are compared. With more data, a small modulus spends its time on fitting all the facts."""
LONGEST = 3000
"""Epochs after which a training of the sweep counts as one that does not grok: several times the usual number."""


@dataclass(frozen=True)
class SweepRun:
    """One training of the sweep."""

    fraction: float
    """Share of the pairs that is trained on."""
    weight_decay: float
    """Its weight decay (AdamW)."""
    history: History
    """Losses and accuracies on the way."""

    @property
    def delay(self) -> float:
        """Epochs from memorising the training pairs to grokking; infinite if it never did both."""
        memorised = first_epoch(self.history.epoch, self.history.train_accuracy >= LEARNED)
        grokked = first_epoch(self.history.epoch, self.history.test_accuracy >= GROKKED)
        return grokked - memorised if math.isfinite(memorised) else math.inf

    @property
    def solved(self) -> float:
        """First epoch with a test loss below SOLVED; infinite if there is none."""
        low = self.history.epoch[self.history.test_loss < SOLVED]
        return float(low[0]) if len(low) else math.inf

    @property
    def accuracy(self) -> float:
        """Test accuracy at the end, in percent."""
        return 100 * float(self.history.test_accuracy[-1])


def run_sweep(workspace: Workspace, base: ModelConfig, seed: int) -> dict[str, SweepRun]:
    """Train every model of the sweep: SHARES and "little", "no-decay", "weak-decay", "strong-decay"."""
    wanted: Mapping[str, tuple[float, float]] = {
        "little": (0.2, base.weight_decay),
        "standard": (base.fraction, base.weight_decay),
        "half": (0.5, base.weight_decay),
        "much": (DECAY_SHARE, base.weight_decay),
        "most": (0.8, base.weight_decay),
        "most-of-all": (0.95, base.weight_decay),
        "no-decay": (base.fraction, 0.0),
        "weak-decay": (DECAY_SHARE, 0.3 * base.weight_decay),
        "strong-decay": (DECAY_SHARE, 3 * base.weight_decay),
    }
    runs = {}
    for name, (fraction, decay) in wanted.items():
        epochs = min(base.epochs, LONGEST)
        config = dataclasses.replace(
            base,
            fraction=fraction,
            weight_decay=decay,
            epochs=epochs,
            solved_loss=SOLVED,
            keep_every=epochs,
            look_every=base.look_every // 5 or 1,
        )
        trained = train_model(workspace, config, seed, f"sweep-{name}-seed-{seed}")
        runs[name] = SweepRun(fraction, decay, trained.history)
    return runs
