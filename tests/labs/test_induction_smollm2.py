"""Step 03's claims about SmolLM2-135M: the measures by hand, and the real model with and without its circuit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.checkpoints.lab_models import SMOLLM2
from mechscope.labs import check_claims
from mechscope.labs.head_names import Head
from mechscope.labs.induction import smollm2 as smollm2_module
from mechscope.labs.induction.ablation import zero_ablation_hooks
from mechscope.labs.induction.losses import repeated_loss, token_losses
from mechscope.labs.induction.smollm2 import (
    PREVIOUS,
    SmolLM2Study,
    losses_without,
    random_others,
    smollm2_measures,
    study_model,
    study_smollm2,
)
from mechscope.labs.induction.smollm2_claims import SMOLLM2_CLAIMS
from mechscope.model.names import get_act_name
from mechscope.model.transformer import HookedTransformer
from mechscope.runs import Workspace
from mechscope.techniques.head_detectors import random_repeats_for
from tests.labs.lab_models import stand_in


def model(seed: int = 0) -> HookedTransformer:
    shape = {"n_layers": 5, "n_heads": 6, "d_model": 24, "d_head": 4, "n_ctx": 21, "d_vocab": 50}
    return HookedTransformer({**shape, "attn_only": True, "seed": seed, "initializer_range": 0.5})


def verdicts(*studies: SmolLM2Study) -> dict[str, str]:
    measures = {seed: smollm2_measures(study) for seed, study in enumerate(studies)}
    return {checked.claim.id: checked.status for checked in check_claims(SMOLLM2_CLAIMS, measures)}


@pytest.mark.parametrize("seed", range(3))
def test_losses_without_heads_are_those_of_a_whole_run(seed: int) -> None:
    subject = model(seed)
    tokens = random_repeats_for(subject, seed, 4, 10)
    sets = [[(0, 1)], [(2, 0), (2, 5), (4, 3)]]
    found = losses_without(subject, tokens, sets)
    for heads, loss in zip(sets, found.tolist(), strict=True):

        def zero(z: torch.Tensor, hook: Any, heads: list[Head] = heads) -> torch.Tensor:
            z = z.clone()
            z[:, 11:, [head for layer, head in heads if layer == hook.layer()]] = 0
            return z

        hooks = [(f"blocks.{layer}.attn.hook_z", zero) for layer in {layer for layer, _ in heads}]
        with subject.hooks(fwd_hooks=hooks):
            assert loss == pytest.approx(repeated_loss(token_losses(subject, tokens), 10), abs=1e-4)


def test_ablated_heads_write_nothing_and_others_are_unchanged() -> None:
    subject = model()
    tokens = random_repeats_for(subject, 0, 2, 10)
    _, before = subject.run_with_cache(tokens)
    with subject.hooks(fwd_hooks=zero_ablation_hooks([(1, 2), (1, 4), (3, 0)])):
        _, after = subject.run_with_cache(tokens)
    assert not after[get_act_name("z", 1)][:, :, [2, 4]].any()
    assert not after[get_act_name("z", 3)][:, :, 0].any()
    assert after[get_act_name("z", 1)][:, :, [0, 1, 3, 5]].equal(
        before[get_act_name("z", 1)][:, :, [0, 1, 3, 5]]
    )


@pytest.mark.parametrize("seed", range(3))
def test_other_heads_are_drawn_from_the_same_layers(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    heads = [(0, 1), (2, 3), (2, 4)]
    drawn = random_others(model(), heads, heads, generator)
    assert [layer for layer, _ in drawn] == [0, 2, 2]
    assert len({*drawn, *heads}) == 6
    # A layer of which too many are excluded lends heads of other layers.
    crowded = [(1, head) for head in range(5)]
    drawn = random_others(model(), crowded, crowded, generator)
    assert [layer for layer, _ in drawn].count(1) == 1
    assert len({*drawn, *crowded}) == 10


@pytest.mark.parametrize("seed", range(2))
def test_a_study_survives_being_stored(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[int] = []

    def load() -> HookedTransformer:
        loaded.append(seed)
        return model(seed)

    monkeypatch.setattr(smollm2_module, "SMOLLM2", stand_in(SMOLLM2, load))
    shop = Workspace(None, (seed,), torch.device("cpu"), tmp_path)
    first, again = (study_smollm2(shop, seed, 2, 2, half=10) for _ in range(2))
    assert loaded == [seed]
    assert smollm2_measures(first) == smollm2_measures(again)
    assert first.found.prefix.shape == (5, 6)
    assert first.without_random.shape == (2, 4)
    # The halves are different sequences.
    assert not first.found.prefix.equal(first.confirmed.prefix)


needs_smollm2 = pytest.mark.skipif(not SMOLLM2.is_available, reason=SMOLLM2.missing)


@pytest.mark.slow
@pytest.mark.real_model
@needs_smollm2
def test_smollm2_passes_and_without_its_previous_token_heads_fails() -> None:
    subject = SMOLLM2.load(torch.device("cpu"))
    assert set(verdicts(study_model(subject, seed=7, sequences=3, draws=2, half=50)).values()) == {"pass"}
    for layer, head in PREVIOUS:
        subject.blocks[layer].attn.W_O.data[head] = 0
    found = verdicts(study_model(subject, seed=7, sequences=2, draws=1, half=50))
    assert found["3.s1"] == found["3.s2"] == found["3.s4"] == "fail"
