"""Settings of step 05."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class GridConfig:
    """Known features, and the grid of dictionaries that look for them."""

    d_in: int = 256
    """Width of the activations."""
    features: int = 512
    """True features."""
    active: float = 5.0
    """How many are present at once, on average."""
    decay: float = 0.99
    """Frequency of each feature relative to the one before it."""
    l1: tuple[float, ...] = (1.5, 3.0)
    """L1 penalties: one axis of the grid."""
    sizes: tuple[int, ...] = (512, 768)
    """Numbers of latents: the other axis."""
    steps: int = 1200
    """Training steps."""
    batch: int = 1024
    """Activations per step."""
    learning_rate: float = 1e-2
    """Of Adam, before the decay over the last quarter."""


@dataclass(frozen=True)
class ToyConfig:
    """Step 01's model, and a dictionary for its hidden space."""

    features: int = 40
    """Features of the toy model."""
    hidden: int = 12
    """Its hidden dimensions."""
    density: float = 0.02
    """Probability that a feature is present (the paper's 1 − S)."""
    model_steps: int = 3000
    """Training steps of the toy model."""
    size: int = 80
    """Latents of the dictionary."""
    l1: float = 3.0
    """Its penalty."""
    steps: int = 800
    """Training steps of the dictionary."""
    batch: int = 1024
    """Examples per step."""
    learning_rate: float = 1e-2
    """Of Adam, before the decay over the last quarter."""


@dataclass(frozen=True)
class TextConfig:
    """Dictionaries on a language model's neurons."""

    model: str = "mini-gelu-1l"
    """Bundled model."""
    partners: tuple[str, ...] = ("mini-gelu-1l-seed1", "mini-solu-1l")
    """Models of the same shape, the best first; features are compared with the first one that is bundled."""
    train_rows: int = 3000
    """Sequences that dictionaries are trained on."""
    test_rows: int = 256
    """Sequences for evaluation, from modules that neither models nor dictionaries were trained on."""
    size: int = 512
    """Latents."""
    small_size: int = 64
    """Latents of the small dictionary, whose features should split in the larger one."""
    small_k: int = 8
    """Its active latents."""
    ks: tuple[int, ...] = (8, 16, 32, 64)
    """Active latents of the TopK frontier, ascending."""
    chosen: int = 16
    """Active latents of the dictionary that is studied further; one of `ks`."""
    l1: tuple[float, ...] = (0.5, 1.0, 2.0, 4.0)
    """Penalties of the ReLU frontier."""
    steps: int = 1200
    """Training steps."""
    judges_universality: bool = True
    """Whether claim 5.7b is checked. Features become universal late, so its bound needs the full training."""
    batch: int = 512
    """Activations per step."""
    learning_rate: float = 2e-3
    """Of Adam, before the decay over the last quarter."""
    dead_after: int = 30_000
    """In training, a latent counts as dead after being silent for this many activations."""
    revival_size: int = 1024
    """Latents of the dictionaries whose dead latents are counted: many, so that some can die."""
    revival_k: int = 32
    """Their active latents. If there are only a few, a dead latent has no chance to become active again."""
    revival_learning_rate: float = 1e-2
    """Of Adam. High, because that is what kills latents in practice."""
    revival_steps: int = 400
    """Their training steps; a latent is dead when it has been silent for an eighth of them."""
    rare_size: int = 1024
    """Latents of the ReLU dictionary whose densities are studied: four per neuron, so that some are superfluous."""
    rare_l1: float = 4.0
    """Its penalty."""
    rare_learning_rate: float = 5e-3
    """Of Adam."""
    rare_steps: int = 0
    """Its training steps. Latents grow rare slowly, so it needs many; 0 skips it."""
    detected: int = 100
    """Units of each kind that are explained and detected."""
    pages: int = 6
    """Features shown with their top contexts."""
    steered: int = 20
    """Features used for steering."""
    doses: tuple[float, ...] = (-2.0, -1.0, -0.5, 0.5, 1.0, 2.0)
    """Steering coefficients, in units of the feature's largest activation on the training text."""


@dataclass(frozen=True)
class RealModelConfig:
    """A dictionary on the residual stream of SmolLM2-135M."""

    layer: int = 14
    """The layer after which the dictionary reads and writes."""
    width: int = 128
    """Tokens in a sequence."""
    train_rows: int = 768
    """Sequences that the dictionary is trained on, once each."""
    test_rows: int = 128
    """Sequences for evaluation, from modules that it was not trained on."""
    spliced_rows: int = 24
    """How many of them measure the model's loss, which takes five passes through the whole model."""
    size: int = 2048
    """Latents."""
    k: int = 32
    """Active latents."""
    batch: int = 256
    """Activations per step."""
    buffer_rows: int = 64
    """Sequences whose activations are shuffled together."""
    learning_rate: float = 2e-3
    """Of Adam, before the decay over the last quarter."""
    dead_after: int = 20_000
    """In training, a latent counts as dead after being silent for this many activations."""
    detected: int = 200
    """Units of each kind that are explained and detected."""
    pages: int = 6
    """Features shown with their top contexts."""

    @property
    def steps(self) -> int:
        """Training steps in one pass over the sequences, without their first tokens."""
        return self.train_rows // self.buffer_rows * (self.buffer_rows * (self.width - 1) // self.batch)


@dataclass(frozen=True)
class SaeConfig:
    """Settings of step 05."""

    small: GridConfig = field(
        default_factory=lambda: GridConfig(
            d_in=64,
            features=128,
            active=3.0,
            decay=0.98,
            l1=(1.0, 2.0, 4.0),
            sizes=(64, 128, 192),
            steps=600,
            batch=512,
        )
    )
    """Known features at a quarter of the size, in every budget."""
    large: GridConfig | None = None
    """Known features at the published size."""
    toy: ToyConfig = field(default_factory=ToyConfig)
    """Step 01's model."""
    text: TextConfig = field(default_factory=TextConfig)
    """The language model."""
    real: RealModelConfig | None = None
    """SmolLM2-135M, if it is on this machine; None leaves it out."""
    exchange: bool = False
    """Whether the exchange with SAELens is checked. Loading SAELens takes a while."""
