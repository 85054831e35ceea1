"""Read Gemma Scope: params.npz with W_enc, W_dec, b_enc, b_dec, threshold; JumpReLU without subtracting b_dec."""

from __future__ import annotations

from pathlib import Path

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.config import JumpReluConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.exchange._converting import decoder_norm_of, dtype_of_weights, make
from mechscope.dictionaries.exchange._raw_files import must_exist, read_npz
from mechscope.model.state_dict_check import ExpectedTensor, check_state_dict

WEIGHTS = "params.npz"
NAMES = ("W_enc", "W_dec", "b_enc", "b_dec", "threshold")


@checked_arguments
def load_gemma_scope(path: str | Path, *, transcoder: bool = False) -> Dictionary:
    """Read params.npz, or a folder that contains it. Widths come from the matrices, because there is no config.

    Dictionaries of embeddings were trained on embeddings without their factor √d_model, although the file does not say
    so: divide the activations by it.

    Args:
        transcoder: whether it is a transcoder, which the file does not say if both widths are equal.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: for a damaged file, or listing every tensor that does not fit.
    """
    path = Path(path)
    weights = path if path.suffix == ".npz" else path / WEIGHTS
    must_exist(weights)
    found = read_npz(weights)
    where, what = str(weights), f"the tensors of {weights}"
    matrices = [found[name] for name in ("W_enc", "W_dec") if name in found]
    if len(matrices) < 2 or any(matrix.ndim != 2 for matrix in matrices):
        # Without both matrices, the shapes of the others are unknown.
        check_state_dict(
            found, dict.fromkeys(NAMES, ExpectedTensor()), what=what, owner="Gemma Scope's format"
        )
        shapes = ", ".join(f"{name} {tuple(found[name].shape)}" for name in ("W_enc", "W_dec"))
        raise ValueError(f"{where}: W_enc and W_dec must be matrices; got {shapes}.")
    d_in, d_sae = matrices[0].shape
    d_out = matrices[1].shape[1]
    check_state_dict(
        found,
        {
            "W_enc": (d_in, d_sae),
            "W_dec": (d_sae, d_out),
            "b_enc": (d_sae,),
            "b_dec": (d_out,),
            "threshold": (d_sae,),
        },
        what=what,
        owner="the encoder and decoder",
    )
    cfg = JumpReluConfig(
        d_in=d_in,
        d_sae=d_sae,
        d_out=d_out if transcoder or d_out != d_in else None,
        subtract_b_dec=False,
        dtype=dtype_of_weights(found["W_enc"], where),
        decoder_norm=decoder_norm_of(found["W_dec"]),
    )
    return make(cfg, found, {"format": "gemma_scope", "folder": weights.parent.name})
