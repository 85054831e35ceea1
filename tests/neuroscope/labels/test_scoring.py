import dataclasses
import json

import numpy as np
import pytest

from mechscope.neuroscope.corpus import open_corpus
from mechscope.neuroscope.corpus.documents import Document
from mechscope.neuroscope.corpus.named_texts import describe_named
from mechscope.neuroscope.labels import scoring
from mechscope.neuroscope.labels.current import is_current
from mechscope.neuroscope.labels.evidence import AFTER, BEFORE, evidence_of
from mechscope.neuroscope.labels.readings import Readings, corpus_of, drawn_documents, shows_evidence
from mechscope.neuroscope.labels.rules import Regex, TokenPatterns, Words
from mechscope.neuroscope.labels.scoring import Scorer, ScoringOptions
from mechscope.neuroscope.ready import OwnSource
from mechscope.neuroscope.sample_pass import Sample
from mechscope.neuroscope.settings import HarvestSettings, kept_settings
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.units import Context
from mechscope.neuroscope.writing import write_contents
from tests.neuroscope import stores
from tests.neuroscope.labels import planted_store as planted

ENOUGH = 320
CAT = Words(("cat",))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return planted.planted_store(tmp_path_factory.mktemp("planted"))


@pytest.fixture
def store(folder, monkeypatch):
    monkeypatch.setattr(scoring, "read_units", planted.read_planted)
    monkeypatch.setattr(scoring, "open_units", lambda store, sites: None)
    with NeuroscopeStore.open(folder) as opened:
        yield opened


def test_a_unit_that_does_what_the_rule_says_scores_one_and_others_do_not(store):
    found = Scorer(store).score(f"mlp0/{planted.PLANTED}", CAT)
    assert found["verdict"] == "holds"
    assert [found[name] for name in ("AUC", "precision", "recall")] == [1, 1, 1]
    # All of about fifty documents: not certain, but nearly.
    assert found["intervals"]["precision"] == [pytest.approx(0.93, abs=0.01), 1]
    assert found["null"]["kind"] == "other units" and found["null"]["draws"] >= 50
    assert found["null"]["median_auc"] == pytest.approx(0.5, abs=0.02)
    assert found["null"]["p"] == pytest.approx(found["null"]["resolution"])
    assert found["missed"] == found["false alarms"] == []
    assert len(found["null"]["p_by_seed"]) == 3


def test_shuffled_activations_score_like_other_units(store):
    found = Scorer(store).score(f"mlp0/{planted.SHUFFLED}", CAT)
    assert found["verdict"] == "does not hold" and "no better than chance" in found["because"]
    assert found["AUC"] == pytest.approx(0.5, abs=0.05)
    assert found["null"]["p"] > 0.05


def test_a_rule_that_is_half_right_shows_where_it_is_wrong(store):
    found = Scorer(store).score(f"mlp0/{planted.PLANTED}", Words(("cat", "dog")))
    assert found["verdict"] == "holds in part"
    assert found["recall"] == 1 and 0.4 < found["precision"] < 0.6
    assert found["missed"] == [] and len(found["false alarms"]) == 5
    assert {each["tokens"][each["focus"]] for each in found["false alarms"]} == {" dog"}
    assert len({each["document"] for each in found["false alarms"]}) == 5
    assert set(found["recall by strength"].values()) == {1.0}


def test_near_misses_are_quiet_tokens_that_equal_a_firing_one(store):
    # The unit fires on whatever comes after " dog", so that nearly all quiet tokens are near misses.
    address = f"mlp0/{planted.AFTER_DOG}"
    found = Scorer(store).score(address, TokenPatterns(((" dog", None),)))
    assert found["verdict"] == "holds" and found["AUC on near misses"] == 1
    assert found["text"]["near misses"] == found["text"]["tokens"] - found["text"]["firing"]
    assert found["missed"] == found["false alarms"] == []
    assert len({each["tokens"][each["focus"]] for each in found["near misses"]}) == 5
    for each in found["near misses"]:
        before, token = each["tokens"][each["focus"] - 1 : each["focus"] + 1]
        assert before != " dog" and token != "<b>" and each["value"] == 0
    found = Scorer(store).score(f"mlp0/{planted.PLANTED}", CAT)
    assert found["text"]["near misses"] == 0 and "AUC on near misses" not in found
    assert found["near misses"] == []


