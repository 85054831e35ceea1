"""Every architecture is trained on activations whose features are known, and must find them."""

from __future__ import annotations

import pytest
import torch

from mechscope.dictionaries import config as c
from mechscope.dictionaries import synthetic, transcoder
from mechscope.dictionaries.building import build
from mechscope.dictionaries.stream import GeneratorStream
from mechscope.dictionaries.training import train
from mechscope.dictionaries.training_config import TrainingConfig

D_IN, FEATURES, D_OUT = 20, 32, 24
SIZE = {"d_in": D_IN, "d_sae": FEATURES}
# What an untrained dictionary scores is near 0.45, and random directions in 20 dimensions cannot score much more.
UNTRAINED, TRAINED = 0.6, 0.85
TRIED = {
    "relu": c.ReluConfig(**SIZE, l1=2.0),
    "relu-free": c.ReluConfig(**SIZE, l1=2.0, decoder_norm="free", decoder_start_norm=0.5),
    "topk": c.TopKConfig(**SIZE, k=2),
    "topk-rescaled": c.TopKConfig(**SIZE, k=2, decoder_norm="free", rescale_by_decoder_norm=True),
    "batch_topk": c.BatchTopKConfig(**SIZE, k=2),
    "jumprelu": c.JumpReluConfig(**SIZE, l0=1.0, bandwidth=2.0, start_threshold=1.0),
    "gated": c.GatedConfig(**SIZE, l1=4.0),
    "matryoshka": c.MatryoshkaConfig(**SIZE, k=2, widths=(16, 32)),
}
TRAINING = TrainingConfig(
    steps=500, lr=7e-3, lr_warmup=20, lr_decay=170, sparsity_warmup=100, dead_after=5000, log_every=100
)


def mean_max_cosine(truth: torch.Tensor, found: torch.Tensor) -> float:
    """For each true direction the best match, on average."""
    truth = truth / truth.norm(dim=-1, keepdim=True)
    found = found / found.norm(dim=-1, keepdim=True)
    return float((truth @ found.T).max(dim=1).values.mean())


@pytest.fixture(scope="module")
def world():
    return synthetic.independent(D_IN, FEATURES, 2.0, torch.Generator().manual_seed(11))


@pytest.mark.parametrize("name", TRIED)
def test_an_architecture_finds_the_truth(name, world):
    dictionary = build(TRIED[name], 5)
    before = mean_max_cosine(world.directions, dictionary.W_dec.detach())
    stream = GeneratorStream(lambda n, g: world.sample(n, g)[0], batch_size=128, seed=3)
    run = train(dictionary, stream, TRAINING)
    after = mean_max_cosine(world.directions, dictionary.W_dec.detach())
    assert before < UNTRAINED < TRAINED < after
    # Features, too, not directions alone: on new activations they are as sparse and as good as they should be.
    x, _ = world.sample(2000, torch.Generator().manual_seed(99))
    with torch.no_grad():
        unexplained = float((dictionary(x) - x).square().sum() / (x - x.mean(0)).square().sum())
        active = float((dictionary.encode(x) > 0).float().sum(-1).mean())
    assert unexplained < 0.35
    assert 1.5 < active < 6
    last = run.history.values.isel(series=0, step=-1)
    assert float(last.sel(measure="explained variance")) > 0.65
    assert dict(run.history.values.sizes) == {"series": 1, "measure": 5, "step": 6}


