"""A dictionary's points as sites of the sweep engine, against one whole run with hooks for every edit."""

from __future__ import annotations

import random

import pytest
import torch
from torch.testing import assert_close

from mechscope.dictionaries import ReluConfig, TopKConfig, build, transcoder
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.model.transformer import HookedTransformer
from mechscope.techniques.sweep import Edit, Sweep
from mechscope.techniques.sweep._memory import bytes_of_example
from tests.model.tiny import tiny_model, tiny_tokens
from tests.techniques.sweep.test_sweep import naive

BATCH, LENGTH = 3, 7
WIDTHS = {"mlp.hook_post": 40, "attn.hook_z": 32, "attn.hook_v": 32}
PARTS = (
    "hook_resid_pre", "hook_resid_mid", "hook_resid_post", "hook_attn_out", "hook_mlp_out", "mlp.hook_post",
    "attn.hook_z", "attn.hook_v",
)  # fmt: skip
THROUGH = (("ln2.hook_normalized", "hook_mlp_out"), ("hook_resid_pre", "hook_mlp_out"))


def some_dictionary(width: int, seed: int, writes: int | None = None) -> Dictionary:
    cfg = TopKConfig(d_in=width, d_sae=50, k=6) if seed % 2 else ReluConfig(d_in=width, d_sae=50)
    dictionary = build(cfg if writes is None else transcoder(cfg, writes, skip=True), seed).eval()
    draw = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            parameter += 0.1 * torch.randn(parameter.shape, generator=draw)
    return dictionary


def edits_for(
    model: HookedTransformer, attached_names: list[str], other: dict[str, torch.Tensor], rng: random.Random
) -> list[tuple[Edit, ...]]:
    heads = [
        Edit(f"blocks.{layer}.attn.hook_z", other[f"blocks.{layer}.attn.hook_z"], head=1, pos=3)
        for layer in range(2)
    ]
    rest = [Edit("blocks.1.hook_mlp_out", 0.0, pos=4)]
    features: list[Edit] = []
    for name in attached_names:
        some = rng.sample(range(other[name].shape[-1]), 3)
        pos = torch.tensor([rng.randrange(LENGTH) for _ in range(BATCH)])
        features += [
            Edit(name, other[name], pos=rng.randrange(LENGTH), index=some[0]),
            Edit(name, other[name], pos=(2, 5), index=tuple(some)),
            Edit(name, other[name], pos=pos, index=some[1]),
            Edit(name, 3.0 if rng.random() < 0.5 else other[name], index=some[2], how="add"),
        ]
    pairs = [(features[0], heads[0]), (features[1], rest[0])]
    return [*((edit,) for edit in [*features, *heads, *rest]), *pairs]


