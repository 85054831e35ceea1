"""Hook introspection, the older names for caching, and slices of positions: against the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mechscope import hook_points
from mechscope.model.transformer import HookedTransformer
from tests.classic.peers import twins
from tests.model.tiny import tiny_model, tiny_tokens

NAME, OTHER = "blocks.0.hook_resid_post", "blocks.1.attn.hook_z"


def look(activation: torch.Tensor, hook: Any) -> None:
    """A hook that changes nothing."""


def with_hooks(model: Any) -> Any:
    """One hook of every kind."""
    model.add_hook(NAME, look)
    model.add_hook(NAME, look, dir="bwd", level=2)
    model.add_perma_hook(OTHER, look)
    return model


QUESTIONS: tuple[dict[str, Any], ...] = (
    {},
    {"dir": "fwd"},
    {"dir": "bwd"},
    {"including_permanent": False},
)


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
def test_hooks_are_listed_as_in_the_reference() -> None:
    ours, theirs = (with_hooks(model) for model in twins())
    for question in (*QUESTIONS, {"name_filter": OTHER}, {"name_filter": [NAME, OTHER], "dir": "fwd"}):
        found, expected = ours.list_hooks(**question), theirs.list_hooks(**question)
        assert {name: len(hooks) for name, hooks in found.items()} == {
            name: len(hooks) for name, hooks in expected.items()
        }, question
        for name, hooks in found.items():
            for mine, other in zip(hooks, expected[name], strict=True):
                assert mine.is_permanent == other.is_permanent and mine.context_level == other.context_level
                assert mine.user_hook is other.user_hook is look
    for name in (NAME, OTHER, "hook_embed"):
        for question in (*QUESTIONS, {"level": 2}, {"level": 1}):
            found = ours.hook_dict[name].has_hooks(**question)
            assert found == theirs.hook_dict[name].has_hooks(**question), (name, question)


def test_listing_hooks_misused() -> None:
    model = with_hooks(tiny_model())
    with pytest.raises(KeyError, match="hook_resid_pst"):
        model.list_hooks("blocks.0.hook_resid_pst")
    with pytest.raises(ValueError, match="dir must be one of"):
        model.list_hooks(dir="forward")
    assert isinstance(model.list_hooks(NAME)[NAME][0], hook_points.LensHandle)
    model.reset_hooks(including_permanent=True)
    assert model.list_hooks() == {}


def test_a_hook_goes_through_the_check_of_a_subclass() -> None:
    class Strict(HookedTransformer):
        def check_hooks_to_add(self, hook_point: Any, hook_point_name: str, hook: Any, **how: Any) -> None:
            if hook_point_name.endswith("hook_z"):
                raise ValueError("no hooks on z")

    model = Strict(tiny_model().cfg)
    point = model.hook_dict[NAME]
    model.check_and_add_hook(point, NAME, look, dir="fwd", level=3, prepend=True)
    assert point.has_hooks(level=3)
    with pytest.raises(ValueError, match="no hooks on z"):
        model.check_and_add_hook(model.hook_dict[OTHER], OTHER, look)


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("backward", [False, True])
def test_the_older_names_for_caching_fill_the_same_dictionary(backward: bool) -> None:
    ours, theirs = twins(dtype=torch.float64)
    found: dict[str, torch.Tensor] = {}
    expected: dict[str, torch.Tensor] = {}
    for model, cache in ((ours, found), (theirs, expected)):
        model.cache_some(cache, lambda name: "resid" in name, incl_bwd=backward)
        model(tiny_tokens(), return_type="loss").backward()
        model.reset_hooks()
    assert set(found) == set(expected) and any(name.endswith("_grad") for name in found) == backward
    assert all(torch.allclose(found[name], expected[name], atol=1e-6) for name in found)
    found, expected = {}, {}
    for model, cache in ((ours, found), (theirs, expected)):
        model.cache_all(cache, remove_batch_dim=True)
        model(tiny_tokens()[:1])
        model.reset_hooks()
        model(tiny_tokens()[:1] * 0)
    expected = {name: value for name, value in expected.items() if not name.startswith("unembed")}
    assert set(found) == set(expected)
    for name, value in expected.items():
        assert torch.allclose(found[name].nan_to_num(neginf=-9), value.nan_to_num(neginf=-9), atol=1e-6), name


def test_caching_into_nothing_is_refused() -> None:
    for call in (lambda m: m.cache_all(None), lambda m: m.cache_some(None, lambda name: True)):
        with pytest.raises(ValueError, match="cache = {}"):
            call(tiny_model())


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("positions", [2, -1, (1, 5), (None, None, 2), [0, 3, 1], None])
@pytest.mark.parametrize("remove_batch_dim", [False, True])
def test_positions_are_sliced_as_in_the_reference(positions: Any, remove_batch_dim: bool) -> None:
    ours, theirs = twins("rotary", dtype=torch.float64)
    tokens = tiny_tokens()[:1] if remove_batch_dim else tiny_tokens()
    arguments = {"pos_slice": positions, "remove_batch_dim": remove_batch_dim}
    _, found = ours.run_with_cache(tokens, **arguments)
    _, expected = theirs.run_with_cache(tokens, **arguments)
    for name, value in expected.items():
        # The reference slices the heads of turned queries and keys, not their positions.
        if not name.startswith("unembed") and "hook_rot" not in name:
            assert found[name].shape == value.shape, name
            assert torch.allclose(
                found[name].nan_to_num(neginf=-9), value.nan_to_num(neginf=-9), atol=1e-6
            ), name
    for name in ("blocks.0.attn.hook_rot_q", "blocks.1.attn.hook_rot_k"):
        assert found[name].shape == found[name.replace("rot_", "")].shape
    cache, hooks, _ = ours.get_caching_hooks(NAME, **arguments)
    ours.run_with_hooks(tokens, fwd_hooks=hooks)
    assert torch.allclose(cache[NAME], found[NAME], atol=1e-9)


@pytest.mark.peer
@pytest.mark.filterwarnings("ignore")
def test_key_value_cache_entries_are_the_references() -> None:
    from mechscope.past_key_value_caching import (
        HookedTransformerKeyValueCache,
        TransformerLensKeyValueCache,
        TransformerLensKeyValueCacheEntry,
    )

    theirs = pytest.importorskip("transformer_lens").TransformerLensKeyValueCache
    assert TransformerLensKeyValueCache is HookedTransformerKeyValueCache
    model, peer = twins("grouped")
    caches = (
        TransformerLensKeyValueCache.init_cache(model.cfg, "cpu", 2),
        theirs.init_cache(peer.cfg, "cpu", 2),
    )
    for cache, reader in zip(caches, (model, peer), strict=True):
        for part in tiny_tokens().split([4, 1, 4], dim=1):
            reader(part, past_kv_cache=cache, attention_mask=torch.ones_like(part))
        cache.freeze()
        reader(tiny_tokens()[:, :1], past_kv_cache=cache, attention_mask=torch.ones(2, 1, dtype=torch.long))
        cache.unfreeze()
    ours, other = caches
    assert isinstance(ours[0], TransformerLensKeyValueCacheEntry) and len(ours.entries) == len(other.entries)
    for mine, its in zip(ours.entries, other.entries, strict=True):
        assert mine.past_keys.shape == its.past_keys.shape
        assert torch.allclose(mine.past_keys, its.past_keys, atol=1e-5)
        assert torch.allclose(mine.past_values, its.past_values, atol=1e-5)
    assert torch.equal(ours.previous_attention_mask.bool(), other.previous_attention_mask.bool())
    keys = torch.randn(2, 3, 2, 8)
    entry = TransformerLensKeyValueCacheEntry(keys, keys)
    grown, _ = entry.append(keys, keys)
    assert grown.shape == (2, 6, 2, 8) and entry.past_keys.shape == (2, 6, 2, 8)
