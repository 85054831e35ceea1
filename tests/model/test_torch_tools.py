"""A model is an ordinary torch module: modes, optimizers, pruning, parametrizations, files, copies."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file, save_model
from torch import nn
from torch.func import functional_call, grad, jvp, stack_module_state, vmap
from torch.nn.utils import parameters_to_vector, parametrizations, parametrize, prune, vector_to_parameters

from mechscope.model.encoder import HookedEncoder
from mechscope.model.transformer import HookedTransformer
from tests.model.tiny import BASE, VARIANTS, close, tiny_model, tiny_tokens

KINDS = ["plain", "grouped", "rotary", "gated", "tied", "Gemma-like", "alibi", "shortformer", "window"]


def gradients(model: nn.Module) -> dict[str, torch.Tensor]:
    return {
        name: parameter.grad for name, parameter in model.named_parameters() if parameter.grad is not None
    }


# Inference mode -------------------------------------------------------------------------------


def test_evaluating_in_inference_mode_leaves_training_as_it_was() -> None:
    for variant in VARIANTS:
        fresh, used, tokens = tiny_model(variant), tiny_model(variant), tiny_tokens()
        with torch.inference_mode():
            used(tokens[:, :4])
            used.run_with_cache(tokens)
            copied = copy.deepcopy(used)
        for model in (fresh, used, copied):
            model(tokens, return_type="loss").backward()
        for model in (used, copied):
            found = gradients(model)
            assert all(torch.equal(value, found[name]) for name, value in gradients(fresh).items()), variant


@pytest.mark.parametrize("variant", ["rotary", "Gemma-like"])
def test_a_rotary_table_made_in_inference_mode_survives_other_types_and_pickling(variant: str) -> None:
    model, tokens = tiny_model(variant), tiny_tokens()
    with torch.inference_mode():
        model(tokens[:, :3])
    model = pickle.loads(pickle.dumps(model))
    for dtype in (torch.float64, torch.float32):
        model.to(dtype)(tokens, return_type="loss").backward()
        model.zero_grad()


@pytest.mark.parametrize("make", ["new", "copy of the weights", "processed", "converted", "encoder"])
def test_a_model_made_in_inference_mode_can_be_trained(make: str) -> None:
    tokens = tiny_tokens()
    before = tiny_model()
    with torch.inference_mode():
        if make == "new":
            model: Any = tiny_model("rotary")
        elif make == "copy of the weights":
            state = {name: value * 1 for name, value in before.state_dict().items()}
            model = HookedTransformer.from_state(before.cfg, state)
        elif make == "processed":
            model = before
            model.process_weights_()
        elif make == "converted":
            model = before.to(torch.float64)
        else:
            model = HookedEncoder({**BASE, "attention_dir": "bidirectional"})
        model(tokens)
    model.train()
    logits = model(tokens)
    logits.square().mean().backward()
    torch.optim.SGD(model.parameters(), lr=0.1).step()


def test_tokens_made_in_inference_mode_can_be_trained_on() -> None:
    model = tiny_model()
    with torch.inference_mode():
        tokens = tiny_tokens() + 0
    model(tokens, return_type="loss").backward()


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_gradients_that_cannot_be_had_are_refused_by_name(mode: Callable[[], Any]) -> None:
    model = tiny_model()
    said = "inference" if mode is torch.inference_mode else "no_grad"
    with mode(), pytest.raises(RuntimeError, match=said):
        model.run_with_cache(tiny_tokens(), return_type="loss", incl_bwd=True)


@pytest.mark.parametrize("mode", [torch.inference_mode, torch.no_grad])
def test_singular_values_read_without_gradients_first_have_them_later(mode: Callable[[], Any]) -> None:
    attention = tiny_model().blocks[0].attn
    circuit = attention.QK
    with mode():
        before = circuit.S
    circuit.S.sum().backward()
    assert attention.W_Q.grad is not None
    assert torch.allclose(circuit.S, before)
    attention.requires_grad_(False)
    factor = torch.ones(4, requires_grad=True)
    (attention.QK.S[:, 0] * factor).sum().backward()


# What flattens, saves and steps -----------------------------------------------------------------


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("made", ["new", "processed", "copied", "from transposed weights"])
def test_weights_are_contiguous(variant: str, made: str) -> None:
    model = tiny_model(variant)
    if made == "processed":
        model.process_weights_()
    elif made == "copied":
        model = copy.deepcopy(model)
    elif made == "from transposed weights":  # as linear layers of other libraries store them
        state = {
            name: value.mT.contiguous().mT if value.ndim > 1 else value
            for name, value in model.state_dict().items()
        }
        model = HookedTransformer.from_state(model.cfg, state)
    for name, parameter in model.named_parameters():
        assert parameter.is_contiguous(), name
        parameter.view(-1)


@pytest.mark.parametrize("variant", KINDS)
def test_parameters_go_through_one_vector(variant: str) -> None:
    model, other, tokens = tiny_model(variant), tiny_model(variant, seed=1), tiny_tokens()
    vector_to_parameters(parameters_to_vector(model.parameters()), other.parameters())
    assert torch.equal(other(tokens), model(tokens))


@pytest.mark.parametrize("variant", KINDS)
def test_saving_and_reading_the_state(variant: str, tmp_path: Path) -> None:
    model, other = tiny_model(variant), tiny_model(variant, seed=1)
    save_file(model.state_dict(), tmp_path / "state.safetensors")
    other.load_state_dict(load_file(tmp_path / "state.safetensors"))
    assert torch.equal(other(tiny_tokens()), model(tiny_tokens()))
    save_model(model, str(tmp_path / "model.safetensors"))
    torch.save(model.state_dict(), tmp_path / "state.pt")
    assert torch.load(tmp_path / "state.pt", weights_only=True).keys() == model.state_dict().keys()


OPTIMIZERS: dict[str, Callable[[Any], torch.optim.Optimizer]] = {
    "LBFGS": lambda parameters: torch.optim.LBFGS(parameters, max_iter=3, line_search_fn="strong_wolfe"),
    "Adam": lambda parameters: torch.optim.Adam(parameters, lr=1e-3),
    "AdamW, fused": lambda parameters: torch.optim.AdamW(parameters, lr=1e-3, fused=True),
    "SGD, foreach": lambda parameters: torch.optim.SGD(parameters, lr=1e-2, foreach=True),
    "Adafactor": lambda parameters: torch.optim.Adafactor(parameters, lr=1e-3),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("variant", ["plain", "Gemma-like"])
def test_optimizers(name: str, variant: str) -> None:
    model, tokens = tiny_model(variant), tiny_tokens()
    optimizer = OPTIMIZERS[name](model.parameters())

    def closure() -> float:
        optimizer.zero_grad()
        loss = model(tokens, return_type="loss")
        loss.backward()
        return loss.detach()

    first = float(closure())
    for _ in range(3):
        optimizer.step(closure)
    assert float(closure()) < first


# What computes a weight ---------------------------------------------------------------------------


class Half(nn.Module):
    def forward(self, weight: torch.Tensor) -> torch.Tensor:
        return weight * 0.5


def weights_of(model: HookedTransformer) -> list[tuple[str, str]]:
    """Every parameter as its module's name and its own."""
    return [tuple(name.rpartition(".")[::2]) for name, _ in model.named_parameters()]  # type: ignore[misc]


