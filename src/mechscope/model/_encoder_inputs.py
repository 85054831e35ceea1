"""The inputs of an encoder: tokens, token types and attention mask, checked before it runs."""

from __future__ import annotations

from typing import Any

import torch

from mechscope.arguments import shown
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.encoder_components import BertEmbed
from mechscope.model.token_batch import Tokens
from mechscope.model.token_ids import is_text, token_ids


class EncoderInputs:
    """`to_tokens` of an encoder, and the checks of its inputs."""

    cfg: HookedTransformerConfig
    tokenizer: Any
    embed: BertEmbed

    def to_tokens(
        self,
        input: str | list[str],
        move_to_device: bool = True,
        truncate: bool = True,
        text_pair: str | list[str] | None = None,
    ) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Texts (or pairs of them) as token ids, token types and attention mask, each [batch pos].

        The ids are `Tokens`, which know their padding, so passing only them to `forward` is enough.

        Args:
            input: a text or several.
            move_to_device: put the tensors on the encoder's device.
            truncate: cut at n_ctx tokens.
            text_pair: the second sentence of each text.

        Raises:
            ValueError: without a tokenizer.
        """
        if self.tokenizer is None:
            raise ValueError(
                "to_tokens needs a tokenizer, but this encoder has none: set encoder.tokenizer, or pass token "
                "ids (an integer tensor) instead of text."
            )
        texts = [input] if isinstance(input, str) else list(input)
        pairs = [text_pair] if isinstance(text_pair, str) else text_pair
        encoded = self.tokenizer(
            texts,
            text_pair=pairs,
            padding=True,
            truncation=truncate,
            max_length=self.cfg.n_ctx if truncate else None,
            return_tensors="pt",
        )
        tokens, mask = encoded["input_ids"], encoded["attention_mask"]
        types = encoded["token_type_ids"] if "token_type_ids" in encoded else torch.zeros_like(tokens)
        device = self.embed.embed.W_E.device if move_to_device else "cpu"
        return Tokens(tokens, mask).to(device), types.to(device), mask.to(device)

    def _read(
        self, given: Any, types: torch.Tensor | None, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        if is_text(given):
            tokens, own_types, own_mask = self.to_tokens(given)
            return tokens, own_types if types is None else types, own_mask if mask is None else mask
        if given is None or isinstance(given, (dict, bytes)):
            raise TypeError(
                f"an encoder reads text or token ids (whole numbers [batch pos]), not {shown(given)}."
            )
        tokens = _ids(given)
        return tokens[None] if tokens.ndim == 1 else tokens, types, mask

    def _checked(
        self, tokens: torch.Tensor, types: torch.Tensor | None, mask: torch.Tensor | None
    ) -> tuple[torch.Tensor, torch.Tensor | None, torch.Tensor | None]:
        """Check shapes and ranges, and return the inputs on the encoder's device."""
        device = self.embed.embed.W_E.device
        tokens = _ids(tokens)
        if isinstance(tokens, Tokens):
            mask = tokens.attention_mask if mask is None else mask
            tokens = tokens.ids
        types = None if types is None else token_ids(types, "token_type_ids")
        if tokens.is_floating_point() or tokens.ndim != 2 or tokens.numel() == 0:
            raise ValueError(
                f"tokens are whole numbers [batch pos], not {tokens.dtype} of shape {tuple(tokens.shape)}."
            )
        if tokens.shape[1] > self.cfg.n_ctx:
            raise ValueError(
                f"{tokens.shape[1]} tokens are more than this encoder's context of n_ctx={self.cfg.n_ctx}; "
                "shorten the input."
            )
        n_types = self.embed.token_type_embed.W_token_type.shape[0]
        for what, ids, count in (("token id", tokens, self.cfg.d_vocab), ("token type", types, n_types)):
            if ids is None:
                continue
            if not isinstance(ids, torch.Tensor):
                raise TypeError(f"{what}s are a tensor [batch pos], not {shown(ids)}.")
            if ids.shape != tokens.shape:
                raise ValueError(
                    f"{what}s have shape {tuple(ids.shape)}, but the tokens {tuple(tokens.shape)}."
                )
            low, high = (int(end) for end in torch.aminmax(ids))
            if low < 0 or high >= count:
                raise ValueError(
                    f"{what} {low if low < 0 else high} is out of range: this encoder knows 0 to {count - 1}."
                )
        if mask is not None:
            known = Tokens(tokens, mask).attention_mask
            mask = None if known is None else known.to(device)
        return tokens.to(device), None if types is None else types.to(device), mask

    def _predictions(self, tokens: torch.Tensor, logits: torch.Tensor) -> str | list[str]:
        """The likeliest word for each mask token, in the classic format: one word, or a numbered list."""
        tokenizer = self.tokenizer
        mask_id = None if tokenizer is None else tokenizer.mask_token_id
        if tokenizer is None or mask_id is None:
            raise ValueError("return_type='predictions' needs a tokenizer with a mask token.")
        masked = tokens == mask_id
        if not bool(masked.any()):
            raise ValueError("there is nothing to predict: no token is the tokenizer's mask token.")
        words = [tokenizer.decode([word]) for word in logits[masked].argmax(-1).tolist()]
        return words[0] if len(words) == 1 else [f"Prediction {i}: {word}" for i, word in enumerate(words)]


def _ids(given: Any) -> torch.Tensor:
    """Token ids of any kind as an integer tensor; `_checked` refuses floating-point tensors."""
    if isinstance(given, Tokens):
        return given.long()
    if isinstance(given, torch.Tensor) and given.is_floating_point():
        return given
    return token_ids(given, negative=True)
