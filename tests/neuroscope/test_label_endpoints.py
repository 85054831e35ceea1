"""The form on a unit's page: write a label, and test it."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from mechscope.neuroscope import label_endpoints
from mechscope.neuroscope.endpoints import neuroscope_endpoints
from mechscope.neuroscope.folders import VARIABLE
from mechscope.neuroscope.label_messages import LabelName, NewLabel
from mechscope.neuroscope.messages import LabelsRequest, UnitRequest
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.writing import write_contents
from mechscope.pages.endpoints import RefusedError
from tests.neuroscope import stores
from tests.neuroscope.labels import planted_store as planted

CATS = NewLabel(
    model="planted", site="mlp0", unit=0, text="cats", kind="words", rule="cat, , kitten", at="last"
)


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    from mechscope.neuroscope.labels import scoring

    monkeypatch.setattr(scoring, "read_units", planted.read_planted)
    monkeypatch.setattr(scoring, "open_units", lambda store, sites: None)
    monkeypatch.setattr(label_endpoints, "bundled_names", lambda: ["planted"])
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    planted.planted_store(tmp_path / "planted")
    handlers = {endpoint.path: endpoint.handle for endpoint in neuroscope_endpoints()}
    return lambda path, request: handlers[f"neuroscope/{path}"](request)


def test_a_label_is_written_tested_and_shown(ask: Any, tmp_path: Path) -> None:
    written = ask("label", CATS)
    assert (written.label, written.verdict) == (1, "")
    assert ask("score", LabelName(model="planted", label=1)).verdict == "holds"
    (shown,) = ask("unit", UnitRequest(model="planted", site="mlp0", unit=0)).labels
    assert (shown.text, shown.rule, shown.verdict) == ("cats", "words, last token: cat, kitten", "holds")
    assert shown.because.startswith("The rule finds 100%") and shown.scores[0].name == "AUC"
    assert (shown.scores[0].value, shown.scored[:2], len(shown.evidence)) == (1.0, "20", 0)
    write_contents(tmp_path / "planted", stores.contents("planted"))
    (listed,) = ask("labels", LabelsRequest(model="planted")).labels
    assert listed.because.endswith("The harvest or the test has changed since: test it again.")


@pytest.mark.parametrize(
    ("path", "request_", "status", "words"),
    [
        ("label", dataclasses.replace(CATS, model="other"), 404, "no neuroscope store"),
        ("label", dataclasses.replace(CATS, unit=99), 404, "no unit 99"),
        ("label", dataclasses.replace(CATS, rule=" , "), 422, "at least one word"),
        ("label", dataclasses.replace(CATS, kind="regex", rule="("), 422, "cannot be read"),
        ("label", dataclasses.replace(CATS, text=" "), 409, "label is empty"),
        ("score", LabelName(model="planted", label=7), 404, "no label 7"),
    ],
)
def test_what_is_wrong_is_said(ask: Any, path: str, request_: Any, status: int, words: str) -> None:
    with pytest.raises(RefusedError, match=words) as refused:
        ask(path, request_)
    assert refused.value.status == status


def test_rules_that_a_server_must_not_run_and_models_that_are_too_slow_for_it(
    ask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:

    with NeuroscopeStore.open("planted") as store:
        store.labels.add("mlp0/0", "a function", "predicate", "mine.py:f 0123")
    with pytest.raises(RefusedError, match="stores keep no programs"):
        ask("score", LabelName(model="planted", label=1))
    with pytest.raises(ValueError, match="kind"):
        NewLabel(model="planted", site="mlp0", unit=0, text="x", kind="predicate", rule="mine.py:f")  # type: ignore[arg-type]
    monkeypatch.setattr(label_endpoints, "bundled_names", list)
    with pytest.raises(RefusedError, match="In a terminal: mechscope neuroscope score planted/mlp0/0"):
        ask("score", LabelName(model="planted", label=1))
