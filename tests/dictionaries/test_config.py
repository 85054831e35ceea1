"""Configs check themselves, and say what is wrong."""

from __future__ import annotations

import pytest

from mechscope.dictionaries import config as c
from mechscope.dictionaries.training_config import TrainingConfig, training_config_from_dict
from tests.dictionaries.helpers import CONFIGS


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_comes_back_from_its_dict(name):
    assert c.config_from_dict(CONFIGS[name].to_dict()) == CONFIGS[name]


@pytest.mark.parametrize(
    ("kind", "settings", "words"),
    [
        (c.ReluConfig, {"d_in": 0, "d_sae": 4}, "d_in must be a whole number of at least 1"),
        (c.ReluConfig, {"d_in": 4, "d_sae": -1}, "d_sae must be"),
        (c.ReluConfig, {"d_in": 4, "d_sae": 2.0}, "d_sae must be a whole number"),
        (c.ReluConfig, {"d_in": 4, "d_sae": 8, "l1": -1}, "l1 must be"),
        (c.ReluConfig, {"d_in": 4, "d_sae": 8, "decoder_norm": "units"}, "did you mean 'unit'"),
        (c.ReluConfig, {"d_in": 4, "d_sae": 8, "decoder_start_norm": 0.1}, "keeps rows at length 1"),
        (c.ReluConfig, {"d_in": 4, "d_sae": 8, "skip": True}, "set d_out"),
        (c.ReluConfig, {"d_in": 4, "d_sae": 8, "d_out": 4}, "subtract_b_dec=False"),
        (c.TopKConfig, {"d_in": 4, "d_sae": 8, "k": 9}, "k is 9, but there are only d_sae = 8"),
        (c.TopKConfig, {"d_in": 4, "d_sae": 8, "k": 0}, "k must be"),
        (c.BatchTopKConfig, {"d_in": 4, "d_sae": 8, "k": 8.5}, "only d_sae = 8"),
        (c.BatchTopKConfig, {"d_in": 4, "d_sae": 8, "k": 2, "threshold_rate": 0}, "threshold_rate"),
        (c.JumpReluConfig, {"d_in": 4, "d_sae": 8, "bandwidth": 0}, "bandwidth must be"),
        (c.MatryoshkaConfig, {"d_in": 4, "d_sae": 8, "k": 2}, "end at d_sae = 8"),
        (c.MatryoshkaConfig, {"d_in": 4, "d_sae": 8, "k": 2, "widths": (4, 2, 8)}, "ascend"),
        (c.CrosscoderConfig, {"d_in": 4, "d_sae": 8, "n_layers": 3}, "not 3 layers of one width"),
        (c.CrosscoderConfig, {"d_in": 4, "d_sae": 8, "decoder_norm": "unit"}, "decoder_norm='free'"),
        (TrainingConfig, {"steps": 0}, "steps must be"),
        (TrainingConfig, {"steps": 5, "lr_warmup": 3, "lr_decay": 3}, "more than all 5 steps"),
        (TrainingConfig, {"steps": 5, "revive": "resampling"}, "revive must be"),
        (TrainingConfig, {"steps": 5, "clip": 0}, "clip must be"),
    ],
)
def test_impossible_settings_are_errors(kind, settings, words):
    with pytest.raises(ValueError, match=words):
        kind(**settings)


def test_unknown_names_are_errors_with_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'topk'"):
        c.config_from_dict({"architecture": "top_k", "d_in": 4, "d_sae": 8})
    with pytest.raises(ValueError, match="no setting 'dsae'. Did you mean d_sae"):
        c.config_from_dict({"architecture": "topk", "d_in": 4, "dsae": 8})
    with pytest.raises(ValueError, match="needs d_sae"):
        c.config_from_dict({"architecture": "relu", "d_in": 4})
    with pytest.raises(ValueError, match="Did you mean lr_warmup"):
        training_config_from_dict({"steps": 3, "lr_warm_up": 2})


def test_schedules():
    cfg = TrainingConfig(steps=10, lr=2.0, lr_warmup=4, lr_decay=5, sparsity_warmup=2)
    assert [cfg.lr_at(step) for step in (0, 3, 5, 9)] == [0.5, 2.0, 2.0, 0.4]
    assert [cfg.sparsity_at(step) for step in (0, 1, 9)] == [0.5, 1.0, 1.0]
