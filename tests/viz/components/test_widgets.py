"""The components in a browser, as anywidget would show them: their numbers are Python's, and selections come back."""

from __future__ import annotations

import base64
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import mechscope as ms
from mechscope import viz
from mechscope.arguments import visible_token
from mechscope.results import Provenance, make_result
from mechscope.techniques.circuits import Circuit, EdgeGraph
from mechscope.viz.colour_scale import scale_for, text_on
from mechscope.viz.module_bundle import bundle_modules, with_imports
from tests.browser import WatchedPage
from tests.viz.components.notebook import open_widget, tell, told

pytest.importorskip("anywidget", reason="needs pip install 'mechscope[widgets]'")

HOSTILE = [
    "</script>",
    "<img onerror='alert(1)' src=x>",
    "שלום",
    "👩‍👩‍👧",
    "\ufffd",
    "\n",
    '"&<',
    "<0xE2>",
    "$x$",
    "\ud83d",
]


@pytest.fixture
def watched(browser: Any) -> Iterator[WatchedPage]:
    found = WatchedPage(browser)
    found.page.set_content("<!doctype html><title>notebook</title><body></body>")
    yield found
    assert found.problems == []
    assert [url for url in found.requests if not url.startswith(("blob:", "data:", "about:"))] == []
    found.page.close()


def pattern(*shape: int, seed: int = 0) -> torch.Tensor:
    """A causal pattern [… query key]."""
    scores = torch.randn(*shape, shape[-1], generator=torch.Generator().manual_seed(seed))
    return scores.masked_fill(torch.ones(shape[-1], shape[-1]).triu(1).bool(), -torch.inf).softmax(-1)


def test_attention_reads_and_tells(watched: WatchedPage) -> None:
    page, weights = watched.page, pattern(2, 3, 4)
    view = viz.attention(weights.to(torch.bfloat16), ["<bos>", "The", " cat", " sat"])
    open_widget(page, view)
    assert page.locator(".ms-head").count() == 6
    page.get_by_role("button", name="L1H2").click()
    assert told(page) == {"selected_head": 5}
    rounded = weights.to(torch.bfloat16).float()
    # The keyboard reads a cell; its number is Python's.
    page.locator(".ms-large canvas").focus()
    for key in ("ArrowDown", "ArrowDown", "ArrowRight", "Enter"):
        page.keyboard.press(key)
    words = page.locator(".ms-large .ms-words").inner_text()
    assert words == f"L1H2: “␣cat” (2) attends to “The” (1): {float(f'{rounded[1, 2, 2, 1]:.3g}')}"
    assert told(page)["selected_cell"] == [2, 1]
    # A token of the text: hover colours the others, a click holds them.
    text = page.locator(".ms-attended .ms-token")
    text.nth(3).hover()
    best = int(rounded[1, 2, 3].argmax())
    assert (
        f"“␣sat” (3) attends most to “{['<bos>', 'The', '␣cat', '␣sat'][best]}” ({best})"
        in page.locator(".ms-read").inner_text()
    )
    text.nth(2).click()
    assert told(page)["selected_token"] == 2
    text.nth(0).hover()
    assert (
        f"“␣cat” (2) attends to “<bos>” (0): {float(f'{rounded[1, 2, 2, 0]:.3g}')}"
        in page.locator(".ms-read").inner_text()
    )
    held = scale_for([0, 1])
    colour = page.evaluate(
        "() => getComputedStyle(document.querySelectorAll('.ms-attended .ms-token')[1]).backgroundColor"
    )
    assert colour == "rgb({}, {}, {})".format(*held.colours(float(rounded[1, 2, 2, 1])))
    # Python selects, and the page follows without telling it back.
    before = page.evaluate("() => window.model.saved.length")
    tell(page, "selected_head", 1)
    tell(page, "selected_token", None)
    assert page.get_by_role("button", name="L0H1").get_attribute("aria-pressed") == "true"
    assert page.evaluate("() => window.model.saved.length") == before
    page.evaluate("() => window.cleanup()")
    assert page.evaluate("() => window.model.listeners()") == 0


