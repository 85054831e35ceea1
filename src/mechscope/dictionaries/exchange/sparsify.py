"""Read folders of sparsify: {hook point}/cfg.json and sae.safetensors, with TopK autoencoders and transcoders."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.config import TopKConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.exchange._converting import decoder_norm_of, dtype_of_weights, make
from mechscope.dictionaries.exchange._raw_files import must_exist, read_json, read_safetensors
from mechscope.dictionaries.exchange._settings_check import check_settings, one_of, whole
from mechscope.model.state_dict_check import Shape, check_state_dict

CONFIG = "cfg.json"
WEIGHTS = "sae.safetensors"
KNOWN = (
    "activation",
    "expansion_factor",
    "normalize_decoder",
    "num_latents",
    "multi_topk",
    "skip_connection",
    "transcode",
    "signed",
)


@checked_arguments
def load_sparsify(folder: str | Path, *, ignore: Collection[str] = ()) -> Dictionary:
    """Read a sparsify folder.

    normalize_decoder and multi_topk only affect training: the decoder is used as it is stored, and k features are
    active. An autoencoder with a skip term is converted to a transcoder with the same outputs.

    Args:
        ignore: names of unknown settings that are known to make no difference.

    Raises:
        FileNotFoundError: if one of the two files is missing.
        ValueError: for damaged files, unknown settings or values, and tensors that do not fit (listing all).
    """
    folder = Path(folder)
    must_exist(folder / CONFIG, folder / WEIGHTS)
    where = str(folder / CONFIG)
    settings = read_json(folder / CONFIG)
    check_settings(settings, needed=("d_in", "k"), known=KNOWN, ignore=ignore, where=where)
    d_in, k = whole("d_in", settings["d_in"], where), whole("k", settings["k"], where)
    one_of("activation", settings.get("activation", "topk"), ("topk",), where)
    # Older versions could keep negative pre-activations.
    one_of("signed", settings.get("signed", False), (False,), where)
    skip, transcode = settings.get("skip_connection", False), settings.get("transcode", False)
    for name, value in (("skip_connection", skip), ("transcode", transcode)):
        one_of(name, value, (True, False), where)
    if settings.get("num_latents"):
        d_sae = whole("num_latents", settings["num_latents"], where)
    else:
        d_sae = d_in * whole("expansion_factor", settings.get("expansion_factor"), where)
    shapes: dict[str, Shape] = {
        "encoder.weight": (d_sae, d_in),
        "encoder.bias": (d_sae,),
        "W_dec": (d_sae, d_in),
        "b_dec": (d_in,),
    }
    if skip:
        shapes["W_skip"] = (d_in, d_in)
    found = read_safetensors(folder / WEIGHTS)
    check_state_dict(found, shapes, what=f"the tensors of {folder / WEIGHTS}")
    state = {
        "W_enc": found["encoder.weight"].T,
        "b_enc": found["encoder.bias"],
        "W_dec": found["W_dec"],
        "b_dec": found["b_dec"],
    }
    shared: dict[str, Any] = {}
    if skip:
        state["W_skip"] = found["W_skip"]
        if not transcode:
            # (x - b_dec) W_enc + b_enc = x W_enc + (b_enc - b_dec W_enc): only the encoder reads without b_dec.
            wide = state["W_enc"].double()
            folded = state["b_enc"].double() - state["b_dec"].double() @ wide
            state["b_enc"] = folded.to(state["b_enc"].dtype)
    if transcode or skip:
        shared = {"d_out": d_in, "skip": skip, "subtract_b_dec": False}
    try:
        cfg = TopKConfig(
            d_in=d_in,
            d_sae=d_sae,
            k=k,
            dtype=dtype_of_weights(found["encoder.weight"], where),
            decoder_norm=decoder_norm_of(found["W_dec"]),
            **shared,
        )
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from error
    return make(cfg, state, {"format": "sparsify", "hook_name": folder.name, "transcode": transcode})
