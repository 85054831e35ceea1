"""Metrics that need a model or its tokens: splicing, detection, contexts, logit lists, pages."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from mechscope.dictionaries import ReluConfig, TopKConfig, build, transcoder
from mechscope.dictionaries.evaluation import (
    ExampleContexts,
    automatic_detection,
    detection,
    evaluate,
    feature_pages,
    logit_effects,
    logit_lists,
    nearest_features,
    read_activations,
    read_features,
    spliced_loss,
    spread_contexts,
    top_contexts,
    windows,
)
from tests.model.tiny import close, exact_model, tiny_model, tiny_tokens

RESID = "blocks.1.hook_resid_pre"


class Perfect:
    """Everything comes back as it was."""

    def encode(self, x: Tensor) -> Tensor:
        return x.relu()

    def decode(self, features: Tensor, x: Tensor) -> Tensor:
        return x


class Zeros(Perfect):
    """Nothing comes back."""

    def decode(self, features: Tensor, x: Tensor) -> Tensor:
        return torch.zeros_like(x)


def losses(logits: Tensor, tokens: Tensor, keep: Tensor | None = None) -> Tensor:
    each = -logits[:, :-1].log_softmax(-1).gather(-1, tokens[:, 1:, None])[..., 0]
    return each.mean() if keep is None else each[keep].mean()


# Splicing -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["plain", "rotary"])
def test_a_perfect_dictionary_costs_nothing_and_zeros_are_zero_ablation(variant: str) -> None:
    model, tokens = exact_model(variant, seed=1), tiny_tokens(5, 9)
    perfect = spliced_loss(model, Perfect(), tokens, RESID, batch_size=2)
    assert perfect.delta_ce == pytest.approx(0, abs=1e-6)
    assert perfect.kl == pytest.approx(0, abs=1e-6)
    assert perfect.recovered_zero == pytest.approx(1)
    assert perfect.recovered_mean == pytest.approx(1)
    assert perfect.predictions == 5 * 8
    assert perfect.ce == pytest.approx(float(model(tokens, return_type="loss").detach()), rel=1e-5)
    zeros = spliced_loss(model, Zeros(), tokens, RESID, batch_size=3)
    assert zeros.ce_spliced == pytest.approx(zeros.ce_zero)
    assert zeros.kl == pytest.approx(zeros.kl_zero)
    assert zeros.recovered_zero == pytest.approx(0, abs=1e-9)
    # The mean keeps the stream's offset: it is not the same ablation.
    assert zeros.ce_mean != pytest.approx(zeros.ce_zero, rel=1e-3)


@pytest.mark.parametrize("hook_name", [RESID, "blocks.0.hook_mlp_out", "blocks.0.attn.hook_z"])
@pytest.mark.parametrize("seed", [0, 2])
def test_losses_are_those_of_a_run_with_the_reconstruction_in_place(hook_name: str, seed: int) -> None:
    model, tokens = tiny_model(seed=seed), tiny_tokens(4, 7, seed=seed)
    width = 32 if hook_name.endswith("hook_z") else 24
    dictionary = build(ReluConfig(d_in=width, d_sae=40), seed).eval()
    found = spliced_loss(model, dictionary, tokens, hook_name, batch_size=3)

    def put(value: Any) -> Tensor:
        def hook(activation: Tensor, hook: Any) -> Tensor:
            return value(activation)

        return model.run_with_hooks(tokens, fwd_hooks=[(hook_name, hook)]).detach()

    _, cache = model.run_with_cache(tokens)
    mean = cache[hook_name].flatten(0, 1).mean(0)
    clean = model(tokens).detach()
    logits = {
        "spliced": put(lambda a: dictionary(a.reshape(*a.shape[:2], -1)).reshape(a.shape)),
        "zero": put(torch.zeros_like),
        "mean": put(lambda a: mean.expand_as(a)),
    }
    assert found.ce == pytest.approx(float(losses(clean, tokens)), rel=1e-5)
    for name, other in logits.items():
        assert getattr(found, f"ce_{name}") == pytest.approx(float(losses(other, tokens)), rel=1e-5), name
        kl = F.kl_div(
            other[:, :-1].log_softmax(-1),
            clean[:, :-1].log_softmax(-1),
            log_target=True,
            reduction="none",
        ).sum(-1)
        key = "kl" if name == "spliced" else f"kl_{name}"
        assert getattr(found, key) == pytest.approx(float(kl.mean()), rel=1e-4), name
    assert found.recovered_mean == pytest.approx(
        1 - (found.ce_spliced - found.ce) / (found.ce_mean - found.ce)
    )


def test_first_positions_and_padding_are_left_alone() -> None:
    model, tokens = tiny_model(seed=3), tiny_tokens(3, 8, seed=3)
    found = spliced_loss(model, Zeros(), tokens, RESID, skip_first=2)
    assert found.predictions == 3 * 5

    def zero_later(activation: Tensor, hook: Any) -> Tensor:
        return torch.cat([activation[:, :2], torch.zeros_like(activation[:, 2:])], dim=1)

    logits = model.run_with_hooks(tokens, fwd_hooks=[(RESID, zero_later)]).detach()
    keep = torch.zeros(3, 7, dtype=torch.bool)
    keep[:, 2:] = True
    assert found.ce_spliced == pytest.approx(float(losses(logits, tokens, keep)), rel=1e-5)
    # A text with padding behind it counts as it does alone.
    mask = torch.ones(3, 8, dtype=torch.bool)
    mask[1, 5:] = False
    padded = spliced_loss(model, Zeros(), tokens, RESID, attention_mask=mask)
    alone = [spliced_loss(model, Zeros(), part, RESID) for part in (tokens[[0, 2]], tokens[1:2, :5])]
    assert padded.predictions == sum(part.predictions for part in alone)
    expected = sum(part.ce_spliced * part.predictions for part in alone) / padded.predictions
    assert padded.ce_spliced == pytest.approx(expected, rel=1e-5)


def test_a_transcoder_reads_here_and_writes_there() -> None:
    model, tokens = tiny_model(seed=4), tiny_tokens(4, 6, seed=4)
    read, write = "blocks.1.ln2.hook_normalized", "blocks.1.hook_mlp_out"
    dictionary = build(transcoder(ReluConfig(d_in=24, d_sae=30), 24, skip=True), 2).eval()
    found = spliced_loss(model, dictionary, tokens, read, hook_out=write)
    held: list[Tensor] = []
    logits = model.run_with_hooks(
        tokens,
        fwd_hooks=[
            (read, lambda a, hook: held.append(dictionary(a))),
            (write, lambda a, hook: held[-1]),
        ],
    )
    assert found.ce_spliced == pytest.approx(float(losses(logits.detach(), tokens)), rel=1e-5)
    assert found.hook_name == write
    with pytest.raises(ValueError, match="swap the hook points"):
        spliced_loss(model, dictionary, tokens, write, hook_out=read)
    whole = evaluate(dictionary, tokens, model=model, hook_name=read, hook_out=write)
    _, cache = model.run_with_cache(tokens)
    target, written = cache[write], dictionary(cache[read]).detach()
    by_hand = (target - written).square().sum() / (target - target.mean((0, 1))).square().sum()
    assert whole.fvu == pytest.approx(float(by_hand), rel=1e-5)


def test_splicing_what_does_not_fit() -> None:
    model, tokens = tiny_model(), tiny_tokens()
    small = build(ReluConfig(d_in=8, d_sae=16))
    with pytest.raises(KeyError, match="did you mean"):
        spliced_loss(model, small, tokens, "blocks.1.hook_resid_pree")
    with pytest.raises(ValueError, match="d_in = 8"):
        spliced_loss(model, small, tokens, RESID)
    with pytest.raises(ValueError, match="there is no token left to predict"):
        spliced_loss(model, Perfect(), tokens, RESID, skip_first=8)
    with pytest.raises(ValueError, match="whole numbers"):
        spliced_loss(model, Perfect(), torch.ones(2, 3), RESID)
    wide = build(transcoder(ReluConfig(d_in=24, d_sae=16), 9))
    with pytest.raises(ValueError, match="writes shape"):
        spliced_loss(model, wide, tokens, RESID)
    assert not any(point.fwd_hooks for point in model.hook_points())


def test_evaluating_in_a_model() -> None:
    model, tokens = tiny_model(seed=5), tiny_tokens(7, 9, seed=5)
    dictionary = build(TopKConfig(d_in=24, d_sae=48, k=4), 1).eval()
    found = evaluate(
        dictionary, tokens, model=model, hook_name=RESID, skip_first=1, text_batch_size=2, batch_size=5
    )
    _, cache = model.run_with_cache(tokens)
    alone = evaluate(dictionary, cache[RESID][:, 1:])
    assert found.examples == 7 * 8
    for name in ("l0", "fvu", "cosine", "bias"):
        assert getattr(found, name) == pytest.approx(getattr(alone, name), rel=1e-5), name
    assert found.splice == spliced_loss(model, dictionary, tokens, RESID, skip_first=1, batch_size=2)
    table = found.table.values
    assert float(table.sel(measure="ΔCE spliced in (nats)")) == found.splice.delta_ce
    assert {"loss recovered, zero ablation", "loss recovered, mean ablation"} <= set(
        table.coords["measure"].values.tolist()
    )
    with pytest.raises(ValueError, match="with a model, give hook_name too"):
        evaluate(dictionary, tokens, model=model)
    with pytest.raises(ValueError, match=r"data must be tokens"):
        evaluate(dictionary, cache[RESID], model=model, hook_name=RESID)


# Detection ----------------------------------------------------------------------------------------------------


def test_windows_end_at_their_token() -> None:
    assert windows(torch.tensor([[5, 6, 7]]), 3).tolist() == [[[-1, -1, 5], [-1, 5, 6], [5, 6, 7]]]


def test_detection_by_hand() -> None:
    contexts = torch.tensor([[1], [1], [1], [2], [2]])
    active = torch.tensor([True, True, False, False, True])
    rule = lambda c: c[:, -1] == 1  # noqa: E731
    found = detection(rule, contexts, active)
    # Hits: 2 of 3 active, 1 of 2 inactive. Pairs: 3·2 = 6; active 1s beat the inactive 2 (2), tie with the
    # inactive 1 (2 · ½), the active 2 ties with the inactive 2 (½) and loses to the inactive 1.
    assert found.balanced_accuracy == pytest.approx((2 / 3 + 1 / 2) / 2)
    assert found.auc == pytest.approx((2 + 1 + 0.5) / 6)
    assert (found.active, found.inactive) == (3, 2)
    always = detection(lambda c: torch.ones(len(c)), contexts, active)
    assert (always.auc, always.balanced_accuracy) == (0.5, 0.5)
    backwards = detection(lambda c: c[:, -1] != 1, contexts, active)
    assert backwards.auc == pytest.approx(1 - found.auc)


def test_detection_of_what_does_not_fit() -> None:
    contexts = torch.tensor([[1], [2]])
    with pytest.raises(ValueError, match="both kinds"):
        detection(lambda c: c[:, 0], contexts, torch.tensor([True, True]))
    with pytest.raises(ValueError, match="one score per context"):
        detection(lambda c: c.float(), contexts, torch.tensor([True, False]))
    with pytest.raises(ValueError, match="not finite"):
        detection(lambda c: c[:, 0] * math.inf, contexts, torch.tensor([True, False]))


def test_example_contexts_are_log_odds() -> None:
    rule = ExampleContexts(torch.tensor([[3, 1], [3, 1]]), torch.tensor([[4, 2], [4, 1], [3, 2]]))
    scores = rule(torch.tensor([[3, 1], [4, 2], [9, 9]]))
    # Place 0 has kinds 3, 4, 9; place 1 has 1, 2, 9: a third of a count each; 2 examples, 3 others.
    third = 1 / 3

    def odds(among_examples: int, among_others: int) -> float:
        return math.log((among_examples + third) / 3) - math.log((among_others + third) / 4)

    assert scores[0] == pytest.approx(odds(2, 1) + odds(2, 1))
    assert scores[1] == pytest.approx(odds(0, 2) + odds(0, 2))
    assert scores[2] == pytest.approx(2 * odds(0, 0))
    with pytest.raises(ValueError, match="windows of 2 tokens"):
        rule(torch.tensor([[1, 2, 3]]))


@pytest.mark.parametrize("seed", [0, 1])
def test_a_unit_with_a_pattern_is_detected_and_noise_is_not(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(0, 12, (400, 20), generator=generator)
    bigram = torch.zeros(400, 20)
    bigram[:, 1:] = ((tokens[:, 1:] == 3) & (tokens[:, :-1] < 6)) * (
        1 + torch.rand(400, 19, generator=generator)
    )
    noise = torch.randn(400, 20, generator=generator)
    dead = torch.zeros(400, 20)
    activations = torch.stack([bigram, noise, dead, bigram - 1], dim=-1)
    many: dict[str, Any] = {"examples": 100, "background": 400, "seed": seed}
    features = automatic_detection(tokens, activations[..., :3], **many)
    assert features.auc[0] > 0.97
    assert features.balanced_accuracy[0] > 0.9
    assert abs(float(features.auc[1]) - 0.5) < 0.15
    assert math.isnan(features.auc[2])
    assert features.scored == 2
    # A neuron is never exactly zero: what counts as active is its own top share.
    neuron = automatic_detection(tokens, activations, units=[3], active_share=0.03, **many)
    assert neuron.mean_auc > 0.97
    again = automatic_detection(tokens, activations, units=[3], active_share=0.03, **many)
    assert torch.equal(neuron.auc, again.auc)


# Contexts -----------------------------------------------------------------------------------------------------


def test_top_contexts_by_hand() -> None:
    tokens = torch.arange(12).reshape(2, 6)
    activations = torch.tensor([[0.0, 3, 0, 5, 0, 0], [0, 0, 0, 0, 0, 4]])
    found = top_contexts(tokens, activations, 5, window=(1, 2))
    assert [(c.text, c.position, c.activation) for c in found] == [(0, 3, 5.0), (1, 5, 4.0)]
    assert found[0].tokens == (2, 3, 4, 5)
    assert found[0].activations == (0.0, 5.0, 0.0, 0.0)
    assert found[0].start == 2
    assert found[1].tokens == (10, 11)
    every = top_contexts(tokens, activations, 5, one_a_text=False)
    assert [c.activation for c in every] == [5.0, 4.0, 3.0]
    assert top_contexts(tokens, torch.zeros(2, 6)) == ()


def test_groups_of_strength_by_hand() -> None:
    tokens = torch.arange(10).reshape(1, 10)
    activations = torch.tensor([[0.0, 1, 2, 3, 4, 10, 0, 0, 0, 0]])
    by_width = spread_contexts(tokens, activations, 2, 9, by="interval")
    assert [(g.low, g.high, g.count) for g in by_width] == [(5.0, 10.0, 1), (0.0, 5.0, 4)]
    assert [c.activation for c in by_width[1].contexts] == [4.0, 3.0, 2.0, 1.0]
    by_share = spread_contexts(tokens, activations, 2, 1, by="quantile")
    assert [g.count for g in by_share] == [2, 3]
    assert [len(g.contexts) for g in by_share] == [1, 1]
    assert spread_contexts(tokens, activations * 0) == ()
    with pytest.raises(ValueError, match="'quantile' or 'interval'"):
        spread_contexts(tokens, activations, by="other")  # pyright: ignore[reportArgumentType]


# Logits, neighbours, pages ------------------------------------------------------------------------------------


@pytest.mark.parametrize("variant", ["plain", "LNPre", "RMS", "no norm"])
def test_logit_effects_are_what_the_stream_s_end_does(variant: str) -> None:
    model = tiny_model(variant, seed=6)
    direction = torch.randn(24, generator=torch.Generator().manual_seed(1))
    effects = logit_effects(model, direction[None])[0]
    # The norm's scale is held as it is: the difference is linear in the direction.
    base = torch.randn(1, 1, 24, generator=torch.Generator().manual_seed(2))
    kind = model.cfg.normalization_type
    centred = base - base.mean(-1, keepdim=True) if kind in ("LN", "LNPre") else base
    scale = 1.0
    if kind is not None:
        scale = float((centred.square().mean() + model.cfg.eps).sqrt())

    def logits(at: Tensor) -> Tensor:
        rows = at - at.mean(-1, keepdim=True) if kind in ("LN", "LNPre") else at
        weight = getattr(model.ln_final, "w", None)
        weight = torch.ones(24) if weight is None else weight
        return (rows / scale * weight) @ model.W_U

    moved = (logits(base + direction) - logits(base))[0, 0].detach() * scale
    assert torch.allclose(effects, moved - moved.mean(), atol=1e-4)
    assert float(effects.mean()) == pytest.approx(0, abs=1e-5)


def test_logit_lists_are_in_order() -> None:
    effects = torch.tensor([[0.0, 3, -2, 1]])
    (found,) = logit_lists(effects, 2)
    assert found.top == (1, 3)
    assert found.top_values == (3.0, 1.0)
    assert found.bottom == (2, 0)
    with pytest.raises(ValueError, match="from 1 to 4"):
        logit_lists(effects, 5)


def test_neurons_write_through_a_matrix() -> None:
    model = tiny_model(seed=2)
    through = model.W_out[0]
    assert torch.allclose(
        logit_effects(model, torch.eye(40)[:3], through), logit_effects(model, through[:3]), atol=1e-5
    )
    with pytest.raises(ValueError, match="give `through`"):
        logit_effects(model, torch.eye(40)[:3])


def test_nearest_features_by_hand() -> None:
    decoder = torch.tensor([[1.0, 0.0], [2.0, 0.2], [0.0, 1.0], [-5.0, 0.0]])
    (found,) = nearest_features(decoder, [0], 3)
    assert found.nearest == (1, 2, 3)
    assert found.cosines == pytest.approx((2 / math.hypot(2, 0.2), 0.0, -1.0))
    (elsewhere,) = nearest_features(decoder, [0], 1, among=decoder)
    assert elsewhere.nearest == (0,)
    with pytest.raises(ValueError, match="number of other features, 3,"):
        nearest_features(decoder, [0], 4)


def test_reading_text_by_text_is_reading_at_once() -> None:
    model, tokens = tiny_model(seed=7), tiny_tokens(5, 6)
    parts = [x for x, _ in read_activations(model, tokens, "blocks.0.attn.hook_z", batch_size=2)]
    _, cache = model.run_with_cache(tokens)
    assert [len(part) for part in parts] == [2, 2, 1]
    assert close(torch.cat(parts), cache["blocks.0.attn.hook_z"].flatten(2))
    dictionary = build(ReluConfig(d_in=24, d_sae=40), 1).eval()
    some = read_features(model, dictionary, tokens, RESID, [7, 3], batch_size=2)
    assert close(some, dictionary.encode(cache[RESID]).detach()[..., [7, 3]])
    with pytest.raises(ValueError, match="from 0 to 39"):
        read_features(model, dictionary, tokens, RESID, [40])


def test_pages_hold_what_their_parts_say() -> None:
    model, tokens = tiny_model(seed=8), tiny_tokens(6, 9, seed=8)
    dictionary = build(ReluConfig(d_in=24, d_sae=40), 1).eval()
    mask = torch.ones_like(tokens, dtype=torch.bool)
    mask[0, 4:] = False
    pages = feature_pages(
        model, dictionary, tokens, RESID, [5, 0], attention_mask=mask, contexts=3, batch_size=4
    )
    values = read_features(model, dictionary, tokens, RESID, [5, 0], attention_mask=mask) * mask[..., None]
    for column, page in enumerate(pages):
        here = values[..., column]
        assert page.feature == (5, 0)[column]
        assert page.density == pytest.approx(int((here > 0).sum()) / int(mask.sum()))
        assert page.max_activation == pytest.approx(float(here.max()))
        assert sum(page.histogram_counts) == int((here > 0).sum())
        assert page.top[0].activation == pytest.approx(float(here.max()))
        assert page.neighbours.feature == page.feature
        assert page.logits is not None
        effects = logit_effects(model, dictionary.W_dec[[page.feature]])[0]
        assert page.logits.top[0] == int(effects.argmax())
        assert all(context.text != 0 or context.position < 4 for context in page.top)
        json.dumps(page.to_dict())
    elsewhere = build(ReluConfig(d_in=40, d_sae=40), 1).eval()
    (neurons,) = feature_pages(model, elsewhere, tokens, "blocks.0.mlp.hook_post", [1], tokens_listed=3)
    assert neurons.logits is None
    through = feature_pages(
        model, elsewhere, tokens, "blocks.0.mlp.hook_post", [1], through=model.W_out[0], tokens_listed=3
    )
    assert through[0].logits is not None
