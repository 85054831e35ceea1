"""What the neuroscope's pages read: the files of a static site say what the server says."""

from __future__ import annotations

import gzip
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest

from mechscope.neuroscope.messages import unit_answer
from mechscope.neuroscope.site_data import (
    BATCH,
    FOLDER,
    labels_of,
    site_words,
    static_files,
    unit_of,
    with_stores,
)
from mechscope.neuroscope.site_search import found_units
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.writing import write_contents
from mechscope.pages.site import SitePage, SiteRoom, collect_site
from tests.neuroscope import stores

MODEL = "mini-gelu-1l"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store with more units than one file has."""
    neurons = stores.neurons(BATCH + 3)
    neurons.counts[2] = 0, 0, 0, 5, 2, 0
    sites = (neurons, stores.heads())
    sizes = {"mlp0": BATCH + 3, "attn0.entropy": 2}
    write_contents(tmp_path / MODEL, stores.contents(MODEL, sites=sites, site_sizes=sizes))
    return tmp_path


def test_files_of_a_static_site_have_every_unit_once(folder: Path) -> None:
    files = static_files(folder)
    with NeuroscopeStore.open(folder / MODEL) as store:
        for site, units in (("mlp0", BATCH + 3), ("attn0.entropy", 2)):
            place = f"{FOLDER}/{MODEL}/{site}"
            table = json.loads(gzip.decompress(files[f"{place}/table.json.gz"]()))
            assert (table["units"], table["batch"]) == (units, BATCH)
            # From skewness and kurtosis, which are the same made-up numbers for every site.
            skewness, kurtosis = (table["statistics"][name][1] for name in ("skewness", "kurtosis"))
            assert table["statistics"]["bimodality"][1] == pytest.approx(
                (skewness**2 + 1) / (kurtosis + 3), rel=1e-4
            )
            batches = [name for name in files if name.startswith(f"{place}/units-")]
            found = [unit for name in batches for unit in json.loads(gzip.decompress(files[name]()))]
            assert found == [unit_of(store, site, unit).to_dict() for unit in range(units)]
    made = files[f"{FOLDER}/{MODEL}/mlp0/units-0.json.gz"]
    assert made() == made()


def test_a_site_shows_other_stores(folder: Path) -> None:
    kept = {"files/other.json": bytes, f"{FOLDER}/stores.json": bytes, f"{FOLDER}/old/table.json.gz": bytes}
    page = SitePage("", "Home", Path())
    site = collect_site([SiteRoom([page], made_files=kept)])
    files = with_stores(site, folder / MODEL).made_files
    assert files["files/other.json"] is bytes
    assert f"{FOLDER}/old/table.json.gz" not in files
    assert [store["model"] for store in json.loads(files[f"{FOLDER}/stores.json"]())["stores"]] == [MODEL]


def test_a_unit_as_it_is_sent(folder: Path) -> None:
    with NeuroscopeStore.open(folder / MODEL) as store:
        label = store.labels.add("mlp0/1", "cats", "words", "cat")
        scores = {
            "verdict": "holds", "because": "It finds all.", "scored": "2026-11-30T12:00:00+00:00",
            "recall": 0.75, "precision": 0.5, "intervals": {"recall": [0.5, 1.0], "precision": [math.nan, math.nan]},
            "null": {"p": 0.01}, "text": {},
            "missed": [{"document": "a", "tokens": [" cat", "\n"], "focus": 1, "value": 2.0}],
        }  # fmt: skip
        store.labels.set_scores(label.id, scores)
        store.labels.add("mlp0/2", "dogs")
        listed = labels_of(store).labels
        assert [(each.unit, each.verdict, each.evidence) for each in listed] == [
            (1, "holds", ()),
            (2, "", ()),
        ]
        sent = unit_of(store, "mlp0", 1).to_dict()
        with pytest.raises(KeyError, match="no unit 99"):
            unit_of(store, "mlp0", 99)
    top = sent["contexts"][0]
    assert (top["kind"], top["tokens"], top["focus"]) == ("top", [" the", " cat", " sat", " on"], 1)
    assert top["values"] == [0.25, 3.5, 0.0, -0.125]
    assert sent["logits"]["promoted"][0] == {"token": " cat", "effect": 0.5}
    assert sent["by_weights"][0] == {"site": "mlp0", "unit": 2, "similarity": 0.875}
    (label,) = sent["labels"]
    assert (label["text"], label["rule"], label["verdict"]) == ("cats", "words: cat", "holds")
    assert (label["because"], label["scored"]) == ("It finds all.", "2026-11-30T12:00:00+00:00")
    assert label["scores"] == [
        {"name": "recall", "value": 0.75, "low": 0.5, "high": 1.0},
        {"name": "precision", "value": 0.5, "low": None, "high": None},
        {"name": "p", "value": 0.01, "low": None, "high": None},
    ]
    (missed,) = label["evidence"]
    assert (missed["kind"], missed["heading"]) == ("missed", "It fires here, but the rule does not match")
    assert missed["contexts"][0]["tokens"] == [" cat", "\n"]
    # The activation was not stored for every token.
    assert missed["contexts"][0]["values"] == [None, 2.0]
    assert sent["labels_in_words"] == "1 label; it holds"
    assert sent["sequences"] == []
    json.dumps(sent, allow_nan=False)


def test_a_head_comes_with_the_sequences_of_its_quantile_contexts(tmp_path: Path) -> None:
    heads = stores.heads()
    units = list(heads.units)
    units[0] = stores.StoredUnit(
        (
            stores.context("quantile", 0.5, 7, 2, 1, [0.0, 0.5], 0.5),
            stores.context("quantile", 0.25, 3, 1, 1, [0.25], 0.1),
            stores.context("low", -0.5, 3, 2, 2, [-0.5]),
        )
    )
    sites = (stores.neurons(), replace(heads, units=units))
    write_contents(tmp_path, stores.contents(sites=sites))
    with NeuroscopeStore.open(tmp_path) as store:
        first, second = unit_of(store, "attn0.entropy", 0).sequences
    assert (first.ids, first.strings) == ((5, 6, 7), ('"', "<b>", "\n"))
    assert second.strings == (" the", " cat")


def test_histograms_come_without_empty_ends_where_the_browser_reads_units(folder: Path) -> None:
    table = json.loads(gzip.decompress(static_files(folder)[f"{FOLDER}/{MODEL}/mlp0/table.json.gz"]()))
    assert table["histograms"]["counts"][:3] == [[0, 10], [0, 10, 4, 1], [1, 5, 2]]
    assert table["histograms"]["edges"] == [0.0, 0.5, 1.0, 1.5]


def test_a_context_with_parts_of_characters_has_the_ids_of_its_tokens(folder: Path) -> None:
    with NeuroscopeStore.open(folder / MODEL) as store:
        page = store.unit(f"{MODEL}/mlp0/1")
    (first, *_) = page.contexts
    broken = replace(first, tokens=("\ufffd", *first.tokens[1:]))
    plain, with_ids = unit_answer(replace(page, contexts=(first, broken))).contexts
    assert (plain.ids, with_ids.ids) == ((), (0, 1, 2, 3))


def test_what_units_are_called() -> None:
    assert site_words("attn3.norm") == "attention head of layer 3, by how much it writes"
    assert site_words("mini-gelu-1l-neurons") == "latent of the dictionary mini-gelu-1l-neurons"
    assert site_words("refusal", "/tmp/refusal.safetensors@resid_mid0") == "direction of refusal"
    assert site_words("mine", "/tmp/mine") == "latent of the dictionary mine"


def test_a_search_looks_at_labels_then_tokens_then_texts(folder: Path) -> None:
    with NeuroscopeStore.open(folder / MODEL) as store:
        store.labels.add("mlp0/5", "things on a cat")
        found = found_units(store, "cat").found
        assert [(each.site, each.unit) for each in found[:2]] == [("mlp0", 5), ("mlp0", 1)]
        assert found[0].why == "label: things on a cat"
        assert found[1].why == "2 of its 2 strongest texts were kept for this token"
        (text,) = found_units(store, "sat on").found
        assert (text.unit, text.why) == (1, " the cat sat on")
        # Neither has a word, and the first is a token.
        assert found_units(store, '"').found == ()
        assert found_units(store, "?!").found == ()


@pytest.mark.parametrize("model", ["../../../elsewhere", "owner/../../../../x", "..\\x"])
def test_a_store_cannot_write_outside_of_a_site(tmp_path: Path, model: str) -> None:
    write_contents(tmp_path / "sent", stores.contents(model))
    with pytest.raises(ValueError, match="would be written outside of it"):
        static_files(tmp_path / "sent")
