"""Tokens as text for the microscope: one that is only a part of a character is shown by its bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mechscope.model.token_texts import token_texts


def _byte_letters() -> dict[str, int]:
    """Byte-level vocabularies write a printable byte as itself, and the others as letters from U+0100 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + at): byte for at, byte in enumerate(others)}


LETTERS = _byte_letters()


def token_labels(model: Any, tokens: Sequence[int]) -> list[str]:
    """Each token as text, or as bytes.

    >>> import mechscope as ms
    >>> model = ms.load_model("mini-gelu-1l")
    >>> token_labels(model, model.to_tokens("é cat", prepend_bos=False)[0].tolist())
    ['<0xC3>', '<0xA9>', ' c', 'at']
    """
    return [
        _bytes_of(model, token) or text
        for token, text in zip(tokens, token_texts(model, tokens), strict=True)
    ]


def is_partial(model: Any, token: int) -> bool:
    """Whether a token is only a part of a character."""
    return _bytes_of(model, token) != ""


def _bytes_of(model: Any, token: int) -> str:
    """The bytes of a token that is no text by itself, in words; empty for any other."""
    if model.tokenizer is None or "\ufffd" not in token_texts(model, [token])[0]:
        return ""
    spelling = model.tokenizer.convert_ids_to_tokens(token)
    if not all(letter in LETTERS for letter in spelling):
        return ""
    raw = bytes(LETTERS[letter] for letter in spelling)
    try:
        raw.decode()
    except UnicodeDecodeError:
        return "".join(chr(byte) if byte < 128 else f"<0x{byte:02X}>" for byte in raw)
    return ""
