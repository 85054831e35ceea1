"""Claim 2.15: its measures against brute force, and its claims against sabotage."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.labs import check_claims, run_lab
from mechscope.labs.grokking import LAB, GrokkingConfig, ModelConfig
from mechscope.labs.grokking import composition as composition_module
from mechscope.labs.grokking import experiment as experiment_module
from mechscope.labs.grokking.claims import CLAIMS
from mechscope.labs.grokking.composition import measure_composition, train_composition
from mechscope.labs.grokking.composition_irreps import (
    character_similarities,
    embedding_shares,
    key_irreps,
    neuron_losses,
)
from mechscope.labs.grokking.composition_network import (
    compose_pairs,
    composed,
    initial_network,
    loss_and_gradients,
    run_neurons,
)
from mechscope.labs.grokking.config import CompositionConfig
from mechscope.labs.grokking.pairs import Pairs, all_pairs
from mechscope.labs.grokking.permutations import SymmetricGroup, symmetric_group
from mechscope.runs import Workspace

TINY = CompositionConfig(n=3, d_embed=5, n_neurons=16, epochs=40, look_every=10)
S3, S4, S5 = symmetric_group(3), symmetric_group(4), symmetric_group(5)


def names_of(group: SymmetricGroup) -> list[str]:
    return list(group.irreps)[1:]


def network(config: CompositionConfig, seed: int) -> dict[str, torch.Tensor]:
    weights = initial_network(config, math.factorial(config.n), seed)
    return {name: tensor.double() for name, tensor in weights.items()}


# The data and the network ----------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_pairs_are_composed_and_split(seed: int) -> None:
    train, test = compose_pairs(S4, 0.4, seed)
    assert len(train) == int(0.4 * 576)
    assert len(train) + len(test) == 576
    for pairs in (train, test):
        assert pairs.answer.equal(S4.table[pairs.a, pairs.b])
    together = torch.cat([pairs.a * 24 + pairs.b for pairs in (train, test)])
    assert together.sort().values.equal(torch.arange(576))


def test_shuffled_answers_are_the_same_ones_elsewhere() -> None:
    real, shuffled = (
        compose_pairs(S4, 0.4, 0, shuffle_answers=shuffle_answers) for shuffle_answers in (False, True)
    )
    answers = [torch.cat([pairs.answer for pairs in both]) for both in (real, shuffled)]
    assert answers[0].sort().values.equal(answers[1].sort().values)
    assert (answers[0] == answers[1]).double().mean() < 0.15
    assert real[0].a.equal(shuffled[0].a)


@pytest.mark.parametrize("seed", [0, 1])
def test_gradients_are_those_of_autograd(seed: int) -> None:
    weights = network(TINY, seed)
    train, _ = compose_pairs(S3, 0.5, seed)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    stacked = torch.cat([leaves["W_a"][train.a], leaves["W_b"][train.b]], 1)
    neurons = (stacked @ torch.cat([leaves["W_in_a"], leaves["W_in_b"]])).relu()
    plain = torch.nn.functional.cross_entropy(neurons @ leaves["W_out"], train.answer)
    loss, gradients = loss_and_gradients(weights, train)
    assert float(loss) == pytest.approx(plain.item())
    for name, expected in zip(leaves, torch.autograd.grad(plain, list(leaves.values())), strict=True):
        torch.testing.assert_close(gradients[name], expected)


# Measures against brute force ------------------------------------------------------------------------


def characters_of_quotients(group: SymmetricGroup, product: torch.Tensor) -> dict[str, torch.Tensor]:
    """χ(product[a, b] c⁻¹) for every triple."""
    quotient = group.table[product[:, :, None], group.inverse]
    return {name: group.characters[name][quotient] for name in names_of(group)}


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("swap", [False, True])
def test_similarities_are_shares_of_a_least_squares_fit(seed: int, swap: bool) -> None:
    product = S4.table.T if swap else S4.table
    columns = characters_of_quotients(S4, product)
    logits = torch.randn(24, 24, 24, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    logits = 5 + logits + 0.2 * columns["3+1"] + 0.1 * columns["2+2"]
    found = character_similarities(logits, S4, names_of(S4), product)
    centred = (logits - logits.mean(2, keepdim=True)).flatten()
    for index, column in enumerate(columns.values()):
        assert float(found[index]) == pytest.approx(
            float(torch.cosine_similarity(centred, column.flatten(), dim=0))
        )
    design = torch.stack([column.flatten() for column in columns.values()], 1)
    missed = centred - design @ torch.linalg.lstsq(design, centred[:, None]).solution[:, 0]
    share = 1 - float(missed.square().sum() / centred.square().sum())
    assert float(found.square().sum()) == pytest.approx(share)


def test_characters_are_found_in_the_right_order_only() -> None:
    names, columns = names_of(S5), characters_of_quotients(S5, S5.table)
    logits = 3 * columns["4+1"] + 2 * columns["1+1+1+1+1"]
    found = character_similarities(logits, S5, names, S5.table)
    assert key_irreps(names, found) == ("4+1", "1+1+1+1+1")
    assert found.square().tolist() == pytest.approx([9 / 13, 0, 0, 0, 0, 4 / 13], abs=1e-12)
    swapped = character_similarities(logits, S5, names, S5.table.T)
    # On average over a and b, the commutator's character is 1 / dim; the sign does not notice.
    assert swapped.square().tolist() == pytest.approx([9 / 13 / 4**4, 0, 0, 0, 0, 4 / 13], abs=1e-12)
    order = torch.randperm(120, generator=torch.Generator().manual_seed(0))
    relabelled = character_similarities(logits[:, :, order], S5, names, S5.table)
    assert float(relabelled.square().sum()) < 0.05


def test_only_clear_similarities_are_keys() -> None:
    assert key_irreps(["a", "b", "c"], torch.tensor([0.0051, 0.0049, -0.9])) == ("a",)


@pytest.mark.parametrize(("keys", "seed"), [(["3+1"], 0), (["2+2", "1+1+1+1"], 1)])
def test_neuron_losses_by_least_squares(keys: list[str], seed: int) -> None:
    config = CompositionConfig(n=4, d_embed=6, n_neurons=20)
    weights, pairs = network(config, seed), composed(S4, all_pairs(24))
    others = [name for name in names_of(S4) if name not in keys]
    neurons = run_neurons(weights, pairs)

    def loss(changed: torch.Tensor) -> float:
        return float(torch.nn.functional.cross_entropy(changed @ weights["W_out"], pairs.answer))

    expected = {"whole": loss(neurons)}
    for what, names in (("keys", keys), ("others", others)):
        entries = torch.cat([S4.irreps[name][pairs.answer].flatten(1) for name in names], 1)
        part = entries @ torch.linalg.lstsq(entries, neurons).solution
        expected[f"{what} kept"] = loss(neurons.mean(0) + part)
        expected[f"{what} removed"] = loss(neurons - part)
    assert neuron_losses(weights, S4, keys, others) == pytest.approx(expected)


def test_embedding_shares_by_least_squares() -> None:
    weights = network(dataclasses.replace(TINY, n=4), 2)
    found = embedding_shares(weights, S4, list(S4.irreps))
    assert found.sum(1).tolist() == pytest.approx([1, 1])
    for row, place in enumerate("ab"):
        read = weights[f"W_{place}"] @ weights[f"W_in_{place}"]
        for column, matrices in enumerate(S4.irreps.values()):
            entries = matrices.flatten(1)
            part = entries @ torch.linalg.lstsq(entries, read).solution
            assert float(found[row, column]) == pytest.approx(
                float(part.square().sum() / read.square().sum())
            )


# Training --------------------------------------------------------------------------------------------


def workspace(folder: Path, **options: Any) -> Workspace:
    return Workspace(TINY, (0,), torch.device("cpu"), folder, **options)


def test_an_interrupted_training_continues_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_composition(workspace(tmp_path / "whole"), TINY, 0)
    real, calls = loss_and_gradients, []

    def stopped_at_23(weights: dict[str, torch.Tensor], pairs: Pairs):
        calls.append(None)
        if len(calls) == 23:
            raise KeyboardInterrupt
        return real(weights, pairs)

    monkeypatch.setattr(composition_module, "loss_and_gradients", stopped_at_23)
    with pytest.raises(KeyboardInterrupt):
        train_composition(workspace(tmp_path / "stopped", save_every=0), TINY, 0)
    resumed = train_composition(workspace(tmp_path / "stopped", save_every=0), TINY, 0)
    assert len(calls) == 40 + 1
    for name, tensor in whole.weights.items():
        assert tensor.equal(resumed.weights[name]), name
    for name, curve in vars(whole.history).items():
        assert curve.equal(getattr(resumed.history, name)), name
    assert resumed.history.epoch.tolist() == [0, 10, 20, 30, 40]


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_the_same_network_understands_or_memorises_depending_on_its_answers(
    tmp_path: Path, seed: int
) -> None:
    """Four things instead of five, so that it takes seconds; shuffled answers are the null."""
    config = CompositionConfig(
        n=4, fraction=0.7, d_embed=24, n_neurons=64, weight_decay=1.5, epochs=1200, look_every=50
    )
    real, shuffled = (
        measure_composition(
            train_composition(
                workspace(tmp_path / str(shuffle_answers)), config, seed, shuffle_answers=shuffle_answers
            )
        )
        for shuffle_answers in (False, True)
    )
    assert math.isfinite(shuffled["s5_memorised_epoch"])
    assert shuffled["s5_test_accuracy"] < 20
    assert real["s5_test_accuracy"] > 95
    assert real["s5_explained"] > 39
    assert shuffled["s5_explained"] < 0.1 * real["s5_explained"]
    assert real["s5_swapped_explained"] < 0.25 * real["s5_ordered_explained"]
    assert real["s5_keys_kept"] < real["s5_whole"] < 0.05 * real["s5_keys_removed"]
    assert real["s5_embedding"] > 95


# The claims ------------------------------------------------------------------------------------------

REPRODUCED = {
    "s5_guessing": math.log(120),
    "s5_test_accuracy": 100.0,
    "s5_keys": 3.0,
    "s5_explained": 59.9,
    "s5_memorised_explained": 3.0,
    "s5_ordered_explained": 37.3,
    "s5_swapped_explained": 0.2,
    "s5_relabelled_explained": 0.01,
    "s5_embedding": 99.99,
    "s5_whole": 3e-6,
    "s5_keys_kept": 2e-8,
    "s5_keys_removed": 11.97,
    "s5_others_kept": 4.7,
    "s5_others_removed": 3e-6,
}


def verdicts(measures: dict[str, float]) -> dict[str, str]:
    chosen = [claim for claim in CLAIMS if claim.needs == "composition"]
    return {checked.claim.id: checked.status for checked in check_claims(chosen, {0: measures})}


@pytest.mark.parametrize(
    ("change", "claim_id"),
    [
        ({"s5_test_accuracy": 98.0}, "2.15a"),
        ({"s5_explained": 38.0}, "2.15a"),
        ({"s5_embedding": 94.0}, "2.15a"),
        ({"s5_memorised_explained": 31.0}, "2.15a"),  # the characters were there before it grokked
        ({"s5_memorised_explained": math.nan}, "2.15a"),  # it never memorised
        ({"s5_swapped_explained": 37.0}, "2.15a"),  # the order makes no difference
        ({"s5_relabelled_explained": 10.0}, "2.15a"),  # any characters would do
        ({"s5_keys": 5.0}, "2.15b"),
        ({"s5_keys": 0.0}, "2.15b"),
        ({"s5_test_accuracy": 98.0}, "2.15b"),
        ({"s5_test_accuracy": 98.0}, "2.15c"),
        ({"s5_keys_kept": 4e-6}, "2.15c"),
        ({"s5_keys_removed": 4.0}, "2.15c"),
        ({"s5_others_kept": 2.0}, "2.15c"),
        ({"s5_others_removed": 1e-5}, "2.15c"),
    ],
)
def test_every_statement_can_fail(change: dict[str, float], claim_id: str) -> None:
    assert set(verdicts(REPRODUCED).values()) == {"pass"}
    assert verdicts({**REPRODUCED, **change})[claim_id] == "fail"


def test_a_network_that_learned_nothing_is_drawn_and_does_not_pass(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(experiment_module, "models_folder", lambda: None)
    monkeypatch.setattr(experiment_module, "study_bundled", lambda workspace: None)
    small = ModelConfig(
        p=11, d_model=16, n_heads=2, d_mlp=40, epochs=20, look_every=10, keep_every=10, settled=0
    )
    wired = dataclasses.replace(small, d_model=32, d_mlp=120)
    tiny = dataclasses.replace(TINY, n=4)
    quick = GrokkingConfig(small, hand_wired=wired)
    lab = dataclasses.replace(
        LAB, configs={"quick": quick, "full": dataclasses.replace(quick, composition=tiny)}
    )
    run = run_lab(lab, "full", out=tmp_path / "full", device="cpu")
    status = {checked.claim.id: checked.status for checked in run.claims}
    assert {status[f"2.15{letter}"] for letter in "abc"} == {"fail"}
    (figure,) = [figure for figure in run.outcome.figures if figure.name == "characters"]
    assert "Look" in figure.caption
    run = run_lab(lab, "quick", out=tmp_path / "quick", device="cpu")
    status = {checked.claim.id: checked.status for checked in run.claims}
    assert {status[f"2.15{letter}"] for letter in "abc"} == {"not-run"}
    assert "full budget" in run.outcome.missing_figures["characters"]
