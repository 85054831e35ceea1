"""Pages of circuits: the graph draws the true edges, numbers are Python's, and everything works with the keyboard."""

from __future__ import annotations

import csv
import io
import json
import math
from collections.abc import Callable, Iterator
from typing import Any
from xml.etree import ElementTree

import pytest
import torch

from mechscope.planted import PROGRAMS
from mechscope.scoreboard.matches import CONDITIONS, disguised_model
from mechscope.scoreboard.planted_records import FOLDER
from mechscope.scoreboard.tables import read_tables
from mechscope.tasks.metrics import Answers, get_metric
from mechscope.tasks.task import Task
from mechscope.techniques.circuits import Circuit, EdgeGraph, MaskedRun, published_circuit
from mechscope.viz.circuit_layout import lay_out_circuit
from tests.browser import WatchedPage

READY = "main:not(:has([aria-busy]))"


@pytest.fixture
def open_page(browser: Any, address: str) -> Iterator[Callable[[str], Any]]:
    opened: list[WatchedPage] = []

    def open_route(route: str) -> Any:
        watched = WatchedPage(browser)
        opened.append(watched)
        watched.page.goto(address + route)
        watched.page.wait_for_selector(READY)
        return watched.page

    yield open_route
    for watched in opened:
        assert watched.problems == []
        watched.page.close()


def record_of(program: str) -> Any:
    return json.loads((FOLDER / f"{program}.json").read_text(encoding="utf-8"))


def drawn_edges(page: Any, names: list[str]) -> list[str]:
    """Names of the edges that the graph shows."""
    shown = page.eval_on_selector_all(
        ".ms-edge-hit:not([hidden])", "paths => paths.map((path) => Number(path.dataset.edge))"
    )
    return [names[index] for index in shown]


# The component -----------------------------------------------------------------------------------------------------

GROUPED = [
    "input->a0.h0<k>",
    "input->a0.h3<q>",
    "a0.h3->a1.h1<v>",
    "a1.h2->logits",
    "input->logits",
    "a0.h1->a1.h0<k>",
]


@pytest.mark.parametrize(
    ("edges", "heads", "kv_heads"),
    [(published_circuit("greater-than").edges, 12, 12), (GROUPED, 4, 2), (["input->m0", "m0->logits"], 1, 1)],
)
def test_the_layout_is_that_of_the_figure(
    browser: Any, address: str, edges: list[str], heads: int, kv_heads: int
) -> None:
    page = browser.new_page()
    page.goto(address)
    places, curves = page.evaluate(
        """async ([edges, nHeads, nKvHeads]) => {
          const { layOut, parseEdge, parseNode, pointsOn, routeEdge } = await import("/static/circuit_layout.js");
          const parsed = edges.map((edge) => parseEdge(edge, { nHeads, nKvHeads }));
          const ends = parsed.flatMap(({ source, destination }) => [source, destination]);
          const nodes = new Map(ends.map((one) => [one.name, one]));
          for (const name of ["input", "logits"]) nodes.set(name, parseNode(name));
          const { places, half } = layOut([...nodes.values()]);
          const boxes = [...places.values()];
          const curves = parsed.map(({ source, destination, input }) =>
            pointsOn(routeEdge(places.get(source.name), places.get(destination.name), input, boxes, half)));
          return [Object.fromEntries(places), curves];
        }""",
        [list(edges), heads, kv_heads],
    )
    page.close()
    expected = lay_out_circuit(edges, heads, kv_heads)
    assert places == {name: pytest.approx(place) for name, place in expected.places.items()}
    for curve, theirs in zip(curves, expected.curves(), strict=True):
        torch.testing.assert_close(
            torch.tensor(curve), torch.tensor(theirs), atol=1e-5, rtol=1e-5, check_dtype=False
        )


