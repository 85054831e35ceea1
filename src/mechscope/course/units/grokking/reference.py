"""The solutions of unit 02."""

import math

import torch
from jaxtyping import Float, Int
from torch import Tensor


def pair_logits(weights: dict[str, Tensor], pairs: Int[Tensor, "pair 2"]) -> Float[Tensor, "pair p"]:
    """The small network of this unit, given: it adds the vectors of a and b, and ReLU neurons score the answers.

    E is [p, d_model], W_in [d_model, neuron] and W_out [neuron, p].
    """
    a, b = pairs.unbind(1)
    return ((weights["E"][a] + weights["E"][b]) @ weights["W_in"]).relu() @ weights["W_out"]


def split_pairs(
    p: int, n_train: int, seed: int
) -> tuple[Int[Tensor, "train_pair 2"], Int[Tensor, "test_pair 2"]]:
    """Divide all p² pairs (a, b) at random into n_train pairs to train on and the rest to test on.

    Number the pairs in the order (0, 0), (0, 1), …, (p - 1, p - 1), and shuffle the numbers with
    torch.randperm(p * p, generator=torch.Generator().manual_seed(seed)). The first n_train pairs of the shuffled order
    are the training set. Keep the shuffled order in both sets. (a, b) and (b, a) are two pairs.
    """
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(seed))
    pairs = torch.stack([order // p, order % p], 1)
    return pairs[:n_train], pairs[n_train:]


def train_step(
    weights: dict[str, Tensor],
    pairs: Int[Tensor, "pair 2"],
    answers: Int[Tensor, " pair"],
    learning_rate: float,
    weight_decay: float,
) -> tuple[float, dict[str, Tensor]]:
    """One step of gradient descent with weight decay on all pairs at once. Return the loss before it and new weights.

    The loss is the mean cross-entropy of pair_logits(weights, pairs), with the logits turned into float64 before the
    softmax: a loss of 1e-9 is lost in float32. Each new weight is w - learning_rate * (gradient + weight_decay * w).
    The new weights are float32, and carry no graph. Leave the old ones as they are.
    """
    leaves = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
    loss = torch.nn.functional.cross_entropy(pair_logits(leaves, pairs).double(), answers)
    gradients = torch.autograd.grad(loss, list(leaves.values()))
    new = {
        name: weight.detach() - learning_rate * (gradient + weight_decay * weight.detach())
        for (name, weight), gradient in zip(weights.items(), gradients, strict=True)
    }
    return loss.item(), new


def fourier_basis(p: int) -> Float[Tensor, "p p"]:
    """The waves over the numbers 0 … p - 1 for an odd p, as orthonormal rows in float64.

    Row 0 is constant. Then come, for each frequency k from 1 to (p - 1) / 2, first cos(2πkx/p) and then sin(2πkx/p).
    Every row is scaled to length 1.
    """
    x = torch.arange(p).double()
    rows = [torch.ones(p).double()]
    for k in range(1, (p - 1) // 2 + 1):
        angle = 2 * math.pi * k * x / p
        rows += [angle.cos(), angle.sin()]
    basis = torch.stack(rows)
    return basis / basis.norm(dim=1, keepdim=True)


def fourier_2d(values: Float[Tensor, "p p neuron"]) -> Float[Tensor, "p p neuron"]:
    """The Fourier coefficients of functions of pairs (a, b), in float64: one function per neuron.

    Coefficient [i, j] is the inner product, over all pairs, of the function with wave i of a times wave j of b.
    Transform one axis after the other: both in a single einsum takes hundreds of times as long for a large p.
    """
    basis = fourier_basis(values.shape[0])
    by_a = torch.einsum("ia, abn -> ibn", basis, values.double())
    return torch.einsum("jb, ibn -> ijn", basis, by_a)


def key_frequencies(embedding: Float[Tensor, "p d_model"]) -> list[int]:
    """The frequencies that an embedding of the numbers 0 … p - 1 uses, in ascending order.

    The norm of a frequency k ≥ 1 is the length of all coefficients of its cosine and its sine, over all dimensions of
    the embedding, taken together. A key frequency is one whose norm is more than a quarter of the largest.
    """
    coefficients = fourier_basis(len(embedding)) @ embedding.double()
    norms = coefficients[1:].unflatten(0, (-1, 2)).square().sum((1, 2)).sqrt()
    return [k + 1 for k in range(len(norms)) if norms[k] > norms.max() / 4]


def quadratic_fit(neurons: Float[Tensor, "p p neuron"], k: int) -> Float[Tensor, "p p neuron"]:
    """The best approximation of each neuron's activations over all pairs by waves of the one frequency k.

    The approximation may use nine functions: the products of one of {1, cos(2πka/p), sin(2πka/p)} with one of
    {1, cos(2πkb/p), sin(2πkb/p)}. Best means the smallest sum of squared errors. Return float64.
    """
    waves = fourier_basis(len(neurons))[[0, 2 * k - 1, 2 * k]]
    by_a = torch.einsum("ia, abn -> ibn", waves, neurons.double())
    coefficients = torch.einsum("jb, ibn -> ijn", waves, by_a)
    values_of_b = torch.einsum("jb, ijn -> ibn", waves, coefficients)
    return torch.einsum("ia, ibn -> abn", waves, values_of_b)


def neuron_frequency(
    neurons: Float[Tensor, "p p neuron"],
) -> tuple[Int[Tensor, " neuron"], Float[Tensor, " neuron"]]:
    """For each neuron, the frequency whose quadratic_fit explains most of its variance over all pairs, and that share.

    The share is 1 minus the sum of squared errors of the fit, divided by the sum of squared differences from the
    neuron's mean. The frequencies are whole numbers (int64) from 1, the shares float64.
    """
    neurons = neurons.double()
    total = (neurons - neurons.mean((0, 1))).square().sum((0, 1))
    shares = torch.stack(
        [
            1 - (neurons - quadratic_fit(neurons, k)).square().sum((0, 1)) / total
            for k in range(1, (len(neurons) - 1) // 2 + 1)
        ]
    )
    best = shares.max(0)
    return best.indices + 1, best.values


def ablate_frequency(embedding: Float[Tensor, "p d_model"], k: int) -> Float[Tensor, "p d_model"]:
    """The embedding without the cosine and the sine of frequency k, in float64. All else stays as it is."""
    waves = fourier_basis(len(embedding))[[2 * k - 1, 2 * k]]
    return embedding.double() - waves.T @ (waves @ embedding.double())


def sum_waves(logits: Float[Tensor, "p p answer"], k: int) -> Float[Tensor, "p p answer"]:
    """The part of the logits that is a wave of the sum: their projection on cos and sin of 2πk(a + b)/p, in float64.

    These are two functions of a pair. They are orthogonal over all pairs; each answer's logits are projected on both.
    """
    p = len(logits)
    total = torch.arange(p)[:, None] + torch.arange(p)
    angle = 2 * math.pi * k * total.double() / p
    waves = torch.stack([angle.cos(), angle.sin()])
    waves = waves / waves.flatten(1).norm(dim=1)[:, None, None]
    coefficients = torch.einsum("wab, abc -> wc", waves, logits.double())
    return torch.einsum("wab, wc -> abc", waves, coefficients)


def restricted_and_excluded(
    logits: Float[Tensor, "p p answer"],
    keys: list[int],
    train: Int[Tensor, "train_pair 2"],
    test: Int[Tensor, "test_pair 2"],
) -> tuple[float, float]:
    """Two progress measures, both mean cross-entropies: the restricted loss on `test`, the excluded loss on `train`.

    Restricted: the logits are replaced by the sum of their sum_waves over the key frequencies, plus each answer's mean
    over all pairs. How good is the rule alone? Excluded: the same sum_waves are removed from the logits, and nothing
    else. How good is what is left, the memory? The right answer is (a + b) mod p. (Nanda et al. 2023)
    """
    rule = sum((sum_waves(logits, k) for k in keys), torch.zeros_like(logits, dtype=torch.float64))

    def loss(values: Tensor, pairs: Tensor) -> float:
        a, b = pairs.unbind(1)
        return float(torch.nn.functional.cross_entropy(values[a, b], (a + b) % len(logits)))

    return loss(rule + logits.double().mean((0, 1)), test), loss(logits.double() - rule, train)


def turning_point(epochs: list[int], losses: list[float], p: int) -> float:
    """The first of the epochs from which a loss stays below half the loss of guessing, to the end of the training.

    Guessing gives each of the p answers the same probability. If the last loss is not below, the answer is math.inf.
    """
    answer = math.inf
    for epoch, loss in reversed(list(zip(epochs, losses, strict=True))):
        if loss >= math.log(p) / 2:
            break
        answer = float(epoch)
    return answer


def wire_addition(p: int, frequencies: list[int], directions: int) -> dict[str, Tensor]:
    """Weights of pair_logits, by hand, that add modulo p without a mistake, using circles of the given frequencies.

    Return float64 tensors E [p, 2 * n], W_in [2 * n, n * directions] and W_out [n * directions, p], where n is the
    number of frequencies. Dimensions 2i and 2i + 1 belong to frequency i of the list, and so do the neurons
    [i * directions, (i + 1) * directions).

    E puts number a on the circle of frequency k: (cos wa, sin wa) with w = 2πk/p. The sum of two such points is
    2 cos(w(a - b)/2) times the point at the angle w(a + b)/2, which is half of the angle that is wanted. The neurons
    have to double it: spread the directions in which they read the circle's plane evenly over the full circle. W_out
    adds up a multiple of cos w(a + b - c), the same positive multiple for all answers c. `directions` is odd.
    """
    n, number = len(frequencies), torch.arange(p).double()
    weights = {
        "E": torch.zeros(p, 2 * n).double(),
        "W_in": torch.zeros(2 * n, n * directions).double(),
        "W_out": torch.zeros(n * directions, p).double(),
    }
    theta = 2 * math.pi * torch.arange(directions).double() / directions
    for i, k in enumerate(frequencies):
        angle = 2 * math.pi * k * number / p
        plane, neurons = slice(2 * i, 2 * i + 2), slice(i * directions, (i + 1) * directions)
        weights["E"][:, plane] = torch.stack([angle.cos(), angle.sin()], 1)
        weights["W_in"][plane, neurons] = torch.stack([theta.cos(), theta.sin()])
        # cos 2θ cos wc + sin 2θ sin wc
        weights["W_out"][neurons] = (2 * theta[:, None] - angle).cos()
    return weights
