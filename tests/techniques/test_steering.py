"""Steering vectors against means by hand, and the dose-response curve against whole runs."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import torch

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
    with pytest.raises(ValueError, match="brings its own"):
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
