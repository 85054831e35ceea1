"""Pages whose code is run: what is printed, drawn and measured lands on the page, and a change of it is seen."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from docs_site.executed_page import (
    VARIES,
    BlockRun,
    code_blocks,
    differences,
    executed_page,
    main,
    run_blocks,
)

TEMPLATE = """# A page

```python
from mechscope.viz import heatmap

part = 0.25
print(f"{part:.2f} of {3} things")
```

A quarter is {{ part | share }}.

```python
heatmap([[part, 1.0]], title="One row", x_title="x", y_title="y", unit="share").show()
```
"""


def run(template: str) -> tuple[str, dict[str, str]]:
    namespace: dict[str, Any] = {}
    runs = run_blocks(code_blocks(template), namespace)
    return executed_page(template, runs, namespace, "page")


def test_outputs_figures_and_values_land_on_the_page() -> None:
    page, figures = run(TEMPLATE)
    assert "```text\n0.25 of 3 things\n```" in page
    assert "A quarter is 25\u00a0%." in page
    assert "![One row](page-1.svg)" in page
    assert ElementTree.fromstring(figures["page-1.svg"]) is not None
    assert page.count("on one core.*") == 2
    assert code_blocks(page) == code_blocks(TEMPLATE)


def test_a_value_that_the_code_does_not_leave_behind_is_an_error() -> None:
    with pytest.raises(KeyError, match="parts"):
        run(TEMPLATE.replace("{{ part |", "{{ parts |"))


def test_a_block_that_fails_stops_the_page() -> None:
    with pytest.raises(ZeroDivisionError):
        run("```python\n1 / 0\n```\n")


def test_a_small_change_of_a_number_passes_and_a_large_one_or_another_word_does_not() -> None:
    page, _ = run(TEMPLATE)
    assert list(differences(page, page)) == []
    assert list(differences(page, page.replace("0.25 of", "0.26 of"))) == []
    assert len(list(differences(page, page.replace("0.25 of", "0.35 of")))) == 1
    assert len(list(differences(page, page.replace("0.25 of", "-0.25 of")))) == 1
    assert len(list(differences(page, page.replace("3 things", "3 other things")))) == 1
    assert "lines" in next(differences(page, page + "\nmore\n"))
    # How long something took is not compared, nor the output of blocks that say that it varies.
    slower = page.replace("*About a second on one core.*", "*About 4.5 minutes on one core.*")
    assert list(differences(page, slower)) == []
    varying, _ = run(TEMPLATE.replace("part = 0.25", f"part = 0.25  {VARIES}"))
    assert list(differences(varying, varying.replace("of 3 things", "of 3 stars"))) == []


@pytest.mark.parametrize(("seconds", "words"), [(0.1, "a second"), (6.4, "6 seconds"), (43.0, "45 seconds")])
def test_times_are_rounded(seconds: float, words: str) -> None:
    page, _ = executed_page("```python\n1\n```\n", [BlockRun("1\n", seconds=seconds)], {}, "page")
    assert f"*About {words} on one core.*" in page


def test_the_command_writes_the_page_and_its_figures(tmp_path: Path) -> None:
    (tmp_path / "template.md").write_text(TEMPLATE)
    (tmp_path / "docs").mkdir()
    main(tmp_path / "template.md", tmp_path / "docs" / "shown.md")
    assert {path.name for path in (tmp_path / "docs").iterdir()} == {"shown.md", "shown-1.svg"}
    assert code_blocks((tmp_path / "docs" / "shown.md").read_text()) == code_blocks(TEMPLATE)
