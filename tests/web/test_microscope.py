"""The microscope in a real browser: what it shows equals what Python computes, and its code gives the same logits."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch

import mechscope as ms
from mechscope.arguments import visible_token
from mechscope.techniques.direct_logit_attribution import LogitTerms
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


def test_what_is_read_from_a_run_is_pythons(watched: WatchedPage) -> None:
    text = "The king and the queen"
    type_prompt(watched.page, text)
    token, parts, everywhere, sources, norms, lens = watched.page.evaluate(
        """async () => {
          const { now, position, token: { id } } = window.microscope;
          return [id, await now.attribution(position, id), await now.attributionEverywhere(id),
            await now.attributionBySource(position, id), await now.norms(), await now.lens(id)];
        }"""
    )
    model = ms.load_model("mini-gelu-2l")
    with torch.no_grad():
        logits, cache = model.run_with_cache(text)
        assert int(logits[0, -1].argmax()) == token
        shares = {row["label"]: row["value"] for row in parts}
        assert sum(shares.values()) == pytest.approx(float(logits[0, -1, token]), abs=1e-3)
        terms = LogitTerms(model, text)
        values, labels = terms.components(split_heads=True)
        python = dict(zip(labels, values[0, 0].tolist(), strict=True))
        for layer in range(2):
            assert shares[f"MLP {layer}"] == pytest.approx(python[f"m{layer}"], abs=1e-4)
            for head in range(4):
                assert shares[f"L{layer}H{head}"] == pytest.approx(python[f"a{layer}.h{head}"], abs=1e-4)
        n_positions = logits.shape[1]
        table = torch.tensor(everywhere["values"]).view(-1, n_positions)
        assert everywhere["rows"] == list(shares)
        torch.testing.assert_close(table[:, -1], torch.tensor(list(shares.values())), atol=1e-5, rtol=0)
        torch.testing.assert_close(table.sum(0), logits[0, :, token], atol=1e-3, rtol=0)
        by_source = terms.sources()[:, 0, 0].flatten(0, 1)  # [component key]
        assert sources["rows"] == [f"L{layer}H{head}" for layer in range(2) for head in range(4)]
        torch.testing.assert_close(
            torch.tensor(sources["values"]).view(-1, n_positions), by_source, atol=1e-4, rtol=1e-4
        )
        streams = [
            cache["blocks.0.hook_resid_pre"],
            cache["blocks.1.hook_resid_pre"],
            cache["blocks.1.hook_resid_post"],
        ]
        expected = torch.stack([stream[0].norm(dim=-1) for stream in streams])
        torch.testing.assert_close(torch.tensor(norms["values"]).view(3, -1), expected, atol=1e-4, rtol=1e-4)
        read = torch.stack([model.unembed(model.ln_final(stream))[0] for stream in streams])
        torch.testing.assert_close(
            torch.tensor(lens["values"]).view(3, -1), read[..., token], atol=1e-4, rtol=1e-4
        )
        for layer, row in enumerate(lens["best"]):
            for position, best in enumerate(row):
                assert best["probability"] == pytest.approx(
                    float(read[layer, position].softmax(-1).max()), abs=1e-4
                )
    # A head whose output is replaced no longer comes from positions.
    watched.page.get_by_role("button", name="Set it to zero").click()
    watched.page.select_option(".ms-parts-map", "sources")
    assert watched.page.locator(".ms-parts-note").is_visible()
    watched.page.select_option(".ms-parts-map", "positions")
    assert watched.page.locator(".ms-parts-note").is_hidden()


def run_the_code(page: Any) -> torch.Tensor:
    """The logits of the program that the page shows, flattened."""
    scope: dict[str, Any] = {}
    exec(page.locator(".ms-python").text_content(), scope)
    return scope["logits"][0].flatten()


def logits_match(page: Any, expected: torch.Tensor) -> None:
    torch.testing.assert_close(torch.tensor(page.evaluate(LOGITS)), expected, atol=1e-4, rtol=1e-4)


def test_its_python_code_gives_the_logits_on_the_screen(watched: WatchedPage) -> None:
    page = watched.page
    type_prompt(page, "The fox saw the hen and the fox saw the")
    before = page.evaluate(LOGITS)
    page.get_by_role("button", name="Layer 1").click()
    page.get_by_role("button", name="L1H3").click()
    page.get_by_role("button", name="Set it to zero").click()
    page.select_option(".ms-component", label="MLP 0")
    page.get_by_role("button", name="Set it to zero").click()
    assert page.locator(".ms-edits li").count() == 2
    expected = run_the_code(page)
    logits_match(page, expected)
    assert float((torch.tensor(before) - expected).abs().max()) > 0.1
    page.get_by_role("button", name="Undo").click()
    page.get_by_role("button", name="Remove: head L1H3 set to zero").click()
    assert page.evaluate(LOGITS) == before
    # One after the other, each on top of those before it.
    page.select_option(".ms-component", label="head L0H2")
    page.get_by_role("button", name="Replace it by its mean").click()
    page.fill(".ms-factor", "-1.5")
    page.get_by_role("button", name="Multiply it").click()
    logits_match(page, run_the_code(page))
    page.select_option(".ms-component", label="MLP 1")
    page.get_by_role("button", name="Multiply it").click()
    page.select_option(".ms-component", label="MLP 0")
    page.get_by_role("button", name="Replace it by its mean").click()
    expected = run_the_code(page)
    logits_match(page, expected)
    assert float((torch.tensor(before) - expected).abs().max()) > 0.1
    page.get_by_role("button", name="Replace it by its mean").click()
    assert "This intervention is in the list already." in page.inner_text(".ms-failure")
    page.fill(".ms-factor", "")
    page.get_by_role("button", name="Multiply it").click()
    assert "Give a number" in page.inner_text(".ms-change-problem")
    assert page.locator(".ms-edits li").count() == 4


def test_steering(watched: WatchedPage) -> None:
    page = watched.page
    type_prompt(page, "Once upon a time")
    before = torch.tensor(page.evaluate(LOGITS))
    model = ms.load_model("mini-gelu-2l")
    the, he = model.to_single_token(" the"), model.to_single_token("he")
    page.fill(".ms-to", " the")
    page.fill(".ms-strength", "3")
    page.get_by_role("button", name="Add this direction").click()
    with torch.no_grad():
        added = 3 * torch.nn.functional.normalize(model.W_U[:, the], dim=0)
        hook = ("blocks.1.hook_resid_pre", lambda resid, hook: resid + added)
        with model.hooks(fwd_hooks=[hook]):
            expected = model("Once upon a time")[0].flatten()
    logits_match(page, expected)
    logits_match(page, run_the_code(page))
    assert float((before - expected).abs().max()) > 0.1
    # From one word to another, at one position only.
    page.select_option(".ms-direction", "words")
    page.fill(".ms-from", "he")
    page.select_option(".ms-steer-layer", "0")
    page.select_option(".ms-steer-where", "here")
    page.get_by_role("button", name="Add this direction").click()
    assert page.evaluate("() => window.microscope.edits[1]") == {
        "kind": "steer",
        "layer": 0,
        "scale": 3,
        "position": page.evaluate("() => window.microscope.position"),
        "token": the,
        "name": " the",
        "minus_token": he,
        "minus_name": "he",
    }
    logits_match(page, run_the_code(page))
    # Between two texts of different lengths.
    page.select_option(".ms-direction", "texts")
    page.fill(".ms-from", "he was sad")
    page.fill(".ms-to", "she was very glad")
    page.select_option(".ms-steer-layer", "1")
    page.get_by_role("button", name="Add this direction").click()
    assert page.locator(".ms-edits li").count() == 3
    expected = run_the_code(page)
    logits_match(page, expected)
    assert "from “he was sad” to “she was very glad”" in page.inner_text(".ms-edits li:last-child")
    # What makes no sense is said, and changes nothing.
    for controls, said in [
        ({".ms-to": "he was sad"}, "there is no direction between them"),
        ({".ms-to": "x " * 90}, "reads at most 64"),
        ({".ms-strength": ""}, "Give a number"),
    ]:
        for control, text in controls.items():
            page.fill(control, text)
        page.get_by_role("button", name="Add this direction").click()
        page.wait_for_function(
            "words => document.querySelector('.ms-steer-problem').textContent.includes(words)", arg=said
        )
    page.fill(".ms-strength", "1")
    page.select_option(".ms-direction", "word")
    for word, said in [("Constantinople", "tokens of this model"), ("", "Type a word")]:
        page.fill(".ms-to", word)
        page.get_by_role("button", name="Add this direction").click()
        assert said in page.inner_text(".ms-steer-problem")
    logits_match(page, expected)


SWEEPS = {
    "residual": ms.patching.get_act_patch_resid_pre,
    "attention": ms.patching.get_act_patch_attn_out,
    "mlp": ms.patching.get_act_patch_mlp_out,
    "heads": ms.patching.get_act_patch_attn_head_out_all_pos,
}


def test_the_patching_maps_are_pythons(watched: WatchedPage) -> None:
    tokens, other, maps = watched.page.evaluate(
        """async (sites) => {
          const scope = window.microscope;
          scope.find("prompt").value = "The fox saw the hen";
          await scope.read();
          const source = await scope.encode("The fox saw the dog");
          const question = { tokens: scope.tokens, source, position: scope.tokens.length - 1, plus: 40, minus: 41 };
          const maps = {};
          for (const site of sites) maps[site] = Array.from(await scope.subject.patchingMap({ ...question, site }));
          return [scope.tokens, source, maps];
        }""",
        list(SWEEPS),
    )
    model = ms.load_model("mini-gelu-2l")

    with torch.no_grad():
        _, cache = model.run_with_cache(torch.tensor([other]))
        for site, sweep in SWEEPS.items():
            expected = sweep(
                model,
                torch.tensor([tokens]),
                cache,
                lambda logits: logits[0, -1, 40] - logits[0, -1, 41],
                progress=False,
            )
            torch.testing.assert_close(torch.tensor(maps[site]), expected.flatten(), atol=1e-4, rtol=1e-4)


def test_a_patch_is_explained_and_kept(browser: Any, address: str) -> None:
    watched = WatchedPage(browser)
    page = watched.page
    page.goto(f"{address}models/ioi-twin/")
    page.wait_for_selector(".ms-patching canvas")
    clean = page.evaluate(LOGITS)
    page.select_option(".ms-site", "heads")
    page.wait_for_function("() => /second's\\.$/.test(document.querySelector('.ms-question').textContent)")
    page.locator(".ms-patching canvas").focus()
    for key in ("ArrowRight", "Enter"):  # it begins at the top, with the last layer
        page.keyboard.press(key)
    page.get_by_role("button", name="Keep this patch").wait_for()
    assert page.inner_text(".ms-patched").startswith(
        "With the output of head L2H1 taken from the second text: logit of"
    )
    page.get_by_role("button", name="Keep this patch").click()
    assert page.locator(".ms-edits li").count() == 1
    expected = run_the_code(page)
    logits_match(page, expected)
    assert float((torch.tensor(clean) - expected).abs().max()) > 0.1
    # The probabilities that the cell promised.
    assert shown(page, "next")[0][2] == shown(page, "patched")[0][2]
    # The patch was made for a text of this length.
    type_prompt(page, "At the stadium, Molly and Lewis")
    assert "left out" in page.inner_text(".ms-edits")
    assert "hooks.append" not in page.locator(".ms-python").text_content()
    assert watched.problems == []
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


def test_difficult_texts(watched: WatchedPage) -> None:
    page = watched.page
    problem = page.locator(".ms-problem")
    for text, said in (
        ("word " * 100, "it reads at most 64: shorten the text by"),
        ("x" * 100_000, "100,000 characters, which is certainly more than"),
    ):
        type_prompt(page, text)
        assert said in problem.inner_text()
        assert "the page shows the last text that it could read" in problem.inner_text()
        assert page.input_value(".ms-prompt") == text
    for text in ("", "👩‍👩‍👧 שלום \u202e ½ <b>", " ", "\n\n"):
        type_prompt(page, text)
        assert problem.is_hidden()
    type_prompt(page, "é 👩 שלום")
    assert "Some characters are spread over several tokens" in page.inner_text(".ms-bytes")
    tokens = page.evaluate("() => window.microscope.tokens")
    model = ms.load_model("mini-gelu-2l")
    labels = page.evaluate("() => window.microscope.strings")
    for token, label in zip(tokens, labels, strict=True):
        text = model.to_single_str_token(token)
        assert label == text or (text == "\ufffd" and label.startswith("<0x"))
    joined = b"".join(
        bytes([int(label[3:5], 16)]) if label.startswith("<0x") else label.encode() for label in labels[1:]
    )
    assert joined.decode() == "é 👩 שלום"
    type_prompt(page, "all is well again")
    assert page.locator(".ms-bytes").is_hidden()


def test_a_reload_loses_nothing_and_a_link_shows_the_same(watched: WatchedPage, browser: Any) -> None:
    page = watched.page
    type_prompt(page, "The hen & the “fox” #1")
    page.get_by_role("button", name="Set it to zero").click()
    page.wait_for_function("() => location.hash.includes('ablate_head')")
    before = page.evaluate(LOGITS)
    page.reload()
    page.wait_for_selector(".ms-next table")
    assert page.input_value(".ms-prompt") == "The hen & the “fox” #1"
    assert page.evaluate(LOGITS) == before
    assert page.locator(".ms-edits li").count() == 1
    # What a link must not bring along: code, and numbers that this model does not have.
    for edit in (
        {"kind": "ablate_head", "layer": 0, "head": "0] = 1; import os #"},
        {"kind": "ablate_head", "layer": 0, "head": 4},
        {"kind": "scale_mlp", "layer": 0, "factor": "2"},
        {"kind": "ablate_mlp", "layer": 0, "more": 1},
        {"kind": "constructor"},
        {"kind": "patch", "site": "heads", "layer": 0, "index": 0, "source": [1, "2"]},
    ):
        sound = page.evaluate(
            "async (edit) => (await import('/static/edits.js')).checkEdit(edit, window.microscope.model.cfg)",
            edit,
        )
        assert not sound, edit


@pytest.mark.parametrize(
    ("name", "text", "answer"),
    [("grokking-p113", "100 50 113", "37"), ("induction-2l", "128 5 9 77 5 9", "77")],
)
def test_models_whose_tokens_are_numbers(
    browser: Any, address: str, name: str, text: str, answer: str
) -> None:
    watched = WatchedPage(browser)
    page = watched.page
    page.goto(f"{address}models/{name}/")
    page.wait_for_selector(".ms-next table")
    type_prompt(page, text)
    assert shown(page, "next")[0][0] == answer
    logits_match(page, run_the_code(page))
    type_prompt(page, "5 nine")
    assert "“nine” is not one of them" in page.inner_text(".ms-problem")
    assert watched.problems == []
    page.close()


def test_a_grid_of_all_heads(watched: WatchedPage) -> None:
    page = watched.page
    type_prompt(page, "The fox saw the hen")
    page.get_by_role("button", name="All layers").click()
    assert page.locator(".ms-head").count() == 8
    page.get_by_role("button", name="L1H2").click()
    page.locator(".ms-attention canvas[role=img]").hover(position={"x": 3, "y": 3})
    words = page.locator(".ms-attention p[aria-live]").first
    assert words.inner_text().startswith("L1H2: “<|bos|>” (0) attends to “<|bos|>” (0): 1")
    # The chosen head is the one that the buttons change, and what writes the token leads back to it.
    page.get_by_role("button", name="Set it to zero").click()
    assert "head L1H2 set to zero" in page.inner_text(".ms-edits")
    assert page.locator(".ms-crossed").count() == 1
    page.locator(".ms-parts-heatmap canvas").focus()
    for key in ("ArrowRight", "Enter"):  # it begins at the top, with the last layer
        page.keyboard.press(key)
    assert page.get_by_role("button", name="L1H1").get_attribute("aria-pressed") == "true"
    # As many heads and tokens as GPT-2 small has on a page of text.
    heads = page.evaluate(
        """async () => {
          const { renderAttention } = await import("/static/attention.js");
          const [length, heads] = [100, 144];
          const patterns = new Float32Array(heads * length * length);
          for (let row = 0; row < heads * length; row++) {
            const reach = (row % length) + 1;
            for (let key = 0; key < reach; key++) patterns[row * length + key] = 1 / reach;
          }
          const tokens = Array.from({ length }, (_, i) => ` word${i}`);
          const names = Array.from({ length: heads }, (_, i) => `L${Math.floor(i / 12)}H${i % 12}`);
          const box = document.querySelector(".ms-attention");
          renderAttention(box, { patterns, tokens, names, columns: 12 });
          return box.querySelectorAll(".ms-head").length;
        }"""
    )
    assert heads == 144
    page.get_by_role("button", name="L11H11").click()
    page.locator(".ms-attention canvas[role=img]").focus()
    page.keyboard.press("ArrowDown")
    assert "L11H11: “␣word1” (1) attends to “␣word0” (0): 0.5" in page.inner_text(".ms-attention")


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
