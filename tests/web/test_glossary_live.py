"""Live demos: their data fits the models, and each opens in a browser and shows what it tells the reader to look at."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mechscope.checkpoints.load import load_model
from mechscope.glossary.entry import all_entries
from mechscope.glossary.live import LIVE, PANELS
from tests.browser import WatchedPage

COMPONENTS = Path(__file__).parents[2] / "src" / "mechscope" / "viz" / "components"


def test_the_panels_are_those_of_the_microscope() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in sorted(COMPONENTS.glob("panel_*.js")))
    named = set(re.findall(r'^  name: "(\w+)",$', sources, re.MULTILINE))
    assert named == {*PANELS, "prompt", "tokens", "prediction"}


@pytest.mark.parametrize("slug", LIVE)
def test_what_it_opens_with_fits_the_model(slug: str) -> None:
    live = LIVE[slug]
    assert slug in all_entries() and set(live.panels) <= set(PANELS)
    model = load_model(live.model)
    assert live.layer < model.cfg.n_layers and live.head < model.cfg.n_heads
    texts = [live.prompt, *([live.other] if live.other else [])]
    lengths = {model.to_tokens(text).shape[1] for text in texts}
    assert len(lengths) == 1 and lengths.pop() <= model.cfg.n_ctx
    unknown = getattr(model.tokenizer, "unk_token_id", None)
    assert unknown is None or all(unknown not in model.to_tokens(text) for text in texts)
    assert ("patching" in live.panels) == bool(live.other)
    for layer, head in re.findall(r"L(\d+)H(\d+)", live.task):
        assert int(layer) < model.cfg.n_layers and int(head) < model.cfg.n_heads


def attended(model_name: str, prompt: str, layer: int, head: int) -> list[tuple[str, str]]:
    """(reading token, token that is read most), for every position."""
    model = load_model(model_name)
    strings = model.to_str_tokens(prompt)
    pattern = model.run_with_cache(prompt)[1]["pattern", layer][0, head]
    return [(strings[query], strings[int(row.argmax())]) for query, row in enumerate(pattern)]


def test_the_heads_do_what_the_tasks_say() -> None:
    live = LIVE["induction-head"]
    looks = attended(live.model, live.prompt, live.layer, live.head)
    assert ("):", " return") in looks and (" we", "i") in looks
    strings = [reader for reader, _ in attended(live.model, live.prompt, 0, 3)]
    assert [read for _, read in attended(live.model, live.prompt, 0, 3)][1:] == strings[:-1]
    mover = LIVE["name-mover-head"]
    assert attended(mover.model, mover.prompt, mover.layer, mover.head)[-1] == (" to", " Molly")
    double = attended(mover.model, mover.prompt, 0, LIVE["duplicate-token-head"].head)
    assert (" Lewis", " Lewis") in double and (" Molly", " Molly") in double


def test_the_longest_residual_vector_is_not_one_of_the_readers_words() -> None:
    live = LIVE["residual-stream"]
    model = load_model(live.model)
    lengths = model.run_with_cache(live.prompt)[1]["resid_post", model.cfg.n_layers - 1][0].norm(dim=-1)
    assert int(lengths.argmax()) == 0
    assert float(lengths[0]) > 1.5 * float(lengths[1:].max())


@pytest.mark.parametrize(
    "slugs",
    [
        ("steering", "activation-patching", "logit-lens", "residual-stream"),
        pytest.param(tuple(LIVE), marks=pytest.mark.slow),
    ],
    ids=["every panel", "all"],
)
def test_live_demos_open(browser: Any, address: str, slugs: tuple[str, ...]) -> None:
    watched = WatchedPage(browser)
    page = watched.page
    for slug in slugs:
        live = LIVE[slug]
        page.goto(f"{address}glossary/{slug}/")
        page.wait_for_selector("[data-part=open]:enabled")
        page.focus("[data-part=open]")
        page.keyboard.press("Enter")
        page.wait_for_selector("[data-part=open]", state="hidden")
        assert page.input_value(".ms-prompt") == live.prompt
        page.wait_for_selector(".ms-text .ms-token")
        titles = page.locator("[data-part=microscope] > section").count()
        assert titles == 3 + len(live.panels)
        assert not page.locator(".ms-failure").is_visible()
        page.fill(".ms-prompt", live.prompt.rsplit(" ", 1)[0])
        assert not page.locator(".ms-problem").is_visible()
    assert watched.problems == []
    page.close()


def test_a_head_is_switched_off_in_the_page(browser: Any, address: str) -> None:
    page = WatchedPage(browser, viewport={"width": 360, "height": 740}).page
    page.goto(f"{address}glossary/induction-head/")
    page.click("[data-part=open]:enabled")
    page.wait_for_selector("[data-part=open]", state="hidden")
    assert page.input_value(".ms-component") == "1 3"
    page.click(".ms-to-zero")
    assert "L1H3" in page.inner_text(".ms-edits")
    page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
    page.close()


def test_a_model_that_cannot_be_loaded_is_a_sentence_and_can_be_tried_again(
    browser: Any, address: str
) -> None:
    page = browser.new_page()
    page.route("**/model.safetensors", lambda route: route.abort())
    page.goto(f"{address}glossary/token/")
    page.click("[data-part=open]:enabled")
    page.wait_for_selector("[data-part=problem]:not([hidden])")
    assert "could not be loaded" in page.inner_text("[data-part=problem]")
    page.unroute("**/model.safetensors")
    page.click("[data-part=open]:enabled")
    page.wait_for_selector(".ms-text .ms-token")
    page.close()
