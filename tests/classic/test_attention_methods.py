"""The classic methods of attention layers, and subclasses that override them, against the reference."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mechscope import components
from mechscope.model.transformer import HookedTransformer
from tests.classic.peers import twins
from tests.model.tiny import BASE, tiny_model, tiny_tokens

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

KINDS = ("plain", "rotary", "rotary, partial", "rotary, adjacent", "grouped", "window", "soft caps", "alibi")
VARIANT_FIELDS: dict[str, dict[str, Any]] = {
    "window": {"use_local_attn": True},
    "alibi": {"post_embedding_ln": False},
}
PADDING = torch.tensor([[0, 0, 1, 1, 1, 1, 1, 1, 1], [1] * 9])


def layers(kind: str, layer: int = 1) -> tuple[Any, Any]:
    """One attention layer of ours and the reference's, in float64 with the same weights."""
    fields = VARIANT_FIELDS.get(kind, {})
    ours, theirs = twins(kind, dtype=torch.float64, **fields)
    return ours.blocks[layer].attn, theirs.blocks[layer].attn


def inputs(length: int = 9, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(2, length, BASE["d_model"], dtype=torch.float64, generator=generator)


def same(found: torch.Tensor, expected: torch.Tensor) -> bool:
    return torch.allclose(
        found.nan_to_num(neginf=-1e6), expected.nan_to_num(neginf=-1e6), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_step_gives_what_the_reference_gives(kind: str) -> None:
    ours, theirs = layers(kind)
    x = inputs()
    found, expected = ours.calculate_qkv_matrices(x, x, x), theirs.calculate_qkv_matrices(x, x, x)
    assert all(same(*pair) for pair in zip(found, expected, strict=True))
    q, k, v = found
    scores = theirs.calculate_attention_scores(q, k)
    assert same(ours.calculate_attention_scores(q, k), scores)
    assert same(ours.apply_causal_mask(scores), theirs.apply_causal_mask(scores))
    assert same(
        ours.apply_causal_mask(scores, attention_mask=PADDING),
        theirs.apply_causal_mask(scores, attention_mask=PADDING),
    )
    late = scores[:, :, -3:]
    assert same(ours.apply_causal_mask(late, 6), theirs.apply_causal_mask(late, 6))
    pattern = ours.apply_causal_mask(scores).softmax(-1)
    assert same(ours.calculate_z_scores(v, pattern), theirs.calculate_z_scores(v, pattern))
    assert ours.attn_scale == pytest.approx(theirs.attn_scale)
    with pytest.raises(ValueError, match="past_kv_pos_offset=6"):
        ours.apply_causal_mask(late)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind.startswith("rotary")])
def test_rotary_methods(kind: str) -> None:
    ours, theirs = layers(kind)
    x = inputs()[:, :, None, :8].expand(-1, -1, 4, -1).contiguous()
    assert same(ours.apply_rotary(x), theirs.apply_rotary(x))
    assert same(ours.apply_rotary(x[:, :4], 3), theirs.apply_rotary(x[:, :4], 3))
    assert same(ours.apply_rotary(x, 0, PADDING), theirs.apply_rotary(x, 0, PADDING))
    assert same(ours.apply_rotary(x[:, 4:], 4, PADDING), theirs.apply_rotary(x[:, 4:], 4, PADDING))
    dim = ours.cfg.rotary_dim
    assert same(ours.rotate_every_two(x[..., :dim]), theirs.rotate_every_two(x[..., :dim]))
    for found, expected in zip(
        ours.calculate_sin_cos_rotary(dim, 10, base=500),
        theirs.calculate_sin_cos_rotary(dim, 10, base=500),
        strict=True,
    ):
        assert same(found, expected)
    with pytest.raises(ValueError, match="not rotary"):
        tiny_model().blocks[0].attn.apply_rotary(x)


def test_alibi_methods() -> None:
    ours, theirs = layers("alibi")
    assert torch.equal(ours.create_alibi_slope(5), theirs.create_alibi_slope(5))
    for heads in (1, 2, 4, 8):
        assert torch.allclose(ours.create_alibi_multipliers(heads), theirs.create_alibi_multipliers(heads))
    assert torch.allclose(ours.create_alibi_bias(4, 6), theirs.create_alibi_bias(4, 6))