def test_comparisons_are_those_of_python(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    compare = """async ([names, scores, truth, places]) => {
      const { auroc, compareAt, thresholdsOf } = await import("/static/circuit_comparison.js");
      const found = thresholdsOf(scores);
      return places.map((place) => {
        const threshold = found[Math.floor(place * (found.length - 1))];
        const { precision, recall, kept } = compareAt(names, scores, threshold, new Set(truth));
        return [threshold, precision, recall, kept, auroc(names, scores, new Set(truth))];
      });
    }"""
    program = "ioi"
    record = record_of(program)
    graph = EdgeGraph.of(disguised_model(program).model)
    assert record["edges"] == graph.edge_names()
    for condition in ("plain", "saturated"):
        for method in ("eap", "acdc", "chance"):
            scores = record["scores"][condition][method]
            rows = page.evaluate(compare, [record["edges"], scores, record["true_edges"], [0, 0.02, 0.2, 1]])
            values = torch.full(graph.valid.shape, math.nan)
            values[graph.valid] = torch.tensor(scores)
            for threshold, precision, recall, kept, area in rows:
                # The largest float32 below the threshold: scores were rounded to three digits.
                circuit = Circuit(graph, values.abs() >= threshold * (1 - 1e-6), values)
                expected = circuit.compare(record["true_edges"]).edges
                assert kept == circuit.n_edges
                assert (precision, recall, area) == pytest.approx(
                    (expected.precision, expected.recall, expected.auroc)
                )
    page.close()


def test_bad_names_are_refused(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    messages = page.evaluate("""async () => {
      const { renderCircuitGraph } = await import("/static/circuit_graph.js");
      const wrong = [{ edges: ["a0->logits"] }, { edges: ["input"] }, { edges: ["input->m0"], scores: [1, 2] }];
      return wrong.map((props) => {
        try { renderCircuitGraph(document.createElement("div"), { label: "x", ...props }); }
        catch (error) { return error.message; }
      });
    }""")
    page.close()
    assert "“a0” is not a node of a circuit" in messages[0]
    assert "“input” is not an edge" in messages[1]
    assert "1 edges but 2 scores" in messages[2]


def test_shared_keys_hostile_notes_and_half_a_thousand_edges(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address + "circuits/")
    shown = page.evaluate(
        """async ([grouped, many]) => {
          const { renderCircuitGraph } = await import("/static/circuit_graph.js");
          const box = document.createElement("div");
          document.body.append(box);
          const notes = { "a0.h3": "<img src=x onerror=alert(1)>" };
          renderCircuitGraph(box, { label: "shared", edges: grouped, nHeads: 4, nKvHeads: 2, notes });
          const names = [...box.querySelectorAll("[data-node]")].map((one) => one.dataset.node);
          box.querySelector("[data-node='a0.h3']").dispatchEvent(new MouseEvent("click", { bubbles: true }));
          const words = box.querySelector(".ms-words");
          const read = [words.textContent, words.children.length, box.querySelectorAll(".ms-sharing").length];
          renderCircuitGraph(box, { label: "many", edges: many, scores: many.map((_, i) => i + 1) });
          const range = box.querySelector("input");
          const counts = [];
          for (const place of [0, 10, many.length]) {
            range.value = place;
            range.dispatchEvent(new Event("input"));
            counts.push(box.querySelectorAll(".ms-edge-hit:not([hidden])").length);
          }
          return [names, read, counts];
        }""",
        [GROUPED, record_of("sort")["edges"]],
    )
    page.close()
    names, (words, children, sharing), counts = shown
    assert "a0 k/v 0" in names and "a1 k/v 1" in names
    assert words.startswith(
        "a0.h3: <img src=x onerror=alert(1)>. Reads input (queries). Feeds a1 k/v 1 (values)."
    )
    assert children == 0
    assert sharing == 2  # a0.h1 reads a0 k/v 0, a1.h2 reads a1 k/v 1; no reader of a1 k/v 0 is drawn
    assert counts == [0, 10, len(record_of("sort")["edges"])]


# Planted circuits -----------------------------------------------------------------------------------------------------


def test_a_planted_page_from_the_true_circuit_to_a_comparison(open_page: Callable[[str], Any]) -> None:
    page = open_page("circuits/planted/ioi/")
    record = record_of("ioi")
    model = disguised_model("ioi")
    # The true circuit, edge by edge.
    assert {*drawn_edges(page, record["true_edges"])} == model.true_edges
    # Keyboard: from the input upwards to the logits, node by node.
    page.focus(".ms-circuit")
    read = []
    for _ in range(6):
        page.keyboard.press("ArrowUp")
        read.append(page.inner_text("figure .ms-words").split(".")[0].split(":")[0])
    assert read[0] == "input" and read[-1] == "logits"
    page.keyboard.press("Home")
    assert page.inner_text("figure .ms-words").startswith("input. Feeds ")
    page.evaluate(
        "document.querySelector('[data-node=\"a0.h1\"]').dispatchEvent(new MouseEvent('click', { bubbles: true }))"
    )
    assert page.inner_text("figure .ms-words").startswith(f"a0.h1: {record['notes']['a0.h1']}. Reads input (")
    assert page.get_attribute(".ms-head:has-text('a0.h1')", "aria-pressed") == "true"  # its attention
    # A method, and the numbers at the threshold.
    page.select_option("[data-part=method]", "eap")
    page.select_option("[data-part=condition]", "saturated")
    scores = record["scores"]["saturated"]["eap"]
    graph = EdgeGraph.of(model.model)
    values = torch.full(graph.valid.shape, math.nan)
    values[graph.valid] = torch.tensor(scores)
    for presses in (0, 3):
        for _ in range(presses):
            page.focus(".ms-prune input")
            page.keyboard.press("ArrowRight")
        kept = int(page.inner_text(".ms-prune output").split()[1])
        threshold = sorted(map(abs, scores), reverse=True)[kept - 1]
        found = Circuit(graph, values.abs() >= threshold * (1 - 1e-6), values)
        expected = found.compare(model.true_edges).edges
        words = page.inner_text("figure .ms-words")
        assert f"precision {100 * expected.precision:.0f} %, recall {100 * expected.recall:.0f} %" in words
        assert f"AUROC of all scores: {expected.auroc:.3f}" in words
        true = {*model.true_edges}
        assert {*drawn_edges(page, record["edges"])} == {*found.edges()} | true
        for verdict, names in (
            ("found", true & {*found.edges()}),
            ("missed", true - {*found.edges()}),
            ("extra", {*found.edges()} - true),
        ):
            assert page.locator(f".ms-circuit .ms-edge.ms-{verdict}:not([hidden])").count() == len(names), (
                verdict
            )
    # The table, sorted by a click, and the same as a file.
    page.click("summary:has-text('All edges')")
    page.click("th:has-text('score') button")
    assert page.get_attribute("th:has-text('score')", "aria-sort") == "descending"
    first = page.inner_text(".ms-circuit-table tbody tr >> nth=0 >> td >> nth=0")
    assert abs(scores[record["edges"].index(first)]) == max(map(abs, scores))
    with page.expect_download() as download:
        page.click("text=Save the table")
    rows = list(csv.DictReader(io.StringIO(download.value.path().read_text(encoding="utf-8"))))
    assert [row["edge"] for row in rows] == record["edges"]
    assert [float(row["score"]) for row in rows] == scores
    assert {row["edge"] for row in rows if row["verdict"] == "missed"} == true - {*found.edges()}
    with page.expect_download() as download:
        page.click("text=Save the picture")
    drawn = ElementTree.parse(download.value.path()).getroot()
    space = "{http://www.w3.org/2000/svg}"
    paths = drawn.findall(f".//{space}path")
    assert len(paths) == found.n_edges + len(true - {*found.edges()})
    assert all(path.get("stroke", "").startswith("rgb(") for path in paths)
    # A method that scores nodes, and the edges that never change.
    page.select_option("[data-part=method]", "direct")
    assert "true nodes found" in page.inner_text("figure .ms-words")
    page.select_option("[data-part=method]", "all")
    everything = [*record["true_edges"], *record["fixed_edges"]]
    assert {*drawn_edges(page, everything)} == model.true_edges | model.fixed_edges
    assert 'disguised_model("ioi", "plain")' in page.text_content("[data-part=python]")
    # The address leads back to what was chosen; anything else in it is ignored.
    page.goto(page.url.replace("method=all", "method=eap-ig"))
    page.reload()
    page.wait_for_selector(READY)
    chosen = [page.input_value(f"[data-part={part}]") for part in ("method", "condition")]
    assert chosen == ["eap-ig", "saturated"]
    page.goto(page.url.replace("method=eap-ig", "method=here"))
    page.reload()
    page.wait_for_selector(READY)
    assert page.input_value("[data-part=method]") == "truth"


def test_every_planted_model_answers_as_in_python(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    answers = """async ([program, rows]) => {
      const { readSafetensors } = await import("/static/safetensors.js");
      const { Transformer } = await import("/static/transformer.js");
      const [config, weights] = await Promise.all(["config.json", "model.safetensors"].map((file) =>
        fetch(`/files/circuits/${program}/${file}`)));
      const tensors = readSafetensors(await weights.arrayBuffer());
      const model = new Transformer(await config.json(), tensors, { process: false });
      return rows.map((tokens) => {
        const { shape: [positions, width], data } = model.run(tokens).logits;
        return Array.from({ length: positions }, (_, i) => Array.from(data.subarray(i * width, (i + 1) * width)));
      });
    }"""
    for program in PROGRAMS:
        model = disguised_model(program)
        tokens = model.encode(record_of(program)["inputs"])
        found = page.evaluate(answers, [program, tokens.tolist()])
        torch.testing.assert_close(torch.tensor(found), model.model(tokens), atol=1e-3, rtol=1e-4)
    page.close()


def test_edges_are_patched_as_in_python(open_page: Callable[[str], Any]) -> None:
    program = "sort"
    page = open_page(f"circuits/planted/{program}/")
    record = record_of(program)
    model = disguised_model(program)
    expected = model.run(record["inputs"])
    cells = page.eval_on_selector_all(
        ".planted-answers tr",
        "rows => rows.map((row) => [...row.cells].slice(1).map((cell) => cell.textContent))",
    )
    assert [cells[1][1:], cells[3][1:]] == [row[1:] for row in expected]
    position = int(page.input_value("[data-part=position]"))
    page.click("[data-part=patch]")
    page.wait_for_selector("text=edges patched.")
    effects = page.evaluate("window.plantedPage.effects")
    clean, corrupted = model.encode(record["inputs"]).split(1)
    right, wrong = (model.vocabulary.index(row[position]) for row in expected)
    answers = Answers(torch.tensor([[position]]), torch.tensor([[[right]]]), torch.tensor([[[wrong]]]))
    task = Task("one pair", clean, corrupted, answers, get_metric("logit_difference"))
    run = MaskedRun(model.model, task)
    places = run.graph.valid.nonzero()
    circuits = run.graph.valid.expand(len(places), *run.graph.valid.shape).clone()
    circuits[torch.arange(len(places)), places[:, 0], places[:, 1]] = False
    theirs = run.baselines.clean.mean() - run.measure(circuits).mean(1)
    torch.testing.assert_close(torch.tensor(effects), theirs.float(), atol=1e-3, rtol=1e-3)
    assert max(map(abs, effects)) > 1
    # New inputs make what was measured on the old ones disappear.
    page.fill("[data-part=clean]", record["inputs"][1])
    assert page.input_value("[data-part=method]") == "truth"
    assert page.is_disabled("[data-part=patch]")  # both inputs are alike


def test_inputs_that_the_model_cannot_read_are_explained(open_page: Callable[[str], Any]) -> None:
    page = open_page("circuits/planted/induction/")
    for typed, words in (
        ("a b", "induction takes 12 tokens with spaces between them, not 2."),
        ("a b c d <b>🎉</b>", "induction has no token “<b>🎉</b>”; its tokens are a b c d e f g h."),
        ("", "not 0."),
    ):
        page.fill("[data-part=clean]", typed)
        assert words in page.inner_text("[data-part=problem]")
        assert page.is_disabled("[data-part=patch]")
    page.fill("[data-part=clean]", "a b c d a b c d a b c d")
    assert page.is_hidden("[data-part=problem]")
    assert page.is_enabled("[data-part=patch]")


# Published circuits, the scoreboard -----------------------------------------------------------------------------------


def test_published_circuits_are_drawn_as_listed(open_page: Callable[[str], Any]) -> None:
    from mechscope.labs.ioi_circuit_page import _shown

    edges = {name: published_circuit(name).edges for name in ("greater-than", "docstring")}
    edges["ioi"] = _shown().edges
    for name, listed in edges.items():
        page = open_page(f"circuits/published/{name}/")
        assert drawn_edges(page, list(listed)) == list(listed)
        # What is said about a part is about a part that is drawn.
        nodes = {node.split("<")[0] for edge in listed for node in edge.split("->")}
        said = page.eval_on_selector_all(
            "table td:first-child", "cells => cells.map((cell) => cell.textContent)"
        )
        assert {part for cell in said for part in cell.split(", ")} == nodes - {"input", "logits"}


def test_the_scoreboard_shows_the_shipped_tables_and_sorts_them(open_page: Callable[[str], Any]) -> None:
    page = open_page("scoreboard/")
    tables = read_tables()
    assert list(tables.conditions) == list(CONDITIONS)
    rows = "table => [...table.tBodies[0].rows].map((row) => [...row.cells].map((cell) => cell.textContent))"
    shown = page.eval_on_selector(".tables table >> nth=0", rows)
    for name, *cells in shown:
        method = next(key for key, words in tables.methods.items() if words == name)
        low, mean = (
            tables.summaries["edges"]["saturated"][method][1],
            tables.summaries["edges"]["saturated"][method][0],
        )
        assert cells[2].startswith(f"{mean:.3f} ({low:.3f}–")
    page.click(".tables table >> nth=0 >> th:has-text('AUROC, saturated') >> button")
    after = page.eval_on_selector(".tables table >> nth=0", rows)
    means = [float(row[3].split()[0]) for row in after]
    assert means == sorted(means, reverse=True) and {*map(tuple, after)} == {*map(tuple, shown)}
    page.keyboard.press("Enter")
    assert page.get_attribute(".tables th[aria-sort]", "aria-sort") == "ascending"
    assert page.locator(".paper svg circle").count() > 10
