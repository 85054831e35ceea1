"""Tiny random models of every family, built by transformers, with nothing left at a convenient value.

Sizes are awkward on purpose (three layers, odd head widths, grouped queries, windows shorter than the
context), and every norm, bias and embedding is far from 0 and 1, so that a tensor in the wrong place shows.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers

VOCAB, CONTEXT = 61, 24
LLAMA3_ROPE = {
    "rope_type": "llama3",
    "rope_theta": 500.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 12,
}
GLUE: dict[str, Any] = {"vocab_size": VOCAB, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}
LLAMA_SIZES: dict[str, Any] = {
    **GLUE,
    "hidden_size": 36,
    "intermediate_size": 53,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "max_position_embeddings": CONTEXT,
}
NO_HEAD_DIM = {**{k: v for k, v in LLAMA_SIZES.items() if k != "head_dim"}, "hidden_size": 60}
GPT2_SIZES: dict[str, Any] = {**GLUE, "n_embd": 21, "n_layer": 3, "n_head": 3, "n_positions": CONTEXT}
GEMMA_SIZES = {**LLAMA_SIZES, "sliding_window": 5, "query_pre_attn_scalar": 17}


@dataclass(frozen=True)
class Tiny:
    """A variant of a family: how to make its config and its model."""

    family: str
    """The adapter's name."""
    config: str
    """transformers' config class."""
    model: str
    """transformers' model class."""
    settings: dict[str, Any] = field(default_factory=dict)

    def build(self, seed: int = 0) -> Any:
        """The model in evaluation mode, with every parameter random."""
        config = getattr(transformers, self.config)(**self.settings, attn_implementation="eager")
        model = getattr(transformers, self.model)(config).eval()
        randomise(model, seed)
        return model


TINY: dict[str, Tiny] = {
    "gpt2": Tiny("GPT-2", "GPT2Config", "GPT2LMHeadModel", GPT2_SIZES),
    "gpt2-by-layer": Tiny(
        "GPT-2", "GPT2Config", "GPT2LMHeadModel",
        {**GPT2_SIZES, "n_inner": 50, "scale_attn_by_inverse_layer_idx": True, "layer_norm_epsilon": 1e-3,
         "activation_function": "relu"},
    ),
    "gpt2-unscaled-untied": Tiny(
        "GPT-2", "GPT2Config", "GPT2LMHeadModel",
        {**GPT2_SIZES, "scale_attn_weights": False, "tie_word_embeddings": False},
    ),
    "gpt-neo": Tiny(
        "GPT-Neo", "GPTNeoConfig", "GPTNeoForCausalLM",
        {**GLUE, "hidden_size": 21, "num_layers": 3, "num_heads": 3, "max_position_embeddings": CONTEXT,
         "attention_types": [[["global", "local", "local"], 1]], "window_size": 5, "intermediate_size": 50},
    ),
    "gpt-j": Tiny(
        "GPT-J", "GPTJConfig", "GPTJForCausalLM",
        {**GLUE, "n_embd": 42, "n_layer": 3, "n_head": 3, "n_positions": CONTEXT, "rotary_dim": 6,
         "n_inner": 50},
    ),
    "opt": Tiny(
        "OPT", "OPTConfig", "OPTForCausalLM",
        {**GLUE, "hidden_size": 21, "num_hidden_layers": 3, "num_attention_heads": 3, "ffn_dim": 50,
         "max_position_embeddings": CONTEXT, "word_embed_proj_dim": 21},
    ),
    "opt-bare": Tiny(
        "OPT", "OPTConfig", "OPTForCausalLM",
        {**GLUE, "hidden_size": 21, "num_hidden_layers": 2, "num_attention_heads": 3, "ffn_dim": 50,
         "max_position_embeddings": CONTEXT, "word_embed_proj_dim": 21, "enable_bias": False,
         "layer_norm_elementwise_affine": False, "activation_function": "gelu"},
    ),
    "pythia": Tiny(
        "GPT-NeoX and Pythia", "GPTNeoXConfig", "GPTNeoXForCausalLM",
        {**GLUE, "hidden_size": 51, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 53,
         "max_position_embeddings": CONTEXT},
    ),
    "neox-sequential": Tiny(
        "GPT-NeoX and Pythia", "GPTNeoXConfig", "GPTNeoXForCausalLM",
        {**GLUE, "hidden_size": 60, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 53,
         "max_position_embeddings": CONTEXT, "use_parallel_residual": False, "attention_bias": False,
         "rope_parameters": {"rope_type": "linear", "factor": 3.0, "rope_theta": 700.0,
                             "partial_rotary_factor": 0.5}},
    ),
    "bloom": Tiny(
        "BLOOM", "BloomConfig", "BloomForCausalLM", {**GLUE, "hidden_size": 35, "n_layer": 3, "n_head": 5}
    ),
    "bloom-eight-heads": Tiny(
        "BLOOM", "BloomConfig", "BloomForCausalLM", {**GLUE, "hidden_size": 40, "n_layer": 2, "n_head": 8}
    ),
    "llama": Tiny("Llama 1 to 3", "LlamaConfig", "LlamaForCausalLM", LLAMA_SIZES),
    "llama-3": Tiny(
        "Llama 1 to 3", "LlamaConfig", "LlamaForCausalLM",
        {**LLAMA_SIZES, "rope_parameters": LLAMA3_ROPE, "tie_word_embeddings": True, "rms_norm_eps": 1e-3},
    ),
    "llama-biased-full-heads": Tiny(
        "Llama 1 to 3", "LlamaConfig", "LlamaForCausalLM",
        {**LLAMA_SIZES, "num_key_value_heads": 6, "attention_bias": True},
    ),
    "mistral": Tiny("Mistral", "MistralConfig", "MistralForCausalLM", {**LLAMA_SIZES, "sliding_window": 5}),
    "mistral-global": Tiny(
        "Mistral", "MistralConfig", "MistralForCausalLM", {**LLAMA_SIZES, "sliding_window": None}
    ),
    "qwen2": Tiny(
        "Qwen 2 and 2.5", "Qwen2Config", "Qwen2ForCausalLM",
        {**NO_HEAD_DIM, "use_sliding_window": True, "sliding_window": 5, "max_window_layers": 1},
    ),
    "qwen2.5-tied": Tiny(
        "Qwen 2 and 2.5", "Qwen2Config", "Qwen2ForCausalLM", {**NO_HEAD_DIM, "tie_word_embeddings": True}
    ),
    "qwen3": Tiny("Qwen 3", "Qwen3Config", "Qwen3ForCausalLM", {**LLAMA_SIZES, "tie_word_embeddings": True}),
    "qwen3-biased": Tiny(
        "Qwen 3", "Qwen3Config", "Qwen3ForCausalLM", {**LLAMA_SIZES, "attention_bias": True}
    ),
    "gemma": Tiny("Gemma", "GemmaConfig", "GemmaForCausalLM", LLAMA_SIZES),
    "gemma-2": Tiny(
        "Gemma 2", "Gemma2Config", "Gemma2ForCausalLM",
        {**GEMMA_SIZES, "attn_logit_softcapping": 2.0, "final_logit_softcapping": 3.0},
    ),
    "gemma-3": Tiny(
        "Gemma 3 (text)", "Gemma3TextConfig", "Gemma3ForCausalLM",
        {**GEMMA_SIZES, "num_hidden_layers": 7,
         "rope_parameters": {
             "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 900.0},
             "sliding_attention": {"rope_type": "default", "rope_theta": 50.0},
         }},
    ),
    "phi-2": Tiny(
        "Phi 1, 1.5 and 2", "PhiConfig", "PhiForCausalLM",
        {**GLUE, "hidden_size": 42, "num_hidden_layers": 3, "num_attention_heads": 3, "intermediate_size": 50,
         "max_position_embeddings": CONTEXT,
         "rope_parameters": {"rope_type": "default", "rope_theta": 10_000.0, "partial_rotary_factor": 0.45}},
    ),
    "phi-3": Tiny(
        "Phi 3", "Phi3Config", "Phi3ForCausalLM",
        {**NO_HEAD_DIM, "sliding_window": 5, "original_max_position_embeddings": CONTEXT},
    ),
    "olmo-2": Tiny("OLMo 2", "Olmo2Config", "Olmo2ForCausalLM", NO_HEAD_DIM),
}  # fmt: skip


