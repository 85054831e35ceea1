"""The one check of tensors: every kind of mismatch, all of them in one error."""

from __future__ import annotations

import pytest
import torch

from mechscope.model.state_dict_check import (
    ExpectedTensor,
    check_state_dict,
    check_weights,
    expected_like,
    listed,
    refuse_weights,
    shapes_of,
    weight_problem,
)


def test_every_mismatch_is_in_one_error() -> None:
    expected = {
        "W_enc": (4, 6),
        "W_dec": (6, 4),
        "b_enc": ExpectedTensor(((6,),), dtype=torch.float64),
        "b_dec": (4,),
        "scale": ExpectedTensor(((), (4,)), optional=True),
        "k": ExpectedTensor(integers=True),
    }
    found = {
        "W_Enc": torch.zeros(4, 6),
        "W_dec": torch.zeros(4, 6),
        "b_enc": torch.zeros(6),
        "b_dec": torch.tensor([0.0, torch.nan, torch.inf, 1.0]),
        "scale": torch.ones(3),
        "k": torch.tensor(3),
    }
    with pytest.raises(ValueError) as caught:
        check_state_dict(found, expected, what="the tensors of a file", owner="a dictionary")
    assert str(caught.value) == (
        "the tensors of a file do not fit a dictionary: 1 missing: W_enc [4, 6]; 1 unexpected: W_Enc (did you mean "
        "W_enc?); 2 of the wrong shape: W_dec [4, 6] instead of [6, 4], scale [3] instead of []; b_enc is float32 "
        "instead of float64: convert it, or set dtype; b_dec has 2 of 4 values that are not finite."
    )


def test_what_fits_passes() -> None:
    own = {"W": torch.zeros(2, 3), "count": torch.tensor(1), "b": torch.zeros(3)}
    check_state_dict(own, expected_like(own, same_dtype=True))
    check_state_dict({**own, "W": own["W"].half()}, expected_like(own))
    check_state_dict(shapes_of(own), shapes_of(own))
    check_state_dict({"a": torch.ones(7)}, {"a": ExpectedTensor(), "b": ExpectedTensor(optional=True)})


def test_shapes_alone_are_not_read_for_values() -> None:
    check_state_dict({"W": (2, 3)}, {"W": (2, 3)})
    with pytest.raises(ValueError, match=r"W \[2, 3\] instead of \[3, 2\]"):
        check_state_dict({"W": (2, 3)}, {"W": (3, 2)})


def test_values_alone() -> None:
    own = {"W": torch.zeros(2)}
    check_state_dict({"V": torch.zeros(3)}, expected_like(own), names_and_shapes=False)
    check_state_dict({"W": torch.full((2,), torch.nan)}, expected_like(own), finite=False)
    with pytest.raises(
        ValueError, match="these weights cannot be used: W has 2 of 2 values that are not finite"
    ):
        check_state_dict({"W": torch.full((2,), torch.nan)}, expected_like(own), names_and_shapes=False)


@pytest.mark.parametrize("dtype", [torch.int64, torch.bool, torch.complex64])
@pytest.mark.parametrize("finite", [True, False])
def test_types_that_are_no_weights(dtype: torch.dtype, finite: bool) -> None:
    with pytest.raises(ValueError, match=f"W is {str(dtype)[6:]}, but weights must be floating point"):
        check_state_dict({"W": torch.ones(2, dtype=dtype)}, {"W": (2,)}, finite=finite)


def test_a_hint_names_only_what_is_missing() -> None:
    expected = {"blocks.0.mlp.W_in": (2,), "blocks.0.mlp.W_out": (2,)}
    found = {"blocks.0.mlp.W_in": (2,), "blocks.0.mlp.W_inn": (2,)}
    with pytest.raises(
        ValueError, match=r"unexpected: blocks\.0\.mlp\.W_inn \(did you mean blocks\.0\.mlp\.W_out\?\)"
    ):
        check_state_dict(found, expected)
    with pytest.raises(ValueError, match=r"1 unexpected: blocks\.0\.mlp\.W_inn\.$"):
        check_state_dict({**found, "blocks.0.mlp.W_out": (2,)}, expected)


def test_long_lists_are_cut_and_counted() -> None:
    with pytest.raises(ValueError) as caught:
        check_state_dict({}, {f"w{i:02d}": (1,) for i in range(30)})
    assert "30 missing: w00 [1], " in str(caught.value)
    assert str(caught.value).endswith("w11 [1] and 18 more.")
    with pytest.raises(ValueError, match="20 unexpected: w0, .*w11 and 8 more"):
        check_state_dict({f"w{i}": (1,) for i in range(20)}, {})
    assert listed(["a", "b"]) == "a, b"


@pytest.mark.parametrize(
    ("tensor", "said"),
    [
        (torch.ones(2).to_sparse(), "sparse or quantized"),
        (torch.ones(2, device="meta"), '"meta" device'),
        (torch.tensor([1.0, torch.inf]).to(torch.float8_e5m2), "1 of 2 values"),
        (torch.tensor([1, 2]), "is int64"),
    ],
)
def test_what_cannot_be_a_weight(tensor: torch.Tensor, said: str) -> None:
    assert said in (weight_problem(tensor) or "")


@pytest.mark.parametrize("tensor", [torch.ones(2), torch.ones(0), torch.ones((), dtype=torch.bfloat16)])
def test_what_can_be_a_weight(tensor: torch.Tensor) -> None:
    assert weight_problem(tensor) is None


def test_unusable_weights_are_listed_with_advice() -> None:
    refuse_weights([], "a file")
    check_weights([("W", torch.ones(2))], "a file")
    with pytest.raises(ValueError, match=r"^a file: W is int64, but .*; b has 1 of 1 .*\. Train it again\.$"):
        check_weights(
            [("W", torch.tensor([1])), ("b", torch.tensor([torch.nan]))], "a file", advice="Train it again."
        )
