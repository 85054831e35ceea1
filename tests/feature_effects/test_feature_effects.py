"""Features patched, ablated and attributed: against one run each, against sums that must come out, against truth."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.testing import assert_close

import mechscope as ms
from mechscope.dictionaries import BatchTopKConfig, Dictionary, ReluConfig, TopKConfig, build, transcoder
from mechscope.feature_effects import (
    ablate_features,
    attribute_edges,
    attribute_features,
    direct_feature_attribution,
    patch_features,
)
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.task import Task
from mechscope.techniques.direct_logit_attribution import direct_logit_attribution
from tests.dictionaries.test_feature_sweep import WIDTHS, some_dictionary
from tests.model.tiny import tiny_model
from tests.techniques.tiny_task import tiny_task

QUIET = {"progress": False}
DIRECTIONS = ("denoise", "noise")


def runs(task: Task, direction: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Tokens of the run that is changed, and of the one that lends."""
    return (task.corrupted, task.clean) if direction == "denoise" else (task.clean, task.corrupted)


def with_hook(model: HookedTransformer, task: Task, tokens: torch.Tensor, hook: str, function: Any) -> float:
    """The mean metric of a whole run in which one activation is changed by hand."""
    with torch.no_grad(), model.hooks(fwd_hooks=[(hook, function)]):
        return float(task.measure(task.logits(model, tokens)).mean())


def plain(model: HookedTransformer, task: Task, tokens: torch.Tensor) -> float:
    with torch.no_grad():
        return float(task.measure(task.logits(model, tokens)).mean())


def one_by_one(
    model: HookedTransformer,
    task: Task,
    attached: Any,
    direction: str,
    value: torch.Tensor | None = None,
    positions: tuple[int, ...] = (0, 1, 2, 3, 4, 5),
) -> torch.Tensor:
    """Effects [pos feature] of every single feature at every position, a run each; the value is 0 or the source's."""
    base, other = runs(task, direction)
    at_base = model.run_with_cache(base, names_filter=attached.features)[1][attached.features]
    if value is None:
        value = model.run_with_cache(other, names_filter=attached.features)[1][attached.features]
    start = plain(model, task, base)
    effects = torch.zeros(task.length, value.shape[-1])
    for pos, feature in (at_base != value).any(0).nonzero().tolist():
        if pos not in positions:
            continue

        def change(a: torch.Tensor, hook: Any, pos: int = pos, feature: int = feature) -> None:
            a[:, pos, feature] = value[:, pos, feature]

        effects[pos, feature] = with_hook(model, task, base, attached.features, change) - start
    return effects


def dense(effects: Any) -> torch.Tensor:
    """Effects of all 50 features: those that differ nowhere do nothing."""
    values = effects.features.values
    full = torch.zeros(*values.shape[:-1], 50)
    full[..., values.coords["feature"].values.tolist()] = torch.tensor(values.values).float()
    return full


@pytest.mark.parametrize("direction", DIRECTIONS)
def test_patching_equals_one_run_each(direction: Any) -> None:
    model, task = tiny_model("plain", seed=1), tiny_task(seed=4)
    scale = plain(model, task, runs(task, direction)[1]) - plain(model, task, runs(task, direction)[0])
    with some_dictionary(24, 1).attached(model, "blocks.0.hook_resid_post") as attached:
        expected = one_by_one(model, task, attached, direction) / scale
        found = patch_features(model, task, attached, by=("pos", "feature"), direction=direction, **QUIET)
        assert found.features.values.dims == ("pos", "feature")
        assert_close(dense(found), expected, rtol=1e-3, atol=1e-4)
        assert float(expected.abs().max()) > 0.02
        # All of it at once is the other activation, and after the first block that is the other run.
        assert found.whole == pytest.approx(1.0, abs=1e-3)
        some = patch_features(model, task, attached, [7, 3], direction=direction, **QUIET)
        assert some.features.values.coords["feature"].values.tolist() == [7, 3]
        base, other = runs(task, direction)
        value = model.run_with_cache(other, names_filter=attached.features)[1][attached.features]

        def change(a: torch.Tensor, hook: Any) -> None:
            a[..., 7] = value[..., 7]

        effect = (with_hook(model, task, base, attached.features, change) - plain(model, task, base)) / scale
        assert float(some.features.values[0]) == pytest.approx(effect, rel=1e-3, abs=1e-4)

        missed = model.run_with_cache(other, names_filter=attached.error)[1][attached.error]
        effect = with_hook(model, task, base, attached.error, lambda a, hook: missed)
        assert some.error is not None
        effect = (effect - plain(model, task, base)) / scale
        assert float(some.error.values) == pytest.approx(effect, rel=1e-3, abs=1e-4)


