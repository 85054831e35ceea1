"""The language of the adapters' tables: shapes, parts, arithmetic, layers, zeros."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import pytest
import torch

from mechscope.checkpoints.classic_layout import classic_shapes
from mechscope.checkpoints.mapping import (
    Table,
    Take,
    axes_of,
    convert,
    layer_of,
    plus_one,
    times_sqrt_d_model,
)
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


def whole(parts: Iterable[dict[str, torch.Tensor]]) -> dict[str, torch.Tensor]:
    """All parts together, each of which is one block or what is outside of them."""
    state: dict[str, torch.Tensor] = {}
    for number, part in enumerate(parts):
        assert {layer_of(name) for name in part} == {number - 1 if number else None}
        state |= part
    return state


def converted(state: dict[str, torch.Tensor], **how: object) -> dict[str, torch.Tensor]:
    options = {"rename": lambda name: name, "ignored": lambda name: name.endswith("mask"), **how}
    return whole(convert(DictSource(state, "a test"), TABLE, CFG, **options))  # type: ignore[arg-type]


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
    message = str(caught.value)
    assert (
        "1 missing: l1.o [4, 6]; 1 unexpected: l7.q; 1 of the wrong shape: l0.q [5, 4] instead of [6, 4]"
        in message
    )


def test_layers_left_out_are_not_unexpected():
    state = weights()
    state |= {f"l2.{name}": state[f"l1.{name}"] for name in "qkvo"}
    assert converted(state, n_layers_in_file=3).keys() == classic_shapes(CFG).keys()


def test_a_tensor_that_no_table_row_fills():
    table = {name: take for name, take in TABLE.items() if name != "unembed.W_U"}
    with pytest.raises(ValueError, match=r"1 missing: unembed\.W_U"):
        next(convert(DictSource(weights(), "a test"), table, CFG, rename=str, ignored=lambda name: False))


@pytest.mark.parametrize("wanted", [None, torch.float32, torch.float64])
def test_arithmetic_is_done_in_the_wider_type(wanted: torch.dtype | None):
    """1 + 0.001 is not a bfloat16, so the sum must not be rounded before it is asked to be."""
    state = {**weights(), "norm": torch.full((4,), 1e-3, dtype=torch.bfloat16)}
    table = {"embed.W_E": TABLE["embed.W_E"], "n": Take("norm", "d_model", then=plus_one)}
    (part,) = convert(
        DictSource(state, "a test"),
        table,
        CFG,
        rename=str,
        ignored=lambda name: True,
        dtype=wanted,
        encoder=True,
    )
    ours = part["n"]
    assert ours.dtype == (wanted or torch.bfloat16)
    exact = 1 + torch.tensor(1e-3, dtype=torch.bfloat16).to(wanted or torch.float32)
    assert ours[0] == exact.to(ours.dtype)


FUSED: Table = {
    "embed.W_E": Take("e", "d_vocab d_model"),
    "unembed.W_U": Take("u", "d_vocab_out d_model -> d_model d_vocab_out"),
    **{
        f"blocks.{{i}}.attn.{ours}": Take(
            "l.{i}.qkv", "(qkv_head d_head) d_model -> qkv_head d_model d_head", part=part
        )
        for ours, part in (("W_Q", slice(0, 2)), ("_W_K", slice(2, 3)), ("_W_V", slice(3, 4)))
    },
    "blocks.{i}.attn.b_Q": Take("l.{i}.b", "(head d_head) -> head d_head"),
    "blocks.{i}.attn.W_O": Take("l.{i}.o", "(head d_head) d_model -> head d_head d_model"),
}


@pytest.mark.parametrize("own", [False, True])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_weights_are_contiguous_and_with_own_nobody_elses(own: bool, dtype: torch.dtype):
    shapes = {"e": (7, 4), "u": (7, 4)}
    for layer in range(2):
        shapes |= {f"l.{layer}.qkv": (12, 4), f"l.{layer}.b": (6,), f"l.{layer}.o": (6, 4)}
    stored = {name: torch.randn(shape) for name, shape in shapes.items()}
    cfg = dataclasses.replace(CFG, tie_word_embeddings=False)
    parts = convert(
        DictSource(stored, "here"), FUSED, cfg, rename=lambda name: name, ignored=lambda name: False,
        dtype=dtype, own=own,
    )  # fmt: skip
    state = whole(parts)
    theirs = {tensor.untyped_storage().data_ptr() for tensor in stored.values()}
    addresses = [tensor.untyped_storage().data_ptr() for tensor in state.values()]
    assert all(tensor.is_contiguous() and tensor.dtype == dtype for tensor in state.values())
    assert torch.equal(state["unembed.W_U"], stored["u"].T.to(dtype))
    heads = stored["l.1.qkv"].to(dtype).view(4, 3, 4).transpose(1, 2)
    assert torch.equal(torch.cat([state[f"blocks.1.attn.{name}"] for name in ("W_Q", "_W_K", "_W_V")]), heads)
    assert torch.equal(state["blocks.0.attn.W_O"], stored["l.0.o"].to(dtype).view(2, 3, 4))
    if own or dtype != torch.float32:
        assert len({*addresses}) == len(addresses) and not theirs & {*addresses}
    else:
        # What is stored as it is needed is not copied.
        assert state["embed.W_E"].data_ptr() == stored["e"].data_ptr()
        assert state["blocks.0.attn.W_O"].data_ptr() == stored["l.0.o"].data_ptr()


class Fresh(DictSource):
    """A source that makes every tensor anew, as a quantised file does, and remembers what was asked for."""

    fresh = True

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        super().__init__(tensors, "a test")
        self.read: list[str] = []
        self.given: dict[str, torch.Tensor] = {}

    def peek(self, name: str) -> torch.Tensor:
        self.read.append(name)
        self.given[name] = super().peek(name).clone()
        return self.given[name]

    def get(self, name: str) -> torch.Tensor:
        raise AssertionError("a fresh tensor need not be read twice")


@pytest.mark.parametrize("own", [False, True])
def test_each_part_is_read_when_it_is_asked_for_and_fresh_tensors_are_not_copied(own: bool):
    shapes = {"e": (7, 4), "u": (7, 4)}
    for layer in range(2):
        shapes |= {f"l.{layer}.qkv": (12, 4), f"l.{layer}.b": (6,), f"l.{layer}.o": (6, 4)}
    source = Fresh({name: torch.randn(shape) for name, shape in shapes.items()})
    cfg = dataclasses.replace(CFG, tie_word_embeddings=False)
    parts = convert(source, FUSED, cfg, rename=str, ignored=lambda name: False, own=own)
    state = next(parts)
    assert source.read == ["e", "u"]
    state |= next(parts)
    assert set(source.read) == {"e", "u", "l.0.qkv", "l.0.b", "l.0.o"}
    assert state["embed.W_E"] is source.given["e"]
    assert state["blocks.0.attn.W_O"].data_ptr() == source.given["l.0.o"].data_ptr()
    # Parts of a fused tensor have memory of their own: one of them must not keep all of it.
    addresses = {tensor.untyped_storage().data_ptr() for tensor in state.values()}
    assert len(addresses) == len(state)
    assert all(tensor.untyped_storage().nbytes() == tensor.nbytes for tensor in state.values())
