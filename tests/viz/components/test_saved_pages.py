"""Views as pages of their own, opened from a disk: with scripts, without, in both themes, and on a narrow screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import mechscope as ms
from mechscope import viz
from mechscope.viz.png import LEVELS
from mechscope.viz.views.view import View
from tests.browser import WatchedPage

SERIOUS = ("serious", "critical")
TOKENS = ["<bos>", "</script>", "<img onerror=alert(1)>", " שלום", "👩‍👩‍👧", "\ufffd\n"]

CIRCUIT = {"input->a0.h1<v>": 0.75, "a0.h1->logits": -0.25, "input->logits": 0.125}


def a_pattern(*shape: int) -> torch.Tensor:
    scores = 3 * torch.randn(*shape, shape[-1], generator=torch.Generator().manual_seed(0))
    return scores.masked_fill(torch.ones(shape[-1], shape[-1]).triu(1).bool(), -torch.inf).softmax(-1)


@pytest.fixture(scope="module")
def views() -> dict[str, View]:
    model = ms.load_model("mini-gelu-1l")
    return {
        "attention": viz.attention(a_pattern(2, 2, 6), TOKENS),
        "tokens": viz.tokens(
            TOKENS, {"loss": [np.nan, 1, 2, 3, 4, 5], "other": [-1, 0, 1, 2, 3, 4]}, unit="nats"
        ),
        "top_tokens": viz.top_tokens(np.arange(12).reshape(2, 6), TOKENS, ["one", "two"], k=3),
        "heatmap": viz.heatmap_view(np.eye(6) - 0.25, TOKENS, TOKENS, title="effect", unit="nats"),
        "circuit": viz.circuit(CIRCUIT, truth=["a0.h1->logits"], title="<b>circuit</b>"),
        "logprobs": viz.logprobs(model, ["Once upon a time", "The king"]),
        "microscope": viz.microscope(model, "Once upon a time"),
    }


@pytest.mark.parametrize("theme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
def test_the_outputs_of_a_saved_notebook(
    views: dict[str, View], browser: Any, tmp_path: Path, theme: str
) -> None:
    """All of them on one page, as in a notebook without a kernel."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="needs axe-playwright-python")
    path = tmp_path / "notebook.html"
    outputs = "\n".join(f"<section>{view.notebook_html()}</section>" for view in views.values())
    head = '<!doctype html><html lang="en"><meta charset="utf-8"><title>notebook</title>'
    path.write_text(f"{head}<main><h1>Notebook</h1>{outputs}</main>", encoding="utf-8")
    watched = WatchedPage(browser, color_scheme=theme, viewport={"width": 360, "height": 700})
    watched.page.goto(path.as_uri())
    watched.page.wait_for_selector(".ms-next table")  # the microscope is the last one
    for name in views:
        view = watched.page.locator(f"section:nth-of-type({list(views).index(name) + 1}) .ms-view")
        assert view.get_attribute("data-theme") == theme
        assert view.locator("canvas, .ms-token, .ms-circuit").count() > 0, name
    assert watched.page.locator("[data-ms-picture] img").count() == 0  # the pictures have made room
    assert watched.page.evaluate("() => document.documentElement.scrollWidth") <= 360
    found = axe.Axe().run(watched.page).response["violations"]
    serious = [rule for rule in found if rule["impact"] in SERIOUS]
    assert [(rule["id"], [node["html"] for node in rule["nodes"]]) for rule in serious] == []
    assert watched.problems == []
    assert all(url.startswith(("file:", "data:", "blob:")) for url in watched.requests)
    watched.page.close()


def test_without_scripts_the_numbers_are_there(views: dict[str, View], browser: Any, tmp_path: Path) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()

    def text(name: str) -> str:
        page.goto(views[name].save(tmp_path / f"{name}.html").as_uri())
        return page.locator("main").inner_text()

    weights = a_pattern(2, 2, 6)
    attention = text("attention")
    assert "␣שלום" in attention
    assert f"{float(weights[0, 0, 5, 0]):.3g}" in attention
    assert page.locator("img").count() == 4
    assert all(page.locator("img").nth(i).evaluate("(img) => img.naturalWidth") == 6 for i in range(4))
    tokens = text("tokens")
    for token in ("</script>", "<img␣onerror=alert(1)>", "👩\\u200d👩\\u200d👧", "�\\n"):
        assert tokens.count(token) == 2  # once for each kind of value
    assert page.get_by_text("␣שלום").first.get_attribute("title") == "3: 3 nats"
    assert "�\\n 11" in text("top_tokens").replace("\xa0", " ")
    assert "−0.25" in text("heatmap")
    circuit = text("circuit")
    assert "<b>circuit</b>" in circuit
    assert "1 edge kept, with scores of at least 0.75: 0 of 1 true edges found" in circuit
    assert "input->a0.h1<v> 0.75" in circuit
    drawn = page.locator("main svg")
    assert drawn.locator("polyline").count() == 2  # the extra one and the missed one
    assert drawn.locator("text").all_text_contents() == ["input", "a0.h1", "logits"]
    assert "Mean log-probability: −" in text("logprobs")
    assert "Likeliest next tokens: “" in text("microscope")
    context.close()


def test_an_image_has_the_colours_of_its_numbers(browser: Any, tmp_path: Path) -> None:
    values = np.linspace(-2, 1, 900).reshape(30, 30)
    values[0, 0] = np.nan
    view = viz.heatmap_view(values, title="wide")
    picture = view.notebook_html().split("<script")[0]
    page = browser.new_page()
    page.set_content(picture)
    found = page.evaluate(
        """async () => {
          const image = document.querySelector("img");
          await image.decode();
          const canvas = new OffscreenCanvas(30, 30).getContext("2d");
          canvas.drawImage(image, 0, 0, 30, 30);
          return Array.from(canvas.getImageData(0, 0, 30, 30).data);
        }"""
    )
    pixels = np.array(found).reshape(30, 30, 4)
    assert pixels[0, 0, 3] == 0
    scale = viz.views.heatmap.scale_for(values)
    # The image has fewer colours than the scale: half a step of the steepest channel is the largest difference.
    steps = scale.colours(np.linspace(-2, 2, LEVELS)).astype(int)
    most = int(np.abs(np.diff(steps, axis=0)).max())
    difference = np.abs(pixels[..., :3] - scale.colours(values).astype(int))[1:]
    assert difference.max() <= most
    page.close()


def test_numbers_survive_the_page(browser: Any, tmp_path: Path) -> None:
    """In float32; and in float16, where there are many, to three digits."""
    for size in (6, 520):
        weights = torch.rand(size, size, generator=torch.Generator().manual_seed(2))
        view = viz.attention(weights, [f"t{i}" for i in range(size)])
        watched = WatchedPage(browser)
        watched.page.goto(view.save(tmp_path / "view.html").as_uri())
        watched.page.wait_for_selector(".ms-large canvas")
        watched.page.locator(".ms-large canvas").focus()
        for _ in range(5):
            watched.page.keyboard.press("ArrowRight")
        watched.page.keyboard.press("ArrowDown")
        words = watched.page.locator(".ms-large .ms-words").inner_text()
        assert words.startswith("H0: “t1” (1) attends to “t5” (5): ")
        assert float(words.split(": ")[-1]) == pytest.approx(float(weights[1, 5]), rel=2e-3)
        assert watched.problems == []
        watched.page.close()
