"""The microscope in a real browser: what it shows equals what Python computes, and its code gives the same logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import mechscope as ms
from mechscope.arguments import visible_token
from tests.browser import WatchedPage

LOGITS = "() => Array.from(window.microscope.now.logits.data)"


@pytest.fixture
def watched(browser: Any, address: str) -> Iterator[WatchedPage]:
    found = WatchedPage(browser)
    found.page.goto(f"{address}models/mini-gelu-2l/")
    found.page.wait_for_selector(".ms-next table")
    yield found
    assert found.problems == []
    assert all(url.startswith((address, "data:")) for url in found.requests)
    found.page.close()


def type_prompt(page: Any, text: str) -> None:
    page.fill(".ms-prompt", text)


def shown(page: Any, part: str) -> list[list[str]]:
    rows = page.locator(f".ms-{part} tr").all()
    return [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]


def test_the_prediction_is_pythons(watched: WatchedPage) -> None:
    text = "The king and the queen of the"
    type_prompt(watched.page, text)
    model = ms.load_model("mini-gelu-2l")
    with torch.no_grad():
        probabilities = model(text)[0, -1].softmax(-1)
    best = probabilities.topk(10)
    rows = shown(watched.page, "next")
    names = [visible_token(model.to_single_str_token(int(token))) for token in best.indices]
    assert [row[0] for row in rows] == names
    for row, probability in zip(rows, best.values.tolist(), strict=True):
        assert row[2] == f"{100 * probability:.1f} %"


def test_the_parts_of_a_logit_are_pythons(watched: WatchedPage) -> None:
    text = "The king and the queen"
    type_prompt(watched.page, text)
    parts = watched.page.evaluate(
        """async () => {
          const { directLogitAttribution } = await import("/static/analysis.js");
          const { model, now, position, token } = window.microscope;
          return [token, directLogitAttribution(model, now.cache, position, token)];
        }"""
    )
    token, rows = parts
    model = ms.load_model("mini-gelu-2l")
    with torch.no_grad():
        logits, cache = model.run_with_cache(text)
    assert sum(row["value"] for row in rows) == pytest.approx(float(logits[0, -1, token]), abs=1e-3)
    head = next(row for row in rows if row["label"] == "L1H2")
    result = cache["blocks.1.attn.hook_z"][0, -1, 2] @ model.W_O[1, 2]
    scaled = (result - result.mean()) / cache["ln_final.hook_scale"][0, -1] * model.ln_final.w
    assert head["value"] == pytest.approx(float((scaled @ model.W_U[:, token]).detach()), abs=1e-4)


def test_its_python_code_gives_the_logits_on_the_screen(watched: WatchedPage) -> None:
    page = watched.page
    type_prompt(page, "The fox saw the hen and the fox saw the")
    before = page.evaluate(LOGITS)
    page.get_by_role("button", name="Layer 1").click()
    page.get_by_role("button", name="L1H3").click()
    page.get_by_role("button", name="Set the chosen head to zero").click()
    page.get_by_role("button", name="Layer 0").click()
    page.get_by_role("button", name="Set this layer's MLP to zero").click()
    assert page.locator(".ms-edits li").count() == 2
    after = page.evaluate(LOGITS)
    scope: dict[str, Any] = {}
    exec(page.locator(".ms-python").inner_text() or page.locator(".ms-python").text_content(), scope)
    expected = scope["logits"][0].flatten()
    torch.testing.assert_close(torch.tensor(after), expected, atol=1e-4, rtol=1e-4)
    assert float((torch.tensor(before) - expected).abs().max()) > 0.1
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Remove: head L1H3 set to zero").click()
    assert page.evaluate(LOGITS) == before


def test_steering_in_python_and_in_the_browser(watched: WatchedPage) -> None:
    page = watched.page
    type_prompt(page, "Once upon a time")
    page.evaluate(
        "() => window.microscope.edit({ kind: 'steer', layer: 1, scale: 2.5, token: 77, name: 'x' })"
    )
    scope: dict[str, Any] = {}
    exec(page.locator(".ms-python").text_content(), scope)
    torch.testing.assert_close(
        torch.tensor(page.evaluate(LOGITS)), scope["logits"][0].flatten(), atol=1e-4, rtol=1e-4
    )


@pytest.mark.parametrize(("site", "classic"), [("residual", "resid_pre"), ("heads", "z")])
def test_the_patching_map_is_pythons(browser: Any, address: str, site: str, classic: str) -> None:
    page = WatchedPage(browser).page
    page.goto(f"{address}models/ioi-twin/")
    page.wait_for_selector(".ms-patching canvas")
    found = page.evaluate(
        """async (site) => {
          const { patchingMap } = await import("/static/patching.js");
          const scope = window.microscope;
          const other = scope.encode(document.querySelector(".ms-other").value);
          const { cache } = scope.model.run(other, { record: () => true });
          const row = (scope.tokens.length - 1) * scope.model.cfg.d_vocab_out;
          const measure = ({ data }) => data[row + 40] - data[row + 41];
          return [scope.tokens, other, Array.from(await patchingMap(scope.model, scope.tokens, cache, site, measure))];
        }""",
        site,
    )
    tokens, other, values = found
    model = ms.load_model("ioi-twin")
    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor([other]))
        sweep = {
            "resid_pre": ms.patching.get_act_patch_resid_pre,
            "z": ms.patching.get_act_patch_attn_head_out_all_pos,
        }
        expected = sweep[classic](
            model, torch.tensor([tokens]), cache, lambda logits: logits[0, -1, 40] - logits[0, -1, 41]
        )
    torch.testing.assert_close(torch.tensor(values), expected.flatten(), atol=1e-4, rtol=1e-4)
    page.close()


def test_texts_of_different_lengths_cannot_be_patched(watched: WatchedPage) -> None:
    watched.page.fill(".ms-other", "short")
    assert "patching needs texts that match token by token" in watched.page.inner_text(".ms-other-problem")


def test_words_outside_a_small_vocabulary_are_named(browser: Any, address: str) -> None:
    page = WatchedPage(browser).page
    page.goto(f"{address}models/ioi-twin/")
    page.wait_for_selector(".ms-next table")
    assert page.locator(".ms-unknown").is_hidden()
    type_prompt(page, "At the stadium, Napoleon and Lewis shared a zeppelin")
    words = page.inner_text(".ms-unknown")
    assert "“Napoleon”, “zeppelin”" in words
    page.close()


@pytest.mark.parametrize(
    ("text", "said"),
    [("", None), ("word " * 100, "reads at most 64"), ("👩‍👩‍👧 שלום \u202e ½", None)],
)
def test_difficult_prompts(watched: WatchedPage, text: str, said: str | None) -> None:
    page = watched.page
    type_prompt(page, text)
    problem = page.locator(".ms-problem")
    if said is None:
        assert problem.is_hidden()
    else:
        assert said in problem.inner_text()
    type_prompt(page, "all is well again")
    assert problem.is_hidden()


def test_by_keyboard(watched: WatchedPage) -> None:
    page = watched.page
    type_prompt(page, "The fox saw the hen")
    page.get_by_role("button", name="L0H1").focus()
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="L0H1").get_attribute("aria-pressed") == "true"
    page.locator(".ms-attention canvas[role=img]").focus()
    page.keyboard.press("ArrowDown")
    words = page.locator(".ms-attention .ms-words").inner_text()
    assert words.startswith("L0H1: “")
    assert "attends to" in words


def test_a_narrow_dark_screen(browser: Any, address: str) -> None:
    watched = WatchedPage(browser, viewport={"width": 380, "height": 700}, color_scheme="dark")
    watched.page.goto(f"{address}models/ioi-twin/")
    watched.page.wait_for_selector(".ms-next table")
    assert watched.page.evaluate("() => document.documentElement.scrollWidth") <= 380
    assert watched.problems == []
    watched.page.close()
