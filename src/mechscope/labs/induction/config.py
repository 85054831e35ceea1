"""Settings of step 03."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from mechscope.model.config import HookedTransformerConfig


@dataclass(frozen=True)
class InductionConfig:
    """Model, data and training. The two models differ only in their number of layers."""

    n_tokens: int = 128
    """Number of different tokens, without BOS."""
    n_ctx: int = 64
    """Length of a training sequence, BOS included."""
    shortest: int = 16
    """Shortest repeated segment, in tokens."""
    longest: int = 28
    """Longest repeated segment, in tokens."""
    d_model: int = 128
    """Width of the residual stream."""
    n_heads: int = 4
    """Heads per layer."""
    d_head: int = 16
    """Width of a head."""
    batch: int = 48
    """Sequences per step."""
    steps: int = 1000
    """Training steps."""
    learning_rate: float = 3e-3
    """After the warm-up. In the second half of the training it falls linearly to zero."""
    warm_up: int = 200
    """Steps over which the learning rate rises. With few, some seeds get stuck."""
    weight_decay: float = 0.1
    """Decoupled."""
    initializer_range: float = 0.02
    """Standard deviation of the initial weights. If they are much larger, all heads learn the same thing."""
    evaluate_every: int = 25
    """Steps between two evaluations."""
    test_sequences: int = 32
    """Sequences in each of the two test batches."""
    smeared: bool = False
    """Whether the one-layer model is also trained with smeared keys."""
    turning: bool = False
    """Whether turns in the path of the per-token losses are measured, which takes several seeds."""
    real_sequences: int = 3
    """Sequences in each half of those that a real language model is studied on."""
    real_draws: int = 2
    """Sets of other heads that are removed from it for comparison."""
    wider: InductionConfig | None = None
    """Settings of the last seed if there are several: the same claims on a larger vocabulary."""

    def of_seed(self, seed: int, seeds: Sequence[int]) -> InductionConfig:
        """The settings that a seed is run with."""
        return self.wider if self.wider is not None and len(seeds) > 1 and seed == seeds[-1] else self

    @property
    def half(self) -> int:
        """Length of the block that the test sequences repeat."""
        return (self.n_ctx - 1) // 2

    @property
    def guessing_loss(self) -> float:
        """Loss, in nats, of giving all tokens the same probability."""
        return math.log(self.n_tokens)

    def model_config(self, n_layers: int, seed: int) -> HookedTransformerConfig:
        """The attention-only transformer with positions added to queries and keys only."""
        return HookedTransformerConfig(
            n_layers=n_layers,
            d_model=self.d_model,
            n_ctx=self.n_ctx,
            d_head=self.d_head,
            n_heads=self.n_heads,
            d_vocab=self.n_tokens + 1,
            attn_only=True,
            positional_embedding_type="shortformer",
            initializer_range=self.initializer_range,
            seed=seed,
            model_name=f"induction-{n_layers}l",
            default_prepend_bos=False,
        )
