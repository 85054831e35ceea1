"""Elementwise maps as ReLU neurons.

For values with one direction each, a neuron detects one combination: relu(sum of the directions - (inputs - 1)).
For a number, neurons interpolate linearly between its possible values, so that the map is exact at those points.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence

import torch

from mechscope.planted._plan import Neurons, Reading, Variable, Vector
from mechscope.planted.program import Value

MOST_NEURONS = 20_000
SEGMENTS = 16
"""Linear pieces that approximate a square between -2 and 2; the error is at most (4 / SEGMENTS)² / 4."""

Gate = tuple[list[tuple[Variable, Vector]], float, float]
"""What to read, the bias, and what BOS adds: 1 for the given combination of values, else at most 0."""


def combinations(
    inputs: Sequence[Reading], sees_none: bool, possible: Callable[..., bool] | None
) -> list[tuple[Value, ...]]:
    """Every combination of values that the inputs can have.

    Raises:
        ValueError: if there are too many for the neurons of a model.
    """
    choices = [
        (*reading.classes, None) if sees_none and reading.may_be_none else reading.classes
        for reading in inputs
    ]
    if math.prod(len(values) for values in choices) > MOST_NEURONS * 10:
        raise ValueError(
            f"an elementwise map of inputs with {[len(values) for values in choices]} values has too many "
            "combinations; map the inputs to fewer values first."
        )
    met = (
        combo
        for combo in itertools.product(*choices)
        if None in combo or possible is None or possible(*combo)
    )
    return list(met)


def lookup_neurons(
    inputs: Sequence[Reading],
    table: dict[tuple[Value, ...], Value],
    output: Variable,
    one: Variable,
) -> Neurons:
    """Neurons for a function given by its value at every combination; at most one input may be a number.

    Raises:
        ValueError: for several numerical inputs, or too many neurons.
    """
    numbers = [index for index, reading in enumerate(inputs) if reading.variable.numerical]
    if len(numbers) > 1:
        raise ValueError(
            f"{output.name!r} maps {len(numbers)} numerical inputs at once, but an elementwise map can take only one. "
            "Turn the others into values first, each with its own elementwise map."
        )
    neurons = Neurons()
    directions = {value: output.encoding[index] for index, value in enumerate(output.values)}
    nothing = torch.zeros(output.width, dtype=torch.float64)
    if not numbers:
        for combo, value in table.items():
            reads, bias, at_bos = _gate(list(zip(inputs, combo, strict=True)), one)
            neurons.add(reads, bias, directions.get(value, nothing), at_bos)
    else:
        number = numbers[0]
        written = inputs[number].variable
        lengths = dict(zip(written.values, written.encoding[:, 0].tolist(), strict=True))
        by_gate: dict[tuple[Value, ...], list[tuple[float, Vector]]] = {}
        for combo, value in table.items():
            rest = (*combo[:number], *combo[number + 1 :])
            point = lengths[combo[number]]
            by_gate.setdefault(rest, []).append((point, directions.get(value, nothing)))
        others = [reading for index, reading in enumerate(inputs) if index != number]
        for rest, points in by_gate.items():
            gate = _gate(list(zip(others, rest, strict=True)), one)
            _polyline(neurons, written, gate, sorted(points, key=lambda point: point[0]))
    if len(neurons) > MOST_NEURONS:
        raise ValueError(
            f"{output.name!r} would need {len(neurons)} neurons; map its inputs to fewer values."
        )
    return neurons


def _gate(conditions: list[tuple[Reading, Value]], one: Variable) -> Gate:
    """A gate that is 1 where every reading has its value, and at most 0 elsewhere and at BOS."""
    if not conditions:
        return [(one, one.encoding[0])], 0.0, 0.0
    reads: list[tuple[Variable, Vector]] = []
    bias, at_bos = 1.0 - len(conditions), 0.0
    for reading, value in conditions:
        if value is None:
            classes = reading.classes
            reads.append((reading.variable, -reading.weights(reading.indicator(classes)).sum(1)))
            bias, at_bos = bias + 1.0, at_bos - 1.0
        else:
            reads.append((reading.variable, reading.weights(reading.indicator([value]))[:, 0]))
    return reads, bias, at_bos


def _polyline(neurons: Neurons, number: Variable, gate: Gate, points: list[tuple[float, Vector]]) -> None:
    """Linear interpolation between the points, constant outside them, active where the gate is open."""
    reads, bias, at_bos = gate
    neurons.add(reads, bias, points[0][1], at_bos)
    # One more than the number's range, so that a closed gate stays closed under noise.
    reach = number.encoding.max() - number.encoding.min() + 1.0
    identity = torch.ones(1, dtype=torch.float64)
    slope = torch.zeros_like(points[0][1])
    for (here, height), (there, next_height) in zip(points, [*points[1:], (None, None)], strict=True):
        new = torch.zeros_like(slope)
        if there is not None and next_height is not None:
            new = (next_height - height) / (there - here)
        gated = [(variable, float(reach) * weight) for variable, weight in reads]
        shift = float(reach) * (bias - 1.0) - here
        neurons.add([*gated, (number, identity)], shift, new - slope, float(reach) * at_bos)
        slope = new


def circle_neurons(first: Reading, second: Reading, n_frequencies: int, one: Variable) -> Neurons:
    """Neurons that add angles: for each frequency, from (cos, sin) of two angles to (cos, sin) of their sum.

    (cos a + cos b)² + (sin a - sin b)² = 2 + 2 cos(a + b), and (sin a + cos b)² + (cos a + sin b)² = 2 + 2 sin(a + b).
    """
    neurons = Neurons()
    width = 2 * n_frequencies

    def along(dim: int, sign: float = 1.0) -> Vector:
        direction = torch.zeros(width, dtype=torch.float64)
        direction[dim] = sign
        return direction

    for frequency in range(n_frequencies):
        cos, sin = 2 * frequency, 2 * frequency + 1
        squares = (
            (along(cos), along(cos), cos),
            (along(sin), along(sin, -1.0), cos),
            (along(sin), along(cos), sin),
            (along(cos), along(sin), sin),
        )
        for left, right, target in squares:
            _half_square(neurons, [(first.variable, left), (second.variable, right)], along(target, 0.5))
        for target in (cos, sin):
            neurons.add([(one, one.encoding[0])], 0.0, along(target, -1.0))
    return neurons


def _half_square(neurons: Neurons, reads: list[tuple[Variable, Vector]], out: Vector) -> None:
    """`out` times the square of the input, approximated by linear pieces between -2 and 2.

    The square is even and zero at zero, so it needs no constant: relu(x) and relu(-x) get the same pieces.
    """
    step = 4.0 / SEGMENTS
    knots = [step * index for index in range(SEGMENTS // 2)]
    backward = [(variable, -weight) for variable, weight in reads]
    for side in (reads, backward):
        slope = 0.0
        for knot in knots:
            new = ((knot + step) ** 2 - knot**2) / step
            neurons.add(side, -knot, (new - slope) * out)
            slope = new
