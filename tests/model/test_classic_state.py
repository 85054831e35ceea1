"""State dicts of the classic class and of training scripts load everywhere alike, and ours load there."""

from __future__ import annotations

import copy
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch

from mechscope.checkpoints.load import load_model
from mechscope.model.classic_state import unwrapped, weights_of
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from tests.model.tiny import tiny_model

transformer_lens = pytest.importorskip("transformer_lens")

BASE: dict[str, Any] = {
    "n_layers": 2, "d_model": 16, "n_ctx": 8, "d_head": 8, "d_vocab": 20, "act_fn": "gelu", "seed": 0,
    "device": "cpu", "dtype": torch.float64,
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "attention only": {"attn_only": True},
    "grouped": {"n_key_value_heads": 1},
    "gated": {"gated_mlp": True, "act_fn": "silu"},
    "rotary": {"positional_embedding_type": "rotary", "rotary_dim": 8},
    "RMS": {"normalization_type": "RMS"},
    "RMSPre, final RMS": {"normalization_type": "RMSPre", "final_rms": True},
    "LNPre": {"normalization_type": "LNPre"},
    "no norms": {"normalization_type": None},
    "parallel": {"parallel_attn_mlp": True},
    "shortformer": {"positional_embedding_type": "shortformer"},
    "local": {"use_local_attn": True, "attn_types": ["global", "local"], "window_size": 3},
    "ALiBi": {"positional_embedding_type": "alibi"},
    "fewer outputs": {"d_vocab_out": 7},
    "llama-like": {
        "positional_embedding_type": "rotary", "rotary_dim": 8, "normalization_type": "RMS", "gated_mlp": True,
        "act_fn": "silu", "n_key_value_heads": 1,
    },
}  # fmt: skip
TOKENS = torch.tensor([[1, 5, 2, 19, 0, 7], [3, 3, 8, 9, 4, 11]])


def classic(name: str) -> Any:
    model = transformer_lens.HookedTransformer(
        transformer_lens.HookedTransformerConfig(**{**BASE, **CONFIGS[name]})
    )
    draw = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in model.parameters():  # biases and norms at other values than zero and one
            parameter += 0.1 * torch.randn(parameter.shape, generator=draw, dtype=parameter.dtype)
    return model


@pytest.mark.parametrize("name", CONFIGS)
@torch.no_grad()
def test_round_trip(name: str) -> None:
    theirs = classic(name)
    expected = theirs(TOKENS)
    ours = HookedTransformer({**BASE, **CONFIGS[name], "seed": 1})
    ours.load_state_dict(theirs.state_dict())
    assert torch.allclose(ours(TOKENS), expected, atol=1e-12)
    for loaded in (
        load_model(theirs.state_dict(), cfg=ours.cfg, process=False, dtype=torch.float64),
        HookedTransformer.from_state(ours.cfg, theirs.state_dict()),
    ):
        assert torch.allclose(loaded(TOKENS), expected, atol=1e-12)
    back = transformer_lens.HookedTransformer(theirs.cfg)
    missing, unexpected = back.load_state_dict(ours.state_dict(), strict=False)
    assert not unexpected
    assert all(
        key.endswith(("attn.mask", "attn.IGNORE", "rotary_sin", "rotary_cos", "pos_embed.W_pos"))
        for key in missing
    )
    assert torch.allclose(back(TOKENS), expected, atol=1e-12)


@torch.no_grad()
def test_a_notebook_that_copies_the_buffers_by_name() -> None:
    theirs, ours = classic("plain"), tiny_model()
    state = theirs.state_dict()
    names = [f"blocks.{layer}.attn.{name}" for layer in range(2) for name in ("mask", "IGNORE")]
    ours = HookedTransformer({**BASE, "seed": 1})
    for name in names:
        state[name] = ours.state_dict()[name]
    assert ours.load_state_dict(state).missing_keys == []
    mask = ours.state_dict()["blocks.0.attn.mask"]
    assert torch.equal(mask, torch.ones(8, 8, dtype=torch.bool).tril())
    assert ours.state_dict()["blocks.1.attn.IGNORE"] == -torch.inf
    own = ours.state_dict()
    for name in names:
        assert name not in own and name not in list(own) and own.get(name) is None
    with pytest.raises(KeyError):
        own["blocks.2.attn.mask"]
    with pytest.raises(KeyError):
        own["blocks.0.attn.W_X"]
    # A strict load into the classic class, with what it lists.
    back = transformer_lens.HookedTransformer(theirs.cfg)
    back.load_state_dict({name: own[name] for name in back.state_dict()}, strict=True)
    assert torch.allclose(back(TOKENS), ours(TOKENS), atol=1e-12)


