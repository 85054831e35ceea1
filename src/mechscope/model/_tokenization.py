"""Convert text to tokens and back; the beginning-of-sequence token is added exactly once."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

from mechscope.arguments import check_switches, shown
from mechscope.model.loss import check_predictable
from mechscope.model.padding import get_attention_mask
from mechscope.model.special_tokens import (
    begin_ids,
    check_ids,
    ids_in_front,
    n_ids,
    text_ids,
    with_begin,
)
from mechscope.model.token_batch import Tokens, plain_ids, plain_mask
from mechscope.model.token_ids import is_text, token_id, token_ids

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig

PaddingSide = Literal["left", "right"]


class TokenizerHelpers:
    """`to_tokens`, `to_string`, `to_str_tokens` and so on, for a model with a tokenizer."""

    cfg: HookedTransformerConfig
    tokenizer: Any
    default_padding_side: PaddingSide

    def set_tokenizer(self, tokenizer: Any, default_padding_side: PaddingSide | None = None) -> None:
        """Set the model's tokenizer.

        If the model's d_vocab is not set, it becomes the tokenizer's highest id plus 1.

        Args:
            tokenizer: ours, anything with the Hugging Face interface, or None.
            default_padding_side: where texts of different lengths are padded; None leaves it as it is.

        Raises:
            TypeError: for anything else.
            ValueError: for a tokenizer with ids that the model lacks. (A model may have more embeddings than the
                tokenizer has tokens: they are often padded.)
        """
        if tokenizer is not None and not (hasattr(tokenizer, "encode") and hasattr(tokenizer, "decode")):
            raise TypeError(
                "a tokenizer is ours (mechscope.Tokenizer) or has the Hugging Face interface (encode, decode, "
                f"bos_token_id …), not {shown(tokenizer)}."
            )
        if tokenizer is not None and self.cfg.d_vocab != -1:
            check_ids(tokenizer, self.cfg.d_vocab)
        self.tokenizer = tokenizer
        if tokenizer is None:
            return
        if (
            getattr(tokenizer, "pad_token", None) is None
            and getattr(tokenizer, "eos_token", None) is not None
        ):
            tokenizer.pad_token = tokenizer.eos_token
        if default_padding_side is not None:
            self.default_padding_side = check_side(default_padding_side)
        bos = tokenizer.bos_token_id
        self.cfg.tokenizer_prepends_bos = bos is not None and bos in ids_in_front(tokenizer)
        if self.cfg.d_vocab == -1:
            self.cfg.d_vocab = n_ids(tokenizer)
            if self.cfg.d_vocab_out == -1:
                self.cfg.d_vocab_out = self.cfg.d_vocab

    def _need_tokenizer(self, method: str) -> Any:
        if self.tokenizer is None:
            raise ValueError(
                f"{method} needs a tokenizer, but this model has none: call model.set_tokenizer(tokenizer), or pass "
                "token ids (an integer tensor) instead of text."
            )
        return self.tokenizer

    def to_tokens(
        self,
        input: str | list[str],
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        move_to_device: bool = True,
        truncate: bool = True,
    ) -> Tokens:
        """Convert text to token ids [batch pos]; several texts are padded to the longest.

        The result is an integer tensor that also knows which tokens are padding (`Tokens.attention_mask`); every
        function that takes tokens uses its mask.

        Args:
            input: a text or several.
            prepend_bos: start with the beginning-of-sequence token, which is never doubled; None follows
                `cfg.default_prepend_bos`.
            padding_side: where padding goes; None follows `default_padding_side`.
            move_to_device: put the ids on `cfg.device`.
            truncate: cut at n_ctx tokens; a warning gives the number of texts that were cut.

        Raises:
            TypeError: for anything but text.
            ValueError: without a tokenizer, or for texts of different lengths and a tokenizer without a padding token.

        >>> from mechscope.checkpoints import load_model
        >>> model = load_model("mini-gelu-1l")
        >>> tokens = model.to_tokens(["to be", "or not to be"])
        >>> tokens.shape, tokens.lengths.tolist()
        (torch.Size([2, 5]), [3, 5])
        """
        tokenizer = self._need_tokenizer("to_tokens")
        if prepend_bos is not None and not isinstance(prepend_bos, bool):
            raise TypeError(f"prepend_bos is True, False or None, not {shown(prepend_bos)}.")
        check_switches(move_to_device=move_to_device, truncate=truncate)
        texts = list(input) if isinstance(input, (list, tuple)) else [input]
        if not texts or not all(isinstance(text, str) for text in texts):
            raise TypeError(f"to_tokens takes a string or a list of strings, not {input!r:.80}.")
        rows = [self._encode(text, prepend_bos) for text in texts]
        if truncate:
            rows = _cut(rows, self.cfg.n_ctx)
        side = check_side(padding_side or self.default_padding_side)
        longest = max(len(row) for row in rows)
        padding = [longest - len(row) for row in rows]
        if any(padding) and tokenizer.pad_token_id is None:
            raise ValueError(
                "texts of different lengths need a padding token, but this tokenizer has none: set tokenizer.pad_token "
                "(any of its tokens will do, because padding is masked), or read the texts one by one."
            )

        def padded(values: list[list[int]], filler: int | None) -> torch.Tensor:
            fill = [[filler] * count for count in padding]
            pairs = zip(values, fill, strict=True)
            return torch.tensor([pad + row if side == "left" else row + pad for row, pad in pairs])

        mask = padded([[1] * len(row) for row in rows], 0) if any(padding) else None
        tokens = Tokens(padded(rows, tokenizer.pad_token_id).long(), mask)
        return tokens.to(self.cfg.device) if move_to_device else tokens

    def as_tokens(
        self,
        input: str | list[Any] | tuple[Any, ...] | range | torch.Tensor | np.ndarray,
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
        attention_mask: Any = None,
        *,
        move_to_device: bool = True,
    ) -> Tokens:
        """Convert any input to token ids [batch pos] on the model's device, with their attention mask.

        The mask is `attention_mask` if given, otherwise that of `Tokens` or of the tokenized text. In a plain tensor
        every token is real, except in a model that pads on the left: there, as in the classic interface, padding tokens
        at the start of a row are padding (but a beginning-of-sequence token is real).

        Args:
            input: text, texts, or token ids [batch pos] or [pos].
            prepend_bos: for text, as in `to_tokens`.
            padding_side: for text, as in `to_tokens`.
            attention_mask: 1 or True where a token is real, 0 where it is padding, in the shape of the tokens.
            move_to_device: put the ids on `cfg.device`.

        Raises:
            ValueError: for ids or a mask of the wrong shape, or text without a tokenizer.
            TypeError: for anything that is neither text nor whole numbers.
        """
        if is_text(input):
            tokens = self.to_tokens(input, prepend_bos, padding_side)  # type: ignore[arg-type]
        else:
            tokens = _ids(input)
        if attention_mask is not None:
            mask = plain_mask(attention_mask)
            tokens = Tokens(plain_ids(tokens), mask[None] if mask.ndim == 1 and tokens.ndim == 2 else mask)
        if tokens.ndim not in (1, 2):
            raise ValueError(f"tokens have shape [batch pos] or [pos], not {tuple(tokens.shape)}.")
        if tokens.ndim == 1:
            tokens = tokens[None]
        if not isinstance(tokens, Tokens):
            tokens = Tokens(tokens, self._guessed_mask(tokens, prepend_bos, padding_side))
        return tokens.to(self.cfg.device) if move_to_device else tokens

    def _guessed_mask(
        self, tokens: torch.Tensor, prepend_bos: bool | None, padding_side: PaddingSide | None
    ) -> torch.Tensor | None:
        """The classic mask of a plain tensor in a model that pads on the left; None means that every token is real."""
        side = padding_side or self.default_padding_side
        if side != "left" or tokens.ndim != 2 or getattr(self.tokenizer, "pad_token_id", None) is None:
            return None
        wants_bos = self.cfg.default_prepend_bos if prepend_bos is None else prepend_bos
        return get_attention_mask(self.tokenizer, tokens, wants_bos, padding_side=side)

    def _encode(self, text: str, prepend_bos: bool | None) -> list[int]:
        """Ids of a text, without the end token that some tokenizers add to every text."""
        ids = text_ids(self.tokenizer, text)
        if not (self.cfg.default_prepend_bos if prepend_bos is None else prepend_bos):
            return ids
        begin = begin_ids(self.tokenizer)
        if not begin:
            raise ValueError(
                "prepend_bos needs a beginning-of-sequence token, but this tokenizer has none: pass "
                "prepend_bos=False, or set cfg.default_prepend_bos to False."
            )
        return with_begin(begin, ids)

    def to_string(self, tokens: int | list[Any] | torch.Tensor | np.ndarray) -> str | list[str]:
        """Convert token ids to text: one string for a sequence, a list of strings for a batch.

        Raises:
            TypeError: for anything but token ids.
            ValueError: for more than two axes, or without a tokenizer.
        """
        tokenizer = self._need_tokenizer("to_string")
        tokens = token_ids(tokens)
        if tokens.ndim == 2:
            return [tokenizer.decode(row.tolist(), clean_up_tokenization_spaces=False) for row in tokens]
        if tokens.ndim > 2:
            raise ValueError(
                f"to_string takes token ids [pos] or [batch pos], not shape {tuple(tokens.shape)}."
            )
        return tokenizer.decode(tokens.reshape(-1).tolist(), clean_up_tokenization_spaces=False)

    def to_str_tokens(
        self,
        input: str | list[Any] | torch.Tensor | np.ndarray,
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
    ) -> list[str] | list[list[str]]:
        """The tokens of a text, or of ids [pos], each as a separate string.

        A list of texts, or of lists of ids, gives a list of lists without padding.

        Args:
            input: a text, texts, or ids.
            prepend_bos: for text, as in `to_tokens`.
            padding_side: for text, as in `to_tokens`.

        Raises:
            TypeError: for anything that is neither text nor token ids.
            ValueError: for ids of more than one sequence, or without a tokenizer.
        """
        tokenizer = self._need_tokenizer("to_str_tokens")
        if isinstance(input, (list, tuple)) and input and isinstance(input[0], (str, list, tuple)):
            return [self.to_str_tokens(text, prepend_bos, padding_side) for text in input]  # type: ignore[misc]
        if isinstance(input, str):
            ids = self.to_tokens(input, prepend_bos, padding_side, move_to_device=False, truncate=False)[0]
        else:
            ids = token_ids(input).squeeze()
            if ids.ndim > 1:
                raise ValueError(
                    f"to_str_tokens takes a text or the ids of one sequence, not shape {tuple(ids.shape)}; "
                    "call it for each row."
                )
        return [
            tokenizer.decode([token], clean_up_tokenization_spaces=False)
            for token in ids.reshape(-1).tolist()
        ]

    def to_single_token(self, string: str) -> int:
        """The id of a string that is exactly one token (most words need a leading space).

        Raises:
            TypeError: for anything but a string.
            ValueError: for a string that is not exactly one token; lists its tokens.
        """
        if not isinstance(string, str):
            raise TypeError(f"to_single_token takes a string, not a {type(string).__name__}.")
        ids = text_ids(self._need_tokenizer("to_single_token"), string)
        if len(ids) != 1:
            pieces = [self.to_single_str_token(index) for index in ids]
            raise ValueError(f"{string!r} is not one token but {len(ids)}: {pieces}.")
        return ids[0]

    def to_single_str_token(self, int_token: int | torch.Tensor | np.integer[Any]) -> str:
        """The string of one token id, given as an int, a NumPy integer or a tensor with a single integer."""
        single = int_token.reshape(()) if getattr(int_token, "shape", None) == (1,) else int_token  # type: ignore[union-attr]
        return self._need_tokenizer("to_single_str_token").decode(
            [token_id(single)], clean_up_tokenization_spaces=False
        )

    def get_token_position(
        self,
        single_token: str | int,
        input: str | torch.Tensor | list[int],
        mode: Literal["first", "last"] = "first",
        prepend_bos: bool | None = None,
        padding_side: PaddingSide | None = None,
    ) -> int:
        """The first or last position of a token in a text or in ids; padding is skipped.

        Args:
            single_token: the token, as a string or an id.
            input: a text, or the ids of one sequence.
            mode: "first" or "last".
            prepend_bos: for text, as in `to_tokens`.
            padding_side: for text, as in `to_tokens`.

        Raises:
            ValueError: if the token does not occur.
        """
        if mode not in ("first", "last"):
            raise ValueError(f"mode must be 'first' or 'last', not {mode!r}.")
        if isinstance(input, str):
            tokens = self.to_tokens(input, prepend_bos, padding_side)
        else:
            tokens = token_ids(input)
        if tokens.ndim == 2:
            if tokens.shape[0] != 1:
                raise ValueError(f"get_token_position reads one sequence, not a batch of {tokens.shape[0]}.")
            tokens = tokens[0]
        token = (
            self.to_single_token(single_token) if isinstance(single_token, str) else token_id(single_token)
        )
        found = tokens == token
        if isinstance(tokens, Tokens):
            found = found & tokens.is_real
        positions = found.nonzero().flatten().tolist()
        if not positions:
            raise ValueError(f"the token {single_token!r} does not occur in the input.")
        return positions[0] if mode == "first" else positions[-1]

    def tokens_to_residual_directions(self, tokens: str | int | list[str] | torch.Tensor) -> torch.Tensor:
        """The column of W_U for each token: the direction of the residual stream that increases its logit.

        One token gives [d_model]; several give [... d_model] in the shape of the tokens.

        Args:
            tokens: one or several tokens, as strings or ids.

        Raises:
            TypeError: for anything that is neither strings nor token ids.
            ValueError: for an id that the model cannot predict, or no tokens.
        """
        W_U: torch.Tensor = self.W_U  # type: ignore[attr-defined]
        if isinstance(tokens, str):
            return W_U[:, self.to_single_token(tokens)].clone()  # not a view of the weights
        ids = self._ids_of(tokens).to(W_U.device)
        if ids.numel() == 0:
            raise ValueError("there are no tokens, so there are no directions.")
        check_predictable(ids, W_U.shape[1])
        directions = W_U.mT[ids] if ids.ndim else W_U.mT[ids].clone()
        return directions[0] if ids.ndim == 1 and len(ids) == 1 else directions

    def _ids_of(self, tokens: Any) -> torch.Tensor:
        """Convert tokens given as single-token strings, ids, or nested lists of either to ids."""
        if isinstance(tokens, str):
            return torch.tensor(self.to_single_token(tokens))
        if isinstance(tokens, (list, tuple)) and any(isinstance(one, (str, list, tuple)) for one in tokens):
            return token_ids([self._ids_of(one) for one in tokens])
        return token_ids(tokens)


def _ids(input: Any) -> torch.Tensor:
    """Token ids of any kind as an integer tensor; `Tokens` keep their mask."""
    if isinstance(input, Tokens):
        return input.long()
    if isinstance(input, torch.Tensor) and input.is_floating_point():
        raise ValueError(
            f"token ids are whole numbers, not {input.dtype}; to pass a residual stream, give start_at_layer."
        )
    if input is None or isinstance(input, dict):
        raise TypeError(f"a model reads text or token ids (whole numbers [batch pos]), not {shown(input)}.")
    return token_ids(input, negative=True)  # `check_tokens` refuses negative ids


def _cut(rows: list[list[int]], n_ctx: int) -> list[list[int]]:
    too_long = [len(row) for row in rows if len(row) > n_ctx]
    if too_long:
        warnings.warn(
            f"{len(too_long)} of {len(rows)} texts had more than n_ctx={n_ctx} tokens (the longest {max(too_long):,}) "
            "and were cut there. truncate=False keeps all tokens.",
            stacklevel=3,
        )
    return [row[:n_ctx] for row in rows]


def check_side(side: str) -> PaddingSide:
    """Check that a padding side is "left" or "right", and return it.

    Raises:
        ValueError: for anything else.
    """
    if side not in ("left", "right"):
        raise ValueError(f"padding_side must be 'left' or 'right', not {side!r}.")
    return side
