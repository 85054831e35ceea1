"""Programs of one's own, random ones among them, compile to models that agree with the reference."""

from __future__ import annotations

import random

import pytest

from mechscope.planted import (
    Expression,
    Selector,
    aggregate,
    compile_program,
    constant,
    elementwise,
    equal,
    mean,
    positions,
    select,
    select_where,
    selector_width,
    tokens,
)

VOCAB = ("a", "b", "c")
PREDICATES = (
    lambda key, query: key == query,
    lambda key, query: str(key) < str(query),
    lambda key, query: key != query,
)


def random_selector(rng: random.Random, depth: int) -> Selector:
    key, query = random_value(rng, depth - 1), random_value(rng, depth - 1)
    prefer = rng.choice([(), positions])
    selector = select(key, query, rng.choice(PREDICATES), prefer=prefer)
    if rng.random() < 0.4:
        selector &= select(positions, positions, lambda key, query: key < query)
    return selector


def random_value(rng: random.Random, depth: int) -> Expression:
    """A categorical expression at random."""
    kind = rng.choice(
        ["tokens", "positions", "constant"] if depth <= 0 else ["head", "head", "width", "map", "map"]
    )
    if kind == "tokens":
        return tokens
    if kind == "positions":
        return positions
    if kind == "constant":
        return constant("x")
    if kind == "head":
        selector = random_selector(rng, depth)
        latest = Selector(selector.atoms, (positions,))
        return aggregate(latest, random_value(rng, depth - 1))
    if kind == "width":
        return selector_width(Selector(random_selector(rng, depth).atoms))
    inputs = [random_value(rng, depth - 1) for _ in range(rng.randint(1, 2))]
    salt = rng.randint(0, 99)

    def scramble(*values: object) -> str | None:
        code = sum(map(ord, f"{salt}{values}")) % 4
        return None if code == 0 else "pqrs"[code]

    return elementwise(scramble, *inputs, sees_none=rng.random() < 0.5)


@pytest.mark.parametrize("seed", range(40))
def test_random_programs_agree_with_the_reference(seed: int) -> None:
    rng = random.Random(seed)
    output = elementwise(str, random_value(rng, rng.choice((1, 2, 3))))
    model = compile_program(
        output,
        VOCAB,
        4,
        causal=bool(seed % 2),
        rotate=seed % 3 == 0,
        extra_heads=1,
        extra_layers=seed % 2,
        seed=seed,
    )
    found = model.check()
    assert found.complete and found.inputs == 81
    assert found.exact and found.margin > 4


def test_enough_random_programs_have_answers() -> None:
    answers = 0
    for seed in range(20):
        rng = random.Random(seed)
        output = elementwise(str, random_value(rng, rng.choice((1, 2, 3))))
        answers += compile_program(output, VOCAB, 4, causal=bool(seed % 2)).check().answers
    assert answers > 1000


def test_a_mean_becomes_a_value() -> None:
    share = mean(
        select_where(positions, lambda key: True), elementwise(lambda token: int(token == "a"), tokens)
    )
    output = elementwise(lambda share: "most" if share > 0.5 else "half" if share == 0.5 else "few", share)
    model = compile_program(output, VOCAB, 6)
    assert model.check().exact
    assert model.run(["a b a a c c"])[0][1:] == ["most", "half", "most", "most", "most", "half"]


def test_a_mean_of_nothing_is_zero() -> None:
    nothing = mean(select_where(tokens, lambda token: token == "c"), constant(2))
    output = elementwise(lambda share: str(int(share)), nothing)
    assert compile_program(output, VOCAB, 2).run(["a c"])[0][1:] == ["0", "2"]


def test_three_inputs_with_a_number_among_them() -> None:
    share = mean(
        select_where(positions, lambda key: True), elementwise(lambda token: int(token == "a"), tokens)
    )
    output = elementwise(
        lambda token, share, here: f"{token}{int(share * here)}",
        tokens,
        share,
        positions,
        possible=lambda token, share, here: (share * here).denominator == 1,
    )
    model = compile_program(output, VOCAB, 4)
    assert model.check().exact
    assert model.run(["a b a a"])[0][1:] == ["a1", "b1", "a2", "a3"]


