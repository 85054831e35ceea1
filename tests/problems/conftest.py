"""A catalogue of made problems in place of the real one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from mechscope.problems import listing
from tests.problems.made import made_problem


@pytest.fixture
def catalogue(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Four problems in two areas."""
    folder = tmp_path / "catalogue"
    made_problem(folder, "late-b", rating="B", status="partly solved", compute="one GPU")
    made_problem(folder, "early-a", title="Are dead neurons revived?", after="[late-b]")
    made_problem(folder, "bet-d", area="circuits", rating="D", status="solved")
    made_problem(folder, "tool-c", area="circuits", rating="C", compute="free notebook")
    monkeypatch.setattr(listing, "CATALOGUE", folder)
    forget()
    yield folder
    monkeypatch.undo()
    forget()


def forget() -> None:
    """Read the catalogue again when it is next asked for."""
    listing.all_problems.cache_clear()
    listing._index.cache_clear()
