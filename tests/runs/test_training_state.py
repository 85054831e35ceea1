"""A training that was put aside goes on with the same weights, however they lie in memory."""

from __future__ import annotations

import pytest
import safetensors.torch
import torch

from mechscope.runs.training_state import (
    optimizer_state,
    restore_optimizer,
    rise_and_fall,
    step_seed,
    with_prefix,
)


def weights(seed: int) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    strided = torch.randn(3, 5, generator=generator).T  # as attention's weights lie
    return {"W.Q": strided.requires_grad_(), "b": torch.randn(4, generator=generator).requires_grad_()}


def train(parameters: dict[str, torch.Tensor], optimizer: torch.optim.Optimizer, steps: range) -> None:
    for step in steps:
        generator = torch.Generator().manual_seed(step_seed(0, step))
        for tensor in parameters.values():
            tensor.grad = torch.randn(tensor.shape, generator=generator).to(tensor).add_(tensor.detach())
        optimizer.step()


@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("seed", [0, 1])
def test_a_stopped_training_ends_where_a_whole_one_does(seed: int, fused: bool) -> None:
    whole, stopped = weights(seed), weights(seed)
    train(whole, torch.optim.AdamW(whole.values(), lr=0.1, fused=fused), range(8))
    first = torch.optim.AdamW(stopped.values(), lr=0.1, fused=fused)
    train(stopped, first, range(3))
    # As a file gives it back: every tensor contiguous.
    state = {name: value.contiguous() for name, value in optimizer_state(first, stopped).items()}
    state = safetensors.torch.load(safetensors.torch.save(state))
    again = torch.optim.AdamW(stopped.values(), lr=0.1, fused=fused)
    restore_optimizer(again, stopped, state)
    train(stopped, again, range(3, 8))
    assert all(torch.equal(whole[name], stopped[name]) for name in whole)


def test_what_has_no_state_begins_anew() -> None:
    parameters = weights(0)
    optimizer = torch.optim.AdamW(parameters.values(), lr=0.1)
    train(parameters, optimizer, range(2))
    kept = {name: value for name, value in optimizer_state(optimizer, parameters).items() if "W.Q" in name}
    again = torch.optim.AdamW(parameters.values(), lr=0.1)
    restore_optimizer(again, parameters, kept)
    assert {*again.state_dict()["state"]} == {0}


def test_seeds_schedule_and_prefixes() -> None:
    assert len({step_seed(seed, step) for seed in range(3) for step in range(-2, 50)}) == 3 * 52
    assert [rise_and_fall(step, 8, 2) for step in (0, 1, 4, 6, 8)] == [0.5, 1, 1, 0.5, 0]
    one, two = torch.zeros(1), torch.ones(1)
    assert with_prefix({"a.x": one, "ab": two, "a.a.x": two}, "a.") == {"x": one, "a.x": two}
