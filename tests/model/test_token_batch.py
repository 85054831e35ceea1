"""Tokens know which of them are padding, through everything that only rearranges them."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from einops import rearrange, repeat
from torch.utils.data import DataLoader

from mechscope.model.padding import last_real, real_positions
from mechscope.model.token_batch import Tokens, plain_ids
from tests.model.tiny import tiny_model

IDS = torch.tensor([[0, 0, 5, 6, 7], [1, 2, 3, 0, 0], [4, 0, 0, 8, 9], [1, 2, 3, 4, 5]])
MASK = torch.tensor([[0, 0, 1, 1, 1], [1, 1, 1, 0, 0], [1, 0, 0, 1, 1], [1, 1, 1, 1, 1]]).bool()


def saved_and_loaded(tokens: torch.Tensor) -> torch.Tensor:
    file = io.BytesIO()
    torch.save(tokens, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


KEPT: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "a row": lambda t: t[0],
    "a slice": lambda t: t[1:3, 1:],
    "chosen rows": lambda t: t[torch.tensor([2, 0])],
    "rows by a boolean": lambda t: t[torch.tensor([True, False, True, False])],
    "by a list": lambda t: t[[3, 1]],
    "cat": lambda t: torch.cat([t, t.flip(0)], dim=1),
    "stack": lambda t: torch.stack([t, t]),
    "repeat": lambda t: t.repeat(2, 1),
    "expand": lambda t: t[None].expand(2, -1, -1),
    "repeat_interleave": lambda t: t.repeat_interleave(2, dim=0),
    "reshape": lambda t: t.reshape(2, 2, 5).flatten(0, 1),
    "transpose": lambda t: t.T,
    "roll": lambda t: t.roll(1, 0),
    "to": lambda t: t.to("cpu", torch.int32),
    "long": lambda t: t.int().long(),
    "clone": lambda t: t.clone().contiguous().detach(),
    "split": lambda t: t.split(2)[0],
    "chunk": lambda t: t.chunk(2, dim=1)[1],
    "unbind": lambda t: t.unbind(0)[1],
    "iteration": lambda t: list(t)[2],
    "rearrange": lambda t: rearrange(t, "batch pos -> pos batch"),
    "einops repeat": lambda t: repeat(t, "batch pos -> (k batch) pos", k=3),
    "a data loader": lambda t: next(iter(DataLoader(t, batch_size=3))),  # type: ignore[arg-type]
    "stack into memory of one's own": lambda t: torch.stack(list(t), out=plain_ids(torch.empty_like(t))),
    "other names of transpose": lambda t: t.swapaxes(0, 1).swapdims(0, 1).moveaxis(0, 1).mT.H,
    "parts": lambda t: torch.cat([t.tensor_split(2)[1], t.vsplit(2)[0]]),
    "columns": lambda t: torch.column_stack([t, t.hsplit(5)[3]]),
    "turned": lambda t: torch.rot90(t.fliplr().flipud()),
    "gather": lambda t: t.gather(1, torch.tensor([[4, 0]]).repeat(4, 1)),
    "take_along_dim": lambda t: torch.take_along_dim(t, torch.tensor([[2, 3]]), dim=1),
    "windows": lambda t: t.unfold(1, 3, 1),
    "broadcast_to": lambda t: torch.broadcast_to(t, (2, 4, 5)),
    "by keyword": lambda t: torch.cat(tensors=[t, torch.flip(input=t, dims=[0])], dim=-1),
    "another type": lambda t: t.short().type(torch.int32).type_as(torch.tensor(1)),
    "in place": lambda t: t.clone().t_().unsqueeze_(0).squeeze_(0),
    "data": lambda t: t.data,
    "a saved file": lambda t: saved_and_loaded(t),
}


@pytest.mark.parametrize("name", KEPT)
def test_the_mask_goes_where_the_tokens_go(name: str) -> None:
    kept = KEPT[name](Tokens(IDS, MASK))
    assert isinstance(kept, Tokens)
    assert torch.equal(kept.ids.long(), KEPT[name](IDS).long())
    assert torch.equal(kept.is_real, KEPT[name](MASK.to(torch.uint8)).bool())


REPLACED: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "where": lambda t: torch.where(IDS == 5, 9, t),
    "where, by keyword": lambda t: torch.where(condition=IDS == 5, input=torch.tensor(9), other=t),
    "where, as a method": lambda t: t.where(IDS != 5, torch.full_like(IDS, 9)),
    "masked_fill": lambda t: t.masked_fill(IDS == 5, 9),
    "index_fill": lambda t: t.index_fill(1, torch.tensor([2]), 9),
    "scatter": lambda t: t.scatter(1, torch.tensor([[0], [1], [2], [3]]), 9),
}


@pytest.mark.parametrize("name", REPLACED)
def test_replaced_tokens_stay_real_or_padding(name: str) -> None:
    found = REPLACED[name](Tokens(IDS, MASK))
    assert isinstance(found, Tokens)
    assert torch.equal(found.ids, REPLACED[name](IDS))
    assert torch.equal(found.is_real, MASK)


def test_tokens_chosen_or_written_bring_their_mask() -> None:
    tokens, other = Tokens(IDS, MASK), Tokens(IDS.flip(0), MASK.flip(0))
    first_rows = torch.tensor([[True], [True], [False], [False]])
    chosen = torch.where(first_rows, tokens, other)
    expected = torch.where(first_rows, MASK, MASK.flip(0))
    assert isinstance(chosen, Tokens)
    assert torch.equal(chosen.is_real, expected)
    written = other.clone()
    written[:2] = tokens[:2]
    assert torch.equal(written, chosen)
    assert torch.equal(written.is_real, expected)
    all_real = Tokens(torch.arange(20).reshape(4, 5))
    all_real[1:3] = tokens[1:3]
    assert all_real.lengths.tolist() == [5, 3, 3, 5]
    all_real[1:3] = Tokens(torch.ones(2, 5, dtype=torch.long))
    assert all_real.attention_mask is None
    assert torch.equal(Tokens(IDS.clone()).copy_(tokens).is_real, MASK)
    assert torch.equal(tokens.is_real, MASK)


@pytest.mark.parametrize("side", ["left", "right"])
def test_rows_of_different_lengths_are_padded(side: str) -> None:
    rows = [Tokens(torch.tensor([7, 7])), Tokens([1, 2, 3, 4], [0, 1, 1, 1])]
    together = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=7, padding_side=side)  # type: ignore[arg-type]
    expected = [[0, 0, 1, 1] if side == "left" else [1, 1, 0, 0], [0, 1, 1, 1]]
    assert isinstance(together, Tokens)
    assert together.is_real.int().tolist() == expected
    assert together.ids[0].tolist() == [7, 7, 7, 7]


def test_padding_with_unknown_meaning_is_refused() -> None:
    with pytest.raises(ValueError, match=r"does not know whether the new tokens are real: use torch\.cat"):
        torch.nn.functional.pad(Tokens(IDS, MASK), (1, 0), value=9)
    assert torch.nn.functional.pad(Tokens(IDS), (1, 0), value=9).shape == (4, 6)


def test_worker_processes_of_a_data_loader_keep_the_mask() -> None:
    loader = DataLoader(Tokens(IDS, MASK), batch_size=2, num_workers=1)  # type: ignore[arg-type]
    rows = torch.cat(list(loader))
    assert isinstance(rows, Tokens)
    assert torch.equal(rows.ids, IDS)
    assert torch.equal(rows.is_real, MASK)


@pytest.mark.parametrize(
    ("mask", "error", "said"),
    [
        ("1111", TypeError, "attention_mask is 1"),
        ({"mask": 1}, TypeError, "attention_mask is 1"),
        ([[1, 1], [1]], ValueError, "rows of different lengths"),
        (MASK[:, 1:], ValueError, "must be the same"),
        (MASK * 2, ValueError, r"only 1 \(real token\) and 0"),
    ],
)
def test_a_mask_that_is_none(mask: Any, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        Tokens(IDS, mask)
    with pytest.raises(error, match=said):
        tiny_model()(IDS, attention_mask=mask)


@pytest.mark.parametrize(
    "use",
    [
        lambda t: t + 1,
        lambda t: t == 0,
        lambda t: t.float(),
        lambda t: t.max(),
        lambda t: t[0, 0],
        lambda t: torch.zeros(10, 3)[t],
        lambda t: torch.nn.functional.one_hot(t, 10),
        lambda t: torch.arange(10)[t],
        lambda t: torch.arange(10).expand(4, -1).gather(1, t),
        lambda t: torch.where(t == 0, 1.0, t),
        lambda t: t.type(),
    ],
)
def test_everything_else_is_a_plain_tensor(use: Callable[[torch.Tensor], torch.Tensor]) -> None:
    found = use(Tokens(IDS, MASK))
    assert not isinstance(found, Tokens)
    assert type(found) is type(use(IDS))
    assert torch.equal(found, use(IDS)) if isinstance(found, torch.Tensor) else found == use(IDS)


def test_plain_tokens_that_are_joined_are_real() -> None:
    bos = torch.full((4, 1), 9)
    assert torch.cat([bos, Tokens(IDS, MASK)], 1).attention_mask[:, 0].all()  # type: ignore[attr-defined]
    assert isinstance(torch.cat([Tokens(IDS), bos], 1), Tokens)


def test_ids_are_shared_and_edited_in_place() -> None:
    ids = IDS.clone()
    tokens = Tokens(ids, MASK)
    tokens[:, 0] = 9
    assert ids[:, 0].tolist() == [9] * 4
    assert isinstance(tokens.add_(1), Tokens)
    assert torch.equal(tokens.is_real, MASK)


def test_copies_and_pickles_keep_the_mask() -> None:
    tokens = Tokens(IDS, MASK)
    for made in (
        copy.deepcopy(tokens),
        copy.copy(tokens),
        pickle.loads(pickle.dumps(tokens)),
        Tokens(tokens),
    ):
        assert torch.equal(made, tokens)
        assert torch.equal(made.is_real, MASK)
    other = copy.deepcopy(tokens)
    other.zero_()
    assert torch.equal(tokens, IDS)


def test_where_all_are_real_there_is_no_mask() -> None:
    assert Tokens(IDS).attention_mask is None
    assert Tokens(IDS, torch.ones_like(IDS)).attention_mask is None
    assert Tokens(IDS, MASK)[3:].attention_mask is None
    assert Tokens(IDS, MASK)[:, :0].shape == (4, 0)
    assert Tokens(IDS, MASK).lengths.tolist() == [3, 3, 3, 5]
    assert "real tokens in each row: [3, 3, 3, 5]" in repr(Tokens(IDS, MASK))
    assert repr(Tokens(IDS)) == repr(IDS)


def test_positions_count_real_tokens() -> None:
    assert real_positions(MASK).tolist() == [
        [0, 0, 0, 1, 2],
        [0, 1, 2, 2, 2],
        [0, 0, 0, 1, 2],
        [0, 1, 2, 3, 4],
    ]
    assert last_real(MASK).tolist() == [4, 2, 4, 4]


def test_misuse_says_what_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"\(2, 5\), but the tokens have shape \(4, 5\)"):
        Tokens(IDS, MASK[:2])
    with pytest.raises(ValueError, match="must contain only 1"):
        Tokens(IDS, IDS)
    with pytest.raises(TypeError, match="whole numbers"):
        Tokens(IDS.float())
    with pytest.raises(TypeError, match="whole numbers"):
        Tokens(MASK)
