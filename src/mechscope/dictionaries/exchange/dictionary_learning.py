"""Read folders of dictionary_learning: ae.pt (a state dict) and config.json, which names the class.

Linear layers store their weights transposed, and decoders may have any norm. (The tool itself rescales the decoder of
an AutoEncoder to unit rows when it loads one, which changes the size of features but not the reconstruction; here,
`fold()` does that.)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, cast

from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.checkpoints.weights_file import read_pickle
from mechscope.dictionaries.config import (
    BatchTopKConfig,
    DictionaryConfig,
    GatedConfig,
    JumpReluConfig,
    MatryoshkaConfig,
    ReluConfig,
    TopKConfig,
)
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.exchange._converting import decoder_norm_of, dtype_of_weights, make
from mechscope.dictionaries.exchange._raw_files import must_exist, read_json
from mechscope.dictionaries.exchange._settings_check import check_settings, one_of, whole
from mechscope.model.state_dict_check import ExpectedTensor, Shape, check_state_dict

WEIGHTS = "ae.pt"
CONFIG = "config.json"

# The tool's class → the names of its tensors there → our names, with ᵀ for tensors that are stored transposed.
LINEAR = {"encoder.weight": "W_encᵀ", "encoder.bias": "b_enc", "decoder.weight": "W_decᵀ"}
DIRECT = {"W_enc": "W_enc", "b_enc": "b_enc", "W_dec": "W_dec", "b_dec": "b_dec"}
TENSORS: dict[str, dict[str, str]] = {
    "AutoEncoder": {**LINEAR, "bias": "b_dec"},
    "AutoEncoderNew": {**LINEAR, "decoder.bias": "b_dec"},
    "AutoEncoderTopK": {**LINEAR, "b_dec": "b_dec"},
    "BatchTopKSAE": {**LINEAR, "b_dec": "b_dec", "threshold": "threshold"},
    "MatryoshkaBatchTopKSAE": {**DIRECT, "threshold": "threshold"},
    "JumpReluAutoEncoder": {**DIRECT, "threshold": "threshold"},
    "GatedAutoEncoder": {
        "encoder.weight": "W_encᵀ",
        "decoder.weight": "W_decᵀ",
        "decoder_bias": "b_dec",
        "r_mag": "r_mag",
        "gate_bias": "b_gate",
        "mag_bias": "b_mag",
    },
}
# Other tensors that a class saves, and those that may be missing.
BESIDE: dict[str, tuple[str, ...]] = {
    "AutoEncoderTopK": ("k", "threshold"),
    "BatchTopKSAE": ("k",),
    "MatryoshkaBatchTopKSAE": ("k", "group_sizes"),
}
OPTIONAL = {("AutoEncoderTopK", "k"), ("AutoEncoderTopK", "threshold")}

# Settings of training, which do not change what the trained weights compute. (If activations were normalized in
# training, the tool adapts the biases when it saves.)
_TRAINING = """
    anneal_start auxk_alpha bandwidth decay_start dead_feature_threshold device group_fractions group_weights
    l1_penalty layer lm_name lr n_sparsity_updates norm_factor p_end p_start resample_steps seed sparsity_function
    sparsity_penalty sparsity_queue_length sparsity_warmup_steps steps submodule_name target_l0 threshold_beta
    threshold_start_step top_k_aux trainer_class wandb_name warmup_steps
"""
TRAINING = frozenset(_TRAINING.split())
BUFFER = ("d_submodule", "io", "n_ctxs", "ctx_len", "refresh_batch_size", "out_batch_size", "device")
"""How the activations were collected; "io" says whether they are a submodule's input or output."""


@checked_arguments
def load_dictionary_learning(
    path: str | Path, *, dict_class: str | None = None, ignore: Collection[str] = ()
) -> Dictionary:
    """Read a dictionary_learning folder, or an ae.pt (or ae_<step>.pt) with a config next to it or one folder above.

    A threshold of -1 means that it was never estimated. The dictionary then selects over the batch, as the tool does
    with use_threshold=False (by default, the tool would keep every positive feature).

    Args:
        dict_class: the tool's class, if there is no config.json.
        ignore: names of unknown settings that are known to make no difference.

    Raises:
        FileNotFoundError: if a file is missing.
        ValueError: for damaged or unsafe files, an unknown class or setting, and tensors that do not fit (listing all).
    """
    path = Path(path)
    weights = path if path.suffix == ".pt" else path / WEIGHTS
    config = weights.parent / CONFIG
    if not config.is_file() and (weights.parent.parent / CONFIG).is_file() and path.suffix == ".pt":
        config = weights.parent.parent / CONFIG
    if dict_class is not None and not config.is_file():
        must_exist(weights)
        settings: dict[str, Any] = {"dict_class": dict_class}
    else:
        must_exist(weights, config)
        settings = _trainer(read_json(config), str(config), ignore)
        if dict_class is not None and settings.get("dict_class") != dict_class:
            raise ValueError(f"{config} says dict_class {settings.get('dict_class')!r}, not {dict_class!r}.")
    where = str(config if config.is_file() else weights)
    kind = settings.get("dict_class")
    one_of("dict_class", kind, TENSORS, where)
    kind = str(kind)
    found = read_pickle(weights)
    d_in, d_sae = _widths(found, settings, kind, where)
    _check(found, kind, d_in, d_sae, str(weights))
    state = _renamed(found, kind)
    cfg = _config(found, state, kind, settings, where)
    metadata = {
        name: settings[name]
        for name in ("lm_name", "layer", "submodule_name")
        if settings.get(name) is not None
    }
    if "lm_name" in metadata:
        metadata["model_name"] = metadata.pop("lm_name")
    return make(cfg, state, {**metadata, "format": "dictionary_learning", "dict_class": kind})


