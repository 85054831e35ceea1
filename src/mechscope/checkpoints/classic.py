"""`HookedTransformer.from_pretrained` with the classic arguments."""

from __future__ import annotations

import dataclasses
import warnings
from typing import Any, Literal

import torch

from mechscope.checkpoints.load import load_model
from mechscope.model.pretrained import register_loader
from mechscope.model.transformer import HookedTransformer

PASSED_ON = frozenset({"revision", "torch_dtype"})
WITHOUT_EFFECT = frozenset(
    {"cache_dir", "local_files_only", "trust_remote_code", "low_cpu_mem_usage", "token", "use_auth_token",
     "n_devices", "move_to_device", "fold_ln_", "use_fast", "device_map", "attn_implementation"}
)  # fmt: skip
"""Options of the classic loader that no longer have an effect."""
UNFULFILLED = {
    "n_devices": (1, "a model is on one device; choose it with device=…"),
    "device_map": (None, "a model is on one device; choose it with device=…"),
    "trust_remote_code": (False, "code that comes with a checkpoint is never run"),
    "cache_dir": (
        None,
        "downloads are kept where Hugging Face's own tools keep them; set HF_HOME to move them",
    ),
    "attn_implementation": (None, "mechscope has its own attention"),
}
"""Option → the value that asks for nothing, and why any other value causes a warning."""


def from_pretrained(
    cls: type,
    model_name: str,
    fold_ln: bool = True,
    center_writing_weights: bool = True,
    center_unembed: bool = True,
    refactor_factored_attn_matrices: bool = False,
    fold_value_biases: bool = True,
    hf_model: Any = None,
    tokenizer: Any = None,
    device: str | torch.device | None = None,
    dtype: torch.dtype | str = torch.float32,
    default_prepend_bos: bool | None = None,
    default_padding_side: Literal["left", "right"] | None = None,
    first_n_layers: int | None = None,
    n_ctx: int | None = None,
    checkpoint_index: int | None = None,
    checkpoint_value: int | None = None,
    **from_pretrained_kwargs: Any,
) -> Any:
    """A model by its classic name; see `load_model`.

    Like the classic method, it uses a GPU if there is one and no device is given.

    Raises:
        TypeError: for an argument that neither this nor the classic method has.
        ValueError: as `load_model`, and if the named model is not a decoder.
    """
    unknown = from_pretrained_kwargs.keys() - PASSED_ON - WITHOUT_EFFECT
    if unknown:
        raise TypeError(f"from_pretrained has no argument {', '.join(sorted(unknown))}.")
    for name, (nothing, why) in UNFULFILLED.items():
        if from_pretrained_kwargs.get(name, nothing) not in (nothing, None):
            warnings.warn(f"{name}={from_pretrained_kwargs[name]!r} has no effect: {why}.", stacklevel=3)
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model = load_model(
        model_name if hf_model is None else hf_model,
        fold_ln=fold_ln,
        center_writing_weights=center_writing_weights,
        center_unembed=center_unembed,
        fold_value_biases=fold_value_biases,
        refactor_factored_attn_matrices=refactor_factored_attn_matrices,
        tokenizer=tokenizer,
        device=device,
        default_prepend_bos=default_prepend_bos,
        default_padding_side=default_padding_side or "right",
        first_n_layers=first_n_layers,
        n_ctx=n_ctx,
        checkpoint_index=checkpoint_index,
        checkpoint_value=checkpoint_value,
        dtype=from_pretrained_kwargs.get("torch_dtype", dtype),
        revision=from_pretrained_kwargs.get("revision"),
    )
    if (
        type(model) is HookedTransformer
        and issubclass(cls, HookedTransformer)
        and cls is not HookedTransformer
    ):
        model = _as_subclass(cls, model)
    if not isinstance(model, cls):
        raise ValueError(f"{model_name!r} is a {type(model).__name__}, not a {cls.__name__}.")
    if hf_model is not None:
        model.cfg.model_name = model_name
    return model


def _as_subclass(cls: type[HookedTransformer], model: HookedTransformer) -> HookedTransformer:
    """Move the weights into an instance of the user's subclass, built by its own constructor."""
    cfg = dataclasses.replace(model.cfg, init_weights=False)
    own = cls(cfg, model.tokenizer, move_to_device=False, default_padding_side=model.default_padding_side)
    own.take_weights(model)
    return own.to(model.cfg.device)


register_loader("decoder", from_pretrained)
register_loader("encoder", load_model)
