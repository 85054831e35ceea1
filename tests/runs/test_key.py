"""A key says what decides a piece of work, and in one sentence what has changed."""

from __future__ import annotations

import json

import pytest

from mechscope.runs.key import RunKey, read_key, source_changes, stale_message

KEY = RunKey(
    {"config": {"steps": 10, "rates": (1, 2)}, "seed": 0}, {"text": "abc"}, {"a.py": "1", "b.py": "2"}
)


@pytest.mark.parametrize(
    ("now", "words"),
    [
        (
            RunKey({**KEY.settings, "config": {"steps": 20, "rates": (1, 2)}}, KEY.inputs, KEY.source),
            "config.steps is 10 there and 20 here",
        ),
        (RunKey(KEY.settings, {"text": "xyz"}, KEY.source), "text is 'abc' there and 'xyz' here"),
        (RunKey(KEY.settings, {}, KEY.source), "text is 'abc' there and None here"),
        (RunKey(KEY.settings, KEY.inputs, {"a.py": "9", "b.py": "2"}), "its code has changed (a.py)"),
        (RunKey(KEY.settings, KEY.inputs, {"a.py": "1"}), "its code has changed (b.py)"),
        (RunKey(KEY.settings, KEY.inputs, {**KEY.source, "c.py": "3"}), "its code has changed (c.py)"),
        (
            RunKey({**KEY.settings, "seed": 1}, KEY.inputs, {}),
            "seed is 0 there and 1 here; its code has changed (a.py, b.py)",
        ),
    ],
)  # fmt: skip
def test_every_change_is_named(now: RunKey, words: str) -> None:
    stored = json.loads(json.dumps(KEY.to_dict()))
    assert now.changes_since(stored) == words
    assert KEY.changes_since(stored) == ""
    assert read_key(stored) is not None


@pytest.mark.parametrize(
    "stored", [None, 3, "x", [], {}, {"settings": {}, "inputs": {}}, {**KEY.to_dict(), "source": {"a.py": 1}}]
)
def test_work_without_a_whole_key_is_of_an_earlier_version(stored: object) -> None:
    assert read_key(stored) is None
    changes = KEY.changes_since(stored)
    assert changes == "was written by an earlier version, which did not record the code that computed it"
    assert (
        stale_message("runs/part", changes, "It is computed again.")
        == f"runs/part {changes}. It is computed again."
    )


def test_many_changed_files_are_counted() -> None:
    old = {f"{letter}.py": "1" for letter in "abcdef"}
    assert (
        source_changes(old, dict.fromkeys(old, "2")) == "its code has changed (a.py, b.py, c.py and 3 more)"
    )
    assert source_changes(old, dict(old)) == ""


def test_the_name_is_that_of_settings_and_inputs() -> None:
    other_code = KEY.with_source({"a.py": "5"})
    assert other_code.name == KEY.name
    assert other_code.code != KEY.code
    names = {KEY.name, RunKey(KEY.settings, {}, KEY.source).name, RunKey({}, KEY.inputs, KEY.source).name}
    assert len(names) == 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_a_setting_that_is_not_finite_is_written_and_recognised(value: float) -> None:
    key = RunKey({"low": value, "bounds": (value, 1.0)})
    stored = json.loads(json.dumps(key.to_dict(), allow_nan=False))
    assert key.changes_since(stored) == ""
    assert f"low is '{value}' there" in RunKey({"low": 0.0, "bounds": (value, 1.0)}).changes_since(stored)
