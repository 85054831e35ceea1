"""Figures with and without massive activations: every metric is compared with the one of chosen tokens, by hand."""

from __future__ import annotations

import pytest
import torch

from mechscope.dictionaries import (
    NO_LIMITS,
    ModelStream,
    OutlierLimits,
    TopKConfig,
    TrainingConfig,
    build,
    train,
)
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import evaluate, feature_pages, spliced_loss
from mechscope.model.transformer import HookedTransformer
from tests.dictionaries.helpers import shaken
from tests.model.tiny import exact_model, tiny_tokens

HOOK = "blocks.1.hook_resid_pre"
RARE = 7
"""The token that is made massive."""


@pytest.fixture(params=[0, 1])
def seed(request: pytest.FixtureRequest) -> int:
    return request.param


@pytest.fixture
def model(seed: int) -> HookedTransformer:
    """A model in which one token has a massive embedding."""
    model = exact_model("plain", seed=seed)
    with torch.no_grad():
        model.W_E[RARE] *= 2000
    return model


@pytest.fixture
def tokens(seed: int) -> torch.Tensor:
    """Texts with 3 rare tokens among 200, in two of the texts."""
    tokens = tiny_tokens(20, 10, seed=seed)
    tokens[tokens == RARE] = RARE + 1
    tokens[3, 4] = tokens[3, 8] = tokens[11, 2] = RARE
    return tokens


@pytest.fixture
def dictionary(model: HookedTransformer, seed: int) -> Dictionary:
    return shaken("topk", seed, d_in=model.cfg.d_model)


@torch.no_grad()
def test_figures_without_outliers_are_those_of_the_other_tokens(model, tokens, dictionary) -> None:
    found = evaluate(dictionary, tokens, model=model, hook_name=HOOK)
    x = model.run_with_cache(tokens)[1][HOOK]
    ordinary = tokens != RARE
    alone = evaluate(dictionary, x[ordinary], outlier_limits=NO_LIMITS)
    everything = evaluate(dictionary, x, outlier_limits=NO_LIMITS)
    assert found.outliers == 3 and found.examples == 197 and everything.examples == 200
    for name in ("l0", "fvu", "cosine", "bias", "length_ratio"):
        assert getattr(found, name) == pytest.approx(getattr(alone, name), rel=1e-9)
        assert getattr(found.with_outliers, name) == pytest.approx(getattr(everything, name), rel=1e-9)
    assert found.activity.times.equal(alone.activity.times)
    # The sabotage: with the outliers, the figure describes three tokens.
    error = (x - dictionary(x)).square().sum(-1)
    assert float(error[~ordinary].sum() / error.sum()) > 0.9
    assert abs(everything.fvu - alone.fvu) > 0.1
    lines = str(found).splitlines()
    assert any(line.startswith("fraction of variance unexplained, with outliers") for line in lines)
    assert any(line.startswith("ΔCE, outliers spliced in too") for line in lines)


@torch.no_grad()
def test_outliers_stay_as_they_are_in_the_model(model, tokens, dictionary) -> None:
    ordinary = tokens != RARE
    keep = ordinary[:, :-1] & ordinary[:, 1:]

    def loss(value, where) -> float:
        def splice(activation, hook):
            return torch.where(where[..., None], value(activation), activation)

        logits = model.run_with_hooks(tokens, fwd_hooks=[(HOOK, splice)])
        return float(model.loss_fn(logits, tokens, per_token=True)[keep].mean())

    found = spliced_loss(model, dictionary, tokens, HOOK, batch_size=4)
    everywhere = torch.ones_like(ordinary)
    x = model.run_with_cache(tokens)[1][HOOK]
    assert found.outliers == 3 and found.predictions == int(keep.sum())
    assert found.ce == pytest.approx(loss(lambda x: x, ordinary), abs=1e-9)
    assert found.ce_spliced == pytest.approx(loss(dictionary, ordinary), abs=1e-9)
    assert found.ce_zero == pytest.approx(loss(torch.zeros_like, ordinary), abs=1e-9)
    mean = x[ordinary].mean(0)
    assert found.ce_mean == pytest.approx(loss(lambda x: mean.expand_as(x), ordinary), abs=1e-9)
    assert found.ce_outliers_spliced == pytest.approx(loss(dictionary, everywhere), abs=1e-9)
    assert found.delta_ce_outliers_spliced == pytest.approx(found.ce_outliers_spliced - found.ce)
    # Another batch size finds the same outliers.
    assert spliced_loss(model, dictionary, tokens, HOOK, batch_size=7).ce_spliced == pytest.approx(
        found.ce_spliced
    )
    complete = spliced_loss(model, dictionary, tokens, HOOK, outlier_limits=NO_LIMITS)
    assert complete.outliers == 0 and complete.ce_outliers_spliced is None
    assert complete.predictions == 20 * 9
    with pytest.raises(ValueError, match="no prediction without outliers: 200 of 200"):
        spliced_loss(model, dictionary, tokens, HOOK, outlier_limits=OutlierLimits(1e-6))


