"""llama2.c version 0 model files: seven integers, then every matrix in a fixed order.

The header is seven little-endian int32: dim, hidden_dim, n_layers, n_heads, n_kv_heads, vocabulary
(negative if the unembedding is stored separately) and seq_len. Matrices are [out, in], each kind stacked
over layers; the rotary tables at the end are recomputed here, not read.
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
import torch
from einops import rearrange

from mechscope.model.config import HookedTransformerConfig
from mechscope.reading import regular_file

HEADER = struct.Struct("<7i")


def is_llama2c(path: str | Path) -> bool:
    """Whether a file has a plausible header and exactly the size that the header implies."""
    path = Path(path)
    header = _header(path)
    return header is not None and path.stat().st_size == _expected_bytes(header)


def read_llama2c(path: str | Path) -> tuple[HookedTransformerConfig, dict[str, torch.Tensor]]:
    """Read config and state dict; every matrix is a view of the mapped file.

    Raises:
        ValueError: if the file's size does not match its header.
    """
    path = Path(path)
    header = _header(path)
    if header is None:
        raise ValueError(f"{str(path)!r} does not begin with a valid llama2.c header of seven integers.")
    size, expected = path.stat().st_size, _expected_bytes(header)
    if size != expected:
        raise ValueError(
            f"{str(path)!r} has {size:,} bytes, but its header implies {expected:,}: it is truncated, or "
            "not a llama2.c version 0 file."
        )
    dim, hidden, n_layers, n_heads, n_kv_heads, signed_vocab, n_ctx = header
    vocab, tied = abs(signed_vocab), signed_vocab > 0
    cfg = HookedTransformerConfig(
        n_layers=n_layers,
        d_model=dim,
        n_ctx=n_ctx,
        n_heads=n_heads,
        d_head=dim // n_heads,
        n_key_value_heads=n_kv_heads,
        d_mlp=hidden,
        d_vocab=vocab,
        act_fn="silu",
        gated_mlp=True,
        normalization_type="RMS",
        final_rms=True,
        eps=1e-5,
        positional_embedding_type="rotary",
        rotary_adjacent_pairs=True,
        tie_word_embeddings=tied,
        model_name=path.stem,
        original_architecture="llama2.c",
    )
    # Copy-on-write: the file itself is never modified.
    mapped: np.ndarray[Any, Any] = np.memmap(path, dtype="<f4", mode="c", offset=HEADER.size)
    numbers = torch.from_numpy(mapped)  # pyright: ignore[reportUnknownMemberType]
    stacked: dict[str, torch.Tensor] = {}
    position = 0
    for name, shape in _layout(header):
        length = math.prod(shape)
        stacked[name] = numbers[position : position + length].view(shape)
        position += length
    return cfg, _state(cfg, stacked)


def _state(cfg: HookedTransformerConfig, stacked: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    heads = {"head": cfg.n_heads, "kv_head": cfg.n_kv_heads}
    grouped = "" if cfg.n_key_value_heads is None else "_"
    state = {"embed.W_E": stacked["tok_embeddings"], "ln_final.w": stacked["final_norm"]}
    for layer in range(cfg.n_layers):
        own = {
            name: tensor[layer] for name, tensor in stacked.items() if tensor.ndim > 1 and name in PER_LAYER
        }
        kv = "(kv_head d_head) d_model -> kv_head d_model d_head"
        block = {
            "ln1.w": own["attention_norm"],
            "attn.W_Q": rearrange(
                own["wq"], "(head d_head) d_model -> head d_model d_head", head=heads["head"]
            ),
            f"attn.{grouped}W_K": rearrange(own["wk"], kv, kv_head=heads["kv_head"]),
            f"attn.{grouped}W_V": rearrange(own["wv"], kv, kv_head=heads["kv_head"]),
            "attn.W_O": rearrange(
                own["wo"], "d_model (head d_head) -> head d_head d_model", head=heads["head"]
            ),
            "attn.b_Q": torch.zeros(cfg.n_heads, cfg.d_head),
            f"attn.{grouped}b_K": torch.zeros(cfg.n_kv_heads, cfg.d_head),
            f"attn.{grouped}b_V": torch.zeros(cfg.n_kv_heads, cfg.d_head),
            "attn.b_O": torch.zeros(cfg.d_model),
            "ln2.w": own["ffn_norm"],
            "mlp.W_gate": own["w1"].T,
            "mlp.W_in": own["w3"].T,
            "mlp.b_in": torch.zeros(cfg.d_mlp or 0),
            "mlp.W_out": own["w2"].T,
            "mlp.b_out": torch.zeros(cfg.d_model),
        }
        state |= {f"blocks.{layer}.{name}": tensor for name, tensor in block.items()}
    if not cfg.tie_word_embeddings:
        state["unembed.W_U"] = stacked["output"].T
    state["unembed.b_U"] = torch.zeros(cfg.d_vocab)
    return state


PER_LAYER = ("attention_norm", "wq", "wk", "wv", "wo", "ffn_norm", "w1", "w2", "w3")


def _layout(header: tuple[int, ...]) -> list[tuple[str, tuple[int, ...]]]:
    dim, hidden, n_layers, n_heads, n_kv_heads, signed_vocab, n_ctx = header
    kv_dim, half_head = dim // n_heads * n_kv_heads, dim // n_heads // 2
    layout = [
        ("tok_embeddings", (abs(signed_vocab), dim)),
        ("attention_norm", (n_layers, dim)),
        ("wq", (n_layers, dim, dim)),
        ("wk", (n_layers, kv_dim, dim)),
        ("wv", (n_layers, kv_dim, dim)),
        ("wo", (n_layers, dim, dim)),
        ("ffn_norm", (n_layers, dim)),
        ("w1", (n_layers, hidden, dim)),
        ("w2", (n_layers, dim, hidden)),
        ("w3", (n_layers, hidden, dim)),
        ("final_norm", (dim,)),
        ("freq_cis_real", (n_ctx, half_head)),
        ("freq_cis_imag", (n_ctx, half_head)),
    ]
    return layout if signed_vocab > 0 else [*layout, ("output", (-signed_vocab, dim))]


def _expected_bytes(header: tuple[int, ...]) -> int:
    return HEADER.size + 4 * sum(math.prod(shape) for _, shape in _layout(header))


def _header(path: Path) -> tuple[int, ...] | None:
    with regular_file(path).open("rb") as file:
        start = file.read(HEADER.size)
    if len(start) < HEADER.size:
        return None
    header = HEADER.unpack(start)
    dim, _, _, n_heads, n_kv_heads, signed_vocab, _ = header
    sizes = (*header[:5], abs(signed_vocab), header[6])
    if not all(0 < size < 2**24 for size in sizes) or dim % n_heads or n_heads % n_kv_heads:
        return None
    return header
