"""Step 04's second subject: how a real model's heads are found and judged, and that random weights fail its claims."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mechscope.checkpoints import load_model
from mechscope.checkpoints.lab_models import SMOLLM2
from mechscope.labs import check_claims
from mechscope.labs.ioi import smollm2_parts
from mechscope.labs.ioi.attention_and_copying import copy_scores_on_prompts
from mechscope.labs.ioi.claims_smollm2 import CLAIMS_SMOLLM2
from mechscope.labs.ioi.config import IOIConfig
from mechscope.labs.ioi.halves import confirmed, confirmed_by_chance, split_words
from mechscope.labs.ioi.heads import every_head
from mechscope.labs.ioi.patched_heads import WORKING, find_heads
from mechscope.labs.ioi.planted_circuit import plant, planted_classes, planted_task
from mechscope.labs.ioi.real_model_measures import others_of
from mechscope.labs.ioi.smollm2 import NOT_IN_BUDGET, ioi_heads, study_smollm2, why_not_studied
from mechscope.labs.ioi.smollm2_figures import FIGURES, classes_beside_gpt2, draw_smollm2
from mechscope.labs.ioi.stories import Stories
from mechscope.model.transformer import HookedTransformer
from mechscope.results import Provenance
from mechscope.runs.workspace import Workspace
from mechscope.tasks import ioi
from mechscope.techniques.activation_patching import patch
from tests.labs.lab_models import absent, stand_in

SMALL = IOIConfig(smollm2=True, smollm2_prompts=16, smollm2_draws=3, smollm2_edge_draws=1)


def grouped_model(seed: int = 0) -> HookedTransformer:
    """A tiny model of SmolLM2's kind with random weights: grouped queries, rotary positions, RMS norms, gated MLPs."""
    stories = Stories()
    model = HookedTransformer(
        {
            "n_layers": 3,
            "d_model": 32,
            "d_head": 8,
            "n_heads": 4,
            "n_key_value_heads": 2,
            "n_ctx": 48,
            "d_vocab": len(stories.tokenizer),
            "d_mlp": 48,
            "act_fn": "silu",
            "gated_mlp": True,
            "normalization_type": "RMS",
            "positional_embedding_type": "rotary",
            "rotary_dim": 8,
            "seed": seed,
        }
    )
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        parameter.data += 0.15 * torch.randn(parameter.shape, generator=generator)
    model.set_tokenizer(stories.tokenizer)
    return model


def workspace(folder: Path, seeds: tuple[int, ...] = (0,)) -> Workspace:
    return Workspace(config=SMALL, seeds=seeds, device=torch.device("cpu"), folder=folder)


# Halves of the data ---------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, 1])
def test_halves_share_neither_names_nor_templates(seed: int) -> None:
    model = load_model("ioi-twin")
    one, other = split_words(model, seed)
    assert not {*one.names} & {*other.names}
    assert not {*one.templates} & {*other.templates}
    assert sorted(one.templates + other.templates) == list(range(16))
    tasks = [half.task(model, 16) for half in (one, other)]
    answers = [{*task.answers.correct.flatten().tolist()} for task in tasks]
    assert not answers[0] & answers[1]
    # Each form occurs once, and in the prompts for judging several times.
    assert len(tasks[0].templates.unique()) == 16  # type: ignore[union-attr]
    judged = one.judged(model, 16).templates
    assert judged is not None
    assert judged.unique(return_counts=True)[1].tolist() == [2] * 8


def test_confirmed_heads_by_hand() -> None:
    found = np.array([[0.4, 0.0, 0.0], [-0.2, 0.05, 0.0]])
    again = np.array([[0.2, 0.3, 0.0], [0.1, -0.1, 0.0]])
    # 0.0 is confirmed; 1.0 has the other sign; 1.1 is too small to count.
    assert confirmed(found, again, 0.1) == 0.5
    # Besides 0.0 there is 0.1 with 0.3; besides 1.0 there is 1.1 with -0.1.
    assert confirmed_by_chance(found, again, 0.1) == 0.5
    assert np.isnan(confirmed(found, again, 1.0))


# Finding heads --------------------------------------------------------------------------------------