@pytest.mark.parametrize(
    ("unit", "rule", "verdict", "because"),
    [
        (planted.DEAD, CAT, "cannot tell", "never fires"),
        (planted.ALWAYS, CAT, "cannot tell", "fires at 100% of all tokens"),
        (planted.PLANTED, Regex(r"(?s)."), "does not hold", "matches 100% of all tokens"),
        (planted.PLANTED, Words(("zebra",)), "does not hold", "matches none of"),
    ],
)
def test_what_cannot_be_tested_gets_a_verdict_and_no_numbers(store, unit, rule, verdict, because):
    found = Scorer(store).score(f"mlp0/{unit}", rule)
    assert found["verdict"] == verdict and because in found["because"]
    assert not {"AUC", "precision", "recall"} & set(found)


def test_a_higher_threshold_makes_a_unit_that_always_fires_testable(store):
    found = Scorer(store, ScoringOptions(threshold=3.6)).score(f"mlp0/{planted.ALWAYS}", CAT)
    assert found["firing"]["threshold"] == 3.6 and found["verdict"] == "does not hold"
    assert 0.3 < found["text"]["firing"] / found["text"]["tokens"] < 0.5


def scored(names) -> int:
    return sum(not shows_evidence(name) for name in names)


TESTED = scored(f"{number:02d}.txt" for number in range(planted.SHOWN, planted.DOCUMENTS))


def test_documents_that_the_page_shows_are_left_out(store):
    found = Scorer(store).score(f"mlp0/{planted.PLANTED}", CAT)
    assert found["text"]["documents"] == TESTED < planted.DOCUMENTS - planted.SHOWN
    assert found["text"]["tokens"] == TESTED * (planted.LENGTH - 1)


def test_evidence_has_the_activation_of_every_token(store):
    found = Scorer(store).score(f"mlp0/{planted.PLANTED}", Words(("dog",)))
    for kind, value in (("missed", 4), ("false alarms", 0)):
        for context in evidence_of(found)[kind]:
            assert context.values == tuple(4.0 * (token == " cat") for token in context.tokens)
            assert context.value == context.values[context.focus] == value
            assert context.focus <= BEFORE and len(context.tokens) <= BEFORE + 1 + AFTER
    # What early versions stored: the activation at one token.
    early = {key: value for key, value in found["missed"][0].items() if key != "values"}
    (context,) = evidence_of({"missed": [early]})["missed"]
    assert np.flatnonzero(np.isfinite(context.values)).tolist() == [context.focus]
    assert evidence_of(None) == {}


def test_a_rule_that_matches_nothing_is_shown_what_it_misses(store):
    found = Scorer(store).score(f"mlp0/{planted.PLANTED}", Words(("zebra",)))
    assert [each["tokens"][each["focus"]] for each in found["missed"]] == [" cat"] * 5


def test_documents_that_evidence_comes_from_are_not_scored(store):
    found = Scorer(store).score(f"mlp0/{planted.PLANTED}", Words(("dog",)))
    for kind in ("missed", "false alarms"):
        names = {each["document"] for each in found[kind]}
        assert len(names) == 5 and scored(names) == 0


def test_passages_that_the_page_shows_are_left_out_wherever_they_are_repeated():
    texts = (("<b>", "a", "b", "c"), ("<b>", "x", "b", "c"), ("a", "b", "c", "c"))
    read = Readings(texts, ("1", "2", "3"), (7,), np.arange(12.0)[:, None], np.ones(12, bool))
    shown = Context("top", 1.0, "1", ("<b>", "a", "b", "c"), (0.0,) * 4, 3)
    held = read.held_out([shown], same=3)
    assert held.documents == ("2", "3") and held.of(7).tolist() == list(range(4, 12))
    assert held.counted.tolist() == [True] * 6 + [False, True]
    assert held.document.tolist() == [0] * 4 + [1] * 4
    two = [True, True, True, False, True, True, False, True]
    assert read.held_out([shown], same=2).counted.tolist() == two
    # A page that shows only one token before the focus cannot say more than that the last two are the same.
    short = Context("top", 1.0, "1", ("b", "c"), (0.0,) * 2, 1)
    assert read.held_out([short], same=3).counted.tolist() == two


def test_more_text_is_read_if_the_unit_fires_too_seldom(store, monkeypatch):
    ids = planted.tokens(5)
    monkeypatch.setattr(
        scoring, "drawn_documents", lambda corpus, known, seed: [Document("more.txt", "…")] * 2
    )
    monkeypatch.setattr(
        scoring,
        "more_sequences",
        lambda opened, settings, documents, size: (
            Sample(
                tuple(range(20)), tuple(f"more {k} {n}" for n in range(20)), tuple(ids[20 * k : 20 * k + 20])
            )
            for k in range(3)
        ),
    )
    told = []
    options = ScoringOptions(corpus=("library",), enough=ENOUGH)
    found = Scorer(store, options, told.append).score(f"mlp0/{planted.PLANTED}", CAT)
    assert (
        found["text"]["more from"] == ["library"] and "reading more of the source code of Python" in told[0]
    )
    names = [f"more {k} {n}" for k in range(3) for n in range(20)]
    assert found["text"]["documents"] == TESTED + scored(names[:40])  # two pieces were enough
    assert found["verdict"] == "holds" and found["text"]["firing"] >= ENOUGH
    less = ScoringOptions(corpus=("library",), enough=ENOUGH, most_tokens=100)
    assert Scorer(store, less).score(f"mlp0/{planted.PLANTED}", CAT)["text"]["documents"] == TESTED + scored(
        names[:20]
    )