@pytest.mark.parametrize("kind", KINDS)
def test_a_layer_by_itself_takes_the_classic_arguments(kind: str) -> None:
    ours, theirs = layers(kind)
    x = inputs()
    added = torch.zeros(2, 1, 1, 9, dtype=torch.float64)
    added[0, ..., 3] = -torch.inf
    for arguments in (
        {},
        {"attention_mask": PADDING},
        {"additive_attention_mask": added},
    ):
        found, expected = ours(x, x, x, **arguments), theirs(x, x, x, **arguments)
        real = PADDING.bool() if "attention_mask" in arguments else torch.ones(2, 9, dtype=torch.bool)
        assert same(found[real], expected[real]), arguments
    named = ours(query_input=x, key_input=x, value_input=x, past_kv_cache_entry=None)
    assert same(named, theirs(query_input=x, key_input=x, value_input=x))
    with pytest.raises(ValueError, match="covers 4 positions, but there are 9"):
        ours(x, x, x, attention_mask=PADDING[:, :4])


@pytest.mark.parametrize("kind", ["plain", "rotary", "grouped", "window"])
def test_a_cached_layer_by_itself_goes_on_where_it_stopped(kind: str) -> None:
    """The classic call gives no offset: it is how many positions the entry holds."""
    ours, _ = layers(kind)
    x = inputs()
    whole = ours(x, x, x)
    entry = components_entry(ours.cfg)
    parts = [ours(part, part, part, entry) for part in x.split([4, 1, 4], dim=1)]
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-9)


def components_entry(cfg: Any) -> Any:
    from mechscope.past_key_value_caching import HookedTransformerKeyValueCacheEntry

    return HookedTransformerKeyValueCacheEntry.init_cache_entry(cfg, "cpu", 2)


@pytest.mark.parametrize("kind", ["plain", "rotary", "grouped", "window"])
def test_a_block_by_itself_takes_the_classic_arguments(kind: str) -> None:
    ours, theirs = twins(kind, dtype=torch.float64, **VARIANT_FIELDS.get(kind, {}))
    x = inputs()
    for arguments in ({}, {"attention_mask": PADDING}):
        found, expected = ours.blocks[1](x, **arguments), theirs.blocks[1](x, **arguments)
        real = PADDING.bool() if arguments else torch.ones(2, 9, dtype=torch.bool)
        assert same(found[real], expected[real])
    assert same(ours.blocks[0].apply_mlp(x), theirs.blocks[0].apply_mlp(x))


def fields_of(kind: str, **more: Any) -> dict[str, Any]:
    from tests.model.tiny import VARIANTS

    return {**BASE, **VARIANTS[kind], "seed": 0, **more}


@pytest.mark.parametrize("cfg", ["config", "mapping"])
@pytest.mark.parametrize("kind", ["plain", "rotary", "grouped"])
def test_components_are_built_from_a_config_or_a_mapping(kind: str, cfg: str) -> None:
    """A layer that is built alone turns its queries and keys, as one in a model does."""
    model = HookedTransformer(fields_of(kind))
    given = model.cfg if cfg == "config" else fields_of(kind)
    cls = components.GroupedQueryAttention if kind == "grouped" else components.Attention
    alone = cls(given, "global", 1)
    alone.load_state_dict(model.blocks[1].attn.state_dict())
    x = inputs().float()
    assert torch.equal(alone(x, x, x), model.blocks[1].attn(x, x, x))
    block = components.TransformerBlock(given, 1)
    block.load_state_dict(model.blocks[1].state_dict())
    assert torch.equal(block(x), model.blocks[1](x))
    for part in ("Embed", "PosEmbed", "Unembed", "MLP", "LayerNorm", "LayerNormPre", "RMSNorm", "RMSNormPre"):
        built = getattr(components, part)(given)
        assert built.cfg.d_model == BASE["d_model"], part


def test_grouped_weights_are_shown_by_query_head() -> None:
    ours, theirs = layers("grouped")
    for name in ("W_K", "W_V", "b_K", "b_V"):
        assert isinstance(getattr(components.GroupedQueryAttention, name), property)
        assert torch.equal(getattr(ours, name), getattr(theirs, name))
        with pytest.raises(AttributeError, match=f"set _{name}"):
            setattr(ours, name, getattr(ours, name) * 2)
        setattr(ours, f"_{name}", torch.nn.Parameter(getattr(ours, f"_{name}").detach() * 2))
        assert torch.equal(getattr(ours, name), 2 * getattr(theirs, name))


# Subclasses -------------------------------------------------------------------------------------


