"""The microscope for models that the server runs: the same page and the same numbers as in the browser."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import mechscope as ms
from mechscope.checkpoints.lab_models import SMOLLM2
from tests.browser import WatchedPage

PAGE = "models/on-this-machine/"
READ = """async ([layer, token]) => {
  const { now, position } = window.microscope;
  const parts = await now.attribution(position, token);
  return {
    tokens: window.microscope.tokens,
    strings: window.microscope.strings,
    losses: await now.losses(),
    best: (await now.next(position, 4)).map(({ name }) => name),
    chances: (await now.chances(position, [token, 5])).flatMap(({ probability, logit }) => [probability, logit]),
    attention: Array.from(await now.attention(layer)),
    lens: await now.lens(token),
    attribution: parts.map(({ value }) => value),
    places: parts.map(({ label, layer, head }) => [label, layer, head]),
    everywhere: await now.attributionEverywhere(token),
    sources: (await now.attributionBySource(position, token)).values.map((value) => Number.isNaN(value) ? null : value),
    norms: await now.norms(),
  };
}"""
EDITS = [
    {"kind": "scale_head", "layer": 0, "head": 1, "factor": -1.5},
    {"kind": "mean_mlp", "layer": 0},
    {"kind": "add_neuron", "layer": 0, "neuron": 200, "amount": 1.5},
    {"kind": "ablate_neuron", "layer": 1, "neuron": 17},
    {"kind": "steer", "layer": 1, "scale": 2, "token": 77, "name": "x", "minus_token": 78, "minus_name": "y"},
    {
        "kind": "contrast",
        "layer": 1,
        "scale": 1,
        "plus": [4, 5],
        "minus": [6],
        "plus_text": "a",
        "minus_text": "b",
        "position": 2,
    },
    {"kind": "ablate_head", "layer": 1, "head": 3},
]


def assert_close(found: Any, expected: Any, where: str = "") -> None:
    """Equal structures, whose numbers differ by float error only."""
    assert type(found) is type(expected) or isinstance(found, int | float), where
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            assert_close(found[key], expected[key], f"{where}.{key}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for index, (one, other) in enumerate(zip(found, expected, strict=True)):
            assert_close(one, other, f"{where}[{index}]")
    elif isinstance(expected, int | float):
        assert found == pytest.approx(expected, abs=1e-3, rel=1e-4), where
    else:
        assert found == expected, where


def test_both_pages_read_the_same(browser: Any, address: str) -> None:
    watched = WatchedPage(browser)
    page = watched.page
    readings = []
    for route in ("models/mini-gelu-2l/", f"{PAGE}#model=mini-gelu-2l"):
        page.goto(address + route)
        page.wait_for_function("() => window.microscope?.now")
        page.evaluate("() => window.microscope.setTexts('The hen saw the é', 'The fox saw the é')")
        page.wait_for_function(
            "() => window.microscope.tokens.length > 3 && window.microscope.strings.at(-1) === '<0xA9>'"
        )
        plain = page.evaluate(READ, [1, 40])
        page.evaluate(
            "async (edits) => { for (const edit of edits) await window.microscope.edit(edit); }", EDITS
        )
        edited = page.evaluate(READ, [0, 41])
        question = page.evaluate(
            """async () => {
              const { subject, tokens, position } = window.microscope;
              const source = [...tokens].reverse();
              const maps = [];
              const question = { tokens, source, position, plus: 3, minus: 4 };
              for (const site of ["residual", "attention", "mlp", "heads"]) {
                maps.push(Array.from(await subject.patchingMap({ ...question, site }, () => false)));
              }
              return maps;
            }"""
        )
        word = page.evaluate("() => window.microscope.subject.singleToken('he')")
        refused = page.evaluate(
            "() => window.microscope.subject.singleToken('Constantinople').catch(({ message }) => message)"
        )
        readings.append([plain, edited, question, word, refused])
    assert_close(readings[1], readings[0])
    assert readings[0][0]["losses"] != readings[0][1]["losses"]
    # The code on the page gives what the server shows.
    scope: dict[str, Any] = {}
    exec(page.locator(".ms-python").text_content(), scope)
    probabilities = scope["logits"][0, -1].softmax(-1)
    shown = page.evaluate("async () => (await window.microscope.now.next(window.microscope.position, 3))")
    for row in shown:
        assert row["probability"] == pytest.approx(float(probabilities[row["token"]]), abs=1e-4)
    assert watched.problems == []
    page.close()


def test_it_is_used_like_the_other_pages(browser: Any, address: str) -> None:
    watched = WatchedPage(browser)
    page = watched.page
    page.goto(address + PAGE)
    button = page.get_by_role("button", name="Open ioi-twin")
    button.wait_for()
    frame = page.locator(".numbers-table").bounding_box()
    box = button.bounding_box()
    assert box["x"] + box["width"] <= frame["x"] + frame["width"]  # it is seen without scrolling sideways
    button.click()
    page.wait_for_selector(".ms-norms canvas")
    assert page.inner_text(".machine-name") == "ioi-twin"
    page.fill(".ms-prompt", "At the stadium, Molly and Lewis shared a table until Lewis offered a hat to")
    page.fill(".ms-other", "At the stadium, Molly and Lewis shared a table until Molly offered a hat to")
    page.wait_for_function("() => window.microscope.strings.includes(' hat')")
    page.wait_for_selector(".ms-parts tr")
    page.get_by_role("button", name="Compute the map").click()
    page.wait_for_selector(".ms-patching canvas")
    page.locator(".ms-patching canvas").focus()
    for key in ("ArrowRight", "Enter"):
        page.keyboard.press(key)
    page.get_by_role("button", name="Keep this patch").click()
    page.wait_for_selector(".ms-edits li")
    # The texts stay when another model is opened.
    page.get_by_role("button", name="Open mini-gelu-4l").click()
    page.wait_for_function("() => window.microscope.subject.cfg.n_layers === 4")
    assert page.input_value(".ms-prompt").startswith("At the stadium")
    page.get_by_role("button", name="Open ioi-twin").click()
    page.wait_for_function("() => window.microscope.subject.cfg.n_layers === 3 && window.microscope.now")
    # A long text is refused, and nothing is lost.
    page.fill(".ms-prompt", "table " * 300)
    page.wait_for_selector(".ms-problem:visible")
    assert "shorten the text by" in page.inner_text(".ms-problem")
    page.wait_for_function("() => location.hash.includes('model=ioi-twin')")
    page.goto(f"{address}{PAGE}#model=no-such-model")  # an address that differs after # opens the page anew
    page.wait_for_selector(".machine-words.problem")
    assert page.inner_text(".machine-words").startswith("This machine has no model 'no-such-model'")
    # The browser reports the refused requests, 409 and 404, and nothing else.
    assert all("the server responded with a status of 4" in problem for problem in watched.problems)
    page.close()


@pytest.mark.slow
@pytest.mark.real_model
@pytest.mark.skipif(not SMOLLM2.is_available, reason="needs `mechscope models get smollm2-135m` (98 MB)")
def test_a_real_language_model(browser: Any, address: str) -> None:
    watched = WatchedPage(browser)
    page = watched.page
    page.goto(f"{address}{PAGE}#model=smollm2-135m")
    page.wait_for_function("() => window.microscope?.now", timeout=120_000)
    page.evaluate("() => window.microscope.setTexts('The capital of France is', 'The capital of Italy is')")
    page.wait_for_function("() => window.microscope.tokens.length === 5", timeout=60_000)
    shown = page.evaluate("async () => window.microscope.now.next(4, 5)")
    assert shown[0]["name"] == " Paris"
    model = ms.load_model("smollm2-135m")
    with torch.no_grad():
        expected = model("The capital of France is")[0, -1].softmax(-1)
    for row in shown:
        assert row["probability"] == pytest.approx(float(expected[row["token"]]), abs=1e-3)
    page.select_option(".ms-site", "residual")
    page.get_by_role("button", name="Compute the map").click()
    page.wait_for_selector(".ms-patching canvas", timeout=180_000)
    assert "“␣Rome” minus that of “␣Paris”" in page.inner_text(".ms-question")
    assert watched.problems == []
    page.close()
