"""Determine which special tokens a tokenizer adds to a text, and which ids it may return."""

from __future__ import annotations

from typing import Any

ROLES = ("bos_token", "eos_token", "pad_token", "unk_token", "cls_token", "sep_token", "mask_token")

ENDS_OF_TURNS = ("<|im_end|>", "<end_of_turn>", "<|eot_id|>", "<|end|>")
"""What ends a turn of a chat in the templates of SmolLM and Qwen, Gemma, Llama 3, and Phi 3."""


def text_ids(tokenizer: Any, text: str) -> list[int]:
    """Ids of the text alone, without the begin, end and separator tokens that the tokenizer adds.

    A special token that is written in the text stays.
    """
    try:
        return list(tokenizer.encode(text, add_special_tokens=False))
    except TypeError:  # a tokenizer with a minimal interface
        row, empty = list(tokenizer.encode(text)), list(tokenizer.encode(""))
        bos, eos = (getattr(tokenizer, name, None) for name in ("bos_token_id", "eos_token_id"))
        begins = bos is not None and empty[:1] == [bos]
        ends = eos is not None and empty[int(begins) :][-1:] == [eos]
        return row[int(begins) : len(row) - int(ends)]


def ids_in_front(tokenizer: Any) -> list[int]:
    """The ids that the tokenizer adds before every text."""
    inside, whole = text_ids(tokenizer, "a"), list(tokenizer.encode("a"))
    for start in range(len(whole) - len(inside), 0, -1):
        if whole[start : start + len(inside)] == inside:
            # Without ids for the text itself, the tokens before and after it cannot be distinguished.
            return whole[:start] if inside else [one for one in whole[:1] if one == tokenizer.bos_token_id]
    return []


def begin_ids(tokenizer: Any) -> list[int]:
    """The ids before a text with `prepend_bos`; empty for a tokenizer without a begin token.

    Usually this is the begin token alone. Other tokens that the tokenizer adds before every text follow it.
    """
    bos = getattr(tokenizer, "bos_token_id", None)
    front = ids_in_front(tokenizer)
    return front if bos is None or bos in front else [bos, *front]


def with_begin(begin: list[int], ids: list[int]) -> list[int]:
    """The begin ids and then `ids`; the begin ids are not repeated if `ids` already start with them.

    >>> with_begin([1], [5, 6]), with_begin([1], [1, 5, 6])
    ([1, 5, 6], [1, 5, 6])
    """
    shared = 0
    while shared < min(len(begin), len(ids)) and begin[shared] == ids[shared]:
        shared += 1
    return [*begin, *ids[shared:]]


def end_ids(tokenizer: Any) -> list[int]:
    """The ids after which a generated text is finished: the end token, and the special token that ends a chat's turn.

    The latter is often another one: Gemma ends a text with `<eos>` but a turn with `<end_of_turn>`.

    Raises:
        AttributeError: for a tokenizer that names no end token.
    """
    turns = [index for index, text in _special_tokens(tokenizer).items() if text in ENDS_OF_TURNS]
    return list(dict.fromkeys([int(tokenizer.eos_token_id), *turns]))


def n_ids(tokenizer: Any) -> int:
    """The highest id that the tokenizer may return, plus 1; more than `len(tokenizer)` if ids have gaps."""
    return 1 + max(_vocabulary(tokenizer).values(), default=len(tokenizer) - 1)


def check_ids(tokenizer: Any, d_vocab: int) -> None:
    """Check that a model with `d_vocab` tokens has an embedding for every id that the tokenizer may return.

    Special tokens without a role in text, such as a marker for images, do not count: texts do not contain them unless
    somebody writes them out, and then the model refuses the id.

    Raises:
        ValueError: for a tokenizer with larger ids; lists the tokens that the model lacks.
    """
    beyond = _ids_beyond(tokenizer, d_vocab)
    if beyond:
        listed = sorted(beyond.items(), key=lambda item: item[1])
        shown = ", ".join(f"{token!r} ({index})" for token, index in listed[:4])
        more = f" and {len(listed) - 4} more" if len(listed) > 4 else ""
        raise ValueError(
            f"this tokenizer returns ids up to {listed[-1][1]}, but the model has d_vocab={d_vocab} tokens "
            f"(ids 0 to {d_vocab - 1}). The model lacks {shown}{more}. Use the tokenizer that belongs to the model, "
            f"or build a model with d_vocab={listed[-1][1] + 1} or more."
        )


def _ids_beyond(tokenizer: Any, d_vocab: int) -> dict[str, int]:
    beyond = {token: index for token, index in _vocabulary(tokenizer).items() if index >= d_vocab}
    if not beyond:
        return {}
    roles = {getattr(tokenizer, name, None) for name in ROLES}
    markers = {index for index, text in _special_tokens(tokenizer).items() if text not in roles}
    return {token: index for token, index in beyond.items() if index not in markers}


def _special_tokens(tokenizer: Any) -> dict[int, str]:
    """Every token that the tokenizer declares to be special, with or without a role."""
    decoder: Any = getattr(tokenizer, "added_tokens_decoder", None)
    if decoder is None and hasattr(tokenizer, "backend"):
        decoder = tokenizer.backend.get_added_tokens_decoder()
    return {index: str(token) for index, token in (decoder or {}).items() if token.special}


def _vocabulary(tokenizer: Any) -> dict[str, int]:
    return tokenizer.get_vocab() if hasattr(tokenizer, "get_vocab") else {}
