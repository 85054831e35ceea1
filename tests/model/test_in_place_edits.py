"""An in-place edit inside a hook reaches what is computed from it and no other cached activation."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from mechscope.model.hook_points import HookPoint
from mechscope.model.transformer import HookedTransformer
from tests.model.tiny import VARIANTS, tiny_model, tiny_tokens


def cached(model: HookedTransformer, names: list[str]) -> dict[str, torch.Tensor]:
    _, cache = model.run_with_cache(tiny_tokens(), names_filter=names, return_cache_object=False)
    return cache


def overwrite(activation: torch.Tensor, hook: HookPoint) -> None:
    activation[..., 0] = 3 if activation.dtype == torch.long else 123.0


@pytest.mark.parametrize(
    "variant", ["plain", "attention only", "grouped", "parallel", "alibi", "Gemma-like", "no norm"]
)
def test_no_pair_of_points_shares_an_edit(variant: str) -> None:
    """For every edited point, whatever fired before it is cached as if nothing had been edited."""
    model = tiny_model(variant)
    names = [
        name for name in model.hook_dict if "hook_attn_in" not in name or not model.blocks[0].attn.grouped
    ]
    clean = cached(model, names)
    order = list(clean)
    assert len(order) == len(names)
    for edited in order:
        with model.hooks(fwd_hooks=[(edited, overwrite)]):
            dirty = cached(model, names)
        assert list(dirty) == order
        earlier = itertools.takewhile(lambda name: name != edited, order)  # noqa: B023
        for name in earlier:
            assert torch.equal(dirty[name], clean[name]), f"editing {edited} changed {name}"
        assert (dirty[edited][..., 0] == (3 if dirty[edited].dtype == torch.long else 123)).all()


@pytest.mark.parametrize("variant", list(VARIANTS))
def test_an_edit_after_the_cache_hook_does_not_reach_the_cache(variant: str) -> None:
    model = tiny_model(variant)
    clean = cached(model, list(model.match_hook_names(None)))
    for name in clean:
        cache: dict[str, torch.Tensor] = {}
        model.add_hook(name, lambda x, hook: cache.update({hook.name: x.detach()}), reads_only=True)  # noqa: B023
        model.add_hook(name, overwrite)
        model(tiny_tokens())
        model.reset_hooks()
        assert torch.allclose(cache[name].float(), clean[name].float(), atol=1e-4), name


def test_weights_are_out_of_reach_of_an_edit() -> None:
    model = tiny_model()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with model.hooks(fwd_hooks=[(list(model.match_hook_names(None)), overwrite)]):
        model(tiny_tokens())
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


@pytest.mark.parametrize("variant", ["plain", "rotary", "shortformer", "tied", "no norm"])
@pytest.mark.parametrize(
    "give",
    [
        lambda model, tokens: model.embed(tokens),
        lambda model, tokens: model.pos_embed(tokens) if hasattr(model, "pos_embed") else None,
        lambda model, tokens: model.pos_embed(tokens[:1], 2) if hasattr(model, "pos_embed") else None,
        lambda model, tokens: model.input_to_embed(tokens),
        lambda model, tokens: model(tokens, stop_at_layer=0),
        lambda model, tokens: model.tokens_to_residual_directions(3),
        lambda model, tokens: model.tokens_to_residual_directions(torch.tensor(3)),
        lambda model, tokens: model.tokens_to_residual_directions([3, 4]),
        lambda model, tokens: model.accumulated_bias(1),
        lambda model, tokens: model(tokens),
    ],
)
@torch.no_grad()
def test_weights_are_out_of_reach_of_what_a_model_gives(
    variant: str, give: Callable[[HookedTransformer, torch.Tensor], Any]
) -> None:
    model, tokens = tiny_model(variant), tiny_tokens()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    given = give(model, tokens.clone())
    for part in given if isinstance(given, tuple) else (given,):
        if isinstance(part, torch.Tensor):
            part.fill_(7)
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_a_second_hook_cannot_spoil_what_the_first_returned() -> None:
    """Patching in a stored activation and then editing must leave the store as it was."""
    model = tiny_model()
    store = torch.zeros(2, 9, 24)
    with model.hooks(
        fwd_hooks=[("blocks.0.hook_resid_pre", lambda x, hook: store), ("blocks.0.hook_resid_pre", overwrite)]
    ):
        model(tiny_tokens())
    assert not store.any()
