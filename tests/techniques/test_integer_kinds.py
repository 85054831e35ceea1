"""A layer, head, position, count or seed may be any kind of integer: each gives what Python's gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mechscope import techniques
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks import repeated_random_tokens
from mechscope.tasks.task import Task
from tests.techniques.every_technique import numbers_of, small_model, small_task

KINDS = [np.int64, np.uint8, np.array, torch.tensor, lambda value: torch.tensor(value, dtype=torch.uint8)]
QUIET: dict[str, Any] = {"verbose": False, "stop_at_eos": False}
# With the number 1, as a layer, a head, a position …
CALLS: dict[str, Callable[[HookedTransformer, Task, Any], Any]] = {
    "steering_vector": lambda m, t, one: techniques.steering_vector(m, t, layer=one, positions=one + 2),
    "of tokens": lambda m, t, one: techniques.steering_vector(
        m, t.clean, t.corrupted, layer=one, positions=one + 1
    ),
    "subspace_patching": lambda m, t, one: techniques.subspace_patching(
        m, t, torch.arange(32.0), one, n_random=2, seed=one, progress=False
    ),
    "top_token_pairs": lambda m, t, one: techniques.top_token_pairs(m, one, one).values,
    "singular_directions": lambda m, t, one: techniques.singular_directions(m, one, one, n=one).strength,
    "neuron_tokens": lambda m, t, one: techniques.neuron_tokens(m, one, [one]).strength,
    "norm_weighted_attention": lambda m, t, one: techniques.norm_weighted_attention(m, t, one, one),
    "Edit": lambda m, t, one: techniques.Sweep(m, t.clean, t.answers.positions, progress=False).run(
        [techniques.Edit("blocks.1.attn.hook_z", value=0.0, head=one, pos=(one, 6))], t.measure
    ),
    "ablation": lambda m, t, one: techniques.ablation(
        m, t, how="resample", draws=one, seed=one, progress=False
    ),
    "logit_lens": lambda m, t, one: techniques.logit_lens(m, t, top=one, progress=False),
    "linear_probe": lambda m, t, one: (
        techniques.linear_probe(
            m, t.clean, [0, 1] * 4, positions=[one], groups=list(range(8)), seeds=(one,), progress=False
        ).scores
    ),
    "a task": lambda m, t, one: repeated_random_tokens(m, n=one + 1, seed=one).clean.double(),
    "stop_at_layer": lambda m, t, one: m(t.clean, stop_at_layer=one),
    "start_at_layer": lambda m, t, one: m(m(t.clean, stop_at_layer=1), start_at_layer=one),
    "generate": lambda m, t, one: m.generate(
        t.clean, max_new_tokens=one, seed=one, top_k=one + 4, **QUIET
    ).ids.double(),
    "decompositions": lambda m, t, one: [
        m.run_with_cache(t.clean)[1].accumulated_resid(layer=one),
        m.run_with_cache(t.clean)[1].get_neuron_results(one, neuron_slice=one, pos_slice=one),
        m.accumulated_bias(one),
    ],
}


@pytest.mark.parametrize("name", CALLS)
def test_every_kind_of_integer_gives_the_same(name: str) -> None:
    model = small_model(dtype=torch.float64)
    task = small_task(model)
    expected = {where: values for where, values, _ in numbers_of(CALLS[name](model, task, 1))}
    assert expected
    for kind in KINDS:
        found = {where: values for where, values, _ in numbers_of(CALLS[name](model, task, kind(1)))}
        assert found.keys() == expected.keys()
        for where, values in found.items():
            np.testing.assert_array_equal(values, expected[where], err_msg=where)
