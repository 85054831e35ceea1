"""Step 01's live figure: its gradients and measures are Python's, and the geometry moves while it trains."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import pytest
import torch

from mechscope.labs.superposition.geometry import dimensionality, represented
from mechscope.labs.superposition.phase_diagram import boundary
from tests.browser import WatchedPage

ROUTE = "steps/01-superposition/"


@pytest.fixture
def watched(browser: Any, address: str) -> Iterator[WatchedPage]:
    found = WatchedPage(browser)
    found.page.goto(address + ROUTE)
    found.page.wait_for_selector(".live-arrow")
    yield found
    assert found.problems == []
    found.page.close()


@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
def test_its_gradients_are_those_of_autograd(watched: WatchedPage, seed: int) -> None:
    W, b, x, importance, loss, dW, db = watched.page.evaluate(
        """async (seed) => {
          const { ToyModel } = await import("/static/toy_model.js");
          const model = new ToyModel({ features: 5, seed });
          model.b.forEach((_, i) => { model.b[i] = 0.1 * i - 0.2; });
          const x = model.draw(16, 0.4);
          const importance = [1, 0.9, 0.8, 0.7, 0.6];
          const { loss, dW, db } = model.gradients(x, importance);
          return [model.W, model.b, x, importance, loss, dW, db].map((one) => one.length ? Array.from(one) : one);
        }""",
        seed,
    )
    weights = torch.tensor(W, dtype=torch.float64).view(2, 5).requires_grad_()
    bias = torch.tensor(b, dtype=torch.float64).requires_grad_()
    data = torch.tensor(x, dtype=torch.float64).view(16, 5)
    assert 0.2 < float((data > 0).double().mean()) < 0.6
    out = (data @ weights.T @ weights + bias).relu()
    expected = (torch.tensor(importance, dtype=torch.float64) * (data - out).square()).sum(-1).mean()
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-9)
    torch.testing.assert_close(torch.tensor(dW, dtype=torch.float64), weights.grad.flatten())
    torch.testing.assert_close(torch.tensor(db, dtype=torch.float64), bias.grad)


def test_its_measures_are_the_labs(watched: WatchedPage) -> None:
    directions, shares, present, edges = watched.page.evaluate(
        """async () => {
          const { ToyModel, boundary, dimensionality, represented } = await import("/static/toy_model.js");
          const directions = new ToyModel({ features: 7, seed: 4 }).directions();
          return [directions, dimensionality(directions), represented(directions), [0.5, 1].map(boundary)];
        }"""
    )
    W = torch.tensor(directions, dtype=torch.float64).T
    torch.testing.assert_close(torch.tensor(shares, dtype=torch.float64), dimensionality(W))
    assert present == represented(W).tolist()
    assert edges == pytest.approx(boundary(torch.tensor([0.5, 1.0], dtype=torch.float64)).tolist())


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_rare_features_are_all_kept_and_frequent_ones_are_not(watched: WatchedPage, seed: int) -> None:
    kept = watched.page.evaluate(
        """async (seed) => {
          const { ToyModel, represented } = await import("/static/toy_model.js");
          return [0.05, 1].map((density) => {
            const model = new ToyModel({ features: 5, seed });
            const importance = [1, 0.9, 0.81, 0.73, 0.66];
            for (let i = 0; i < 8000; i++) model.train({ density, importance });
            return represented(model.directions()).filter(Boolean).length;
          });
        }""",
        seed,
    )
    assert kept[0] == 5
    assert kept[1] == 2


def test_the_geometry_moves_and_the_sliders_change_it(watched: WatchedPage) -> None:
    page = watched.page
    before = page.inner_html(".live-plane")
    while (
        page.inner_html(".live-plane") == before
    ):  # fails by Playwright's own time limit if the page is stuck
        page.wait_for_timeout(50)
    page.focus(".live-n")
    page.keyboard.press("ArrowRight")
    assert page.inner_text(".live-features") == "6"
    assert page.locator(".live-arrow").count() == 6
    page.focus(".live-p")
    page.keyboard.press("End")
    assert page.inner_text(".live-density") == "100 %"
    assert "drop the second one" in page.inner_text(".live-phase-words")
    page.keyboard.press("Home")
    assert "opposite directions" in page.inner_text(".live-phase-words")


def test_a_pause_is_a_pause(watched: WatchedPage) -> None:
    page = watched.page
    page.get_by_role("button", name="Pause").click()
    page.wait_for_timeout(100)
    step = page.inner_text(".live-words")
    page.wait_for_timeout(200)
    assert page.inner_text(".live-words") == step
    page.get_by_role("button", name="Start again").click()
    assert page.inner_text(".live-words").startswith("Step 0:")


def test_random_numbers_are_uniform(watched: WatchedPage) -> None:
    drawn = watched.page.evaluate(
        """async () => {
          const { randomNumbers } = await import("/static/random_numbers.js");
          const random = randomNumbers(5);
          return Array.from({ length: 20000 }, () => random());
        }"""
    )
    values = torch.tensor(drawn)
    assert 0 <= float(values.min()) < float(values.max()) < 1
    counts = torch.histc(values, 10, 0, 1)
    # Nine degrees of freedom: chi-squared is above 27.9 once in a thousand draws, and this seed is fixed.
    assert float(((counts - 2000).square() / 2000).sum()) < 27.9
    assert abs(float(values.mean()) - 0.5) < 4 / math.sqrt(12 * 20000)