def test_a_state_dict_is_saved_as_before(tmp_path: Path) -> None:
    model = HookedTransformer({**BASE, "dtype": torch.float32})
    state = model.state_dict()
    assert isinstance(state, OrderedDict) and set(state) == {name for name, _ in model.named_parameters()}
    torch.save(state, tmp_path / "model.pt")
    read = torch.load(tmp_path / "model.pt", weights_only=True)
    assert type(read) is OrderedDict and set(read) == set(state)
    assert HookedTransformer({**BASE, "dtype": torch.float32}).load_state_dict(read).missing_keys == []
    kept = {name: tensor.contiguous() for name, tensor in state.items()}
    safetensors.torch.save_file(kept, tmp_path / "model.safetensors")
    again = copy.deepcopy(state)
    assert all(torch.equal(again[name], tensor) for name, tensor in state.items())
    parent = torch.nn.Sequential(model)
    assert all(name.startswith("0.") for name in parent.state_dict())


WRAPPED: dict[str, Any] = {
    "as it is": lambda state: state,
    "model": lambda state: {"model": state},
    "model beside others": lambda state: {"model": state, "optimizer": {"lr": 1.0}, "step": 3},
    "state_dict": lambda state: {"epoch": 2, "state_dict": state},
    "model_state_dict": lambda state: {"model_state_dict": state, "loss": torch.tensor(1.0)},
    "wrapped twice": lambda state: {"state_dict": {"model": state}},
    "another name": lambda state: {"net": state},
    "compiled": lambda state: {f"_orig_mod.{name}": value for name, value in state.items()},
    "data parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "Lightning": lambda state: {
        "state_dict": {f"model.{name}": value for name, value in state.items()},
        "global_step": 3,
    },
    "both": lambda state: {f"module._orig_mod.{name}": value for name, value in state.items()},
    "compiled blocks": lambda state: {
        name.replace("blocks.0.", "blocks.0._orig_mod."): value for name, value in state.items()
    },
    "wrapped and compiled": lambda state: {
        "model": {f"_orig_mod.{name}": value for name, value in state.items()}
    },
}


@pytest.mark.parametrize("kind", WRAPPED)
@torch.no_grad()
def test_wrappers_and_prefixes(kind: str, tmp_path: Path) -> None:
    theirs = classic("plain")
    expected = theirs(TOKENS)
    saved = WRAPPED[kind](dict(theirs.state_dict()))
    fields = {**BASE, "seed": 1}
    models = [HookedTransformer(fields), HookedTransformer(fields)]
    models[0].load_state_dict(saved)
    models[1].load_and_process_state_dict(
        saved, fold_ln=False, center_writing_weights=False, center_unembed=False, fold_value_biases=False
    )
    cfg = HookedTransformerConfig.from_dict(fields)
    torch.save(saved, tmp_path / "saved.pt")
    options: dict[str, Any] = {"cfg": cfg, "process": False, "dtype": torch.float64}
    models += [load_model(saved, **options), load_model(tmp_path / "saved.pt", **options)]
    for model in models:
        assert torch.allclose(model(TOKENS), expected, atol=1e-12)


def test_what_cannot_be_loaded() -> None:
    model = HookedTransformer(BASE)
    state = dict(model.state_dict())
    with pytest.raises(ValueError, match="twice"):
        model.load_state_dict({**state, "module.embed.W_E": state["embed.W_E"]})
    with pytest.raises(RuntimeError, match=r"Unexpected key.*blocks.0.attn.W_X"):
        model.load_state_dict({**state, "blocks.0.attn.W_X": torch.zeros(1)})
    with pytest.raises(RuntimeError, match="Missing key"):
        model.load_state_dict({"embed.W_E": state["embed.W_E"]})
    assert unwrapped({}) == {} and weights_of({}) == {}


@pytest.mark.parametrize("dtype", [torch.int64, torch.int8, torch.uint8, torch.bool, torch.complex64])
def test_weights_that_are_not_floating_point(dtype: torch.dtype) -> None:
    model = HookedTransformer(BASE)
    state = {**model.state_dict()}
    before = {name: value.clone() for name, value in state.items()}
    state["blocks.1.attn.W_O"] = state["blocks.1.attn.W_O"].to(dtype)
    for load in (
        model.load_state_dict,
        model.load_and_process_state_dict,
        lambda state: HookedTransformer.from_state(model.cfg, state),
    ):
        with pytest.raises(
            ValueError, match=rf"blocks.1.attn.W_O is {str(dtype)[6:]}, but weights must be floating"
        ):
            load(state)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_not_finite_are_not_processed(value: float) -> None:
    model = HookedTransformer(BASE)
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    state["embed.W_E"][3, 1] = value
    with pytest.raises(ValueError, match="embed.W_E has 1 of .* values that are not finite"):
        model.load_and_process_state_dict(state)
    model.load_state_dict(state)  # a diverged training is saved and loaded as it is


@torch.no_grad()
def test_tied_embeddings() -> None:
    theirs = classic("plain")
    tied = HookedTransformer({**BASE, "tie_word_embeddings": True})
    with pytest.raises(ValueError, match="not the transpose of the embedding"):
        tied.load_state_dict(theirs.state_dict())
    with pytest.raises(ValueError, match="not the transpose of the embedding"):
        load_model(theirs.state_dict(), cfg=tied.cfg, process=False, dtype=torch.float64)
    theirs.unembed.W_U.copy_(theirs.embed.W_E.T)
    tied.load_state_dict(theirs.state_dict())
    assert torch.allclose(tied(TOKENS), theirs(TOKENS), atol=1e-12)
