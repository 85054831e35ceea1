"""The neuroscope in the web lab: what a unit does on the reader's text is what Python computes, and the way there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import mechscope as ms
from mechscope.neuroscope.contents import SiteContents, StoredUnit
from mechscope.neuroscope.endpoints import OpenStores
from mechscope.neuroscope.fire import check_weights
from mechscope.neuroscope.folders import VARIABLE
from mechscope.neuroscope.messages import SiteRequest
from mechscope.neuroscope.site_data import static_files
from mechscope.neuroscope.sites import find_sites
from mechscope.neuroscope.statistics import SiteStatistics
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.writing import write_contents
from mechscope.pages.endpoints import RefusedError
from mechscope.pages.site import collect_site
from mechscope.web.models import unit_readings
from mechscope.web.models.readings import Readings
from mechscope.web.models.shelf import ModelShelf
from mechscope.web.models.unit_messages import EffectRequest, LiveTextRequest
from mechscope.web.models.unit_readings import UnitReadings
from mechscope.web.static_site import build_site
from tests.browser import WatchedPage, served_site
from tests.neuroscope import stores

MODEL = "mini-gelu-1l"
SITES = ("mlp0", "attn0.entropy", "attn0.distance", "attn0.norm", "mini-gelu-1l-neurons")
TEXT = "def read(self, size):\n    return self.size"
EDGES = np.array([-1.0, -0.25, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0])


def site_contents(model: Any, name: str) -> SiteContents:
    """A site whose statistics and histogram come from one text, so that other texts are unusual."""
    (site,) = find_sites(model, [name])
    with torch.no_grad():
        _, cache = model.run_with_cache(
            model.to_tokens("The fox saw the hen and the fox"), names_filter=list(site.hooks)
        )
        values = site.read({hook: cache[hook] for hook in site.hooks})[0, 1:].numpy().astype(np.float64)
    counts = np.stack([np.histogram(column, EDGES)[0] for column in values.T])
    kurtosis = np.arange(site.units, 0, -1, dtype=np.float64)
    means, variances, zeros = values.mean(0), values.var(0), np.zeros(site.units)
    statistics = SiteStatistics(
        np.full(site.units, len(values)),
        (values > 0).mean(0),
        means,
        variances,
        zeros,
        kurtosis,
        values.max(0),
        values.min(0),
    )
    units = [*stores.neurons().units]
    units += [StoredUnit((), (), ()) for _ in range(site.units - len(units))]
    return SiteContents(name, site.source, site.signed, 1, statistics, EDGES, counts, units[: site.units])


@pytest.fixture(scope="module")
def model() -> Any:
    return ms.load_model(MODEL)


@pytest.fixture(scope="module")
def folder(model: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of the model."""
    place = tmp_path_factory.mktemp("stores")
    sites = [site_contents(model, name) for name in SITES]
    sizes = {site.name: len(site.statistics.mean) for site in sites}
    write_contents(place / MODEL, stores.contents(MODEL, sites=sites, site_sizes=sizes))
    with NeuroscopeStore.open(place / MODEL) as store:
        store.labels.add("mlp0/1", "<b>cats</b>", "words", "cat")
        store.labels.add("attn0.entropy/1", "ends", "regex, last token", r"\n")
        store.labels.set_scores(2, SCORES)
    return place


SCORES = {
    "verdict": "does not hold",
    "because": "The rule finds 5%.",
    "scored": "2026-11-30T12:00:00+00:00",
    "precision": 0.25,
    "recall": 0.05,
    "intervals": {"precision": [0.125, 0.5]},
    "missed": [
        {"document": "a.py", "tokens": ["a", "\n"], "focus": 1, "value": 2.5, "values": [-0.5, 2.5]},
        {"document": "b.py", "tokens": [" b"], "focus": 0, "value": 1.5},
    ],
    "near misses": [{"document": "c.py", "tokens": ["c"], "focus": 0, "value": 0.5, "values": [0.5]}],
}


