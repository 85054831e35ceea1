"""Settings of step 02."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mechscope.model.config import HookedTransformerConfig


@dataclass(frozen=True)
class ModelConfig:
    """One model and its training on the full batch, so that an epoch is one step."""

    p: int = 113
    """The modulus. The numbers are tokens 0 … p - 1, and "=" is token p."""
    fraction: float = 0.3
    """Share of all p² pairs that is trained on."""
    d_model: int = 128
    """Width of the residual stream."""
    n_heads: int = 4
    """Heads. Together they are as wide as the residual stream."""
    d_mlp: int = 512
    """ReLU neurons."""
    learning_rate: float = 1e-3
    """After the warm-up."""
    warm_up: int = 10
    """Epochs over which the learning rate rises."""
    weight_decay: float = 1.0
    """Decoupled (AdamW)."""
    epochs: int = 20_000
    """The most epochs of a training."""
    settled: float = 0.01
    """Stop early once the model has grokked and the clean-up is over: in the last `settled_over` epochs, neither Σw²
    nor the Gini coefficient of W_E or W_L has changed by more than this share of itself. 0 means never."""
    settled_over: int = 500
    """Epochs, a multiple of `look_every`."""
    solved_loss: float = 0.0
    """Stop early once the test loss has fallen below this. 0 means never."""
    rounded_loss: bool = False
    """Take loss and gradients from a float32 softmax. The default avoids rounding, because it stops the clean-up."""
    look_every: int = 50
    """Epochs between two evaluations of losses and accuracies."""
    keep_every: int = 250
    """Epochs between two checkpoints; a multiple of `look_every`."""

    def __post_init__(self) -> None:
        if self.p < 3 or self.p % 2 == 0:
            raise ValueError(f"p must be odd and at least 3, not {self.p}.")
        if self.d_model % self.n_heads:
            raise ValueError(
                f"d_model={self.d_model} cannot be divided evenly among {self.n_heads} heads: choose a multiple."
            )
        for name in ("keep_every", "settled_over"):
            if (epochs := getattr(self, name)) % self.look_every:
                raise ValueError(f"{name}={epochs} must be a multiple of look_every={self.look_every}.")

    @property
    def n_train(self) -> int:
        """Pairs in the training set."""
        return int(self.fraction * self.p**2)

    def transformer_config(self, seed: int) -> HookedTransformerConfig:
        """The same model as a transformer of this package."""
        return HookedTransformerConfig(
            n_layers=1,
            d_model=self.d_model,
            n_ctx=3,
            d_head=self.d_model // self.n_heads,
            n_heads=self.n_heads,
            d_mlp=self.d_mlp,
            d_vocab=self.p + 1,
            d_vocab_out=self.p,
            act_fn="relu",
            normalization_type=None,
            seed=seed,
            model_name=f"grokking-p{self.p}",
            default_prepend_bos=False,
        )


@dataclass(frozen=True)
class CompositionConfig:
    """A network that composes permutations, and its training on the full batch, so that an epoch is one step."""

    n: int = 5
    """How many things are permuted."""
    fraction: float = 0.4
    """Share of all pairs of permutations that is trained on, as in the paper."""
    d_embed: int = 256
    """Width of each of the two embeddings, as in the paper."""
    n_neurons: int = 128
    """ReLU neurons, as in the paper."""
    learning_rate: float = 1e-2
    """After the warm-up; the paper has 1e-3."""
    warm_up: int = 10
    """Epochs over which the learning rate rises."""
    weight_decay: float = 1.5
    """Decoupled (AdamW); the paper has 1, with which it may take too long to grok."""
    epochs: int = 5000
    """Epochs; the paper has 250,000."""
    look_every: int = 100
    """Epochs between two evaluations of losses, accuracies and characters."""


SMALL = ModelConfig(
    p=59,
    fraction=0.4,
    d_model=64,
    d_mlp=256,
    learning_rate=2e-3,
    weight_decay=2.0,
    epochs=4000,
    keep_every=100,
)
"""A model that groks within a minute on one core. Weight decay 2 is the choice of Zhong et al. for this modulus."""

PAPER = ModelConfig(look_every=100, keep_every=200)
"""The model of the paper."""

ROUNDING = replace(SMALL, epochs=5000, settled=0.0)
"""The small model, trained for long enough after it has grokked that rounding shows."""

COMPOSITION = CompositionConfig()
"""Composition in S5: the paper's network, with ten times its learning rate and 1.5 times its weight decay."""
