"""Import models made by the Tracr compiler.

Tracr compiles small programs into transformers (Lindner et al. 2023). Its models are read through their
attributes, so neither Tracr nor JAX has to be installed if the weights are already arrays.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from einops import rearrange

from mechscope.model.config import HookedTransformerConfig

FLOAT32: np.dtype[Any] = np.dtype("float32")


def infer_tracr_output_label(model: Any) -> str:
    """The program variable that the model outputs: the one whose values are those of the output encoder.

    Raises:
        ValueError: if no variable, or more than one, has these values.
    """
    outputs = {str(value) for value in _output_columns(model)}
    values: dict[str, set[str]] = {}
    for residual_label in model.residual_labels:
        label, colon, value = residual_label.rpartition(":")
        if colon:
            values.setdefault(label, set()).add(value)
    fitting = [label for label, found in values.items() if found == outputs]
    if len(fitting) != 1:
        raise ValueError(
            f"the values {sorted(outputs)} of the output encoder match {len(fitting)} variables "
            f"({', '.join(fitting) or 'none'}); name the program's output with output_label."
        )
    return fitting[0]


def make_tracr_categorical_unembed(
    model: Any, output_label: str | None = None, *, dtype: np.dtype[Any] = FLOAT32
) -> np.ndarray:
    """The matrix [d_model, d_vocab_out] that reads each output value from the residual stream.

    Args:
        output_label: the program's output variable; None infers it.
        dtype: NumPy data type of the matrix.

    Raises:
        ValueError: for a variable that is not in the residual stream.
    """
    label = infer_tracr_output_label(model) if output_label is None else output_label
    rows = {name: row for row, name in enumerate(model.residual_labels)}
    columns = _output_columns(model)
    unembed = np.zeros((len(rows), len(columns)), dtype=dtype)
    for value, column in columns.items():
        name = f"{label}:{value}"
        if name not in rows:
            raise ValueError(
                f"the residual stream has no {name!r}; output_label must be one of its variables, such as "
                f"{', '.join(sorted({row.rpartition(':')[0] for row in rows if ':' in row})[:4])}."
            )
        unembed[rows[name], int(column)] = 1
    return unembed


def tracr_config(model: Any) -> HookedTransformerConfig:
    """The config of a HookedTransformer that computes the same function as a Tracr model.

    Raises:
        ValueError: for a model with layer norms, for which Tracr compiles no weights.
    """
    about = model.model_config
    if about.layer_norm:
        raise ValueError("this Tracr model has layer norms, but no weights for them.")
    d_vocab, d_model = _array(model, "token_embed", "embeddings").shape
    return HookedTransformerConfig(
        n_layers=about.num_layers,
        d_model=d_model,
        d_head=about.key_size,
        n_heads=about.num_heads,
        d_mlp=about.mlp_hidden_size,
        n_ctx=_array(model, "pos_embed", "embeddings").shape[0],
        d_vocab=d_vocab,
        d_vocab_out=len(_output_columns(model)),
        act_fn="relu",
        attention_dir="causal" if about.causal else "bidirectional",
        normalization_type=None,
        model_name="tracr",
    )


def tracr_state_dict(
    model: Any, output_label: str | None = None, *, dtype: torch.dtype = torch.float32
) -> dict[str, torch.Tensor]:
    """The weights of a Tracr model in the classic layout, for `HookedTransformer.load_state_dict`.

    >>> model = HookedTransformer(tracr_config(assembled))                     # doctest: +SKIP
    >>> model.load_state_dict(tracr_state_dict(assembled))                     # doctest: +SKIP

    Args:
        output_label: the program's output variable; None infers it.
        dtype: data type of the tensors.
    """
    cfg = tracr_config(model)
    heads = cfg.n_heads

    def weight(module: str, name: str) -> torch.Tensor:
        return torch.as_tensor(np.array(_array(model, module, name)), dtype=dtype)

    unembed = torch.as_tensor(make_tracr_categorical_unembed(model, output_label), dtype=dtype)
    state = {
        "embed.W_E": weight("token_embed", "embeddings"),
        "pos_embed.W_pos": weight("pos_embed", "embeddings"),
        "unembed.W_U": unembed,
        "unembed.b_U": torch.zeros(unembed.shape[1], dtype=dtype),
    }
    for layer in range(cfg.n_layers):
        theirs, ours = f"transformer/layer_{layer}", f"blocks.{layer}"
        for part, letter in (("query", "Q"), ("key", "K"), ("value", "V")):
            w = weight(f"{theirs}/attn/{part}", "w")
            state[f"{ours}.attn.W_{letter}"] = rearrange(
                w, "d_model (head d_head) -> head d_model d_head", head=heads
            )
            b = weight(f"{theirs}/attn/{part}", "b")
            state[f"{ours}.attn.b_{letter}"] = rearrange(b, "(head d_head) -> head d_head", head=heads)
        state[f"{ours}.attn.W_O"] = rearrange(
            weight(f"{theirs}/attn/linear", "w"), "(head d_head) d_model -> head d_head d_model", head=heads
        )
        state[f"{ours}.attn.b_O"] = weight(f"{theirs}/attn/linear", "b")
        for part, ending in (("linear_1", "in"), ("linear_2", "out")):
            state[f"{ours}.mlp.W_{ending}"] = weight(f"{theirs}/mlp/{part}", "w")
            state[f"{ours}.mlp.b_{ending}"] = weight(f"{theirs}/mlp/{part}", "b")
    return state


def _output_columns(model: Any) -> Mapping[Any, int]:
    """Output value → its column in the logits."""
    columns = getattr(getattr(model, "output_encoder", None), "encoding_map", None)
    if not isinstance(columns, Mapping):
        raise ValueError(
            "only Tracr models with categorical outputs can be read: there is no model.output_encoder.encoding_map."
        )
    return columns


def _array(model: Any, module: str, name: str) -> np.ndarray:
    return np.asarray(model.params[module][name])
