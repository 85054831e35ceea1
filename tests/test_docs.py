"""The code in the documents runs, top to bottom, as a reader would run it."""

from __future__ import annotations

import re
from pathlib import Path

import plotly.graph_objects as go
import pytest
from docs_site.assemble import assemble
from docs_site.links import markdown_links, markdown_problems

ROOT = Path(__file__).parent.parent
PAGES = [
    page
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    if "```python" in page.read_text(encoding="utf-8") and page.name != "real-model.md"
]
"""Pages whose code runs in seconds, on any machine. tests/docs_site/test_real_model_page.py runs the other one."""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_code_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MECHSCOPE_NEUROSCOPE", str(tmp_path / "stores"))
    monkeypatch.setattr(go.Figure, "show", lambda self: None)  # opens no browser
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    assert blocks
    exec(compile("\n".join(blocks), str(page), "exec"), {"__name__": "page"})


def test_links_lead_somewhere() -> None:
    pages = [
        *(ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")),
        *(ROOT / "docs").glob("*.md"),
    ]
    assert sum(len(list(markdown_links(page))) for page in pages) > 40
    assert markdown_problems(sorted(pages)) == []


def test_every_page_is_in_the_navigation_of_the_site(tmp_path: Path) -> None:
    assemble(tmp_path / "docs")
    made = {page.relative_to(tmp_path / "docs").as_posix() for page in (tmp_path / "docs").rglob("*.md")}
    navigation = (ROOT / "mkdocs.yml").read_text(encoding="utf-8").split("\nnav:\n")[1]
    listed = re.findall(r"[\w./-]+\.md", navigation)
    assert len(listed) == len(set(listed))
    assert set(listed) == made
    assert markdown_problems([tmp_path / "docs" / page for page in sorted(made) if "/" not in page]) == []
