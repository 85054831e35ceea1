"""Probes on activations whose answer is known: planted, shuffled, learnt by heart, and by hand."""

from __future__ import annotations

import random

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.preprocessing import StandardScaler

from mechscope.linear_probes import control_labels, fit_probe, splits
from mechscope.techniques.probing import linear_probe
from tests.model.tiny import exact_model, tiny_tokens
from tests.techniques.reading_tasks import tiny_task

QUIET = {"progress": False, "seeds": (0, 1)}


def test_what_a_token_is_can_be_read_where_it_stands_and_not_before() -> None:
    """The model is causal: the token at position 3 is in the stream from position 3 on."""
    seed = random.randrange(1000)
    model = exact_model("attention only", seed=seed)
    tokens = tiny_tokens(160, 5, seed=seed)
    labels = tokens[:, 3] >= 15
    probes = linear_probe(model, tokens, labels, control=False, **QUIET)
    scores = probes.scores.values
    assert scores.dims == ("layer", "pos") and scores.shape == (3, 5)
    assert float(scores.sel(layer=0, pos="3")) > 0.75
    assert abs(float(scores[:, :3].mean()) - 0.5) < 0.15
    assert (probes.lowest.values <= scores).all() and (scores <= probes.highest.values).all()
    assert probes.chance == pytest.approx(
        max(float(part.float().mean()) for part in (labels, ~labels)), abs=0.08
    )


def test_a_planted_direction_is_found() -> None:
    model = exact_model("no norm")
    tokens = tiny_tokens(200, 3, seed=1)
    direction = torch.randn(24)
    direction /= direction.norm()
    with torch.no_grad():
        model.W_E.mul_(0.1)
        model.W_E[15:] += 2 * direction
    labels = np.where(tokens[:, 2] >= 15, "high", "low")
    for kind, close in (("classification", 0.1), ("mean difference", 0.9)):
        probes = linear_probe(model, tokens, labels, positions=[2], kind=kind, **QUIET)
        assert float(probes.scores.values.sel(layer=0).item()) == 1
        found = probes.directions.values.sel(layer=0).values.squeeze()
        # "low" is the second class in the alphabet, so the direction points away from "high".
        assert found @ direction.numpy() / np.linalg.norm(found) < -close
        assert probes.directions.values.coords["class"].values.tolist() == ["low"]


def test_a_control_task_unmasks_learning_by_heart() -> None:
    """Token identity is in the embedding, so any labels of tokens can be read there: selectivity is near zero."""
    model = exact_model("attention only", d_vocab=8, d_model=24)
    tokens = tiny_tokens(200, 3, d_vocab=8)
    labels = tokens[:, 1] % 2
    probes = linear_probe(model, tokens, labels, positions=[1], **QUIET)
    assert probes.control is not None
    assert float(probes.scores.values.sel(layer=0).item()) > 0.95
    assert float(probes.control.values.sel(layer=0).item()) > 0.9
    assert abs(float(probes.selectivity.values.sel(layer=0).item())) < 0.1


def test_regression_reads_a_number() -> None:
    model = exact_model("no norm")
    tokens = tiny_tokens(200, 3)
    with torch.no_grad():
        model.W_E[:, 0] = torch.arange(30) / 10
    values = tokens[:, 1].double()
    probes = linear_probe(model, tokens, values, positions=[1], kind="regression", **QUIET)
    assert probes.scores.unit == "R²"
    assert float(probes.scores.values.sel(layer=0).item()) > 0.95
    noise = torch.randn(200)
    of_noise = linear_probe(model, tokens, noise, positions=[1], kind="regression", **QUIET)
    assert float(of_noise.scores.values.max()) < 0.3


def test_one_fit_is_sklearns() -> None:
    generator = np.random.default_rng(0)
    features, labels = generator.normal(size=(80, 5)) * [1, 10, 0.1, 1, 1], generator.integers(0, 3, 80)
    train, test = np.arange(60), np.arange(60, 80)
    fit = fit_probe(features, labels, train, test, "classification", "accuracy", 2.0)
    scaler = StandardScaler().fit(features[train])
    model = LogisticRegression(C=0.5, max_iter=2000).fit(scaler.transform(features[train]), labels[train])
    assert fit.score == model.score(scaler.transform(features[test]), labels[test])
    # The direction is in the activations' own units: a step along it moves the scores as the model says.
    step = generator.normal(size=5)
    moved = model.decision_function(scaler.transform(features[:1] + step)) - model.decision_function(
        scaler.transform(features[:1])
    )
    np.testing.assert_allclose(fit.weights @ step, moved[0], rtol=1e-6)


