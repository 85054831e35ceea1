"""Step 05's dictionary on SmolLM2-135M: it resumes, random weights fail its claims, and the real model passes."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from mechscope.checkpoints.lab_models import SMOLLM2
from mechscope.data.byte_pairs import train_byte_pairs
from mechscope.data.python_code import read_standard_library
from mechscope.dictionaries.model_stream import ModelStream
from mechscope.dictionaries.stream import Batch
from mechscope.labs import check_claims
from mechscope.labs.sae import LAB
from mechscope.labs.sae import real_model as real_model_module
from mechscope.labs.sae.config import RealModelConfig
from mechscope.labs.sae.real_claims import REAL_CLAIMS
from mechscope.labs.sae.real_figures import draw_real
from mechscope.labs.sae.real_model import (
    RealStudy,
    principal_fvu,
    study_real_model,
    train_real,
)
from mechscope.model.transformer import HookedTransformer
from mechscope.runs import Workspace
from tests.labs.lab_models import stand_in

TINY = RealModelConfig(
    layer=1, width=16, train_rows=64, test_rows=120, spliced_rows=8, size=48, k=4, batch=32, buffer_rows=16,
    detected=8, pages=2,
)  # fmt: skip


def random_model(seed: int = 0) -> HookedTransformer:
    text = read_standard_library()["argparse.py"][:20_000]
    shape = {"n_layers": 3, "d_model": 16, "n_ctx": 32, "d_head": 4, "n_heads": 4, "act_fn": "gelu"}
    cfg = {**shape, "d_vocab": 280, "default_prepend_bos": False, "seed": seed}
    return HookedTransformer(cfg, tokenizer=train_byte_pairs([text], 280))


def verdicts(*studies: RealStudy) -> dict[str, str]:
    measures = {seed: study.named_measures() for seed, study in enumerate(studies)}
    return {checked.claim.id: checked.status for checked in check_claims(REAL_CLAIMS, measures)}


def workspace(folder: Path, config: RealModelConfig = TINY) -> Workspace:
    return Workspace(config, (0,), torch.device("cpu"), folder)


@pytest.mark.parametrize("seed", range(2))
def test_random_weights_fail(seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = random_model(seed)
    monkeypatch.setattr(real_model_module, "SMOLLM2", stand_in(SMOLLM2, lambda: model))
    study = study_real_model(workspace(tmp_path), TINY, seed)
    # Nothing is lost by replacing what predicts nothing, so a dictionary cannot be better than the mean.
    assert verdicts(study)["5.s1"] == "fail"
    again = study_real_model(workspace(tmp_path), TINY, seed)
    assert again.measures == study.measures
    assert study.measures["tokens"] == 120 * 15
    figures = draw_real(study, model.tokenizer, seed)
    assert all("ook" in figure.caption or "Say of each" in figure.caption for figure in figures)


def test_a_stopped_training_goes_on_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = random_model()
    whole = train_real(workspace(tmp_path / "whole"), model, TINY, 0)
    batches: list[int] = []

    class Stopping(ModelStream):
        def __next__(self) -> Batch:
            batches.append(1)
            if len(batches) == 20:
                raise KeyboardInterrupt
            return super().__next__()

    monkeypatch.setattr(real_model_module, "ModelStream", Stopping)
    stopped = workspace(tmp_path / "stopped")
    with pytest.raises(KeyboardInterrupt):
        train_real(stopped, model, TINY, 0)
    resumed = train_real(stopped, model, TINY, 0)
    assert 20 < len(batches) < 20 + TINY.steps
    for name, tensor in whole.items():
        assert tensor.equal(resumed[name]), name


@pytest.mark.parametrize("seed", range(2))
def test_principal_components_leave_what_the_smallest_variances_say(seed: int) -> None:
    x = torch.randn(5000, 4, generator=torch.Generator().manual_seed(seed)) * torch.tensor(
        [3.0, 2.0, 1.0, 0.0]
    )
    assert principal_fvu(x + 7, 1) == pytest.approx(5 / 14, abs=0.03)
    assert principal_fvu(x, 3) == pytest.approx(0, abs=1e-9)


@pytest.mark.real_model
@pytest.mark.slow
@pytest.mark.skipif(not SMOLLM2.is_available, reason=SMOLLM2.missing)
def test_a_dictionary_on_smollm2_is_useful(tmp_path: Path) -> None:
    config = LAB.configs["full"].real
    study = study_real_model(workspace(tmp_path, config), config, seed=2)
    measures = study.measures
    assert verdicts(study)["5.s2"] == "pass"
    # 5.s1 holds but for ΔCE, which lies above its bound in some seeds, as the claim's remark says.
    assert verdicts(dataclasses.replace(study, measures={**measures, "delta_ce": 0.5}))["5.s1"] == "pass"
    assert measures["delta_ce"] < 0.2 * measures["mean_ce"]
    useless = dataclasses.replace(study, measures={**study.measures, "delta_ce": study.measures["mean_ce"]})
    assert verdicts(useless)["5.s1"] == "fail"
    neurons = {**study.measures, "detected_features": study.measures["detected_neurons"]}
    assert verdicts(dataclasses.replace(study, measures=neurons))["5.s2"] == "fail"
