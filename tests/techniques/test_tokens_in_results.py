"""Results over tokens show the tokens as text, in tables, printed, in figures, and read back from a file."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mechscope.arguments import visible, visible_token
from mechscope.dictionaries import ReluConfig, build
from mechscope.dictionaries.evaluation import feature_pages
from mechscope.results import Result, load_result
from mechscope.techniques import logit_lens, neuron_tokens, singular_directions, top_token_pairs
from mechscope.techniques.redteam._prompt_edits import swaps
from tests.model.letters import Letters
from tests.model.tiny import exact_model, tiny_tokens
from tests.techniques.tiny_task import tiny_task


def text_of(token: int) -> str:
    return Letters().decode([token]).replace(" ", "␣")


def model_with_text():
    model = exact_model(seed=1)
    model.set_tokenizer(Letters())
    return model


def check_labels(result: Result, ids: str, texts: str, tmp_path: Path) -> None:
    """Every text is that of its id, and both survive a file and a table."""
    found, expected = result.values.coords[texts].values, result.values.coords[ids].values
    assert [text_of(token) for token in expected.ravel() if token >= 0] == [
        text for text, token in zip(found.ravel(), expected.ravel(), strict=True) if token >= 0
    ]
    assert {texts, ids} <= set(result.to_dataframe().columns)
    assert load_result(result.save(tmp_path / "result.safetensors")).values.identical(result.values)


def test_the_lens_names_its_tokens(tmp_path: Path) -> None:
    model = model_with_text()
    lens = logit_lens(model, torch.tensor([[1, 27, 3, 4]]), top=2, progress=False)
    check_labels(lens.top_probability, "token_id", "token", tmp_path)
    np.testing.assert_array_equal(lens.top_probability.values.coords["token_id"].values, lens.top_tokens)
    check_labels(lens.kl, "token_id", "token", tmp_path)
    assert lens.kl.values.coords["token"].values.tolist() == ["a", "␣", "c", "d"]
    assert text_of(int(lens.top_tokens[0, -1, -1, 0])) in repr(lens)
    assert "'3 d'" in repr(lens)


def test_padding_has_no_token() -> None:
    tokens = torch.tensor([[1, 2, 3], [4, 5, 0]])
    mask = torch.tensor([[1, 1, 1], [1, 1, 0]])
    lens = logit_lens(model_with_text(), tokens, attention_mask=mask, progress=False)
    at = lens.top_probability.values.isel(batch=1, pos=2)
    assert set(at.coords["token"].values.ravel()) == {""}
    assert set(at.coords["token_id"].values.ravel()) == {-1}


def test_without_a_tokenizer_there_are_ids() -> None:
    lens = logit_lens(exact_model(), tiny_tokens(), progress=False)
    assert "token" not in lens.top_probability.values.coords
    assert "token_id" in lens.top_probability.values.coords


def test_readings_of_weights_name_their_tokens(tmp_path: Path) -> None:
    model = model_with_text()
    for found in (neuron_tokens(model, 0, 5, top=3), singular_directions(model, 0, 1, n=2, top=3)):
        check_labels(found.logits, "token_id", "token", tmp_path)
        assert all(text in repr(found) for row in (*found.top_texts, *found.bottom_texts) for text in row)
    pairs = top_token_pairs(model, 0, 1, k=5)
    check_labels(pairs.values, "row_id", "row_token", tmp_path)
    check_labels(pairs.values, "column_id", "column_token", tmp_path)
    np.testing.assert_array_equal(pairs.values.values.coords["row_id"].values, pairs.rows)
    assert all(str(pair) in repr(pairs) for pair in pairs.values.values.coords["pair"].values)


def test_pages_of_features_have_text() -> None:
    model = model_with_text()
    dictionary = build(ReluConfig(d_in=24, d_sae=40), 1).eval()
    tokens, hook = tiny_tokens(4, 8), "blocks.1.hook_resid_post"
    (page,) = feature_pages(model, dictionary, tokens, hook, 7, contexts=2)
    assert page.logits is not None and page.logits.top_texts == tuple(map(text_of, page.logits.top))
    assert page.logits.bottom_texts == tuple(map(text_of, page.logits.bottom))
    for context in (*page.top, *(each for group in page.groups for each in group.contexts)):
        assert context.texts == tuple(map(text_of, context.tokens))
    assert page == feature_pages(model, dictionary, tokens, hook, [7], contexts=2)[0]
    model.tokenizer = None
    (bare,) = feature_pages(model, dictionary, tokens, hook, 7, contexts=2)
    assert bare.logits is not None and bare.logits.top_texts is None


def test_edits_of_red_teaming_are_told_in_text() -> None:
    task = tiny_task(batch=4, seed=5)
    draw = torch.Generator().manual_seed(0)
    edited = swaps(task, 1, draw, text_of)
    for row, words in enumerate(edited.words):
        at = int(words.split(":")[0].removeprefix("position "))
        old, new = text_of(int(task.clean[row, at])), text_of(int(edited.tokens[row, at]))
        assert words == f"position {at}: {old} becomes {new}"


@pytest.mark.parametrize(
    ("token", "shown"),
    [(" of", "␣of"), ("of", "of"), ("\n", "\\n"), ("\u00a0", "\\xa0"), ("é", "é"), ("", "")],
)
def test_what_cannot_be_seen_is_shown(token: str, shown: str) -> None:
    assert visible_token(token) == shown
    assert visible_token(shown) == shown


def test_positions_keep_their_plain_labels() -> None:
    assert visible(" of") == "of"