@pytest.fixture(scope="module")
def units(folder: Path) -> Iterator[tuple[UnitReadings, str]]:
    """Python's readings, and where the web lab with the same store is served."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(VARIABLE, str(folder))
        # The store was not harvested from any weights.
        patch.setattr(unit_readings, "check_weights", lambda about: None)
        with served_site(runs=folder / "runs") as address:
            yield UnitReadings(Readings(ModelShelf()), OpenStores()), address


@pytest.fixture(scope="module")
def watched(browser: Any, units: tuple[UnitReadings, str]) -> Iterator[WatchedPage]:
    found = WatchedPage(browser)
    found.page.goto(f"{units[1]}neuroscope/{MODEL}/mlp0/1/")
    found.page.wait_for_selector("[data-part=effect] table")
    yield found
    assert found.problems == []
    found.page.close()


READ = """async ([model, site, unit, text, signed, tokens]) => {
  const names = ["local_units.js", "remote_units.js", "unusual_units.js", "unit_source.js"];
  const [{ LocalUnits }, { RemoteUnits }, { unusualUnits }, { unitSource }] =
    await Promise.all(names.map((name) => import(`/static/${name}`)));
  const table = await unitSource(true).table(model, site);
  const found = [];
  for (const Units of [LocalUnits, RemoteUnits]) {
    const of = await Units.load({ model }, site);
    const reading = await of.read(text, unit);
    const effects = [];
    for (const change of of.changes) effects.push(await of.effect({ unit, position: 5, change, amount: 2.5 }));
    const { strings, values, units, first } = reading;
    found.push({
      strings, first, effects, changes: of.changes, beginning: of.beginning,
      values: strings.map((_, position) => values[position * units + (units === 1 ? 0 : unit)]),
      active: (reading.active ?? unusualUnits(reading, table, signed)).slice(0, 8)
        .map(({ unit, share, position }) => [unit, share, position]),
      pattern: site.startsWith("attn") ? Array.from(await of.pattern(tokens, unit)) : [],
    });
  }
  return found;
}"""


@pytest.mark.parametrize("site", SITES)
def test_browser_and_server_read_what_python_reads(
    watched: WatchedPage, units: tuple[UnitReadings, str], model: Any, site: str
) -> None:
    (read,) = find_sites(model, [site])
    tokens = model.to_tokens(TEXT)
    asked = [MODEL, site, 2, TEXT, read.signed, tokens[0].tolist()]
    local, remote = watched.page.evaluate(READ, asked)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=list(read.hooks))
        expected = read.read({hook: cache[hook] for hook in read.hooks})[0, :, 2].tolist()
    python = units[0].read(LiveTextRequest(model=MODEL, site=site, unit=2, text=TEXT))
    for found in (local, remote):
        assert (found["strings"], found["first"]) == (list(python.strings), 1)
        assert found["values"] == pytest.approx(expected, abs=1e-4)
        # Two shares may be equal, and a value near the border of a bin may fall into the next one.
        assert len({unit for unit, _, _ in found["active"]} & {each.unit for each in python.active}) >= min(
            7, len(python.active)
        )
    assert local["pattern"] == pytest.approx(remote["pattern"], abs=1e-4)
    if local["pattern"]:
        _, cache = model.run_with_cache(tokens)
        pattern = cache["blocks.0.attn.hook_pattern"][0, 2, -1].tolist()
        assert local["pattern"] == pytest.approx(pattern, abs=1e-4)
    assert local["beginning"] == remote["beginning"] == "<|bos|>"
    assert local["changes"] == remote["changes"]
    with torch.no_grad():
        plain = model(tokens)[0, 5].softmax(-1)
    for index, change in enumerate(local["changes"]):
        asked = EffectRequest(
            model=MODEL, site=site, unit=2, text=TEXT, position=5, change=change, amount=2.5
        )
        effect = units[0].effect(asked)
        for found in (local, remote):
            rows = found["effects"][index]["rows"]
            assert found["effects"][index]["divergence"] == pytest.approx(effect.divergence, abs=1e-4)
            assert [row["after"] for row in rows] == pytest.approx(
                [row.after for row in effect.rows], abs=1e-4
            )
            before = [float(plain[model.to_single_token(row["name"])]) for row in rows if row["name"] != "�"]
            assert [row["before"] for row in rows if row["name"] != "�"] == pytest.approx(before, abs=1e-4)
    assert local["effects"][-1]["divergence"] > 1e-4


def test_the_server_reads_only_sites_of_the_store_and_the_weights_that_were_harvested(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, str(folder))
    asked = UnitReadings(Readings(ModelShelf()), OpenStores())
    save_file({"directions": torch.eye(64)}, tmp_path / "mine.safetensors")
    for site in (f"{tmp_path}/mine.safetensors@resid_pre0", str(tmp_path), "mlp"):
        with pytest.raises(RefusedError, match="has no site") as refused:
            asked.load(SiteRequest(model=MODEL, site=site))
        assert refused.value.status == 404
    monkeypatch.setattr(unit_readings, "check_weights", check_weights)
    with pytest.raises(RefusedError, match=r"has other weights now .* harvest it again") as refused:
        asked.read(LiveTextRequest(model=MODEL, site="mlp0", unit=1, text=TEXT))
    assert refused.value.status == 409


def test_an_effect_is_of_the_text_that_is_shown_while_the_server_reads_another(watched: WatchedPage) -> None:
    same = watched.page.evaluate(
        """async ([model, text]) => {
          const { RemoteUnits } = await import("/static/remote_units.js");
          const of = await RemoteUnits.load({ model }, "mlp0");
          const { strings } = await of.read(text, 2);
          const question = { unit: 2, position: strings.length - 1, change: "zero", amount: 0 };
          const shown = await of.effect(question);
          const next = of.read("a", 2);
          const meanwhile = await of.effect(question);
          await next;
          return JSON.stringify(shown) === JSON.stringify(meanwhile);
        }""",
        [MODEL, TEXT],
    )
    assert same


def test_a_guess_is_tested_by_typing(watched: WatchedPage) -> None:
    page = watched.page
    assert page.inner_text("h1") == "mlp0/1"
    # The label is folded and below the texts, so that it does not give the guess away.
    summary = page.get_by_text("1 label; not tested")
    assert not page.is_visible("[data-part=label-list]")
    assert summary.bounding_box()["y"] > page.locator("[data-part=top] li").last.bounding_box()["y"]
    summary.click()
    assert page.inner_text("[data-part=label-list]") == "<b>cats</b> not tested\nRule: words: cat\nTest"
    strip = page.locator("[data-part=top] .unit-strip").nth(1)
    assert strip.locator(".ms-token").all_inner_texts() == ["<b>", "\\n", "␣cat"]
    assert page.locator("[data-part=top] .unit-focus").all_inner_texts() == ["␣cat", "␣cat"]
    page.focus("[data-part=width]")
    page.keyboard.press("Home")
    assert strip.locator(".ms-token").count() == 3
    page.fill("[data-part=text]", TEXT)
    assert page.locator("[data-part=live-tokens] .ms-token").count() > 10
    page.select_option("[data-part=change]", "add")
    assert page.inner_text("[data-part=amount-words]") == "1 × its largest activation"
    assert "was" in page.inner_text("[data-part=effect]")
    link = page.get_by_role("link", name="Open this text under the microscope")
    assert "add_neuron" in link.get_attribute("href")
    page.fill("[data-part=text]", "")
    assert page.inner_text("[data-part=live-problem]").startswith("Type some text. Until you change it,")
    assert "unit-stale" in page.get_attribute("[data-part=live-words]", "class")
    page.fill("[data-part=text]", TEXT)
    # Colours follow the theme, in the reader's own text too.
    colour = "() => document.querySelector('[data-part=live-tokens] .ms-token:nth-child(2)').style.background"
    light = page.evaluate(colour)
    page.emulate_media(color_scheme="dark")
    page.wait_for_function(f"light => ({colour})() !== light", arg=light)
    page.emulate_media(color_scheme="light")
    # Skipping the menu with the keyboard is not a way to another unit.
    page.focus("a.skip")
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.tagName") == "MAIN"
    assert f"#{MODEL}/mlp0/1" in page.url
    # The next unit keeps the reader's text; so does the one that is most unusual here.
    page.get_by_role("link", name="Next", exact=True).focus()
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('h1').textContent === 'mlp0/2'")
    assert page.input_value("[data-part=text]") == TEXT
    page.fill("[data-part=number]", "256")
    page.keyboard.press("Enter")
    assert page.inner_text("[data-part=number-problem]") == "Units of mlp0 have the numbers 0 to 255."
    page.fill("[data-part=number]", "255")
    page.keyboard.press("Enter")
    page.wait_for_function("() => document.querySelector('h1').textContent === 'mlp0/255'")
    page.goto(page.url.partition("#")[0] + "#nothing")
    assert "not the address of a unit" in page.inner_text("[data-part=problem]")
    assert page.inner_text("h1") == "nothing"
    page.goto(page.url.partition("#")[0] + "#other/mlp0/1")
    page.wait_for_selector("text=There are no units of other/mlp0 here. There are: mini-gelu-1l/mlp0,")


def test_the_address_keeps_the_text_of_the_reader(
    watched: WatchedPage, units: tuple[UnitReadings, str]
) -> None:
    page = watched.page
    page.goto(f"{units[1]}neuroscope/unit/#{MODEL}/attn0.entropy/2?text=a+%26+b%3F")
    page.wait_for_selector("h1 >> text=attn0.entropy/2")
    page.wait_for_function("() => document.querySelector('[data-part=text]').value === 'a & b?'")
    page.locator("[data-part=live-words]", has_text="Its activation is between").wait_for()
    assert "shares its attention" in page.inner_text("[data-kind]:visible")
    # Where the head looks from the chosen token, which is the last one at first.
    pattern = page.locator("[data-part=live-pattern]")
    tokens = page.locator("[data-part=live-tokens] .ms-token")
    assert pattern.locator(".ms-token").all_inner_texts() == tokens.all_inner_texts()
    tokens.nth(2).click()
    pattern.get_by_text("From “␣” it attends to:").wait_for()
    assert pattern.locator(".ms-token").all_inner_texts() == tokens.all_inner_texts()[:3]
    page.select_option("[data-part=change]", "multiply")
    page.focus("[data-part=amount]")
    page.keyboard.press("End")
    page.fill("[data-part=text]", "emoji 🎉 #1")
    assert page.is_visible("[data-part=live-bytes]")
    page.wait_for_function("() => location.hash.endsWith('+%231&change=multiply&amount=4')")
    page.reload()
    page.wait_for_selector("[data-part=effect] table")
    assert page.input_value("[data-part=text]") == "emoji 🎉 #1"
    assert page.inner_text("[data-part=amount-words]") == "4"
    # Rows of weak texts show their pattern; a head may be reached by its number and the way back.
    page.evaluate(f"() => {{ location.hash = '#{MODEL}/attn0.entropy/1'; }}")
    page.wait_for_function("() => location.hash.startsWith('#mini-gelu-1l/attn0.entropy/1?text=emoji')")
    page.go_back()
    page.wait_for_function("() => document.querySelector('h1').textContent === 'attn0.entropy/2'")
    assert page.input_value("[data-part=text]") == "emoji 🎉 #1"


def test_the_home_keeps_what_the_reader_has_chosen(
    watched: WatchedPage, units: tuple[UnitReadings, str]
) -> None:
    page, home = watched.page, f"{units[1]}neuroscope/"
    count = page.locator("[data-part=count]")
    page.goto(f"{home}{MODEL}/attn0.entropy/")  # the address of a site leads to the list of its units
    page.wait_for_url(f"{home}index.html#{MODEL}/attn0.entropy")
    page.wait_for_selector("[data-part=first] a")
    assert page.inner_text("[data-part=first-heading]") == "All 4"
    assert page.input_value("[data-part=x]") == "mean"
    page.select_option("[data-part=y]", "maximum")
    page.keyboard.press("Tab")
    page.fill("[data-part=words]", " ")
    page.get_by_role("button", name="Search").click()
    assert count.inner_text() == "Type a word, a sign, or the number of a unit."
    page.fill("[data-part=words]", "cat")
    page.keyboard.press("Enter")
    page.locator("[data-part=found] a").first.click()
    page.wait_for_selector("[data-part=effect] table")
    page.go_back()
    page.wait_for_selector("[data-part=found] a")
    assert (page.input_value("[data-part=words]"), page.input_value("[data-part=y]")) == ("cat", "maximum")
    assert page.input_value("[data-part=site]") == "1"
    page.fill("[data-part=words]", "999")
    page.keyboard.press("Enter")
    page.locator("[data-part=count]", has_text="Units of attn0.entropy have the numbers 0 to 3.").wait_for()
    page.evaluate(f"() => {{ location.hash = '#{MODEL}/nothing'; }}")
    page.locator("[data-part=problem]", has_text=f"There are no units of {MODEL}/nothing here.").wait_for()
    page.fill("[data-part=words]", "mlp0/7")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{home}unit/index.html#{MODEL}/mlp0/7")


def test_a_model_that_cannot_be_loaded_is_tried_again(browser: Any, units: tuple[UnitReadings, str]) -> None:
    page = browser.new_page()
    page.set_default_timeout(120_000)
    page.route("**/model.safetensors", lambda route: route.abort())
    page.goto(f"{units[1]}models/{MODEL}/")
    page.wait_for_selector("text=Reload it to try again.")
    assert not page.is_visible("text=Loading the model")
    page.goto(f"{units[1]}neuroscope/unit/#{MODEL}/mlp0/1")
    page.wait_for_selector("[data-part=live-problem]:visible")
    page.unroute("**/model.safetensors")
    page.fill("[data-part=text]", TEXT)
    page.wait_for_selector("[data-part=effect] table")
    assert not page.is_visible("[data-part=live-problem]")
    page.close()


def test_a_server_is_asked_when_the_reader_stops_typing(
    browser: Any, units: tuple[UnitReadings, str]
) -> None:
    watched = WatchedPage(browser)
    page = watched.page

    def without_browser(route: Any) -> None:
        answer = route.fetch()
        content = answer.json()
        for site in content["stores"][0]["sites"]:
            site["in_browser"] = False
        route.fulfill(response=answer, json=content)

    page.route("**/api/neuroscope/stores", without_browser)
    page.goto(f"{units[1]}neuroscope/unit/#{MODEL}/mlp0/1")
    page.wait_for_selector("[data-part=effect] table")
    watched.requests.clear()
    page.evaluate(
        """() => {
          const box = document.querySelector("[data-part=text]");
          for (const text of ["", "a", "ab", "abc"]) {
            box.value = text;
            box.dispatchEvent(new Event("input", { bubbles: true }));
          }
        }"""
    )
    page.wait_for_function("() => location.hash.endsWith('?text=abc')")
    page.wait_for_selector("[data-part=live-tokens] .ms-token >> text=c")
    assert sum(url.endswith("live/read") for url in watched.requests) == 1
    assert watched.problems == []
    page.close()


def test_a_static_site_shows_the_same_from_a_disk(folder: Path, tmp_path: Path, browser: Any) -> None:
    site = collect_site()
    small = replace(
        site,
        pages={
            route: page
            for route, page in site.pages.items()
            if route in ("", "neuroscope/", "neuroscope/unit/", "neuroscope/labels/")
        },
        files={name: file for name, file in site.files.items() if f"models/{MODEL}/" in name},
        made_files=static_files(folder),
        home=[entry for entry in site.home if entry.route == "neuroscope/"],
        terms=(),
    )
    build_site(tmp_path / "site", small)
    watched = WatchedPage(browser, viewport={"width": 360, "height": 740}, has_touch=True)
    page = watched.page
    page.goto((tmp_path / "site" / "neuroscope" / "index.html").as_uri())
    page.wait_for_selector("[data-part=first] a")
    page.wait_for_selector("[data-part=label-list] a")
    page.fill("[data-part=words]", "cat")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-part=found] li")
    assert page.inner_text("[data-part=count]") == "5 units"  # one per site
    # The first tap reads a point, and does not open it.
    x, y = page.evaluate(
        "() => { const plot = window.neuroscopePage.scatter, [point] = plot.points;"
        " return [plot.toX(point.x), plot.toY(point.y)]; }"
    )
    page.locator("canvas").tap(position={"x": x, "y": y})
    assert page.inner_text("[data-part=scatter-words]").endswith("Tap it again to open it.")
    page.locator("canvas").focus()
    page.keyboard.press("End")
    assert "Unit " in page.inner_text("[data-part=scatter-words]")
    page.keyboard.press("Enter")
    page.wait_for_selector("[data-part=live-words]:not(:empty)")
    page.goto(page.url.partition("#")[0] + f"#{MODEL}/attn0.entropy/1")
    # From the outlined token of the quantile context, in a sequence of three tokens up to there.
    page.wait_for_selector("[data-pattern] .ms-token")
    assert page.locator("[data-pattern] .ms-token").all_inner_texts() == ['"', "<b>", "\\n"]
    assert page.inner_text("h1") == "attn0.entropy/1"
    page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
    page.goto((tmp_path / "site" / "neuroscope" / MODEL / "labels" / "index.html").as_uri())
    page.wait_for_url(f"**/neuroscope/labels/index.html#{MODEL}")
    page.select_option("[name=verdict]", "does not hold")
    assert page.inner_text("[data-part=count]") == "1 of 2 labels"
    page.get_by_text("Texts on which rule and unit disagree").click()
    page.wait_for_selector(".unit-evidence .ms-token")
    assert page.locator(".unit-evidence h3").all_inner_texts() == [
        "It fires here, but the rule does not match",
        "Near misses: it fires on the same token elsewhere, but not here, and the rule does not match",
    ]
    assert page.locator(".unit-evidence .unit-focus").all_inner_texts() == ["\\n", "␣b", "c"]
    page.wait_for_function("() => document.documentElement.scrollWidth <= 360")
    assert watched.problems == []
    assert all(url.startswith(("file:", "blob:", "data:")) for url in watched.requests)
    page.close()


def test_the_arithmetic_of_drawings(watched: WatchedPage) -> None:
    found = watched.page.evaluate(
        """async () => {
          const names = ["unit_histogram.js", "unit_statistics.js", "unit_source.js", "unit_contexts.js"];
          const [{ equalBars }, statistics, { parseAddress, unitNamed, whereItIs }, { levelOf, windowOf }] =
            await Promise.all(names.map((name) => import(`/static/${name}`)));
          const { strongest } = await import("/static/unit_live.js");
          const { axisTicks, interestingOrder, nextIn, onAxis } = statistics;
          const words = (...axis) => axisTicks(...axis).map(({ words }) => words);
          const order = interestingOrder({ kurtosis: [1, null, 5, 5] });
          const store = { model: "m", sites: [{ name: "mlp0", units: 8 }] };
          const page = { labels: [], contexts: [{ kind: "top", tokens: ["a ", "ca", "t"], focus: 2 }] };
          return {
            // The middle bin covers two bars and a half.
            bars: Array.from(equalBars([0, 1, 3.5, 4], [4, 5, 1], 0, 4, 4)),
            order, next: [nextIn(order, 3), nextIn(order, 1)],
            axis: ["log", "signed", "linear"].map((axis) => onAxis(axis, 0)),
            ticks: [words("log", -3.5, 0), words("linear", -1, 1)],
            named: ["7", "Neuron 7", "mlp0/7", "m/mlp0/7", "8", "mlp1/7", "the 7"]
              .map((words) => unitNamed(words, store, { name: "a", units: 8 })?.site),
            addresses: ["org/model/mlp0/17", "mlp0/17", "model/mlp0/x"].map(parseAddress),
            where: ["t", "CAT", "dog"].map((words) => whereItIs(page, words)),
            strongest: [[-0.2, 3], [-5, 3], [-4, -1]].map(([minimum, maximum]) => strongest({ minimum, maximum })),
            levels: [0, 0.1, 0.98765, 0.99996, 1].map(levelOf),
            window: windowOf({ tokens: [..."abcdef"], values: [1, 2, 3, 4, 5, 6], focus: 1 }, 2),
          };
        }"""
    )
    assert found["bars"] == pytest.approx([4, 2, 2, 2])
    assert (found["order"], found["next"]) == ([2, 3, 0, 1], [0, 2])
    assert found["axis"] == pytest.approx([float("nan"), 0, 0], nan_ok=True)
    assert found["ticks"] == [["0.001", "0.01", "0.1", "1"], ["−1", "−0.5", "0", "0.5", "1"]]
    assert found["addresses"] == [{"model": "org/model", "site": "mlp0", "unit": 17}, None, None]
    assert found["levels"] == ["0 %", "10 %", "98.8 %", "99.996 %", "100 %"]
    assert found["named"] == ["a", "a", "mlp0", "mlp0", None, None, None]
    # Adding to a unit never takes away from it, even if its activations are all negative.
    assert [each["size"] for each in found["strongest"]] == [3, 5, 4]
    assert found["strongest"][0]["words"] == "its largest activation"
    assert found["strongest"][1]["words"] == "5, its strongest activation (−5) without the sign"
    assert [each["rank"] for each in found["where"]] == [1001, 1, 0]
    assert found["window"] == {"from": 0, "tokens": [*"abcd"], "values": [1, 2, 3, 4], "focus": 1}


def test_a_label_is_written_on_the_page_of_a_unit(
    watched: WatchedPage, units: tuple[UnitReadings, str]
) -> None:
    page = watched.page
    page.goto(f"{units[1]}neuroscope/unit/#{MODEL}/mlp0/2")
    page.wait_for_selector("[data-unit-page]:not([aria-busy])")
    page.get_by_label("What the unit does").fill("dogs <i>")
    page.get_by_label("Words or expression").fill("dog, dogs")
    page.get_by_role("button", name="Write and test").click()
    # The label is kept, and the test is refused: the store was harvested from other weights.
    page.locator("[data-part=label-problem]", has_text="has other weights now").wait_for()
    assert page.inner_text("[data-part=label-list]").startswith("dogs <i> not tested\nRule: words: dog, dogs")
    assert page.get_by_role("button", name="Write and test").is_enabled()
    assert page.inner_text("[data-part=label-status]") == ""
    # A second click would not write it again.
    assert page.input_value("[name=text]") == page.input_value("[name=rule]") == ""
    assert page.evaluate(TESTED_ELSEWHERE, {"verdict": "holds in part"}) == TOLD
    watched.problems[:] = [each for each in watched.problems if "422" not in each]


TESTED_ELSEWHERE = """async (answer) => {
  const part = (name) => document.querySelector(`[data-part=${name}]`);
  const status = () => part("label-status").textContent;
  const until = async (isSo) => { while (!isSo()) await new Promise((resolve) => setTimeout(resolve, 10)); };
  const title = (text) => until(() => part("title").textContent === text);
  const button = () => part("label-list").querySelector("[data-test]");
  const { fetch } = window;
  let finish;
  window.fetch = (url, ...options) => (`${url}`.includes("neuroscope/score")
    ? new Promise((resolve) => { finish = () => resolve(Response.json(answer)); }) : fetch(url, ...options));
  const unit = location.hash;
  const text = part("label-form").elements.text;
  button().click();
  await until(() => finish);
  const during = [button().disabled, status()];
  text.value = "a draft";
  location.hash = unit.replace(/[0-9]+$/, "0");
  await title("mlp0/0");
  const elsewhere = [status(), text.value, part("label-form").querySelector("button").disabled];
  finish();
  await until(() => status().includes("verdict"));
  const told = [status()];
  location.hash = unit;
  await title("mlp0/2");
  window.fetch = fetch;
  return [during, elsewhere, told, [status(), text.value, button().disabled]];
}"""
TESTING = "Testing “dogs <i>” on texts that the unit’s page does not show …"
TOLD = [
    [True, TESTING],
    [f"{MODEL}/mlp0/2: {TESTING}", "", False],
    [
        f"{MODEL}/mlp0/2: The verdict on “dogs <i>”: holds in part. The reason and the scores are with the labels on "
        "the unit’s page."
    ],
    ["", "a draft", False],
]


SELECT = """async (labels) => {
  const { readAddress, selectLabels, writeAddress } = await import("/static/label_list.js");
  const ids = (query) => selectLabels(labels, readAddress(`m?${query}`).view).map(({ id }) => id);
  const queries = ["", "verdict=not+tested", "verdict=holds+in+part&site=attn0.norm", "words=CAT+mlp0", "words=100%25",
    "sort=recall", "sort=recall&reverse=yes", "sort=tested", "sort=unit", "sort=verdict", "sort=nothing&verdict=x"];
  const view = { verdict: "holds in part", site: "attn0.norm", words: "a?b&c #", sort: "recall", reverse: true };
  const address = writeAddress("org/model", view);
  const plain = writeAddress("m", readAddress("m").view);
  return { selected: queries.map(ids), address, read: readAddress(address), plain };
}"""


def test_labels_are_selected_as_the_address_says(watched: WatchedPage) -> None:
    def label(number: int, site: str, unit: int, text: str, verdict: str = "", **more: Any) -> dict[str, Any]:
        recall = more.pop("recall", None)
        scores = [] if recall is None else [{"name": "recall", "value": recall}]
        return {
            "id": number, "site": site, "unit": unit, "text": text, "verdict": verdict, "rule": "",
            "created": "2026-01-01", "scored": "", "scores": scores, **more,
        }  # fmt: skip

    labels = [
        label(1, "mlp0", 10, "a cat", "holds", recall=0.8, scored="2026-02-03"),
        label(2, "mlp0", 9, "dogs at 100%"),
        label(3, "attn0.norm", 1, "a Cat too", "holds in part", recall=0.9, scored="2026-02-02"),
        label(4, "mlp0", 10, "birds", "does not hold", recall=0.1, scored="2026-02-01", rule="words: cat"),
    ]
    found = watched.page.evaluate(SELECT, labels)
    assert found["selected"] == [
        [4, 3, 2, 1],
        [2],
        [3],
        [4, 1],
        [2],
        [3, 1, 4, 2],
        [4, 1, 3, 2],  # what has no recall is last both ways
        [1, 3, 4, 2],
        [3, 2, 1, 4],
        [1, 3, 4, 2],
        [4, 3, 2, 1],
    ]
    assert found["address"].startswith("org/model?verdict=holds+in+part&") and "#" not in found["address"]
    assert found["read"]["model"] == "org/model"
    assert found["read"]["view"] == {
        "verdict": "holds in part", "site": "attn0.norm", "words": "a?b&c #", "sort": "recall", "reverse": True,
    }  # fmt: skip
    assert found["plain"] == "m"


def test_the_page_of_labels_keeps_its_view_in_the_address(
    watched: WatchedPage, units: tuple[UnitReadings, str]
) -> None:
    page = watched.page
    page.goto(f"{units[1]}neuroscope/{MODEL}/labels/")
    page.wait_for_selector("[data-labels-page]:not([aria-busy])")
    assert page.url.endswith(f"neuroscope/labels/#{MODEL}")
    page.select_option("[name=sort]", "by unit")
    page.get_by_label("Words in label").fill("words")
    shared = page.evaluate("location.href")
    assert shared.endswith(f"#{MODEL}?words=words&sort=unit")
    page.goto("about:blank")
    page.goto(shared)
    page.wait_for_selector("[data-labels-page]:not([aria-busy])")
    units_found = page.locator(".labels-table a").all_inner_texts()
    assert units_found[0] == "mlp0/1" and set(units_found) <= {"mlp0/1", "mlp0/2"}
    assert page.input_value("[name=words]") == "words" and page.input_value("[name=sort]") == "unit"
    page.get_by_label("Words in label").fill("")
    row = page.locator("tbody", has_text="ends")
    assert row.locator("td").nth(3).inner_text().split() == ["0.25", "(0.13", "to", "0.50)"]
    assert "30 Nov 2026" in row.locator("td").nth(6).inner_text()
    page.goto(f"{units[1]}neuroscope/labels/#other?sort=unit")
    assert page.inner_text("[data-part=problem]") == f"There is no store of other here. There are: {MODEL}."
