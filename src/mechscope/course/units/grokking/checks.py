"""The checks of unit 02."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import math

import torch
from torch import Tensor

from mechscope.course.comparison import difference
from mechscope.course.trial import CheckFailedError, Trial
from mechscope.course.units.grokking import reference

ROUNDED = (
    "In float32 the probability of the right answer rounds to 1 here, and the loss and its gradient round to 0. "
    "Turn the logits into float64 before the softmax."
)
GRAPH = (
    "The new weights carry the graph of this step, so every further step would go back through all earlier ones. "
    "Compute them from detached weights."
)
WRONG_CIRCLE = "E does not put the numbers on a circle of each frequency, in the order of the list."
UNEVEN = "The directions in W_in are not spread evenly over the full circle: those of a frequency should add up to 0."
HALF = "It answers half of the sum: W_out compares c with the angle w(a + b)/2, not with twice that angle."
BACKWARDS = "It answers -(a + b): the angle of c has the wrong sign."
UNUSED = "A frequency of the list does nothing: without its circle, the logits stay the same."


def _odd(trial: Trial, low: int, high: int) -> int:
    """An odd number from 2 * low + 1 on."""
    return 2 * trial.number(low, high) + 1


def _some_frequencies(trial: Trial, p: int, count: int) -> list[int]:
    order = torch.randperm((p - 1) // 2, generator=trial.generator)
    return (order[:count] + 1).tolist()


# Training


def check_split_pairs(trial: Trial) -> None:
    for _ in range(2):
        p = _odd(trial, 3, 8)
        n_train = trial.number(p, p * p // 2)
        trial.compare(p, n_train, trial.number(0, 100), names=("the training pairs", "the test pairs"))


def check_train_step(trial: Trial) -> None:
    p, width = _odd(trial, 3, 5), trial.number(4, 7)
    weights = {
        "E": trial.normal(p, width),
        "W_in": trial.normal(width, 9) / 2,
        "W_out": trial.normal(9, p) / 2,
    }
    pairs = trial.whole(0, p, trial.number(12, 20), 2)
    rates = (float(trial.uniform(1, low=0.2, high=0.4)), float(trial.uniform(1, low=0.3, high=0.6)))
    _, new = trial.compare(weights, pairs, pairs.sum(1) % p, *rates, names=("the loss", "the new weights"))
    trial.require(
        not any(weight.requires_grad for weight in new.values()), "the new weights need gradients.", GRAPH
    )
    # Now a network that has the rule already, so that hardly any loss is left.
    weights, pairs = _nearly_perfect(trial)
    answers = pairs.sum(1) % len(weights["E"])
    loss, _ = trial.call(weights, pairs, answers, *rates)
    wanted, _ = reference.train_step(weights, pairs, answers, *rates)
    if problem := difference(loss, wanted, 1e-2, 0, "the loss of a network that is nearly perfect"):
        raise CheckFailedError(problem, ROUNDED)


def _nearly_perfect(trial: Trial) -> tuple[dict[str, Tensor], Tensor]:
    """Weights (float32) whose least certain answer is e^18 times as probable as the next one, and all pairs."""
    weights = reference.wire_addition(11, _some_frequencies(trial, 11, 2), 9)
    pairs = torch.cartesian_prod(torch.arange(11), torch.arange(11))
    best = reference.pair_logits(weights, pairs).topk(2).values
    weights["W_out"] *= 18 / (best[:, 0] - best[:, 1]).min()
    return {name: weight.float() for name, weight in weights.items()}, pairs


# Waves


def check_fourier_basis(trial: Trial) -> None:
    for _ in range(2):
        p = _odd(trial, 3, 12)
        basis = trial.compare(p, what="the basis")
        trial.require(
            torch.allclose(basis @ basis.T, torch.eye(p).double(), atol=1e-6), "the rows are not orthonormal."
        )


def check_fourier_2d(trial: Trial) -> None:
    for _ in range(2):
        p = _odd(trial, 3, 7)
        values = trial.normal(p, p, trial.number(2, 5))
        found = trial.compare(values, what="the coefficient")
        trial.require(
            torch.allclose(found.square().sum((0, 1)), values.double().square().sum((0, 1))),
            "an orthonormal basis keeps the sum of squares; your coefficients do not.",
        )


def check_key_frequencies(trial: Trial) -> None:
    for _ in range(3):
        p, width = _odd(trial, 11, 20), trial.number(6, 12)
        chosen = _some_frequencies(trial, p, 6)
        # Three keys, the largest of which is a sine only and one just above a quarter; then some that are too weak. The
        # strongest of those has as much cosine as sine, so that the sum of their lengths would make it a key.
        strengths = (1.0, 0.7, 0.35, 0.2, 0.15, 0.1)
        basis = reference.fourier_basis(p)
        embedding = 3 * basis[:1].T @ trial.normal(1, width).double()
        for k, strength in zip(chosen, strengths, strict=True):
            along = trial.normal(2, width).double()
            along /= along.norm(dim=1, keepdim=True)
            along[0] *= strength != 1.0
            embedding += basis[[2 * k - 1, 2 * k]].T @ (strength * along / along.norm())
        trial.compare(embedding.float(), what="the list of key frequencies")


# Neurons


def _neurons(trial: Trial, p: int, count: int) -> Tensor:
    """Neurons of one frequency each, with a mean and some noise."""
    number = torch.arange(p)
    neurons: list[Tensor] = []
    for _ in range(count):
        angle = 2 * math.pi * trial.number(1, (p - 1) // 2) * number / p
        phases = trial.uniform(2, high=2 * math.pi)
        wave = (angle + phases[0]).cos()[:, None] + (angle + phases[1]).cos()
        neurons.append((wave + 0.3 * trial.normal(1)).relu() + 1)
    return torch.stack(neurons, -1) + 0.2 * trial.normal(p, p, count)


def check_quadratic_fit(trial: Trial) -> None:
    for _ in range(2):
        p = _odd(trial, 4, 7)
        neurons = _neurons(trial, p, trial.number(2, 5))
        trial.compare(neurons, trial.number(1, (p - 1) // 2), what="the fit")


def check_neuron_frequency(trial: Trial) -> None:
    for _ in range(2):
        p = _odd(trial, 4, 7)
        # Neurons of different sizes, so that one's variance does not stand for another's.
        count = trial.number(3, 6)
        neurons = _neurons(trial, p, count) * torch.arange(1, count + 1)
        trial.compare(neurons, names=("the frequencies", "the shares"))


# Interventions


def check_ablate_frequency(trial: Trial) -> None:
    for _ in range(2):
        p = _odd(trial, 5, 12)
        embedding = trial.normal(p, trial.number(4, 9)) + 0.5
        trial.compare(embedding, trial.number(1, (p - 1) // 2), what="the embedding")


def check_sum_waves(trial: Trial) -> None:
    for _ in range(2):
        p = _odd(trial, 4, 7)
        k = trial.number(1, (p - 1) // 2 + 1)
        trial.compare(trial.normal(p, p, p), k, what="the projection")
    number = torch.arange(p)
    angle = 2 * math.pi * k * (number[:, None, None] + number[:, None] - number).double() / p
    trial.require(
        torch.allclose(trial.call(angle.cos(), k), angle.cos(), atol=1e-6),
        "cos w(a + b - c) is a wave of the sum for every c and should come back unchanged.",
    )


def check_restricted_and_excluded(trial: Trial) -> None:
    for _ in range(2):
        p = _odd(trial, 5, 8)
        keys = _some_frequencies(trial, p, 2)
        train, test = reference.split_pairs(p, p * p // 3, trial.seed)
        number = torch.arange(p)
        total = number[:, None, None] + number[:, None]
        logits = 0.5 * trial.normal(p, p, p) + trial.normal(p)
        for k in keys:
            logits += 1.5 * (2 * math.pi * k * (total - number) / p).cos()
        # What was learnt by heart.
        a, b = train.unbind(1)
        logits[a, b, (a + b) % p] += 3
        trial.compare(logits, keys, train, test, names=("the restricted loss", "the excluded loss"))


def check_turning_point(trial: Trial) -> None:
    for _ in range(2):
        p = _odd(trial, 5, 30)
        half = math.log(p) / 2
        # Above guessing with a short dip, then between guessing and half of it, and then down for good.
        count = trial.number(2, 5)
        shares = [2.2] * count + [0.8, 2.2] + [1.7] * count + [0.5] * count
        losses = [half * share * float(trial.uniform(1, low=0.95, high=1.05)) for share in shares]
        epochs = (torch.arange(len(losses)) * trial.number(50, 300)).tolist()
        trial.compare(epochs, losses, p, what="the epoch")
    trial.compare(epochs, [*losses[:-1], half * 1.2], p, what="the epoch of a training that ends above half")
    trial.compare(epochs[:3], [half / 2] * 3, p, what="the epoch of a training that is always below half")


# Wiring


def check_wire_addition(trial: Trial) -> None:
    for _ in range(2):
        p = (11, 13, 17, 19)[trial.number(0, 4)]
        n, directions = trial.number(2, 4), _odd(trial, 3, 7)
        frequencies = _some_frequencies(trial, p, n)
        weights = trial.call(p, frequencies, directions)
        _check_shapes(
            trial, weights, {"E": (p, 2 * n), "W_in": (2 * n, n * directions), "W_out": (n * directions, p)}
        )
        _check_circles(trial, weights["E"], frequencies)
        pairs = torch.cartesian_prod(torch.arange(p), torch.arange(p))
        answers = pairs.sum(1) % p
        logits = reference.pair_logits(weights, pairs)
        given = logits.argmax(-1)
        wrong = given != answers
        if wrong.any():
            place = int(wrong.nonzero()[0])
            a, b = pairs[place].tolist()
            raise CheckFailedError(
                f"{int((~wrong).sum())} of {p * p} answers are right for p = {p}, frequencies {frequencies} and "
                f"{directions} directions; for {a} + {b} it answers {int(given[place])}.",
                _diagnosis(weights["W_in"], n, given, pairs),
            )
        for i in range(n):
            without = weights | {"E": weights["E"].clone()}
            without["E"][:, 2 * i : 2 * i + 2] = 0
            changed = (reference.pair_logits(without, pairs) - logits).abs().max()
            trial.require(
                changed > 1e-3 * logits.abs().max(), f"frequency {frequencies[i]} is not used.", UNUSED
            )


def _check_shapes(trial: Trial, weights: object, shapes: dict[str, tuple[int, int]]) -> None:
    trial.require(isinstance(weights, dict), "a dictionary of weights is expected.")
    assert isinstance(weights, dict)
    for name, shape in shapes.items():
        wanted, found = torch.zeros(shape).double(), weights.get(name)
        # Values are not compared here but by running the network.
        if not isinstance(found, Tensor) or found.shape != shape or found.dtype != wanted.dtype:
            raise CheckFailedError(difference(found, wanted, 0, 0, name))


def _check_circles(trial: Trial, E: Tensor, frequencies: list[int]) -> None:
    for i, k in enumerate(frequencies):
        plane = E[:, 2 * i : 2 * i + 2]
        rest = reference.ablate_frequency(plane, k)
        trial.require(
            rest.norm() < 1e-3 * plane.norm(),
            f"dimensions {2 * i} and {2 * i + 1} of E do not hold waves of frequency {k}.",
            WRONG_CIRCLE,
        )


def _diagnosis(W_in: Tensor, n: int, given: Tensor, pairs: Tensor) -> str:
    p = int(pairs.max()) + 1
    a, b = pairs.unbind(1)
    sums = W_in.unflatten(1, (n, -1)).sum(-1)
    if (given == -(a + b) % p).all():
        return BACKWARDS
    if sums.abs().max() > 1e-3 * W_in.abs().max():
        return UNEVEN
    if (given == a)[a == b].all():
        return HALF
    return ""
