"""What the views accept and refuse, and what they are without a browser."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

import mechscope as ms
from mechscope import viz
from mechscope.results import Provenance, make_result
from mechscope.viz.views.view import COMPONENT_TABLE

TOKENS = ["a", "b", "c"]
EYE = np.eye(3)
PROVENANCE = Provenance("toy", "text")


@pytest.fixture(scope="module")
def model() -> Any:
    return ms.load_model("mini-gelu-1l")


def test_every_view_is_a_public_function() -> None:
    assert {name for name in COMPONENT_TABLE if name != "heatmap"} < set(viz.__all__)
    assert callable(viz.heatmap_view)
    assert callable(viz.attention_pattern)  # the Plotly figure of one head


@pytest.mark.parametrize(
    ("pattern", "heads"),
    [
        (EYE, (0,)),
        (EYE.tolist(), (0,)),
        (torch.eye(3, dtype=torch.bfloat16).expand(2, 3, 3), (0, 1)),
        (torch.eye(3, requires_grad=True)[None, None], (0,)),
        (np.broadcast_to(EYE, (2, 2, 3, 3)), ((0, 0), (0, 1), (1, 0), (1, 1))),
        ({"mover": EYE, "copier": EYE}, ("mover", "copier")),
    ],
)
def test_patterns_of_every_source(pattern: Any, heads: tuple[Any, ...]) -> None:
    view = viz.attention(pattern, TOKENS)
    assert view.heads == heads
    assert view.arrays["patterns"].shape == (len(heads), 3, 3)
    assert view.arrays["patterns"].dtype == np.float32
    view.selected_head = heads[-1]
    assert view.selected_head == heads[-1]


def test_a_cache_gives_its_layers_and_tokens() -> None:
    model = ms.load_model("mini-gelu-2l")
    _, cache = model.run_with_cache("Once upon a time")
    view = viz.attention(cache, "Once upon a time")
    assert view.props["tokens"] == model.to_str_tokens("Once upon a time")
    assert view.heads[:2] == ((0, 0), (0, 1))
    assert view.heads[-1] == (1, model.cfg.n_heads - 1)
    np.testing.assert_array_equal(view.arrays["patterns"][-1], cache["pattern", 1][0, -1].detach())
    last = viz.attention(cache, "Once upon a time", layers=[-1])
    assert last.heads[0] == (1, 0)
    assert last.props["names"][0] == "L1H0"


def test_a_result_gives_its_names() -> None:
    result = make_result(
        np.stack([EYE, EYE]), ("head", "query", "key"), "patterns", "1", PROVENANCE,
        {"head": [4, 7], "query": TOKENS, "key": TOKENS},
    )  # fmt: skip
    view = viz.attention(result)
    assert view.props["tokens"] == TOKENS
    assert view.heads == (4, 7)
    assert view.props["names"] == ["H4", "H7"]


def a_batch() -> Any:
    model = ms.load_model("mini-gelu-1l")
    return model.run_with_cache(["Once upon", "Twice upon"])[1]


@pytest.mark.parametrize(
    ("pattern", "tokens", "options", "error", "said"),
    [
        (EYE[0], TOKENS, {}, ValueError, r"\[head query key\].*has shape \(3,\)"),
        (np.zeros((0, 3, 3)), TOKENS, {}, ValueError, "has no numbers"),
        (EYE, [], {}, ValueError, "there are no tokens"),
        (EYE, [*TOKENS, "d"], {}, ValueError, "4 tokens, and the pattern has 3 positions.*with BOS"),
        (EYE[:2], TOKENS, {}, ValueError, "2 queries and 3 keys"),
        (EYE, "abc", {}, TypeError, "not the text 'abc'; model.to_str_tokens"),
        (EYE, torch.tensor([1, 2, 3]), {}, TypeError, "must be texts, not a Tensor"),
        (EYE, ["a", "b", 3], {}, TypeError, "must be texts, not 3"),
        (np.where(EYE, np.nan, 0), TOKENS, {}, ValueError, "NaN or infinity in head 0 at query 0, key 0"),
        ([[1, 0], [1]], ["a", "b"], {}, ValueError, "rows of equal length"),
        ({}, TOKENS, {}, ValueError, "no heads in an empty dictionary"),
        ({"a": EYE, "b": EYE[:2]}, TOKENS, {}, ValueError, "different shapes"),
        (EYE, TOKENS, {"names": ["x", "y"]}, ValueError, "2 names for 1 heads"),
        (EYE, TOKENS, {"layers": [0]}, ValueError, "selects layers of a cache"),
        (np.ones((3, 3)), TOKENS, {"causal": True}, ValueError, "in H0 position 0 attends to position 1"),
        (EYE, TOKENS, {"positive_colour": "red"}, ValueError, "written as '#rrggbb'.*not 'red'"),
        (EYE, TOKENS, {"minimum": 1, "maximum": 0}, ValueError, "minimum=1 must be less than maximum=0"),
        (EYE, TOKENS, {"selected_token": 3}, ValueError, "from 0 to 2, not 3"),
        (a_batch, TOKENS, {}, ValueError, "this cache holds 2 examples"),
    ],
)  # fmt: skip
def test_patterns_that_do_not_fit(pattern: Any, tokens: Any, options: Any, error: Any, said: str) -> None:
    with pytest.raises(error, match=said):
        viz.attention(pattern() if callable(pattern) else pattern, tokens, **options)


def test_a_cache_without_patterns_says_so() -> None:
    model = ms.load_model("mini-gelu-1l")
    _, cache = model.run_with_cache("Once upon", names_filter="hook_embed")
    with pytest.raises(KeyError, match="holds no attention patterns.*names_filter"):
        viz.attention(cache, "Once upon")


def test_masked_scores_are_blank_not_wrong() -> None:
    scores = torch.full((3, 3), -torch.inf).triu(1) + torch.ones(3, 3)
    assert np.isneginf(viz.attention(scores, TOKENS).arrays["patterns"][0, 0, 1])


@pytest.mark.parametrize(
    ("values", "options", "said"),
    [
        ([1.0, 2.0], {}, r"one number for each of 3 tokens, and has shape \(2,\).*put NaN in front"),
        ({"loss": [1.0, 2.0]}, {}, "'loss' must have one number"),
        ({}, {}, "empty dictionary"),
        (np.zeros((2, 3)), {}, r"\[pos value\] with several"),
        (np.zeros((3, 2)), {"names": ["one"]}, "1 names for 2 values per token"),
        ([1, 2, 3], {"tooltips": ["one"]}, "1 tooltips for 3 tokens"),
        ({"a": [1, 2, 3]}, {"names": ["b"]}, "has its own names"),
    ],
)
def test_values_that_do_not_fit_tokens(values: Any, options: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        viz.tokens(TOKENS, values, **options)


def test_values_of_tokens() -> None:
    view = viz.tokens(TOKENS, torch.arange(6.0).reshape(3, 2), names=["even", "odd"])
    np.testing.assert_array_equal(view.arrays["values"], [[0, 2, 4], [1, 3, 5]])
    assert view.shown_value == "even"
    view.shown_value = "odd"
    assert view.selected("shown_value") == 1
    with pytest.raises(ValueError, match="there is no value 'none'"):
        view.shown_value = "none"
    assert np.isnan(viz.tokens(TOKENS, [None, 1.0, 2.0]).arrays["values"][0, 0])
    by_pos = make_result([1.0, 2.0, 3.0], ("pos",), "loss", "nats", PROVENANCE)
    np.testing.assert_array_equal(viz.tokens(TOKENS, by_pos).arrays["values"], [[1, 2, 3]])


def test_a_heat_map_of_a_result() -> None:
    result = make_result(EYE[:2], ("layer", "pos"), "effect", "nats", PROVENANCE, {"pos": TOKENS})
    view = viz.heatmap_view(result)
    assert view.props["rows"] == ["layer 0", "layer 1"]
    assert view.props["columns"] == TOKENS
    assert (view.props["label"], view.props["unit"], view.props["upwards"]) == ("effect", "nats", True)
    view.selected_cell = (1, 2)
    assert view.selected_cell == (1, 2)
    with pytest.raises(ValueError, match=r"no cell \(2, 0\) in a map with 2 rows and 3 columns"):
        view.selected_cell = (2, 0)
    with pytest.raises(ValueError, match="needs two dims"):
        viz.heatmap_view(make_result([1.0], ("layer",), "effect", "nats", PROVENANCE))
    with pytest.raises(ValueError, match=r"needs a matrix \[row column\], not shape \(3,\)"):
        viz.heatmap_view(EYE[0])


def test_top_tokens_are_the_largest(model: Any) -> None:
    logits = model("Once upon a time")[0]
    view = viz.top_tokens(logits, model, model.to_str_tokens("Once upon a time"), k=3)
    best = logits[-1].topk(3)
    found = view.props["groups"][0]["columns"][-1]["top"]
    assert [one["token"] for one in found] == model.to_str_tokens(best.indices)
    assert [one["value"] for one in found] == pytest.approx(best.values.tolist())
    lowest = viz.top_tokens(logits, model, k=1, smallest=True).props["groups"][0]["columns"][0]["top"]
    assert lowest[0]["value"] == pytest.approx(float(logits[0].min().detach()))
    several = viz.top_tokens(logits[None].expand(2, -1, -1), model, k=2)
    assert len(several.props["groups"]) == 2
    several.selected_group = "1"
    several.select("selected_cell", [3, 0])
    assert several.selected_text == model.to_single_str_token(int(logits[3].argmax()))
    with pytest.raises(ValueError, match="2 texts for 3 values per column"):
        viz.top_tokens(EYE, ["a", "b"])
    with pytest.raises(ValueError, match="has NaN at"):
        viz.top_tokens(np.full((1, 3), np.nan), TOKENS)
    with pytest.raises(ValueError, match="k must be at least 1"):
        viz.top_tokens(EYE, TOKENS, k=0)
    with pytest.raises(TypeError, match="vocabulary must be a list"):
        viz.top_tokens(EYE, 3)


def test_log_probabilities(model: Any) -> None:
    text = "Once upon a time"
    ids = model.to_tokens(text)[0]
    expected = model(ids[None])[0].log_softmax(-1)[:-1]
    (sample,) = viz.logprobs(model, text).props["samples"]
    own = expected.gather(-1, ids[1:, None])[:, 0]
    assert sample["logprobs"][0] is None
    assert sample["logprobs"][1:] == pytest.approx(own.tolist(), abs=1e-5)
    ranks = [int((row > row[index]).sum()) for row, index in zip(expected, ids[1:], strict=True)]
    assert sample["ranks"][1:] == ranks
    # Logits or log-probabilities, given instead of computed; a batch of one; token ids.
    for logits in (model(ids[None])[0] + 3, expected.new_zeros(len(ids), expected.shape[1])):
        (given,) = viz.logprobs(model, ids, logits=logits).props["samples"]
        want = logits.log_softmax(-1)[:-1].gather(-1, ids[1:, None])[:, 0]
        assert given["logprobs"][1:] == pytest.approx(want.tolist(), abs=1e-5)
    assert len(viz.logprobs(model, [text, ids.tolist()], names=["a", "b"]).props["samples"]) == 2
    with pytest.raises(ValueError, match="there are no texts"):
        viz.logprobs(model, [])
    with pytest.raises(ValueError, match="5 positions|positions, one per token"):
        viz.logprobs(model, ids, logits=expected[:2])
    with pytest.raises(ValueError, match="at least two tokens"):
        viz.logprobs(model, ids[:1])
    with pytest.raises(ValueError, match="logits have NaN"):
        viz.logprobs(model, ids, logits=torch.full((len(ids), 4), torch.nan))
    with pytest.raises(ValueError, match="1 names for 2 texts"):
        viz.logprobs(model, [text, text], names=["a"])


def test_models_that_the_browser_cannot_run(monkeypatch: pytest.MonkeyPatch) -> None:
    model = ms.load_model("mini-gelu-1l")
    with pytest.raises(ValueError, match="n_ctx|context"):
        viz.microscope(model, "word " * 100)
    monkeypatch.setattr("mechscope.viz.views.microscope.LARGEST_BYTES", 1000)
    with pytest.raises(ValueError, match="browser runs up to 0 MB; run `mechscope serve`"):
        viz.microscope(model, "Once")
    model.tokenizer = None
    with pytest.raises(ValueError, match=r"this model has none; model\.set_tokenizer"):
        viz.microscope(model, "Once")


# As a widget ----------------------------------------------------------------------------------------


def test_selections_come_back_to_python() -> None:
    pytest.importorskip("anywidget")
    view = viz.attention(np.stack([EYE, EYE]), TOKENS)
    view.selected_head = 1
    seen: list[tuple[Any, Any]] = []
    stop = view.on_change(lambda changed: seen.append((changed.selected_head, changed.selected_token)))
    view.widget.set_state({"selected_head": 0})  # what a message from the page does
    view.widget.set_state({"selected_token": 2, "selected_cell": [2, 1]})
    assert seen == [(0, None), (0, 2), (0, 2)]
    assert view.selected_cell == (2, 1)
    view.selected_token = 1
    assert view.widget.selected_token == 1
    stop()
    view.widget.set_state({"selected_head": 1})
    assert len(seen) == 4
    assert view.selected_head == 1


def test_arrays_travel_as_bytes() -> None:
    pytest.importorskip("anywidget")
    view = viz.heatmap_view(EYE)
    sent = view.widget.get_state()["arrays"]["values"]
    assert sent["dtype"] == "float32"
    np.testing.assert_array_equal(np.frombuffer(sent["bytes"], np.float32).reshape(3, 3), EYE)


def test_without_anywidget_a_view_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "anywidget", None)
    view = viz.tokens(TOKENS, [1, 2, 3])
    view.selected_token = 2
    assert view.selected_token == 2
    with pytest.raises(ImportError, match=r"pip install 'mechscope\[widgets\]'"):
        view.on_change(print)
    assert set(view._repr_mimebundle_()) == {"text/plain", "text/html"}


@pytest.mark.parametrize("has_kernel", [True, False])
def test_a_notebook_gets_a_picture_and_a_widget(monkeypatch: pytest.MonkeyPatch, has_kernel: bool) -> None:
    pytest.importorskip("anywidget")
    shown: list[Any] = []
    shell = SimpleNamespace(kernel=object()) if has_kernel else None
    monkeypatch.setattr("IPython.core.getipython.get_ipython", lambda: shell)
    monkeypatch.setattr("IPython.display.display", lambda what, **options: shown.append(what))
    view = viz.tokens(TOKENS, [1, 2, 3])
    view._ipython_display_()
    assert set(shown[0]) == {"text/plain", "text/html"}
    assert shown[1:] == ([view.widget] if has_kernel else [])


def test_a_notebook_keeps_a_picture_of_what_is_large(monkeypatch: pytest.MonkeyPatch) -> None:
    view = viz.heatmap_view(EYE)
    assert "<script" in view.notebook_html()
    monkeypatch.setattr("mechscope.viz.views.view.LARGEST_STORED", 1000)
    assert "<script" not in view.notebook_html()
    assert "This is a picture only" in view.notebook_html()
    assert "<script" in view.to_html()


def test_equal_views_have_equal_pages() -> None:
    first, second, other = (viz.tokens(TOKENS, values) for values in ([1, 2, 3], [1, 2, 3], [1, 2, 4]))
    assert first.to_html() == second.to_html()
    assert first.id != other.id
