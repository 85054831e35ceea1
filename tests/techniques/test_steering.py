"""Steering vectors against means by hand, and the dose-response curve against whole runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from mechscope.model.token_batch import Tokens
from mechscope.techniques.steering import steered, steering_curve, steering_vector
from mechscope.techniques.subspaces import random_subspaces
from tests.model.tiny import close, exact_model, tiny_tokens
from tests.techniques.reading_tasks import tiny_task

LENGTH = 6


def test_a_vector_is_a_difference_of_means() -> None:
    model = exact_model(seed=1)
    positive, negative = tiny_tokens(4, 7, seed=1), tiny_tokens(3, 9, seed=2)
    name = "blocks.1.hook_resid_pre"
    one, other = (model.run_with_cache(tokens)[1][name] for tokens in (positive, negative))
    found = steering_vector(model, positive, negative, layer=1)
    assert close(found, one[:, -1].mean(0) - other[:, -1].mean(0))
    found = steering_vector(model, positive, negative, layer=1, positions=[0, 3])
    assert close(found, one[:, [0, 3]].mean((0, 1)) - other[:, [0, 3]].mean((0, 1)))
    task = dataclasses.replace(
        tiny_task(length=LENGTH, n_answers=2), positions={"it": torch.tensor([1, 4, 2])}
    )
    one, other = (model.run_with_cache(tokens)[1][name] for tokens in (task.clean, task.corrupted))
    expected = one[:, -2:].mean((0, 1)) - other[:, -2:].mean((0, 1))
    assert close(steering_vector(model, task, layer=1), expected)
    rows = [0, 1, 2], [1, 4, 2]
    expected = one[rows].mean(0) - other[rows].mean(0)
    assert close(steering_vector(model, task, layer=1, positions="it"), expected)


def test_steering_adds_at_every_position_and_comes_off() -> None:
    model, tokens = exact_model(seed=2), tiny_tokens()
    vector = torch.randn(24, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        usual = model(tokens)
        residual = model(tokens, stop_at_layer=1)
        expected = model(residual + 3 * vector, start_at_layer=1)
        with steered(model, vector, 1, 3.0) as same:
            assert same is model
            assert close(model(tokens), expected)
        assert close(model(tokens), usual)
    with pytest.raises(RuntimeError, match="stop"), steered(model, vector, 1):
        raise RuntimeError("stop")
    assert not any(point.watched for point in model.hook_points())


def test_writing_is_steered_with_and_without_earlier_keys() -> None:
    model, tokens = exact_model(seed=3), tiny_tokens(1, 4)
    favourite = 7
    vector = 50 * model.W_U[:, favourite].detach()
    with torch.no_grad():
        for use_cache in (True, False):
            with steered(model, vector, 1):
                written = model.generate(
                    tokens, max_new_tokens=4, do_sample=False, verbose=False, stop_at_eos=False,
                    use_past_kv_cache=use_cache,
                )  # fmt: skip
            assert written[0, 4:].tolist() == [favourite] * 4


def test_the_curve() -> None:
    model, task = exact_model(seed=4), tiny_task(length=LENGTH, seed=4)
    vector = steering_vector(model, task, layer=1)
    doses = [-1.0, 0.0, 2.0]
    options: dict[str, Any] = {"normalize": False, "progress": False, "n_random": 3, "seed": 5}
    text = tiny_tokens(2, 8, seed=9)
    curve = steering_curve(model, task, vector, 1, doses, text=text, **options)
    drawn = [each[:, 0].float() * vector.norm() for each in random_subspaces(24, 1, 3, seed=5)]

    def by_hand(direction: torch.Tensor, dose: float) -> tuple[float, float, float]:
        with torch.no_grad():
            usual = model(text).log_softmax(-1)
            with steered(model, direction, 1, dose):
                effect = float(task.measure(task.logits(model, task.corrupted)).mean())
                now = model(text).log_softmax(-1)
                loss = model(text, return_type="loss")
        return effect, float((usual.exp() * (usual - now)).sum(-1).mean()), float(loss.exp())

    results = (curve.effect, curve.divergence, curve.perplexity)
    for place, dose in enumerate(doses):
        chosen = by_hand(vector, dose)
        null = np.array([by_hand(direction, dose) for direction in drawn])
        for which, result in enumerate(results):
            expected = [chosen[which], null[:, which].mean(), null[:, which].min(), null[:, which].max()]
            np.testing.assert_allclose(result.values.values[:, place], expected, rtol=1e-3, atol=1e-4)
    assert float(curve.divergence.values.sel(coefficient=0.0).max()) == pytest.approx(0, abs=1e-5)
    assert curve.figure() is not None and curve.effect.provenance.seed == 5


def test_the_cost_leaves_padding_out() -> None:
    model, task = exact_model(seed=6), tiny_task(length=LENGTH, seed=6)
    lengths = torch.tensor([3, 6, 4])
    task = dataclasses.replace(
        task, lengths=lengths, answers=dataclasses.replace(task.answers, positions=lengths[:, None] - 1)
    )
    vector = steering_vector(model, task, layer=0)
    curve = steering_curve(model, task, vector, 0, [1.0], progress=False, n_random=1, direction="noise")
    with torch.no_grad():
        usual = model(task.clean).log_softmax(-1)
        with steered(model, vector, 0):
            now = model(task.clean).log_softmax(-1)
    divergence = (usual.exp() * (usual - now)).sum(-1)
    expected = torch.cat([divergence[row, :length] for row, length in enumerate(lengths.tolist())]).mean()
    assert float(curve.divergence.values[0, 0]) == pytest.approx(float(expected), rel=1e-3)
    assert "clean prompts" in curve.divergence.title


def test_bad_input() -> None:
    model, task = exact_model(), tiny_task()
    vector = torch.ones(24)
    with pytest.raises(ValueError, match="negative prompts too"):
        steering_vector(model, task.clean, layer=0)
    with pytest.raises(ValueError, match="has its own negative"):
        steering_vector(model, task, task.clean, layer=0)
    with pytest.raises(ValueError, match="no layer"):
        steering_vector(model, task, layer=2)
    with pytest.raises(ValueError, match="same mean"):
        steering_vector(model, task.clean, task.clean, layer=1)
    with pytest.raises(ValueError, match="only a task's"):
        steering_vector(model, task.clean, task.corrupted, layer=1, positions="it")
    with pytest.raises(ValueError, match="shape"), steered(model, torch.ones(3), 0):
        pass
    with pytest.raises(ValueError, match="not zero"), steered(model, torch.zeros(24), 0):
        pass
    for options, words in (
        ({"coefficients": []}, "at least one"),
        ({"coefficients": [float("nan")]}, "finite"),
        ({"n_random": 0}, "at least 1"),
        ({"text": torch.tensor([[99, 1]])}, "out of range"),
        ({"text": torch.tensor([[1]])}, "two positions"),
    ):
        with pytest.raises(ValueError, match=words):
            steering_curve(model, task, vector, 0, progress=False, **options)  # type: ignore[arg-type]


TEXTS = [[5, 6, 7, 8], [9, 3]]
VECTOR = 3 * torch.randn(24, generator=torch.Generator().manual_seed(8), dtype=torch.float64)


def padded(side: str) -> Tokens:
    rows, masks = [[0] * (4 - len(row)) for row in TEXTS], [[1] * len(row) for row in TEXTS]
    if side == "left":
        return Tokens(
            [pad + row for pad, row in zip(rows, TEXTS, strict=True)],
            [[0] * len(pad) + mask for pad, mask in zip(rows, masks, strict=True)],
        )
    return Tokens(
        [row + pad for pad, row in zip(rows, TEXTS, strict=True)],
        [mask + [0] * len(pad) for pad, mask in zip(rows, masks, strict=True)],
    )


def by_hand(model, row: list[int], positions: list[int], layer: int = 1) -> torch.Tensor:
    """Logits after a text, alone, that is steered at these positions."""
    residual = model(torch.tensor([row]), stop_at_layer=layer)
    residual[:, positions] += 2 * VECTOR
    return model(residual, start_at_layer=layer)[0]


CHOICES: dict[str, tuple[Any, list[list[int]]]] = {
    "last": ("last", [[3], [1]]),
    "first": (0, [[0], [0]]),
    "from the end": (-2, [[2], [0]]),
    "several": ([0, -1], [[0, 3], [0, 1]]),
    "prompt": ("prompt", [[0, 1, 2, 3], [0, 1]]),
    "all": ("all", [[0, 1, 2, 3], [0, 1]]),
    "a number and a word": ([0, "last"], [[0, 3], [0, 1]]),
    "generated": ("generated", [[], []]),
    "one for each": (torch.tensor([2, 1]), [[2], [1]]),
    "one for each, from the end": (torch.tensor([-4, -1]), [[0], [1]]),
    "numpy": (np.int64(1), [[1], [1]]),
}


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("kind", CHOICES)
@torch.no_grad()
def test_chosen_positions(kind: str, side: str) -> None:
    model, (positions, expected) = exact_model(seed=2), CHOICES[kind]
    tokens = padded(side)
    mask = torch.zeros(2, 4, dtype=torch.bool)
    for row, chosen in enumerate(expected):
        at = tokens.is_real[row].nonzero()[:, 0]
        mask[row, at[torch.tensor(chosen, dtype=torch.long)]] = True
    for given in (positions, mask):
        with steered(model, VECTOR, 1, 2.0, positions=given):
            logits = model(tokens)
        for row, text in enumerate(TEXTS):
            found = logits[row][tokens.is_real[row]]
            assert torch.allclose(found, by_hand(model, text, expected[row]), atol=1e-10)
    assert not any(point.watched for point in model.hook_points())
    assert not model._forward_pre_hooks


@pytest.mark.parametrize(
    "positions", [None, "last", "prompt", "generated", "all", [0, 2], ["generated", "last"]]
)
@torch.no_grad()
def test_writing_at_chosen_positions(positions: Any) -> None:
    """With and without earlier keys, in a padded batch and alone, with the prompt read in two parts."""
    model = exact_model(seed=3)
    prompt = torch.tensor([[5, 6, 7, 8]])
    options: dict[str, Any] = {
        "do_sample": False,
        "verbose": False,
        "stop_at_eos": False,
        "return_logits": True,
    }
    with steered(model, VECTOR, 1, 2.0, positions=positions):
        cached = model.generate(prompt, 4, **options)
        anew = model.generate(prompt, 4, use_past_kv_cache=False, **options)
        both = padded("left") if positions != [0, 2] else Tokens([[5, 6, 7, 8], [9, 3, 4, 4]])
        batch = model.generate(both, 4, **options)
    written = cached.output[0].tolist()
    chosen = {
        None: range(8), "last": [3], "prompt": range(4), "generated": range(4, 8), "all": range(8),
        "[0, 2]": [0, 2], "['generated', 'last']": range(3, 8),
    }[positions if positions is None or isinstance(positions, str) else str(positions)]  # fmt: skip
    expected = by_hand(model, written, [place for place in chosen if place < 8])[3:7]
    for found in (cached, anew, batch):
        assert found.output[0].tolist() == written
        assert torch.allclose(found.logits[0], expected, atol=1e-8)
    if positions is not None and positions != [0, 2]:
        with steered(model, VECTOR, 1, 2.0, positions=positions):
            alone = model.generate(torch.tensor([TEXTS[1]]), 4, **options)
        assert alone.output[0, 2:].tolist() == batch.output[1, 4:].tolist()


@torch.no_grad()
def test_positions_of_a_task_and_of_a_cached_prompt() -> None:
    model = exact_model(seed=4)
    task = dataclasses.replace(tiny_task(length=LENGTH), positions={"it": torch.tensor([1, 4, 2])})
    expected = torch.stack(
        [by_hand(model, row, [at]) for row, at in zip(task.clean.tolist(), [1, 4, 2], strict=True)]
    )
    for given in ({"positions": "it", "task": task}, {"positions": task.positions["it"]}):
        with steered(model, VECTOR, 1, 2.0, **given):
            assert torch.allclose(model(task.clean), expected, atol=1e-10)
    cache = HookedTransformerKeyValueCache.init_cache(model.cfg, "cpu", 1)
    row = task.clean[:1]
    with steered(model, VECTOR, 1, 2.0, positions=[1, -1]):
        model(row[:, :4], past_kv_cache=cache)
        second = model(row[:, 4:], past_kv_cache=cache)
    # Of each part the last token, and token 1 of the whole.
    assert torch.allclose(second[0], by_hand(model, row[0].tolist(), [1, 3, 5])[4:], atol=1e-10)


def test_a_curve_at_chosen_positions() -> None:
    model, task = exact_model(seed=4), tiny_task(length=LENGTH, seed=4)
    vector = steering_vector(model, task, layer=1)
    options: dict[str, Any] = {"normalize": False, "progress": False, "n_random": 1}
    for positions in ("last", [0, -2], torch.tensor([1, 2, 3])):
        curve = steering_curve(model, task, vector, 1, [2.0], positions=positions, **options)
        with torch.no_grad(), steered(model, vector, 1, 2.0, positions=positions):
            expected = float(task.measure(task.logits(model, task.corrupted)).mean())
        assert float(curve.effect.values[0, 0]) == pytest.approx(expected, rel=1e-3, abs=1e-4)
    with pytest.raises(ValueError, match="generates nothing"):
        steering_curve(model, task, vector, 1, positions="generated", **options)
    with pytest.raises(ValueError, match="not to the text"):
        steering_curve(
            model, task, vector, 1, positions=torch.tensor([1, 2, 3]), text=tiny_tokens(2, 8), **options
        )


def test_positions_that_do_not_fit() -> None:
    model, tokens = exact_model(), tiny_tokens(2, 6)
    vector, task = torch.ones(24), tiny_task()
    for given, error, words in (
        ({"positions": []}, ValueError, "empty"),
        ({"positions": "S2"}, ValueError, "need the task too"),
        ({"positions": "S2", "task": task}, KeyError, "no position called 'S2'"),
        ({"positions": torch.zeros(6, dtype=torch.bool)}, ValueError, "mask of positions must be"),
        ({"positions": torch.tensor([1.0])}, TypeError, "whole numbers"),
        ({"positions": [True]}, TypeError, "whole number"),
    ):
        with pytest.raises(error, match=words), steered(model, vector, 0, **given):
            pass
    for given, words in (
        (6, "some prompt is too short"),
        (-7, "some prompt is too short"),
        (torch.tensor([1, 2, 3]), "given for 3 prompts"),
        (torch.ones(2, 5, dtype=torch.bool), "but the prompts"),
    ):
        with pytest.raises(ValueError, match=words), steered(model, vector, 0, positions=given):
            model(tokens)