@pytest.mark.parametrize("variant", KINDS)
def test_a_parametrization_of_any_weight_is_what_the_model_computes_with(variant: str) -> None:
    tokens = tiny_tokens()
    model, right = tiny_model(variant), tiny_model(variant)
    with torch.no_grad():
        for parameter in right.parameters():
            parameter.mul_(0.5)
    for owner, name in weights_of(right):
        parametrize.register_parametrization(model.get_submodule(owner), name, Half())
    assert close(model(tokens), right(tokens))
    points = ["blocks.0.attn.hook_pattern", "blocks.1.attn.hook_result", "blocks.0.hook_q_input"]
    found, expected = (m.run_with_cache(tokens, names_filter=points)[1] for m in (model, right))
    assert all(close(found[name], expected[name]) for name in points)
    model(tokens, return_type="loss").backward()
    assert all(parameter.grad is not None for parameter in model.parameters())


@pytest.mark.parametrize("weight", ["W_Q", "_W_K", "_W_V", "W_O", "b_Q", "_b_K", "_b_V", "b_O"])
def test_a_parametrization_of_one_weight(weight: str) -> None:
    tokens = tiny_tokens()
    model, right = tiny_model("grouped"), tiny_model("grouped")
    parametrize.register_parametrization(model.blocks[0].attn, weight, Half())
    with torch.no_grad():
        right.get_parameter(f"blocks.0.attn.{weight}").mul_(0.5)
    assert close(model(tokens), right(tokens))
    assert torch.equal(model.W_K, right.W_K)
    parametrize.remove_parametrizations(model.blocks[0].attn, weight)
    assert close(model(tokens), right(tokens))


