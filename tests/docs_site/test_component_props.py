"""The tables of props on the components' page are those of the components."""

from __future__ import annotations

import re

import pytest
from docs_site.component_props import COMPONENTS, PAGE, props_of, props_table, with_tables

SOURCE = """
/**
 * Draw it.
 * @param {HTMLElement} element what to fill
 * @param {object} props
 * @param {{row: number, name: string}[]} props.rows the rows,
 *   in order
 * @param {"a" | "b"} [props.kind] which
 * @returns {void}
 */
export function render(element, props) {}
"""


def test_a_comment_becomes_a_table() -> None:
    rows, kind = props_of("render", SOURCE)
    assert (rows.name, rows.type, rows.is_optional) == ("rows", "{row: number, name: string}[]", False)
    assert rows.text == "the rows, in order"
    assert kind.is_optional
    assert props_table("render", SOURCE).splitlines()[-1] == '| `kind` | `"a" \\| "b"`, optional | which |'


def test_a_function_without_a_comment_is_an_error() -> None:
    with pytest.raises(ValueError, match="no function other with a comment"):
        props_of("other", SOURCE)
    with pytest.raises(ValueError, match="lists no props"):
        props_of("render", "/** Draw it. */\nexport function render(element) {}")


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page.count("<!-- props of ") >= 6
    assert with_tables(page) == page, "run python -m docs_site.component_props"


def test_every_prop_that_a_component_reads_is_in_its_table() -> None:
    for function, file in re.findall(
        r"<!-- props of (\w+) in ([\w.]+) -->", PAGE.read_text(encoding="utf-8")
    ):
        source = (COMPONENTS / file).read_text(encoding="utf-8")
        body = source.split(f"export function {function}(")[1].split("\nexport function mount")[0]
        used = set(re.findall(r"(?<![.\w])props\.(\w+)", body))
        for names in re.findall(r"\{([^{}]*)\}(?: = props|\) \{\n)", body.split("\n}\n")[0]):
            used |= {part.split("=")[0].split(":")[0].strip() for part in names.split(",")} - {""}
        listed = {prop.name.split("[")[0].split(".")[0] for prop in props_of(function, source)}
        assert used - listed == set(), (file, used - listed)