def test_patching_at_a_position_is_the_technique_s() -> None:
    model = load_model("ioi-twin")
    task = ioi(model, 16, 3)
    found = find_heads(model, task, 0.05)
    needed = patch(model, task, "z", ("pos", "head"), direction="noise", progress=False).values
    enough = patch(model, task, "z", ("pos", "head"), progress=False).values
    np.testing.assert_allclose(found.at("end"), needed.sel(pos="end").values, atol=1e-4)
    np.testing.assert_allclose(found.enough.values.values, enough.sel(pos="end").values, atol=1e-4)
    for name in WORKING[1:]:
        own, all_of_them = found.at(name), needed.sel(pos=name).values
        patched = np.any(own != 0, axis=1)
        np.testing.assert_allclose(own[patched], all_of_them[patched], atol=1e-4)
        # A layer that was left out does nothing as a whole.
        layers = patch(model, task, "attn_out", direction="noise", progress=False).values.sel(pos=name)
        assert np.all(np.abs(layers.values[~patched]) < 0.05 + 1e-4)


def test_the_twin_s_heads_are_found_without_path_patching() -> None:
    heads = ioi_heads(load_model("ioi-twin"))
    assert {(2, 1), (0, 3)} <= heads.roles.positions.keys()
    assert heads.roles.strongest("name mover") == (2, 1) or (2, 1) in heads.roles.classes["name mover"]
    assert heads.roles.strongest("duplicate token") == (0, 3)
    assert heads.roles.strongest("previous token") is None


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_planted_heads_are_found_with_their_classes(seed: int) -> None:
    planted = plant(seed)
    found = find_heads(planted.model, planted_task(planted, 32, seed))
    true = planted_classes(planted)
    assert found.roles.classes["name mover"] == true["name mover"]
    assert found.roles.positions.keys() == set(every_head(true))


def test_what_cannot_be_searched_is_refused() -> None:
    model = load_model("ioi-twin")
    task = ioi(model, 8)
    with pytest.raises(ValueError, match='the first of the positions must be "end"'):
        find_heads(model, task, positions=("S2",))
    with pytest.raises(KeyError, match="no position verb"):
        find_heads(model, task, positions=("end", "verb"))
    with pytest.raises(ValueError, match="above 0"):
        find_heads(model, task, 0.0)