@pytest.mark.parametrize("weight", ["W_Q", "W_K", "W_V", "W_O"])
def test_pruning_weight_norm_and_spectral_norm(weight: str) -> None:
    tokens = tiny_tokens()
    model, right = tiny_model(), tiny_model()
    attention = model.blocks[0].attn
    prune.l1_unstructured(attention, weight, 0.5)
    with torch.no_grad():
        right.get_parameter(f"blocks.0.attn.{weight}").mul_(attention.get_buffer(f"{weight}_mask"))
    assert close(model(tokens), right(tokens))
    prune.remove(attention, weight)
    assert close(model(tokens), right(tokens))
    parametrizations.weight_norm(attention, weight)
    assert close(model(tokens), right(tokens))
    model, right = tiny_model().eval(), tiny_model()
    parametrizations.spectral_norm(model.blocks[0].attn, weight)
    with torch.no_grad():
        right.get_parameter(f"blocks.0.attn.{weight}").copy_(getattr(model.blocks[0].attn, weight))
    assert close(model(tokens), right(tokens))


@pytest.mark.parametrize("variant", KINDS)
def test_weights_given_for_one_call(variant: str) -> None:
    model, other, tokens = tiny_model(variant), tiny_model(variant, seed=1), tiny_tokens()
    weights = dict(other.named_parameters())
    assert close(functional_call(model, weights, (tokens,)), other(tokens))
    assert not close(model(tokens), other(tokens))
    loss = functional_call(model, weights, (tokens,), {"return_type": "loss"})
    assert len(torch.autograd.grad(loss, list(weights.values()))) == len(weights)


@pytest.mark.parametrize("variant", KINDS)
def test_gradients_of_each_text_by_vmap(variant: str) -> None:
    model, tokens = tiny_model(variant, dtype=torch.float64), tiny_tokens()
    weights = dict(model.named_parameters())

    def loss(weights: dict[str, torch.Tensor], text: torch.Tensor) -> torch.Tensor:
        return functional_call(model, weights, (text[None],), {"return_type": "loss"})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as below
        found = vmap(grad(loss), in_dims=(None, 0))(weights, tokens)
    for row, text in enumerate(tokens):
        model.zero_grad(set_to_none=True)
        loss(weights, text).backward()
        for name, expected in gradients(model).items():
            assert close(found[name][row], expected, 1e-10), name


@pytest.mark.parametrize("variant", KINDS)
def test_gradients_forwards(variant: str) -> None:
    """The derivative along a direction is the gradient's product with it."""
    model, tokens = tiny_model(variant, dtype=torch.float64), tiny_tokens()
    weights = {name: value.detach() for name, value in model.named_parameters()}
    made = torch.Generator().manual_seed(5)
    along = {
        name: torch.randn(value.shape, generator=made, dtype=value.dtype) for name, value in weights.items()
    }

    def loss(weights: dict[str, torch.Tensor]) -> torch.Tensor:
        return functional_call(model, weights, (tokens,), {"return_type": "loss"})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch's own formulas are scripted, which torch deprecates
        _, found = jvp(loss, (weights,), (along,))
    backwards = grad(loss)(weights)
    assert float(found) == pytest.approx(
        sum(float((backwards[name] * along[name]).sum()) for name in along), rel=1e-8
    )


def test_an_ensemble_by_vmap() -> None:
    models, residual = [tiny_model(seed=seed) for seed in range(3)], torch.randn(2, 9, 24)
    parameters, buffers = stack_module_state(models)  # type: ignore[arg-type]

    def run(weights: dict[str, torch.Tensor], state: dict[str, torch.Tensor]) -> torch.Tensor:
        return functional_call(models[0], (weights, state), (residual,), {"start_at_layer": 0})

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # vmap of the fused attention kernel is slow, and says so
        found = vmap(run)(parameters, buffers)
    assert close(found, torch.stack([model(residual, start_at_layer=0) for model in models]))


# What watches or replaces a part --------------------------------------------------------------------


@pytest.mark.parametrize("part", ["attn", "mlp", "ln1", "ln2", "attn.hook_z"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_torchs_own_hooks_on_a_part(part: str, when: str) -> None:
    model, tokens = tiny_model(), tiny_tokens()
    plain = model(tokens)
    module = model.get_submodule(f"blocks.0.{part}")
    if when == "after":
        handle = module.register_forward_hook(lambda module, given, output: output * 0.5)
    else:
        handle = module.register_forward_pre_hook(lambda module, given: (given[0].flip(-1), *given[1:]))
    assert not close(model(tokens), plain)
    handle.remove()
    assert torch.equal(model(tokens), plain)


@pytest.mark.parametrize("way", ["setattr", "add_module", "register_module"])
def test_a_replaced_part_is_the_one_that_runs(way: str) -> None:
    model, other, tokens = tiny_model(), tiny_model(seed=1), tiny_tokens()
    for mine, theirs in zip(model.blocks, other.blocks, strict=True):
        if way == "setattr":
            mine.mlp = theirs.mlp
        else:
            getattr(mine, way)("mlp", theirs.mlp)
    expected = tiny_model()
    for name, value in other.named_parameters():
        if ".mlp." in name:
            expected.get_parameter(name).data.copy_(value.data)
    assert torch.equal(model(tokens), expected(tokens))
