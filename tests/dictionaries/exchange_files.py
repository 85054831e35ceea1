"""Folders as other tools write them, with random weights, and what those tools compute from them.

The reference passes are ours, from the formulas that each tool documents; `test_exchange_peers.py` compares with the
tools themselves where they are installed.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.torch
import torch
from torch import Tensor

D_IN, D_SAE, K = 10, 24, 4


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)) * 0.5


def inputs(seed: int = 5, count: int = 64) -> Tensor:
    return numbers(count, D_IN, seed=seed) * 3 + 0.4


def top(values: Tensor, k: int = K) -> Tensor:
    best = values.topk(k, dim=-1)
    return torch.zeros_like(values).scatter(-1, best.indices, best.values)


def write(folder: Path, config: tuple[str, Any] | None, weights: str, state: dict[str, Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if config is not None:
        (folder / config[0]).write_text(json.dumps(config[1]))
    if weights.endswith(".pt"):
        torch.save(state, folder / weights)
    elif weights.endswith(".npz"):
        np.savez(folder / weights, **{name: tensor.numpy() for name, tensor in state.items()})
    else:
        tensors = {name: tensor.contiguous() for name, tensor in state.items()}
        safetensors.torch.save_file(tensors, folder / weights)
    return folder


# dictionary_learning ------------------------------------------------------------------------------------------


def linear(seed: int) -> dict[str, Tensor]:
    return {
        "encoder.weight": numbers(D_SAE, D_IN, seed=seed),
        "encoder.bias": numbers(D_SAE, seed=seed + 1),
        "decoder.weight": numbers(D_IN, D_SAE, seed=seed + 2),
    }


def direct(seed: int) -> dict[str, Tensor]:
    return {
        "W_enc": numbers(D_IN, D_SAE, seed=seed),
        "b_enc": numbers(D_SAE, seed=seed + 1),
        "W_dec": numbers(D_SAE, D_IN, seed=seed + 2),
        "b_dec": numbers(D_IN, seed=seed + 3),
    }


def dictionary_learning_state(kind: str, seed: int = 0, threshold: float = 0.7) -> dict[str, Tensor]:
    one, k = torch.tensor(threshold), torch.tensor(K, dtype=torch.int)
    bias = numbers(D_IN, seed=seed + 3)
    if kind == "AutoEncoder":
        return {**linear(seed), "bias": bias}
    if kind == "AutoEncoderNew":
        return {**linear(seed), "decoder.bias": bias}
    if kind in ("AutoEncoderTopK", "BatchTopKSAE"):
        return {**linear(seed), "b_dec": bias, "k": k, "threshold": one}
    if kind == "MatryoshkaBatchTopKSAE":
        return {**direct(seed), "k": k, "threshold": one, "group_sizes": torch.tensor([8, 16])}
    if kind == "JumpReluAutoEncoder":
        return {**direct(seed), "threshold": numbers(D_SAE, seed=seed + 4).abs()}
    return {
        "encoder.weight": numbers(D_SAE, D_IN, seed=seed),
        "decoder.weight": numbers(D_IN, D_SAE, seed=seed + 2),
        "decoder_bias": bias,
        "r_mag": numbers(D_SAE, seed=seed + 4),
        "gate_bias": numbers(D_SAE, seed=seed + 5),
        "mag_bias": numbers(D_SAE, seed=seed + 6),
    }


def dictionary_learning_config(kind: str, **more: Any) -> dict[str, Any]:
    trainer: dict[str, Any] = {
        "dict_class": kind,
        "activation_dim": D_IN,
        "dict_size": D_SAE,
        "lr": 1e-3,
        "steps": 10,
        "layer": 3,
        "lm_name": "some/model",
        "submodule_name": "resid_post_layer_3",
        **more,
    }
    if "TopK" in kind:
        trainer["k"] = K
    if "Matryoshka" in kind:
        trainer["group_sizes"] = [8, 16]
    return {"trainer": trainer, "buffer": {"ctx_len": 128}}


def dictionary_learning_folder(folder: Path, kind: str, seed: int = 0, threshold: float = 0.7) -> Path:
    config = ("config.json", dictionary_learning_config(kind))
    return write(folder, config, "ae.pt", dictionary_learning_state(kind, seed, threshold))


def dictionary_learning_reference(kind: str, s: dict[str, Tensor], x: Tensor) -> Tensor:
    if kind == "GatedAutoEncoder":
        inner = (x - s["decoder_bias"]) @ s["encoder.weight"].T
        is_open = inner + s["gate_bias"] > 0
        features = is_open * torch.relu(s["r_mag"].exp() * inner + s["mag_bias"])
        return features @ s["decoder.weight"].T + s["decoder_bias"]
    if kind == "JumpReluAutoEncoder":
        pre = x @ s["W_enc"] + s["b_enc"]
        return torch.relu(pre * (pre > s["threshold"])) @ s["W_dec"] + s["b_dec"]
    if kind == "MatryoshkaBatchTopKSAE":
        pre = torch.relu((x - s["b_dec"]) @ s["W_enc"] + s["b_enc"])
        return (pre * (pre > s["threshold"])) @ s["W_dec"] + s["b_dec"]
    bias = s.get("bias", s.get("b_dec", s.get("decoder.bias")))
    assert bias is not None
    shifted = x if kind == "AutoEncoderNew" else x - bias
    features = torch.relu(shifted @ s["encoder.weight"].T + s["encoder.bias"])
    if kind == "AutoEncoderTopK":
        features = top(features)
    if kind == "BatchTopKSAE":
        features = features * (features > s["threshold"])
    return features @ s["decoder.weight"].T + bias


CLASSES = (
    "AutoEncoder",
    "AutoEncoderNew",
    "AutoEncoderTopK",
    "BatchTopKSAE",
    "MatryoshkaBatchTopKSAE",
    "JumpReluAutoEncoder",
    "GatedAutoEncoder",
)


# sparsify -----------------------------------------------------------------------------------------------------

SPARSIFY: dict[str, dict[str, Any]] = {
    "plain": {},
    "free decoder": {"normalize_decoder": False},
    "by expansion": {"num_latents": 0, "expansion_factor": 3},
    "transcoder": {"transcode": True},
    "skip transcoder": {"transcode": True, "skip_connection": True},
    "autoencoder with a skip term": {"skip_connection": True},
}


def sparsify_config(**more: Any) -> dict[str, Any]:
    return {
        "activation": "topk",
        "expansion_factor": 32,
        "normalize_decoder": True,
        "num_latents": D_SAE,
        "k": K,
        "multi_topk": False,
        "skip_connection": False,
        "transcode": False,
        "d_in": D_IN,
        **more,
    }


def sparsify_state(config: dict[str, Any], seed: int = 0) -> dict[str, Tensor]:
    d_sae = config["num_latents"] or D_IN * config["expansion_factor"]
    rows = numbers(d_sae, D_IN, seed=seed + 2)
    if config["normalize_decoder"]:
        rows = rows / rows.norm(dim=-1, keepdim=True)
    state = {
        "encoder.weight": numbers(d_sae, D_IN, seed=seed),
        "encoder.bias": numbers(d_sae, seed=seed + 1),
        "W_dec": rows,
        "b_dec": numbers(D_IN, seed=seed + 3),
    }
    if config["skip_connection"]:
        state["W_skip"] = numbers(D_IN, D_IN, seed=seed + 4)
    return state


def sparsify_folder(folder: Path, seed: int = 0, **more: Any) -> Path:
    config = sparsify_config(**more)
    return write(folder, ("cfg.json", config), "sae.safetensors", sparsify_state(config, seed))


def sparsify_reference(config: dict[str, Any], s: dict[str, Tensor], x: Tensor) -> Tensor:
    inner = x if config["transcode"] else x - s["b_dec"]
    features = top(torch.relu(inner @ s["encoder.weight"].T + s["encoder.bias"]))
    out = features @ s["W_dec"] + s["b_dec"]
    return out + x @ s["W_skip"].T if config["skip_connection"] else out


# Gemma Scope --------------------------------------------------------------------------------------------------


def gemma_state(seed: int = 0, d_out: int = D_IN) -> dict[str, Tensor]:
    return {
        "W_enc": numbers(D_IN, D_SAE, seed=seed),
        "W_dec": numbers(D_SAE, d_out, seed=seed + 1),
        "b_enc": numbers(D_SAE, seed=seed + 2),
        "b_dec": numbers(d_out, seed=seed + 3),
        "threshold": numbers(D_SAE, seed=seed + 4).abs(),
    }


def gemma_reference(s: dict[str, Tensor], x: Tensor) -> Tensor:
    pre = x @ s["W_enc"] + s["b_enc"]
    return (torch.relu(pre) * (pre > s["threshold"])) @ s["W_dec"] + s["b_dec"]


# SAELens ------------------------------------------------------------------------------------------------------


def saelens_state(architecture: str, seed: int = 0, d_out: int = D_IN) -> dict[str, Tensor]:
    state = {
        "W_enc": numbers(D_IN, D_SAE, seed=seed),
        "W_dec": numbers(D_SAE, d_out, seed=seed + 1),
        "b_dec": numbers(d_out, seed=seed + 2),
    }
    if architecture == "gated":
        names = ("b_gate", "b_mag", "r_mag")
        return state | {name: numbers(D_SAE, seed=seed + 3 + at) for at, name in enumerate(names)}
    state["b_enc"] = numbers(D_SAE, seed=seed + 3)
    if architecture.startswith("jumprelu"):
        state["threshold"] = numbers(D_SAE, seed=seed + 4).abs()
    if "skip" in architecture:
        state["W_skip"] = numbers(d_out, D_IN, seed=seed + 5)
    return state


def saelens_config(architecture: str, d_out: int = D_IN, **more: Any) -> dict[str, Any]:
    config: dict[str, Any] = {
        "architecture": architecture,
        "d_in": D_IN,
        "d_sae": D_SAE,
        "dtype": "float32",
        "device": "cpu",
        "apply_b_dec_to_input": not architecture.endswith("transcoder"),
        "normalize_activations": "none",
        "reshape_activations": "none",
        "metadata": {
            "model_name": "gpt2",
            "hook_name": "blocks.3.hook_resid_pre",
            "sae_lens_version": "6.0.0",
        },
    }
    if architecture == "topk":
        config |= {"k": K, "rescale_acts_by_decoder_norm": False}
    if architecture.endswith("transcoder"):
        config["d_out"] = d_out
    return config | more


def saelens_folder(folder: Path, architecture: str, seed: int = 0, d_out: int = D_IN, **more: Any) -> Path:
    config = saelens_config(architecture, d_out, **more)
    state = saelens_state(architecture, seed, d_out)
    return write(folder, ("cfg.json", config), "sae_weights.safetensors", state)


def saelens_reference(config: dict[str, Any], s: dict[str, Tensor], x: Tensor) -> Tensor:
    z, back = x, lambda y: y
    if config["normalize_activations"] == "constant_norm_rescale":
        factor = D_IN**0.5 / x.norm(dim=-1, keepdim=True)
        z, back = x * factor, lambda y: y / factor
    if config["normalize_activations"] == "layer_norm":
        mean = x.mean(-1, keepdim=True)
        deviation = (x - mean).std(-1, keepdim=True)
        z, back = (x - mean) / (deviation + 1e-5), lambda y: y * deviation + mean
    inner = z - s["b_dec"] if config["apply_b_dec_to_input"] else z
    architecture = config["architecture"]
    if architecture == "gated":
        features = (inner @ s["W_enc"] + s["b_gate"] > 0) * torch.relu(
            inner @ (s["W_enc"] * s["r_mag"].exp()) + s["b_mag"]
        )
    else:
        pre = inner @ s["W_enc"] + s["b_enc"]
        norms = s["W_dec"].norm(dim=-1) if config.get("rescale_acts_by_decoder_norm") else 1.0
        features = torch.relu(pre * norms)
        if architecture == "topk":
            features = top(features) / norms
        if "threshold" in s:
            features = features * (pre > s["threshold"])
    out = features @ s["W_dec"] + s["b_dec"]
    if architecture.endswith("transcoder"):
        return out + x @ s["W_skip"].T if "W_skip" in s else out
    return back(out)


SAELENS: dict[str, tuple[str, dict[str, Any]]] = {
    "standard": ("standard", {}),
    "standard, b_dec not subtracted": ("standard", {"apply_b_dec_to_input": False}),
    "standard, layer norm": ("standard", {"normalize_activations": "layer_norm"}),
    "standard, constant norm": ("standard", {"normalize_activations": "constant_norm_rescale"}),
    "gated": ("gated", {}),
    "jumprelu": ("jumprelu", {}),
    "jumprelu, b_dec not subtracted": ("jumprelu", {"apply_b_dec_to_input": False}),
    "topk": ("topk", {}),
    "topk, rescaled by decoder norm": ("topk", {"rescale_acts_by_decoder_norm": True}),
    "topk, layer norm": ("topk", {"normalize_activations": "layer_norm"}),
    "transcoder": ("transcoder", {"d_out": 7}),
    "skip transcoder": ("skip_transcoder", {"d_out": 7}),
    "jumprelu transcoder": ("jumprelu_transcoder", {"d_out": 7}),
    "jumprelu skip transcoder": ("jumprelu_skip_transcoder", {"d_out": 7}),
}
