"""The live figure of step 05: features, steering and continuations are Python's."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import mechscope as ms
from mechscope.labs.sae.language_model import HOOK
from mechscope.labs.sae.live_data import NAME
from tests.browser import WatchedPage


@pytest.fixture(scope="module")
def watched(browser: Any, address: str) -> Iterator[WatchedPage]:
    found = WatchedPage(browser)
    found.page.goto(address + "steps/05-sae/")
    found.page.wait_for_selector(".live-steered .ms-token")
    yield found
    assert found.problems == []
    found.page.close()


@pytest.fixture(scope="module")
def dictionary() -> ms.dictionaries.Dictionary:
    return ms.dictionaries.load(NAME).float()


@pytest.fixture(scope="module")
def model() -> Any:
    return ms.load_model("mini-gelu-1l")


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


def test_features_of_random_tokens(watched: WatchedPage, model: Any, dictionary: Any) -> None:
    tokens = random.Random(0).choices(range(model.cfg.d_vocab), k=model.cfg.n_ctx)
    _, cache = model.run_with_cache(torch.tensor([tokens]), names_filter=HOOK)
    found = watched.page.evaluate(
        """([tokens, hook]) => {
          const { model, dictionary } = window.dictionaryFigure;
          const { cache } = model.run(tokens, { record: (name) => name === hook });
          return Array.from(dictionary.encode(cache.get(hook)).data);
        }""",
        [tokens, HOOK],
    )
    expected = dictionary.encode(cache[HOOK][0]).detach()
    torch.testing.assert_close(torch.tensor(found).view_as(expected), expected, atol=1e-4, rtol=1e-4)
    assert 0 < int((expected > 0).sum()) <= 16 * len(tokens)


@pytest.mark.parametrize("architecture", ["relu", "topk"])
def test_features_of_other_dictionaries(watched: WatchedPage, architecture: str) -> None:
    configs = {
        "relu": ms.dictionaries.ReluConfig(d_in=6, d_sae=20),
        "topk": ms.dictionaries.TopKConfig(d_in=6, d_sae=20, k=3, subtract_b_dec=False),
    }
    own = ms.dictionaries.build(configs[architecture])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in own.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    own.set_scale(2.0)
    x = torch.randn(5, 6, generator=generator)
    weights = {name: [list(value.shape), value.flatten().tolist()] for name, value in own.state().items()}
    features, direction = watched.page.evaluate(
        """async ([cfg, named, x]) => {
          const { Dictionary } = await import("/static/dictionary.js");
          const { Tensor } = await import("/static/safetensors.js");
          const tensor = ([shape, data]) => new Tensor(shape, Float32Array.from(data));
          const weights = new Map(Object.entries(named).map(([name, value]) => [name, tensor(value)]));
          const own = new Dictionary({ dictionary: cfg }, weights);
          return [own.encode(tensor(x)).data, own.direction(7)].map((found) => Array.from(found));
        }""",
        [own.cfg.to_dict(), weights, [[5, 6], x.flatten().tolist()]],
    )
    torch.testing.assert_close(
        torch.tensor(features).view(5, 20), own.encode(x).detach(), atol=1e-4, rtol=1e-4
    )
    torch.testing.assert_close(torch.tensor(direction), (own.W_dec[7] / own.scale_out).detach())


def test_steering_by_keyboard(watched: WatchedPage, model: Any, dictionary: Any) -> None:
    page = watched.page
    page.fill(".live-text", "if x is None:\n    raise Value")
    tokens = model.to_tokens("if x is None:\n    raise Value")
    _, cache = model.run_with_cache(tokens, names_filter=HOOK)
    features = dictionary.encode(cache[HOOK][0]).detach()
    strongest = features[-1].topk(2)
    second = int(strongest.indices[1])
    page.locator(".live-features button").nth(1).focus()
    page.keyboard.press("Enter")
    assert page.inner_text(".live-title") == f"Feature {second}"
    assert page.evaluate("() => document.activeElement.textContent") == str(second)
    active = int((features[1:, second] > 0).sum())
    assert f"active on {active} of {tokens.shape[1]} tokens" in page.inner_text(".live-here")
    note = page.locator(".live-features tr").nth(1).inner_text().partition("→")[0]
    assert numbers(note)[-1] == pytest.approx(float(strongest.values[1]), rel=6e-3)
    page.focus(".live-scale")
    for _ in range(6):
        page.keyboard.press("ArrowRight")
    assert "1.1 × the largest activation" in page.inner_text(".live-dose")

    # The code on the page gives the probabilities and the text on the page.
    scope: dict[str, Any] = {}
    exec(page.locator(".live-python").text_content(), scope)
    logits = scope["logits"][0]
    shown = page.evaluate("() => Array.from(window.dictionaryFigure.steered.data)")
    torch.testing.assert_close(torch.tensor(shown), logits.flatten(), atol=1e-4, rtol=1e-4)
    plain = model(tokens)[0, -1].softmax(-1).detach()
    best = logits[-1].softmax(-1).topk(1)
    row = page.locator(".live-next tr").first.inner_text()
    expected = [100 * float(best.values[0]), 100 * float(plain[best.indices[0]])]
    assert numbers(row)[-2:] == pytest.approx(expected, abs=0.051)
    # Steering goes on while the text does: greedily, token by token.
    page.wait_for_function(
        """() => {
          const { continued, steering } = window.dictionaryFigure;
          return JSON.stringify(continued.steering) === JSON.stringify(steering);
        }"""
    )
    steps = page.evaluate("() => window.dictionaryFigure.continued.texts")
    assert len(steps[1]) == 16
    assert page.locator(".live-steered .ms-token").count() == 16
    for continuation, hooks in zip(steps, ([], scope["hooks"]), strict=True):
        text = tokens
        for token in continuation:
            with torch.no_grad():
                last = model.run_with_hooks(text, fwd_hooks=hooks)[0, -1]
            # A near tie may fall the other way on another processor.
            assert float(last.max() - last[token]) < 1e-3
            text = torch.cat([text, torch.tensor([[token]])], 1)


def test_seeds_and_temperatures(watched: WatchedPage) -> None:
    drawn = watched.page.evaluate(
        """async () => {
          const { sampleToken } = await import("/static/sampling.js");
          const { randomNumbers } = await import("/static/random_numbers.js");
          const logits = Float32Array.from([0, Math.log(3), -Infinity]);
          const draw = (seed, temperature) => {
            const random = randomNumbers(seed);
            return Array.from({ length: 4000 }, () => sampleToken(logits, { temperature, random }));
          };
          return [draw(1, 1), draw(1, 1), draw(2, 1), draw(1, 0.5), draw(1, 0)];
        }"""
    )
    assert drawn[0] == drawn[1] != drawn[2]
    shares = [sum(tokens) / len(tokens) for tokens in drawn]
    assert shares[0] == pytest.approx(3 / 4, abs=0.03)
    assert shares[3] == pytest.approx(9 / 10, abs=0.03)
    assert shares[4] == 1
    assert 2 not in [token for tokens in drawn for token in tokens]


def test_other_positions_features_and_texts(watched: WatchedPage) -> None:
    page = watched.page
    page.fill(".live-text", "<b>x</b> & “naïve” 👩")
    page.locator(".live-tokens button").nth(2).click()
    assert "(2)" in page.inner_text(".live-at")
    page.fill(".live-number", "7")
    assert page.inner_text(".live-title") == "Feature 7"
    page.fill(".live-number", "512")
    assert page.inner_text(".live-title") == "Feature 7"
    page.locator(".live-tokens button").first.click()
    assert "does not read the first token" in page.inner_text(".live-features")
    for text, said in (("", "Type some text"), ("word " * 60, "reads at most 64")):
        page.fill(".live-text", text)
        assert said in page.inner_text(".live-problem")
    page.fill(".live-text", "def f(x)")
    assert page.locator(".live-problem").is_hidden()
    page.focus(".live-temperature")
    page.keyboard.press("End")
    assert page.inner_text(".live-heat") == "1.5"
    page.set_viewport_size({"width": 360, "height": 700})
    assert page.evaluate("() => document.documentElement.scrollWidth") <= 360
