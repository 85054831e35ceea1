"""How fast the components are in a browser, and what their pages weigh; compared with CircuitsVis where it is there.

    pip download circuitsvis --no-deps -d FOLDER && unzip -d FOLDER FOLDER/circuitsvis-*.whl
    python -m benchmarks.components --circuitsvis FOLDER

Both libraries write a page with the same patterns. A browser opens the pages in alternation, from a disk and without a
network, and each page reports two times, counted from the beginning of the navigation: when every head is drawn, and
when a click on the last head has changed the large map. The processor time in between hardly depends on what else the
machine does. `--write` puts the table into docs/components.md.
"""

from __future__ import annotations

import importlib.metadata
import json
import shutil
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
import tyro
from playwright.sync_api import Browser, Playwright, TimeoutError, sync_playwright

from mechscope import viz

PAGE = Path(__file__).parent.parent / "docs" / "components.md"
MARKS = ("<!-- measured by benchmarks/components.py -->\n", "<!-- end of the measurements -->\n")
CASES = {
    "12 heads, 30 tokens": (12, 30),
    "1 head, 300 tokens": (1, 300),
    "12 layers × 12 heads, 100 tokens": (144, 100),
}
"""Title → heads and tokens."""
WORDS = ("drawn", "a click on the last head answered", "processor time of the page's main thread until then")
PATIENCE = 60_000
"""Milliseconds after which a page counts as one that does not open."""
WATCH = """(() => {
  const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
  const until = async (condition) => { while (!condition()) await frame(); await frame(); return performance.now(); };
  window.measure = async (drawn, click, done) => {
    const first = await until(drawn);
    click();
    return [first, await until(done)];
  };
})()"""
OURS = """([heads, size]) => window.measure(
  () => document.querySelectorAll(".ms-view .ms-head canvas").length === heads
    && document.querySelector(".ms-large canvas")?.width === size,
  () => [...document.querySelectorAll(".ms-head")].at(-1).click(),
  () => [...document.querySelectorAll(".ms-head")].at(-1).getAttribute("aria-pressed") === "true",
)"""
THEIRS = """([heads, size]) => window.measure(
  () => {
    const last = document.querySelectorAll("canvas")[heads - 1];
    if (!last || document.querySelectorAll("canvas").length <= heads) return false;
    return last.getContext("2d").getImageData(0, 0, last.width, last.height).data.some((value) => value);
  },
  () => [...document.querySelectorAll("h4")].at(-1).click(),
  () => document.body.innerText.includes(`Head ${heads - 1} Zoomed`),
)"""


def main(circuitsvis: Path | None = None, rounds: int = 5, write: bool = False) -> None:
    """Measure and print a table.

    Args:
        circuitsvis: a folder with the unpacked wheel of CircuitsVis; without it, only ours is measured.
        rounds: how often each page is opened.
        write: also put the table into docs/components.md.
    """
    names = ["mechscope"] + (["CircuitsVis"] if circuitsvis else [])
    theirs = _circuitsvis(circuitsvis) if circuitsvis else None
    table = ["| | mechscope | CircuitsVis |\n|---|---|---|\n"]
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        for title, (heads, size) in CASES.items():
            pages = {name: Path(folder) / f"{name}.html" for name in names}
            pattern = _pattern(heads, size)
            tokens = [f" t{i}" for i in range(size)]
            ours = pattern.reshape(-1, 12, size, size) if heads > 12 else pattern
            viz.attention(ours, tokens).save(pages["mechscope"])
            if theirs:
                pages["CircuitsVis"].write_text(_page(theirs(pattern, tokens)), encoding="utf-8")
            times: dict[str, list[list[float]]] = {name: [] for name in names}
            for turn in range(rounds + 1):
                for name in names if turn % 2 else names[::-1]:
                    if times[name] and times[name][0][0] == float("inf"):
                        continue  # it does not open: once is enough
                    found = _open(
                        playwright, pages[name], OURS if name == "mechscope" else THEIRS, heads, size
                    )
                    if turn or found[0] == float("inf"):  # the first round warms the disk's cache
                        times[name].append(found)
            for index, words in enumerate(WORDS):
                medians = [
                    _milliseconds(statistics.median(one[index] for one in times[name])) for name in names
                ]
                table.append(_row(f"{title}: {words}", medians))
            table.append(_row(f"{title}: size of the page", [_megabytes(pages[name]) for name in names]))
            print("".join(table[-4:]), end="", flush=True)
        browser = _launch(playwright)
        note = f"Chromium {browser.version}, medians of {rounds} visits in alternation"
        browser.close()
    if circuitsvis:
        note += f"; CircuitsVis {importlib.metadata.version('circuitsvis')}"
    text = f"{''.join(table)}\n{note}.\n"
    print(note)
    if write:
        page = PAGE.read_text(encoding="utf-8")
        before, _, rest = page.partition(MARKS[0])
        after = rest.partition(MARKS[1])[2]
        PAGE.write_text(f"{before}{MARKS[0]}\n{text}\n{MARKS[1]}{after}", encoding="utf-8")


def _row(title: str, cells: list[str]) -> str:
    return f"| {title} | {' | '.join([*cells, 'not measured'][:2])} |\n"


def _megabytes(path: Path) -> str:
    return f"{path.stat().st_size / 1e6:.2f} MB"


def _pattern(heads: int, size: int) -> torch.Tensor:
    """Random causal patterns [head query key]: their pages compress worse than a model's."""
    scores = 3 * torch.randn(heads, size, size, generator=torch.Generator().manual_seed(0))
    return scores.masked_fill(torch.ones(size, size).triu(1).bool(), -torch.inf).softmax(-1)


def _circuitsvis(folder: Path) -> Callable[[torch.Tensor, list[str]], str]:
    # Its only use of this backport is `version`, which the standard library has.
    sys.modules.setdefault("importlib_metadata", importlib.metadata)
    sys.path.insert(0, str(folder))
    from circuitsvis.attention import attention_heads  # type: ignore[import-not-found]

    return lambda pattern, tokens: attention_heads(attention=pattern, tokens=tokens).local_src


def _page(fragment: str) -> str:
    return f'<!doctype html><meta charset="utf-8"><title>CircuitsVis</title><body>{fragment}</body>'


def _launch(playwright: Playwright) -> Browser:
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    return playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])


def _open(playwright: Playwright, path: Path, script: str, heads: int, size: int) -> list[float]:
    """Milliseconds until the page is drawn, and until it has answered a click; infinite if it takes too long."""
    browser = _launch(playwright)
    try:
        page = browser.new_context(offline=True, viewport={"width": 1200, "height": 900}).new_page()
        page.set_default_timeout(PATIENCE)
        page.add_init_script(
            f"{WATCH};\n({script})({json.dumps([heads, size])}).then((times) => window.times = times);"
        )
        session = page.context.new_cdp_session(page)
        session.send("Performance.enable", {"timeDomain": "threadTicks"})
        page.goto(path.as_uri(), wait_until="commit")
        times = page.wait_for_function("() => window.times").json_value()
        metrics = {one["name"]: one["value"] for one in session.send("Performance.getMetrics")["metrics"]}
        return [*times, 1000 * metrics["TaskDuration"]]
    except TimeoutError:
        return [float("inf")] * 3
    finally:
        browser.close()


def _milliseconds(value: float) -> str:
    return f"{value:,.0f} ms" if value < float("inf") else f"not within {PATIENCE // 1000} s"


if __name__ == "__main__":
    tyro.cli(main)
