"""Interventions that begin with the same edits are computed once until they differ, and give what whole runs give."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest
import torch

from mechscope.techniques.sweep import Edit, Sweep
from mechscope.techniques.sweep._wavefront import Wavefront
from tests.model.tiny import close, exact_model, tiny_tokens
from tests.techniques.sweep.test_sweep import naive

LAYERS, LENGTH, BATCH = 4, 6, 3
READS = torch.full((BATCH, 1), LENGTH - 1)


@pytest.fixture
def blocks_run(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many interventions each block that a sweep runs has in its batch."""
    counts: list[int] = []
    for method in ("_block", "_rest_of_block", "_block_where_read"):
        original = getattr(Wavefront, method)

        def counted(self: Wavefront, layer: int, state: torch.Tensor, *rest: Any, run: Any = original) -> Any:
            counts.append(len(state))
            return run(self, layer, state, *rest)

        monkeypatch.setattr(Wavefront, method, counted)
    return counts


def z_edits(model: Any, first: int = 0) -> list[list[Edit]]:
    """Two different edits of each layer's heads, from position `first` on."""
    other = tiny_tokens(BATCH, LENGTH, seed=3)
    other[:, :first] = tiny_tokens(BATCH, LENGTH)[:, :first]
    _, cache = model.run_with_cache(other)
    return [
        [Edit(f"blocks.{layer}.attn.hook_z", cache["z", layer], head=heads) for heads in ((0, 1), (2,))]
        for layer in range(LAYERS)
    ]


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize("memory", [1, 50_000, None])
def test_results_equal_whole_runs(seed: int, memory: int | None) -> None:
    rng = random.Random(seed)
    model, tokens = exact_model("rotary", seed, n_layers=LAYERS), tiny_tokens(BATCH, LENGTH)
    by_layer = z_edits(model, first=seed)
    everything = list(itertools.product(*[[(), (one,), (two,)] for one, two in by_layer]))
    interventions = [sum(parts, ()) for parts in rng.sample(everything, 24) if any(parts)]
    interventions += interventions[:3]  # also complete repetitions
    rng.shuffle(interventions)
    expected = torch.stack([naive(model, tokens, edits)[:, -1] for edits in interventions])
    sweep = Sweep(model, tokens, READS, memory=memory, progress=False)
    assert close(sweep.run(interventions, lambda logits: logits[:, 0]), expected, 2e-5)


def test_each_beginning_is_computed_once(blocks_run: list[int]) -> None:
    model, tokens = exact_model("plain", n_layers=LAYERS), tiny_tokens(BATCH, LENGTH)
    edits = z_edits(model)
    first, late = edits[0][0], edits[3]
    interventions = [
        (first,),  # blocks 0 to 3
        (first, late[0]),  # block 3
        (first, late[1]),  # block 3
        (first, edits[2][0], late[1]),  # blocks 2 and 3
        (first, edits[2][0], late[1]),  # nothing
        (edits[1][1], late[0]),  # blocks 1 to 3
    ]
    sweep = Sweep(model, tokens, READS, progress=False)
    sweep.run(interventions, lambda logits: logits[:, 0])
    assert sum(blocks_run) == 4 + 1 + 1 + 2 + 0 + 3
    assert sweep.full_passes(interventions) == pytest.approx((4 + 1 + 1 + 2 + 0 + 3) / LAYERS)
    assert sweep.full_passes(interventions[::-1]) == sweep.full_passes(interventions)


def test_positions_before_the_first_change_take_no_time() -> None:
    model, tokens = exact_model("plain", n_layers=LAYERS), tiny_tokens(BATCH, LENGTH)
    sweep = Sweep(model, tokens, READS, progress=False)
    whole = [(Edit("blocks.1.attn.hook_z", 0.0, pos=pos),) for pos in (0, 3, LENGTH - 1)]
    shares = [sweep.full_passes([each]) for each in whole]
    assert shares == pytest.approx([3 / 4 * part / LENGTH for part in (6, 3, 1)])
    assert sweep.full_passes(whole) == pytest.approx(sum(shares))


def test_equal_values_in_different_tensors_are_not_taken_for_one(blocks_run: list[int]) -> None:
    """Only the same tensor is known to be equal; comparing values would cost more than it saves."""
    model, tokens = exact_model("plain", n_layers=LAYERS), tiny_tokens(BATCH, LENGTH)
    edit = z_edits(model)[2][0]
    assert isinstance(edit.value, torch.Tensor)
    copy = Edit(edit.hook, edit.value.clone(), head=edit.head)
    Sweep(model, tokens, READS, progress=False).run([(edit,), (copy,)], lambda logits: logits[:, 0])
    assert sum(blocks_run) == 2 * 2


def test_functions_run_for_every_intervention() -> None:
    model, tokens = exact_model("plain", n_layers=LAYERS), tiny_tokens(BATCH, LENGTH)
    calls = itertools.count(1)
    edit = Edit(
        "blocks.0.attn.hook_z", function=lambda z, window: torch.full_like(z, float(next(calls))), pos=2
    )
    found = Sweep(model, tokens, READS, progress=False).run([(edit,)] * 3, lambda logits: logits[:, 0])
    assert next(calls) == 4 and not torch.equal(found[0], found[1])


def test_progress_can_be_a_function() -> None:
    model, tokens = exact_model("plain", n_layers=LAYERS), tiny_tokens(BATCH, LENGTH)
    done: list[int] = []
    edits = [edit for layer in z_edits(model) for edit in layer]
    Sweep(model, tokens, READS, memory=1, progress=done.append).run(edits, lambda logits: logits[:, 0])
    assert sum(done) == len(edits) and len(done) > 1
