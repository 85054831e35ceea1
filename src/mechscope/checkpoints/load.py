"""`load_model`: load a ready-to-run model from a name, a path, a state dict or a Hugging Face model."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import torch

from mechscope.checkpoints.checkpoint import Checkpoint, GivenConfig
from mechscope.checkpoints.find import Wanted, find
from mechscope.checkpoints.memory_check import check_memory, saying_if_memory_runs_out
from mechscope.data.tokenizer import Tokenizer
from mechscope.data.tokenizer_files import has_tokenizer
from mechscope.model.config import HookedTransformerConfig, dtype_from_name
from mechscope.model.encoder import HookedEncoder
from mechscope.model.transformer import HookedTransformer
from mechscope.model.weight_processing import ProcessedWeights
from mechscope.model.weight_processing.process import process_parts

PROCESSING = ("fold_ln", "center_writing_weights", "center_unembed", "fold_value_biases")
UNTYING = PROCESSING[:3]
"""Steps that give embedding and unembedding weights of their own."""


# Weights read in inference mode cannot be trained.
@torch.inference_mode(False)
def load_model(
    name_or_path: str | Path | Mapping[str, torch.Tensor] | Any,
    *,
    process: bool = True,
    fold_ln: bool | None = None,
    center_writing_weights: bool | None = None,
    center_unembed: bool | None = None,
    fold_value_biases: bool | None = None,
    refactor_factored_attn_matrices: bool = False,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str | None = None,
    tokenizer: Any = None,
    revision: str | None = None,
    checkpoint_index: int | None = None,
    checkpoint_value: int | None = None,
    first_n_layers: int | None = None,
    n_ctx: int | None = None,
    default_prepend_bos: bool | None = None,
    default_padding_side: Literal["left", "right"] = "right",
    cfg: GivenConfig = None,
) -> Any:
    """Load a ready-to-run `HookedTransformer` (for BERT, a `HookedEncoder`).

    Args:
        name_or_path: a bundled model, a name or alias of the model table, a repository of the Hugging Face
            hub, a folder, a file, a state dict, or a Hugging Face model in memory (which is copied).
        process: rewrite the weights into a form that is easier to interpret, with the same log-probabilities
            (`model.processing_report` gives the error); each of the next four flags overrides one part of it.
        refactor_factored_attn_matrices: also rotate each head into its singular directions.
        device: where to put the weights; None means CUDA if available, else the CPU.
        dtype: data type of the weights; None means float32. Weights of narrower types are processed in float32.
        tokenizer: a tokenizer, or the folder of one, to use instead of the checkpoint's own.
        revision: a branch, tag or commit of the repository.
        checkpoint_index: a training checkpoint by index; negative ones count from the end.
        checkpoint_value: a training checkpoint by its step.
        first_n_layers: keep only this many layers.
        n_ctx: longest sequence, if not the checkpoint's own.
        default_prepend_bos: whether text starts with a BOS token; None follows the family.
        cfg: for a state dict, its config, or only the fields that cannot be inferred from shapes.

    Raises:
        ValueError: for an unknown name (suggests the closest ones), an unsupported setting, or tensors that
            do not fit, all listed at once.
        TooLittleMemoryError: (a ValueError and a MemoryError) if it needs far more memory than there is; says how much.
        FileNotFoundError: if the files cannot be found or downloaded; says how to fix it.

    >>> model = load_model("mini-gelu-1l")
    >>> model.cfg.n_layers, model.cfg.n_heads, model.cfg.d_model
    (1, 4, 64)
    >>> model(model.to_tokens("to be or not to be")).shape  # logits [batch pos d_vocab]
    torch.Size([1, 7, 512])
    """
    if isinstance(name_or_path, str) and not name_or_path.strip():
        raise ValueError("load_model was given an empty name; `mechscope models` lists the valid names.")
    found = find(name_or_path, Wanted(revision, checkpoint_index, checkpoint_value), cfg)
    wanted_dtype = dtype_from_name(dtype) if isinstance(dtype, str) else dtype or torch.float32
    wanted = _restricted(found.checkpoint.cfg, first_n_layers, n_ctx)
    wanted = dataclasses.replace(
        wanted,
        dtype=wanted_dtype,
        device=None if device is None else str(device),
        model_name=found.name,
        **found.labels,
        **({} if default_prepend_bos is None else {"default_prepend_bos": default_prepend_bos}),
    )
    own_tokenizer = _tokenizer(tokenizer, found.checkpoint)
    asked = dict(
        zip(PROCESSING, (fold_ln, center_writing_weights, center_unembed, fold_value_biases), strict=True)
    )
    if found.checkpoint.encoder:
        check_memory(wanted, untied=False, mapped=found.checkpoint.mapped)
        return _encoder(
            found.checkpoint, wanted, own_tokenizer, [name for name, value in asked.items() if value]
        )
    steps = {name: process if value is None else value for name, value in asked.items()}
    untied = any(steps[name] for name in UNTYING)
    processing = any(steps.values()) or refactor_factored_attn_matrices
    check_memory(wanted, untied=untied, mapped=found.checkpoint.mapped and not processing)
    with saying_if_memory_runs_out(wanted, untied=untied):
        if not processing:
            state_dict = found.checkpoint.read(wanted, wanted.dtype)
            return HookedTransformer.from_state(wanted, state_dict, own_tokenizer, default_padding_side)
        processed = _processed(found.checkpoint, wanted, steps, refactor_factored_attn_matrices)
        model = HookedTransformer.from_state(
            processed.cfg, processed.state_dict, own_tokenizer, default_padding_side
        )
        model.processing_report = processed.report
        return model


def _processed(
    found: Checkpoint, wanted: HookedTransformerConfig, steps: Mapping[str, bool], refactor: bool
) -> ProcessedWeights:
    # Folding multiplies weights; in a narrow type every step would add rounding error.
    exact = torch.promote_types(wanted.dtype, torch.float32)
    return process_parts(
        dataclasses.replace(wanted, dtype=exact),
        found.read_parts(wanted, exact, own=True),
        {**steps, "refactor_factored_attn_matrices": refactor},
        wanted.dtype,
    )


def _encoder(found: Checkpoint, wanted: HookedTransformerConfig, tokenizer: Any, asked: list[str]) -> Any:
    if asked:
        raise ValueError(
            f"{', '.join(asked)}: weight processing is for decoders; an encoder's norms come after the sums."
        )
    return HookedEncoder.from_state(wanted, found.read(wanted, wanted.dtype), tokenizer)


def _restricted(
    cfg: HookedTransformerConfig, first_n_layers: int | None, n_ctx: int | None
) -> HookedTransformerConfig:
    if first_n_layers is not None:
        if not 0 <= first_n_layers <= cfg.n_layers:
            raise ValueError(f"first_n_layers={first_n_layers}, but this model has {cfg.n_layers} layers.")
        kinds = cfg.attn_types[:first_n_layers] if cfg.attn_types is not None else None
        cfg = dataclasses.replace(cfg, n_layers=first_n_layers, attn_types=kinds)
    if n_ctx is not None:
        learned = cfg.positional_embedding_type in ("standard", "shortformer")
        if learned and n_ctx > cfg.n_ctx:
            raise ValueError(
                f"n_ctx={n_ctx} is longer than the {cfg.n_ctx} positions that this model has embeddings for."
            )
        cfg = dataclasses.replace(cfg, n_ctx=n_ctx)
    return cfg


def _tokenizer(given: Any, found: Checkpoint) -> Any:
    if isinstance(given, str | Path):
        return Tokenizer.from_folder(given)
    if given is not None:
        return given
    if found.read_tokenizer is not None:
        return found.read_tokenizer()
    folder = found.tokenizer_folder
    return Tokenizer.from_folder(folder) if folder is not None and has_tokenizer(folder) else None
