"""Settings check themselves, and are decoded strictly: unknown, missing, of the wrong kind, out of range."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
import pytest

from mechscope.settings import (
    MOST,
    MOST_LISTED,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    Range,
    Settings,
    check_names,
    decode,
)


@dataclass(frozen=True, kw_only=True)
class Optimizer(Settings):
    lr: PositiveFloat = 1e-3
    betas: tuple[Annotated[float, Range(least=0, below=1)], Annotated[float, Range(least=0, below=1)]] = (
        0.9,
        0.999,
    )
    clip: PositiveFloat | None = None


@dataclass(frozen=True, kw_only=True)
class Stage(Settings):
    name: str
    steps: PositiveInt = 1


@dataclass(frozen=True, kw_only=True)
class Run(Settings):
    optimizer: Optimizer
    kind: Literal["short", "long"] = "short"
    stages: tuple[Stage, ...] = ()
    seeds: tuple[NonNegativeInt, ...] = (0,)
    skip: bool | tuple[NonNegativeInt, ...] = False
    weight: NonNegativeFloat = 0.0
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])
    last: Stage | None = None


FULL: dict[str, Any] = {
    "optimizer": {"lr": 0.5, "betas": [0.0, 0.5], "clip": 1},
    "kind": "long",
    "stages": [{"name": "first", "steps": 3}, {"name": "second"}],
    "seeds": [0, 7],
    "skip": [1, 2],
    "weight": 0,
    "extra": {"a": [1, 2]},
    "last": {"name": "end"},
}


def test_json_comes_back() -> None:
    run = decode(Run, FULL, "a run")
    assert run.stages == (Stage(name="first", steps=3), Stage(name="second"))
    assert run.optimizer.betas == (0.0, 0.5) and run.seeds == (0, 7) and run.skip == (1, 2)
    assert run.last == Stage(name="end")
    assert decode(Run, json.loads(json.dumps(run.to_dict())), "a run") == run
    assert decode(Run, {"optimizer": {}}, "a run") == Run(optimizer=Optimizer())
    assert decode(Run, {"optimizer": Optimizer(lr=2.0), "last": None}, "a run").optimizer.lr == 2.0


def test_numbers_of_numpy_become_pythons() -> None:
    run = Run(
        optimizer=Optimizer(lr=np.float32(0.5)),
        seeds=(np.int64(3),),
        last=Stage(name="end", steps=np.int8(2)),
    )  # type: ignore[arg-type]
    assert json.loads(json.dumps(run.to_dict()))["seeds"] == [3]
    assert type(run.optimizer.lr) is float and run.last is not None and type(run.last.steps) is int


def test_lists_become_tuples_without_decoding_too() -> None:
    assert Run(optimizer=Optimizer(), seeds=[1, 2]).seeds == (1, 2)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"optimiser": {}}, r"a run has no setting 'optimiser'\. Did you mean optimizer\?"),
        ({"zzz": 1}, r"a run has no setting 'zzz'\. It has: optimizer, kind, "),
        (
            {"kin": 1, "seed": 2},
            r"no settings 'kin' \(did you mean kind\?\), 'seed' \(did you mean seeds\?\)\. It has: ",
        ),
        (
            {"kind": "shrt"},
            r"a run: kind must be one of 'short', 'long', not 'shrt' \(did you mean 'short'\?\)\.",
        ),
        ({"kind": 3}, r"kind must be one of 'short', 'long', not 3\."),
        ({"optimizer": 3}, r"optimizer in a run must be a table of settings, not 3\."),
        ({"optimizer": {"lrr": 1}}, r"optimizer in a run has no setting 'lrr'\. Did you mean lr"),
        ({"optimizer": {"lr": 0}}, r"optimizer in a run: lr must be a number above 0, not 0\."),
        ({"optimizer": {"lr": float("nan")}}, r"lr must be a finite number, not nan\."),
        ({"optimizer": {"lr": True}}, r"lr must be a finite number, not True\."),
        ({"optimizer": {"clip": 0}}, r"clip must be a number above 0, not 0\."),
        (
            {"optimizer": {"betas": [0.9, 1]}},
            r"betas must be a list \(each entry a number below 1\), not \[0\.9, 1\]\.",
        ),
        ({"optimizer": {"betas": [0.9]}}, r"betas must be a list of 2, not \[0\.9\]\."),
        ({"stages": [{"name": "a"}, {"steps": 2}]}, r"entry 1 of stages in a run needs name\."),
        (
            {"stages": [{"name": "a", "steps": 0}]},
            r"entry 0 of stages in a run: steps must be a whole number of at least 1",
        ),
        ({"seeds": [0, -1]}, r"seeds must be a list \(each entry a whole number of at least 0\)"),
        ({"seeds": [0.5]}, r"seeds must be a list \(each entry a whole number\)"),
        (
            {"skip": [-1]},
            r"skip must be True or False, or a list \(each entry a whole number of at least 0\), not \[-1\]",
        ),
        ({"skip": "yes"}, r"skip must be True or False, or a list, not 'yes'"),
        ({"weight": -0.5}, r"weight must be a number of at least 0, not -0\.5"),
        (
            {"last": {"name": "x", "steps": MOST + 1}},
            r"steps must be a whole number of at most 1,099,511,627,776, not",
        ),
    ],
)
def test_impossible_settings_are_errors(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        decode(Run, {**FULL, **change}, "a run")


def test_everything_out_of_range_is_in_one_error() -> None:
    with pytest.raises(ValueError) as caught:
        decode(Run, {**FULL, "weight": -1, "kind": "x", "seeds": 3}, "a run")
    assert str(caught.value) == (
        "a run: kind must be one of 'short', 'long', not 'x'; seeds must be a list, not 3; weight must be a number of "
        "at least 0, not -1."
    )


@pytest.mark.parametrize("settings", [3, None, [], "text"])
def test_only_tables_are_decoded(settings: Any) -> None:
    with pytest.raises(ValueError, match="a run must be a table of settings"):
        decode(Run, settings, "a run")


def test_measurements_may_be_nan() -> None:
    @dataclass(frozen=True)
    class Measured:
        value: float

    assert decode(Measured, {"value": float("inf")}, "a measurement", finite=False).value == float("inf")
    with pytest.raises(ValueError, match="a measurement: value must be a finite number"):
        decode(Measured, {"value": float("inf")}, "a measurement")


def test_long_lists_of_names_are_left_out() -> None:
    names = [f"setting_{number}" for number in range(MOST_LISTED + 1)]
    with pytest.raises(ValueError, match=r"a thing has no field 'zzz'\.$"):
        check_names(["zzz"], names, [], "a thing", noun="field")
