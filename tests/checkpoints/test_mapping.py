"""The language of the adapters' tables: shapes, parts, arithmetic, layers, zeros."""

from __future__ import annotations

import pytest
import torch

from mechscope.checkpoints.classic_layout import classic_shapes
from mechscope.checkpoints.mapping import Table, Take, axes_of, convert, plus_one, times_sqrt_d_model
from mechscope.checkpoints.weights_file import DictSource
from mechscope.model.config import HookedTransformerConfig

CFG = HookedTransformerConfig(
    n_layers=2, d_model=4, n_ctx=5, d_head=3, n_heads=2, n_key_value_heads=1, d_vocab=7, attn_only=True,
    normalization_type=None, positional_embedding_type="rotary", rotary_dim=2,
)  # fmt: skip
AXES = axes_of(CFG)


@pytest.mark.parametrize(
    ("pattern", "shape"),
    [
        ("d_vocab d_model", (7, 4)),
        ("(head d_head) d_model -> head d_model d_head", (6, 4)),
        ("d_model (qkv head d_head) -> qkv head d_model d_head", (4, 18)),
        ("(qkv_head d_head) d_model -> qkv_head d_model d_head", (12, 4)),
        ("(kv_head d_head)", (3,)),
    ],
)
def test_the_left_side_is_the_shape_in_the_file(pattern: str, shape: tuple[int, ...]):
    assert Take("w", pattern).expected_shape(AXES) == shape


def test_parts_are_views():
    fused = torch.arange(4 * 18.0).view(4, 18)
    take = Take("w", "d_model (qkv head d_head) -> qkv head d_model d_head", part=1)
    part = take.apply(fused, AXES)
    assert part.shape == (2, 4, 3)
    assert part.untyped_storage().data_ptr() == fused.untyped_storage().data_ptr()
    for head in range(2):
        assert torch.equal(part[head], fused[:, 6 + 3 * head : 9 + 3 * head])
    rows = Take(
        "w", "(qkv_head d_head) d_model -> qkv_head d_model d_head", part=lambda axes: slice(axes["head"], 3)
    )
    assert torch.equal(
        rows.apply(torch.arange(48.0).view(12, 4), AXES)[0], torch.arange(48.0).view(12, 4)[6:9].T
    )


TABLE: Table = {
    "embed.W_E": Take("emb", "d_vocab d_model", then=times_sqrt_d_model),
    "blocks.{i}.attn.W_Q": Take("l{i}.q", "(head d_head) d_model -> head d_model d_head"),
    "blocks.{i}.attn.W_K": Take("l{i}.k", "(kv_head d_head) d_model -> kv_head d_model d_head"),
    "blocks.{i}.attn.W_V": Take("l{i}.v", "(kv_head d_head) d_model -> kv_head d_model d_head"),
    "blocks.{i}.attn.W_O": Take("l{i}.o", "d_model (head d_head) -> head d_head d_model"),
    "unembed.W_U": Take("emb", "d_vocab d_model -> d_model d_vocab"),
}


def weights() -> dict[str, torch.Tensor]:
    state = {"emb": torch.randn(7, 4)}
    for layer in range(2):
        state |= {f"l{layer}.q": torch.randn(6, 4), f"l{layer}.k": torch.randn(3, 4),
                  f"l{layer}.v": torch.randn(3, 4), f"l{layer}.o": torch.randn(4, 6)}  # fmt: skip
    return state


def converted(state: dict[str, torch.Tensor], **how: object) -> dict[str, torch.Tensor]:
    options = {"rename": lambda name: name, "ignored": lambda name: name.endswith("mask"), **how}
    return convert(DictSource(state, "a test"), TABLE, CFG, **options)  # type: ignore[arg-type]


def test_a_whole_table():
    state = weights()
    ours = converted({**state, "l0.mask": torch.ones(1)})
    assert {name: tuple(tensor.shape) for name, tensor in ours.items()} == classic_shapes(CFG)
    assert torch.equal(ours["embed.W_E"], state["emb"] * 2)
    assert torch.equal(ours["unembed.W_U"], state["emb"].T)
    assert torch.equal(ours["blocks.1.attn._W_K"][0], state["l1.k"].T)
    assert not ours["blocks.0.attn._b_K"].any()
    x, z = torch.randn(4), torch.randn(2, 3)
    torch.testing.assert_close(
        torch.einsum("d,hde->he", x, ours["blocks.0.attn.W_Q"]).flatten(), state["l0.q"] @ x
    )
    torch.testing.assert_close(
        torch.einsum("he,hed->d", z, ours["blocks.0.attn.W_O"]), state["l0.o"] @ z.flatten()
    )


def test_renaming_and_passing_over():
    renamed = {f"model.{name}": tensor for name, tensor in weights().items()} | {"vision.w": torch.ones(1)}
    ours = converted(
        renamed, rename=lambda name: None if name.startswith("vision.") else name.removeprefix("model.")
    )
    assert ours.keys() == classic_shapes(CFG).keys()


def test_everything_wrong_at_once():
    state = weights()
    del state["l1.o"]
    state |= {"l0.q": torch.ones(5, 4), "l7.q": torch.ones(6, 4)}
    with pytest.raises(ValueError, match="a test do not fit") as caught:
        converted(state)
    assert "1 missing: l1.o; 1 unexpected: l7.q; 1 of the wrong shape: l0.q [5, 4] instead of [6, 4]" in str(
        caught.value
    )


def test_layers_left_out_are_not_unexpected():
    state = weights()
    state |= {f"l2.{name}": state[f"l1.{name}"] for name in "qkvo"}
    assert converted(state, n_layers_in_file=3).keys() == classic_shapes(CFG).keys()


def test_a_tensor_that_no_table_row_fills():
    table = {name: take for name, take in TABLE.items() if name != "unembed.W_U"}
    with pytest.raises(ValueError, match=r"1 missing: unembed\.W_U"):
        convert(DictSource(weights(), "a test"), table, CFG, rename=str, ignored=lambda name: False)


@pytest.mark.parametrize("wanted", [None, torch.float32, torch.float64])
def test_arithmetic_is_done_in_the_wider_type(wanted: torch.dtype | None):
    """1 + 0.001 is not a bfloat16, so the sum must not be rounded before it is asked to be."""
    state = {**weights(), "norm": torch.full((4,), 1e-3, dtype=torch.bfloat16)}
    table = {"embed.W_E": TABLE["embed.W_E"], "n": Take("norm", "d_model", then=plus_one)}
    ours = convert(
        DictSource(state, "a test"),
        table,
        CFG,
        rename=str,
        ignored=lambda name: True,
        dtype=wanted,
        encoder=True,
    )["n"]
    assert ours.dtype == (wanted or torch.bfloat16)
    exact = 1 + torch.tensor(1e-3, dtype=torch.bfloat16).to(wanted or torch.float32)
    assert ours[0] == exact.to(ours.dtype)