def test_values_that_disagree_have_no_answer() -> None:
    both = aggregate(select_where(positions, lambda key: True), tokens)
    model = compile_program(both, VOCAB, 3)
    assert model.expected(["a a b"]) == [[None, "a", "a", None]]
    assert model.check().exact


def test_one_expression_is_computed_once() -> None:
    count = selector_width(select(tokens, tokens, equal))
    double = elementwise(lambda one, other: str(one + other), count, count)
    model = compile_program(double, VOCAB, 4)
    assert len(model.true_heads) == 1
    assert model.check().exact


def test_a_function_of_one_value_costs_no_component() -> None:
    shouted = elementwise(str.upper, elementwise(lambda token: token + token, tokens))
    model = compile_program(shouted, VOCAB, 2)
    assert model.true_edges == {"input->logits"} and model.true_heads == ()
    assert model.run(["a b"])[0][1:] == ["AA", "BB"]


def test_the_model_is_as_described() -> None:
    output = aggregate(select(tokens, tokens, equal, prefer=positions), positions)
    model = compile_program(
        elementwise(str, output), VOCAB, 3, name="mine", causal=False, extra_layers=2, extra_heads=3
    )
    cfg = model.model.cfg
    assert (cfg.n_layers, cfg.n_heads, cfg.attention_dir, cfg.normalization_type) == (
        3,
        4,
        "bidirectional",
        None,
    )
    assert cfg.model_name == "planted-mine" and model.name == "mine"
    assert model.vocabulary == ("BOS", "a", "b", "c", "1", "2", "3")


@pytest.mark.parametrize(
    ("program", "arguments", "words"),
    [
        (tokens, {}, "needs vocab"),
        (tokens, {"vocab": VOCAB}, "needs vocab"),
        (tokens, {"vocab": ("a", "a"), "length": 2}, "alphabet must differ"),
        (tokens, {"vocab": ("BOS", "a"), "length": 2}, "prepended to every input"),
        (tokens, {"vocab": VOCAB, "length": 0}, "at least 1"),
        (tokens, {"vocab": VOCAB, "length": 2, "noise": -1.0}, "must not be negative"),
        (tokens, {"vocab": VOCAB, "length": 2, "extra_heads": -1}, "extra_heads=-1"),
        (
            mean(select_where(positions, bool), constant(1)),
            {"vocab": VOCAB, "length": 2},
            "output is a number",
        ),
        (mean(select_where(positions, bool), tokens), {"vocab": VOCAB, "length": 2}, "mean needs numbers"),
        (
            aggregate(select(mean(select_where(positions, bool), constant(1)), tokens, equal), tokens),
            {"vocab": VOCAB, "length": 2},
            "cannot be a key or a query",
        ),
        (
            aggregate(select_where(positions, bool), mean(select_where(positions, bool), constant(1))),
            {"vocab": VOCAB, "length": 2},
            "use mean",
        ),
        (
            elementwise(
                lambda one, other: "a",
                mean(select_where(positions, bool), constant(1)),
                mean(select_where(positions, bool), constant(2)),
            ),
            {"vocab": VOCAB, "length": 2},
            "numerical inputs at once",
        ),
        (
            selector_width(select(tokens, tokens, equal, prefer=positions)),
            {"vocab": VOCAB, "length": 2},
            "without `prefer`",
        ),
        (
            elementwise(lambda *values: "a", *[positions] * 6),
            {"vocab": VOCAB, "length": 12},
            "too many combinations",
        ),
    ],
)
def test_what_cannot_be_compiled_is_told(program: Expression, arguments: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        compile_program(program, **arguments)


def test_elementwise_needs_an_input() -> None:
    with pytest.raises(ValueError, match="at least one input"):
        elementwise(lambda: "a")