def test_auroc_is_the_share_of_pairs_in_order() -> None:
    generator = np.random.default_rng(1)
    labels = generator.integers(0, 2, 60)
    features = generator.normal(size=(60, 4)) + labels[:, None] * 0.7
    train, test = np.arange(40), np.arange(40, 60)
    fit = fit_probe(features, labels, train, test, "mean difference", "auroc", 1.0)
    direction = features[train][labels[train] == 1].mean(0) - features[train][labels[train] == 0].mean(0)
    np.testing.assert_allclose(fit.weights[0], direction)
    scores = features[test] @ direction
    pairs = [p > n for p in scores[labels[test] == 1] for n in scores[labels[test] == 0]]
    assert fit.score == pytest.approx(np.mean(pairs))


def test_splits_hold_out_and_keep_groups_whole() -> None:
    labels = np.array([0, 1] * 20)
    groups = np.repeat(np.arange(10), 4)
    for train, test in splits(labels, groups, "classification", 0.3, (0, 1, 2)):
        assert not set(groups[train]) & set(groups[test])
        assert len(train) + len(test) == 40
    for train, test in splits(labels, None, "classification", 0.3, (3,)):
        assert not set(train) & set(test)
        assert labels[test].mean() == 0.5


def test_equal_prompts_are_not_on_both_sides() -> None:
    """Random labels of a few prompts, each many times: by heart 1, held out chance."""
    model = exact_model()
    tokens = tiny_tokens(24, 4).repeat(8, 1)
    labels = torch.arange(24).repeat(8) % 2
    score = linear_probe(
        model, tokens, labels, positions=[3], control=False, progress=False, seeds=range(6)
    ).scores.values
    assert float(score.mean()) < 0.85


def test_control_labels_are_one_a_type() -> None:
    labels, types = np.array([0] * 20 + [1] * 20), np.arange(40) % 5
    drawn = control_labels(labels, types, seed=3)
    for which in range(5):
        assert len(set(drawn[types == which])) == 1
    assert set(drawn) == {0, 1}
    assert len(set(control_labels(labels, np.zeros(40), 0)[:20])) == 2
    assert any(
        (control_labels(labels, types, 3) != control_labels(labels, types, s)).any() for s in range(4, 9)
    )


def test_labels_token_by_token_and_other_sites() -> None:
    model, tokens = exact_model("grouped"), tiny_tokens(80, 4)
    probes = linear_probe(model, tokens, tokens % 2, site="z", positions=[0, 2], control=False, **QUIET)
    assert probes.scores.values.shape == (2, 2)
    assert probes.directions.values.dims == ("layer", "pos", "class", "feature")
    assert probes.directions.values.sizes["feature"] == 32
    three = linear_probe(model, tokens, tokens[:, 1] % 3, positions=[1], control=False, **QUIET)
    assert three.directions.values.coords["class"].values.tolist() == ["0", "1", "2"]


def test_named_positions_and_the_figure() -> None:
    task = tiny_task(batch=60)
    probes = linear_probe(exact_model(), task, task.clean[:, -1] % 2, positions="answers", **QUIET)
    assert probes.scores.values.coords["pos"].values.tolist() == ["answer"]
    assert len(probes.figure().data) == 4
    wide = linear_probe(exact_model(), task.clean[:20], task.clean[:20, 0] % 2, seeds=(0,), progress=False)
    assert "24 dimensions but 15 training examples" in wide.figure().layout.title.text


def test_mistakes_are_explained() -> None:
    model, tokens = exact_model(), tiny_tokens(20, 4)
    labels = torch.arange(20) % 2
    for arguments, message in (
        ({"labels": torch.zeros(20)}, "at least two classes"),
        ({"labels": torch.zeros(3)}, "one per example"),
        ({"labels": torch.full((20,), torch.nan)}, "not finite"),
        (
            {"labels": torch.randn(40)[:20].repeat_interleave(2)[:20].sort().values[:20], "kind": "what"},
            "kind must be",
        ),
        ({"labels": torch.arange(20) // 2 % 3, "kind": "mean difference"}, "needs two classes"),
        ({"labels": torch.cat([torch.zeros(19), torch.ones(1)])}, "one example"),
        ({"metric": "r2"}, "accuracy or auroc"),
        ({"test_share": 0.0}, "between 0 and 1"),
        ({"groups": torch.zeros(20)}, "none can be held out"),
        ({"positions": [9]}, "0 to 3"),
        ({"positions": "S2"}, "give numbers"),
        ({"seeds": ()}, "at least one seed"),
    ):
        with pytest.raises(ValueError, match=message):
            linear_probe(model, tokens, **{"labels": labels, **arguments})
    with pytest.raises(KeyError, match="no activation 'mlp_uot'"):
        linear_probe(model, tokens, labels, site="mlp_uot")
    with pytest.raises(KeyError, match="has no position called"):
        linear_probe(model, tiny_task(batch=20), labels, positions="S2")
    with torch.no_grad():
        model.W_E[:] = torch.nan
    with pytest.raises(ValueError, match="NaN"):
        linear_probe(model, tokens, labels)
