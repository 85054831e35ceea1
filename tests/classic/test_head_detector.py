"""Head detection: patterns by hand, heads that are made to attend so, the peer, and misuse."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mechscope import head_detector
from mechscope.head_detector import detect_head
from tests.classic.peers import twins
from tests.model.tiny import exact_model, tiny_model

TOKENS = torch.tensor([[3, 5, 7, 3, 5, 7, 9, 3]])


def ones_at(*places: tuple[int, int]) -> torch.Tensor:
    pattern = torch.zeros(8, 8)
    for place in places:
        pattern[place] = 1
    return pattern


def test_patterns_by_hand() -> None:
    expected = {
        "previous_token": [(pos, pos - 1) for pos in range(1, 8)],
        "duplicate_token": [(3, 0), (4, 1), (5, 2), (7, 0), (7, 3)],
        "induction": [(3, 1), (4, 2), (5, 3), (7, 1), (7, 4)],
    }
    for name, places in expected.items():
        make = getattr(head_detector, f"get_{name}_head_detection_pattern")
        assert torch.equal(make(TOKENS), ones_at(*places)), name
        assert torch.equal(make(TOKENS[0]), ones_at(*places)), name
    assert head_detector.get_supported_heads() == tuple(f"{name}_head" for name in expected)


@pytest.mark.parametrize("head", ["previous_token_head", "duplicate_token_head", "induction_head"])
def test_a_head_that_attends_as_its_name_says_scores_one(head: str) -> None:
    model = tiny_model()
    wanted = head_detector.DETECTION_PATTERNS[head](TOKENS)

    def attend(pattern: torch.Tensor, hook: Any) -> torch.Tensor:
        pattern[:, 2] = wanted
        return pattern

    model.add_hook("blocks.1.attn.hook_pattern", attend)
    for measure in ("mul", "abs"):
        scores = detect_head(model, TOKENS, head, error_measure=measure)
        assert scores.shape == (2, 4)
        assert scores[1, 2] == pytest.approx(1)
        assert scores.flatten().topk(2).values[1] < 0.6


def test_chosen_heads_several_sequences_and_a_given_cache() -> None:
    model = exact_model()
    every = detect_head(model, TOKENS, "induction_head")
    some = detect_head(model, TOKENS, "induction_head", heads=[(0, 1), (1, 3)])
    assert torch.equal(some, detect_head(model, TOKENS, "induction_head", heads={0: [1], 1: [3]}))
    assert some[0, 1].item() == pytest.approx(every[0, 1].item(), abs=1e-12)
    assert some[1, 3].item() == pytest.approx(every[1, 3].item(), abs=1e-12)
    assert (some == -1).sum() == 6
    assert (detect_head(model, TOKENS, "induction_head", heads=[]) == -1).all()
    other = torch.tensor([[1, 2, 1, 2, 1, 2, 1, 2]])
    both = detect_head(model, torch.cat([TOKENS, other]), "induction_head")
    assert torch.allclose(both, (every + detect_head(model, other, "induction_head")) / 2)
    for without_batch in (False, True):
        _, cache = model.run_with_cache(TOKENS, remove_batch_dim=without_batch)
        assert torch.allclose(detect_head(model, TOKENS, "induction_head", cache=cache), every)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"detection_pattern": "prev"}, "'prev'.*previous_token_head, duplicate_token_head, induction_head"),
        ({"detection_pattern": torch.ones(8, 8)}, r"\(8, 8\).*above the diagonal"),
        ({"detection_pattern": torch.ones(7, 7).tril()}, r"\(8, 8\).*\(7, 7\)"),
        ({"detection_pattern": torch.ones(8, 8).tril() / 2}, "zeros and ones.*error_measure='abs'"),
        ({"error_measure": "mult"}, "'mul' or 'abs'"),
        ({"heads": [(2, 0)]}, "no head 0 in layer 2"),
        ({"heads": {0: [4]}}, "no head 4 in layer 0"),
        ({"seq": TOKENS[:, :1]}, "1 tokens cannot be used"),
        ({"seq": torch.zeros(1, 13, dtype=torch.long)}, "context of 12"),
        ({"seq": "some text"}, "tokenizer"),
        ({"seq": []}, "empty"),
        ({"seq": torch.cat([TOKENS, TOKENS]), "cache": {}}, "leave cache out"),
    ],
)
def test_misuse_says_what_is_wrong(change: dict[str, Any], says: str) -> None:
    arguments = {"seq": TOKENS, "detection_pattern": "induction_head", **change}
    with pytest.raises(ValueError, match=says):
        detect_head(tiny_model(), **arguments)


def test_a_cache_of_another_run_is_an_error() -> None:
    model = tiny_model()
    _, cache = model.run_with_cache(TOKENS[:, :5])
    with pytest.raises(ValueError, match="single sequence"):
        detect_head(model, TOKENS, "induction_head", cache=cache)
    with pytest.raises(ValueError, match="one sequence"):
        head_detector.get_induction_head_detection_pattern(torch.zeros(2, 4))


@pytest.mark.peer
def test_scores_agree_with_the_peer() -> None:
    ours, theirs = twins()
    peer = pytest.importorskip("transformer_lens.head_detector")
    theirs.to_tokens = lambda text, **_: TOKENS
    for name in head_detector.HEAD_NAMES:
        for exclude_bos in (False, True):
            for exclude_current_token in (False, True):
                for measure, rounding in (("mul", 1e-5), ("abs", 6e-4)):  # the peer rounds "abs"
                    options: dict[str, Any] = {
                        "exclude_bos": exclude_bos,
                        "exclude_current_token": exclude_current_token,
                        "error_measure": measure,
                    }
                    found = detect_head(ours, TOKENS, name, **options)
                    expected = peer.detect_head(theirs, "text", name, **options)
                    assert torch.allclose(found, expected, atol=rounding), (name, options)
    attention, pattern = torch.rand(6, 6).tril(), torch.ones(6, 6).tril()
    options = {"exclude_bos": True, "exclude_current_token": False, "error_measure": "mul"}
    found = head_detector.compute_head_attention_similarity_score(attention, pattern, **options)
    assert found == pytest.approx(
        peer.compute_head_attention_similarity_score(attention.clone(), pattern, **options)
    )
