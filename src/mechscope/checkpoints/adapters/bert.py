"""BERT (Devlin et al. 2018) and sentence encoders built on it, for `HookedEncoder`.

The tensors of a checkpoint show which of the masked-language-model head, next-sentence head and pooler
it has.
"""

from __future__ import annotations

from collections.abc import Collection

from mechscope.checkpoints.adapters.family import ConfigTable, Family, Refusal, always
from mechscope.checkpoints.adapters.gpt_neo import HEADS_IN
from mechscope.checkpoints.adapters.hf_config import HfConfig, activation
from mechscope.checkpoints.mapping import Table, Take

CONFIG: ConfigTable = {
    "d_model": "hidden_size",
    "n_layers": "num_hidden_layers",
    "n_heads": "num_attention_heads",
    "d_head": lambda config: config["hidden_size"] // config["num_attention_heads"],
    "d_mlp": "intermediate_size",
    "n_ctx": "max_position_embeddings",
    "d_vocab": "vocab_size",
    "act_fn": activation("hidden_act"),
    "eps": lambda config: config.get("layer_norm_eps", 1e-12),
    "normalization_type": always("LN"),
    "attention_dir": always("bidirectional"),
    "tie_word_embeddings": lambda config: config.get("tie_word_embeddings", True),
}

LAYER = "encoder.layer.{i}"
SELF = f"{LAYER}.attention.self"
OUT = f"{LAYER}.attention.output"

BODY: Table = {
    "embed.embed.W_E": Take("embeddings.word_embeddings.weight", "d_vocab d_model"),
    "embed.pos_embed.W_pos": Take("embeddings.position_embeddings.weight", "pos d_model"),
    "embed.token_type_embed.W_token_type": Take(
        "embeddings.token_type_embeddings.weight", "token_type d_model"
    ),
    "embed.ln.w": Take("embeddings.LayerNorm.weight", "d_model"),
    "embed.ln.b": Take("embeddings.LayerNorm.bias", "d_model"),
    "blocks.{i}.attn.W_Q": Take(f"{SELF}.query.weight", HEADS_IN),
    "blocks.{i}.attn.W_K": Take(f"{SELF}.key.weight", HEADS_IN),
    "blocks.{i}.attn.W_V": Take(f"{SELF}.value.weight", HEADS_IN),
    "blocks.{i}.attn.b_Q": Take(f"{SELF}.query.bias", "(head d_head) -> head d_head"),
    "blocks.{i}.attn.b_K": Take(f"{SELF}.key.bias", "(head d_head) -> head d_head"),
    "blocks.{i}.attn.b_V": Take(f"{SELF}.value.bias", "(head d_head) -> head d_head"),
    "blocks.{i}.attn.W_O": Take(f"{OUT}.dense.weight", "d_model (head d_head) -> head d_head d_model"),
    "blocks.{i}.attn.b_O": Take(f"{OUT}.dense.bias", "d_model"),
    "blocks.{i}.ln1.w": Take(f"{OUT}.LayerNorm.weight", "d_model"),
    "blocks.{i}.ln1.b": Take(f"{OUT}.LayerNorm.bias", "d_model"),
    "blocks.{i}.mlp.W_in": Take(f"{LAYER}.intermediate.dense.weight", "d_mlp d_model -> d_model d_mlp"),
    "blocks.{i}.mlp.b_in": Take(f"{LAYER}.intermediate.dense.bias", "d_mlp"),
    "blocks.{i}.mlp.W_out": Take(f"{LAYER}.output.dense.weight", "d_model d_mlp -> d_mlp d_model"),
    "blocks.{i}.mlp.b_out": Take(f"{LAYER}.output.dense.bias", "d_model"),
    "blocks.{i}.ln2.w": Take(f"{LAYER}.output.LayerNorm.weight", "d_model"),
    "blocks.{i}.ln2.b": Take(f"{LAYER}.output.LayerNorm.bias", "d_model"),
}
POOLER: Table = {
    "pooler.W": Take("pooler.dense.weight", "width d_model -> d_model width"),
    "pooler.b": Take("pooler.dense.bias", "d_model"),
}
WORD_HEAD: Table = {
    "mlm_head.W": Take("cls.predictions.transform.dense.weight", "width d_model -> d_model width"),
    "mlm_head.b": Take("cls.predictions.transform.dense.bias", "d_model"),
    "mlm_head.ln.w": Take("cls.predictions.transform.LayerNorm.weight", "d_model"),
    "mlm_head.ln.b": Take("cls.predictions.transform.LayerNorm.bias", "d_model"),
    "unembed.b_U": Take("cls.predictions.bias", "d_vocab"),
}
UNEMBEDDING: Table = {
    "unembed.W_U": Take("cls.predictions.decoder.weight", "d_vocab d_model -> d_model d_vocab")
}
SENTENCE_HEAD: Table = {
    "nsp_head.W": Take("cls.seq_relationship.weight", "label d_model -> d_model label"),
    "nsp_head.b": Take("cls.seq_relationship.bias", "label"),
}


def tensors(config: HfConfig, names: Collection[str]) -> Table:
    table = dict(BODY)
    if "pooler.dense.weight" in names:
        table |= POOLER
    if "cls.predictions.bias" in names:
        table |= WORD_HEAD
        if not config.get("tie_word_embeddings", True):
            table |= UNEMBEDDING
            if "cls.predictions.decoder.bias" in names:  # the decoder has its own bias too
                table["unembed.b_U"] = Take("cls.predictions.decoder.bias", "d_vocab")
    if "cls.seq_relationship.weight" in names:
        table |= SENTENCE_HEAD
    return table


BERT = Family(
    name="BERT",
    model_types=("bert",),
    architectures=("BertForMaskedLM", "BertForPreTraining", "BertForNextSentencePrediction", "BertModel"),
    special="bidirectional, norms after the residual sum, as HookedEncoder (sentence encoders too)",
    config=CONFIG,
    tensors=tensors,
    prefixes=("bert.",),
    ignored=(r"^embeddings\.position_ids$", r"^cls\.predictions\.(decoder\.(weight|bias)|bias)$"),
    refused=(
        Refusal("position_embedding_type", ("absolute",), "positions are relative"),
        Refusal("is_decoder", (False,), "the model is a causal decoder"),
    ),
    renames={".gamma": ".weight", ".beta": ".bias"},
    encoder=True,
)
