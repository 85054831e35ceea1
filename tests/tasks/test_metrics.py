"""Every metric against a case worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mechscope.tasks.metrics import METRICS, Answers, get_metric

# One example, one answer, four tokens with probabilities 1/2, 1/4, 1/8, 1/8.
LOGITS = torch.tensor([[[math.log(4), math.log(2), 0.0, 0.0]]])
ONE = torch.zeros(1, 1, dtype=torch.long)


def answers(correct: list[int], wrong: list[int] | None = None) -> Answers:
    return Answers(ONE, torch.tensor([[correct]]), None if wrong is None else torch.tensor([[wrong]]))


@pytest.mark.parametrize(
    ("metric", "given", "expected"),
    [
        ("logit_difference", answers([0], [2]), math.log(4)),
        ("logit_difference", answers([0, 1], [2, 3]), (math.log(4) + math.log(2)) / 2),
        ("logit_difference", answers([0, -1], [1, 2]), math.log(4) - math.log(2) / 2),  # -1 fills up
        ("logit", answers([1]), math.log(2)),
        ("probability", answers([0]), 0.5),
        ("probability", answers([1, 2, -1]), 0.375),
        ("probability_difference", answers([0], [1, 3]), 0.5 - 0.375),
        ("log_probability", answers([1, 2]), math.log(0.375)),
        ("accuracy", answers([0]), 1.0),
        ("accuracy", answers([1, 2]), 0.0),
        ("accuracy", answers([1, 0, -1]), 1.0),
        ("preference", answers([1], [2]), 1.0),
        ("preference", answers([2], [1]), 0.0),
        ("preference", answers([2], [3]), 0.0),  # a tie is no preference
    ],
)
def test_by_hand(metric: str, given: Answers, expected: float) -> None:
    assert METRICS[metric](LOGITS, given).tolist() == pytest.approx([expected], abs=1e-6)


def test_divergence_by_hand() -> None:
    """KL(reference ‖ run), in nats: sum of p log(p / q) with p uniform."""
    uniform = torch.zeros(1, 1, 4)
    q = [0.5, 0.25, 0.125, 0.125]
    expected = sum(0.25 * math.log(0.25 / each) for each in q)
    found = METRICS["kl_divergence"](LOGITS, answers([0]), uniform)
    assert found.tolist() == pytest.approx([expected], abs=1e-6)
    assert METRICS["kl_divergence"](LOGITS, answers([0]), LOGITS).abs().max() < 1e-6


def test_several_answers_are_averaged_and_examples_are_kept_apart() -> None:
    logits = torch.randn(3, 2, 5, generator=torch.Generator().manual_seed(0))
    positions = torch.zeros(3, 2, dtype=torch.long)
    correct = torch.tensor([[[0], [1]], [[2], [3]], [[4], [0]]])
    values = METRICS["logit"](logits, Answers(positions, correct))
    assert values.shape == (3,)
    assert values[1].item() == pytest.approx(((logits[1, 0, 2] + logits[1, 1, 3]) / 2).item())


def test_what_a_metric_cannot_do_it_says() -> None:
    with pytest.raises(ValueError, match="has no wrong ones"):
        METRICS["logit_difference"](LOGITS, answers([0]))
    with pytest.raises(ValueError, match="clean run"):
        METRICS["kl_divergence"](LOGITS, answers([0]))
    with pytest.raises(ValueError, match=r"\[batch answer d_vocab\]"):
        METRICS["logit"](LOGITS.expand(2, 1, 4), answers([0]))
    with pytest.raises(KeyError, match="logit_difference"):
        get_metric("logitdiff")
    with pytest.raises(ValueError, match="no correct token"):
        answers([-1, -1])
    with pytest.raises(ValueError, match=r"\[batch answer choice\]"):
        Answers(ONE, torch.tensor([[0]]))


def test_an_answer_without_a_logit_is_named():
    """A model that predicts fewer tokens than it reads (d_vocab_out below d_vocab)."""
    answers = Answers(
        torch.zeros(2, 1, dtype=torch.long), torch.tensor([[[3]], [[4]]]), torch.tensor([[[35]], [[1]]])
    )
    for metric in METRICS.values():
        with pytest.raises(ValueError, match="token id 35, but the logits cover only ids 0 to 29"):
            metric(torch.zeros(2, 1, 30), answers, torch.zeros(2, 1, 30))
