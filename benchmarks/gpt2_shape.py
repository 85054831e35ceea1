"""Random weights in the shape of GPT-2 small, saved in its layout, for every implementation to load."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

N_LAYERS, N_HEADS, D_MODEL, N_CTX, D_VOCAB = 12, 12, 768, 1024, 50257


def gpt2_config() -> dict[str, object]:
    """GPT-2 small's config file."""
    return {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "n_layer": N_LAYERS,
        "n_head": N_HEADS,
        "n_embd": D_MODEL,
        "n_ctx": N_CTX,
        "n_positions": N_CTX,
        "vocab_size": D_VOCAB,
        "activation_function": "gelu_new",
        "layer_norm_epsilon": 1e-5,
        "tie_word_embeddings": True,
        "bos_token_id": 50256,
        "eos_token_id": 50256,
        "attn_pdrop": 0.0,
        "embd_pdrop": 0.0,
        "resid_pdrop": 0.0,
    }


def random_gpt2_weights(seed: int = 0) -> dict[str, torch.Tensor]:
    """GPT-2 small's tensors by their published names, drawn at random."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, mean: float = 0.0) -> torch.Tensor:
        return torch.randn(*shape, generator=generator) * 0.02 + mean

    width = D_MODEL
    weights = {
        "wte.weight": normal(D_VOCAB, width),
        "wpe.weight": normal(N_CTX, width),
        "ln_f.weight": normal(width, mean=1.0),
        "ln_f.bias": normal(width),
    }
    for layer in range(N_LAYERS):
        shapes = {
            "attn.c_attn.weight": (width, 3 * width),
            "attn.c_attn.bias": (3 * width,),
            "attn.c_proj.weight": (width, width),
            "attn.c_proj.bias": (width,),
            "mlp.c_fc.weight": (width, 4 * width),
            "mlp.c_fc.bias": (4 * width,),
            "mlp.c_proj.weight": (4 * width, width),
            "mlp.c_proj.bias": (width,),
            "ln_1.bias": (width,),
            "ln_2.bias": (width,),
        }
        weights |= {f"h.{layer}.{part}": normal(*shape) for part, shape in shapes.items()}
        weights |= {f"h.{layer}.{norm}.weight": normal(width, mean=1.0) for norm in ("ln_1", "ln_2")}
    return weights


def save_gpt2(folder: Path, weights: dict[str, torch.Tensor]) -> None:
    """Write config.json and model.safetensors, as the published checkpoint has them."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(gpt2_config()))
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
