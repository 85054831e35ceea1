"""Single passes: neurons, layers, rooms."""

from __future__ import annotations

import pytest
import torch

from mechscope import planted
from mechscope.planted._layout import lay_out
from mechscope.planted._lowering import lower
from mechscope.planted._neurons import SEGMENTS, circle_neurons
from mechscope.planted._plan import HeadPlan, MapPlan, Reading, Variable, one_hot
from mechscope.planted._scheduling import schedule
from mechscope.planted._weights import _factor


def test_angles_add_within_the_error_of_the_straight_pieces() -> None:
    circle = planted.Circles(13, (1, 4))
    points = torch.tensor([circle(residue) for residue in range(13)], dtype=torch.float64)
    first, second = (Variable(name, tuple(range(13)), points) for name in "ab")
    one = Variable("one", (1,), one_hot((1,)))
    neurons = circle_neurons(Reading(first, first.values), Reading(second, second.values), 2, one)
    for a in range(13):
        for b in range(13):
            values = {first: points[a], second: points[b], one: torch.ones(1, dtype=torch.float64)}
            pre = torch.tensor(
                [
                    sum(float(values[variable] @ weight) for variable, weight in reads) + bias
                    for reads, bias in zip(neurons.reads, neurons.bias, strict=True)
                ]
            )
            out = torch.stack(neurons.out).T @ pre.relu().double()
            assert float((out - points[(a + b) % 13]).abs().max()) <= (4 / SEGMENTS) ** 2 / 4 + 1e-6


def test_parts_come_as_early_as_what_they_read_allows() -> None:
    plan = lower(planted.PROGRAMS["dyck2"]())
    places = schedule(plan)
    nodes = {part.output.name: place.node for part, place in places.places.items()}
    assert nodes == {
        "mean of opened and closed": "a0.h0",
        "level of the bracket": "m0",
        "depth": "m0",
        "bracket that this one closes": "a1.h0",
        "closes what it must not": "m1",
        "anything wrong so far": "a2.h0",
        "verdict": "m2",
    }
    assert (places.n_layers, places.n_heads) == (3, 1)


@pytest.mark.parametrize("name", planted.PROGRAMS)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_no_part_comes_before_what_it_reads(name: str, seed: int) -> None:
    plan = lower(planted.PROGRAMS[name]())
    places = schedule(plan, extra_layers=2, extra_heads=2, seed=seed, shuffle=True)
    when = {part.output: 2 * place.layer + isinstance(part, MapPlan) for part, place in places.places.items()}
    for part in plan.parts:
        assert all(when.get(reading.variable, -1) < when[part.output] for reading, _ in part.reads())
    heads = [place for part, place in places.places.items() if isinstance(part, HeadPlan)]
    assert len(set(heads)) == len(heads)
    assert all(0 <= (place.head or 0) < places.n_heads for place in heads)


def test_rooms_do_not_overlap() -> None:
    plan = lower(planted.PROGRAMS["addition"]())
    layout = lay_out(plan)
    taken = [dim for room in layout.rooms.values() for dim in range(room.start, room.stop)]
    assert sorted(taken) == list(range(1, layout.d_model))


def test_tables_are_factored_exactly() -> None:
    generator = torch.Generator().manual_seed(0)
    for rows, columns in ((3, 7), (7, 3), (5, 5), (1, 4)):
        table = (torch.rand(rows, columns, generator=generator) < 0.5).double()
        product = sum((torch.outer(query, key) for query, key in _factor(table)), torch.zeros_like(table))
        assert torch.equal(product, table)
        assert len(_factor(table)) <= min(rows, columns)


def test_what_a_linear_map_cannot_read_is_refused() -> None:
    points = torch.tensor([[0.0], [1.0], [2.0]], dtype=torch.float64)
    number = Variable("number", (0, 1, 2), points)
    reading = Reading(number, number.values)
    assert torch.allclose(reading.weights(3 * points), torch.tensor([[3.0]], dtype=torch.float64))
    with pytest.raises(ValueError, match="linear map cannot read"):
        reading.weights(reading.indicator([1]))
