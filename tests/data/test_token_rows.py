"""Texts joined and cut into rows of tokens."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mechscope.data.token_rows import TokenRows, tokenize_and_concatenate


def letters(bos: int | None = 100, eos: int | None = 101) -> Any:
    """A tokenizer whose tokens are letters, a = 0."""
    return SimpleNamespace(
        bos_token_id=bos,
        eos_token_id=eos,
        encode=lambda text, add_special_tokens: [ord(letter) - ord("a") for letter in text],
    )


def test_rows_by_hand() -> None:
    rows = tokenize_and_concatenate(
        [{"text": "abc"}, {"text": "de"}, {"text": "fgh"}], letters(), max_length=4
    )
    assert rows["tokens"].tolist() == [[100, 0, 1, 2], [100, 101, 3, 4], [100, 101, 5, 6]]
    assert len(rows) == 3
    assert rows[1]["tokens"].tolist() == [100, 101, 3, 4]
    assert rows[:2]["tokens"].shape == (2, 4)
    assert next(iter(torch.utils.data.DataLoader(rows, batch_size=2)))["tokens"].shape == (2, 4)
    assert repr(rows) == "TokenRows: 3 rows of 4 tokens"
    assert isinstance(rows, TokenRows)


def test_plain_texts_another_column_and_no_bos() -> None:
    rows = tokenize_and_concatenate(["abcd", "ef"], letters(None), max_length=3, add_bos_token=False)
    assert rows["tokens"].tolist() == [[0, 1, 2], [3, 101, 4]]
    other = tokenize_and_concatenate([{"body": "abcd"}], letters(), max_length=5, column_name="body")
    assert other["tokens"].tolist() == [[100, 0, 1, 2, 3]]


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        ({"tokenizer": letters(None)}, ValueError, "no beginning-of-sequence"),
        ({"tokenizer": letters(eos=None)}, ValueError, "no end-of-sequence"),
        ({"max_length": 9}, ValueError, "3 tokens of text do not fill one row of 8"),
        ({"max_length": 1}, ValueError, "no room"),
        ({"column_name": "body"}, KeyError, "no column 'body'; it has text"),
    ],
)
def test_misuse_says_what_is_wrong(arguments: dict[str, Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        tokenize_and_concatenate([{"text": "abc"}], **{"tokenizer": letters(), "max_length": 3, **arguments})