def test_a_circuit_is_pruned_read_and_selected(watched: WatchedPage) -> None:
    page = watched.page
    scores = {"input->a0.h1<v>": 0.5, "a0.h1->a1.h0<k>": -2.0, "input->logits": 0.25, "a1.h0->logits": 1.0}
    view = viz.circuit(scores, n_edges=2, title="</script><b>mine</b>", unit="nats")
    open_widget(page, view)
    assert page.locator(".ms-title").inner_text() == "</script><b>mine</b>"
    shown = page.locator(".ms-edge[data-shown=true]")
    assert shown.count() == len(view.kept_edges) == 2
    assert told(page) == {}  # nothing but what the reader does comes back
    # The slider keeps one more; Python, which is told the threshold, keeps the same.
    page.locator("input[type=range]").focus()
    page.keyboard.press("ArrowRight")
    assert shown.count() == 3
    view.threshold = told(page)["threshold"]
    assert view.kept_edges == ["input->a0.h1<v>", "a0.h1->a1.h0<k>", "a1.h0->logits"]
    # The keyboard reads and selects a node.
    page.locator("svg.ms-circuit").focus()
    for key in ("Home", "ArrowUp", "Enter"):
        page.keyboard.press(key)
    assert told(page)["selected_node"] == "a0.h1"
    words = page.locator(".ms-words").inner_text()
    assert words == "a0.h1. Reads input (values). Feeds a1.h0 (keys)."
    # Python prunes and selects, and the page follows without telling it back.
    before = page.evaluate("() => window.model.saved.length")
    tell(page, "threshold", None)
    assert shown.count() == 0
    tell(page, "threshold", 2.0)
    assert shown.count() == 1
    tell(page, "selected_node", "a1.h0")
    assert page.locator(".ms-words").inner_text() == "a1.h0. Reads a0.h1 (keys)."
    assert page.evaluate("() => window.model.saved.length") == before


def test_a_chosen_circuit_is_compared_by_its_members(watched: WatchedPage) -> None:
    graph = EdgeGraph(n_layers=1, n_heads=2, n_kv_heads=2, attn_only=True)
    chosen = Circuit.from_edges(graph, ["input->a0.h1<v>", "a0.h1->logits", "input->logits"])
    open_widget(watched.page, viz.circuit(chosen, truth=["a0.h1->logits", "input->a0.h0<q>"]))
    assert watched.page.locator("input[type=range]").count() == 0
    assert watched.page.locator(".ms-words").inner_text() == (
        "1 of 2 true edges found, 1 missed, 2 extra: precision 33 %, recall 50 %."
    )
    for verdict, count in (("found", 1), ("missed", 1), ("extra", 2)):
        assert watched.page.locator(f"svg.ms-circuit .ms-{verdict}").count() == count
    watched.page.get_by_text("All edges as a table").click()
    rows = watched.page.locator("table.ms-table tbody tr")
    assert rows.nth(0).locator("td").all_inner_texts()[-3:] == ["yes", "no", "extra"]
    assert rows.count() == 4


def test_the_grid_is_one_stop_for_the_tab_key(watched: WatchedPage) -> None:
    page = watched.page
    open_widget(page, viz.attention(pattern(2, 3, 4), list("abcd")))
    page.get_by_role("button", name="L0H0").focus()
    for key, head in (("ArrowUp", "L1H0"), ("ArrowRight", "L1H1"), ("Home", "L0H0"), ("End", "L1H2")):
        page.keyboard.press(key)
        assert page.evaluate("() => document.activeElement.innerText").strip() == head
    tops = [page.get_by_role("button", name=name).bounding_box()["y"] for name in ("L0H0", "L1H0")]
    assert tops[0] > tops[1]  # layers run upwards
    page.keyboard.press("Tab")
    assert page.evaluate("() => document.activeElement.tagName") == "CANVAS"


