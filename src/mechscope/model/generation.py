"""Generate text, one token at a time."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import numpy as np
import torch
from jaxtyping import Float
from tqdm.auto import tqdm

from mechscope.arguments import checked_arguments
from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.padding import last_real
from mechscope.model.sampling import sample_logits
from mechscope.model.special_tokens import end_ids
from mechscope.model.token_batch import Tokens
from mechscope.model.token_ids import is_text, token_ids

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig

PROMPT_POSITIONS: ContextVar[int | None] = ContextVar("prompt positions", default=None)
"""During a pass of `generate`: how many positions belong to the prompt, cached ones included."""
GENERATE_RETURN_TYPES = ("input", "str", "string", "tensor", "tokens", "continuation")


class Generated(NamedTuple):
    """The result of `generate` if logits or the key/value cache were requested."""

    output: Any
    """Text, texts or `Tokens`, depending on `return_type`."""
    logits: torch.Tensor | None
    """The logits that each new token was chosen from [batch new d_vocab_out], if requested."""
    cache: HookedTransformerKeyValueCache | None
    """Keys and values of everything but the last new token, if requested: `generate(output[:, -1:],
    past_kv_cache=cache)` continues from here."""


@dataclass
class _Run:
    """The state of a generation."""

    tokens: Tokens
    cache: HookedTransformerKeyValueCache | None
    finished: torch.Tensor
    """Which rows are finished [batch]."""
    ends: list[int]
    stop_strings: list[str]
    generator: torch.Generator | None


class Generation:
    """`generate` and `generate_stream`, for a model that may have a tokenizer."""

    cfg: HookedTransformerConfig
    tokenizer: Any

    @checked_arguments
    @torch.no_grad()
    def generate(
        self,
        input: str | list[Any] | tuple[Any, ...] | torch.Tensor | np.ndarray = "",
        max_new_tokens: int = 10,
        stop_at_eos: bool = True,
        eos_token_id: int | Sequence[int] | torch.Tensor | None = None,
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
        *,
        attention_mask: torch.Tensor | None = None,
        stop_strings: str | Sequence[str] | None = None,
        past_kv_cache: HookedTransformerKeyValueCache | None = None,
        return_logits: bool = False,
        return_cache: bool = False,
    ) -> Any:
        """Continue the input by up to `max_new_tokens` tokens.

        Every row continues from its last real token, independently of the padding and of the other rows.

        Args:
            input: text, texts, or token ids [batch pos] or [pos], in a tensor, an array or lists.
            max_new_tokens: the largest number of new tokens.
            stop_at_eos: stop a row at an end token, and fill the rest of it with padding.
            eos_token_id: the end token or tokens; None uses the tokenizer's, and the token that ends a turn of a chat
                if it has one.
            do_sample: sample from the distribution; False takes the likeliest token each time.
            top_k: sample only from the k likeliest tokens.
            top_p: sample only from the smallest set of likeliest tokens that has at least this probability.
            temperature: divide the logits by this; 0 takes the likeliest token.
            freq_penalty: subtract this from a token's logit for each time that it has occurred.
            use_past_kv_cache: reuse the keys and values of earlier tokens; False recomputes them for each new token.
            prepend_bos: for text, start it with the begin token; None follows `cfg.default_prepend_bos`.
            padding_side: for texts of different lengths, "left" by default.
            return_type: "input" (text for text, tokens for tokens), "str", "tokens", or "continuation", which is only
                the new text.
            verbose: show a progress bar.
            seed: make sampling reproducible, independently of torch's global generator.
            attention_mask: 0 where a token is padding [batch pos]; None uses the mask of the tokens (see `as_tokens`).
            stop_strings: stop a row whose new text contains one of these, as at an end token; the string stays in the
                output.
            past_kv_cache: keys and values of the text before `input`; the new ones are added to it.
            return_logits: return a `Generated` with the logits that each new token was chosen from.
            return_cache: return a `Generated` with the key/value cache.

        Returns:
            text, texts, or `Tokens` [batch pos+new], which know their padding; a `Generated` if logits or the cache
            were requested. Text for a text is that text, exactly as it was given, and its continuation without special
            tokens, so `output[len(text):]` is what the model added.

        Raises:
            ValueError: for text without a tokenizer, more tokens than n_ctx, a bidirectional model, or an unknown
                option.

        >>> from mechscope.model.transformer import HookedTransformer
        >>> model = HookedTransformer({"n_layers": 1, "d_model": 8, "n_ctx": 8, "d_head": 4, "d_vocab": 5,
        ...                            "attn_only": True, "seed": 0})
        >>> model.generate([0, 1], max_new_tokens=3, stop_at_eos=False, seed=0, verbose=False).shape
        torch.Size([1, 5])
        """
        if return_type not in GENERATE_RETURN_TYPES:
            raise ValueError(
                f"return_type must be one of {', '.join(GENERATE_RETURN_TYPES)}, not {return_type!r}."
            )
        as_text = return_type in ("str", "string", "continuation") or (
            return_type == "input" and is_text(input)
        )
        if as_text:
            self._need_tokenizer(f"generate with return_type={return_type!r}")  # type: ignore[attr-defined]
        run = self._start(
            input,
            max_new_tokens,
            ends=self._end_tokens(eos_token_id) if stop_at_eos else [],
            stop_strings=stop_strings,
            prepend_bos=prepend_bos,
            padding_side=padding_side,
            attention_mask=attention_mask,
            past_kv_cache=past_kv_cache,
            use_past_kv_cache=use_past_kv_cache or return_cache,
            seed=seed,
        )
        steps = self._steps(
            run, max_new_tokens, top_k, top_p, temperature if do_sample else 0.0, freq_penalty
        )
        prompt = run.tokens
        kept: list[torch.Tensor] = []
        for logits in tqdm(steps, total=max_new_tokens, desc="tokens", disable=not verbose, leave=False):
            if return_logits:
                kept.append(logits)
        output: Any = run.tokens
        if as_text:
            texts = self._texts(input, prompt, run.tokens, with_prompt=return_type != "continuation")
            output = texts if isinstance(input, (list, tuple)) or len(texts) > 1 else texts[0]
        if not (return_logits or return_cache):
            return output
        no_logits = self.b_U.new_empty(len(run.tokens), 0, self.cfg.d_vocab_out)  # type: ignore[attr-defined]
        logits = torch.stack(kept, 1) if kept else no_logits
        return Generated(output, logits if return_logits else None, run.cache if return_cache else None)

    @checked_arguments
    @torch.no_grad()
    def generate_stream(
        self,
        input: str | list[Any] | tuple[Any, ...] | torch.Tensor | np.ndarray = "",
        max_new_tokens: int = 10,
        *,
        stop_at_eos: bool = True,
        eos_token_id: int | Sequence[int] | torch.Tensor | None = None,
        do_sample: bool = True,
        top_k: int | None = None,
        top_p: float | None = None,
        temperature: float = 1.0,
        freq_penalty: float = 0.0,
        use_past_kv_cache: bool = True,
        prepend_bos: bool | None = None,
        padding_side: Literal["left", "right"] | None = None,
        seed: int | None = None,
        attention_mask: torch.Tensor | None = None,
        stop_strings: str | Sequence[str] | None = None,
        past_kv_cache: HookedTransformerKeyValueCache | None = None,
    ) -> Iterator[Tokens]:
        """Yield the tokens of `generate` as they are chosen: first the input [batch pos], then [batch 1] at a time.

        See `generate` for the arguments.
        """
        run = self._start(
            input,
            max_new_tokens,
            ends=self._end_tokens(eos_token_id) if stop_at_eos else [],
            stop_strings=stop_strings,
            prepend_bos=prepend_bos,
            padding_side=padding_side,
            attention_mask=attention_mask,
            past_kv_cache=past_kv_cache,
            use_past_kv_cache=use_past_kv_cache,
            seed=seed,
        )
        yield run.tokens
        for _ in self._steps(
            run, max_new_tokens, top_k, top_p, temperature if do_sample else 0.0, freq_penalty
        ):
            yield run.tokens[:, -1:]

    def _start(
        self,
        input: str | list[Any] | tuple[Any, ...] | torch.Tensor | np.ndarray,
        max_new_tokens: int,
        *,
        ends: list[int],
        stop_strings: str | Sequence[str] | None,
        prepend_bos: bool | None,
        padding_side: Literal["left", "right"] | None,
        attention_mask: torch.Tensor | None,
        past_kv_cache: HookedTransformerKeyValueCache | None,
        use_past_kv_cache: bool,
        seed: int | None,
    ) -> _Run:
        """The prompt and its options, checked before any pass."""
        if self.cfg.attention_dir != "causal":
            raise ValueError(
                "a bidirectional model cannot continue text: it was trained to see the tokens after each position."
            )
        if max_new_tokens < 0:
            raise ValueError(f"max_new_tokens must not be negative, not {max_new_tokens}.")
        if past_kv_cache is not None and not use_past_kv_cache:
            raise ValueError("past_kv_cache cannot be used with use_past_kv_cache=False.")
        if isinstance(input, torch.Tensor) and input.is_floating_point():
            raise ValueError(
                f"generate continues text or token ids, not embeddings ({input.dtype} {tuple(input.shape)}), which do "
                "not say how a generated token is to be embedded. Embed it yourself and call "
                "model(residual, start_at_layer=0) for each token."
            )
        if not isinstance(input, str) and getattr(input, "ndim", 1) > 0 and len(input) == 0:
            raise ValueError("there is nothing to continue: the input is empty.")
        side = (padding_side or "left") if is_text(input) else padding_side
        tokens = self.as_tokens(input, prepend_bos, side, attention_mask)  # type: ignore[attr-defined]
        if bool((tokens.lengths == 0).any()):
            raise ValueError(
                "a row of the input has no token (an empty text without a begin token, or only padding), so there is "
                "nothing to continue."
            )
        batch, length = tokens.shape
        length += 0 if past_kv_cache is None else past_kv_cache.length
        if length + max_new_tokens > self.cfg.n_ctx:
            raise ValueError(
                f"{length} tokens and {max_new_tokens} new ones exceed this model's context of "
                f"n_ctx={self.cfg.n_ctx}."
            )
        if self.cfg.d_vocab_out > self.cfg.d_vocab:
            raise ValueError(
                f"this model predicts {self.cfg.d_vocab_out} tokens but reads {self.cfg.d_vocab}: it could not read "
                "what it generates."
            )
        strings = [stop_strings] if isinstance(stop_strings, str) else list(stop_strings or ())
        if strings:
            self._need_tokenizer("stop_strings")  # type: ignore[attr-defined]
            if not all(isinstance(one, str) and one for one in strings):
                raise ValueError(f"stop_strings must be non-empty strings, not {stop_strings!r}.")
        if past_kv_cache is None and use_past_kv_cache:
            past_kv_cache = HookedTransformerKeyValueCache.init_cache(self.cfg, tokens.device, batch)
        generator = None if seed is None else torch.Generator(tokens.device).manual_seed(seed)
        finished = torch.zeros(batch, dtype=torch.bool, device=tokens.device)
        return _Run(tokens, past_kv_cache, finished, ends, strings, generator)

    def _steps(
        self,
        run: _Run,
        max_new_tokens: int,
        top_k: int | None,
        top_p: float | None,
        temperature: float,
        freq_penalty: float,
    ) -> Iterator[torch.Tensor]:
        """Append one token to every row, and yield the logits that it was chosen from [batch d_vocab_out]."""
        prompt = run.tokens.shape[1]
        cached = 0 if run.cache is None else run.cache.length
        for step in range(max_new_tokens):
            read = run.tokens if run.cache is None or step == 0 else run.tokens[:, -1:]
            with _reading_prompt(cached + prompt):
                logits = self._next_logits(read, run.cache)
            new = sample_logits(logits, top_k, top_p, temperature, freq_penalty, run.tokens, run.generator)
            real = ~run.finished
            if run.ends or run.stop_strings:
                new = torch.where(run.finished, self._filler(run.ends).to(new), new)
            added = Tokens(new[:, None], real[:, None])
            run.tokens = cast("Tokens", torch.cat([run.tokens, added], dim=1))
            if run.ends:
                run.finished = run.finished | torch.isin(new, torch.tensor(run.ends, device=new.device))
            if run.stop_strings:
                run.finished = run.finished | self._contains(run.tokens[:, prompt:], run.stop_strings)
            yield logits
            if (run.ends or run.stop_strings) and bool(run.finished.all()):
                return

    def _next_logits(
        self, tokens: Tokens, cache: HookedTransformerKeyValueCache | None
    ) -> Float[torch.Tensor, "batch d_vocab_out"]:
        """The logits after each row's last real token."""
        residual = self(tokens, stop_at_layer=self.cfg.n_layers, past_kv_cache=cache)  # type: ignore[operator]
        if tokens.attention_mask is None:
            last = residual[:, -1:]
        else:
            rows = torch.arange(len(residual), device=residual.device)
            last = residual[rows, last_real(tokens.attention_mask)][:, None]
        return self.unembed(self.ln_final(last))[:, 0]  # type: ignore[attr-defined]

    def _contains(self, new: Tokens, strings: Sequence[str]) -> torch.Tensor:
        texts = [self.tokenizer.decode(row.ids[row.is_real].tolist()) for row in new]
        return torch.tensor([any(one in text for one in strings) for text in texts], device=new.device)

    def _end_tokens(self, eos_token_id: int | Sequence[int] | torch.Tensor | None) -> list[int]:
        if eos_token_id is None:
            if self.tokenizer is None or self.tokenizer.eos_token_id is None:
                raise ValueError("stop_at_eos needs an end token: give eos_token_id, or stop_at_eos=False.")
            return [one for one in end_ids(self.tokenizer) if one < self.cfg.d_vocab_out]
        ends = token_ids(eos_token_id, "eos_token_id").flatten().tolist()
        if not ends or max(ends) >= self.cfg.d_vocab_out:
            raise ValueError(
                f"eos_token_id is one or more ids that the model can predict (0 to {self.cfg.d_vocab_out - 1}), not "
                f"{ends}."
            )
        return ends

    def _filler(self, ends: list[int]) -> torch.Tensor:
        pad = None if self.tokenizer is None else self.tokenizer.pad_token_id
        return torch.tensor(pad if pad is not None else ends[0] if ends else 0)

    def _texts(self, input: Any, prompt: Tokens, output: Tokens, *, with_prompt: bool) -> list[str]:
        """The prompts and what follows them, or only what follows; a prompt given as text is repeated exactly."""
        given: Sequence[str] = [input] if isinstance(input, str) else input if is_text(input) else ()
        before = [self._decode(row) for row in prompt]
        texts: list[str] = []
        for row, head in enumerate(before):
            whole = self._decode(output[row])
            # New tokens are decoded after the prompt: some tokenizers drop the space before the first word of a text.
            if whole.startswith(head):
                new = whole[len(head) :]
            else:  # the prompt's tokens end inside a character, which the new ones complete
                new = self._decode(output[row, prompt.shape[1] :])
            texts.append((given[row] if given else head) + new if with_prompt else new)
        return texts

    def _decode(self, row: Tokens) -> str:
        """The text of the real tokens of one row, without the special ones among them."""
        return self.tokenizer.decode(
            row.ids[row.is_real].tolist(), skip_special_tokens=True, clean_up_tokenization_spaces=False
        )


@contextmanager
def _reading_prompt(positions: int) -> Generator[None]:
    before = PROMPT_POSITIONS.set(positions)
    try:
        yield
    finally:
        PROMPT_POSITIONS.reset(before)