def changed(library_class: type) -> dict[str, type]:
    """A subclass for each classic method, which changes what it gives."""

    class Scores(library_class):  # type: ignore[misc, valid-type]
        def calculate_attention_scores(self, q: Any, k: Any) -> Any:
            return super().calculate_attention_scores(q, k) * 0.5

    class Mask(library_class):  # type: ignore[misc, valid-type]
        def apply_causal_mask(
            self, attn_scores: Any, past_kv_pos_offset: int = 0, attention_mask: Any = None
        ) -> Any:
            masked = super().apply_causal_mask(attn_scores, past_kv_pos_offset, attention_mask)
            return masked.clamp(max=0.1)

    class Values(library_class):  # type: ignore[misc, valid-type]
        def calculate_z_scores(self, v: Any, pattern: Any) -> Any:
            return super().calculate_z_scores(v, pattern) + 0.25

    class Projections(library_class):  # type: ignore[misc, valid-type]
        def calculate_qkv_matrices(self, query_input: Any, key_input: Any, value_input: Any) -> Any:
            q, k, v = super().calculate_qkv_matrices(query_input, key_input, value_input)
            return q, k.flip(-1), v

    class Turned(library_class):  # type: ignore[misc, valid-type]
        def apply_rotary(self, x: Any, past_kv_pos_offset: int = 0, attention_mask: Any = None) -> Any:
            return -super().apply_rotary(x.flip(-1), past_kv_pos_offset, attention_mask)

    class Whole(library_class):  # type: ignore[misc, valid-type]
        def forward(
            self,
            query_input: Any,
            key_input: Any,
            value_input: Any,
            past_kv_cache_entry: Any = None,
            additive_attention_mask: Any = None,
            attention_mask: Any = None,
            position_bias: Any = None,
        ) -> Any:
            out = super().forward(
                query_input,
                key_input,
                value_input,
                past_kv_cache_entry,
                additive_attention_mask,
                attention_mask,
                position_bias,
            )
            return out * 1.5

    return {
        "scores": Scores,
        "mask": Mask,
        "values": Values,
        "projections": Projections,
        "rotary": Turned,
        "forward": Whole,
    }


def with_subclass(kind: str, method: str, **fields: Any) -> tuple[Any, Any]:
    """Twins whose second layer is an object of the subclass, in each library."""
    ours, theirs = twins(kind, dtype=torch.float64, **VARIANT_FIELDS.get(kind, {}), **fields)
    for model in (ours, theirs):
        attn = model.blocks[1].attn
        own = changed(type(attn))[method](model.cfg, attn.attn_type, 1)
        own.load_state_dict(attn.state_dict())
        model.blocks[1].attn = own
        model.setup()
    return ours, theirs


METHODS = ("scores", "mask", "values", "projections", "rotary", "forward")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["plain", "rotary", "grouped", "window"])
def test_a_subclass_that_overrides_one_method_changes_the_model(kind: str, method: str) -> None:
    if method == "rotary" and kind != "rotary":
        pytest.skip("positions are not rotary")
    ours, theirs = with_subclass(kind, method)
    plain, _ = twins(kind, dtype=torch.float64, **VARIANT_FIELDS.get(kind, {}))
    tokens = tiny_tokens()
    logits, cache = ours.run_with_cache(tokens)
    expected, their_cache = theirs.run_with_cache(tokens)
    assert same(logits, expected) and same(ours(tokens), expected)
    assert not torch.allclose(logits, plain(tokens), atol=1e-3)
    for name in ("hook_q", "hook_v", "hook_attn_scores", "hook_pattern", "hook_z"):
        full = f"blocks.1.attn.{name}"
        if not (name in ("hook_q",) and method == "projections"):
            assert same(cache[full], their_cache[full]), full


@pytest.mark.parametrize("method", METHODS)
def test_a_subclass_works_with_padding_and_a_key_value_cache(method: str) -> None:
    ours, theirs = with_subclass("rotary", method)
    tokens, mask = tiny_tokens(), PADDING
    expected = theirs(tokens, attention_mask=mask)
    found = ours(tokens, attention_mask=mask)
    assert same(found[mask.bool()], expected[mask.bool()])
    from mechscope.past_key_value_caching import HookedTransformerKeyValueCache

    cache = HookedTransformerKeyValueCache.init_cache(ours.cfg, "cpu", 2)
    parts = [
        ours(tokens[:, :5], attention_mask=mask[:, :5], past_kv_cache=cache),
        ours(tokens[:, 5:6], past_kv_cache=cache),
        ours(tokens[:, 6:], past_kv_cache=cache),
    ]
    assert torch.allclose(torch.cat(parts, 1)[mask.bool()], found[mask.bool()], atol=1e-9)


def test_a_method_assigned_to_one_layer_changes_that_layer() -> None:
    ours, _ = twins("plain", dtype=torch.float64)
    tokens = tiny_tokens()
    before = ours(tokens)
    attn = ours.blocks[0].attn
    usual = attn.calculate_attention_scores
    attn.calculate_attention_scores = lambda q, k: usual(q, k) * 0
    _, cache = ours.run_with_cache(tokens)
    assert not torch.allclose(ours(tokens), before)
    evenly = cache["pattern", 0][0, 0]
    assert torch.allclose(evenly[3, :4], torch.full((4,), 0.25, dtype=torch.float64))
    del attn.calculate_attention_scores
    assert torch.equal(ours(tokens), before)