PIXELS = """(place) => {
  const canvas = document.querySelectorAll("canvas.ms-map")[place];
  const copy = new OffscreenCanvas(canvas.width, canvas.height).getContext("2d", { willReadFrequently: true });
  copy.drawImage(canvas, 0, 0);
  const { data } = copy.getImageData(0, 0, canvas.width, canvas.height);
  let text = "";
  for (let i = 0; i < data.length; i += 8192) text += String.fromCharCode(...data.subarray(i, i + 8192));
  return [canvas.height, canvas.width, btoa(text)];
}"""


def pixels(page: Any, place: int) -> np.ndarray:
    """Red, green, blue and opacity [row column 4] of a map."""
    height, width, text = page.evaluate(PIXELS, place)
    return np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(height, width, 4)


def test_300_tokens_negative_values_and_scales(watched: WatchedPage) -> None:
    generator = torch.Generator().manual_seed(1)
    scores = torch.randn(2, 300, 300, generator=generator) * torch.tensor([1.0, 3.0])[:, None, None]
    view = viz.attention(scores, [f" t{i}" for i in range(300)], names=["one", "two"])
    open_widget(watched.page, view)
    assert watched.page.locator(".ms-attended .ms-token").count() == 300
    for shared in (True, False):
        for head in (0, 1):
            found = pixels(watched.page, head)
            expected = scale_for(scores if shared else scores[head]).colours(scores[head])
            assert (found[..., 3] == 255).all()  # not causal: nothing is blank
            # A table of 257 colours on the page, exact ones here.
            assert np.abs(found[..., :3].astype(int) - expected.astype(int)).max() <= 3
        watched.page.get_by_role("combobox", name="Colour scale").select_option(label="each head its own")


def test_later_keys_are_blank_if_nothing_attends_to_them(watched: WatchedPage) -> None:
    open_widget(watched.page, viz.attention(pattern(5), list("abcde")))
    alpha = pixels(watched.page, 0)[..., 3]
    assert (alpha == 255 * np.tril(np.ones((5, 5)))).all()
    assert watched.page.locator(".ms-heads").is_hidden()  # one head: nothing to choose


def test_the_values_as_a_table(watched: WatchedPage) -> None:
    values = np.array([[0.123456, -2.5], [np.nan, 1e-9]])
    open_widget(watched.page, viz.heatmap_view(values, ["a", "b"], ["<x>", "y"], title="effect", unit="nats"))
    watched.page.get_by_text("Values as a table").click()
    rows = watched.page.locator(".ms-values tr").all()
    found = [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]
    assert found == [["nats", "<x>", "y"], ["a", "0.123", "−2.5"], ["b", "NaN", "1.00e−9"]]
    watched.page.locator("canvas").click(position={"x": 35, "y": 5})
    assert told(watched.page) == {"selected_cell": [0, 1]}
    tell(watched.page, "selected_cell", [1, 0])
    assert watched.page.locator(".ms-mark").is_visible()


def test_layers_run_upwards(watched: WatchedPage) -> None:
    page = watched.page
    result = make_result([[0.0, 1.0], [2.0, 3.0]], ("layer", "head"), "effect", "nats", Provenance("m", "t"))
    open_widget(page, viz.heatmap_view(result))
    found = pixels(page, 0)
    assert (found[0, 1, :3] == scale_for([0, 3]).colours(3.0)).all()
    page.locator("canvas").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowRight")
    assert page.locator(".ms-words").inner_text() == "layer 1, head 1: 3 nats"
    page.locator("canvas").click(position={"x": 5, "y": 5})
    assert told(page) == {"selected_cell": [1, 0]}


