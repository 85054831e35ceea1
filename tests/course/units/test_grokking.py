"""Unit 02: the figure through the learner's functions, on the bundled network."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

from mechscope.course.checking import references_of
from mechscope.course.unit import find_unit
from mechscope.course.units.grokking import figure, reference
from mechscope.labs.grokking.full_batch import run_pairs
from mechscope.labs.grokking.pairs import all_pairs


def test_the_figure_shows_the_rule_before_the_loss_does() -> None:
    drawn = figure.draw(SimpleNamespace(**references_of(find_unit("02"))))
    assert drawn.is_reproduced
    lines = drawn.figure.to_dict()["data"]
    unseen, restricted = (
        next(line["y"] for line in lines if line["name"].startswith(name))
        for name in ("unseen", "restricted")
    )
    at = figure.EPOCHS.index(4800)
    assert restricted[at] < 1 < unseen[at]
    assert unseen[-1] < 1e-5


def test_the_figure_needs_the_right_frequencies(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figure, "EPOCHS", (0, 2800, 7000, 11900))
    functions = SimpleNamespace(**references_of(find_unit("02")))
    assert figure.draw(functions).is_reproduced
    functions.key_frequencies = lambda embedding: [2, 22, 50]
    assert not figure.draw(functions).is_reproduced


def test_the_lessons_numbers() -> None:
    state = figure.weights_at(figure.EPOCHS[-1])
    pairs = all_pairs(figure.P)
    for frequency, percent in ((1, 17), (21, 58), (49, 20), (5, 100), (20, 100)):
        W_E = state["embed.W_E"].clone()
        W_E[: figure.P] = reference.ablate_frequency(W_E[: figure.P], frequency).float()
        guesses = run_pairs({**state, "embed.W_E": W_E}, pairs).logits.argmax(-1)
        right = (guesses == pairs.answer).float().mean().item()
        assert round(100 * right) == percent, frequency


def test_most_neurons_have_one_key_frequency() -> None:
    neurons = run_pairs(figure.weights_at(figure.EPOCHS[-1]), all_pairs(figure.P)).neurons
    some = neurons[:, neurons.std(0) > 1e-6][:, :12].unflatten(0, (figure.P, figure.P))
    frequencies, shares = reference.neuron_frequency(some)
    assert set(frequencies.tolist()) <= {1, 21, 49}
    assert torch.median(shares) > 0.85
