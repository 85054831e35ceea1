"""GPT-J (Wang and Komatsuzaki 2021): parallel sublayers behind one norm, rotation of adjacent pairs."""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters.family import ConfigTable, Family, always
from mechscope.checkpoints.adapters.gpt_neo import HEADS_IN
from mechscope.checkpoints.adapters.hf_config import HfConfig, activation
from mechscope.checkpoints.mapping import Table, Take

CONFIG: ConfigTable = {
    "d_model": "n_embd",
    "n_layers": "n_layer",
    "n_heads": "n_head",
    "d_head": lambda config: config["n_embd"] // config["n_head"],
    "d_mlp": lambda config: config.get("n_inner", 4 * config["n_embd"]),
    "n_ctx": "n_positions",
    "d_vocab": "vocab_size",
    "act_fn": activation("activation_function"),
    "eps": "layer_norm_epsilon",
    "normalization_type": always("LN"),
    "positional_embedding_type": always("rotary"),
    "rotary_dim": lambda config: config.get("rotary_dim", config["n_embd"] // config["n_head"]),
    "rotary_adjacent_pairs": always(True),
    "parallel_attn_mlp": always(True),
    "tie_word_embeddings": lambda config: config.get("tie_word_embeddings", False),
}

TENSORS: Table = {
    "embed.W_E": Take("wte.weight", "d_vocab d_model"),
    # One norm feeds both sublayers.
    "blocks.{i}.ln1.w": Take("h.{i}.ln_1.weight", "d_model"),
    "blocks.{i}.ln1.b": Take("h.{i}.ln_1.bias", "d_model"),
    "blocks.{i}.ln2.w": Take("h.{i}.ln_1.weight", "d_model"),
    "blocks.{i}.ln2.b": Take("h.{i}.ln_1.bias", "d_model"),
    "blocks.{i}.attn.W_Q": Take("h.{i}.attn.q_proj.weight", HEADS_IN),
    "blocks.{i}.attn.W_K": Take("h.{i}.attn.k_proj.weight", HEADS_IN),
    "blocks.{i}.attn.W_V": Take("h.{i}.attn.v_proj.weight", HEADS_IN),
    "blocks.{i}.attn.W_O": Take("h.{i}.attn.out_proj.weight", "d_model (head d_head) -> head d_head d_model"),
    "blocks.{i}.mlp.W_in": Take("h.{i}.mlp.fc_in.weight", "d_mlp d_model -> d_model d_mlp"),
    "blocks.{i}.mlp.b_in": Take("h.{i}.mlp.fc_in.bias", "d_mlp"),
    "blocks.{i}.mlp.W_out": Take("h.{i}.mlp.fc_out.weight", "d_model d_mlp -> d_mlp d_model"),
    "blocks.{i}.mlp.b_out": Take("h.{i}.mlp.fc_out.bias", "d_model"),
    "ln_final.w": Take("ln_f.weight", "d_model"),
    "ln_final.b": Take("ln_f.bias", "d_model"),
    "unembed.b_U": Take("lm_head.bias", "d_vocab"),
}
HEAD: Table = {"unembed.W_U": Take("lm_head.weight", "d_vocab d_model -> d_model d_vocab")}


def tensors(config: HfConfig, names: Collection[str]) -> Table:
    return TENSORS if config.get("tie_word_embeddings", False) else {**TENSORS, **HEAD}


GPT_J = Family(
    name="GPT-J",
    model_types=("gptj",),
    architectures=("GPTJForCausalLM",),
    special="parallel sublayers behind one norm, rotary on adjacent pairs, biased unembedding",
    config=CONFIG,
    tensors=tensors,
    prefixes=("transformer.",),
    ignored=(r"\.attn\.(bias|masked_bias|embed_positions)$", r"^lm_head\.weight$"),
)
