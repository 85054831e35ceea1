"""`quantization_config` is believed only if the weights are quantised indeed."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

import mechscope as ms

Tiny = Callable[[str], tuple[Any, Path]]
LEFT_OVER = {"quant_method": "bitsandbytes", "load_in_4bit": True, "bnb_4bit_quant_type": "nf4"}


def with_field(folder: Path, target: Path, described: Any = LEFT_OVER) -> Path:
    """A copy of a model's folder whose config describes a quantisation."""
    shutil.copytree(folder, target)
    fields = json.loads((target / "config.json").read_text())
    (target / "config.json").write_text(json.dumps({**fields, "quantization_config": described}))
    return target


def rewrite(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    state = load_file(folder / "model.safetensors")
    change(state)
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_field_that_was_left_over_is_ignored(tiny: Tiny, tmp_path: Path, dtype: torch.dtype) -> None:
    _, folder = tiny("llama")
    left_over = with_field(folder, tmp_path / "left-over")
    rewrite(left_over, lambda state: state.update({name: each.to(dtype) for name, each in state.items()}))
    # Warnings are errors: not even a note is given.
    ours, expected = ms.load_model(left_over, process=False), ms.load_model(folder, process=False)
    for name, value in expected.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value.to(dtype).float()), name


def as_gptq(state: dict[str, torch.Tensor]) -> None:
    for name in [name for name in state if name.endswith("q_proj.weight")]:
        stem = name.removesuffix("weight")
        rows, columns = state.pop(name).shape
        state[f"{stem}qweight"] = torch.zeros(columns // 8, rows, dtype=torch.int32)
        state[f"{stem}scales"] = torch.ones(1, rows, dtype=torch.float16)


def as_int8(state: dict[str, torch.Tensor]) -> None:
    for name in [name for name in state if name.endswith("q_proj.weight")]:
        state[name] = state[name].to(torch.int8)


def as_float8(state: dict[str, torch.Tensor]) -> None:
    for name in [name for name in state if name.endswith("q_proj.weight")]:
        state[name] = state[name].to(torch.float8_e4m3fn)


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (as_gptq, r"it has model\.layers\.0\.self_attn\.q_proj\.(qweight|scales)"),
        (as_int8, r"model\.layers\.\d\.self_attn\.q_proj\.weight is int8"),
        (as_float8, r"model\.layers\.\d\.self_attn\.q_proj\.weight is float8_e4m3fn"),
    ],
)
def test_weights_that_are_quantised_are_refused_in_one_sentence(
    tiny: Tiny, tmp_path: Path, change: Callable[[dict[str, torch.Tensor]], None], found: str
) -> None:
    quantised = with_field(tiny("llama")[1], tmp_path / "quantised")
    rewrite(quantised, change)
    with pytest.raises(
        ValueError, match=rf"quantized by bitsandbytes \({found}\).*Load the unquantized"
    ) as caught:
        ms.load_model(quantised)
    assert str(quantised) in str(caught.value)


def test_a_field_of_another_kind_is_no_worse(tiny: Tiny, tmp_path: Path) -> None:
    quantised = with_field(tiny("llama")[1], tmp_path / "quantised", ["int8"])
    rewrite(quantised, as_int8)
    with pytest.raises(ValueError, match=r"the weights are quantized \(model"):
        ms.load_model(quantised)


def test_a_model_in_memory_is_judged_by_its_weights_too(tiny: Tiny) -> None:
    model, folder = tiny("llama")
    config = {**json.loads((folder / "config.json").read_text()), "quantization_config": LEFT_OVER}
    state = {name: value.clone() for name, value in model.state_dict().items()}
    assert ms.load_model(state, cfg=config, process=False).cfg.n_layers == model.config.num_hidden_layers
    as_int8(state)
    with pytest.raises(ValueError, match="the weights are quantized by bitsandbytes"):
        ms.load_model(state, cfg=config)
