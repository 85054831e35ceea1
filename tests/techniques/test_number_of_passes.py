"""How many forward passes a technique makes before its first intervention."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch

from mechscope import techniques
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.task import Task
from mechscope.techniques.activation_patching import KINDS
from mechscope.techniques.sweep._wavefront import Wavefront
from mechscope.techniques.sweep.task_sweep import TaskSweep
from tests.techniques.every_technique import direction_of, small_model, small_task

CALLS: dict[str, Callable[[HookedTransformer, Task], Any]] = {
    **{
        f"patch {site}": lambda m, t, site=site: techniques.patch(
            m, t, site, neurons=[0, 1] if site == "post" else None, progress=False
        )
        for site in KINDS
    },
    "patch by nothing": lambda m, t: techniques.patch(m, t, "z", (), progress=False),
    "patch, not normalised": lambda m, t: techniques.patch(m, t, normalize=False, progress=False),
    **{
        f"{how} ablation": lambda m, t, how=how: techniques.ablation(m, t, how=how, draws=2, progress=False)
        for how in ("zero", "mean", "resample", "template_mean")
    },
    "knock_out": lambda m, t: techniques.knock_out(m, t, ["a0.h0", "m0"], progress=False),
    "path_patching": lambda m, t: techniques.path_patching(m, t, ["a0.h0"], ["logits", "m0"], progress=False),
    "path_patching_every_head": lambda m, t: techniques.path_patching_every_head(
        m, t, ["logits"], progress=False
    ),
    "path_patching through MLPs": lambda m, t: techniques.path_patching(
        m, t, ["input"], ["a1.h0"], through_mlps=True, progress=False
    ),
    "subspace_patching": lambda m, t: techniques.subspace_patching(
        m, t, direction_of(m), 0, n_random=3, progress=False
    ),
    "directional_ablation": lambda m, t: techniques.directional_ablation(
        m, t, direction_of(m), n_random=3, progress=False
    ),
    "steering_curve": lambda m, t: techniques.steering_curve(
        m, t, direction_of(m), 0, (-1.0, 1.0), n_random=2, progress=False
    ),
}


class FirstIntervention(Exception):  # noqa: N818 - it stops the technique where the count ends
    """Raised in the place of the first intervention."""


@pytest.mark.parametrize("call", CALLS)
def test_two_passes_come_before_the_first_intervention(call: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = small_model()
    task = small_task(model, examples=4)
    passes: list[int] = []
    forward = HookedTransformer.forward

    @functools.wraps(forward)  # a sweep refuses a forward pass of the user's own
    def counted(self: HookedTransformer, *args: Any, **kwargs: Any) -> Any:
        passes.append(1)
        return forward(self, *args, **kwargs)

    def stop(self: Wavefront, rows: Any) -> Any:
        raise FirstIntervention

    monkeypatch.setattr(HookedTransformer, "forward", counted)
    monkeypatch.setattr(Wavefront, "run", stop)
    with pytest.raises(FirstIntervention):
        CALLS[call](model, task)
    assert len(passes) == 2


@pytest.mark.parametrize("direction", ["denoise", "noise"])
def test_what_is_measured_on_the_way_is_what_whole_runs_give(direction: Any) -> None:
    model = small_model(dtype=torch.float64)
    task = small_task(model)
    run = TaskSweep(model, task, direction, progress=False)
    expected = task.baselines(model)
    for name in ("clean", "corrupted"):
        assert torch.allclose(getattr(run.baselines, name), getattr(expected, name), rtol=0, atol=1e-12)
