"""The page of all replications is made of finished runs, says what failed and why, and never uses a stale run."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import pytest

from mechscope.cli.main import main
from mechscope.labs import registry, run_lab
from mechscope.labs.replications import read_replications, replications_page
from tests.labs.tiny_lab import tiny_lab


def page_of(tmp_path: Path, **now) -> str:
    return replications_page(read_replications([tiny_lab(tmp_path, **now)], "full", 0, tmp_path / "runs"))


def test_a_finished_run_is_shown_claim_by_claim(tmp_path: Path) -> None:
    run_lab(tiny_lab(tmp_path), "full", out=tmp_path / "runs", device="cpu")
    page = page_of(tmp_path)
    row = next(line for line in page.splitlines() if line.startswith("| **9.1**"))
    cells = [cell.strip() for cell in row.strip("|").split(" | ")]
    assert cells == [
        "**9.1** The value is 1.",
        "1",
        "value: 1 (each)",
        "0.9 to 1.1",
        "design · a test",
        "✓ reproduced",
    ]
    assert re.search(r"\| 99 Tiny \| 1 \| 0 \| 1 \| 0, 1, 2 \| \d+ s \|", page)
    assert "Counting is" not in page  # nothing failed
    assert "| **all** | **1** | **0** | **1** | | |" in page
    assert "- 9.2: there are no stars." in page
    assert "It needs &lt;b>stars&lt;/b> &amp; more." in page
    assert "Full budget, seeds 0, 1, 2, on cpu" in page
    assert "torch " in page
    assert "## Not reproduced" not in page


def test_what_failed_is_said_with_what_was_seen(tmp_path: Path) -> None:
    run_lab(tiny_lab(tmp_path, value=3.0), "full", out=tmp_path / "runs", device="cpu")
    page = page_of(tmp_path, value=3.0)
    assert (
        "## Not reproduced\n\n- **9.1** The value is 1. Seen: value should be 0.9 to 1.1, was 3 (seed 0)"
        in page
    )
    assert re.search(r"- \*\*9\.1\*\* .*\. Counting is &lt;hard>\.\n", page)
    assert "✗ **not reproduced**" in page


def test_the_same_runs_give_the_same_page(tmp_path: Path) -> None:
    run_lab(tiny_lab(tmp_path), "full", out=tmp_path / "runs", device="cpu")
    assert page_of(tmp_path) == page_of(tmp_path)
    assert "20" not in page_of(tmp_path).split("Made with")[0].replace("2026", "20")


@pytest.mark.parametrize(
    ("now", "why"),
    [
        ({"value": 2.0}, "config.value is 1.0 there and 2.0 here"),
        ({"inputs": "better data"}, "input is 'nothing' there and 'better data' here"),
    ],
)
def test_a_stale_run_is_named_and_not_used(tmp_path: Path, now: dict, why: str) -> None:
    run_lab(tiny_lab(tmp_path), "full", out=tmp_path / "runs", device="cpu")
    page = page_of(tmp_path, **now)
    assert f"*a stale run, not shown: {why}.*" in page
    assert "9.1" not in page
    assert "| **all** | **0** | **0** | **0** |" in page


def test_missing_and_damaged_runs_are_named(tmp_path: Path) -> None:
    assert "no finished run with the full budget and seed 0" in page_of(tmp_path)
    run = run_lab(tiny_lab(tmp_path), "full", out=tmp_path / "runs", device="cpu")
    (run.folder / "claims.json").write_text("{")
    assert "is not valid JSON" in page_of(tmp_path)


def test_nothing_is_run_and_nothing_is_made(tmp_path: Path) -> None:
    computed: list[int] = []
    lab = tiny_lab(tmp_path, calls=computed)
    read_replications([lab], "full", 0, tmp_path / "runs")
    assert computed == []
    assert not (tmp_path / "runs").exists()


def test_the_command_writes_both_pages(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    done = tiny_lab(tmp_path)
    missing = dataclasses.replace(tiny_lab(tmp_path), step="98", slug="other", title="Other")
    monkeypatch.setattr(registry, "all_labs", lambda: (missing, done))
    monkeypatch.chdir(tmp_path)

    def call() -> int:
        with pytest.raises(SystemExit) as stopped:
            main(["replications", "--docs", "docs/page.md"])
        return int(stopped.value.code or 0)

    assert call() == 2
    assert "no step has a current run with the full budget and seed 0 in runs" in capsys.readouterr().err
    assert not Path("docs").exists()
    run_lab(done, "full", out="runs", device="cpu")
    assert call() == 0
    said = capsys.readouterr()
    assert "99 tiny: 1 reproduced, 0 not reproduced, 1 not run" in said.out
    assert "98 other: no finished run" in said.err
    assert Path("docs/page.md").read_text() == Path("runs/replications.md").read_text()
