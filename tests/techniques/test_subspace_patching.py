"""Subspace patching against hooks by hand, and on a model built to show the illusion."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mechscope.model.names import get_act_name
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.metrics import Answers
from mechscope.tasks.task import Task
from mechscope.techniques.activation_patching import patch
from mechscope.techniques.subspace_patching import subspace_patching
from mechscope.techniques.subspaces import complement, orthonormal_basis, principal_subspace, random_subspaces
from tests.model.tiny import exact_model
from tests.techniques.reading_tasks import tiny_task

LENGTH = 6


def test_bases() -> None:
    generator = torch.Generator().manual_seed(0)
    vectors = torch.randn(7, 3, generator=generator)
    basis = orthonormal_basis(vectors)
    torch.testing.assert_close(basis.mT @ basis, torch.eye(3))
    torch.testing.assert_close(basis @ basis.mT @ vectors, vectors)
    rest = complement(basis)
    assert rest.shape == (7, 4) and float((basis.mT @ rest).abs().max()) < 1e-5
    one, two = random_subspaces(7, 2, 2, seed=1)
    torch.testing.assert_close(one.mT @ one, torch.eye(2, dtype=torch.float64))
    assert float((one - two).abs().max()) > 0.01
    along = torch.randn(50, 1, generator=generator) * torch.tensor([[0.0, 3, 0, 0]])
    found = principal_subspace(along + 5 + 0.01 * torch.randn(50, 4, generator=generator), 1)
    assert abs(float(found[1])) > 0.99


@pytest.mark.parametrize(
    ("vectors", "words"),
    [
        (torch.zeros(3), "zero"),
        (torch.tensor([1.0, float("nan")]), "NaN or infinity"),
        (torch.ones(4, 2), "depend"),
        (torch.ones(2, 3), "transposed"),
        (torch.ones(2, 3, 4), "columns"),
    ],
)
def test_bases_that_are_none(vectors: torch.Tensor, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        orthonormal_basis(vectors)


def by_hand(
    model: HookedTransformer, task: Task, hook: str, projector: torch.Tensor, where: Any = (slice(None),)
) -> float:
    with torch.no_grad():
        _, cache = model.run_with_cache(task.clean, names_filter=hook)

        def put(activation: torch.Tensor, hook: Any) -> None:
            activation[where] += (cache[hook.name][where] - activation[where]) @ projector.to(
                activation.dtype
            )

        with model.hooks(fwd_hooks=[(hook, put)]):
            return float(task.measure(task.logits(model, task.corrupted)).mean())


@pytest.mark.parametrize("variant", ["plain", "grouped", "norms after"])
@pytest.mark.parametrize(
    ("site", "head", "d"), [("resid_pre", None, 24), ("z", 3, 8), ("v", 1, 8), ("mlp_out", None, 24)]
)
def test_it_equals_hooks_by_hand(variant: str, site: str, head: int | None, d: int) -> None:
    model, task = exact_model(variant, 1), tiny_task(length=LENGTH, seed=1)
    vectors = torch.randn(d, 2, generator=torch.Generator().manual_seed(2))
    options: dict[str, Any] = {"normalize": False, "progress": False, "n_random": 2}
    found = subspace_patching(model, task, vectors, 1, site, head=head, **options)
    q = torch.linalg.qr(vectors.double())[0]
    where = (slice(None),) if head is None else (slice(None), slice(None), head)
    hook = get_act_name(site, 1)
    expected = [
        by_hand(model, task, hook, projector, where)
        for projector in (q @ q.mT, torch.eye(d, dtype=torch.float64) - q @ q.mT)
    ]
    series = found.effects.values
    assert float(series.sel(series="subspace")) == pytest.approx(expected[0], abs=1e-4)
    assert float(series.sel(series="rest")) == pytest.approx(expected[1], abs=1e-4)
    whole = patch(
        model, task, site, () if head is None else ("head",), normalize=False, progress=False
    ).values
    heads = "kv_head" if variant == "grouped" and site == "v" else "head"
    at = {"layer": 1} if head is None else {"layer": 1, heads: head}
    assert float(series.sel(series="whole activation")) == pytest.approx(float(whole.sel(at)), abs=1e-4)
    drawn = random_subspaces(d, 2, 2, seed=0)[1]
    expected_null = by_hand(model, task, hook, drawn @ drawn.mT, where)
    assert float(found.null.values[1]) == pytest.approx(expected_null, abs=1e-4)
    assert found.figure() is not None and "random" in repr(found)


def test_positions_by_name() -> None:
    model = exact_model(seed=2)
    where = torch.tensor([5, 1, 3])
    task = dataclasses.replace(tiny_task(length=LENGTH, seed=2), positions={"it": where})
    direction = torch.randn(24, generator=torch.Generator().manual_seed(0))
    options: dict[str, Any] = {"normalize": False, "progress": False, "n_random": 1}
    found = subspace_patching(model, task, direction, 1, positions="it", **options)
    unit = direction.double() / direction.double().norm()
    rows = ([0, 1, 2], where)
    expected = by_hand(model, task, get_act_name("resid_pre", 1), unit[:, None] * unit, rows)
    assert float(found.effects.values[0]) == pytest.approx(expected, abs=1e-4)


def illusion() -> tuple[HookedTransformer, Task]:
    """Three neurons: one tells the prompts apart and is read; one tells them apart and nothing reads it; one is
    read and never varies."""
    model = HookedTransformer(
        {"n_layers": 1, "d_model": 3, "n_ctx": 2, "d_head": 3, "n_heads": 1, "d_vocab": 2, "d_mlp": 3, "act_fn": "relu",
         "normalization_type": None, "positional_embedding_type": "rotary", "rotary_dim": 2}
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E[:, 0] = torch.tensor([0.0, 1.0])
        model.blocks[0].mlp.W_in[0, 0] = model.blocks[0].mlp.W_in[0, 1] = 1
        model.blocks[0].mlp.b_in[2] = 1
        model.blocks[0].mlp.W_out[0, 1] = model.blocks[0].mlp.W_out[2, 2] = 1
        model.unembed.W_U[1, 1] = model.unembed.W_U[2, 1] = 1
    task = Task(
        "illusion",
        clean=torch.tensor([[1]]),
        corrupted=torch.tensor([[0]]),
        answers=Answers(torch.tensor([[0]]), torch.tensor([[[1]]])),
    ).with_metric("logit")
    return model, task


def test_the_illusion_shows_itself() -> None:
    """Disconnected plus dormant neuron moves the answer half of the way, and does nothing that is read."""
    model, task = illusion()
    honest = subspace_patching(model, task, torch.tensor([1.0, 0, 0]), 0, "post", progress=False)
    assert float(honest.effects.values.sel(series="subspace")) == pytest.approx(1)
    assert float(honest.effects.values.sel(series="subspace, read part")) == pytest.approx(1)
    fake = subspace_patching(model, task, torch.tensor([0, 1.0, 1.0]), 0, "post", progress=False)
    assert float(fake.effects.values.sel(series="subspace")) == pytest.approx(0.5)
    # Of the direction W_out reads only the third neuron, which is the same on both prompts.
    assert float(fake.effects.values.sel(series="subspace, read part")) == pytest.approx(0, abs=1e-6)
    assert float(fake.effects.values.sel(series="rest")) == pytest.approx(0.5)


def test_the_null_is_as_good_as_a_random_direction() -> None:
    model, task = exact_model(seed=4), tiny_task(length=LENGTH, seed=4)
    direction = torch.randn(24, generator=torch.Generator().manual_seed(8))
    found = subspace_patching(model, task, direction, 1, progress=False, n_random=40)
    assert 0 <= found.share_as_strong <= 1 and found.null.values.sizes["draw"] == 40
    hand = float((np.abs(found.null.values) >= abs(float(found.effects.values[0]))).mean())
    assert found.share_as_strong == hand


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"layer": 7}, ValueError, "no layer"),
        ({"site": "pattern"}, KeyError, "no subspaces"),
        ({"site": "z"}, ValueError, "has heads: give"),
        ({"head": 1}, ValueError, "no heads"),
        ({"site": "post"}, ValueError, "40 entries"),
        ({"site": "z", "head": 9}, ValueError, "no head 9"),
        ({"n_random": 0}, ValueError, "at least 1"),
        ({"positions": "it"}, KeyError, "no position"),
        ({"direction": "left"}, ValueError, "denoise"),
    ],
)
def test_bad_input(options: dict[str, Any], error: type, words: str) -> None:
    arguments: dict[str, Any] = {"layer": 0, "progress": False, **options}
    with pytest.raises(error, match=words):
        subspace_patching(exact_model(), tiny_task(), torch.ones(24), **arguments)
