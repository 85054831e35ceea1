"""What other tools can save and we do not read: each is refused by name, and the documents list each of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.dictionaries.exchange import load_dictionary
from mechscope.dictionaries.exchange.dictionary_learning import TENSORS
from mechscope.dictionaries.exchange.saelens import NORMALIZE, SETTINGS
from tests.dictionaries import exchange_files as files

DOCUMENT = Path(__file__).parent.parent.parent / "docs" / "dictionaries.md"
REFUSED_SAELENS = {"temporal": "temporal", "matching_pursuit": "matching-pursuit", "abstopk": "AbsTopK"}
"""SAELens's name → the documents' word for it."""
REFUSED_CLASSES = ("CrossCoder", "IdentityDict")
"""Classes of dictionary_learning."""


def listed() -> str:
    """The sentence of the documents that says what is not read."""
    text = " ".join(DOCUMENT.read_text(encoding="utf-8").split())
    start = text.index("Not supported:")
    return text[start : text.index(".", start)]


@pytest.mark.parametrize("architecture", REFUSED_SAELENS)
def test_architectures_of_saelens(tmp_path: Path, architecture: str) -> None:
    config = files.saelens_config("standard") | {"architecture": architecture}
    files.write(tmp_path, ("cfg.json", config), "sae_weights.safetensors", files.saelens_state("standard"))
    with pytest.raises(ValueError, match=f"architecture is '{architecture}', but must be one of 'standard'"):
        load_dictionary(tmp_path)
    assert REFUSED_SAELENS[architecture] in listed()


def test_these_are_all_that_saelens_has_and_we_have_not() -> None:
    registry = pytest.importorskip("sae_lens.registry")
    names = {*registry.SAE_CLASS_REGISTRY, *registry.SAE_TRAINING_CLASS_REGISTRY}
    assert names - set(SETTINGS) == set(REFUSED_SAELENS)


def test_whitened_activations(tmp_path: Path) -> None:
    assert "covariance_whitening" not in NORMALIZE and "whitening" in listed()
    for settings, scaler in (
        ({"normalize_activations": "covariance_whitening"}, None),
        (
            {"normalize_activations": "expected_average_only_in"},
            {"scaling_factor": 2.0, "has_whitening": True},
        ),
    ):
        config = files.saelens_config("standard") | settings
        files.write(
            tmp_path, ("cfg.json", config), "sae_weights.safetensors", files.saelens_state("standard")
        )
        if scaler is not None:
            (tmp_path / "activation_scaler.json").write_text(json.dumps(scaler))
        with pytest.raises(ValueError, match="whiten"):
            load_dictionary(tmp_path)


@pytest.mark.parametrize(
    ("more", "says", "word"),
    [
        ({"activation": "groupmax"}, "activation is 'groupmax', but must be one of 'topk'", "groupmax"),
        ({"signed": True}, "signed is True, but must be one of False", "signed"),
    ],
)
def test_settings_of_sparsify(tmp_path: Path, more: dict[str, Any], says: str, word: str) -> None:
    state = files.sparsify_state(files.sparsify_config())
    files.write(tmp_path, ("cfg.json", files.sparsify_config(**more)), "sae.safetensors", state)
    with pytest.raises(ValueError, match=says):
        load_dictionary(tmp_path)
    assert word in listed()


@pytest.mark.parametrize("kind", REFUSED_CLASSES)
def test_classes_of_dictionary_learning(tmp_path: Path, kind: str) -> None:
    assert kind not in TENSORS
    trainer = {"dict_class": kind, "activation_dim": 4, "dict_size": 8}
    (tmp_path / "config.json").write_text(json.dumps({"trainer": trainer}))
    torch.save({"W": torch.zeros(4, 8)}, tmp_path / "ae.pt")
    with pytest.raises(ValueError, match=f"dict_class is '{kind}', but must be one of 'AutoEncoder'"):
        load_dictionary(tmp_path)
    assert "crosscoders" in listed()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"metadata": {"hook_name": 3}}, "hook_name must be text"),
        (
            {
                "metadata": {"hook_name": "blocks.1.hook_resid_pre", "hook_layer": 1},
                "reshape_activations": "hook_z",
            },
            "is not a hook_z",
        ),
    ],
)
def test_places_that_make_no_sense(tmp_path: Path, changes: dict[str, Any], says: str) -> None:
    config = files.saelens_config("standard") | changes
    files.write(tmp_path, ("cfg.json", config), "sae_weights.safetensors", files.saelens_state("standard"))
    with pytest.raises(ValueError, match=says):
        load_dictionary(tmp_path)


def test_a_k_that_no_activation_uses(tmp_path: Path) -> None:
    """In the older, flat form a config had a k of its own; with ReLU it says nothing that could be done."""
    config = {"d_in": files.D_IN, "d_sae": files.D_SAE, "activation_fn_str": "relu", "k": 3}
    files.write(tmp_path, ("cfg.json", config), "sae_weights.safetensors", files.saelens_state("standard"))
    with pytest.raises(ValueError, match="belongs to activation_fn 'topk'"):
        load_dictionary(tmp_path)
