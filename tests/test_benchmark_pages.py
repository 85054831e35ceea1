"""The texts of generated pages: every fixed line of a template is on its page, word for word."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mechscope.pages.text_template import fill_page

ROOT = Path(__file__).parent.parent
PAGES = {
    "course": "course-benchmarks",
    "families": "families",
    "grokking_step": "grokking-step",
    "misuse": "misuse",
    "neuroscope": "neuroscope-benchmarks",
    "neuroscope_plan": "neuroscope-harvest",
    "real_model": "real-model-benchmarks",
    "run": "benchmarks",
    "sweeps": "sweeps",
}
"""Template in benchmarks/ → page in docs/."""


@pytest.mark.parametrize(("template", "page"), PAGES.items())
def test_the_page_has_the_words_of_its_template(template: str, page: str) -> None:
    hint = "the template has changed: run `make bench` or `make tables`, or edit the page in the same way"
    written = " ".join((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8").split())
    source = (ROOT / "benchmarks" / f"{template}.md").read_text(encoding="utf-8")
    pieces = [
        " ".join(piece.split()) for piece in re.split(r"\{\{.*?\}\}|\{%.*?%\}", source, flags=re.DOTALL)
    ]
    assert sum(len(piece.split()) for piece in pieces) > 40
    assert [piece for piece in pieces if piece not in written] == [], hint


def test_every_template_has_a_script_and_is_checked() -> None:
    templates = {path.stem for path in (ROOT / "benchmarks").glob("*.md")}
    assert templates == set(PAGES)
    assert all((ROOT / "benchmarks" / f"{name}.py").is_file() for name in templates)


def test_filled_pages_keep_code_and_end_with_one_line_break(tmp_path: Path) -> None:
    (tmp_path / "page.md").write_text("{{ table }}\n\n{% for x in xs %}\n- {{ x }}\n\n{% endfor %}\n")
    page = fill_page(tmp_path / "page.md", table="| `eps=-1` | 1e-06 |", xs=["a", "b"])
    assert page == "| `eps=-1` | 1e-06 |\n\n- a\n\n- b\n"
    with pytest.raises(KeyError, match="'table', which has no value"):
        fill_page(tmp_path / "page.md", xs=[])