def _trainer(config: Mapping[str, Any], where: str, ignore: Collection[str]) -> dict[str, Any]:
    check_settings(config, needed=("trainer",), known=("buffer",), ignore=ignore, where=where)
    trainer = config["trainer"]
    _check_buffer(config.get("buffer"), f"{where}, buffer", ignore)
    if not isinstance(trainer, dict):
        raise ValueError(f"{where}: trainer must be a table of settings, not a {type(trainer).__name__}.")
    settings = cast("dict[str, Any]", trainer)
    check_settings(
        settings,
        needed=("dict_class", "activation_dim", "dict_size"),
        known=(*TRAINING, "k", "group_sizes"),
        ignore=ignore,
        where=f"{where}, trainer",
    )
    return settings


def _check_buffer(buffer: object, where: str, ignore: Collection[str]) -> None:
    """Refuse a buffer whose pairs of activations differ from what an autoencoder reads and writes."""
    if buffer is None:
        return
    if not isinstance(buffer, dict):
        raise ValueError(f"{where}: must be a table of settings, not a {type(buffer).__name__}.")
    settings = cast("dict[str, Any]", buffer)
    check_settings(settings, needed=(), known=BUFFER, ignore=ignore, where=where)
    one_of("io", settings.get("io", "out"), ("in", "out"), where)


def _widths(
    found: Mapping[str, Tensor], settings: Mapping[str, Any], kind: str, where: str
) -> tuple[int, int]:
    """d_in and d_sae, from the config or, without one, from the encoder's shape."""
    if "activation_dim" in settings:
        return (
            whole("activation_dim", settings["activation_dim"], where),
            whole("dict_size", settings["dict_size"], where),
        )
    encoder = next((found[name] for name in ("W_enc", "encoder.weight") if name in found), None)
    if encoder is None or encoder.ndim != 2:
        raise ValueError(f"{where}: there is no encoder matrix among {', '.join(found)}.")
    shape = tuple(encoder.shape)
    return shape if "W_enc" in TENSORS[kind] else shape[::-1]  # pyright: ignore[reportReturnType]


def _check(found: Mapping[str, Tensor], kind: str, d_in: int, d_sae: int, where: str) -> None:
    ours: dict[str, Shape] = {"W_enc": (d_in, d_sae), "W_dec": (d_sae, d_in), "b_dec": (d_in,)}
    expected: dict[str, ExpectedTensor | Shape] = {}
    for theirs, name in TENSORS[kind].items():
        shape = ours.get(name.rstrip("ᵀ"), (d_sae,))
        if name == "threshold" and kind != "JumpReluAutoEncoder":
            shape = ()
        expected[theirs] = shape[::-1] if name.endswith("ᵀ") else shape
    for name in BESIDE.get(kind, ()):
        if name in found or (kind, name) not in OPTIONAL:
            shapes = () if name == "group_sizes" else ((),)
            expected[name] = ExpectedTensor(shapes, integers=name in ("k", "group_sizes"))
    check_state_dict(found, expected, what=f"the tensors of {where}")


def _renamed(found: Mapping[str, Tensor], kind: str) -> dict[str, Tensor]:
    return {
        name.rstrip("ᵀ"): found[theirs].T if name.endswith("ᵀ") else found[theirs]
        for theirs, name in TENSORS[kind].items()
    }


def _config(
    found: Mapping[str, Tensor],
    state: Mapping[str, Tensor],
    kind: str,
    settings: Mapping[str, Any],
    where: str,
) -> DictionaryConfig:
    shared: dict[str, Any] = {
        "d_in": state["W_enc"].shape[0],
        "d_sae": state["W_enc"].shape[1],
        "dtype": dtype_of_weights(state["W_enc"], where),
        "decoder_norm": decoder_norm_of(state["W_dec"]),
        # These two classes do not subtract b_dec.
        "subtract_b_dec": kind not in ("AutoEncoderNew", "JumpReluAutoEncoder"),
    }
    try:
        if kind in ("AutoEncoder", "AutoEncoderNew"):
            return ReluConfig(**shared)
        if kind == "JumpReluAutoEncoder":
            return JumpReluConfig(**shared)
        if kind == "GatedAutoEncoder":
            return GatedConfig(**shared)
        shared["k"] = _k(found, settings, where)
        if kind == "AutoEncoderTopK":
            return TopKConfig(**shared)
        if kind == "BatchTopKSAE":
            return BatchTopKConfig(**shared)
        sizes = [int(size) for size in found["group_sizes"].flatten().tolist()]
        if settings.get("group_sizes") not in (None, sizes):
            raise ValueError(
                f"group_sizes is {settings['group_sizes']} in the config but {sizes} in the weights."
            )
        widths = tuple(sum(sizes[: end + 1]) for end in range(len(sizes)))
        return MatryoshkaConfig(**shared, widths=widths)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error


def _k(found: Mapping[str, Tensor], settings: Mapping[str, Any], where: str) -> int:
    values = {
        origin: float(value)
        for origin, value in (("the config", settings.get("k")), ("the weights", found.get("k")))
        if value is not None
    }
    if not values:
        raise ValueError(f"{where}: k is neither in the config nor in the weights.")
    if len(set(values.values())) > 1:
        raise ValueError(
            f"k is {values['the config']:g} in the config but {values['the weights']:g} in the weights."
        )
    k = next(iter(values.values()))
    return whole("k", int(k) if k.is_integer() else k, where)
