"""Where the features are known: a grid of dictionaries on made-up activations, and one on step 01's model."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.checkpoints.toy_networks import Group
from mechscope.dictionaries.building import build
from mechscope.dictionaries.config import ReluConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import evaluate, feature_recovery
from mechscope.dictionaries.evaluation.evaluating import Evaluation
from mechscope.dictionaries.stream import GeneratorStream
from mechscope.dictionaries.synthetic import SyntheticFeatures, sharkey, toy_model_space
from mechscope.labs.sae.config import GridConfig, ToyConfig
from mechscope.labs.sae.shuffling import shuffle_dimensions
from mechscope.labs.sae.training import settings, train_together
from mechscope.labs.superposition.training import geometric, train_group
from mechscope.runs.workspace import Workspace

TEST_EXAMPLES = 4096
"""Fresh activations that dictionaries are scored on."""
REPRESENTED = 0.5
"""A toy model represents feature i where ‖W_i‖ is above this, as in step 01."""


@dataclass(frozen=True)
class Cell:
    """One dictionary of the grid."""

    l1: float
    """Its penalty."""
    size: int
    """Its latents."""
    dictionary: Dictionary
    """Itself."""
    scores: Evaluation
    """How well it found the truth."""

    @property
    def mmcs(self) -> float:
        """Mean max cosine similarity, true to learned."""
        assert self.scores.recovery is not None
        return self.scores.recovery.mmcs


@dataclass(frozen=True)
class Grid:
    """Known features and everything that looked for them."""

    config: GridConfig
    """Settings."""
    truth: Float[Tensor, "true d_in"]
    """Where the features point."""
    cells: tuple[Cell, ...]
    """By size, then by penalty."""
    shuffled: float
    """MMCS of the best cell's twin, trained on activations whose dimensions were permuted independently."""
    untrained: float
    """MMCS of a dictionary of the best cell's size before training."""

    @property
    def best(self) -> Cell:
        """The cell with the highest MMCS."""
        return max(self.cells, key=lambda cell: cell.mmcs)

    @property
    def mmcs(self) -> Float[Tensor, "size l1"]:
        """MMCS of the grid."""
        values = torch.tensor([cell.mmcs for cell in self.cells])
        return values.view(len(self.config.sizes), len(self.config.l1))


def known_features(config: GridConfig, seed: int) -> SyntheticFeatures:
    """The features of a seed."""
    generator = torch.Generator().manual_seed(1000 + seed)
    return sharkey(
        generator, d_in=config.d_in, features=config.features, active=config.active, decay=config.decay
    )


def run_grid(workspace: Workspace, config: GridConfig, seed: int, name: str) -> Grid:
    """Train and score every cell of the grid, and the two nulls."""
    truth = known_features(config, seed)
    configs = {
        f"{size}-{l1:g}": ReluConfig(d_in=config.d_in, d_sae=size, l1=l1)
        for size in config.sizes
        for l1 in config.l1
    }

    def stream(shuffled: bool) -> GeneratorStream:
        def draw(n: int, generator: torch.Generator) -> Tensor:
            x, _ = truth.sample(n, generator)
            return shuffle_dimensions(x, generator) if shuffled else x

        return GeneratorStream(draw, batch_size=config.batch, seed=seed, source="known features")

    how = settings(config.steps, config.learning_rate, seed)
    trained = train_together(workspace, f"{name}-seed-{seed}", configs, lambda: stream(False), how)
    test, _ = truth.sample(TEST_EXAMPLES, torch.Generator().manual_seed(2000 + seed))
    test, directions = test.to(workspace.device), truth.directions.to(workspace.device)
    cells = tuple(
        Cell(
            l1,
            size,
            trained[f"{size}-{l1:g}"],
            evaluate(trained[f"{size}-{l1:g}"], test, truth=directions, name="known features"),
        )
        for size in config.sizes
        for l1 in config.l1
    )
    best = max(cells, key=lambda cell: cell.mmcs)
    null = {"null": configs[f"{best.size}-{best.l1:g}"]}
    # The null may be shorter: from where it starts it does not move towards the truth.
    short = settings(max(8, config.steps // 4), config.learning_rate, seed)
    scrambled = train_together(workspace, f"{name}-shuffled-seed-{seed}", null, lambda: stream(True), short)
    return Grid(
        config,
        truth.directions,
        cells,
        feature_recovery(scrambled["null"].W_dec.cpu(), truth.directions).mmcs,
        feature_recovery(build(null["null"], seed).W_dec, truth.directions).mmcs,
    )


@dataclass(frozen=True)
class ToyStudy:
    """Step 01's model and a dictionary for it."""

    W: Float[Tensor, "hidden feature"]
    """The toy model's weights."""
    represented: tuple[int, ...]
    """Features that it represents."""
    cosines: Float[Tensor, "feature true"]
    """Cosines of matched latents with represented features, each latent in the row of its feature."""
    mmcs: float
    """Over represented features."""
    untrained: float
    """The same for a dictionary before training."""
    neurons: float
    """The same for the hidden dimensions themselves, both signs."""


def run_toy(workspace: Workspace, config: ToyConfig, seed: int) -> ToyStudy:
    """Train step 01's model in superposition, then a dictionary on its hidden space."""
    group = Group(
        "sae-toy",
        config.features,
        config.hidden,
        (config.density,),
        geometric(config.features, 1.0, 1),
        starts=1,
        steps=config.model_steps,
        decays_to_zero=True,
    )
    W = train_group(workspace, group, seed).best_W[0]
    represented = tuple(int(i) for i in (W.norm(dim=0) > REPRESENTED).nonzero().flatten())
    if not represented:
        # Nothing to recover; the claim must see it.
        nothing = float("nan")
        return ToyStudy(W, (), torch.zeros(0, 0), nothing, nothing, nothing)
    space = toy_model_space(W, config.density)
    cfg = ReluConfig(d_in=config.hidden, d_sae=config.size, l1=config.l1)

    def stream() -> GeneratorStream:
        return GeneratorStream(
            lambda n, generator: space.sample(n, generator)[0],
            batch_size=config.batch,
            seed=seed,
            source="step 01's model",
        )

    how = settings(config.steps, config.learning_rate, seed)
    found = train_together(workspace, f"toy-dictionary-seed-{seed}", {"toy": cfg}, stream, how)["toy"]
    truth = W.T[list(represented)]
    learned = found.W_dec.detach().cpu()
    recovery = feature_recovery(learned, truth)
    rows = learned[[latent for _, latent in recovery.pairs]]
    axes = torch.eye(config.hidden)
    return ToyStudy(
        W,
        represented,
        torch.nn.functional.cosine_similarity(rows[:, None], truth[None], dim=-1),
        recovery.mmcs,
        feature_recovery(build(cfg, seed).W_dec, truth).mmcs,
        feature_recovery(torch.cat([axes, -axes]), truth).mmcs,
    )