def test_more_text_comes_from_the_field_that_was_harvested(store, tmp_path, monkeypatch):
    rows = [{"text": "not this", "body": f"row {number}"} for number in range(3)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    about = dataclasses.replace(
        store.about,
        corpus=str(tmp_path / "rows.jsonl"),
        settings=kept_settings(HarvestSettings(), "body"),
    )
    monkeypatch.setattr(NeuroscopeStore, "about", about)
    read: list[Document] = []
    monkeypatch.setattr(scoring, "more_sequences", lambda _, __, documents, ___: read.extend(documents) or ())

    def texts(options: ScoringOptions) -> set[str]:
        read.clear()
        Scorer(store, options).score(f"mlp0/{planted.PLANTED}", CAT)
        return {document.text for document in read}

    assert texts(ScoringOptions(enough=ENOUGH)) == {"row 0", "row 1", "row 2"}
    named = (str(tmp_path / "rows.jsonl"),)
    assert texts(ScoringOptions(enough=ENOUGH, corpus=named)) == {"row 0", "row 1", "row 2"}
    assert texts(ScoringOptions(enough=ENOUGH, corpus=named, field="text")) == {"not this"}


def test_scores_stay_with_the_label_and_are_out_of_date_after_another_harvest(tmp_path, store, folder):
    import shutil

    own = tmp_path / "own"
    shutil.copytree(folder, own)
    with NeuroscopeStore.open(own) as opened:
        label = opened.labels.add("mlp0/0", "cats", CAT.kind, CAT.text)
        assert not is_current(opened, label)
        kept = Scorer(opened).keep(label)
        (scored,) = opened.labels.of("mlp0/0")
        assert scored.scores == kept and is_current(opened, scored)
        assert kept["rule"] == {"kind": "words", "text": "cat"} and kept["seeds"] == [0, 1, 2]
        write_contents(own, stores.contents("planted"))
        (scored,) = opened.labels.of("mlp0/0")
        assert scored.scores == kept and not is_current(opened, scored)


def test_a_corpus_is_found_again_by_its_description(tmp_path):
    found = corpus_of(f"{describe_named('held-out')} and {tmp_path}")
    assert found is not None and found.names == ("held-out", str(tmp_path))
    own = corpus_of(OwnSource().description)
    assert own is not None and any("neuroscope" in document.name for document in own.documents())
    assert corpus_of("two files that are gone") is None


def test_more_text_is_drawn_at_random_and_without_what_is_known(tmp_path):
    for number in range(8):
        (tmp_path / f"{number}.txt").write_text(f"text {number}")
    corpus = open_corpus(str(tmp_path))
    orders = [[each.name for each in drawn_documents(corpus, {"3.txt"}, seed)] for seed in (0, 0, 1)]
    assert orders[0] == orders[1] != orders[2]
    assert sorted(orders[0]) == sorted(orders[2]) == [f"{number}.txt" for number in (0, 1, 2, 4, 5, 6, 7)]


def test_the_model_reads_the_sample_once_for_all_labels_of_a_site(store, monkeypatch):
    calls = []

    def read(*arguments):
        calls.append(arguments[1])
        return planted.read_planted(*arguments)

    monkeypatch.setattr(scoring, "read_units", read)
    scorer = Scorer(store)
    found = [scorer.score(f"mlp0/{unit}", CAT)["verdict"] for unit in (planted.PLANTED, planted.SHUFFLED)]
    assert found == ["holds", "does not hold"] and calls == ["mlp0"]


def test_without_any_text_nothing_is_said(store, monkeypatch):
    def empty(opened, site, units, settings, sample, vocabulary):
        return Readings((), (), tuple(range(planted.UNITS)), np.zeros((0, planted.UNITS)), np.zeros(0, bool))

    monkeypatch.setattr(scoring, "read_units", empty)
    found = Scorer(store).score(f"mlp0/{planted.PLANTED}", CAT)
    assert found["verdict"] == "cannot tell" and "fires at 0 tokens in 0 of the documents" in found["because"]