def test_ablation_equals_one_run_each() -> None:
    model, task = tiny_model("plain", seed=2), tiny_task(seed=5)
    with some_dictionary(24, 2).attached(model, "blocks.1.hook_mlp_out") as attached:
        zeros = torch.zeros(3, task.length, 50)
        expected = one_by_one(model, task, attached, "noise", zeros, positions=(3, 5))
        found = ablate_features(model, task, attached, by=("pos", "feature"), normalize=False, **QUIET)
        # Only the last position is read after the last block.
        assert float(expected[:-1].abs().max()) < 1e-5 < 0.01 < float(expected[-1].abs().max())
        assert_close(dense(found), expected, rtol=1e-3, atol=1e-4)
        activations = model.run_with_cache(task.corrupted, names_filter=attached.features)[1][
            attached.features
        ]
        mean = activations.flatten(0, 1).mean(0).expand(3, task.length, -1)
        expected = one_by_one(model, task, attached, "noise", mean, positions=(5,))
        found = ablate_features(
            model, task, attached, "mean", by=("pos", "feature"), normalize=False, **QUIET
        )
        assert_close(dense(found), expected, rtol=1e-3, atol=1e-4)
        drawn = [
            ablate_features(model, task, attached, "resample", [1, 2], draws=4, seed=seed, **QUIET)
            for seed in (0, 0, 1)
        ]
        values = [each.features.values.values.tolist() for each in drawn]
        assert values[0] == values[1] != values[2]
        assert [each.features.provenance.seed for each in drawn] == [0, 0, 1]


@pytest.mark.parametrize("direction", DIRECTIONS)
@pytest.mark.parametrize("by", [("feature",), ("pos", "feature")])
@pytest.mark.parametrize("kind", ["relu", "topk", "scaled", "transcoder"])
def test_in_a_linear_model_attribution_is_patching_and_sums_to_the_whole(
    kind: str, by: Any, direction: Any
) -> None:
    model, task = tiny_model("no norm", seed=3), tiny_task(seed=6, n_answers=2)
    reads = writes = "blocks.1.hook_mlp_out"
    dictionary = some_dictionary(24, {"topk": 1}.get(kind, 2))
    if kind == "scaled":
        dictionary.set_scale(2.5)
    if kind == "transcoder":
        reads, dictionary = "blocks.1.hook_mlp_in", some_dictionary(24, 3, writes=24)
    target = writes if kind == "transcoder" else None
    with dictionary.attached(model, reads, writes=target) as attached:
        exact = patch_features(model, task, attached, by=by, direction=direction, **QUIET)
        found = attribute_features(model, task, attached, by, direction=direction, **QUIET)
    assert exact.error is not None and found.error is not None
    assert_close(dense(found), dense(exact), rtol=1e-3, atol=1e-5)
    assert_close(torch.tensor(found.error.values.values), torch.tensor(exact.error.values.values).double(),
                 rtol=1e-3, atol=1e-5, check_dtype=False)  # fmt: skip
    assert found.whole == pytest.approx(exact.whole, abs=1e-5)
    assert found.unexplained == pytest.approx(0.0, abs=1e-5)
    assert abs(found.whole) > 0.05 and abs(float(found.error.values.sum())) > 0.01
    if kind != "transcoder":
        # The whole is the other activation itself, by a run without any dictionary.
        base, other = runs(task, direction)
        value = model.run_with_cache(other, names_filter=writes)[1][writes]
        start, end = plain(model, task, base), plain(model, task, other)
        effect = with_hook(model, task, base, writes, lambda a, hook: value)
        assert found.whole == pytest.approx((effect - start) / (end - start), abs=1e-4)


def test_without_the_error_term_the_features_are_all_there_is() -> None:
    model, task = tiny_model("no norm", seed=4), tiny_task(seed=7)
    with some_dictionary(24, 1).attached(model, "blocks.1.hook_resid_mid", error_term=False) as attached:
        found = attribute_features(model, task, attached, steps=64, normalize=False, **QUIET)
        exact = patch_features(model, task, attached, normalize=False, **QUIET)
    assert found.error is None and exact.error is None
    assert found.whole == pytest.approx(exact.whole, abs=1e-4)
    assert found.unexplained == pytest.approx(0.0, abs=0.01 * abs(found.whole))


