"""Join texts into one stream of tokens and cut it into rows of equal length, ready for training."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch.utils.data import Dataset


class TokenRows(Dataset[dict[str, torch.Tensor]]):
    """Rows of tokens [row pos]: `rows[3]["tokens"]`, `rows[:8]["tokens"]`, `rows["tokens"]`."""

    def __init__(self, tokens: torch.Tensor) -> None:
        self.tokens = tokens

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: Any) -> Any:
        if index == "tokens":
            return self.tokens
        return {"tokens": self.tokens[index]}

    def __repr__(self) -> str:
        return f"TokenRows: {len(self.tokens)} rows of {self.tokens.shape[1]} tokens"


def tokenize_and_concatenate(
    dataset: Iterable[str | Mapping[str, Any]],
    tokenizer: Any,
    streaming: bool = False,
    max_length: int = 1024,
    column_name: str = "text",
    add_bos_token: bool = True,
    num_proc: int = 10,
    set_format: bool = True,
) -> TokenRows:
    """Rows of `max_length` tokens from texts, or from records with a text column.

    Texts are joined with the end-of-sequence token between them. A remainder too short to fill a row
    is dropped.

    Args:
        dataset: texts, or mappings with `column_name` (such as a Hugging Face data set).
        tokenizer: encodes the texts.
        streaming, num_proc, set_format: accepted for old notebooks; they have no effect.
        max_length: tokens per row, including the beginning-of-sequence token.
        add_bos_token: start every row with the beginning-of-sequence token.

    Raises:
        ValueError: if there is too little text for one row, or the tokenizer lacks a required special
            token.
        KeyError: for a row without the column.
    """
    del streaming, num_proc, set_format
    end, start = tokenizer.eos_token_id, tokenizer.bos_token_id
    if end is None or (add_bos_token and start is None):
        missing = "end" if end is None else "beginning"
        raise ValueError(
            f"this tokenizer has no {missing}-of-sequence token; set one, or add_bos_token=False."
        )
    width = max_length - 1 if add_bos_token else max_length
    if width < 1:
        raise ValueError(f"max_length={max_length} leaves no room for text.")
    stream: list[int] = []
    for row in dataset:
        if not isinstance(row, str) and column_name not in row:
            raise KeyError(f"a row has no column {column_name!r}; it has {', '.join(map(str, row))}.")
        if stream:
            stream.append(end)
        stream += tokenizer.encode(
            row if isinstance(row, str) else row[column_name], add_special_tokens=False
        )
    n_rows = len(stream) // width
    if n_rows == 0:
        raise ValueError(f"{len(stream)} tokens of text do not fill one row of {width}.")
    tokens = torch.tensor(stream[: n_rows * width]).view(n_rows, width)
    if add_bos_token:
        tokens = torch.cat([torch.full((n_rows, 1), start), tokens], dim=1)
    return TokenRows(tokens)
