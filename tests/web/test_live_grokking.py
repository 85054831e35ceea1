"""The live figure of step 02: the training can be scrubbed, and cosines and logits are Python's."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

import mechscope as ms
from mechscope.labs.grokking.live_data import FOLDER, LEVELS
from mechscope.viz.palette import DARK_PALETTE, LIGHT_PALETTE
from tests.browser import WatchedPage


@pytest.fixture(scope="module")
def watched(browser: Any, address: str) -> Iterator[WatchedPage]:
    found = WatchedPage(browser)
    found.page.goto(address + "steps/02-grokking/")
    found.page.wait_for_selector(".live-cosines svg")
    yield found
    assert found.problems == []
    found.page.close()


def numbers(text: str) -> list[float]:
    return [
        float(number.replace("−", "-")) for number in re.findall(r"[−-]?\d+(?:\.\d+)?(?:e[−-]?\d+)?", text)
    ]


def test_scrubbing_by_keyboard(watched: WatchedPage) -> None:
    page = watched.page
    tensors = load_file(FOLDER / "waves.safetensors")
    described = json.loads((FOLDER / "waves.json").read_text(encoding="utf-8"))
    page.focus(".live-checkpoint")
    page.keyboard.press("Home")
    phases: list[str] = []
    for row, epoch in enumerate(described["epochs"]):
        assert page.inner_text(".live-epoch").startswith(f"{epoch:,} of")
        phases.append(page.inner_text(".live-phase").partition(":")[0])
        losses = numbers(page.inner_text(".live-values"))
        assert losses == pytest.approx(tensors["losses"][row].tolist(), rel=6e-3)
        page.keyboard.press("ArrowRight")
    assert list(dict.fromkeys(phases)) == [
        "Before training",
        "Memorisation",
        "Circuit formation",
        "Clean-up",
        "Grokked",
    ]
    # The share of the key frequencies grows, and the ring becomes round.
    shares, roundness = [], []
    for position in ("Home", "End"):
        page.keyboard.press(position)
        shares += numbers(page.inner_text(".live-norm-words"))[-1:]
        points = np.array(page.evaluate("() => window.grokking.scrubber.circle()"))
        row = 0 if position == "Home" else -1
        scale = described["circle_scales"][0] / LEVELS
        np.testing.assert_allclose(points, tensors["circles"][row, 0].double() * scale, atol=1e-6)
        radii = np.hypot(*points.T)
        roundness.append(radii.std() / radii.mean())
    assert shares[0] < 15 < 85 < shares[1]
    assert roundness[1] < 0.1 < 0.3 < roundness[0]


def test_frequencies_and_playing(watched: WatchedPage) -> None:
    page = watched.page
    page.locator(".live-keys button").nth(1).click()
    assert "waves of frequency 21" in page.inner_text("#circle-words")
    tensors = load_file(FOLDER / "waves.safetensors")
    described = json.loads((FOLDER / "waves.json").read_text(encoding="utf-8"))
    wave = page.evaluate("() => window.grokking.scrubber.wave()")
    expected = tensors["waves"][-1, 1].double() * described["wave_scales"][1] / LEVELS
    assert wave == pytest.approx(expected.tolist(), abs=1e-6)
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("() => window.grokking.scrubber.row === 2")
    page.get_by_role("button", name="Play").click()
    row = page.evaluate("() => window.grokking.scrubber.row")
    page.wait_for_timeout(900)  # more than one step of the playing
    assert page.evaluate("() => window.grokking.scrubber.row") == row


@pytest.mark.parametrize(("a", "b"), [(5, 9), (112, 112)])
def test_cosines_and_logits(watched: WatchedPage, a: int, b: int) -> None:
    page = watched.page
    described = json.loads((FOLDER / "waves.json").read_text(encoding="utf-8"))
    model = ms.load_model("grokking-p113")
    with torch.no_grad():
        logits = model(torch.tensor([[a, b, 113]]))[0, -1].double()
    page.fill(".live-a", str(a))
    page.fill(".live-b", str(b))
    found = page.evaluate("() => [window.grokking.logits, window.grokking.total].map((x) => Array.from(x))")
    torch.testing.assert_close(torch.tensor(found[0], dtype=torch.float64), logits, atol=1e-4, rtol=1e-4)
    c = torch.arange(113)
    total = torch.zeros(113, dtype=torch.float64)
    for key, amplitude in zip(described["keys"], described["amplitudes"], strict=True):
        total += amplitude * torch.cos(2 * torch.pi * key * (a + b - c).double() / 113)
    torch.testing.assert_close(torch.tensor(found[1], dtype=torch.float64), total, atol=1e-6, rtol=0)
    logits -= logits.mean()
    share = 100 * (1 - float((logits - total).square().sum() / logits.square().sum()))
    answer = (a + b) % 113
    words = page.inner_text(".live-answer")
    assert f"largest at c = {answer}; the model answers {answer} (100.0 %)" in words
    assert numbers(words)[-2] == pytest.approx(share, abs=0.051)
    assert share > 90


def test_numbers_that_the_model_does_not_have(watched: WatchedPage) -> None:
    page = watched.page
    before = page.inner_text(".live-answer")
    for wrong in ("113", "-1", "1.5", ""):
        page.fill(".live-a", wrong)
        assert "whole numbers from 0 to 112" in page.inner_text(".live-problem")
        assert page.inner_text(".live-answer") == before
    page.fill(".live-a", "0")
    assert page.locator(".live-problem").is_hidden()
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360


def test_lines_have_the_colours_of_the_house_style(watched: WatchedPage) -> None:
    found = watched.page.evaluate("async () => (await import('/static/series_colours.js')).SERIES")
    assert found == {"light": [*LIGHT_PALETTE.series], "dark": [*DARK_PALETTE.series]}