def compare(model: HookedTransformer, points: list[str], seed: int, **kwargs: torch.Tensor) -> None:
    tokens, others = tiny_tokens(BATCH, LENGTH, seed=seed), tiny_tokens(BATCH, LENGTH, seed=seed + 1)
    rng = random.Random(seed)
    hooks = [*points, *(f"blocks.{layer}.attn.hook_z" for layer in range(2))]
    other = dict(model.run_with_cache(others, names_filter=hooks, **kwargs)[1].items())
    interventions = edits_for(model, points, other, rng)
    expected = torch.stack([naive(model, tokens, group, **kwargs) for group in interventions])
    reads = torch.full((BATCH, 1), LENGTH - 1)
    for where in (reads, torch.tensor([[2, 5], [6, 1], [3, 3]]), None)[: 2 + seed % 2]:
        sweep = Sweep(model, tokens, where, progress=False, **kwargs)  # type: ignore[arg-type]
        found = sweep.run(interventions, lambda logits: logits + 0.0)
        wanted = expected if where is None else expected[:, torch.arange(BATCH)[:, None], where]
        assert_close(found, wanted, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("error_term", [False, True])
@pytest.mark.parametrize("part", PARTS)
def test_features_are_sites_wherever_a_dictionary_is_attached(part: str, error_term: bool) -> None:
    seed = 2 * PARTS.index(part) + error_term
    for layer in (0, 1) if part == "hook_resid_pre" else (error_term,):
        model = tiny_model("plain", seed=seed)
        dictionary = some_dictionary(WIDTHS.get(part, 24), seed)
        with dictionary.attached(model, f"blocks.{layer:d}.{part}", error_term=error_term) as attached:
            compare(model, [attached.features, attached.error if error_term else attached.output], seed)


@pytest.mark.parametrize(
    "variant", ["rotary", "parallel", "bidirectional", "grouped", "norms before and after"]
)
def test_and_in_models_of_other_kinds(variant: str) -> None:
    model = tiny_model(variant, seed=3)
    with some_dictionary(24, 0).attached(model, "blocks.1.hook_resid_pre", error_term=False) as attached:
        compare(model, [attached.features], 51)
    with some_dictionary(24, 1).attached(model, "blocks.0.hook_mlp_out", error_term=False) as attached:
        compare(model, [attached.features], 52)


@pytest.mark.parametrize(("reads", "writes"), THROUGH)
def test_a_transcoder_is_a_site_too(reads: str, writes: str) -> None:
    model = tiny_model("plain", seed=5)
    through = some_dictionary(24, THROUGH.index((reads, writes)), writes=24)
    names = f"blocks.1.{reads}", f"blocks.1.{writes}"
    with through.attached(model, names[0], writes=names[1], error_term=False) as attached:
        compare(model, [attached.features, attached.output], 20)


def test_two_dictionaries_and_padding() -> None:
    model = tiny_model("plain", seed=7)
    mask = torch.ones(BATCH, LENGTH, dtype=torch.bool)
    mask[1, 5:] = False
    low, high = some_dictionary(24, 1), some_dictionary(24, 2)
    with (
        low.attached(model, "blocks.0.hook_resid_post") as below,
        high.attached(model, "blocks.1.hook_resid_pre", error_term=False) as above,
    ):
        compare(model, [below.features, above.features], 31, attention_mask=mask)


def test_a_hook_of_ones_own_beside_it_is_told_once() -> None:
    # A hook that does more each time it is told shows whether a resumed run tells it again.
    model = tiny_model("plain", seed=8)
    model.add_hook("blocks.1.hook_resid_pre", lambda a, hook: a + 0.5)
    model.add_hook("blocks.0.hook_resid_pre", lambda a, hook: a * 1.5)
    with some_dictionary(24, 1).attached(model, "blocks.1.hook_resid_post", error_term=False) as attached:
        compare(model, [attached.features], 41)


def test_the_shortcuts_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    model, tokens = tiny_model("plain", seed=9), tiny_tokens(BATCH, LENGTH, seed=9)
    dictionary = some_dictionary(24, 1)
    seen: list[tuple[int, ...]] = []
    whole = Dictionary.pre_activations

    def spy(self: Dictionary, x: torch.Tensor) -> torch.Tensor:
        seen.append(tuple(x.shape[:-1]))
        return whole(self, x)

    monkeypatch.setattr(Dictionary, "pre_activations", spy)
    with dictionary.attached(model, "blocks.0.hook_mlp_out") as attached:
        sweep = Sweep(model, tokens, torch.full((BATCH, 1), LENGTH - 1), progress=False)
        edits = [Edit(attached.features, 0.0, pos=5, index=feature) for feature in range(4)]
        base = sweep.base_logits
        seen.clear()
        sweep.run(edits, lambda logits: logits - base)
        # Beside the base run, all four together, and only at the position that is edited.
        assert (4 * BATCH, 1) in seen
        assert {shape for shape in seen if shape != (BATCH, LENGTH)} == {(4 * BATCH, 1)}


def test_memory_counts_features() -> None:
    model = tiny_model("plain", seed=0)
    narrow = bytes_of_example(model.cfg, 2, 7, open_attention=False)
    assert bytes_of_example(model.cfg, 2, 7, open_attention=False, extra=100) == narrow + 4 * 100 * 5
    tokens = tiny_tokens(BATCH, LENGTH, seed=9)
    rows: list[int] = []
    wide = build(ReluConfig(d_in=24, d_sae=5000), 0)
    for dictionary in (some_dictionary(24, 1), wide):
        with dictionary.attached(model, "blocks.0.hook_mlp_out") as attached:
            model.add_hook("blocks.1.hook_resid_post", lambda a, hook: rows.append(len(a)) or a)
            rows.clear()
            sweep = Sweep(model, tokens, torch.full((BATCH, 1), 6), progress=False, memory=2_000_000)
            edits = [Edit(attached.features, 0.0, index=feature) for feature in range(12)]
            found = sweep.run(edits, lambda logits: logits)
            model.reset_hooks()
            most = max(rows) // BATCH
            assert len(found) == 12
            rows[:] = [most]
        if dictionary is wide:
            assert most == 1
        else:
            assert most > 4


def test_a_dictionary_that_is_not_attached_is_an_error_that_says_so() -> None:
    model, tokens = tiny_model("plain", seed=0), tiny_tokens(BATCH, LENGTH, seed=0)
    sweep = Sweep(model, tokens, progress=False)
    name = "blocks.0.hook_mlp_out.hook_sae_acts_post"
    with pytest.raises(KeyError, match=r"no dictionary is attached there: .*'blocks.0.hook_mlp_out'"):
        sweep.run([Edit(name, 0.0)], lambda logits: logits)
    with pytest.raises(KeyError, match=r"with dictionary.attached\(model, 'blocks.0.hook_mlp_out'\)"):
        model.run_with_cache(tokens, names_filter=name)
    with some_dictionary(24, 1).attached(model, "blocks.0.hook_mlp_out") as attached:
        with pytest.raises(KeyError, match="nearest names.*hook_sae_acts_post"):
            sweep.run([Edit(f"{attached.reads}.hook_sae_acts_pots", 0.0)], lambda logits: logits)
        with pytest.raises(ValueError, match=r"between 0|outside 0 to 6"):
            sweep.run([Edit(attached.features, 0.0, pos=7)], lambda logits: logits)
