"""Every program: the reference agrees with a second writing of it, and the model with the reference."""

from __future__ import annotations

import pytest

from mechscope import planted
from mechscope.planted._drawing import all_inputs, draw_inputs
from tests.planted.oracles import ORACLES

SMALL = {
    "previous_token": {"n_tokens": 3, "length": 5},
    "first_token": {"n_tokens": 3, "length": 5},
    "induction": {"n_tokens": 3, "length": 7},
    "duplicate_token": {"n_tokens": 4, "length": 5},
    "ioi": {"n_names": 8},
    "reversal": {"n_tokens": 3, "longest": 5},
    "sort": {"n_tokens": 4, "length": 5},
    "sort_next": {"n_tokens": 6, "size": 4},
    "histogram": {"n_tokens": 3, "length": 7},
    "most_frequent": {"n_tokens": 3, "length": 6},
    "pattern_count": {"n_tokens": 3, "length": 6},
    "parity": {"length": 10},
    "dyck2": {"length": 5},
    "addition": {"base": 6, "digits": 2},
    "modular_addition": {"modulus": 13, "frequencies": (1, 4, 6)},
}
"""Sizes at which all inputs are gone through."""


@pytest.mark.parametrize("name", planted.PROGRAMS)
def test_reference_agrees_with_an_independent_writing(name: str) -> None:
    program = planted.PROGRAMS[name]()
    model = planted.load(name)
    rows = draw_inputs(program, 300, seed=len(name))
    for row, answers in zip(rows, model.expected(rows), strict=True):
        assert answers[0] is None
        assert answers[1:] == ORACLES[name](row), row


@pytest.mark.parametrize("name", planted.PROGRAMS)
def test_model_is_exact_on_all_inputs_of_a_small_size(name: str) -> None:
    found = planted.load(name, **SMALL[name]).check()
    assert found.complete
    assert found.exact and found.answers >= found.inputs
    assert found.margin > 3


@pytest.mark.parametrize("name", planted.PROGRAMS)
def test_model_is_exact_at_its_default_size(name: str) -> None:
    found = planted.load(name).check(500, seed=7)
    assert found.exact and not found.complete
    assert found.margin > 4.5


@pytest.mark.parametrize("name", planted.PROGRAMS)
def test_soft_attention_is_exact_too(name: str) -> None:
    assert planted.load(name, sharpness=4.0).check(80, seed=5).exact


@pytest.mark.parametrize("name", planted.PROGRAMS)
def test_drawn_inputs_are_among_all_inputs(name: str) -> None:
    program = planted.PROGRAMS[name](**SMALL[name])
    every = all_inputs(program, 20_000)
    assert every is not None and len(every) == len(set(every))
    assert set(draw_inputs(program, 50)) <= set(every)


@pytest.mark.parametrize(
    ("name", "text", "answers"),
    [
        ("induction", "a b c a d a h g f e c c", "- - - b - d - - - - a c"),
        ("duplicate_token", "a b a c c b d a", "new new seen new seen seen new seen"),
        ("ioi", "then Tom , Mary and Tom met so to", "- - - - - - - - Mary"),
        ("reversal", "c a b | b a c . . . .", "- - - b a c - - - - -"),
        ("sort", "b a f a c b", "a a b b c f"),
        ("histogram", "a b a a b c", "1 1 2 3 2 1"),
        ("dyck2", "( [ ] ) ) (", "open open open balanced broken broken"),
        ("dyck2", "( ) [ ) ] (", "open balanced open broken broken broken"),
        ("parity", "1 1 0 1 1 0 0 0 0", "odd even even odd odd even even odd even"),
        ("addition", "9 5 + 0 5 = 1 0", "- - - - - 1 0 0"),
        ("addition", "9 9 + 9 9 = 1 9", "- - - - - 1 9 8"),
        ("modular_addition", "7 9 =", "- - 3"),
    ],
)
def test_known_cases(name: str, text: str, answers: str) -> None:
    model = planted.load(name)
    predicted = model.run([text])[0][1:]
    for said, wanted in zip(predicted, answers.split(), strict=True):
        assert wanted in ("-", said)


def test_edge_cases_of_sorting_and_induction() -> None:
    assert planted.load("sort").run(["a a a a a a", "f e d c b a"])[0][1:] == ["a"] * 6
    assert planted.load("sort").run(["f e d c b a"])[0][1:] == list("abcdef")
    assert planted.load("induction").run([" ".join("a" * 12)])[0][2:] == ["a"] * 11


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"name": "inductoin"}, KeyError, "Did you mean induction"),
        ({"name": "induction", "size": 3}, ValueError, "n_tokens, length"),
        ({"name": "induction", "n_tokens": 1}, ValueError, "between 2 and 26"),
        ({"name": "ioi", "n_names": 2}, ValueError, "between 3 and 8"),
        ({"name": "sort_next", "n_tokens": 3, "size": 4}, ValueError, "between 2 and"),
        ({"name": "parity", "window": 0}, ValueError, "window"),
        ({"name": "addition", "base": 11}, ValueError, "base=11"),
        ({"name": "modular_addition", "frequencies": (7,)}, ValueError, "less than half"),
        ({"name": "pattern_count", "pattern": "az"}, ValueError, "two of the tokens"),
        ({"name": "reversal", "longest": 1}, ValueError, "at least 2"),
    ],
)
def test_bad_sizes_are_told(arguments: dict, error: type[Exception], words: str) -> None:
    with pytest.raises(error, match=words):
        planted.load(**arguments)
