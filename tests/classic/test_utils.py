"""The classic `utils`: that the names are there and do what the classic ones do."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mechscope import utils
from mechscope.model.transformer import HookedTransformer
from tests.classic.words import word_tokenizer
from tests.model.tiny import tiny_model


def reader() -> HookedTransformer:
    tokenizer = word_tokenizer()
    model = tiny_model(d_vocab=len(tokenizer), n_ctx=32)
    model.set_tokenizer(tokenizer)
    return model


def test_every_name_it_promises_is_there() -> None:
    for name in utils.__all__:
        assert hasattr(utils, name)
    assert not utils.test_prompt.__test__, "pytest would collect it wherever it is imported"


def test_test_prompt_ranks_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    model = reader()
    found = utils.test_prompt("the cat sat on", "mat", model, top_k=4)
    printed = capsys.readouterr().out
    assert printed.strip() == str(found).strip() and "|Ġ" not in printed
    logits = model("the cat sat on")[0, -1].detach()
    answer = model.to_single_token(" mat")
    (tested,) = found.answers
    (token,) = tested.tokens
    assert token.text == " mat"
    assert token.logit == pytest.approx(float(logits[answer]), abs=1e-4)
    assert token.probability == pytest.approx(float(logits.softmax(-1)[answer]), abs=1e-5)
    assert token.rank == int((logits > logits[answer]).sum())
    best = logits.topk(4).indices.tolist()
    assert [candidate.text for candidate in tested.top[0]] == [
        model.to_single_str_token(best_id) for best_id in best
    ]
    assert [candidate.rank for candidate in tested.top[0]] == [0, 1, 2, 3]


def test_test_prompt_with_several_answers_of_several_tokens(capsys: pytest.CaptureFixture[str]) -> None:
    model = reader()
    found = utils.test_prompt("the cat", ["sat on", "dog"], model, print_details=False, prepend_bos=False)
    assert capsys.readouterr().out == ""
    assert found.prompt_tokens == ("the", " cat")
    first, second = found.answers
    assert [token.text for token in first.tokens] == [" sat", " on"] and len(second.tokens) == 1
    after = model("the cat sat", prepend_bos=False)[0, -1].detach()
    assert first.tokens[1].logit == pytest.approx(float(after[model.to_single_token(" on")]), abs=1e-4)
    spaceless = utils.test_prompt("the cat", "sat", model, prepend_space_to_answer=False, print_details=False)
    assert spaceless.answers[0].tokens[0].text == "sat"


def test_test_prompt_misused() -> None:
    with pytest.raises(ValueError, match="tokenizer"):
        utils.test_prompt("the cat", "sat", tiny_model())
    for empty in ("", []):
        with pytest.raises(ValueError, match="give an answer"):
            utils.test_prompt("the cat", empty, reader())


@pytest.mark.peer
def test_agrees_with_the_peer() -> None:
    peer = pytest.importorskip("transformer_lens.utils")
    generator = torch.Generator().manual_seed(0)
    logits, x = torch.randn(2, 4, 7, generator=generator), torch.randn(2, 4, 5, generator=generator)
    tokens = torch.randint(0, 7, (2, 4), generator=generator)
    mask = torch.tensor([[0, 1, 1, 1], [1, 1, 1, 0]])
    square = torch.ones(3, 3)
    calls: list[tuple[str, tuple[Any, ...]]] = [
        ("lm_cross_entropy_loss", (logits, tokens)),
        ("lm_cross_entropy_loss", (logits, tokens, mask)),
        ("lm_cross_entropy_loss", (logits, tokens, None, True)),
        ("lm_cross_entropy_loss", (logits, tokens, mask, True)),
        ("lm_accuracy", (logits, tokens)),
        ("lm_accuracy", (logits, tokens, True)),
        ("gelu_new", (x,)),
        ("gelu_fast", (x,)),
        ("solu", (x,)),
        ("get_corner", (logits, 2)),
        ("get_corner", (logits,)),
        ("remove_batch_dim", (logits[:1],)),
        ("remove_batch_dim", (logits,)),
        ("transpose", (logits,)),
        ("is_square", (square,)),
        ("is_square", (logits,)),
        ("is_lower_triangular", (square,)),
        ("is_lower_triangular", (square.tril(),)),
        ("get_cumsum_along_dim", (tokens, 1)),
        ("get_cumsum_along_dim", (tokens, 1, True)),
        ("get_offset_position_ids", (1, mask)),
        ("repeat_along_head_dimension", (x, 3)),
        ("filter_dict_by_prefix", ({"a.b": 1, "ab": 2, "c": 3}, "a")),
        ("calc_fan_in_and_fan_out", (x[0, 0],)),
        ("calc_fan_in_and_fan_out", (x[0],)),
        ("calc_fan_in_and_fan_out", (x,)),
        ("to_numpy", (x,)),
        ("to_numpy", ([1, 2],)),
        ("to_numpy", (2.5,)),
    ]
    for name, arguments in calls:
        found, expected = getattr(utils, name)(*arguments), getattr(peer, name)(*arguments)
        if isinstance(expected, torch.Tensor):
            assert found.dtype == expected.dtype, name
            assert torch.allclose(found, expected, atol=1e-6), name
        elif hasattr(expected, "tolist"):
            assert found.tolist() == expected.tolist(), name
        else:
            assert found == expected, name


@pytest.mark.peer
@pytest.mark.parametrize("broadcast", [True, False])
def test_composition_scores_agree_with_the_peer(broadcast: bool) -> None:
    # By full names: what the peer's package binds these names to depends on what was imported before.
    peer_utils = pytest.importorskip("transformer_lens.utils")
    theirs = pytest.importorskip("transformer_lens.FactoredMatrix").FactoredMatrix
    from mechscope import FactoredMatrix

    factors = [torch.randn(3, 2, *shape) for shape in ((6, 2), (2, 6), (6, 2), (2, 6))]
    found = utils.composition_scores(
        FactoredMatrix(*factors[:2]), FactoredMatrix(*factors[2:]), broadcast_dims=broadcast
    )
    expected = peer_utils.composition_scores(
        theirs(*factors[:2]), theirs(*factors[2:]), broadcast_dims=broadcast
    )
    assert found.shape == expected.shape and torch.allclose(found, expected, atol=1e-5)