# Midpoints of 64 pieces: what is left of a smooth bend is of the order of 1/64², so one percent is generous.
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_integrated_gradients_sum_to_the_whole_within_a_percent(seed: int) -> None:
    model, task = tiny_model("plain", seed=seed), tiny_task(seed=seed)
    where = ("blocks.0.hook_resid_post", "blocks.0.hook_mlp_out", "blocks.1.hook_resid_pre")[seed]
    with some_dictionary(24, seed).attached(model, where) as attached:
        fine = attribute_features(model, task, attached, steps=64, normalize=False, **QUIET)
        plain_estimate = attribute_features(model, task, attached, normalize=False, **QUIET)
    assert abs(fine.unexplained) < 0.01 * abs(fine.whole)
    assert abs(plain_estimate.unexplained) > 5 * abs(fine.unexplained)


def test_gradients_beside_another_dictionary_are_those_of_the_model() -> None:
    """With the error term a dictionary changes no run, so it may change no estimate of another's features."""
    model, task = tiny_model("plain", seed=5), tiny_task(seed=8)
    low, high = some_dictionary(24, 1), some_dictionary(24, 2)
    with low.attached(model, "blocks.0.hook_resid_post") as below:
        alone = attribute_features(model, task, below, **QUIET)
        with high.attached(model, "blocks.1.hook_resid_mid"):
            beside = attribute_features(model, task, below, **QUIET)
    assert_close(dense(beside), dense(alone), rtol=1e-3, atol=1e-5)


def test_direct_attribution_adds_up_and_equals_ablation_without_norms() -> None:
    for seed, (variant, where) in enumerate([
        ("no norm", "blocks.1.hook_mlp_out"), ("plain", "blocks.0.hook_mlp_out"), ("plain", "blocks.1.mlp.hook_post"),
        ("norms before and after", "blocks.0.attn.hook_z"), ("plain", "blocks.1.hook_resid_post"),
    ]):  # fmt: skip
        model, task = tiny_model(variant, seed=seed), tiny_task(seed=seed, n_answers=2)
        dictionary = some_dictionary(WIDTHS.get(where.removeprefix(f"blocks.{where[7]}."), 24), seed)
        expected = direct_logit_attribution(model, task)
        with dictionary.attached(model, where) as attached:
            found = direct_feature_attribution(model, task, attached)
            subset = direct_feature_attribution(model, task, attached, [4])
            if variant == "no norm":
                gone = ablate_features(model, task, attached, normalize=False, **QUIET)
                assert_close(dense(found.effects), -dense(gone), rtol=1e-3, atol=1e-4)
        assert found.total == pytest.approx(expected.total, abs=1e-4)
        assert found.effects.unexplained == pytest.approx(0.0, abs=1e-5)
        assert subset.rest == pytest.approx(found.rest, abs=1e-5)
        assert subset.effects.total != pytest.approx(found.effects.total, abs=1e-3)
        parts = expected.contributions.values
        names = {"blocks.1.hook_mlp_out": ["m1"], "blocks.0.hook_mlp_out": ["m0"]}
        if where in names:
            others = expected.total - float(parts.sel(component=names[where]).sum())
            assert found.rest == pytest.approx(others, abs=1e-4)
        if where.endswith("resid_post"):
            constants = parts.sel(component=["final norm's bias", "unembedding's bias"])
            assert found.rest == pytest.approx(float(constants.sum()), abs=1e-4)
    with (
        some_dictionary(32, 1).attached(model, "blocks.0.attn.hook_v") as attached,
        pytest.raises(ValueError, match="does not write directly to the residual stream"),
    ):
        direct_feature_attribution(model, task, attached)


