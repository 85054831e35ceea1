"""Frontiers beside each other, and what best coefficients would win back: cases computed by hand."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from mechscope.dictionaries import ReluConfig, TopKConfig, build
from mechscope.dictionaries.evaluation import evaluate, refit_gain
from mechscope.dictionaries.frontier.comparing import at_l0, compare, levels_of, orders
from mechscope.dictionaries.frontier.figures import MEASURES, frontier_figures
from mechscope.dictionaries.frontier.plot import frontier_svg
from mechscope.dictionaries.frontier.points import Point, Sweep, load_sweep, read_point, write_point
from mechscope.dictionaries.frontier.presets import PRESETS, schedule
from mechscope.dictionaries.frontier.settings import Contender, SweepConfig, sweep_from_dict
from mechscope.dictionaries.frontier.tables import as_markdown, as_text, level_table, order_table
from mechscope.dictionaries.sources.config import SourceConfig


def point(architecture: str, l0: float, fvu: float, seed: int = 0) -> Point:
    return Point(
        architecture=architecture,
        sparsity=l0,
        lr=0.01,
        seed=seed,
        objective=1.0,
        l0=l0,
        fvu=fvu,
        bias=1.0,
        dead_share=0.25,
    )


def sweep_of(points: list[Point], seeds: tuple[int, ...] = (0,)) -> Sweep:
    names = list(dict.fromkeys(each.architecture for each in points))
    config = SweepConfig(
        source=SourceConfig(synthetic="sharkey-small"),
        d_sae=64,
        contenders=tuple(Contender(architecture=name, sparsities=(2, 8)) for name in names),
        learning_rates=(0.01,),
        training=schedule(10, 64),
        seeds=seeds,
    )
    return Sweep(config, "made up", tuple(points), (), 1.0)


def test_between_points_logarithms_are_straight() -> None:
    line = [point("topk", 2, 0.4), point("topk", 8, 0.1)]
    assert at_l0(line, 4) == pytest.approx(0.2)  # halfway in log L0, and in log FVU
    assert at_l0(line, 2) == pytest.approx(0.4)
    assert at_l0(line, 8) == pytest.approx(0.1)
    assert at_l0(line, 1.9) is None
    assert at_l0(line, 8.1) is None
    # A cost that is below nothing has no logarithm.
    assert at_l0(line, 4, lambda p: p.fvu - 0.2) == pytest.approx(0.05)


def test_architectures_are_compared_seed_by_seed() -> None:
    points = [
        *[point("relu", l0, 2 / l0, 0) for l0 in (2, 8)],
        *[point("relu", l0, 4 / l0, 1) for l0 in (2, 8)],
        *[point("topk", l0, 1 / l0, 0) for l0 in (2, 8)],
        *[point("topk", l0, 8 / l0, 1) for l0 in (2, 8)],
    ]
    sweep = sweep_of(points, (0, 1))
    assert levels_of(sweep, 7) == [2, 2.5, 3, 4, 5, 6, 8]
    assert levels_of(sweep) == [2, 3, 4, 5, 8]
    topk = next(each for each in compare(sweep, [4]) if each.architecture == "topk")
    assert topk.fvu == pytest.approx((0.25, 2.0))
    assert topk.ratio == pytest.approx((0.5, 2.0))
    assert topk.mean == pytest.approx(1.125)
    assert topk.mean_ratio == pytest.approx(1.0)
    (order,) = orders(sweep, [2, 4, 8])
    assert (order.agreeing, len(order.ratios), order.verdict) == (3, 6, "mixed")


@pytest.mark.parametrize(("factor", "verdict"), [(0.5, "agrees"), (2.0, "the other way round")])
def test_an_order_agrees_or_does_not(factor: float, verdict: str) -> None:
    points = [point("relu", l0, 1 / l0) for l0 in (2, 8)] + [point("gated", l0, factor / l0) for l0 in (2, 8)]
    (order,) = orders(sweep_of(points), [2, 4])
    assert order.verdict == verdict
    assert order.ratios == pytest.approx((factor, factor))


def test_frontiers_that_do_not_meet_are_not_compared() -> None:
    points = [point("relu", 20, 0.1), point("relu", 30, 0.05), point("topk", 2, 0.3), point("topk", 8, 0.2)]
    sweep = sweep_of(points)
    assert levels_of(sweep) == []
    (order,) = orders(sweep, [4, 25])
    assert order.verdict == "not compared"
    assert "not compared" in as_text(order_table(sweep))


def test_tables_and_plots_hold_every_architecture_and_point(tmp_path: Path) -> None:
    points = [point("relu", l0, 2 / l0) for l0 in (2, 8)] + [point("topk", l0, 1 / l0) for l0 in (2, 4, 8)]
    sweep = sweep_of(points)
    table = level_table(sweep)
    assert table[0] == ["architecture", "lr", *(f"FVU at L0 {l0}" for l0 in (2, 3, 4, 5, 8)), "ratio to ReLU"]
    ratios = " · ".join(["0.50"] * 5)
    assert table[2] == ["TopK", "0.01", "0.500", "0.333", "0.250", "0.200", "0.125", ratios]
    assert as_markdown(table).splitlines()[1] == "|---|---|---|---|---|---|---|---|"
    figures = frontier_figures(sweep)
    assert list(figures) == ["fvu"]  # nothing else was measured
    figure, _ = figures["fvu"]
    assert [len(trace.x) for trace in figure.data] == [2, 3]
    image = frontier_svg(sweep, MEASURES[0])
    assert image.count("<circle") == 5
    assert sweep.save(tmp_path / "sweep.json").is_file()
    loaded = load_sweep(tmp_path / "sweep.json")
    assert (loaded.points, loaded.config) == (sweep.points, sweep.config)
    (tmp_path / "sweep.json").write_text('{"format": "other"}')
    with pytest.raises(ValueError, match="not of the format"):
        load_sweep(tmp_path / "sweep.json")


def test_points_on_a_linear_axis_lie_where_their_numbers_say() -> None:
    """MMCS has a linear axis: three values in even steps are evenly spaced, the largest on top."""
    points = [
        dataclasses.replace(point("topk", l0, 0.5), mmcs=mmcs)
        for l0, mmcs in ((1, 0.2), (10, 0.4), (100, 0.6))
    ]
    image = frontier_svg(sweep_of(points), next(each for each in MEASURES if each.name == "mmcs"))
    places = image.split('polyline points="')[1].split('"')[0].split()
    xs, ys = zip(*[map(float, place.split(",")) for place in places], strict=True)
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1], abs=0.2)
    assert ys[0] - ys[1] == pytest.approx(ys[1] - ys[2], abs=0.2)
    assert ys[2] < ys[0]


def test_a_kept_point_belongs_to_its_settings(tmp_path: Path) -> None:
    write_point(tmp_path / "p.json", point("topk", 2, 0.4), "abc")
    assert read_point(tmp_path / "p.json", "abc") == point("topk", 2, 0.4)
    assert read_point(tmp_path / "p.json", "abd") is None
    (tmp_path / "p.json").write_text("{")
    assert read_point(tmp_path / "p.json", "abc") is None


@pytest.mark.parametrize("name", PRESETS)
def test_presets_are_whole(name: str) -> None:
    preset = PRESETS[name]
    assert sweep_from_dict(preset.to_dict()) == preset
    assert len(preset.contenders) == 6
    activations = preset.training.steps * preset.source.batch_size
    if preset.source.model:
        # One pass at most, so that a training loss is one of fresh activations.
        assert activations <= preset.source.tokens


# Best coefficients ------------------------------------------------------------------------------------


def test_halved_activations_are_won_back_whole() -> None:
    dictionary = build(ReluConfig(d_in=3, d_sae=3), 0)
    with torch.no_grad():
        dictionary.W_dec.copy_(torch.eye(3))
        dictionary.W_enc.copy_(0.5 * torch.eye(3))
    x = torch.tensor([[1.0, 2.0, 0.0], [0.0, 0.0, 3.0]])
    assert refit_gain(dictionary, x) == pytest.approx(1.0)


def test_what_was_not_chosen_is_not_won_back() -> None:
    dictionary = build(TopKConfig(d_in=2, d_sae=2, k=1), 0)
    with torch.no_grad():
        dictionary.W_dec.copy_(torch.eye(2))
        dictionary.W_enc.copy_(torch.eye(2))
    x = torch.tensor([[3.0, 1.0]])
    assert refit_gain(dictionary, x) == pytest.approx(0.0)
    with torch.no_grad():
        dictionary.W_enc.mul_(0.5)
    # Left over before: 1.5² + 1² = 3.25; with the best coefficient for the first feature: 1.
    assert refit_gain(dictionary, x) == pytest.approx(1 - 1 / 3.25)


@pytest.mark.parametrize("seed", [0, 1])
def test_the_gain_is_that_of_least_squares(seed: int) -> None:
    draw = torch.Generator().manual_seed(seed)
    dictionary = build(ReluConfig(d_in=6, d_sae=10), seed)
    with torch.no_grad():
        dictionary.b_dec.copy_(torch.randn(6, generator=draw))
    dictionary.set_scale(1.7)
    x = torch.randn(20, 6, generator=draw)
    gain = refit_gain(dictionary, x)
    before = after = 0.0
    with torch.no_grad():
        for row in x:
            features = dictionary.encode(row)
            before += float((row - dictionary(row)).square().sum())
            basis = (dictionary.W_dec[features > 0] / 1.7).T
            rest = row - dictionary.b_dec / 1.7
            after += float((rest - basis @ (torch.linalg.pinv(basis) @ rest)).square().sum())
    assert gain == pytest.approx(1 - after / before, abs=1e-5)
    assert 0 < gain < 1
    # No coefficients at all leave the whole of the fraction unexplained that evaluate reports.
    assert math.isclose(
        before / float((x - x.mean(0)).square().sum()), evaluate(dictionary, x).fvu, rel_tol=1e-5
    )


def test_reconstructions_that_are_not_linear_are_refused() -> None:
    dictionary = build(TopKConfig(d_in=4, d_sae=8, k=2, normalize="layer_norm"), 0)
    with pytest.raises(ValueError, match="no best coefficients"):
        refit_gain(dictionary, torch.randn(3, 4))