def test_copying_on_prompts_by_brute_force() -> None:
    model = grouped_model()
    task = ioi(model, 6)
    scores = copy_scores_on_prompts(model, task).values.values
    assert scores.shape == (3, 4)
    _, cache = model.run_with_cache(task.clean, attention_mask=task.attention_mask)
    scale = model.state_dict()["ln_final.w"]
    for layer, head in ((0, 0), (1, 3), (2, 2)):
        hits = []
        for row in range(task.n_examples):
            value = cache[f"blocks.{layer}.attn.hook_v"][row, int(task.positions["IO"][row]), head // 2]
            logits = value @ model.blocks[layer].attn.W_O[head] * scale @ model.W_U
            hits.append(int(task.answers.correct[row, 0, 0]) in logits.topk(5).indices.tolist())
        assert scores[layer, head] == pytest.approx(np.mean(hits))


def test_others_are_of_the_same_layers_and_of_no_class() -> None:
    model = grouped_model()
    classes = {"name mover": ((1, 0), (1, 2)), "S-inhibition": ((1, 3), (0, 0))}
    assert others_of(model, classes["name mover"], classes) == [(1, 1)]


# The study ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_random_weights_fail_every_claim(seed: int, tmp_path: Path) -> None:
    study = study_smollm2(workspace(tmp_path, (seed,)), stand_in(SMOLLM2, lambda: grouped_model(seed)))
    checked = check_claims(CLAIMS_SMOLLM2, study.measures)
    assert {one.claim.id for one in checked if one.status != "fail"} == set()
    made_by = Provenance("a stand-in", "IOI", seed)
    figures = draw_smollm2(study, made_by)
    assert tuple(figure.name for figure in figures) == FIGURES
    assert all("ook" in figure.caption and figure.data for figure in figures)
    assert "| S-inhibition" in classes_beside_gpt2(study)


def test_a_study_that_was_killed_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loads: list[int] = []

    def load() -> HookedTransformer:
        loads.append(1)
        return grouped_model()

    subject = stand_in(SMOLLM2, load)
    real = smollm2_parts.judged_measures

    def killed(*given: object, **options: object) -> object:
        raise KeyboardInterrupt

    monkeypatch.setattr(smollm2_parts, "judged_measures", killed)
    with pytest.raises(KeyboardInterrupt):
        study_smollm2(workspace(tmp_path), subject)
    before = len(loads)
    monkeypatch.setattr(smollm2_parts, "judged_measures", real)
    first = study_smollm2(workspace(tmp_path), subject)
    # Heads of both halves, links and weights were finished.
    assert len(loads) == before + 3
    again = study_smollm2(workspace(tmp_path), subject)
    assert len(loads) == before + 3
    assert again.measures.keys() == first.measures.keys()
    for name, value in first.measures[0].items():
        assert again.measures[0][name] == pytest.approx(value, nan_ok=True)


def test_a_circuit_without_heads_is_no_success(tmp_path: Path) -> None:
    judge = smollm2_parts.judge_circuit((), 0, 16, 2)
    measures = smollm2_parts.numbers_of(judge(grouped_model()))
    assert measures
    assert all(np.isnan(value) for value in measures.values())


def test_roles_go_into_a_part_and_back() -> None:
    model = load_model("ioi-twin")
    heads = ioi_heads(model, n=16)
    part = smollm2_parts.find_in_half(0, 0, 16, 0.05)(model)
    found = smollm2_parts.finding_of(part)
    assert found.roles.classes == heads.roles.classes
    assert found.roles.positions == heads.roles.positions
    np.testing.assert_allclose(found.needed, heads.needed.values.values)


def test_why_it_is_not_studied() -> None:
    here = stand_in(SMOLLM2, grouped_model)
    missing = why_not_studied(absent(SMOLLM2), True)
    assert missing == absent(SMOLLM2).missing
    assert "mechscope models get smollm2-135m" in missing
    assert why_not_studied(here, False) == NOT_IN_BUDGET
    assert why_not_studied(here, True) is None


# The real thing -------------------------------------------------------------------------------------

WHY_NOT = why_not_studied(SMOLLM2, True)
needs_smollm2 = pytest.mark.skipif(WHY_NOT is not None, reason=WHY_NOT or "")


@pytest.mark.slow
@pytest.mark.real_model
@needs_smollm2
def test_what_says_where_to_look_is_needed_but_not_enough() -> None:
    model = SMOLLM2.load(torch.device("cpu"))
    found = find_heads(model, split_words(model, 5)[0].task(model, 8), positions=("end",))
    reader, mover = (found.roles.strongest(kind) for kind in ("S-inhibition", "name mover"))
    assert reader is not None
    assert mover is not None
    assert mover[0] > reader[0]
    assert found.at("end")[reader] > 0.2
    assert abs(found.enough.values.values[reader]) < 0.1
    assert found.enough.values.values[mover] > 2 * abs(found.enough.values.values[reader])
    assert found.direct.values.values[mover] > 2 * abs(found.direct.values.values[reader])


SEED_DECIDES = {"4.s1", "4.s8", "4.s9"}
"""Claims with a bound that some seeds miss, as their remarks say: how far the model is misled, and what heads or edges
keep by themselves. What the heads do holds with every seed."""


@pytest.mark.slow
@pytest.mark.real_model
@needs_smollm2
def test_smollm2_bears_its_claims_out(tmp_path: Path) -> None:
    config = IOIConfig(smollm2=True)
    work = Workspace(config=config, seeds=(3,), device=torch.device("cpu"), folder=tmp_path)
    measures = study_smollm2(work, SMOLLM2).measures
    failed = {one.claim.id for one in check_claims(CLAIMS_SMOLLM2, measures) if one.status != "pass"}
    assert failed <= SEED_DECIDES
    # Enough is more than nothing and than random sets, whichever bounds a seed misses.
    found = measures[3]
    assert found["smollm2_faithfulness"] > found["smollm2_random_best"]
    assert found["smollm2_edges_large"] > 3 * found["smollm2_edges_matched"]
