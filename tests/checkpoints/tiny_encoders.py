"""Tiny random BERTs, and a batch of padded sentence pairs for them."""

from __future__ import annotations

from typing import Any

import torch
import transformers

from tests.checkpoints.tiny_models import CONTEXT, VOCAB, randomise, token_ids

SIZES: dict[str, Any] = {
    "vocab_size": VOCAB,
    "hidden_size": 36,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 53,
    "max_position_embeddings": CONTEXT,
}


def tiny_bert(model_class: str, **settings: Any) -> Any:
    """transformers' BERT with the heads of a class, every parameter random."""
    config = transformers.BertConfig(**SIZES, **settings, attn_implementation="eager")
    model = getattr(transformers, model_class)(config).eval()
    randomise(model, seed=0)
    return model


def encoder_batch() -> dict[str, torch.Tensor]:
    """Three sentence pairs [3, 11], the second and third padded."""
    mask = torch.ones(3, 11, dtype=torch.long)
    mask[1, 7:] = 0
    mask[2, 4:] = 0
    types = (torch.arange(11) > 3).long().expand(3, 11)
    return {"input_ids": token_ids(3, 11), "token_type_ids": types, "attention_mask": mask}


def encoder_logits(model: Any, inputs: dict[str, torch.Tensor], **how: Any) -> torch.Tensor:
    """Our encoder on such a batch."""
    return model(
        inputs["input_ids"],
        token_type_ids=inputs["token_type_ids"],
        one_zero_attention_mask=inputs["attention_mask"],
        **how,
    )