def test_colours_are_the_same_in_python(watched: WatchedPage) -> None:
    page = watched.page
    cases: list[tuple[list[float], dict[str, Any]]] = [
        ([0, 0.3, 2], {}), ([-1, 0.2, 0.5], {}), ([3, 4, 5], {"minimum": 3}), ([1, 2], {"maximum": 4}),
        ([-2, 1], {"positive": "#00ff00"}), ([-2, 1], {"negative": "#ff0000", "positive": "#00ff00"}),
        ([0, 1], {"positive": "#123456"}), ([0, 0], {}), ([-3, -1], {}),
    ]  # fmt: skip
    for values, options in cases:
        found = page.evaluate(
            """async ([script, values, options]) => {
              const blob = new Blob([`${script}\\nexport default mechscopeUse;`], { type: "text/javascript" });
              const url = URL.createObjectURL(blob);
              const { scaleFor, textOn } = await (await import(url)).default("colours.js");
              const scale = scaleFor(values, false, options);
              const colours = values.map(scale.colour);
              return [scale.low, scale.high, colours, colours.map(textOn)];
            }""",
            [bundle_modules(with_imports(["colours.js"])), values, options],
        )
        scale = scale_for(values, **options)
        colours = scale.colours(values)
        assert found[:2] == [scale.low, scale.high]
        assert np.abs(np.array(found[2]) - colours.astype(int)).max() <= 1, (values, options)
        assert found[3] == [text_on(colour) for colour in colours]


def test_tokens_with_several_values(watched: WatchedPage) -> None:
    page = watched.page
    view = viz.tokens(
        ["one\n", " two", "\ufffd"], {"loss": [np.nan, 1.5, 0.25], "L1H3": [-1.0, 0.0, 2.0]}, unit="nats"
    )
    open_widget(page, view)
    boxes = page.locator(".ms-token")
    assert boxes.all_inner_texts() == ["one\\n", "␣two", "�"]
    assert page.locator(".ms-line-break").count() == 1
    assert boxes.nth(0).evaluate("(box) => box.style.background") == ""
    boxes.nth(2).hover()
    assert page.locator(".ms-words").inner_text() == '2: "�", 0.25 nats, bytes that are not a whole character'
    page.get_by_role("combobox").select_option(label="L1H3")
    assert told(page) == {"shown_value": 1}
    boxes.nth(0).focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Enter")
    assert page.locator(".ms-words").inner_text() == '1: " two", 0 nats'
    assert told(page)["selected_token"] == 1
    scale = scale_for([-1.0, 0.0, 2.0])
    colours = boxes.evaluate_all("(all) => all.map((box) => getComputedStyle(box).backgroundColor)")
    assert colours == ["rgb({}, {}, {})".format(*colour) for colour in scale.colours([-1.0, 0.0, 2.0])]
    tell(page, "shown_value", 0)
    assert boxes.nth(0).evaluate("(box) => box.style.background") == ""


def test_custom_tooltips(watched: WatchedPage) -> None:
    open_widget(watched.page, viz.tokens(["a", "b"], [1, 2], tooltips=["first <b>", "second"]))
    watched.page.locator(".ms-token").nth(0).hover()
    assert watched.page.locator(".ms-words").inner_text() == "first <b>"
    assert watched.page.locator(".ms-token").nth(1).get_attribute("title") == "second"


def test_log_probabilities_are_pythons(watched: WatchedPage) -> None:
    page, model = watched.page, ms.load_model("mini-gelu-1l")
    texts = ["The king and the queen", "Once upon a time"]
    open_widget(page, viz.logprobs(model, texts, names=["kings", "times"], k=3))
    assert page.locator(".ms-sample h4").all_inner_texts() == ["kings", "times"]
    ids = model.to_tokens(texts[1])[0]
    with torch.no_grad():
        expected = model(ids[None])[0].log_softmax(-1)
    place = 4
    second = page.locator(".ms-sample").nth(1)
    second.locator(".ms-token").nth(1).focus()
    for _ in range(place - 1):
        page.keyboard.press("ArrowRight")
    row = expected[place - 1]
    rank = int((row > row[ids[place]]).sum())
    words = second.locator(".ms-read").inner_text()
    probability = 100 * float(row[ids[place]].exp())
    shown = f"{probability:.1f} %" if probability >= 0.05 else "< 0.1 %"
    assert f"probability {shown}," in words
    assert f"rank {rank + 1}" in words
    best = row.topk(3)
    names = [visible_token(model.to_single_str_token(int(index))) for index in best.indices]
    assert second.locator("tr th").all_inner_texts() == names
    found = [float(text.split()[0]) for text in second.locator("tr td:nth-child(3)").all_inner_texts()]
    assert found == pytest.approx([100 * float(value.exp()) for value in best.values], abs=0.051)
    page.keyboard.press("Enter")
    assert told(page)["selected_token"] == [1, place]
    page.keyboard.press("Escape")
    assert second.get_by_role("tooltip").is_hidden()


