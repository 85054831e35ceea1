"""The neuroscope from a notebook: every step with the names of `ms.neuroscope`, and reprs that say something."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

import mechscope as ms
from mechscope.neuroscope.folders import VARIABLE
from tests.neuroscope import stores
from tests.neuroscope.small_harvest import SETTINGS, write_texts
from tests.test_import import fresh

ns = ms.neuroscope


def test_asking_a_store_loads_no_torch() -> None:
    code = (
        "import sys, mechscope as ms; store = ms.neuroscope.open_store('mini-gelu-1l'); repr(store.unit('mlp0/3'));"
        "repr(store); store.statistics('mlp0'); ms.neuroscope.find_by_statistic(store, 'kurtosis');"
        "print('torch' in sys.modules)"
    )
    assert fresh(code) == "False"


def test_the_names_in_the_documentation_exist() -> None:
    text = (Path(__file__).parents[2] / "docs" / "neuroscope.md").read_text(encoding="utf-8")
    section = text[text.index("## From Python") : text.index("## For developers")]
    names = set(re.findall(r"\bns\.(\w+)", section))
    assert len(names) > 10
    assert names <= set(ns.__all__)


def test_from_texts_to_a_label_that_is_scored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    texts = {path.name: path.read_text() for path in sorted(write_texts(tmp_path / "texts").iterdir())}
    corpus = ns.corpus_of_texts(texts, "word salad")
    make = {"sites": "mlp0", "corpus": corpus, "settings": SETTINGS, "progress": False}
    # The call continues what a command or an earlier call has begun.
    begun = ns.harvest("mini-gelu-1l", tmp_path / "mini-gelu-1l" / "harvest", max_tokens=600, **make)
    assert not begun.finished.whole_corpus
    with ns.harvest_to_store("mini-gelu-1l", **make) as store:
        assert store.folder == tmp_path / "mini-gelu-1l"
        assert store.about.documents == 11
        assert "documents of word salad (11, checksum " in repr(store)
        highest = store.statistics("mlp0").maximum
        unit = int(highest.argmax())
        page = store.unit(f"mlp0/{unit}")
        strongest = page.contexts_of("top")[0]
        assert strongest.value == pytest.approx(highest[unit])
        fired = ns.fire(store, texts[strongest.document], sites="mlp0", limit=3)
        assert len(fired.units) == 3
        assert repr(fired).splitlines()[1].startswith(f"  mini-gelu-1l/mlp0/{fired.units[0].address.unit}  ")
        rule = ns.TokenPatterns(((strongest.tokens[strongest.focus],),))
        label = ns.write_label(store, page.address, "one token", rule)
        scores = ns.Scorer(store, ns.ScoringOptions(seeds=(0,))).keep(label)
        assert store.labels.get(label.id).scores == scores
        assert repr(store.labels) == f"1 label of units of mini-gelu-1l\n  1  mlp0/{unit}  one token"
        assert repr(store).endswith("mlp0: 256 units\n  1 label")
        found = ns.find_by_statistic(store, "maximum", "mlp0", limit=1)
        assert repr(found) == f"(<mini-gelu-1l/mlp0/{unit}: {highest[unit]:.4g}>,)"
    with pytest.raises(ValueError, match=r"corpus is \['word salad .* there and \['texts"):
        ns.harvest_to_store("mini-gelu-1l", **make | {"corpus": ns.corpus_of_texts(["other"])})


def test_the_reprs_of_a_page_and_its_parts(tmp_path: Path) -> None:
    with ns.open_store(stores.toy_store(tmp_path / "toy")) as store:
        page, empty, head = (store.unit(unit) for unit in ("mlp0/1", "mlp0/0", "attn0.entropy/1"))
        assert repr(store).splitlines() == [
            f"store of toy in {tmp_path / 'toy'}",
            "  1,003 tokens of 2 documents of two files",
            "  mlp0: 3 units",
            "  attn0.entropy: 2 units",
            "  0 labels",
        ]
    assert "which cannot be read" in repr(store)
    assert repr(page).splitlines() == [
        "toy/mlp0/1",
        "  above 0 at 33.33% of 1,000 tokens · mean 1, standard deviation 1.41 · from -2 to 4 · skewness 0, excess "
        "kurtosis 0",
        "  promotes ␣cat +0.5, ␣sat +0.25",
        "  suppresses ␣the -0.75",
        "       3.50   the[ cat] sat on",
        "       2.50  <b>⏎[ cat]",
        "  contexts: 2 top, 1 quantile, 1 random",
    ]
    assert repr(page.contexts[1]) == "Context(top, 2.5: <b>⏎[ cat])"
    assert repr(page.histogram) == "Histogram(15 activations in 3 bins from 0 to 1.5)"
    assert repr(empty).endswith("promotes nothing\n  suppresses nothing\n  contexts: none")
    assert "promotes" not in repr(head)
    assert repr(head).splitlines()[2:] == [
        "       1.50   the[ mat]",
        "      0.250  [<b>]",
        "  contexts: 1 top, 1 low",
    ]
    html = page._repr_html_()
    # Texts are escaped, and colours are as strong as activations: 2.5 of at most 3.5.
    assert "&lt;b&gt;" in html
    assert "<b>" not in html
    assert "background:rgba(230,120,20,0.71);outline:1px solid' title='2.5'> cat</span>" in html


def test_a_corpus_of_texts_is_read_in_order_and_known_by_its_contents() -> None:
    corpus = ns.corpus_of_texts(["One.\r\nTwo.", "", "word " * 1000])
    assert [(each.name, len(each.text)) for each in corpus.documents()] == [
        ("text 1", 9),
        ("text 3", 4000),
        ("text 3, part 2", 1000),
    ]
    assert repr(corpus).endswith("), 5,010 characters")
    assert corpus.description != ns.corpus_of_texts(["One.\r\nTwo.", "word " * 1000]).description
    with pytest.raises(ValueError, match="takes several texts: put the one into a list"):
        ns.corpus_of_texts("One.")
    with pytest.raises(ValueError, match="text 2 is 3, and not a text"):
        ns.corpus_of_texts(["One.", 3])  # type: ignore[list-item]
    with pytest.raises(ValueError, match=r"text 1 has half of a surrogate pair \('.ud800'\)"):
        ns.corpus_of_texts(["a \ud800"])
    with pytest.raises(ValueError, match="have no letters"):
        ns.corpus_of_texts([" \n"]).check()


def test_a_function_from_a_notebook_is_a_rule() -> None:
    def is_import(before: str, token: str, after: str) -> bool:
        return token == "import"

    rule = ns.Predicate(is_import)
    assert (rule.kind, rule.text) == ("predicate", "is_import")
    assert np.concatenate(rule.scores([("import", " os")])).tolist() == [1, 0]
