"""Results that are shipped with a checksum of their code."""

from __future__ import annotations

from pathlib import Path

import pytest

from mechscope.pages.shipped import ship, ship_all, shipped_content

CODE = "def figure():\n    return 1\n"


def test_a_result_is_found_until_its_code_changes(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    assert shipped_content(path, CODE, "code") is None
    assert ship(path, {"title": "Ω"}, CODE, "code", at_most=1000) == path.stat().st_size
    assert shipped_content(path, CODE, "code") == {"title": "Ω"}
    assert shipped_content(path, CODE.replace("    ", "  "), "code") == {"title": "Ω"}
    assert shipped_content(path, CODE.replace("1", "2"), "code") is None


def test_a_large_result_is_refused_and_the_earlier_one_stays(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    ship(path, {"n": 1}, CODE, "code", at_most=1000)
    with pytest.raises(ValueError, match="takes 1035 bytes; at most 1000 keep its page small"):
        ship(path, {"n": "x" * 1000}, CODE, "code", at_most=1000)
    assert shipped_content(path, CODE, "code") == {"n": 1}


def test_one_failure_does_not_stop_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def fails() -> int:
        raise ValueError("too large")

    assert ship_all({"one": fails, "two": lambda: 7}) == 1
    assert capsys.readouterr().out.splitlines() == ["one: ValueError: too large", "two: 7 bytes"]
