"""Special tokens as attributes: `tokenizer.bos_token` is a spelling, `tokenizer.bos_token_id` its id."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mechscope.data.tokenizer import Tokenizer

SPECIAL_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")


class SpecialToken:
    """The spelling of a special token, or None; it can only be set to a token of the vocabulary."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, tokenizer: Tokenizer, owner: type) -> str | None:
        return tokenizer.special_tokens_map.get(self.name)

    def __set__(self, tokenizer: Tokenizer, token: str | None) -> None:
        if token is None:
            tokenizer.special_tokens_map.pop(self.name, None)
            return
        if tokenizer.backend.token_to_id(token) is None:
            raise ValueError(
                f"{self.name}={token!r} is not one of this tokenizer's {len(tokenizer):,} tokens, "
                "so no row of the model's embedding corresponds to it."
            )
        # The token keeps its id and is never split from now on.
        tokenizer.backend.add_special_tokens([token])  # pyright: ignore[reportUnknownMemberType]
        tokenizer.special_tokens_map[self.name] = token


class SpecialTokenId:
    """The id of a `SpecialToken`."""

    def __set_name__(self, owner: type, name: str) -> None:
        self.token = name.removesuffix("_id")

    def __get__(self, tokenizer: Tokenizer, owner: type) -> int | None:
        token = tokenizer.special_tokens_map.get(self.token)
        return None if token is None else tokenizer.backend.token_to_id(token)

    def __set__(self, tokenizer: Tokenizer, index: int | None) -> None:
        token = None if index is None else tokenizer.backend.id_to_token(index)
        if index is not None and token is None:
            raise ValueError(f"{self.token}_id={index} is past this tokenizer's {len(tokenizer):,} tokens.")
        setattr(tokenizer, self.token, token)