def test_top_tokens(watched: WatchedPage) -> None:
    page = watched.page
    values = {"layer 0": [[0.1, 2.0, 0.3], [1.0, -1.0, 0.0]], "layer 1": [[5.0, 4.0, 3.0], [0.0, 1.0, 2.0]]}
    view = viz.top_tokens(values, [" a", "<b>", "c"], [" x", "y"], k=2, title="logits", unit="logit")
    open_widget(page, view)
    rows = page.locator(".ms-top tr").all()
    found = [[cell.inner_text() for cell in row.locator("th, td").all()] for row in rows]
    assert found == [["rank", "␣x", "y"], ["1", "<b>2", "␣a1"], ["2", "c0.3", "c0"]]
    page.get_by_role("combobox").select_option(label="layer 1")
    page.get_by_role("button", name="y, rank 2").click()
    assert told(page) == {"selected_group": 1, "selected_cell": [1, 1]}


def test_hostile_tokens_are_shown_letter_for_letter(watched: WatchedPage) -> None:
    page, count = watched.page, len(HOSTILE)
    expected = [visible_token(token) for token in HOSTILE[:-1]] + ["\\ud83d"]
    open_widget(page, viz.tokens(HOSTILE, list(range(count))))
    assert page.locator(".ms-token").evaluate_all("(all) => all.map((box) => box.textContent)") == expected
    open_widget(page, viz.attention(pattern(2, count), HOSTILE, names=HOSTILE[:2]))
    shown = page.locator(".ms-attended .ms-token").evaluate_all("(all) => all.map((box) => box.textContent)")
    assert shown == expected
    open_widget(page, viz.heatmap_view(np.eye(count), HOSTILE, HOSTILE, title=HOSTILE[1]))
    open_widget(page, viz.top_tokens(np.eye(count), HOSTILE, HOSTILE, title=HOSTILE[1], unit=HOSTILE[0]))
    assert page.locator("img").count() == 0


def test_the_picture_is_hidden_while_the_widget_lives(watched: WatchedPage) -> None:
    page, view = watched.page, viz.tokens(["a", "b"], [1, 2])
    page.set_content(f"<body>{view.notebook_html().split('<style')[0]}</body>")
    assert page.locator("[data-ms-picture]").is_visible()
    open_widget(page, view)
    assert page.locator("[data-ms-picture]").is_hidden()
    page.evaluate("() => document.body.lastElementChild.remove()")
    assert page.locator("[data-ms-picture]").is_visible()


def test_a_model_that_the_browser_cannot_run(watched: WatchedPage) -> None:
    view = viz.microscope(ms.load_model("mini-gelu-1l"), "Once")
    view.props["config"]["qk_norm"] = "rms"
    open_widget(watched.page, view)
    said = watched.page.get_by_role("alert").inner_text()
    assert (
        said
        == "This view could not be drawn: the browser cannot run mini-gelu-1l: it normalizes queries and keys."
    )


def test_the_microscope_runs_the_model_of_the_notebook(watched: WatchedPage) -> None:
    page, model = watched.page, ms.load_model("mini-gelu-2l")
    open_widget(page, viz.microscope(model, "The fox saw the hen and the fox saw the"))
    page.wait_for_selector(".ms-next table")
    with torch.no_grad():
        best = model("The fox saw the hen and the fox saw the")[0, -1].softmax(-1).topk(1)
    name = visible_token(model.to_single_str_token(int(best.indices)))
    first = page.locator(".ms-next tr").first.inner_text().split()
    assert first[0] == name
    assert float(first[1]) == pytest.approx(100 * float(best.values), abs=0.051)
    page.get_by_role("button", name="Set it to zero").click()
    assert told(page)["interventions"] == [{"kind": "ablate_head", "layer": 0, "head": 0}]
    assert "z[:, :, 0] = 0" in told(page)["python"]
