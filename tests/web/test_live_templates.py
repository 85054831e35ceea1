"""The live figure of step 00: drawing by pointer and keyboard, and scores that are Python's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mechscope.labs.mnist_templates.centring import centre_digit
from mechscope.labs.mnist_templates.live_data import FOLDER
from tests.browser import WatchedPage

STATE = (
    "() => [window.templates.image, window.templates.seen, window.templates.scores].map((x) => Array.from(x))"
)


@pytest.fixture
def watched(browser: Any, address: str) -> Iterator[WatchedPage]:
    found = WatchedPage(browser)
    found.page.goto(address + "steps/00-mnist-templates/")
    found.page.wait_for_selector(".live-classes button")
    yield found
    assert found.problems == []
    found.page.close()


def shipped() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    tensors = load_file(FOLDER / "templates.safetensors")
    return tensors["weight"].double(), tensors["bias"].double(), tensors["digits"].double() / 255


def numbers(text: str) -> list[float]:
    return [float(number.replace("−", "-")) for number in re.findall(r"[−-]?\d+\.\d+", text)]


def test_real_digits_and_a_changed_weight(watched: WatchedPage) -> None:
    page = watched.page
    weight, bias, digits = shipped()
    page.get_by_role("button", name="A 8", exact=True).click()
    scores = digits[8] @ weight.T + bias
    labels = page.locator(".live-classes button").all_inner_texts()
    shown = torch.tensor([numbers(label) for label in labels], dtype=torch.float64)
    torch.testing.assert_close(shown[:, 0], scores, atol=0.0051, rtol=0)
    torch.testing.assert_close(shown[:, 1] / 100, scores.softmax(-1), atol=0.0011, rtol=0)
    evidence = torch.tensor(
        page.evaluate("() => Array.from(window.templates.evidenceNow)"), dtype=torch.float64
    )
    torch.testing.assert_close(evidence, weight[8] * digits[8])
    assert page.locator(".live-right button").count() == 10
    assert page.locator(".live-wrong button").count() == 10

    # Choose a pixel with ink by keyboard, and drag its weight with the arrow keys.
    pixel = int(digits[8].argmax())
    template = page.locator(".live-template canvas")
    template.focus()
    for _ in range(pixel // 28):
        page.keyboard.press("ArrowDown")
    for _ in range(pixel % 28):
        page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert f"row {pixel // 28}, column {pixel % 28} for 8" in page.inner_text(".live-which")
    page.focus(".live-weight")
    page.keyboard.press("End")
    changed = float(scores[8] + (2 - weight[8, pixel]) * digits[8, pixel])
    constant, _, total = numbers(page.inner_text(".live-sum").partition("Score of 8")[2])
    assert constant == pytest.approx(float(bias[8]), abs=0.0051)
    assert total == pytest.approx(changed, abs=0.0051)
    page.get_by_role("button", name="All weights as trained").click()
    assert numbers(page.inner_text(".live-sum"))[-1] == pytest.approx(float(scores[8]), abs=0.0051)
    assert page.get_by_role("button", name="All weights as trained").is_disabled()


def test_drawing_with_the_pointer_and_the_keyboard(watched: WatchedPage) -> None:
    page = watched.page
    weight, bias, _ = shipped()
    page.get_by_role("button", name="Clear").click()
    image, _, scores = page.evaluate(STATE)
    assert not any(image)
    assert scores == pytest.approx(bias.tolist())
    box = page.locator(".live-drawing canvas").bounding_box()

    def at(row: int, column: int) -> tuple[float, float]:
        cell = box["width"] / 28
        return box["x"] + (column + 0.5) * cell, box["y"] + (row + 0.5) * cell

    page.mouse.move(*at(4, 9))
    page.mouse.down()
    page.mouse.move(*at(20, 11), steps=30)
    page.mouse.up()
    by_pointer = page.evaluate(STATE)[0]
    assert sum(ink > 0.9 for ink in by_pointer) >= 12
    page.focus(".live-drawing canvas")
    for _ in range(6):
        page.keyboard.press("Shift+ArrowRight")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Space")
    page.keyboard.press("ArrowUp")
    image, seen, scores = page.evaluate(STATE)
    assert sum(image) > sum(by_pointer) + 5
    expected = centre_digit(torch.tensor(image, dtype=torch.float64).view(28, 28)).flatten()
    torch.testing.assert_close(torch.tensor(seen, dtype=torch.float64), expected)
    assert scores == pytest.approx((expected @ weight.T + bias).tolist(), abs=1e-6)
    page.get_by_label("Move and scale it").uncheck()
    _, seen, scores = page.evaluate(STATE)
    assert seen == image
    page.focus(".live-drawing canvas")
    page.keyboard.press("Delete")
    assert sum(page.evaluate(STATE)[0]) < sum(image)
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
