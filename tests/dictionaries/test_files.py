"""Our own folder: what is written comes back, and anything else is refused with a reason."""

from __future__ import annotations

import json

import pytest
import safetensors.torch
import torch
from torch.testing import assert_close

from mechscope.dictionaries import from_state, load, save
from mechscope.dictionaries.exchange import save_saelens
from tests.dictionaries.helpers import CONFIGS, batch_of, shaken


@pytest.mark.parametrize("name", CONFIGS)
def test_a_dictionary_comes_back(name, tmp_path):
    dictionary = shaken(name)
    x, target = batch_of(dictionary)
    dictionary.set_scale(2.0, 0.5 if dictionary.cfg.transcodes else None)
    dictionary.loss(x, target)
    dictionary.metadata["hook_name"] = "blocks.0.hook_resid_post"
    dictionary.eval()
    as_it_is = load(save(dictionary, tmp_path / "plain", fold=False))
    for key, tensor in dictionary.state().items():
        assert torch.equal(as_it_is.state()[key], tensor), key
    assert as_it_is.cfg == dictionary.cfg and as_it_is.metadata == dictionary.metadata
    assert_close(load(save(dictionary, tmp_path / "folded"))(x), dictionary(x))


def test_damage_is_named(tmp_path):
    dictionary = shaken("gated", dtype="float32")
    save(dictionary, tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())

    def rewritten(**changes):
        (tmp_path / "config.json").write_text(json.dumps({**config, **changes}))

    rewritten(dictionary={**config["dictionary"], "architecture": "relu"})
    with pytest.raises(ValueError, match=r"1 missing: b_enc \[24\]; 3 unexpected: b_gate, b_mag, r_mag"):
        load(tmp_path)
    rewritten(dictionary={**config["dictionary"], "d_sae": 25})
    with pytest.raises(ValueError, match=r"W_dec \[24, 8\] instead of \[25, 8\]"):
        load(tmp_path)
    rewritten(dictionary={**config["dictionary"], "l_1": 25})
    with pytest.raises(ValueError, match="no setting 'l_1'. Did you mean l1"):
        load(tmp_path)
    rewritten(format="other")
    with pytest.raises(ValueError, match="not of the format"):
        load(tmp_path)
    rewritten(extra=1)
    with pytest.raises(ValueError, match="unknown: \\['extra'\\]"):
        load(tmp_path)
    rewritten()
    state = safetensors.torch.load_file(tmp_path / "weights.safetensors")
    safetensors.torch.save_file({**state, "W_dec": state["W_dec"].double()}, tmp_path / "weights.safetensors")
    with pytest.raises(ValueError, match=r"W_dec is float64 instead of float32"):
        load(tmp_path)
    (tmp_path / "weights.safetensors").write_bytes(b"no")
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        load(tmp_path)
    (tmp_path / "weights.safetensors").unlink()
    with pytest.raises(FileNotFoundError, match=r"has no weights.safetensors"):
        load(tmp_path)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("write", [save, save_saelens])
def test_weights_that_are_not_finite_are_not_saved(tmp_path, write, value):
    dictionary = shaken("relu")
    with torch.no_grad():
        dictionary.W_dec[3, 2] = value
    with pytest.raises(
        ValueError,
        match="this dictionary cannot be saved: W_dec has 1 of 192 .* not finite. Its training diverged",
    ):
        write(dictionary, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()


def test_a_scale_that_overflows_when_it_is_folded_is_not_saved(tmp_path):
    dictionary = shaken("relu", dtype="float16", decoder_norm="free")
    dictionary.set_scale(1e-6)
    with pytest.raises(ValueError, match=r"does not fit into float16: .*W_dec has 1.*to float32 with"):
        save(dictionary, tmp_path / "folder")
    assert not (tmp_path / "folder").exists()
    save(dictionary, tmp_path / "folder", fold=False)


def test_scales_may_be_missing_from_a_state():
    dictionary = shaken("topk")
    state = {k: v for k, v in dictionary.state().items() if not k.startswith("scale")}
    x, _ = batch_of(dictionary)
    assert_close(from_state(dictionary.cfg, state)(x), dictionary(x))