def randomise(model: Any, seed: int) -> None:
    """Draw every parameter: norms around their identity, the rest around 0, all of them well spread."""
    generator = torch.Generator().manual_seed(seed)
    from_one = {"gemma", "gemma2", "gemma3", "gemma3_text"}
    is_from_one = model.config.model_type in from_one
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            is_norm = any(mark in name.lower() for mark in ("norm", "ln_")) and name.endswith("weight")
            if is_norm:
                parameter.copy_(0.3 * noise + (0.0 if is_from_one else 1.0))
            elif parameter.ndim == 1:
                parameter.copy_(0.4 * noise)
            else:
                parameter.copy_(noise / parameter.shape[-1] ** 0.5)
        model.tie_weights()


def saved(tiny: Tiny, folder: Path, seed: int = 0) -> tuple[Any, Path]:
    """The model, and the folder it was saved to."""
    model = tiny.build(seed)
    model.save_pretrained(folder)
    return model, folder


def token_ids(batch: int, length: int, seed: int = 0) -> torch.Tensor:
    """Random token ids [batch pos] that avoid the special ones."""
    return torch.randint(3, VOCAB, (batch, length), generator=torch.Generator().manual_seed(seed))


def reference_logits(model: Any, tokens: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
    """transformers' logits [batch pos d_vocab]; positions count real tokens only."""
    extra: dict[str, Any] = {}
    if mask is not None:
        extra["attention_mask"] = mask
        if model.config.model_type not in ("opt", "bloom"):  # these two count by the mask themselves
            extra["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.no_grad():
        return model(tokens, use_cache=False, **extra).logits


def relative_error(ours: torch.Tensor, theirs: torch.Tensor) -> float:
    """Largest difference, in units of the largest reference value."""
    return ((ours - theirs).abs().max() / theirs.abs().max()).item()
