"""docs/real-model.md runs as written, and prints what it says."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
from docs_site.executed_page import code_blocks, differences, executed_page, run_blocks

from mechscope.checkpoints.packaged_models import PACKAGED

ROOT = Path(__file__).parents[2]
TEMPLATE = ROOT / "docs_site" / "real-model.md"
PAGE = ROOT / "docs" / "real-model.md"
FIRST_SECTIONS_END = "## Induction heads"
DICTIONARY = "## Take its activations apart"
PAGE_PYTHON = (3, 11)
"""The Python whose library the page's dictionary was trained on."""

needs_model = [
    pytest.mark.real_model,
    pytest.mark.skipif(
        not PACKAGED["smollm2-135m"].is_here, reason="needs `mechscope models get smollm2-135m` (98 MB)"
    ),
]


def test_the_page_has_the_code_of_its_template() -> None:
    hint = "write it anew: make real-model"
    assert code_blocks(PAGE.read_text(encoding="utf-8")) == code_blocks(
        TEMPLATE.read_text(encoding="utf-8")
    ), hint
    for figure in PAGE.parent.glob("real-model-*.svg"):
        assert figure.name in PAGE.read_text(encoding="utf-8"), f"{figure.name} is left over"


@pytest.mark.parametrize(
    "until",
    [
        pytest.param(FIRST_SECTIONS_END, marks=[*needs_model, pytest.mark.slow], id="first-sections"),
        pytest.param("", marks=[*needs_model, pytest.mark.slow], id="whole-page"),
    ],
)
def test_the_page_says_what_its_code_prints(until: str) -> None:
    pytest.importorskip("gguf", reason="needs the gguf package: pip install 'mechscope[gguf]'")
    template, page = (path.read_text(encoding="utf-8") for path in (TEMPLATE, PAGE))
    if sys.version_info[:2] != PAGE_PYTHON and not until:
        until = DICTIONARY  # it reads the library of the Python that runs it
    if until:
        template, page = (text[: text.index(until)] for text in (template, page))
    namespace: dict[str, Any] = {"__name__": "page"}
    runs = run_blocks(code_blocks(template), namespace)
    again, _ = executed_page(template, runs, namespace, "real-model")
    assert list(differences(page.rstrip("\n") + "\n", again)) == []
