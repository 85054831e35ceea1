"""A method is run on a planted program, and its result is kept and read again."""

from __future__ import annotations

import json
import typing
from dataclasses import replace
from pathlib import Path

import pytest

from mechscope import planted
from mechscope.cli.main import main
from mechscope.scoreboard import CONDITIONS, METHODS, Discovered, Discovery, discover
from mechscope.scoreboard.discovery import (
    PROGRAMS,
    checked,
    known_methods,
    program_record,
    read_result,
    result_file,
    write_result,
)

PROGRAM = "previous_token"
EDGES = Discovery(program=PROGRAM, method="eap", examples=4, seed=3)


def test_what_is_offered_without_torch_is_what_there_is() -> None:
    assert {*PROGRAMS} == {*planted.PROGRAMS}
    assert {*known_methods()} == {*METHODS}
    hint = typing.get_type_hints(Discovery)["condition"]
    assert typing.get_args(hint) == tuple(CONDITIONS)


@pytest.mark.parametrize("method", ["eap", "attribution"])
def test_the_shipped_scores_are_found_again(method: str) -> None:
    found = discover(PROGRAM, method)
    shipped = program_record(PROGRAM)["scores"]["plain"][method]
    # Rounded to three digits, and measured on another machine; scores of idle parts are rounding errors.
    assert found.scores == pytest.approx(shipped, rel=0.01, abs=1e-3)
    assert max(map(abs, found.scores)) > 0.1


def test_stages_are_reported_and_the_seed_decides() -> None:
    reported: list[tuple[str, int, int]] = []
    one = discover(PROGRAM, "eap", examples=4, seed=3, report=lambda *seen: reported.append(seen))
    assert [(done, total) for _, done, total in reported] == [(0, 3), (1, 3), (2, 3)]
    assert "EAP" in reported[-1][0]
    assert discover(PROGRAM, "eap", examples=4, seed=3).scores == one.scores
    assert discover(PROGRAM, "eap", examples=4, seed=4).scores != one.scores


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"method": "epa"}, "there is no method 'epa'. Did you mean eap?"),
        ({"program": "previous"}, "there is no planted program 'previous'"),
        ({"examples": 1}, "examples must be a whole number of at least 2, not 1"),
        ({"examples": 257}, "at most 256"),
        ({"seed": -1}, "seed must be a whole number of at least 0"),
        ({"condition": "loud"}, "condition must be one of"),
    ],
)
def test_bad_requests_are_refused_in_a_sentence(options: dict[str, object], problem: str) -> None:
    with pytest.raises((KeyError, ValueError), match=problem.replace("?", r"\?")):
        discover(**{"program": PROGRAM, "method": "eap", **options})  # pyright: ignore[reportArgumentType]


def test_a_result_is_kept_and_read_again(tmp_path: Path) -> None:
    count = len(program_record(PROGRAM)["edges"])
    found = Discovered(discovery=EDGES, scores=(0.5,) * count, seconds=1.5)
    path = write_result(found, tmp_path)
    assert read_result(EDGES, tmp_path) == found
    with pytest.raises(ValueError, match="is gone: run the method again"):
        read_result(replace(EDGES, seed=4), tmp_path)
    # A file of another discovery under this name, too few scores, and no JSON.
    path.rename(result_file(replace(EDGES, seed=4), tmp_path))
    with pytest.raises(ValueError, match="is not the result of this method"):
        read_result(replace(EDGES, seed=4), tmp_path)
    write_result(replace(found, scores=(0.5,)), tmp_path)
    with pytest.raises(ValueError, match="is not the result of this method"):
        read_result(EDGES, tmp_path)
    path.write_text("{", encoding="utf-8")
    with pytest.raises(ValueError, match="cannot be read"):
        read_result(EDGES, tmp_path)


def test_the_command_writes_the_same_scores(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["discover", PROGRAM, "eap", "--examples", "4", "--seed", "3", "--out", str(tmp_path)]
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 0
    printed = capsys.readouterr().out
    content = json.loads(result_file(EDGES, tmp_path).read_text(encoding="utf-8"))
    assert tuple(content["scores"]) == discover(PROGRAM, "eap", examples=4, seed=3).scores
    best = max(range(len(content["scores"])), key=lambda index: abs(content["scores"][index]))
    assert program_record(PROGRAM)["edges"][best] in printed.splitlines()[2] + printed.splitlines()[3]
    with pytest.raises(SystemExit) as ended:
        main(["discover", PROGRAM, "epa", "--out", str(tmp_path)])
    assert ended.value.code == 2
    assert "there is no method 'epa'" in capsys.readouterr().err


def test_a_checked_discovery_is_the_same() -> None:
    assert checked(EDGES) == EDGES
