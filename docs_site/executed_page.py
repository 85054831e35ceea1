"""Run the code of a page, and write the page with what its code printed, drew and measured.

    python -m docs_site.executed_page docs_site/real-model.md docs/real-model.md

The template is Markdown. Its ```python blocks run in order, in one namespace, as a reader would run them. Below each
block the page shows how long it took, what it printed, and the figures that it showed (SVG files beside the page). In
the prose, `{{ name | filter }}` is a value that the code has left behind, so that no number is typed by hand.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from unittest import mock

import plotly.graph_objects as go

from mechscope.pages.text_template import fill_text
from mechscope.storage.files import write_atomically
from mechscope.viz.figure_svg import figure_svg

FENCE = re.compile(r"```python\n(.*?)```\n", re.DOTALL)
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d[\d,]*(?:\.\d+)?")
TIME = re.compile(r"^\*About .* on one core\.\*$")
VARIES = "# yours may differ"
"""Marks a block whose words depend on rounding, such as sampled text: the comparison leaves its output out."""


@dataclass
class BlockRun:
    """One block of code after its run."""

    code: str
    output: str = ""
    figures: list[go.Figure] = field(default_factory=list[go.Figure])
    seconds: float = 0.0
    """CPU seconds."""


def code_blocks(template: str) -> list[str]:
    """The python blocks of a page, in order."""
    return FENCE.findall(template)


def run_blocks(blocks: Sequence[str], namespace: dict[str, Any], *, report: bool = False) -> list[BlockRun]:
    """Run blocks one after another in a namespace; figures that they show are collected, not opened.

    Args:
        report: say on standard error what is running.
    """
    runs = [BlockRun(code) for code in blocks]
    for number, run in enumerate(runs, 1):
        if report:
            print(f"block {number} of {len(runs)}", file=sys.stderr, flush=True)
        printed = io.StringIO()

        def keep(figure: go.Figure, *arguments: Any, run: BlockRun = run, **options: Any) -> None:
            run.figures.append(figure)

        start = time.process_time()
        with (
            mock.patch.object(go.Figure, "show", keep),
            contextlib.redirect_stdout(printed),
        ):
            exec(compile(run.code, f"<block {number}>", "exec"), namespace)
        run.seconds = time.process_time() - start
        run.output = printed.getvalue()
        if report:
            print(f"   {run.seconds:.1f} s\n{run.output}", file=sys.stderr, flush=True)
    return runs


def executed_page(
    template: str, runs: Sequence[BlockRun], values: Mapping[str, Any], stem: str
) -> tuple[str, dict[str, str]]:
    """The page, and its figures by file name.

    Args:
        template: Markdown with the blocks that were run.
        runs: their runs.
        values: what the prose may quote.
        stem: the beginning of the figures' names.
    """
    prose = FENCE.split(template)[::2]
    parts: list[str] = []
    figures: dict[str, str] = {}
    for number, text in enumerate(prose):
        parts.append(fill_text(text, values, minus_signs=False))
        if number == len(runs):
            continue
        run = runs[number]
        parts.append(f"```python\n{run.code}```\n\n*{_how_long(run.seconds)} on one core.*\n")
        if run.output:
            parts.append(f"\n```text\n{run.output.rstrip()}\n```\n")
        for figure in run.figures:
            name = f"{stem}-{len(figures) + 1}.svg"
            figures[name] = figure_svg(figure)
            parts.append(f"\n![{figure.layout.title.text}]({name})\n")
    return "".join(parts).rstrip("\n") + "\n", figures


def differences(page: str, again: str, relative: float = 0.05, absolute: float = 0.03) -> Iterator[str]:
    """Compare a page with the page of another run: yields every line whose words, or whose numbers by more than the
    tolerance, are different. Times and the output of blocks that say that they vary are not compared."""
    lines, others = _compared(page), _compared(again)
    if len(lines) != len(others):
        yield f"{len(lines)} lines, and {len(others)} in the new run"
    for old, new in zip(lines, others, strict=False):
        if NUMBER.sub("#", old) != NUMBER.sub("#", new):
            yield f"{old!r} became {new!r}"
            continue
        for was, now in zip(NUMBER.findall(old), NUMBER.findall(new), strict=True):
            a, b = (float(one.replace(",", "").replace("−", "-")) for one in (was, now))
            if abs(a - b) > absolute + relative * abs(a):
                yield f"{was} became {now} in {old!r}"


def _compared(page: str) -> list[str]:
    varying = re.compile(rf"(```python\n(?:(?!```).)*{VARIES}.*?```\n)(.*?)```text\n.*?```\n", re.DOTALL)
    return [line.rstrip() for line in varying.sub(r"\1\2", page).splitlines() if not TIME.match(line)]


def _how_long(seconds: float) -> str:
    if seconds < 1.5:
        return "About a second"
    if seconds < 10:
        return f"About {round(seconds)} seconds"
    if seconds < 90:
        return f"About {5 * round(seconds / 5)} seconds"
    return f"About {seconds / 60:.1f} minutes".replace(".0 ", " ")


def main(template: Path, target: Path) -> None:
    """Run a template and write its page and figures."""
    text = template.read_text(encoding="utf-8")
    namespace: dict[str, Any] = {"__name__": "page"}
    runs = run_blocks(code_blocks(text), namespace, report=True)
    page, figures = executed_page(text, runs, namespace, target.stem)
    for name, svg in figures.items():
        write_atomically(target.with_name(name), svg)
    write_atomically(target, page)
    print(f"{target} and {len(figures)} figures; {sum(run.seconds for run in runs) / 60:.1f} minutes")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: python -m docs_site.executed_page TEMPLATE PAGE")
    main(Path(sys.argv[1]), Path(sys.argv[2]))
