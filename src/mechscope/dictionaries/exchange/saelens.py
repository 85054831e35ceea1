"""Read SAELens folders of version 6 and later: cfg.json and sae_weights.safetensors, with our parameter names.

Folders from before version 6 have a flat config, which `_saelens_older.py` converts first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.config import (
    BatchTopKConfig,
    DictionaryConfig,
    GatedConfig,
    JumpReluConfig,
    MatryoshkaConfig,
    Normalize,
    ReluConfig,
    TopKConfig,
)
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.exchange._converting import decoder_norm_of, dtype_of, make
from mechscope.dictionaries.exchange._raw_files import must_exist, read_json, read_safetensors
from mechscope.dictionaries.exchange._saelens_metadata import check_metadata
from mechscope.dictionaries.exchange._saelens_older import is_older, to_present
from mechscope.dictionaries.exchange._settings_check import check_settings, one_of, whole
from mechscope.dictionaries.head import HEAD
from mechscope.model.state_dict_check import ExpectedTensor, Shape, check_state_dict

CONFIG = "cfg.json"
WEIGHTS = "sae_weights.safetensors"
SPARSITY = "sparsity.safetensors"
SCALER = "activation_scaler.json"

COMMON = (
    "dtype",
    "device",
    "apply_b_dec_to_input",
    "normalize_activations",
    "reshape_activations",
    "metadata",
)
TRAINING = ("decoder_init_norm",)
TOPK_TRAINING = ("use_sparse_activations", "aux_loss_coefficient")
# Architecture → (required settings, optional settings, most of which only occur in training checkpoints).
SETTINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "standard": ((), ("l1_coefficient", "lp_norm", "l1_warm_up_steps")),
    "gated": ((), ("l1_coefficient", "l1_warm_up_steps")),
    "jumprelu": (
        (),
        (
            "jumprelu_init_threshold",
            "jumprelu_bandwidth",
            "jumprelu_sparsity_loss_mode",
            "l0_coefficient",
            "l0_warm_up_steps",
            "pre_act_loss_coefficient",
            "jumprelu_tanh_scale",
            "jumprelu_ste_to_input",
            "target_l0",
        ),
    ),
    "topk": (("k",), ("rescale_acts_by_decoder_norm", *TOPK_TRAINING)),
    "batchtopk": (("k",), ("rescale_acts_by_decoder_norm", "topk_threshold_lr", *TOPK_TRAINING)),
    "matryoshka_batchtopk": (
        ("k", "matryoshka_widths"),
        ("rescale_acts_by_decoder_norm", "topk_threshold_lr", "use_matryoshka_aux_loss", *TOPK_TRAINING),
    ),
    "transcoder": (("d_out",), ()),
    "skip_transcoder": (("d_out",), ()),
    "jumprelu_transcoder": (("d_out",), ()),
    "jumprelu_skip_transcoder": (("d_out",), ()),
}
NORMALIZE: dict[str, Normalize] = {
    "none": "none",
    "constant_norm_rescale": "constant_norm",
    "layer_norm": "layer_norm",
    "expected_average_only_in": "none",
}


@checked_arguments
def load_saelens(
    folder: str | Path, *, input_scale: float | None = None, ignore: Collection[str] = ()
) -> Dictionary:
    """Read a SAELens folder, of version 6 or later or of the older flat kind.

    Settings that are missing from the config have SAELens's defaults. Training checkpoints can be read too.

    Args:
        input_scale: the factor of activations in training, for normalize_activations="expected_average_only_in", whose
            config lacks it (1 if it is already folded into the weights). None reads it from activation_scaler.json.
        ignore: names of unknown settings and metadata that are known to make no difference.

    Raises:
        FileNotFoundError: if one of the two files is missing.
        ValueError: for damaged files, an unknown architecture, setting or value, and tensors that do not fit (listing
            all).
        UserWarning: for unknown metadata, which is not used (see `_saelens_metadata.py`).
    """
    folder = Path(folder)
    must_exist(folder / CONFIG, folder / WEIGHTS)
    where = str(folder / CONFIG)
    settings = read_json(folder / CONFIG)
    state = read_safetensors(folder / WEIGHTS)
    names = ignore
    if is_older(settings):
        settings, state = to_present(settings, state, ignore, folder)
        ignore = ()
    architecture = settings.get("architecture")
    one_of("architecture", architecture, SETTINGS, where)
    architecture = str(architecture)
    needed, optional = SETTINGS[architecture]
    check_settings(
        settings,
        needed=("architecture", "d_in", "d_sae", *needed),
        known=(*COMMON, *TRAINING, *optional),
        ignore=ignore,
        where=where,
    )
    scale = _scale(settings, folder, input_scale)
    cfg = _config(architecture, settings, where)
    if scale is not None and cfg.transcodes:
        raise ValueError(
            f"{where}: a transcoder's input and output have different scales, so one input_scale is not enough."
        )
    state = _rename(state, architecture)
    check_state_dict(state, _shapes(architecture, cfg), what=f"the tensors of {folder / WEIGHTS}")
    dictionary = make(
        _with_decoder_norm(cfg, state),
        state,
        {**_metadata(settings, where, names), "format": "saelens", **_folds(settings)},
    )
    if scale is not None:
        dictionary.set_scale(scale)
    return dictionary


@checked_arguments
def saelens_densities(folder: str | Path) -> Tensor | None:
    """The share of tokens at which each feature is active, if the folder has it (sparsity.safetensors).

    Raises:
        ValueError: for a damaged file, or one without the tensor `sparsity`.
    """
    path = Path(folder) / SPARSITY
    if not path.is_file():
        return None
    found = read_safetensors(path)
    check_state_dict(found, {"sparsity": ExpectedTensor()}, what=f"the tensors of {path}", owner="the format")
    # The file stores log10.
    return torch.pow(10.0, found["sparsity"].double())


def _config(architecture: str, settings: Mapping[str, Any], where: str) -> DictionaryConfig:
    normalize = settings.get("normalize_activations", "none")
    subtract = settings.get("apply_b_dec_to_input", True)
    one_of("normalize_activations", normalize, NORMALIZE, where)
    one_of("apply_b_dec_to_input", subtract, (True, False), where)
    one_of("reshape_activations", settings.get("reshape_activations", "none"), ("none", "hook_z"), where)
    transcodes = architecture.endswith("transcoder")
    skip = "skip" in architecture
    if skip and NORMALIZE[normalize] != "none":
        raise ValueError(
            f"{where}: a skip term that reads raw activations, with an encoder that reads normalized ones "
            f"({normalize}), is not supported."
        )
    if transcodes and subtract is not False:
        raise ValueError(f"{where}: a transcoder must have apply_b_dec_to_input=false, not {subtract!r}.")
    shared: dict[str, Any] = {
        "d_in": whole("d_in", settings["d_in"], where),
        "d_sae": whole("d_sae", settings["d_sae"], where),
        "d_out": whole("d_out", settings["d_out"], where) if transcodes else None,
        "skip": skip,
        "subtract_b_dec": subtract,
        "normalize": NORMALIZE[normalize],
        "dtype": dtype_of(settings.get("dtype", "float32"), where),
        "decoder_norm": "free",
    }
    if architecture in ("topk", "batchtopk", "matryoshka_batchtopk"):
        rescale = settings.get("rescale_acts_by_decoder_norm", False)
        one_of("rescale_acts_by_decoder_norm", rescale, (True, False), where)
        shared["rescale_by_decoder_norm"] = rescale
        shared["k"] = settings["k"]
    try:
        if architecture == "topk":
            return TopKConfig(**shared)
        if architecture == "batchtopk":
            return BatchTopKConfig(**shared)
        if architecture == "matryoshka_batchtopk":
            widths = tuple(settings["matryoshka_widths"])
            return MatryoshkaConfig(**shared, widths=_complete(widths, shared["d_sae"]))
        if architecture == "gated":
            return GatedConfig(**shared)
        if architecture.startswith("jumprelu"):
            return JumpReluConfig(**shared)
        return ReluConfig(**shared)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _complete(widths: tuple[int, ...], d_sae: int) -> tuple[int, ...]:
    """Matryoshka widths, ending with the whole dictionary, which SAELens may leave out."""
    return widths if widths and widths[-1] == d_sae else (*widths, d_sae)


def _shapes(architecture: str, cfg: DictionaryConfig) -> dict[str, Shape]:
    d_in, d_sae, d_out = cfg.d_in, cfg.d_sae, cfg.width_out
    shapes: dict[str, Shape] = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_out), "b_dec": (d_out,)}
    if architecture == "gated":
        return {**shapes, "b_gate": (d_sae,), "b_mag": (d_sae,), "r_mag": (d_sae,)}
    shapes["b_enc"] = (d_sae,)
    if architecture.startswith("jumprelu"):
        shapes["threshold"] = (d_sae,)
    if "batchtopk" in architecture:
        shapes["threshold"] = ()
    if cfg.skip:
        shapes["W_skip"] = (d_out, d_in)
    return shapes


def _rename(state: dict[str, Tensor], architecture: str) -> dict[str, Tensor]:
    """Tensors under their present names; some versions store a threshold's logarithm, or a BatchTopK threshold."""
    state = dict(state)
    if architecture.startswith("jumprelu") and "log_threshold" in state and "threshold" not in state:
        state["threshold"] = state.pop("log_threshold").exp()
    if "batchtopk" in architecture and "topk_threshold" in state:
        state["threshold"] = state.pop("topk_threshold")
    return state


