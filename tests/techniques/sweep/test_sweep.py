"""The sweep engine against one whole run with hooks for every intervention."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch

from mechscope.model.transformer import HookedTransformer
from mechscope.techniques.sweep import Edit, Sweep
from mechscope.techniques.sweep._memory import bytes_of_example
from mechscope.techniques.sweep._plan import Row, plan
from tests.model.tiny import VARIANTS, close, exact_model, tiny_tokens

LENGTH, BATCH = 7, 3
IN_BLOCK = (
    "hook_resid_pre", "hook_q_input", "hook_k_input", "hook_v_input", "attn.hook_q", "attn.hook_k", "attn.hook_v",
    "attn.hook_rot_k", "attn.hook_pattern", "attn.hook_attn_scores", "attn.hook_z", "attn.hook_result",
    "hook_attn_out", "hook_resid_mid", "hook_mlp_in", "mlp.hook_pre", "mlp.hook_post", "hook_mlp_out",
    "hook_resid_post", "ln1.hook_normalized", "ln2.hook_scale",
)  # fmt: skip


def naive(
    model: HookedTransformer, tokens: torch.Tensor, edits: tuple[Edit, ...], **kwargs: Any
) -> torch.Tensor:
    """Logits of a whole run; each edit written out by hand, one element of the batch and position at a time."""

    def hook_for(edit: Edit) -> Any:
        def hook(activation: torch.Tensor, hook: Any) -> torch.Tensor:
            activation = activation.clone(memory_format=torch.contiguous_format)
            if edit.function is not None:
                return edit.function(activation, range(activation.shape[1]))
            pattern = edit.hook.endswith(("pattern", "scores"))
            length = activation.shape[2 if pattern else 1]
            for example in range(len(activation)):
                if edit.pos is None:
                    where = list(range(length))
                elif isinstance(edit.pos, torch.Tensor):
                    where = [int(edit.pos[example])]
                else:
                    where = [edit.pos] if isinstance(edit.pos, int) else list(edit.pos)
                for pos in where:
                    if pattern:
                        heads = range(activation.shape[1]) if edit.head is None else _list(edit.head)
                        keys = range(activation.shape[3]) if edit.key is None else _list(edit.key)
                        places = [(example, head, pos, key) for head in heads for key in keys]
                    elif activation.ndim == 4:
                        heads = range(activation.shape[2]) if edit.head is None else _list(edit.head)
                        places = [(example, pos, head) for head in heads]
                    else:
                        places = [(example, pos)]
                    for place in places:
                        old = activation[place]
                        new = edit.value[place] if isinstance(edit.value, torch.Tensor) else edit.value
                        if edit.how == "add":
                            new = old + new
                        if edit.basis is not None:
                            new = old + edit.basis @ (edit.basis.mT @ (new - old))
                        if edit.index is not None:
                            index = _list(edit.index)
                            activation[(*place, index)] = new[index] if isinstance(new, torch.Tensor) else new
                        else:
                            activation[place] = new
            return activation

        return hook

    return model.run_with_hooks(tokens, fwd_hooks=[(edit.hook, hook_for(edit)) for edit in edits], **kwargs)


def _list(where: int | tuple[int, ...]) -> list[int]:
    return [where] if isinstance(where, int) else list(where)


def sites_of(model: HookedTransformer) -> list[str]:
    names = [f"blocks.{layer}.{part}" for layer in range(model.cfg.n_layers) for part in IN_BLOCK]
    names = [name for name in names if name in model.hook_dict]
    return [*names, "hook_embed"]


def random_edit(hook: str, other: dict[str, torch.Tensor], rng: random.Random) -> Edit:
    value = other[hook]
    pattern = hook.endswith(("pattern", "scores"))
    length = value.shape[2 if pattern else 1]
    heads = value.shape[1] if pattern else value.shape[2] if value.ndim == 4 else 0
    pos: Any = rng.choice([
        None,
        rng.randrange(length),
        tuple(rng.sample(range(length), 2)),
        torch.tensor([rng.randrange(length) for _ in range(BATCH)]),
    ])  # fmt: skip
    head = (
        rng.choice([None, rng.randrange(heads), tuple(rng.sample(range(heads), min(heads, 2)))])
        if heads
        else None
    )
    index = (
        None
        if pattern
        else rng.choice([None, None, rng.randrange(value.shape[-1]), (0, value.shape[-1] - 1)])
    )
    incoming = rng.choice([value, value, 0.5 if "scores" not in hook else value])
    return Edit(hook, incoming, pos=pos, head=head, index=index)


# Angles that depend on the length of the text, which is longer than the 4 tokens that the model was trained on.
DYNAMIC = {
    "rotary_scaling": {"type": "dynamic", "factor": 3.0, "original_max_position_embeddings": 4},
    "positional_embedding_type": "rotary",
}


@pytest.mark.parametrize("variant", [*VARIANTS, "rotary, dynamic"])
def test_interventions_equal_whole_runs(variant: str) -> None:
    rng = random.Random(variant)
    seed = rng.randrange(100)
    model = exact_model(variant, seed) if variant in VARIANTS else exact_model("plain", seed, **DYNAMIC)
    tokens, others = tiny_tokens(BATCH, LENGTH, seed=1), tiny_tokens(BATCH, LENGTH, seed=2)
    others[:, :2] = tokens[:, :2]  # what begins alike need not be recomputed
    hooks = sites_of(model)
    split = [hook for hook in hooks if "_input" in hook]
    other = dict(
        model.run_with_cache(others, names_filter=[hook for hook in hooks if hook not in split])[1].items()
    )
    other |= model.run_with_cache(others, names_filter=split)[1].items()
    edits = [random_edit(hook, other, rng) for hook in hooks for _ in range(2)]
    interventions = [(edit,) for edit in edits]
    interventions += [tuple(rng.sample(edits, 2)) for _ in range(6)]
    # Two edits of one hook point act in the order given; keep to different points, as their order is the model's.
    interventions = [group for group in interventions if len({edit.hook for edit in group}) == len(group)]
    # A norm whose readers are split by head has another shape.
    interventions = [
        group
        for group in interventions
        if not (any("_input" in edit.hook for edit in group) and any("ln1" in edit.hook for edit in group))
    ]
    expected = torch.stack([naive(model, tokens, group) for group in interventions])
    choices = [
        None,
        torch.full((BATCH, 1), LENGTH - 1),
        torch.tensor([[2, 5], [6, 1], [3, 3]]),
        torch.tensor([[4], [3], [4]]),
    ]
    # Which positions are read does not depend on the model, so each model tries two of them.
    for reads in rng.sample(choices, 2):
        sweep = Sweep(model, tokens, reads, progress=False)
        # Without named positions the metric is a function of all logits, as the classic one.
        found = sweep.run(interventions, (lambda logits: logits) if reads is not None else _everything)
        wanted = expected if reads is None else expected[:, torch.arange(BATCH)[:, None], reads]
        assert close(found, wanted, 2e-5), reads


@pytest.mark.parametrize(
    "part", ["blocks.0.attn", "blocks.1.mlp", "blocks.1.ln1", "blocks.1", "blocks.0.attn.hook_z"]
)
def test_torchs_own_hooks_are_met_by_every_intervention(part: str) -> None:
    model, tokens = exact_model("plain"), tiny_tokens(BATCH, LENGTH)
    _, other = model.run_with_cache(tiny_tokens(BATCH, LENGTH, seed=3))
    # Each position's output depends on the first one's, so the hook must be shown whole activations.
    model.get_submodule(part).register_forward_hook(lambda module, given, out: out + 0.3 * out[:, :1])
    edits = [
        Edit(hook, other[hook], pos=pos)
        for hook in ("blocks.0.hook_resid_pre", "blocks.0.hook_mlp_out", "blocks.1.attn.hook_v")
        for pos in (0, 3, LENGTH - 1)
    ]
    expected = torch.stack([naive(model, tokens, (edit,))[:, -1] for edit in edits])
    sweep = Sweep(model, tokens, torch.full((BATCH, 1), LENGTH - 1), progress=False)
    assert close(sweep.run(edits, lambda logits: logits[:, 0]), expected, 2e-5)


def _everything(logits: torch.Tensor) -> torch.Tensor:
    return logits + 0


@pytest.mark.parametrize("memory", [1, 50_000, None])
def test_the_memory_budget_changes_nothing_but_the_batches(memory: int | None) -> None:
    model = exact_model("rotary")
    tokens = tiny_tokens(BATCH, LENGTH)
    _, cache = model.run_with_cache(tiny_tokens(BATCH, LENGTH, seed=3))
    edits = [
        Edit(f"blocks.{layer}.attn.hook_z", cache["z", layer], pos=pos, head=head)
        for layer in range(2)
        for pos in range(LENGTH)
        for head in range(4)
    ]
    sweep = Sweep(model, tokens, torch.full((BATCH, 1), LENGTH - 1), memory=memory, progress=False)
    found = sweep.run(edits, lambda logits: logits[:, 0])
    expected = torch.stack([naive(model, tokens, (edit,))[:, -1] for edit in edits])
    assert close(found, expected, 2e-5)


def test_add_basis_and_function() -> None:
    model = exact_model("grouped")
    tokens = tiny_tokens(BATCH, LENGTH)
    _, cache = model.run_with_cache(tiny_tokens(BATCH, LENGTH, seed=3))
    basis = torch.linalg.qr(torch.randn(model.cfg.d_model, 2, dtype=torch.float64))[0]
    added = torch.randn(BATCH, LENGTH, 4, model.cfg.d_model, dtype=torch.float64)
    edits = [
        Edit("blocks.1.hook_resid_pre", cache["resid_pre", 1], pos=3, basis=basis),
        Edit("blocks.0.hook_resid_pre", cache["resid_pre", 0], basis=basis),
        Edit("blocks.1.hook_q_input", added, pos=(2, 4), head=1, how="add"),
        Edit("blocks.1.hook_q_input", added, head=(0, 2), how="add"),
        Edit("blocks.0.hook_mlp_out", function=lambda activation, window: -activation),
    ]
    found = Sweep(model, tokens, torch.full((BATCH, 1), LENGTH - 1), progress=False).run(
        edits, lambda x: x[:, 0]
    )
    expected = torch.stack([naive(model, tokens, (edit,))[:, -1] for edit in edits])
    assert close(found, expected, 2e-5)


def test_only_some_tokens_are_unembedded() -> None:
    model = exact_model("soft caps")
    tokens = tiny_tokens(BATCH, LENGTH)
    reads, some = torch.full((BATCH, 1), LENGTH - 1), torch.tensor([7, 2])
    edits = [Edit("blocks.1.hook_mlp_out", 0.0)]
    all_logits = Sweep(model, tokens, reads, progress=False).run(edits, lambda x: x)
    found = Sweep(model, tokens, reads, vocabulary=some, progress=False).run(edits, lambda x: x)
    assert close(found, all_logits[..., some])


def test_padding_on_the_left_is_respected() -> None:
    for variant in ("plain", "rotary", "alibi"):
        model = exact_model(variant)
        tokens = tiny_tokens(BATCH, LENGTH)
        mask = torch.ones(BATCH, LENGTH, dtype=torch.bool)
        mask[0, :3] = False
        _, cache = model.run_with_cache(tiny_tokens(BATCH, LENGTH, seed=3), attention_mask=mask)
        reads = torch.full((BATCH, 1), LENGTH - 1)
        edits = [Edit("blocks.0.hook_resid_pre", cache["resid_pre", 0], pos=pos) for pos in range(3, LENGTH)]
        sweep = Sweep(model, tokens, reads, attention_mask=mask, progress=False)
        found = sweep.run(edits, lambda logits: logits[:, 0])
        expected = [naive(model, tokens, (edit,), attention_mask=mask)[:, -1] for edit in edits]
        assert close(found, torch.stack(expected), 2e-5), variant


def test_the_users_own_hooks_take_part() -> None:
    model = exact_model()
    tokens = tiny_tokens(BATCH, LENGTH)
    _, cache = model.run_with_cache(tiny_tokens(BATCH, LENGTH, seed=3))
    edits = [
        Edit("blocks.1.attn.hook_z", cache["z", 1], pos=4, head=1),
        Edit("blocks.0.hook_mlp_out", 0.0, pos=5),
    ]

    def silence(activation: torch.Tensor, hook: Any) -> None:
        activation[:, 2] = 0  # counts positions of the whole run

    with model.hooks([("blocks.1.hook_mlp_out", silence)]):
        found = Sweep(model, tokens, torch.full((BATCH, 1), 6), progress=False).run(edits, lambda x: x[:, 0])
        expected = torch.stack([naive(model, tokens, (edit,))[:, -1] for edit in edits])
    assert close(found, expected, 2e-5)
    assert not any(point.watched for point in model.hook_points())


def test_a_metric_that_changes_its_mind_about_positions_is_served() -> None:
    """The first call reads the last position only; later ones read others."""
    model = exact_model()
    tokens = tiny_tokens(BATCH, LENGTH)
    _, cache = model.run_with_cache(tiny_tokens(BATCH, LENGTH, seed=3))
    calls = []

    def moody(logits: torch.Tensor) -> torch.Tensor:
        calls.append(None)
        return logits[:, -1, 3].mean() if len(calls) < 3 else logits[:, 2, 3].mean()

    edits = [Edit("blocks.0.hook_resid_pre", cache["resid_pre", 0], pos=pos) for pos in range(3)]
    found = Sweep(model, tokens, progress=False).run(edits, moody)
    expected = torch.stack([naive(model, tokens, (edit,))[:, 2, 3].mean() for edit in edits])
    assert close(found, expected, 2e-5)


def test_an_interruption_keeps_what_was_measured() -> None:
    model = exact_model()
    tokens = tiny_tokens(BATCH, LENGTH)
    calls = []

    def interrupted(logits: torch.Tensor) -> torch.Tensor:
        calls.append(None)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return logits.mean()

    sweep = Sweep(model, tokens, torch.full((BATCH, 1), 6), memory=1, progress=False)
    edits = [Edit("blocks.0.hook_mlp_out", 0.0, pos=pos) for pos in range(6)]
    with pytest.raises(KeyboardInterrupt):
        sweep.run(edits, interrupted)
    assert sweep.partial is not None
    assert int(torch.isfinite(sweep.partial).sum()) == 2
    assert not any(point.watched for point in model.hook_points())


@pytest.mark.parametrize(
    ("edit", "error", "message"),
    [
        (lambda: Edit("blocks.0.hook_rezid_pre", 0.0), KeyError, "hook_resid_pre"),
        (lambda: Edit("ln_final.hook_scale", 0.0), ValueError, "points inside blocks"),
        (lambda: Edit("blocks.0.hook_resid_pre", 0.0, pos=7), ValueError, "outside 0 to 6"),
        (lambda: Edit("blocks.0.hook_resid_pre", torch.zeros(3, 6, 24)), ValueError, "same number of tokens"),
        (lambda: Edit("blocks.0.hook_resid_pre", torch.full((3, 7, 24), torch.nan)), ValueError, "NaN"),
        (lambda: Edit("blocks.0.hook_resid_pre", torch.zeros(2, 7, 24)), ValueError, "batch of 3"),
        (lambda: Edit("blocks.0.hook_resid_pre"), ValueError, "value or a function"),
        (lambda: Edit("blocks.0.attn.hook_z", 0.0, key=1), ValueError, "no key axis"),
        (lambda: (), ValueError, "no edits"),
    ],
)
def test_what_makes_no_sense_is_refused_before_the_sweep(edit: Any, error: type, message: str) -> None:
    model = exact_model()
    sweep = Sweep(model, tiny_tokens(BATCH, LENGTH), torch.full((BATCH, 1), 6), progress=False)
    with pytest.raises(error, match=message):
        sweep.run([edit()], lambda logits: logits.mean())


def test_an_empty_list_and_a_metric_of_nan_are_refused() -> None:
    model = exact_model()
    sweep = Sweep(model, tiny_tokens(BATCH, LENGTH), torch.full((BATCH, 1), 6), progress=False)
    with pytest.raises(ValueError, match="list of sites is empty"):
        sweep.run([], lambda logits: logits.mean())
    with pytest.raises(ValueError, match="NaN"):
        sweep.run([Edit("blocks.0.hook_mlp_out", 0.0)], lambda logits: logits.mean() * float("nan"))
    with pytest.raises(ValueError, match="positions that are read"):
        Sweep(model, tiny_tokens(BATCH, LENGTH), torch.full((BATCH, 1), 7))


def test_long_prefixes_count_towards_the_budget() -> None:
    """An intervention at the end computes one position and copies the keys and values of all before it."""
    cfg = exact_model(n_ctx=1000).cfg
    short, long = (bytes_of_example(cfg, length - 1, length, open_attention=False) for length in (10, 1000))
    copied = 8 * 2 * 990 * 2 * cfg.n_kv_heads * cfg.d_head
    assert long - short == copied
    rows = [Row(place, (Edit("blocks.0.hook_mlp_out", 0.0, pos=9),), 0, 9) for place in range(7)]
    assert [len(group) for group in plan(rows, lambda start: 3)] == [2, 2, 3]
    assert [len(group) for group in plan(rows, lambda start: 0)] == [1] * 7
