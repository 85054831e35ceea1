"""Massive activations are left out of training, and the limits are kept in the dictionary."""

import dataclasses
import json

import pytest
import torch

from mechscope.dictionaries import TensorStream, TopKConfig, TrainingConfig, build, load, train, transcoder
from mechscope.dictionaries.evaluation.variance import fraction_of_variance_unexplained
from mechscope.dictionaries.outliers import (
    NO_LIMITS,
    OutlierFilter,
    OutlierLimits,
    estimate_limits,
    trained_limits,
)
from mechscope.dictionaries.stream import Batch, BlockStream, GeneratorStream
from mechscope.dictionaries.synthetic import named_features
from mechscope.dictionaries.training_config import training_config_from_dict

PLANTED = 5


def activations(seed: int, times: float = 100.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Known features, and which few of them have a massive activation along one direction."""
    generator = torch.Generator().manual_seed(seed)
    x, _ = named_features("sharkey-small", generator).sample(2000, generator)
    planted = torch.zeros(len(x), dtype=torch.bool)
    planted[torch.randperm(len(x), generator=generator)[:PLANTED]] = True
    x[planted] += times * x.norm(dim=-1).median() * torch.eye(64)[seed]
    return x, planted


def learn(x: torch.Tensor, folder=None, steps: int = 120, **settings):
    dictionary = build(TopKConfig(d_in=64, d_sae=96, k=4, b_dec_start="geometric_median"), 0)
    cfg = TrainingConfig(steps=steps, lr=3e-3, log_every=10, **settings)
    return train(dictionary, TensorStream(x, batch_size=200), cfg, folder=folder, progress=False)


@pytest.mark.parametrize("seed", [0, 1])
def test_training_is_as_if_the_outliers_were_not_there(seed: int) -> None:
    x, planted = activations(seed)
    ordinary = x[~planted]
    kept = ordinary.norm(dim=-1).median()
    left_out, with_them = learn(x), learn(x, outlier_factor=None)
    assert left_out.outliers == 12 * PLANTED and with_them.outliers == 0  # 12 passes over the data
    limits = trained_limits(left_out.dictionaries["dictionary"])
    assert limits is not None and limits.x == pytest.approx(25 * float(kept), rel=0.02)
    assert trained_limits(with_them.dictionaries["dictionary"]) is None

    def explained(run, x: torch.Tensor) -> float:
        with torch.no_grad():
            return 1 - fraction_of_variance_unexplained(x, run.dictionaries["dictionary"](x))

    # The scale is that of the ordinary activations, all of which are in the sample.
    sae, sae_with_them = (run.dictionaries["dictionary"] for run in (left_out, with_them))
    assert float(sae.scale_in) == pytest.approx(8 / float(ordinary.norm(dim=-1).mean()), rel=1e-5)
    assert float(sae_with_them.scale_in) < 0.85 * float(sae.scale_in)
    # A dictionary that was trained on the outliers explains them and little else; the figure hides it.
    assert explained(with_them, x) > 0.95 > explained(with_them, ordinary) + 0.2
    assert explained(left_out, x) < 0.3 < explained(left_out, ordinary) - 0.2
    assert explained(left_out, ordinary) > explained(with_them, ordinary) + 0.015


@pytest.mark.parametrize("seed", [0, 1])
def test_without_outliers_nothing_changes(seed: int) -> None:
    x, planted = activations(seed)
    runs = [learn(x[~planted], steps=20, outlier_factor=factor) for factor in (25.0, None)]
    for one, other in zip(
        *(run.dictionaries["dictionary"].state_dict().values() for run in runs), strict=True
    ):
        assert torch.equal(one, other)
    assert runs[0].history.values.equals(runs[1].history.values)
    assert runs[0].outliers == 0


def test_a_resumed_run_has_the_same_limits_and_count(tmp_path, monkeypatch) -> None:
    x, _ = activations(3)
    settings = {"steps": 60, "checkpoint_every": 25}
    whole = learn(x, tmp_path / "whole", **settings)
    taken = []

    def stops(stream: TensorStream) -> Batch:
        taken.append(1)
        if len(taken) > 40:
            raise KeyboardInterrupt
        return BlockStream.__next__(stream)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(TensorStream, "__next__", stops)
        learn(x, tmp_path / "parts", **settings)
    resumed = learn(x, tmp_path / "parts", **settings)
    assert resumed.outliers == whole.outliers == 6 * PLANTED
    one, other = load(tmp_path / "whole" / "dictionary"), load(tmp_path / "parts" / "dictionary")
    limits = trained_limits(one)
    assert limits is not None and limits.exist and limits == trained_limits(other)
    for a, b in zip(one.state_dict().values(), other.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_a_transcoder_leaves_out_massive_targets() -> None:
    x, _ = activations(0, times=0)
    target = torch.randn(len(x), 8, generator=torch.Generator().manual_seed(1))
    target[::400] *= 300
    cfg = transcoder(TopKConfig(d_in=64, d_sae=32, k=4), 8)
    run = train(
        build(cfg, 0),
        TensorStream(x, target, batch_size=500),
        TrainingConfig(steps=4, log_every=1),
        progress=False,
    )
    assert run.outliers == 5
    limits = trained_limits(run.dictionaries["dictionary"])
    assert limits is not None
    assert not bool(limits.outliers(x).any())
    assert limits.outliers(x, target).nonzero().flatten().tolist() == [0, 400, 800, 1200, 1600]


def test_limits_survive_json() -> None:
    for limits in (NO_LIMITS, OutlierLimits(3.5), OutlierLimits(3.5, 2.0), OutlierLimits(target=7.0)):
        found = build(TopKConfig(d_in=8, d_sae=8, k=2), 0)
        found.metadata["outlier_limits"] = json.loads(json.dumps(limits.to_metadata()))
        assert trained_limits(found) == limits
    assert estimate_limits(Batch(torch.ones(4, 2)), None) == NO_LIMITS


@pytest.mark.parametrize("kept", [5, [1, 2], {"x": "long"}, {"x": -1.0}, {"y": 1.0}, {"x": True}])
def test_metadata_that_are_no_limits(kept) -> None:
    found = build(TopKConfig(d_in=8, d_sae=8, k=2), 0)
    found.metadata["outlier_limits"] = kept
    with pytest.raises(ValueError, match="outlier_limits"):
        trained_limits(found)


def test_batches_of_outliers_only() -> None:
    outliers = OutlierFilter(OutlierLimits(10.0))
    mixed = GeneratorStream(
        lambda n, g: torch.ones(n, 4) * (100 if float(torch.rand(1, generator=g)) < 0.7 else 1), batch_size=3
    )
    for _ in range(5):
        assert float(outliers.next_batch(mixed).x.max()) == 1
    assert outliers.left_out % 3 == 0 and outliers.left_out > 0
    with pytest.raises(ValueError, match="of another kind"):
        outliers.next_batch(GeneratorStream(lambda n, g: torch.ones(n, 4) * 100, batch_size=3))


def test_a_config_of_an_earlier_version_is_read() -> None:
    settings = TrainingConfig(steps=3).to_dict()
    del settings["outlier_factor"]
    assert training_config_from_dict(settings) == TrainingConfig(steps=3)
    with pytest.raises(ValueError, match="above 1"):
        dataclasses.replace(TrainingConfig(steps=3), outlier_factor=0.5)