def _with_decoder_norm(cfg: DictionaryConfig, state: Mapping[str, Tensor]) -> DictionaryConfig:
    return dataclasses.replace(cfg, decoder_norm=decoder_norm_of(state["W_dec"]))


def _scale(settings: Mapping[str, Any], folder: Path, given: float | None) -> float | None:
    if settings.get("normalize_activations") != "expected_average_only_in":
        if given is not None:
            raise ValueError(
                f"{folder}: input_scale belongs to normalize_activations='expected_average_only_in', but this folder "
                f"has {settings.get('normalize_activations', 'none')!r}."
            )
        return None
    if given is not None:
        return given
    if (folder / SCALER).is_file():
        scaler = read_json(folder / SCALER)
        check_settings(
            scaler, needed=("scaling_factor",), known=("has_whitening",), where=str(folder / SCALER)
        )
        if scaler.get("has_whitening"):
            raise ValueError(f"{folder / SCALER}: whitened activations are not supported.")
        return float(scaler["scaling_factor"])
    raise ValueError(
        f"{folder}: activations were scaled in training (expected_average_only_in) by a factor that is not in this "
        "folder. Give input_scale, which is √d_in divided by the mean length of activations, or input_scale=1 if the "
        "factor is folded into the weights."
    )


def _folds(settings: Mapping[str, Any]) -> dict[str, Any]:
    reshape = settings.get("reshape_activations", "none")
    return {} if reshape == "none" else {"reshape_activations": reshape}


def _metadata(settings: Mapping[str, Any], where: str, ignore: Collection[str]) -> dict[str, Any]:
    metadata = cast("dict[str, Any]", dict(settings.get("metadata") or {}))
    check_metadata(metadata, where, ignore)
    reshape = settings.get("reshape_activations", "none")
    hook_name = metadata.get("hook_name")
    if reshape == "hook_z" and hook_name is not None and not hook_name.endswith("hook_z"):
        raise ValueError(
            f"{where}: reshape_activations 'hook_z' reads concatenated heads, but hook_name {hook_name!r} is not a "
            "hook_z."
        )
    if metadata.get(HEAD) is not None and reshape != "none":
        raise ValueError(
            f"{where}: one head ({HEAD} {metadata[HEAD]}) and all heads concatenated (reshape_activations {reshape!r}) "
            "contradict each other."
        )
    return metadata
