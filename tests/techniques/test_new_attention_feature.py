"""A feature added to attention in `model/` alone is seen by every technique.

The feature is a gate: what a head took from the values is multiplied by a number that the head computes from what its
query read. It is patched into `Attention` here as a change of `attention.py` would be, and each technique is then
compared with whole forward passes of the changed model.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from mechscope.model.components.attention import Attention, Projections
from mechscope.techniques.activation_patching import patch
from mechscope.techniques.causal_scrubbing import Part, causal_scrubbing
from mechscope.techniques.circuits.eap import edge_attribution_patching
from mechscope.techniques.circuits.masked_run import MaskedRun
from mechscope.techniques.path_patching import path_patching
from mechscope.techniques.sweep import Edit, Sweep
from tests.model.tiny import close, exact_model
from tests.techniques.circuits.naive import naive_logits, random_edges, random_task
from tests.techniques.reading_tasks import tiny_task
from tests.techniques.sweep.test_sweep import naive
from tests.techniques.test_causal_scrubbing import everything_before

KINDS = ["plain", "rotary", "shortformer", "alibi", "grouped", "parallel", "norms before and after"]


def gate_weights(attn: Attention) -> torch.Tensor:
    """[head d_model], other numbers in every layer."""
    generator = torch.Generator().manual_seed(100 + (attn.layer_id or 0))
    return torch.randn(attn.cfg.n_heads, attn.cfg.d_model, generator=generator, dtype=torch.float64) * 0.3


def gate_input(attn: Attention, read: torch.Tensor, heads: Sequence[int] | None) -> torch.Tensor:
    """[batch query head], of all heads or of those that `read` holds."""
    weights = gate_weights(attn) if heads is None else gate_weights(attn)[list(heads)]
    return torch.einsum("bphm,hm->bph" if read.ndim == 4 else "bpm,hm->bph", read, weights)


@pytest.fixture
def gated(monkeypatch: pytest.MonkeyPatch) -> None:
    """The changes that a gate makes in `attention.py`."""
    plain: dict[str, Any] = {
        name: getattr(Attention, name)
        for name in ("head_outputs", "head_outputs_of", "projections", "_hooked", "attend", "input_gradients")
    }

    def head_outputs(
        self: Attention, query_input: Any, key_input: Any, value_input: Any, *rest: Any, heads: Any = None
    ) -> torch.Tensor:
        self.__dict__["gate"] = gate_input(self, query_input, heads)
        return plain["head_outputs"](self, query_input, key_input, value_input, *rest, heads=heads)

    def projections(self: Attention, query_input: Any, *rest: Any) -> tuple[torch.Tensor, ...]:
        heads = rest[2] if len(rest) > 2 else None
        return (
            *plain["projections"](self, query_input, *rest),
            gate_input(self, query_input, heads).contiguous(),
        )

    def hooked(self: Attention, found: tuple[torch.Tensor, ...]) -> Any:
        return plain["_hooked"](self, Projections(*found[:3]))

    def head_outputs_of(self: Attention, found: Any, context: Any) -> torch.Tensor:
        self.__dict__["gate"] = found[3]
        return self.read_values(*self._hooked(found), context)

    def attend(self: Attention, *args: Any) -> torch.Tensor:
        z, gate = plain["attend"](self, *args), self.__dict__.pop("gate", None)
        return z if gate is None else z * (1 + torch.tanh(gate))[..., None]

    def input_gradients(self: Attention, gradients: Sequence[torch.Tensor]) -> torch.Tensor:
        by_input = plain["input_gradients"](self, gradients[:3])
        by_input[: self.cfg.n_heads] += torch.einsum("bph,hm->hbpm", gradients[3], gate_weights(self))
        return by_input

    changed = (head_outputs, head_outputs_of, projections, hooked, attend, input_gradients)
    for name, function in zip(
        ("head_outputs", "head_outputs_of", "projections", "_hooked", "attend", "input_gradients"),
        changed,
        strict=True,
    ):
        monkeypatch.setattr(Attention, name, function)


@pytest.mark.parametrize("kind", KINDS)
def test_circuits_and_their_gradients(kind: str, request: pytest.FixtureRequest) -> None:
    seed = sum(map(ord, kind))
    model, task = exact_model(kind, seed), random_task(seed=seed, padded=True)
    ungated = task.logits(model, task.clean)
    request.getfixturevalue("gated")
    run = MaskedRun(model, task)
    graph = run.graph
    some = random_edges(graph, 0.5, seed)
    whole, none, found = run.logits(torch.stack([graph.valid, torch.zeros_like(graph.valid), some]))
    assert close(whole, task.logits(model, task.clean), 1e-10)
    assert close(none, task.logits(model, task.corrupted), 1e-10)
    assert close(found, naive_logits(model, task, some), 1e-10)
    assert not close(whole, ungated, 1e-2)

    scores = edge_attribution_patching(model, task, progress=False)
    edges = graph.valid.nonzero()
    chosen = edges[torch.randperm(len(edges), generator=torch.Generator().manual_seed(seed))[:20]]
    step = 1e-5
    circuits = graph.valid.double().repeat(len(chosen) + 1, 1, 1)
    circuits[torch.arange(len(chosen)), chosen[:, 0], chosen[:, 1]] = 1 - step
    values = run.measure(circuits).mean(1)
    expected = (values[-1] - values[:-1]) / step * (1.0 if run.baselines.difference > 0 else -1.0)
    largest = float(expected.abs().max())
    assert largest > 1e-3
    ours = scores[chosen[:, 0], chosen[:, 1]].double()
    assert torch.allclose(ours, expected, rtol=1e-3, atol=1e-4 * largest)


@pytest.mark.usefixtures("gated")
@pytest.mark.parametrize("kind", KINDS)
def test_sweeps(kind: str) -> None:
    model, task = exact_model(kind, 1), random_task(batch=2, length=6, seed=1)
    _, cache = model.run_with_cache(task.corrupted)
    edits = [
        Edit(hook, cache[hook], pos=pos)
        for layer in range(model.cfg.n_layers)
        for part in ("hook_resid_pre", "attn.hook_q", "attn.hook_v", "attn.hook_z", "hook_attn_out")
        for pos in (0, 3)
        for hook in [f"blocks.{layer}.{part}"]
    ]
    reads = torch.tensor([[5], [4]])
    found = Sweep(model, task.clean, reads, progress=False).run(edits, lambda logits: logits[:, 0])
    rows = torch.arange(2)
    for edit, ours in zip(edits, found, strict=True):
        assert close(ours, naive(model, task.clean, (edit,))[rows, reads[:, 0]], 1e-10), edit.hook


@pytest.mark.usefixtures("gated")
@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "norms before and after"])
def test_scrubbing(kind: str) -> None:
    model, task = exact_model(kind, 1), tiny_task(length=6, seed=1)
    hypothesis = Part("logits", inputs=everything_before(model, 2, deep=True))
    found = causal_scrubbing(model, task, hypothesis, draws=1, progress=False)
    np.testing.assert_allclose(found.recovered.values, 1, atol=1e-6)


@pytest.mark.usefixtures("gated")
@pytest.mark.parametrize("kind", KINDS)
def test_all_paths_and_whole_streams_carry_the_whole_effect(kind: str) -> None:
    model, task = exact_model(kind, 2), tiny_task(length=6, seed=2)
    stream = patch(model, task, "resid_post", (), progress=False)
    np.testing.assert_allclose(stream.values, 1, atol=1e-9)
    senders = ["input", *(f"a{layer}.h{head}" for layer in range(2) for head in range(4)), "m0", "m1"]
    found = path_patching(model, task, senders, ["logits"], progress=False)
    np.testing.assert_allclose(found.values, 1, atol=1e-9)