@pytest.mark.parametrize("skip", [False, True])
def test_a_transcoder_finds_what_is_written_where_it_is_read(skip):
    # Each feature is read in one direction and written in another.
    world = synthetic.independent(D_IN, FEATURES, 2.0, torch.Generator().manual_seed(21))
    outwards = synthetic.random_directions(FEATURES, D_OUT, torch.Generator().manual_seed(22))
    through = 0.3 * torch.randn(D_IN, D_OUT, generator=torch.Generator().manual_seed(23)) if skip else 0.0

    def draw(n, generator):
        x, coefficients = world.sample(n, generator)
        return x, coefficients @ outwards + (x @ through if skip else 0.0)

    # Its encoder cannot start as the decoder's transpose, so it gets one latent more to find its way with.
    dictionary = build(transcoder(c.TopKConfig(**SIZE, k=3), D_OUT, skip=skip), 5)
    before = mean_max_cosine(outwards, dictionary.W_dec.detach())
    train(dictionary, GeneratorStream(draw, batch_size=128, seed=3), TRAINING)
    after = mean_max_cosine(outwards, dictionary.W_dec.detach())
    x, target = draw(2000, torch.Generator().manual_seed(99))
    with torch.no_grad():
        unexplained = float(
            (dictionary(x) - target).square().sum() / (target - target.mean(0)).square().sum()
        )
    assert unexplained < 0.3
    if not skip:
        # With a skip term the same sum can be split in many ways, so only the sum is judged.
        assert before < 0.75 < 0.85 < after


def test_a_crosscoder_finds_features_in_every_layer():
    draw = torch.Generator().manual_seed(31)
    world = synthetic.independent(D_IN, FEATURES, 2.0, draw)
    layers = [synthetic.random_directions(FEATURES, 12, draw) for _ in range(2)]
    # Half of the features are absent from the second layer.
    layers[1][::2] = 0.0
    both = torch.cat(layers, dim=-1)
    cfg = c.CrosscoderConfig(d_in=24, d_sae=FEATURES, n_layers=2, l1=1.5, decoder_start_norm=0.5)
    dictionary = build(cfg, 5)
    stream = GeneratorStream(lambda n, g: world.sample(n, g)[1] @ both, batch_size=128, seed=3)
    before = mean_max_cosine(both, dictionary.W_dec.detach())
    train(dictionary, stream, TRAINING)
    found = dictionary.W_dec.detach()
    assert before < UNTRAINED < 0.8 < mean_max_cosine(both, found)
    # Which layers a feature lives in is read from the decoder's norms.
    norms = dictionary.decoders().detach().norm(dim=-1)
    match = (both / both.norm(dim=-1, keepdim=True) @ (found / found.norm(dim=-1, keepdim=True)).T).argmax(1)
    share = norms[1, match] / norms[:, match].sum(0)
    assert float(share[1::2].median()) > 0.4 > 0.15 > float(share[::2].median())


def test_features_of_step_01s_toy_model_are_found():
    # A pentagon and two features apart: five directions in a plane, two more with a dimension each.
    angles = torch.arange(5) * (2 * torch.pi / 5)
    W = torch.zeros(4, 7)
    W[0, :5], W[1, :5], W[2, 5], W[3, 6] = angles.cos(), angles.sin(), 1.0, 1.0
    world = synthetic.toy_model_space(W, density=0.08)
    dictionary = build(c.ReluConfig(d_in=4, d_sae=10, l1=2.0), 6)
    assert mean_max_cosine(world.directions, dictionary.W_dec.detach()) < 0.85
    train(dictionary, GeneratorStream(lambda n, g: world.sample(n, g)[0], batch_size=256, seed=3), TRAINING)
    assert mean_max_cosine(world.directions, dictionary.W_dec.detach()) > 0.95


REVIVED = {"d_in": D_IN, "d_sae": 64}


@pytest.mark.parametrize(
    ("revive", "cfg"),
    [("auxiliary", c.TopKConfig(**REVIVED, k=2)), ("resample", c.ReluConfig(**REVIVED, l1=1.0))],
)
def test_dead_features_come_back(revive, cfg, world):
    share = {}
    for how in ("none", revive):
        dictionary = build(cfg, 5)
        with torch.no_grad():
            dictionary.b_enc[32:] = -20.0
        settings = TrainingConfig(
            steps=300, lr=5e-3, revive=how, dead_after=3000, resample_every=60, aux_coefficient=0.3
        )
        stream = GeneratorStream(lambda n, g: world.sample(n, g)[0], batch_size=128, seed=3)
        run = train(dictionary, stream, settings)
        share[how] = float(run.history.values.isel(series=0, step=-1).sel(measure="dead share"))
    assert share["none"] >= 0.5
    assert share[revive] < share["none"] - 0.15
