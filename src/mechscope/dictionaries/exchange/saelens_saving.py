"""Write a dictionary as a SAELens folder (version 6)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import safetensors.torch
from jaxtyping import Float
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.config import BatchTopKConfig, JumpReluConfig, ReluConfig, TopKConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.exchange.saelens import CONFIG, NORMALIZE, SPARSITY, WEIGHTS
from mechscope.storage.files import write_atomically

FORM = "6.0.0"


@checked_arguments
def save_saelens(
    dictionary: Dictionary,
    folder: str | Path,
    *,
    densities: Float[Tensor, " feature"] | None = None,
) -> Path:
    """Write cfg.json and sae_weights.safetensors; activation scales are folded into the weights.

    BatchTopK and Matryoshka dictionaries are saved as JumpReLU with the same threshold for every feature, as SAELens
    itself does; the widths of nested dictionaries are kept in the metadata.

    Args:
        densities: the share of tokens at which each feature is active, for sparsity.safetensors.

    Raises:
        ValueError: for dictionaries that SAELens does not have: crosscoders, gated or TopK transcoders, a skip term
            with a normalization, and BatchTopK without a threshold; and for weights that are not finite.
        TypeError: for metadata that is not JSON.
    """
    folder = Path(folder)
    kept = dictionary.folded_to_save(norms=False)
    if densities is not None and densities.shape != (kept.cfg.d_sae,):
        raise ValueError(
            f"densities have shape {tuple(densities.shape)}; give one for each of the {kept.cfg.d_sae} features."
        )
    architecture, extra, kept = _architecture(kept)
    cfg = kept.cfg
    normalize = {ours: theirs for theirs, ours in NORMALIZE.items() if theirs != "expected_average_only_in"}
    metadata = dict(kept.metadata)
    metadata.pop("format", None)
    reshape = metadata.pop("reshape_activations", "none")
    metadata.update(extra.pop("metadata", {}))
    metadata["sae_lens_version"] = _version(metadata.get("sae_lens_version"))
    settings: dict[str, Any] = {
        "architecture": architecture,
        "d_in": cfg.d_in,
        "d_sae": cfg.d_sae,
        "dtype": cfg.dtype,
        "device": "cpu",
        "apply_b_dec_to_input": cfg.subtract_b_dec,
        "normalize_activations": normalize[cfg.normalize],
        "reshape_activations": reshape,
        "metadata": metadata,
        **extra,
    }
    if cfg.transcodes:
        settings["d_out"] = cfg.width_out
    state = {name: tensor for name, tensor in kept.state().items() if name not in ("scale_in", "scale_out")}
    if architecture.startswith("jumprelu"):
        # One threshold for all features, or one each; with a negative one, only positive features are active.
        state["threshold"] = state["threshold"].clamp_min(0).to(state["b_enc"]).expand(cfg.d_sae).contiguous()
    text = json.dumps(settings, indent=2) + "\n"
    write_atomically(folder / WEIGHTS, safetensors.torch.save(state))
    if densities is not None:
        # The density 0 has no logarithm; like SAELens, this writes 1e-10.
        logs = densities.detach().cpu().double().clamp_min(1e-10).log10().float()
        write_atomically(folder / SPARSITY, safetensors.torch.save({"sparsity": logs}))
    # The config is written last, so that a folder with a config is complete.
    write_atomically(folder / CONFIG, text)
    return folder


def _version(found: object) -> str:
    """The version to write: without one, or with an older one, SAELens would expect a flat config."""
    major = str(found).split(".")[0]
    return str(found) if major.isdigit() and int(major) >= 6 else FORM


def _architecture(dictionary: Dictionary) -> tuple[str, dict[str, Any], Dictionary]:
    """SAELens's name of the architecture, the settings that only it has, and the dictionary to write."""
    cfg = dictionary.cfg
    kind = cfg.architecture
    if cfg.skip and cfg.normalize != "none":
        raise ValueError("SAELens has no transcoder whose skip term reads normalized activations.")
    skip = "skip_" if cfg.skip else ""
    if kind == "relu" and isinstance(cfg, ReluConfig):
        return (f"{skip}transcoder" if cfg.transcodes else "standard"), {}, dictionary
    if isinstance(cfg, JumpReluConfig):
        return (f"jumprelu_{skip}transcoder" if cfg.transcodes else "jumprelu"), {}, dictionary
    if isinstance(cfg, BatchTopKConfig):
        if not bool(cast("Tensor", dictionary.threshold) >= 0):
            raise ValueError(
                "this BatchTopK dictionary has no threshold yet, which SAELens's format needs: train the dictionary, "
                "which estimates it."
            )
        if cfg.rescale_by_decoder_norm:
            # The threshold refers to a decoder with unit rows.
            dictionary = dictionary.fold(norms=True)
        metadata: dict[str, Any] = {"trained_as": kind, "k": cfg.k}
        widths = getattr(cfg, "widths", None)
        if widths is not None:
            metadata["matryoshka_widths"] = list(widths)
        name = f"jumprelu_{skip}transcoder" if cfg.transcodes else "jumprelu"
        return name, {"metadata": metadata}, dictionary
    if cfg.transcodes or kind not in ("topk", "gated"):
        what = f"a {kind} transcoder" if cfg.transcodes else f"a {kind} dictionary"
        raise ValueError(
            f"SAELens cannot represent {what}; save it in our own format (mechscope.dictionaries.save)."
        )
    if isinstance(cfg, TopKConfig):
        return "topk", {"k": cfg.k, "rescale_acts_by_decoder_norm": cfg.rescale_by_decoder_norm}, dictionary
    return "gated", {}, dictionary
