"""What the web lab shows of planted circuits is what the methods find, and is up to date with the programs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mechscope.planted import PROGRAMS
from mechscope.scoreboard import METHODS
from mechscope.scoreboard.discovery import PROGRAMS as LISTED
from mechscope.scoreboard.matches import CONDITIONS, disguised_model
from mechscope.scoreboard.planted_records import FOLDER, _description, planted_record, write_record


def shipped(program: str) -> dict:
    return json.loads((FOLDER / f"{program}.json").read_text(encoding="utf-8"))


def test_every_program_has_a_record_that_is_up_to_date() -> None:
    assert {*LISTED} == {*PROGRAMS} == {path.stem for path in FOLDER.glob("*.json")}
    for program in PROGRAMS:
        record = shipped(program)
        scores = record.pop("scores")
        assert record == json.loads(json.dumps(_description(disguised_model(program))))
        assert list(scores) == list(CONDITIONS)
        for by_method in scores.values():
            assert list(by_method) == list(METHODS)
            assert {len(values) for values in by_method.values()} == {
                len(record["edges"]), len(record["nodes"]) - 2
            }  # fmt: skip


def test_shipped_scores_are_those_of_the_methods() -> None:
    fast = [name for name in METHODS if name not in ("edge-patching", "eap-ig-activations")]
    again = planted_record("histogram", ["saturated"], fast)["scores"]["saturated"]
    then = shipped("histogram")["scores"]["saturated"]
    for name in fast:
        # Three digits are stored; another processor changes scores that are zero up to rounding.
        assert again[name] == pytest.approx(then[name], rel=0.02, abs=1e-3), name


def test_a_record_is_written_as_it_is_read(tmp_path: Path) -> None:
    record = shipped("first_token")
    path = write_record(record, tmp_path)
    assert path.read_text(encoding="utf-8") == (FOLDER / "first_token.json").read_text(encoding="utf-8")