def test_edges_add_up_to_what_comes_through() -> None:
    """No norm and no attention change between the two: what a later feature reads is linear in the earlier ones."""
    model, task = tiny_model("no norm", seed=6), tiny_task(seed=9)
    low, high = some_dictionary(24, 1), some_dictionary(24, 2)
    with torch.no_grad():
        high.b_enc += 30.0  # every later feature is active in both runs, so that nothing bends
    reads = ("blocks.1.hook_attn_out", "blocks.1.hook_resid_mid")
    with low.attached(model, reads[0]) as below, high.attached(model, reads[1]) as above:
        edges = attribute_edges(model, task, below, above, 6, steps=1, **QUIET)
        later = attribute_features(model, task, above, **QUIET)
        patched = patch_features(model, task, below, **QUIET)
        base, other = runs(task, "denoise")
        cache = model.run_with_cache(base)[1]
        source = model.run_with_cache(other)[1]
        to = [int(feature) for feature in edges.effects.values.coords["destination"].values]
        assert_close(dense(later)[to], torch.tensor(edges.effects.values.values), rtol=1e-3, atol=1e-5)
        largest = dense(later).abs().topk(6).indices.tolist()
        assert to == largest
        # By hand: give the earlier place the other run's value, and see how far each later feature moves.
        moved = model.run_with_hooks(
            base, fwd_hooks=[(below.output, lambda a, hook: source[below.output])], return_type=None
        )
        assert moved is None
        kept: list[torch.Tensor] = []
        model.run_with_hooks(
            base,
            fwd_hooks=[
                (below.output, lambda a, hook: source[below.output]),
                (above.features, lambda a, hook: kept.append(a)),
            ],
            return_type=None,
        )
        shift = (kept[0] - cache[above.features])[..., to]
        whole = (source[above.features] - cache[above.features])[..., to]
        steepness = _slopes(model, task, above)[..., to]
        scale = plain(model, task, other) - plain(model, task, base)
        assert_close(
            torch.tensor(edges.through.values),
            (shift * steepness).sum(1).mean(0) / scale,
            rtol=1e-3,
            atol=1e-5,
        )
        assert_close(
            torch.tensor(edges.effects.values.values), (whole * steepness).sum(1).mean(0) / scale,
            rtol=1e-3, atol=1e-5,
        )  # fmt: skip
        # One edge by hand: one earlier feature at all positions.
        feature = patched.top(1)[0].feature
        kept.clear()

        def change(a: torch.Tensor, hook: Any) -> None:
            a[..., feature] = source[below.features][..., feature]

        model.run_with_hooks(
            base,
            fwd_hooks=[(below.features, change), (above.features, lambda a, hook: kept.append(a))],
            return_type=None,
        )
        shift = (kept[0] - cache[above.features])[..., to]
        assert_close(
            torch.tensor(edges.edges.values.sel(source=str(feature)).values),
            (shift * steepness).sum(1).mean(0) / scale, rtol=1e-3, atol=1e-5,
        )  # fmt: skip
        assert len(edges.strongest(3)) == 3
        assert float(edges.edges.values.sel(source="error").values.__abs__().max()) > 0
        named = attribute_edges(model, task, below, above, to[:2], steps=3, **QUIET)
        assert_close(
            torch.tensor(named.edges.values.values),
            torch.tensor(edges.edges.values.values[:2]),
            rtol=1e-3,
            atol=1e-5,
        )
        with pytest.raises(ValueError, match="give the earlier dictionary first"):
            attribute_edges(model, task, above, below, **QUIET)


def _slopes(model: HookedTransformer, task: Task, attached: Any) -> torch.Tensor:
    """d(metric)/d(feature) in the corrupted run, by autograd through the spliced model."""
    found: list[torch.Tensor] = []

    def keep(gradient: torch.Tensor, hook: Any) -> None:
        found.append(gradient)

    with model.hooks(bwd_hooks=[(attached.features, keep)]):
        task.measure(task.logits(model, task.corrupted)).sum().backward()
    model.zero_grad()
    return found[0]


# Truth --------------------------------------------------------------------------------------------


def basis_dictionary(d_model: int, decoder: torch.Tensor | None = None) -> Dictionary:
    """A feature for each direction of a planted model's residual stream, which is written in that basis."""
    dictionary = build(ReluConfig(d_in=d_model, d_sae=d_model))
    with torch.no_grad():
        dictionary.W_enc.copy_(torch.eye(d_model))
        dictionary.W_dec.copy_(torch.eye(d_model) if decoder is None else decoder)
    return dictionary.eval()


def causes(effects: Any) -> set[tuple[int, int]]:
    """(position, feature) whose effect is more than a thousandth of the largest possible."""
    values = effects.features.values
    found = (torch.tensor(values.values).abs() > 1e-3).nonzero().tolist()
    return {(row, int(values.coords["feature"].values[column])) for row, column in found}


