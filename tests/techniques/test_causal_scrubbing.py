"""Causal scrubbing: nothing resampled changes nothing, all resampled leaves nothing, and the truth in between."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mechscope.model.transformer import HookedTransformer
from mechscope.planted import load
from mechscope.tasks.metrics import Answers
from mechscope.tasks.task import Task
from mechscope.techniques.causal_scrubbing import CausalScrubbing, Part, causal_scrubbing
from tests.model.tiny import exact_model, tiny_tokens
from tests.techniques.reading_tasks import tiny_task

LENGTH = 6
SUMS = [
    "plain", "attention only", "rotary", "shortformer", "alibi", "grouped", "parallel", "bidirectional", "window",
    "query/key norm", "soft caps",
]  # fmt: skip


def scrub(model: HookedTransformer, task: Task, *inputs: Part, **options: Any) -> CausalScrubbing:
    return causal_scrubbing(model, task, Part("logits", inputs=inputs), progress=False, **options)


def everything_before(model: HookedTransformer, layer: int, deep: bool) -> list[Part]:
    """Every part of earlier layers; those of the first written out to their own inputs."""
    parts = [Part("input")]
    for below in range(layer):
        earlier = everything_before(model, below, deep) if deep else []
        for head in range(model.cfg.n_heads):
            needs = {"q": earlier, "k": earlier, "v": earlier} if deep else None
            parts.append(Part(f"a{below}.h{head}", inputs=needs))
        if not model.cfg.attn_only:
            heads = (
                []
                if model.cfg.parallel_attn_mlp
                else [part for part in parts if part.name[:2] == f"a{below}"]
            )
            parts.append(Part(f"m{below}", inputs=[*earlier, *heads] if deep else None))
    return parts


@pytest.mark.parametrize("variant", SUMS)
def test_a_hypothesis_that_needs_everything_changes_nothing(variant: str) -> None:
    """The tree's own arithmetic, head by head, must come to the model's."""
    model, task = exact_model(variant, 1), tiny_task(length=LENGTH, seed=1)
    for deep in (False, True):
        found = scrub(model, task, *everything_before(model, 2, deep), draws=1)
        np.testing.assert_allclose(found.recovered.values, 1, atol=1e-6)


def test_a_hypothesis_that_needs_nothing_recovers_nothing() -> None:
    model, task = parity_model()
    found = scrub(model, task, draws=100)
    assert abs(found.share) < 0.15 and found.interval[0] < 0 < found.interval[1]
    assert found.stand_ins.values.values[0] == 40


def test_a_head_without_inputs_reads_anything() -> None:
    """Given an empty list, an input is resampled; left as it is (None), it is not."""
    model, task = exact_model(seed=3), tiny_task(batch=6, length=LENGTH, seed=3)
    others = [part for part in everything_before(model, 2, deep=False) if part.name != "a1.h0"]
    kept = scrub(model, task, *others, Part("a1.h0"), draws=3)
    np.testing.assert_allclose(kept.recovered.values, 1, atol=1e-4)
    freed = scrub(model, task, *others, Part("a1.h0", inputs={}), draws=3)
    assert abs(freed.recovered.values - 1).max() > 1e-3
    one_input = {"q": everything_before(model, 1, deep=False), "k": everything_before(model, 1, deep=False)}
    partly = scrub(model, task, *others, Part("a1.h0", inputs=one_input), draws=3)
    assert abs(partly.recovered.values - 1).max() > 1e-3


def parity_model() -> tuple[HookedTransformer, Task]:
    """Head 0 of layer 1 brings the parity of the first token to the end; layer 0 writes noise that is not read."""
    model = HookedTransformer(
        {"n_layers": 2, "d_model": 6, "n_ctx": 4, "d_head": 2, "n_heads": 2, "d_vocab": 8, "attn_only": True,
         "normalization_type": None}
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        tokens = torch.arange(8)
        model.embed.W_E[:, 0] = 1.0 - 2.0 * (tokens % 2)
        model.embed.W_E[:, 1] = tokens.float()
        model.pos_embed.W_pos[0, 2] = 1
        noisy, reader = model.blocks[0].attn, model.blocks[1].attn
        noisy.W_V[1, 1, 0] = noisy.W_O[1, 0, 4] = 1
        reader.b_Q[0, 0] = 50
        reader.W_K[0, 2, 0] = 1
        reader.W_V[0, 0, 0] = reader.W_O[0, 0, 3] = 1
        model.unembed.W_U[3, 0], model.unembed.W_U[3, 1] = 1, -1
    clean = tiny_tokens(40, 4, seed=3, d_vocab=8)
    flipped = clean.clone()
    flipped[:, 0] ^= 1
    odd = (clean[:, :1] % 2)[..., None]
    return model, Task("parity", clean, flipped, Answers(torch.full((40, 1), 3), odd, 1 - odd))


def parity(tokens: torch.Tensor) -> torch.Tensor:
    return tokens[:, 0] % 2


def parity_of_second(tokens: torch.Tensor) -> torch.Tensor:
    return tokens[:, 1] % 2


def test_the_right_hypothesis_passes_and_wrong_ones_do_not() -> None:
    model, task = parity_model()
    right = scrub(model, task, Part("a1.h0", parity))
    assert right.share == pytest.approx(1, abs=1e-4) and right.interval == pytest.approx((1, 1), abs=1e-4)
    assert float(right.stand_ins.values[0]) > 10  # half of the prompts could stand in
    down = Part("a1.h0", parity, {"k": [], "v": [Part("input", parity)]})
    assert scrub(model, task, down).share == pytest.approx(1, abs=1e-4)
    at_the_end = Part("a1.h0", parity, positions=(3,))
    assert scrub(model, task, at_the_end).share == pytest.approx(1, abs=1e-4)
    only_the_first = Part("a1.h0", parity, {"v": [Part("input", parity, positions=(0,))]})
    assert scrub(model, task, only_the_first).share == pytest.approx(1, abs=1e-4)
    for wrong in (
        Part("a1.h0", parity_of_second),
        Part("a1.h1", parity),
        Part("a0.h1"),
        Part("a1.h0", parity, positions=(2,)),
        Part("a1.h0", parity, {"v": [Part("a0.h1")]}),
        Part("a1.h0", parity, {"v": [Part("input", parity_of_second)]}),
        Part("a1.h0", parity, {"v": [Part("input", parity, positions=(1,))]}),
    ):
        assert abs(scrub(model, task, wrong, draws=40).share) < 0.25, wrong


def test_seeds_and_further_prompts() -> None:
    model, task = parity_model()
    wrong = Part("a1.h0", parity_of_second)
    one, again, other = (scrub(model, task, wrong, seed=seed).recovered.values for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, again)
    assert abs(one - other).max() > 0
    more = scrub(model, task, Part("a1.h0", parity), prompts=tiny_tokens(60, 4, seed=8, d_vocab=8))
    assert more.share == pytest.approx(1, abs=1e-4)
    assert float(more.stand_ins.values[0]) > float(
        scrub(model, task, Part("a1.h0", parity)).stand_ins.values[0]
    )
    assert more.figure() is not None and "recovered" in more.recovered.unit and "1.000" in repr(more)


def tree_of(edges: frozenset[str], name: str = "logits") -> Part:
    """A circuit's edges, written out from its output."""
    if name == "input":
        return Part(name)
    needs: dict[str, list[Part]] = {}
    for edge in sorted(edges):
        writer, reader = edge.split("->")
        reader, _, which = reader.rstrip(">").partition("<")
        if reader == name:
            needs.setdefault(which, []).append(tree_of(edges, writer))
    return Part(name, inputs=needs if name.startswith("a") else needs.get("", []))


