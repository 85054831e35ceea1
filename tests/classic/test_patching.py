"""The classic patching functions: against a loop by hand, against the peer, and misused."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from mechscope import patching
from mechscope.model.transformer import HookedTransformer
from tests.classic.peers import twins
from tests.model.tiny import exact_model, tiny_model, tiny_tokens

LENGTH = 5


def metric(logits: torch.Tensor) -> torch.Tensor:
    return (logits[:, -1, 3] - logits[:, -1, 4]).mean()


def runs(model: Any) -> tuple[torch.Tensor, Any]:
    """Corrupted tokens and the cache of a clean run."""
    clean, corrupted = tiny_tokens(2, LENGTH, seed=1), tiny_tokens(2, LENGTH, seed=2)
    return corrupted, model.run_with_cache(clean)[1]


def by_hand(
    model: HookedTransformer, corrupted: torch.Tensor, name: str, patch: Callable[[torch.Tensor], Any]
) -> float:
    """The metric of a run with one edit, without any of the code under test."""

    def hook(activation: torch.Tensor, hook: Any) -> torch.Tensor:
        patch(activation)
        return activation

    return metric(model.run_with_hooks(corrupted, fwd_hooks=[(name, hook)])).item()


@pytest.mark.parametrize("kind", ["resid_pre", "resid_mid", "attn_out", "mlp_out"])
def test_patching_by_position_is_the_loop_by_hand(kind: str) -> None:
    model = tiny_model()
    corrupted, clean = runs(model)
    found = getattr(patching, f"get_act_patch_{kind}")(model, corrupted, clean, metric, progress=False)
    assert found.shape == (2, LENGTH)
    for layer in range(2):
        for pos in range(LENGTH):
            source = clean[kind, layer]

            def patch(activation: torch.Tensor, pos: int = pos, source: torch.Tensor = source) -> None:
                activation[:, pos] = source[:, pos]

            expected = by_hand(model, corrupted, f"blocks.{layer}.hook_{kind}", patch)
            assert float(found[layer, pos]) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("variant", ["plain", "grouped"])
@pytest.mark.parametrize("kind", ["out", "q", "k", "v", "pattern"])
def test_patching_heads_is_the_loop_by_hand(kind: str, variant: str) -> None:
    model = tiny_model(variant)
    corrupted, clean = runs(model)
    everywhere = getattr(patching, f"get_act_patch_attn_head_{kind}_all_pos")(
        model, corrupted, clean, metric, progress=False
    )
    by_pos = getattr(patching, f"get_act_patch_attn_head_{kind}_by_pos")(
        model, corrupted, clean, metric, progress=False
    )
    heads = 2 if variant == "grouped" and kind in ("k", "v") else 4
    assert everywhere.shape == (2, heads)
    assert by_pos.shape == ((2, heads, LENGTH) if kind == "pattern" else (2, LENGTH, heads))
    short = "z" if kind == "out" else kind
    axis = 1 if kind == "pattern" else 2
    for layer, head, pos in ((0, 0, 2), (1, heads - 1, LENGTH - 1)):
        source, name = clean[short, layer], f"blocks.{layer}.attn.hook_{short}"

        def whole(activation: torch.Tensor, source: torch.Tensor = source, head: int = head) -> None:
            activation.select(axis, head)[:] = source.select(axis, head)

        def one(
            activation: torch.Tensor, source: torch.Tensor = source, head: int = head, pos: int = pos
        ) -> None:
            activation.select(axis, head)[:, pos] = source.select(axis, head)[:, pos]

        assert float(everywhere[layer, head]) == pytest.approx(
            by_hand(model, corrupted, name, whole), abs=1e-5
        )
        entry = by_pos[layer, head, pos] if kind == "pattern" else by_pos[layer, pos, head]
        assert float(entry) == pytest.approx(by_hand(model, corrupted, name, one), abs=1e-5)


def test_sweeps_over_several_activations_stack_the_single_ones() -> None:
    model = tiny_model("grouped")
    corrupted, clean = runs(model)
    arguments = (model, corrupted, clean, metric)
    every = patching.get_act_patch_attn_head_all_pos_every(*arguments, progress=False)
    assert every.shape == (5, 2, 4)
    keys = patching.get_act_patch_attn_head_k_all_pos(*arguments, progress=False)
    assert torch.equal(every[2], keys.repeat_interleave(2, dim=1))
    positions = patching.get_act_patch_attn_head_by_pos_every(*arguments, progress=False)
    assert positions.shape == (5, 2, LENGTH, 4)
    rows = patching.get_act_patch_attn_head_pattern_by_pos(*arguments, progress=False)
    assert torch.equal(positions[4], rows.transpose(1, 2))
    blocks = patching.get_act_patch_block_every(*arguments, progress=False)
    assert blocks.shape == (3, 2, LENGTH)
    assert torch.equal(blocks[2], patching.get_act_patch_mlp_out(*arguments, progress=False))
    # the clean residual stream everywhere at the start is the clean run
    single = patching.get_act_patch_attn_head_pattern_dest_src_pos(*arguments, progress=False)
    assert single.shape == (2, 4, LENGTH, LENGTH)
    above = torch.ones(LENGTH, LENGTH).triu(1).bool()
    baseline = metric(model(corrupted)).item()
    assert torch.allclose(single[:, :, above], torch.tensor(baseline), atol=1e-5)


def test_a_data_frame_may_say_what_to_patch_and_come_back() -> None:
    pd = pytest.importorskip("pandas")
    model = tiny_model()
    corrupted, clean = runs(model)
    whole, frame = patching.get_act_patch_resid_pre(
        model, corrupted, clean, metric, return_index_df=True, progress=False
    )
    assert list(frame.columns) == ["layer", "pos"] and len(frame) == 2 * LENGTH
    rows = pd.DataFrame({"layer": [1, 0], "pos": [4, 2]})
    some = patching.get_act_patch_resid_pre(model, corrupted, clean, metric, index_df=rows, progress=False)
    assert torch.allclose(some, torch.stack([whole[1, 4], whole[0, 2]]), atol=1e-5)
    some, back = patching.generic_activation_patch(
        model,
        corrupted,
        clean,
        metric,
        patching.layer_pos_patch_setter,
        "resid_pre",
        index_df=rows,
        return_index_df=True,
        progress=False,
    )
    assert back is rows
    assert len(patching.make_df_from_ranges([2, 3], ["layer", "pos"])) == 6


def test_the_direct_path_of_a_head_leaves_all_later_parts_as_they_were() -> None:
    model = tiny_model()
    corrupted, clean = runs(model)
    found = patching.get_act_patch_direct_path(model, corrupted, clean, metric, progress=False)
    assert found.shape == (2, 4)
    _, cache = model.run_with_cache(corrupted)

    def by_freezing(layer: int, head: int) -> float:
        """Patch the head, and hold what every later attention and MLP writes at its corrupted value."""

        def patch(z: torch.Tensor, hook: Any) -> torch.Tensor:
            z[:, :, head] = clean["z", layer][:, :, head]
            return z

        def freeze(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            return cache[hook.name]

        hooks: list[Any] = [(f"blocks.{layer}.attn.hook_z", patch), (f"blocks.{layer}.hook_mlp_out", freeze)]
        for later in range(layer + 1, 2):
            hooks += [(f"blocks.{later}.hook_{part}", freeze) for part in ("attn_out", "mlp_out")]
        return metric(model.run_with_hooks(corrupted, fwd_hooks=hooks)).item()

    for layer in range(2):
        for head in range(4):
            assert float(found[layer, head]) == pytest.approx(by_freezing(layer, head), abs=1e-5)


def test_a_patched_run_leaves_model_cache_and_tokens_as_they_were() -> None:
    model = tiny_model()
    corrupted, clean = runs(model)
    before = {name: value.clone() for name, value in clean.items()}
    logits = model(corrupted)
    patching.get_act_patch_attn_head_all_pos_every(model, corrupted, clean, metric, progress=False)
    assert torch.equal(model(corrupted), logits)
    assert all(torch.equal(clean[name], value) for name, value in before.items())
    assert not any(point.watched for point in model.hook_points())


def test_one_clean_prompt_may_serve_a_batch_and_a_plain_dictionary_a_cache() -> None:
    model = exact_model()
    corrupted = tiny_tokens(2, LENGTH, seed=2)
    clean = tiny_tokens(1, LENGTH, seed=1)
    _, one = model.run_with_cache(clean, return_cache_object=False)
    _, two = model.run_with_cache(clean.expand(2, -1))
    found = patching.get_act_patch_resid_pre(model, corrupted, one, metric, progress=False)
    expected = patching.get_act_patch_resid_pre(model, corrupted, two, metric, progress=False)
    assert torch.allclose(found, expected, atol=1e-6)
    single = patching.get_act_patch_resid_pre(model, corrupted[0], one, metric, progress=False)
    assert single.shape == (2, LENGTH)


@pytest.mark.parametrize(
    ("change", "error", "says"),
    [
        (
            {"corrupted_tokens": tiny_tokens(2, 7)},
            ValueError,
            "clean run has 5 positions and the corrupted one 7",
        ),
        ({"corrupted_tokens": tiny_tokens(3, 5)}, ValueError, "batch of 2 and the corrupted one of 3"),
        ({"patching_metric": lambda logits: logits[:, -1, 0]}, ValueError, "one number"),
        ({"activation_name": "resid_prr"}, KeyError, "resid_prr"),
        ({"activation_name": "rot_q"}, KeyError, "has standard positions"),
        ({"index_axis_names": ("pos", "layer")}, ValueError, "must be 'layer'"),
        ({"index_axis_names": ("layer", "token")}, ValueError, "not 'token'"),
        ({"index_axis_names": None}, ValueError, "either index_axis_names"),
    ],
)
def test_misuse_is_an_error_before_any_long_computation(
    change: dict[str, Any], error: type[Exception], says: str
) -> None:
    model = tiny_model()
    corrupted, clean = runs(model)
    arguments: dict[str, Any] = {
        "model": model,
        "corrupted_tokens": corrupted,
        "clean_cache": clean,
        "patching_metric": metric,
        "patch_setter": patching.layer_pos_patch_setter,
        "activation_name": "resid_pre",
        "index_axis_names": ("layer", "pos"),
        "progress": False,
    }
    with pytest.raises(error, match=says):
        patching.generic_activation_patch(**{**arguments, **change})


def test_a_cache_that_lacks_what_is_patched_or_the_batch_is_an_error() -> None:
    model = tiny_model()
    corrupted, _ = runs(model)
    _, partial = model.run_with_cache(corrupted, names_filter="blocks.0.hook_resid_pre")
    with pytest.raises(KeyError, match=r"blocks\.1\.hook_resid_pre"):
        patching.get_act_patch_resid_pre(model, corrupted, partial, metric, progress=False)
    _, bare = model.run_with_cache(corrupted[:1], remove_batch_dim=True)
    with pytest.raises(ValueError, match="no batch axis"):
        patching.get_act_patch_resid_pre(model, corrupted[:1], bare, metric, progress=False)
    with pytest.raises(ValueError, match="a single head has no direct path"):
        other = tiny_model("norms after")
        patching.get_act_patch_direct_path(other, *runs(other), metric, progress=False)
    with pytest.raises(KeyError, match="attention-only"):
        other = tiny_model("attention only")
        patching.get_act_patch_mlp_out(other, *runs(other), metric, progress=False)


@pytest.mark.peer
def test_every_function_agrees_with_the_peer() -> None:
    ours, theirs = twins()
    peer = pytest.importorskip("transformer_lens.patching")
    corrupted, clean = runs(ours)
    _, their_clean = runs(theirs)
    names = [name for name in vars(peer) if name.startswith("get_act_patch")]
    assert len(names) == 18
    for name in names:
        found = getattr(patching, name)(ours, corrupted, clean, metric, progress=False)
        with torch.no_grad():
            expected = getattr(peer, name)(theirs, corrupted, their_clean, metric)
        assert found.shape == expected.shape, name
        assert torch.allclose(found, expected, atol=1e-4), name
