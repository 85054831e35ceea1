"""Characters whose bytes are in several tokens are found by rules and searches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mechscope import load_model
from mechscope.neuroscope.harvest import harvest
from mechscope.neuroscope.labels.readings import read_units
from mechscope.neuroscope.labels.rules import Regex, TokenPatterns, Words
from mechscope.neuroscope.opening import OpenedModel
from mechscope.neuroscope.publish import publish, vocabulary_texts
from mechscope.neuroscope.queries import find_by_text
from mechscope.neuroscope.sample_pass import Sample
from mechscope.neuroscope.settings import HarvestSettings
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.whole_characters import BROKEN, whole_characters

MODEL = "mini-gelu-1l"


@pytest.fixture(scope="module")
def model() -> Any:
    return load_model(MODEL)


def tokens_of(model: Any, text: str) -> tuple[list[int], list[str]]:
    ids = model.tokenizer.encode(text, add_special_tokens=False)
    vocabulary = vocabulary_texts(model)
    return ids, [vocabulary[token] for token in ids]


@pytest.mark.parametrize(
    "text",
    ["plain", "naïve — “quoted”", "世界 😀!", "é" * 40, "ends with 世"],
    ids=lambda text: ascii(text)[:12],
)
def test_texts_of_tokens_are_together_the_text(model: Any, text: str) -> None:
    ids, broken = tokens_of(model, text)
    found = whole_characters(model.tokenizer, ids, broken)
    assert "".join(found) == text
    assert len(found) == len(ids)
    # Tokens that are text already stay as they are.
    assert all(new == old for new, old in zip(found, broken, strict=True) if BROKEN not in old and new)


def test_bytes_that_are_no_character_stay_broken(model: Any) -> None:
    ids, broken = tokens_of(model, "a世b")
    assert len(ids) == 5
    for some in (slice(0, 3), slice(2, 5)):  # a sequence that ends, or begins, in the middle of a character
        assert list(whole_characters(model.tokenizer, ids[some], broken[some])) == broken[some]
    ids, broken = tokens_of(model, f"a{BROKEN}b")
    assert "".join(whole_characters(model.tokenizer, ids, broken)).replace(BROKEN, "") == "ab"


def test_rules_about_text_find_words_in_any_script(model: Any) -> None:
    ids, texts = tokens_of(model, "un café, “noir”")
    opened = OpenedModel.open(MODEL, ["mlp0"], torch.device("cpu"))
    sample = Sample((0,), ("a.txt",), (np.array([0, *ids]),))
    settings = HarvestSettings(massive_limits=(None,))
    read = read_units(opened, "mlp0", [3], settings, sample, dict(enumerate(vocabulary_texts(model))))
    assert list(read.texts[0][1:]) == texts
    spelled = read.spelled[0]
    assert "".join(spelled[1:]) == "un café, “noir”"
    place = spelled.index("é")
    (words,) = Words(("café",), "last").scores([spelled])
    assert np.flatnonzero(words).tolist() == [place + 1], "the last token of é, which has no text of its own"
    (quotes,) = Regex("“").scores([spelled])
    assert np.flatnonzero(quotes).tolist() == [start := spelled.index("“"), start + 1, start + 2]
    # Rules about tokens read them as pages show them.
    assert not TokenPatterns(((BROKEN,),)).is_about_text and Words(("a",)).is_about_text
    both = read + read.held_out((), 8)
    assert both.spelled == read.spelled * 2 and len(both.texts) == 2


def test_a_search_finds_words_in_any_script(tmp_path: Path) -> None:
    texts = tmp_path / "texts"
    texts.mkdir()
    (texts / "french.txt").write_text("un café noir au bar", encoding="utf-8")
    (texts / "english.txt").write_text("a black coffee at the bar", encoding="utf-8")
    settings = HarvestSettings(top=2, low=0, sample=2)
    found = harvest(
        MODEL, tmp_path / "work", sites=["mlp0"], corpus=str(texts), settings=settings, device="cpu"
    )
    publish(found.folder, tmp_path / "store")
    with NeuroscopeStore(tmp_path / "store") as store:
        assert all("caf" in unit.example for unit in find_by_text(store, "café"))
        assert find_by_text(store, "café") and find_by_text(store, "coffee")
        assert not find_by_text(store, "mère")