@pytest.mark.parametrize("program", ["induction", "previous_token"])
def test_a_planted_circuit_passes_and_each_edge_is_needed(program: str) -> None:
    planted = load(program)
    task = planted.task(n=48, seed=1)
    whole = causal_scrubbing(planted.model, task, tree_of(planted.true_edges), progress=False, draws=5)
    assert whole.share > 0.99
    for edge in planted.true_edges:
        without = tree_of(planted.true_edges - {edge})
        assert causal_scrubbing(planted.model, task, without, progress=False, draws=5).share < 0.8, edge


def test_prompts_of_different_lengths_are_refused() -> None:
    task = dataclasses.replace(tiny_task(length=LENGTH), lengths=torch.tensor([6, 5, 6]))
    with pytest.raises(ValueError, match="different lengths"):
        scrub(exact_model(), task)


@pytest.mark.parametrize(
    ("root", "error", "words"),
    [
        (Part("a1.h0"), ValueError, "root"),
        (Part("logits"), ValueError, "may be empty"),
        (Part("logits", inputs=[Part("a9.h0")]), KeyError, "a9.h0"),
        (Part("logits", inputs=[Part("a0.h0<q>")]), ValueError, "cannot be a part"),
        (Part("logits", inputs=[Part("m0.n1")]), ValueError, "cannot be a part"),
        (Part("logits", inputs=[Part("a0.h0", inputs=[Part("input")])]), ValueError, "q, k and v"),
        (Part("logits", inputs=[Part("m0", inputs={"q": []})]), ValueError, "list of parts"),
        (Part("logits", inputs=[Part("a0.h0", inputs={"x": []})]), ValueError, "not 'x'"),
        (
            Part("logits", inputs=[Part("a0.h0", inputs={"q": [Part("a1.h0")]})]),
            ValueError,
            "because it reads before",
        ),
        (Part("logits", inputs=[Part("m0"), Part("m0")]), ValueError, "same part twice"),
        (
            Part("logits", inputs=[Part("m0", lambda tokens: tokens.sum())]),
            ValueError,
            "one value per prompt",
        ),
    ],
)
def test_trees_that_are_none(root: Part, error: type, words: str) -> None:
    with pytest.raises(error, match=words):
        causal_scrubbing(exact_model(), tiny_task(), root, progress=False)


def test_what_cannot_be_scrubbed() -> None:
    with pytest.raises(ValueError, match="is a sum"):
        scrub(exact_model("norms after"), tiny_task())
    with pytest.raises(ValueError, match="positions"):
        scrub(exact_model(), tiny_task(), prompts=tiny_tokens(2, 4))
    with pytest.raises(ValueError, match="at least 1"):
        scrub(exact_model(), tiny_task(), draws=0)
    silent = exact_model()
    with torch.no_grad():
        silent.unembed.W_U.zero_()
    with pytest.raises(ValueError, match="nothing to recover"):
        scrub(silent, tiny_task())
