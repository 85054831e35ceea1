"""Writing to a weight reaches the model, or is an error that says where to write."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mechscope.model.transformer import HookedTransformer
from tests.model.tiny import tiny_model

STACKS = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O", "W_in", "W_out", "b_in", "b_out", "W_E_pos")


def data_minus(x: torch.Tensor) -> None:
    x.data -= 1


def set_data(x: torch.Tensor) -> None:
    x.data = torch.zeros_like(x)


def set_item(x: torch.Tensor) -> None:
    x[0] = 0


def set_item_of_view(x: torch.Tensor) -> None:
    x[:2][1] = 0


def multiply(x: torch.Tensor) -> None:
    x *= 2


WRITES: dict[str, Callable[[torch.Tensor], object]] = {
    "item": set_item,
    "item of a view": set_item_of_view,
    "*=": multiply,
    ".data -=": data_minus,
    ".data =": set_data,
    "item of .data": lambda x: set_item(x.data),
    "detached": lambda x: x.detach().zero_(),
    "transposed": lambda x: x.transpose(0, -1).fill_(1),
    "unbound": lambda x: x.unbind(0)[0].zero_(),
    "flat": lambda x: x.view(-1).mul_(2),
    "out=": lambda x: torch.mul(x.detach(), 2, out=x.detach()),
    "inplace=True": lambda x: F.relu(x, inplace=True),
    "torch.nn.init": nn.init.zeros_,
    "foreach": lambda x: torch._foreach_mul_([x], 2.0),
    "copy_": lambda x: x.copy_(torch.zeros_like(x)),
    "index_fill_": lambda x: x.index_fill_(0, torch.tensor([0]), 0.0),
}


MODES = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}


@pytest.mark.parametrize("write", WRITES)
@pytest.mark.parametrize("mode", MODES)
def test_writing_to_a_stack_is_refused(write: str, mode: str) -> None:
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for name in STACKS:
        stack = getattr(model, name)
        with MODES[mode](), pytest.raises(RuntimeError, match=f"would not reach the model: model.{name}"):
            WRITES[write](stack)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("write", WRITES)
def test_writing_to_grouped_keys_and_values_is_refused(write: str) -> None:
    attention = tiny_model("grouped").blocks[0].attn
    for name in ("W_K", "W_V", "b_K", "b_V"):
        with torch.no_grad(), pytest.raises(RuntimeError, match=f"write to _{name}"):
            WRITES[write](getattr(attention, name))
        with pytest.raises(AttributeError, match=f"set _{name}"):
            setattr(attention, name, torch.zeros(4, 24, 8))


@pytest.mark.parametrize("name", STACKS)
def test_the_numpy_array_of_a_stack_is_read_only_and_that_of_a_weight_is_not(name: str) -> None:
    model = tiny_model()
    ways: tuple[Callable[[torch.Tensor], Any], ...] = (
        lambda x: x.detach().numpy(),
        lambda x: x.numpy(force=True),
        lambda x: x.detach()[0].cpu().numpy(),
        lambda x: np.asarray(x.detach()),
    )
    for array_of in ways:
        array = array_of(getattr(model, name))
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0
    array = getattr(model, name).detach().numpy().copy()
    array[...] = 7  # a copy is the caller's own
    model.blocks[0].attn.W_Q.detach().numpy()[...] = 7
    assert bool((model.W_Q[0] == 7).all())


def test_factors_of_a_circuit() -> None:
    model = tiny_model()
    for factor in (model.QK.A, model.QK.B, model.OV.A, model.OV.B):
        with torch.no_grad(), pytest.raises(RuntimeError, match="would not reach"):
            factor[0] = 0
    with torch.no_grad():
        model.blocks[0].attn.QK.A[1] = 0  # one layer's own weights: no copy
    assert not model.W_Q[0, 1].any()


DIRECT: dict[str, Callable[[HookedTransformer], torch.Tensor]] = {
    "W_E": lambda model: model.W_E,
    "W_pos": lambda model: model.W_pos,
    "W_U": lambda model: model.W_U,
    "b_U": lambda model: model.b_U,
    "W_Q of a block": lambda model: model.blocks[0].attn.W_Q,
    "_W_K of a block": lambda model: model.blocks[0].attn._W_K,
    "W_in of a block": lambda model: model.blocks[1].mlp.W_in,
}


@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("tied", [False, True])
def test_writing_to_a_weight_changes_the_model_and_what_is_read(name: str, tied: bool) -> None:
    tokens = torch.arange(18).reshape(2, 9)  # the rows that are written to are read
    for write in ("item", "item of a view", ".data -=", "detached", "copy_", "foreach"):
        model = tiny_model("grouped", tie_word_embeddings=tied)
        plain = model(tokens)
        wanted = DIRECT[name](model).detach().clone()
        with torch.no_grad():
            WRITES[write](wanted)
            WRITES[write](DIRECT[name](model))
        assert torch.equal(DIRECT[name](model), wanted)
        assert not torch.equal(model(tokens), plain)
    rebuilt = tiny_model("grouped", seed=3, tie_word_embeddings=tied)
    rebuilt.load_state_dict(model.state_dict())
    assert torch.equal(rebuilt(tokens), model(tokens))


def test_new_data_for_a_tied_unembedding_is_refused() -> None:
    model = tiny_model("tied")
    for owner in (model, model.unembed):
        with pytest.raises(RuntimeError, match="embed.W_E"):
            owner.W_U.data = torch.zeros(24, 30)
    model.embed.W_E.data = torch.zeros(30, 24)
    assert not model.W_U.any()


def test_whoever_only_reads_notices_nothing(tmp_path: Path) -> None:
    model = tiny_model("Gemma-like")
    stack, tied = model.W_K, model.W_U
    plain = torch.stack([block.attn._W_K.repeat_interleave(2, 0) for block in model.blocks])
    assert isinstance(stack, torch.Tensor)
    assert repr(stack.detach()) == repr(plain.detach())
    assert "Weight" not in repr(stack) + repr(tied)
    assert repr(tied.detach()) == repr(model.W_E.mT.detach())
    for computed in (
        stack + 1,
        stack.clone(),
        stack @ stack.mT,
        stack.double(),
        torch.cat([stack, stack]),
        tied * 2,
    ):
        assert type(computed) is torch.Tensor
    assert torch.equal(torch.max(stack.detach(), 0).values, plain.max(0).values)
    assert stack.shape == plain.shape
    assert (stack.detach().numpy() == plain.detach().numpy()).all()
    for twin in (copy.deepcopy(stack.detach()), pickle.loads(pickle.dumps(stack.detach()))):
        assert type(twin) is torch.Tensor
        assert torch.equal(twin, plain)
    torch.save({"stack": stack.detach(), "tied": tied.detach()}, tmp_path / "weights.pt")
    assert torch.equal(torch.load(tmp_path / "weights.pt", weights_only=True)["stack"], plain)
    target = torch.zeros_like(plain)
    target.copy_(stack.detach())
    target[0] += stack[0].detach()  # a source, not what is written to
    (stack.sum() + tied.sum()).backward()
    assert model.blocks[0].attn._W_K.grad is not None