@pytest.mark.parametrize("seed", [0, 1])
def test_the_features_of_a_planted_model_that_matter_are_found(seed: int) -> None:
    """It copies the token before: only the two tokens' features at the position before can matter."""
    planted = ms.planted.load("previous_token", seed=seed)
    task, model = planted.task(n=1, seed=seed, at=5), planted.model
    d_model = model.cfg.d_model
    where = "blocks.0.hook_resid_pre"
    clean, corrupted = model.W_E[task.clean[0, 4]], model.W_E[task.corrupted[0, 4]]
    truth = {(4, int((clean - corrupted).argmax())), (4, int((clean - corrupted).argmin()))}
    by = ("pos", "feature")
    with basis_dictionary(d_model).attached(model, where) as attached:
        patched = patch_features(model, task, attached, by=by, **QUIET)
        attributed = attribute_features(model, task, attached, by, **QUIET)
    assert causes(patched) == causes(attributed) == truth
    assert float(patched.features.values.sum()) == pytest.approx(1.0, abs=1e-2)
    # Shuffled rows in the decoder, and what is read is no longer what is written.
    order = torch.randperm(d_model, generator=torch.Generator().manual_seed(seed))
    with basis_dictionary(d_model, torch.eye(d_model)[order]).attached(model, where) as attached:
        patched = patch_features(model, task, attached, by=by, **QUIET)
        attributed = attribute_features(model, task, attached, by, **QUIET)
    assert causes(patched) != truth != causes(attributed)
    # What the features no longer carry is the error term's.
    assert patched.total == pytest.approx(1.0, abs=1e-2)
    assert abs(float(patched.features.values.sum()) - 1.0) > 0.1


# Misuse -------------------------------------------------------------------------------------------


def test_misuse_is_an_error_before_anything_runs() -> None:
    model, task = tiny_model("plain", seed=0), tiny_task(seed=0)
    with some_dictionary(24, 1).attached(model, "blocks.0.hook_mlp_out") as attached:
        with pytest.raises(ValueError, match="by must be one of"):
            patch_features(model, task, attached, by=("pos",), **QUIET)
        with pytest.raises(ValueError, match="numbered 0 to 49"):
            patch_features(model, task, attached, [50], **QUIET)
        with pytest.raises(ValueError, match="named twice"):
            ablate_features(model, task, attached, features=[1, 1], **QUIET)
        with pytest.raises(ValueError, match="steps is the number"):
            attribute_features(model, task, attached, steps=0, **QUIET)
        with pytest.raises(ValueError, match="how must be one of"):
            ablate_features(model, task, attached, "nothing", **QUIET)  # type: ignore[arg-type]
    for function in (patch_features, ablate_features, attribute_features):
        with pytest.raises(KeyError, match="no dictionary is attached there"):
            function(model, task, attached, **QUIET)
    across = build(transcoder(TopKConfig(d_in=24, d_sae=50, k=4), 24), 0)
    with across.attached(model, "blocks.0.hook_mlp_in", writes="blocks.1.hook_mlp_out") as attached:
        with pytest.raises(ValueError, match="both must be in one block"):
            patch_features(model, task, attached, **QUIET)
        assert attribute_features(model, task, attached, **QUIET).whole != 0
    mixing = build(BatchTopKConfig(d_in=24, d_sae=50, k=4), 0)
    with mixing.attached(model, "blocks.0.hook_mlp_out") as attached:
        with pytest.raises(ValueError, match="no threshold yet"):
            patch_features(model, task, attached, **QUIET)
        with torch.no_grad():
            mixing.threshold.fill_(0.1)
        assert patch_features(model, task, attached, **QUIET).features.values.size


def test_a_table_and_a_figure() -> None:
    model, task = tiny_model("plain", seed=0), tiny_task(seed=0)
    with some_dictionary(24, 1).attached(model, "blocks.0.hook_mlp_out") as attached:
        found = patch_features(model, task, attached, by=("pos", "feature"), **QUIET)
    top = found.top(3)
    assert abs(top[0].value) >= abs(top[1].value) >= abs(top[2].value)
    sizes = found.features.values
    assert top[0].value == float(sizes.sel(pos=top[0].pos, feature=top[0].feature))
    assert "error term" in str(found) and f"feature {top[0].feature} at {top[0].pos}" in str(found)
    assert len(found.figure(5).data[0].x) == 6
    assert found.features.figure().data