def test_a_method_assigned_to_the_class_changes_every_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """As notebooks do it, after models have run already."""
    model = tiny_model(dtype=torch.float64)
    before = model(tiny_tokens())
    usual = components.Attention.calculate_attention_scores
    monkeypatch.setattr(
        components.Attention, "calculate_attention_scores", lambda self, q, k: usual(self, q, k) * 0
    )
    assert not torch.allclose(model(tiny_tokens()), before)
    monkeypatch.undo()
    assert torch.equal(model(tiny_tokens()), before)


def test_a_hook_on_z_fires_once_in_a_subclass() -> None:
    ours, _ = with_subclass("plain", "values")
    seen = []
    ours.run_with_hooks(
        tiny_tokens(), fwd_hooks=[("blocks.1.attn.hook_z", lambda z, hook: seen.append(z.shape))]
    )
    assert len(seen) == 1


def test_a_block_of_ones_own_takes_the_classic_arguments() -> None:
    ours, theirs = twins("plain", dtype=torch.float64)
    for model in (ours, theirs):

        class Doubling(type(model.blocks[0])):  # type: ignore[misc]
            def forward(
                self,
                resid_pre: Any,
                shortformer_pos_embed: Any = None,
                past_kv_cache_entry: Any = None,
                attention_mask: Any = None,
            ) -> Any:
                return 2 * super().forward(
                    resid_pre, shortformer_pos_embed, past_kv_cache_entry, attention_mask
                )

        own = Doubling(model.cfg, 1)
        own.load_state_dict(model.blocks[1].state_dict())
        model.blocks[1] = own
        model.setup()
    tokens = tiny_tokens()
    assert same(ours(tokens), theirs(tokens))
    expected = theirs(tokens, attention_mask=PADDING)
    assert same(ours(tokens, attention_mask=PADDING)[PADDING.bool()], expected[PADDING.bool()])


@pytest.mark.parametrize("method", ["scores", "mask", "values", "forward", "assigned", "mlp"])
def test_patching_sees_the_layers_of_ones_own(method: str) -> None:
    """What resumes inside the forward pass calls such a layer too: the same as a run with hooks for each."""
    from mechscope import patching

    if method in ("assigned", "mlp"):
        model, _ = twins("plain", dtype=torch.float64)
    else:
        model, _ = with_subclass("plain", method)
    if method == "assigned":
        usual = model.blocks[1].attn.calculate_attention_scores
        model.blocks[1].attn.calculate_attention_scores = lambda q, k: usual(q, k) * 0.5
    if method == "mlp":
        mlp = model.blocks[1].mlp
        forward = mlp.forward
        mlp.forward = lambda x: 2 * forward(x)
    corrupted = tiny_tokens()
    _, clean = model.run_with_cache(corrupted.flip(0))

    def metric(logits: torch.Tensor) -> torch.Tensor:
        return logits[:, -1, 3].mean()

    found = patching.get_act_patch_resid_pre(model, corrupted, clean, metric)
    heads = patching.get_act_patch_attn_head_out_all_pos(model, corrupted, clean, metric)
    for layer in range(2):
        for position in (0, 4, 8):

            def patch(resid: Any, hook: Any, position: int = position) -> None:
                resid[:, position] = clean[hook.name][:, position]

            hooks = [(f"blocks.{layer}.hook_resid_pre", patch)]
            expected = metric(model.run_with_hooks(corrupted, fwd_hooks=hooks))
            assert float(found[layer, position]) == pytest.approx(expected.item(), abs=1e-6)

        def swap(z: Any, hook: Any) -> None:
            z[:, :, 2] = clean[hook.name][:, :, 2]

        hooks = [(f"blocks.{layer}.attn.hook_z", swap)]
        expected = metric(model.run_with_hooks(corrupted, fwd_hooks=hooks))
        assert float(heads[layer, 2]) == pytest.approx(expected.item(), abs=1e-6)


def test_patching_refuses_a_forward_pass_of_ones_own() -> None:
    from mechscope import patching

    class Own(HookedTransformer):
        def forward(self, *args: Any, **kwargs: Any) -> Any:
            return super().forward(*args, **kwargs)

    model = Own(tiny_model().cfg)
    _, clean = model.run_with_cache(tiny_tokens())
    with pytest.raises(ValueError, match="Own overrides the forward pass"):
        patching.get_act_patch_resid_pre(model, tiny_tokens(), clean, lambda logits: logits.mean())
