"""`mechscope doctor` prints the report of the examination."""

from __future__ import annotations

import json

import pytest

from mechscope import doctor as examination
from mechscope.cli.commands import Doctor
from mechscope.cli.doctor import doctor


def test_every_check_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    doctor(Doctor())
    printed = capsys.readouterr().out
    for name in ("Python", "packages", "torch", "data folder", "MNIST", "models", "Hugging Face hub", "disk"):
        assert name in printed


def test_json_and_exit_code(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(examination, "CHECKS", (examination.check_python,))
    assert doctor(Doctor(json=True)) == 0
    assert json.loads(capsys.readouterr().out)[0]["status"] == "ok"
    monkeypatch.setattr(examination.sys, "version_info", (3, 9, 0))
    assert doctor(Doctor(json=True)) == 1
    (check,) = json.loads(capsys.readouterr().out)
    assert check["status"] == "problem"
    assert "3.11 to 3.13" in check["fix"]
