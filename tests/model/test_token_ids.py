"""Token ids of every kind are read alike, and what is no whole number is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from mechscope.model.token_ids import token_id, token_ids
from mechscope.model.transformer import HookedTransformer
from tests.model.letters import Letters
from tests.model.tiny import tiny_model

ONE: dict[str, Any] = {
    "int": 3,
    "numpy int64": np.int64(3),
    "numpy uint8": np.uint8(3),
    "0-d tensor": torch.tensor(3),
    "0-d int32 tensor": torch.tensor(3, dtype=torch.int32),
    "0-d array": np.array(3, dtype=np.uint16),
}
ROW: dict[str, Any] = {
    "list": [1, 2, 3],
    "tuple": (1, 2, 3),
    "range": range(1, 4),
    "tensor": torch.tensor([1, 2, 3]),
    "uint8 tensor": torch.tensor([1, 2, 3], dtype=torch.uint8),
    "int32 tensor": torch.tensor([1, 2, 3], dtype=torch.int32),
    "array": np.array([1, 2, 3]),
    "uint16 array": np.array([1, 2, 3], dtype=np.uint16),
    "uint64 array": np.array([1, 2, 3], dtype=np.uint64),
    "list of numpy ints": [np.int32(1), np.int64(2), np.uint8(3)],
    "list of tensors": [torch.tensor(1), torch.tensor(2), torch.tensor(3)],
    "object array": np.array([1, 2, 3], dtype=object),
}
REFUSED: dict[str, Any] = {
    "bool": True,
    "bools": [True, False],
    "bool tensor": torch.tensor([True]),
    "bool array": np.array([True]),
    "numpy bool": np.bool_(True),
    "float": 1.5,
    "floats": [1.0, 2.0],
    "float tensor": torch.tensor([1.0]),
    "float array": np.array([1.5]),
    "bytes": b"a",
    "None": None,
    "mixed": [1, 2.5],
}


def reader() -> HookedTransformer:
    model = tiny_model()
    model.set_tokenizer(Letters())
    return model


@pytest.mark.parametrize("kind", ONE)
def test_one_id(kind: str) -> None:
    given, model = ONE[kind], reader()
    assert token_id(given) == 3 and type(token_id(given)) is int
    assert token_ids(given).shape == () and token_ids(given).dtype == torch.int64
    assert model.to_string(given) == "c"
    assert model.to_str_tokens(given) == ["c"]
    assert model.to_single_str_token(given) == "c"
    assert model.get_token_position(given, "abc") == 3
    assert torch.equal(model.tokens_to_residual_directions(given), model.W_U[:, 3])


@pytest.mark.parametrize("kind", ROW)
def test_rows_and_batches(kind: str) -> None:
    given, model = ROW[kind], reader()
    assert torch.equal(token_ids(given), torch.tensor([1, 2, 3]))
    assert model.to_string(given) == "abc"
    assert model.to_string([given, given]) == ["abc", "abc"]
    assert model.to_str_tokens(given) == ["a", "b", "c"]
    assert torch.equal(model.tokens_to_residual_directions(given), model.W_U[:, 1:4].T)
    assert torch.equal(
        model.tokens_to_residual_directions([given, given]), model.W_U.T[torch.tensor([[1, 2, 3]] * 2)]
    )
    _, cache = model.run_with_cache(torch.tensor([[1, 2, 3]] * 3))
    stack = cache.stack_head_results(layer=1, pos_slice=-1)
    expected = cache.logit_attrs(stack, torch.tensor([1, 2, 3]), pos_slice=-1)
    assert torch.equal(cache.logit_attrs(stack, given, pos_slice=-1), expected)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_whole_number(kind: str) -> None:
    given, model = REFUSED[kind], reader()
    with pytest.raises(TypeError, match="whole number"):
        token_ids(given)
    for method in (model.to_string, model.to_str_tokens, model.to_single_str_token):
        with pytest.raises(TypeError, match="whole number"):
            method(given)
    with pytest.raises(TypeError, match="whole number"):
        model.tokens_to_residual_directions(given)


@pytest.mark.parametrize("given", [{3, 1}, frozenset([1]), {1: 2}, {1: 2}.keys()], ids=str)
def test_ids_without_an_order_are_refused(given: Any) -> None:
    model = reader()
    for read in (token_ids, model.to_string, model, lambda ids: model.generate(ids, verbose=False)):
        with pytest.raises(TypeError, match=r"need an order|a model reads|is a string, a list"):
            read(given)


def test_clear_errors() -> None:
    model = reader()
    with pytest.raises(ValueError, match=r"\[batch pos\] or \[pos\], not \(\)"):
        model.generate(torch.tensor(3), verbose=False)
    with pytest.raises(TypeError, match=r"a string, a list of values or a tensor, not 3"):
        model.generate(3, verbose=False)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="rows of different shapes"):
        model.to_string([[1, 2], [3]])
    with pytest.raises(ValueError, match="cannot be negative"):
        model.to_single_str_token(-1)
    with pytest.raises(ValueError, match="predicts ids 0 to 29"):
        model.tokens_to_residual_directions(30)
    with pytest.raises(TypeError, match="takes a string, not a int"):
        model.to_single_token(3)  # type: ignore[arg-type]
    assert model.to_str_tokens([[1, 2], [3]]) == [["a", "b"], ["c"]]
    assert token_ids([]).shape == (0,)
    assert torch.equal(token_ids([-1, 2], negative=True), torch.tensor([-1, 2]))
    nested = model.tokens_to_residual_directions([["a", "b"], ["c", "d"]])
    assert torch.equal(nested, model.W_U.T[torch.tensor([[1, 2], [3, 4]])])