@torch.no_grad()
def test_pages_leave_them_out(model, tokens, dictionary) -> None:
    ordinary = tokens != RARE
    features = dictionary.encode(model.run_with_cache(tokens)[1][HOOK])
    strongest = features[~ordinary].max(0).values.argmax()  # a feature of the outliers
    pages = [
        feature_pages(model, dictionary, tokens, HOOK, [int(strongest)], tokens_listed=3, **limits)[0]
        for limits in ({}, {"outlier_limits": NO_LIMITS})
    ]
    without, complete = pages
    here = features[..., strongest]
    assert without.outliers == 3 and complete.outliers == 0
    assert without.density == pytest.approx(float((here[ordinary] > 0).double().mean()))
    assert without.max_activation == pytest.approx(float(here[ordinary].max()))
    assert complete.max_activation == pytest.approx(float(here.max()))
    assert complete.max_activation > 5 * without.max_activation
    assert complete.top[0].tokens[complete.top[0].position - complete.top[0].start] == RARE


@torch.no_grad()
def test_a_stream_of_activations_has_the_same_outliers(model, tokens, dictionary) -> None:
    x = model.run_with_cache(tokens)[1][HOOK].flatten(0, 1)
    whole = evaluate(dictionary, x)
    streamed = evaluate(dictionary, (rows for rows in x.split(30)), batch_size=11)
    for found in (whole, streamed):
        assert (found.outliers, found.examples) == (3, 197)
        assert found.outlier_limits.x == pytest.approx(25 * float(x.norm(dim=-1).median()), rel=1e-6)
    assert whole.fvu == pytest.approx(streamed.fvu)
    assert whole.with_outliers is not None and streamed.with_outliers is not None
    assert whole.with_outliers.fvu == pytest.approx(streamed.with_outliers.fvu)


def test_a_trained_dictionary_keeps_its_limits_and_its_first_positions(model, tokens) -> None:
    stream = ModelStream(model, tokens, HOOK, batch_size=30, buffer_size=180, dtype=torch.float64)
    dictionary = build(TopKConfig(d_in=model.cfg.d_model, d_sae=32, k=4, dtype="float64"), 0)
    run = train(dictionary, stream, TrainingConfig(steps=12), progress=False)
    assert run.outliers == 6  # two passes
    # In texts with many of them, an estimate would find nothing unusual.
    many = tokens.clone()
    many[many == RARE] = RARE + 1
    many[:, 1::2] = RARE
    with torch.no_grad():
        x = model.run_with_cache(many)[1][HOOK][:, 1:]
    found = evaluate(dictionary, x)
    assert (found.outliers, found.examples) == (100, 80)
    del dictionary.metadata["outlier_limits"]
    assert evaluate(dictionary, x).outliers == 0
    in_model = evaluate(dictionary, tokens, model=model, hook_name=HOOK)
    assert in_model.examples + in_model.outliers == 20 * 9 and dictionary.metadata["skip_first"] == 1
    assert evaluate(dictionary, tokens, model=model, hook_name=HOOK, skip_first=0).examples == 197


@torch.no_grad()
def test_without_outliers_every_figure_is_what_it_was(seed: int) -> None:
    model, tokens = exact_model("plain", seed=seed), tiny_tokens(20, 10, seed=seed)
    dictionary = shaken("topk", seed, d_in=model.cfg.d_model)
    found, before = (
        evaluate(dictionary, tokens, model=model, hook_name=HOOK, outlier_limits=limits)
        for limits in (None, NO_LIMITS)
    )
    assert found.outliers == 0 and found.with_outliers is None and found.outlier_limits.exist
    assert found.table.values.equals(before.table.values)
    assert str(found) == str(before) and found.splice == before.splice
