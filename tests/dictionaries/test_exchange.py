"""Published dictionaries: what they compute after loading is what their tool's formulas say; what is wrong is said."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch
from torch import Tensor

from mechscope.dictionaries import (
    BatchTopKConfig,
    CrosscoderConfig,
    GatedConfig,
    JumpReluConfig,
    MatryoshkaConfig,
    ReluConfig,
    TopKConfig,
    build,
    save,
    transcoder,
)
from mechscope.dictionaries.exchange import (
    load_dictionary,
    load_dictionary_learning,
    load_gemma_scope,
    load_saelens,
    load_sparsify,
    saelens_densities,
    save_saelens,
)
from tests.dictionaries import exchange_files as files

TOLERANCE = 1e-5


def equal(ours: Tensor, theirs: Tensor, tolerance: float = TOLERANCE) -> bool:
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    assert float(theirs.detach().std()) > 0.1  # something is written
    return float((ours - theirs).detach().abs().max()) < tolerance


@pytest.mark.parametrize("case", files.SAELENS)
@pytest.mark.parametrize("seed", [0, 7])
def test_saelens_reconstructs_as_documented(tmp_path: Path, case: str, seed: int) -> None:
    architecture, settings = files.SAELENS[case]
    folder = files.saelens_folder(tmp_path, architecture, seed, **settings)
    config = files.saelens_config(architecture, **settings)
    expected = files.saelens_reference(
        config, files.saelens_state(architecture, seed, settings.get("d_out", files.D_IN)), files.inputs()
    )
    dictionary = load_saelens(folder)
    assert equal(dictionary(files.inputs()), expected)
    assert dictionary.metadata["hook_name"] == "blocks.3.hook_resid_pre"
    assert dictionary.cfg.decoder_norm == "free"


@pytest.mark.parametrize("case", files.SAELENS)
def test_saelens_round_trip(tmp_path: Path, case: str) -> None:
    architecture, settings = files.SAELENS[case]
    first = load_saelens(files.saelens_folder(tmp_path / "a", architecture, 3, **settings))
    second = load_saelens(save_saelens(first, tmp_path / "b"))
    assert second.cfg == first.cfg
    assert json.loads((tmp_path / "b" / "cfg.json").read_text())["architecture"] == architecture
    for name, tensor in first.state().items():
        assert torch.equal(second.state()[name], tensor), name


@pytest.mark.parametrize("rescale", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_batch_topk_is_saved_as_jumprelu_with_the_same_outputs(
    tmp_path: Path, rescale: bool, seed: int
) -> None:
    cfg = MatryoshkaConfig(
        d_in=files.D_IN,
        d_sae=files.D_SAE,
        k=files.K,
        widths=(8, 24),
        rescale_by_decoder_norm=rescale,
        decoder_norm="free",
        decoder_start_norm=0.6,
    )
    ours = build(cfg, seed).eval()
    with torch.no_grad():
        ours.W_dec.mul_(files.numbers(files.D_SAE, 1, seed=seed).abs() + 0.5)
        ours.b_enc.copy_(files.numbers(files.D_SAE, seed=seed + 9))
    ours.set_scale(1.7)
    ours.threshold.fill_(1.1)
    loaded = load_saelens(save_saelens(ours, tmp_path))
    assert loaded.cfg.architecture == "jumprelu"
    assert loaded.metadata["matryoshka_widths"] == [8, 24]
    assert equal(loaded(files.inputs()), ours(files.inputs()))
    # The threshold matters: without it the same weights write something else.
    with torch.no_grad():
        loaded.threshold.zero_()
    assert not equal(loaded(files.inputs()), ours(files.inputs()))


def test_batch_topk_without_a_threshold_is_not_saved(tmp_path: Path) -> None:
    ours = build(BatchTopKConfig(d_in=4, d_sae=8, k=2))
    with pytest.raises(ValueError, match="no threshold yet"):
        save_saelens(ours, tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "cfg",
    [
        CrosscoderConfig(d_in=8, d_sae=16, n_layers=2),
        transcoder(TopKConfig(d_in=8, d_sae=16, k=2), 6),
        transcoder(GatedConfig(d_in=8, d_sae=16), 6),
    ],
    ids=lambda cfg: cfg.architecture,
)
def test_what_saelens_has_not_is_refused(tmp_path: Path, cfg: Any) -> None:
    with pytest.raises(ValueError, match="SAELens cannot represent"):
        save_saelens(build(cfg), tmp_path)


def test_scales_are_folded_on_save(tmp_path: Path) -> None:
    for number, cfg in enumerate(
        [ReluConfig(d_in=10, d_sae=24), GatedConfig(d_in=10, d_sae=24), TopKConfig(d_in=10, d_sae=24, k=3)]
    ):
        ours = build(cfg, number).eval()
        ours.set_scale(0.3)
        loaded = load_saelens(save_saelens(ours, tmp_path / str(number)))
        assert float(loaded.scale_in) == 1
        assert equal(loaded(files.inputs()), ours(files.inputs()))


def test_densities_travel(tmp_path: Path) -> None:
    ours = build(ReluConfig(d_in=4, d_sae=3))
    densities = torch.tensor([0.5, 0.001, 0.0])
    save_saelens(ours, tmp_path, densities=densities)
    found = saelens_densities(tmp_path)
    assert found is not None
    assert torch.allclose(found, densities.double(), rtol=1e-5, atol=1e-9)
    with pytest.raises(ValueError, match="one for each of the 3"):
        save_saelens(ours, tmp_path, densities=densities[:2])


def test_no_densities_is_none(tmp_path: Path) -> None:
    assert saelens_densities(tmp_path) is None


# Older SAELens ------------------------------------------------------------------------------------------------


def older(**more: Any) -> dict[str, Any]:
    return {
        "model_name": "gpt2-small",
        "hook_point": "blocks.8.hook_resid_pre",
        "hook_point_layer": 8,
        "hook_point_head_index": None,
        "dataset_path": "Skylion007/openwebtext",
        "context_size": 128,
        "d_in": files.D_IN,
        "d_sae": files.D_SAE,
        "dtype": "torch.float32",
        "device": "mps",
        "l1_coefficient": 8e-5,
        "lr": 4e-4,
        "use_ghost_grads": True,
        "prepend_bos": True,
        **more,
    }


def test_older_flat_config(tmp_path: Path) -> None:
    state = files.saelens_state("standard")
    files.write(tmp_path, ("cfg.json", older()), "sae_weights.safetensors", state)
    dictionary = load_saelens(tmp_path)
    assert dictionary.metadata["hook_name"] == "blocks.8.hook_resid_pre"
    assert dictionary.metadata["prepend_bos"] is True
    assert equal(
        dictionary(files.inputs()),
        files.saelens_reference(files.saelens_config("standard"), state, files.inputs()),
    )


def test_older_topk_by_its_activation_function(tmp_path: Path) -> None:
    settings = older(
        activation_fn_str="topk", activation_fn_kwargs={"k": files.K}, normalize_activations=False
    )
    state = files.saelens_state("topk", 4)
    files.write(tmp_path, ("cfg.json", settings), "sae_weights.safetensors", state)
    dictionary = load_saelens(tmp_path)
    assert isinstance(dictionary.cfg, TopKConfig)
    assert equal(
        dictionary(files.inputs()),
        files.saelens_reference(files.saelens_config("topk"), state, files.inputs()),
    )


def test_older_jumprelu_with_a_logarithm(tmp_path: Path) -> None:
    state = files.saelens_state("jumprelu", 4)
    theirs = {**state, "log_threshold": state["threshold"].log()}
    del theirs["threshold"]
    files.write(tmp_path, ("cfg.json", older(architecture="jumprelu")), "sae_weights.safetensors", theirs)
    expected = files.saelens_reference(files.saelens_config("jumprelu"), state, files.inputs())
    assert equal(load_saelens(tmp_path)(files.inputs()), expected)


def test_older_fine_tuned_factor_acts_on_features(tmp_path: Path) -> None:
    state = files.saelens_state("standard", 4)
    factor = files.numbers(files.D_SAE, seed=9).abs() + 0.5
    tuned = {**state, "scaling_factor": factor}
    files.write(
        tmp_path, ("cfg.json", older(finetuning_scaling_factor=True)), "sae_weights.safetensors", tuned
    )
    x = files.inputs()
    features = torch.relu((x - state["b_dec"]) @ state["W_enc"] + state["b_enc"])
    assert equal(load_saelens(tmp_path)(x), (features * factor) @ state["W_dec"] + state["b_dec"])
    # The same tensor without the setting is a contradiction; ones are the default of their time.
    files.write(tmp_path / "b", ("cfg.json", older()), "sae_weights.safetensors", tuned)
    with pytest.raises(ValueError, match="config does not say"):
        load_saelens(tmp_path / "b")
    ones = {**state, "scaling_factor": torch.ones(files.D_SAE)}
    files.write(tmp_path / "c", ("cfg.json", older()), "sae_weights.safetensors", ones)
    assert equal(load_saelens(tmp_path / "c")(x), features @ state["W_dec"] + state["b_dec"])


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"activation_fn_str": "tanh-relu"}, "activation_fn is 'tanh-relu'"),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4, "groups": 2}}, "groups"),
        ({"architecture": "gated", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 4}}, "gated"),
        ({"shiny": 1}, "unknown settings: shiny"),
        ({"normalize_activations": True}, "input_scale"),
    ],
)
def test_older_configs_that_say_something_unknown(
    tmp_path: Path, settings: dict[str, Any], says: str
) -> None:
    files.write(
        tmp_path, ("cfg.json", older(**settings)), "sae_weights.safetensors", files.saelens_state("standard")
    )
    with pytest.raises(ValueError, match=says):
        load_saelens(tmp_path)


# SAELens, awkward ---------------------------------------------------------------------------------------------


def test_an_expected_norm_needs_its_factor(tmp_path: Path) -> None:
    more = {"normalize_activations": "expected_average_only_in"}
    folder = files.saelens_folder(tmp_path, "standard", **more)
    with pytest.raises(ValueError, match="input_scale"):
        load_saelens(folder)
    x, state = files.inputs(), files.saelens_state("standard")
    plain = files.saelens_config("standard")
    expected = files.saelens_reference(plain, state, x * 2.5) / 2.5
    assert equal(load_saelens(folder, input_scale=2.5)(x), expected)
    (folder / "activation_scaler.json").write_text('{"scaling_factor": 2.5, "has_whitening": false}')
    assert equal(load_saelens(folder)(x), expected)
    with pytest.raises(ValueError, match="belongs to"):
        load_saelens(files.saelens_folder(tmp_path / "b", "standard"), input_scale=2.0)


def test_a_training_checkpoint_of_batch_topk_keeps_its_threshold(tmp_path: Path) -> None:
    config = files.saelens_config(
        "batchtopk", k=4.0, rescale_acts_by_decoder_norm=False, decoder_init_norm=0.1, topk_threshold_lr=0.01
    )
    state = files.saelens_state("standard", 2)
    both = {**state, "topk_threshold": torch.tensor(0.8, dtype=torch.float64)}
    files.write(tmp_path, ("cfg.json", config), "sae_weights.safetensors", both)
    dictionary = load_saelens(tmp_path)
    assert isinstance(dictionary.cfg, BatchTopKConfig)
    expected = files.saelens_reference(
        files.saelens_config("jumprelu"), {**state, "threshold": torch.tensor(0.8)}, files.inputs()
    )
    assert equal(dictionary(files.inputs()), expected)


def test_half_precision_is_kept(tmp_path: Path) -> None:
    folder = files.saelens_folder(tmp_path, "jumprelu", dtype="bfloat16")
    dictionary = load_saelens(folder)
    assert dictionary.W_enc.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({"architecture": "temporal"}, "architecture is 'temporal'"),
        ({"whiten": True}, "unknown settings: whiten"),
        ({"normalize_activation": "none"}, "did you mean normalize_activations"),
        ({"normalize_activations": "covariance_whitening"}, "covariance_whitening"),
        ({"reshape_activations": "other"}, "reshape_activations is 'other'"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"d_sae": "many"}, "d_sae must be a whole number"),
        ({"k": 4}, "unknown settings: k"),
        ({"apply_b_dec_to_input": 1}, "apply_b_dec_to_input is 1"),
    ],
)
def test_saelens_settings_that_are_unknown(tmp_path: Path, settings: dict[str, Any], says: str) -> None:
    config = files.saelens_config("standard") | settings
    files.write(tmp_path, ("cfg.json", config), "sae_weights.safetensors", files.saelens_state("standard"))
    with pytest.raises(ValueError, match=says):
        load_saelens(tmp_path)


@pytest.mark.parametrize("off", [None, False, [], {}])
def test_an_unknown_setting_that_is_off_changes_nothing(tmp_path: Path, off: Any) -> None:
    plain = load_saelens(files.saelens_folder(tmp_path / "plain", "standard"))
    newer = load_saelens(files.saelens_folder(tmp_path / "newer", "standard", later_setting=off))
    assert torch.equal(newer(files.inputs()), plain(files.inputs()))
    with pytest.raises(ValueError, match="unknown settings: later_setting"):
        load_saelens(files.saelens_folder(tmp_path / "on", "standard", later_setting=True))


def test_an_unknown_setting_can_be_vouched_for(tmp_path: Path) -> None:
    folder = files.saelens_folder(tmp_path, "standard", note="by hand")
    with pytest.raises(ValueError, match="ignore="):
        load_saelens(folder)
    assert load_saelens(folder, ignore=("note",)).cfg.d_sae == files.D_SAE


def test_k_beyond_the_dictionary(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="only d_sae = 24"):
        load_saelens(files.saelens_folder(tmp_path, "topk", k=99))


def test_everything_wrong_with_tensors_is_said_at_once(tmp_path: Path) -> None:
    state = files.saelens_state("standard")
    del state["b_enc"]
    state["W_dec"] = state["W_dec"].T.contiguous()
    state["extra"] = torch.zeros(1)
    state["b_dec"][0] = torch.nan
    files.write(tmp_path, ("cfg.json", files.saelens_config("standard")), "sae_weights.safetensors", state)
    with pytest.raises(ValueError, match="1 missing: b_enc") as caught:
        load_saelens(tmp_path)
    message = str(caught.value)
    assert "1 unexpected: extra" in message
    assert "1 of the wrong shape: W_dec [10, 24] instead of [24, 10]" in message
    assert "b_dec has 1 of 10 values that are not finite" in message


def test_damaged_files(tmp_path: Path) -> None:
    folder = files.saelens_folder(tmp_path, "standard")
    weights = folder / "sae_weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-20])
    with pytest.raises(ValueError, match="not a complete safetensors file"):
        load_saelens(folder)
    (folder / "cfg.json").write_text("{")
    with pytest.raises(ValueError, match="not valid JSON"):
        load_saelens(folder)
    weights.unlink()
    with pytest.raises(FileNotFoundError, match=r"missing sae_weights.safetensors.*has cfg.json"):
        load_saelens(folder)


# dictionary_learning ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", files.CLASSES)
@pytest.mark.parametrize("seed", [0, 5])
def test_dictionary_learning_reconstructs_as_documented(tmp_path: Path, kind: str, seed: int) -> None:
    folder = files.dictionary_learning_folder(tmp_path, kind, seed)
    expected = files.dictionary_learning_reference(
        kind, files.dictionary_learning_state(kind, seed), files.inputs()
    )
    dictionary = load_dictionary_learning(folder)
    assert equal(dictionary(files.inputs()), expected)
    assert dictionary.metadata["model_name"] == "some/model"


@pytest.mark.parametrize("kind", ["BatchTopKSAE", "MatryoshkaBatchTopKSAE"])
def test_an_unset_threshold_selects_over_the_batch(tmp_path: Path, kind: str) -> None:
    folder = files.dictionary_learning_folder(tmp_path, kind, threshold=-1.0)
    dictionary = load_dictionary_learning(folder)
    found = dictionary.encode(files.inputs())
    assert int((found > 0).sum()) == files.K * len(files.inputs())
    # A topk dictionary does not look at it.
    loose = load_dictionary_learning(
        files.dictionary_learning_folder(tmp_path / "topk", "AutoEncoderTopK", threshold=-1.0)
    )
    expected = files.dictionary_learning_reference(
        "AutoEncoderTopK", files.dictionary_learning_state("AutoEncoderTopK"), files.inputs()
    )
    assert equal(loose(files.inputs()), expected)


def test_matryoshka_keeps_its_groups(tmp_path: Path) -> None:
    dictionary = load_dictionary_learning(
        files.dictionary_learning_folder(tmp_path, "MatryoshkaBatchTopKSAE")
    )
    assert isinstance(dictionary.cfg, MatryoshkaConfig)
    assert dictionary.cfg.widths == (8, 24)


def test_folding_gives_the_tool_s_own_feature_sizes(tmp_path: Path) -> None:
    dictionary = load_dictionary_learning(files.dictionary_learning_folder(tmp_path, "AutoEncoder"))
    folded = dictionary.fold()
    x = files.inputs()
    assert equal(folded(x), dictionary(x))
    assert torch.allclose(folded.decoder_norms(), torch.ones(files.D_SAE))
    assert torch.allclose(folded.encode(x), dictionary.encode(x) * dictionary.decoder_norms(), atol=1e-5)


def test_a_step_s_file_finds_its_config_above(tmp_path: Path) -> None:
    folder = files.dictionary_learning_folder(tmp_path, "AutoEncoder")
    (folder / "checkpoints").mkdir()
    (folder / "ae.pt").rename(folder / "checkpoints" / "ae_100.pt")
    dictionary = load_dictionary(folder / "checkpoints" / "ae_100.pt")
    assert isinstance(dictionary.cfg, ReluConfig)


def test_without_a_config_the_class_must_be_named(tmp_path: Path) -> None:
    folder = files.dictionary_learning_folder(tmp_path, "JumpReluAutoEncoder")
    (folder / "config.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"missing config.json"):
        load_dictionary_learning(folder)
    dictionary = load_dictionary_learning(folder, dict_class="JumpReluAutoEncoder")
    assert isinstance(dictionary.cfg, JumpReluConfig)
    with pytest.raises(ValueError, match="dict_class is 'Other'"):
        load_dictionary_learning(folder, dict_class="Other")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"rotation": 3}, "unknown settings: rotation"),
        ({"dict_class": "IdentityDict"}, "dict_class is 'IdentityDict'"),
        ({"dict_size": None}, "missing settings: dict_size"),
        ({"k": 9}, "k is 9 in the config but 4 in the weights"),
        ({"activation_dim": 11}, r"encoder.weight \[24, 10\] instead of \[24, 11\]"),
    ],
)
def test_dictionary_learning_settings_that_are_unknown(
    tmp_path: Path, more: dict[str, Any], says: str
) -> None:
    config = files.dictionary_learning_config("AutoEncoderTopK")
    config["trainer"].update(more)
    state = files.dictionary_learning_state("AutoEncoderTopK")
    files.write(tmp_path, ("config.json", config), "ae.pt", state)
    with pytest.raises(ValueError, match=says):
        load_dictionary_learning(tmp_path)


class _Harm:
    def __reduce__(self) -> Any:
        return (print, ("this must not run",))


def test_code_in_a_torch_file_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = files.dictionary_learning_folder(tmp_path, "AutoEncoder")
    torch.save({"bias": _Harm()}, folder / "ae.pt")
    with pytest.raises(ValueError, match="never run"):
        load_dictionary(folder)
    (folder / "ae.pt").write_bytes(pickle.dumps(_Harm()))
    with pytest.raises(ValueError, match="never run"):
        load_dictionary(folder)
    assert "must not run" not in capsys.readouterr().out


# sparsify -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", files.SPARSIFY)
@pytest.mark.parametrize("seed", [0, 6])
def test_sparsify_reconstructs_as_documented(tmp_path: Path, case: str, seed: int) -> None:
    config = files.sparsify_config(**files.SPARSIFY[case])
    folder = files.sparsify_folder(tmp_path, seed, **files.SPARSIFY[case])
    expected = files.sparsify_reference(config, files.sparsify_state(config, seed), files.inputs())
    dictionary = load_sparsify(folder)
    assert equal(dictionary(files.inputs()), expected)
    assert dictionary.cfg.decoder_norm == ("unit" if config["normalize_decoder"] else "free")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        ({"activation": "groupmax"}, "activation is 'groupmax'"),
        ({"signed": True}, "signed is True"),
        ({"heads": 3}, "unknown settings: heads"),
        ({"k": None}, "missing settings: k"),
        ({"num_latents": 25}, r"W_dec \[24, 10\] instead of \[25, 10\]"),
        ({"skip_connection": True}, "1 missing: W_skip"),
    ],
)
def test_sparsify_settings_that_are_unknown(tmp_path: Path, more: dict[str, Any], says: str) -> None:
    config = files.sparsify_config(**more)
    state = files.sparsify_state(files.sparsify_config())
    files.write(tmp_path, ("cfg.json", config), "sae.safetensors", state)
    with pytest.raises(ValueError, match=says):
        load_sparsify(tmp_path)


# Gemma Scope --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("d_out", [files.D_IN, 6])
@pytest.mark.parametrize("seed", [0, 6])
def test_gemma_scope_reconstructs_as_documented(tmp_path: Path, d_out: int, seed: int) -> None:
    state = files.gemma_state(seed, d_out)
    folder = files.write(tmp_path, None, "params.npz", state)
    dictionary = load_gemma_scope(folder)
    assert equal(dictionary(files.inputs()), files.gemma_reference(state, files.inputs()))
    assert dictionary.cfg.transcodes == (d_out != files.D_IN)
    assert load_gemma_scope(folder / "params.npz", transcoder=True).cfg.transcodes


def test_gemma_scope_files_that_are_wrong(tmp_path: Path) -> None:
    state = files.gemma_state()
    del state["threshold"]
    state["b_enc"] = state["b_enc"][:-1]
    folder = files.write(tmp_path, None, "params.npz", state)
    with pytest.raises(
        ValueError, match=r"1 missing: threshold \[24\]; 1 of the wrong shape: b_enc \[23\] instead of \[24\]"
    ):
        load_gemma_scope(folder)
    files.write(tmp_path, None, "params.npz", {"W_enc": state["W_enc"]})
    with pytest.raises(ValueError, match="4 missing: W_dec, b_enc, b_dec, threshold"):
        load_gemma_scope(folder)
    np.savez(tmp_path / "params.npz", W_enc=np.array([_Harm()], dtype=object))
    with pytest.raises(ValueError, match="not a complete archive of arrays"):
        load_gemma_scope(folder)
    (tmp_path / "params.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match="not a complete archive of arrays"):
        load_gemma_scope(folder)


# Whatever it is -----------------------------------------------------------------------------------------------


def test_the_format_is_told_by_what_is_there(tmp_path: Path) -> None:
    ours = save(build(ReluConfig(d_in=4, d_sae=8)), tmp_path / "ours")
    folders = {
        "relu": ours,
        "jumprelu": files.saelens_folder(tmp_path / "saelens", "jumprelu"),
        "gated": files.dictionary_learning_folder(tmp_path / "dl", "GatedAutoEncoder"),
        "topk": files.sparsify_folder(tmp_path / "layers.3"),
    }
    for architecture, folder in folders.items():
        assert load_dictionary(folder).cfg.architecture == architecture
    files.write(tmp_path / "gemma", None, "params.npz", files.gemma_state())
    assert load_dictionary(tmp_path / "gemma").metadata["format"] == "gemma_scope"
    assert load_dictionary(tmp_path / "gemma" / "params.npz").cfg.architecture == "jumprelu"
    assert load_dictionary(folders["jumprelu"] / "sae_weights.safetensors").cfg.architecture == "jumprelu"
    assert load_dictionary(folders["topk"], format="sparsify").cfg.architecture == "topk"


def test_it_says_what_it_saw(tmp_path: Path) -> None:
    files.sparsify_folder(tmp_path / "run" / "layers.3")
    (tmp_path / "run" / "config.json").write_text("{}")
    with pytest.raises(ValueError, match=r"it has config.json, layers.3/") as caught:
        load_dictionary(tmp_path / "run")
    assert "There is a dictionary in layers.3" in str(caught.value)
    with pytest.raises(FileNotFoundError, match="nothing at"):
        load_dictionary(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="Did you mean 'saelens'"):
        load_dictionary(tmp_path, format="sae_lens")  # pyright: ignore[reportArgumentType]


def test_two_formats_in_one_folder_must_be_chosen_between(tmp_path: Path) -> None:
    files.sparsify_folder(tmp_path)
    state = files.saelens_state("standard")
    safetensors.torch.save_file(state, tmp_path / "sae_weights.safetensors")
    with pytest.raises(ValueError, match="several formats"):
        load_dictionary(tmp_path)
    assert load_dictionary(tmp_path, format="sparsify").cfg.architecture == "topk"
