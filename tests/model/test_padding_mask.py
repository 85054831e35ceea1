"""Which tokens of a padded batch are real, and what their positions are."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from mechscope.model.padding import get_attention_mask, get_offset_position_ids

ROWS = torch.tensor([[0, 0, 0, 5, 6], [0, 5, 0, 6, 7], [5, 6, 7, 0, 0], [0, 5, 6, 0, 0], [0, 0, 0, 0, 0]])


def tokenizer(bos: int = 0, side: str = "right", pad: int | None = 0) -> SimpleNamespace:
    return SimpleNamespace(pad_token_id=pad, bos_token_id=bos, eos_token_id=0, padding_side=side)


@pytest.mark.parametrize(
    ("side", "bos", "prepend", "expected"),
    [
        ("left", 0, True, ["00111", "11111", "11111", "11111", "00001"]),
        ("left", 0, False, ["00011", "01111", "11111", "01111", "00000"]),
        ("left", 9, True, ["00011", "01111", "11111", "01111", "00000"]),
        ("right", 0, True, ["11111", "11111", "11100", "11100", "10000"]),
        ("right", 0, False, ["11111", "11111", "11100", "11100", "00000"]),
        ("right", 9, True, ["11111", "11111", "11100", "11100", "00000"]),
    ],
)
def test_by_hand(side: str, bos: int, prepend: bool, expected: list[str]) -> None:
    mask = get_attention_mask(tokenizer(bos, side), ROWS, prepend)
    assert ["".join(map(str, row)) for row in mask.tolist()] == expected
    assert mask.dtype == torch.int64
    other = "left" if side == "right" else "right"
    assert torch.equal(mask, get_attention_mask(tokenizer(bos, other), ROWS, prepend, padding_side=side))
    for row, of_row in zip(ROWS, mask, strict=True):
        assert torch.equal(get_attention_mask(tokenizer(bos, side), row, prepend), of_row)


@given(
    st.lists(st.lists(st.integers(1, 5), min_size=1, max_size=5), min_size=1, max_size=4),
    st.sampled_from(["left", "right"]),
    st.booleans(),
    st.booleans(),
)
def test_what_was_padded_is_what_is_masked(
    texts: list[list[int]], side: str, bos_is_pad: bool, prepend: bool
) -> None:
    bos = 0 if bos_is_pad else 9
    rows = [[bos, *text] if prepend else text for text in texts]
    longest = max(map(len, rows))
    padded, expected = [], []
    for row in rows:
        room = longest - len(row)
        padded.append([0] * room + row if side == "left" else row + [0] * room)
        expected.append([0] * room + [1] * len(row) if side == "left" else [1] * len(row) + [0] * room)
    assert get_attention_mask(tokenizer(bos, side), torch.tensor(padded), prepend).tolist() == expected


def test_misuse_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match="no padding token"):
        get_attention_mask(tokenizer(pad=None), ROWS, True)
    with pytest.raises(ValueError, match="no tokenizer"):
        get_attention_mask(None, ROWS, True)
    with pytest.raises(ValueError, match="'left' or 'right'"):
        get_attention_mask(tokenizer(side="both"), ROWS, True)
    with pytest.raises(ValueError, match=r"\(1, 5, 5\)"):
        get_attention_mask(tokenizer(), ROWS[None], True)


@pytest.mark.peer
def test_agrees_with_the_peer_where_a_row_holds_text() -> None:
    theirs = pytest.importorskip("transformer_lens.utils").get_attention_mask
    for side in ("left", "right"):
        for bos in (0, 9):
            for prepend in (False, True):
                names = tokenizer(bos, side)
                found = get_attention_mask(names, ROWS[:-1], prepend)
                assert torch.equal(found, theirs(names, ROWS[:-1], prepend)), (side, bos, prepend)


def test_positions_after_cached_ones() -> None:
    mask = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 1, 1]])
    assert get_offset_position_ids(1, mask).tolist() == [[0, 0, 1, 2], [1, 2, 3, 4]]
