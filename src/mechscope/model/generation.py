"""Text from a model, one token at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

import torch
from tqdm.auto import tqdm

from mechscope.model.attention_mask import get_attention_mask
from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.sampling import sample_logits

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig

GENERATE_RETURN_TYPES = ("input", "str", "string", "tensor", "tokens")


class Generation:
    """`generate` and `generate_stream`, for a model with a forward pass and perhaps a tokenizer."""

    cfg: HookedTransformerConfig
    tokenizer: Any

    @torch.no_grad()
    def generate(
        self,
        input: str | list[str] | torch.Tensor = "",
        max_new_tokens: int = 10,
        stop_at_eos: bool = True,
        eos_token_id: int | Sequence[int] | None = None,
        do_sample: bool = True,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float = 1.0,
        freq_penalty: float = 0.0,
        use_past_kv_cache: bool = True,
        prepend_bos: bool | None = None,
        padding_side: Literal["left", "right"] | None = None,
        return_type: str | None = "input",
        verbose: bool = True,
        seed: int | None = None,
    ) -> str | list[str] | torch.Tensor:
        """The input continued by up to `max_new_tokens` tokens.

        Args:
            input: text, texts, or tokens [batch pos].
            stop_at_eos: a row that produced an end token is filled with padding from then on.
            eos_token_id: the end token or tokens; None takes the tokenizer's.
            do_sample: draw from the distribution; False takes the likeliest token each time.
            top_k, top_p, temperature, freq_penalty: see `sample_logits`.
            use_past_kv_cache: reuse the keys and values of what was read; False reads all anew each time.
            prepend_bos, padding_side: for text; padding is on the left unless said otherwise, because
                a continuation starts at the end.
            return_type: "input" (text for text, tokens for tokens), "str" or "tokens".
            verbose: show a progress bar.
            seed: make the draw repeatable, whatever torch's global generator holds.

        Raises:
            ValueError: for text without a tokenizer, a context that would outgrow n_ctx, and misspelt options.
        """
        if return_type not in GENERATE_RETURN_TYPES:
            raise ValueError(
                f"return_type must be one of {', '.join(GENERATE_RETURN_TYPES)}, not {return_type!r}."
            )
        stream = self.generate_stream(
            input,
            max_new_tokens,
            stop_at_eos=stop_at_eos,
            eos_token_id=eos_token_id,
            do_sample=do_sample,
            top_k=top_k,
            top_p=top_p,
            temperature=temperature,
            freq_penalty=freq_penalty,
            use_past_kv_cache=use_past_kv_cache,
            prepend_bos=prepend_bos,
            padding_side=padding_side,
            seed=seed,
        )
        tokens = next(stream)
        pieces = [tokens]
        pieces += tqdm(stream, total=max_new_tokens, desc="tokens", disable=not verbose, leave=False)
        tokens = torch.cat(pieces, dim=1)
        is_text = isinstance(input, (str, list))
        if return_type in ("tensor", "tokens") or (return_type == "input" and not is_text):
            return tokens
        texts = [self._decode(row) for row in tokens]
        return texts if isinstance(input, list) or len(texts) > 1 else texts[0]

    @torch.no_grad()
    def generate_stream(
        self,
        input: str | list[str] | torch.Tensor = "",
        max_new_tokens: int = 10,
        *,
        stop_at_eos: bool = True,
        eos_token_id: int | Sequence[int] | None = None,
        do_sample: bool = True,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float = 1.0,
        freq_penalty: float = 0.0,
        use_past_kv_cache: bool = True,
        prepend_bos: bool | None = None,
        padding_side: Literal["left", "right"] | None = None,
        seed: int | None = None,
    ) -> Iterator[torch.Tensor]:
        """The tokens of `generate` as they come: first the input [batch pos], then [batch 1] at a time."""
        tokens, mask = self._prompt(input, prepend_bos, padding_side)
        batch, length = tokens.shape
        if max_new_tokens < 0:
            raise ValueError(f"max_new_tokens must not be negative, not {max_new_tokens}.")
        if length + max_new_tokens > self.cfg.n_ctx:
            raise ValueError(
                f"{length} tokens and {max_new_tokens} new ones are more than this model's context of "
                f"n_ctx={self.cfg.n_ctx}."
            )
        ends = self._end_tokens(eos_token_id) if stop_at_eos else []
        generator = None if seed is None else torch.Generator(tokens.device).manual_seed(seed)
        cache = (
            HookedTransformerKeyValueCache.init_cache(self.cfg, tokens.device, batch)
            if use_past_kv_cache
            else None
        )
        finished = torch.zeros(batch, dtype=torch.bool, device=tokens.device)
        yield tokens
        for step in range(max_new_tokens):
            read, read_mask = (tokens, mask) if cache is None or step == 0 else (tokens[:, -1:], None)
            logits = self._last_logits(read, read_mask, cache)
            new = sample_logits(
                logits,
                top_k,
                top_p,
                temperature if do_sample else 0.0,
                freq_penalty,
                tokens,
                generator,
            )
            if ends:
                new = torch.where(finished, self._filler(ends), new)
                finished = finished | torch.isin(new, torch.tensor(ends, device=new.device))
            tokens = torch.cat([tokens, new[:, None]], dim=1)
            if mask is not None:
                mask = torch.cat([mask, mask.new_ones(batch, 1)], dim=1)
            yield new[:, None]
            if ends and bool(finished.all()):
                return

    def _last_logits(
        self,
        tokens: torch.Tensor,
        mask: torch.Tensor | None,
        cache: HookedTransformerKeyValueCache | None,
    ) -> torch.Tensor:
        """Logits of the last position only [batch d_vocab_out]: the others are not needed."""
        residual = self(  # type: ignore[operator]
            tokens, stop_at_layer=self.cfg.n_layers, past_kv_cache=cache, attention_mask=mask
        )
        return self.unembed(self.ln_final(residual[:, -1:]))[:, 0]  # type: ignore[attr-defined]

    def _prompt(
        self,
        input: str | list[str] | torch.Tensor,
        prepend_bos: bool | None,
        padding_side: Literal["left", "right"] | None,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        if isinstance(input, torch.Tensor):
            tokens = input if input.ndim == 2 else input[None]
            return tokens.to(self.cfg.device), None
        side = padding_side or "left"
        tokens = self.to_tokens(input, prepend_bos, side)  # type: ignore[attr-defined]
        if isinstance(input, str) or len(input) == 1:
            return tokens, None
        wants_bos = self.cfg.default_prepend_bos if prepend_bos is None else prepend_bos
        mask = get_attention_mask(self.tokenizer, tokens, wants_bos, padding_side=side).to(torch.bool)
        if side == "right" and not bool(mask.all()):
            raise ValueError(
                "texts of different lengths are continued from padding on the left, not the right."
            )
        return tokens, None if bool(mask.all()) else mask

    def _end_tokens(self, eos_token_id: int | Sequence[int] | None) -> list[int]:
        if eos_token_id is None:
            if self.tokenizer is None or self.tokenizer.eos_token_id is None:
                raise ValueError("stop_at_eos needs an end token: give eos_token_id, or stop_at_eos=False.")
            return [self.tokenizer.eos_token_id]
        return [eos_token_id] if isinstance(eos_token_id, int) else list(eos_token_id)

    def _filler(self, ends: list[int]) -> torch.Tensor:
        pad = None if self.tokenizer is None else self.tokenizer.pad_token_id
        return torch.tensor(ends[0] if pad is None else pad, device=self.cfg.device)

    def _decode(self, row: torch.Tensor) -> str:
        """The text of one row, without the special tokens around it."""
        return self.tokenizer.decode(
            row.tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
