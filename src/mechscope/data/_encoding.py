"""A batch of encoded texts, as lists or padded tensors; each field is both a key and an attribute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import tokenizers


class Encoding(dict[str, Any]):
    """`input_ids`, `attention_mask` and `token_type_ids`; `encoding.input_ids` is `encoding["input_ids"]`."""

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"this encoding has no {name!r}; it has {', '.join(self)}.") from None

    def to(self, device: Any) -> Encoding:
        """The same encoding with its tensors on a device."""
        return Encoding({key: value.to(device) for key, value in self.items()})


def pad_and_stack(
    encodings: Sequence[tokenizers.Encoding],
    *,
    padding: bool,
    pad_id: int | None,
    length: int | None,
    side: Literal["left", "right"],
    as_tensors: Literal["pt"] | None,
    single: bool,
    offsets: bool,
) -> Encoding:
    """Pad encodings to one length (if padding is requested) and stack them.

    Raises:
        ValueError: for padding without a padding token, an unknown side, or ragged tensors.
    """
    if side not in ("left", "right"):
        raise ValueError(f"padding_side must be 'left' or 'right', not {side!r}.")
    if as_tensors not in (None, "pt"):
        raise ValueError(f"return_tensors must be 'pt' or None, not {as_tensors!r}.")
    lengths = [len(encoding.ids) for encoding in encodings]
    wanted = max([*lengths, length or 0]) if padding else None
    if padding and pad_id is None and any(found != wanted for found in lengths):
        raise ValueError(
            "these texts differ in length and this tokenizer has no padding token: "
            "set tokenizer.pad_token, or encode them one at a time."
        )
    if as_tensors and wanted is None and len(set(lengths)) > 1:
        raise ValueError(
            f"texts of {min(lengths)} to {max(lengths)} tokens cannot be stacked into a tensor: pass padding=True, "
            "or leave return_tensors out."
        )

    def filled(values: Sequence[Any], filler: Any) -> list[Any]:
        room = [filler] * ((wanted or len(values)) - len(values))
        return [*room, *values] if side == "left" else [*values, *room]

    fields: dict[str, Any] = {
        "input_ids": [filled(encoding.ids, pad_id) for encoding in encodings],
        "token_type_ids": [filled(encoding.type_ids, 0) for encoding in encodings],
        "attention_mask": [filled(encoding.attention_mask, 0) for encoding in encodings],
    }
    if as_tensors:
        import torch

        fields = {key: torch.tensor(rows, dtype=torch.long) for key, rows in fields.items()}
    if offsets:
        fields["offset_mapping"] = [filled(encoding.offsets, (0, 0)) for encoding in encodings]
    if single and not as_tensors:
        fields = {key: rows[0] for key, rows in fields.items()}
    return Encoding(fields)
