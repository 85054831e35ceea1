"""The live figures of steps 03 and 04: their numbers are Python's, and a head that is switched off is off."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest
import torch

import mechscope as ms
from tests.browser import WatchedPage


@pytest.fixture
def watched(browser: Any) -> Iterator[WatchedPage]:
    found = WatchedPage(browser)
    yield found
    assert found.problems == []
    found.page.close()


def numbers(text: str) -> list[float]:
    return [float(number.replace("−", "-")) for number in re.findall(r"[−-]?\d+\.\d+", text)]


def losses_of_copies(text: str, off: tuple[tuple[int, int], ...]) -> list[float]:
    model = ms.load_model("mini-attn-only-2l")
    once = model.to_tokens(text, prepend_bos=False)
    tokens = torch.cat([torch.tensor([[model.tokenizer.bos_token_id]]), once, once], dim=1)

    def silence(z: torch.Tensor, hook: Any, head: int) -> torch.Tensor:
        z[:, :, head] = 0
        return z

    hooks = [
        (f"blocks.{layer}.attn.hook_z", lambda z, hook, head=head: silence(z, hook, head))
        for layer, head in off
    ]
    with torch.no_grad(), model.hooks(fwd_hooks=hooks):
        losses = model(tokens, return_type="loss", loss_per_token=True)[0]
    length = once.shape[1]
    return [float(losses[:length].mean()), float(losses[length + 1 :].mean())]


def test_the_losses_of_both_copies(watched: WatchedPage, address: str) -> None:
    page = watched.page
    page.goto(f"{address}steps/03-induction/")
    page.wait_for_selector(".live-tokens .ms-token")
    text = "Wuggles brillig the mome"
    page.fill(".live-text", text)
    plain = losses_of_copies(text, ())
    assert numbers(page.inner_text(".live-loss")) == pytest.approx(plain, abs=0.006)
    page.get_by_role("button", name="L1H0").click()
    page.get_by_role("button", name="L0H1").click()
    without = losses_of_copies(text, ((1, 0), (0, 1)))
    words = page.inner_text(".live-loss")
    assert numbers(words) == pytest.approx(without, abs=0.006)
    assert "without L1H0, L0H1" in words
    assert without[1] > plain[1] + 0.5
    page.get_by_role("button", name="L1H0 (ablated)").click()
    page.get_by_role("button", name="L0H1 (ablated)").click()
    assert numbers(page.inner_text(".live-loss")) == pytest.approx(plain, abs=0.006)


def test_random_tokens_and_texts_that_do_not_fit(watched: WatchedPage, address: str) -> None:
    page = watched.page
    page.goto(f"{address}steps/03-induction/")
    page.wait_for_selector(".live-tokens .ms-token")
    page.get_by_role("button", name="Random tokens instead").click()
    assert page.locator(".live-tokens .ms-token").count() == 33
    first, second = numbers(page.inner_text(".live-loss"))
    assert second < first
    for text, tokens in (("", 0), ("x" * 80, None)):
        page.fill(".live-text", text)
        assert page.locator(".live-problem").is_visible()
        if tokens is not None:
            assert f"The text has {tokens} tokens" in page.inner_text(".live-problem")
    page.fill(".live-text", "fine again")
    assert page.locator(".live-problem").is_hidden()


@pytest.mark.parametrize(
    ("story", "giver"), [("0", "first"), pytest.param("1", "second", marks=pytest.mark.slow)]
)
def test_the_logit_difference(watched: WatchedPage, address: str, story: str, giver: str) -> None:
    page = watched.page
    page.goto(f"{address}steps/04-ioi/")
    page.wait_for_selector(".ms-patching canvas")
    page.select_option(".live-story", story)
    page.select_option(".live-giver", giver)
    prompt = page.input_value(".ms-prompt")
    names = [page.input_value(".live-first"), page.input_value(".live-second")]
    subject, other = names if giver == "first" else names[::-1]
    assert prompt.count(subject) == 2
    assert prompt.count(other) == 1
    model = ms.load_model("ioi-twin")
    with torch.no_grad():
        logits = model(prompt)[0, -1]
    expected = float(logits[model.to_single_token(other)] - logits[model.to_single_token(subject)])
    assert expected > 1
    assert numbers(page.inner_text(".live-difference")) == pytest.approx([expected], abs=0.006)
    page.get_by_role("button", name="Layer 2").click()
    page.get_by_role("button", name="L2H1").click()
    page.get_by_role("button", name="Set it to zero").click()
    now, before = numbers(page.inner_text(".live-difference"))
    assert before == pytest.approx(expected, abs=0.006)
    assert now < expected - 1


def test_one_name_for_both(watched: WatchedPage, address: str) -> None:
    page = watched.page
    page.goto(f"{address}steps/04-ioi/")
    page.wait_for_selector(".ms-patching canvas")
    page.select_option(".live-first", page.input_value(".live-second"))
    assert "Choose two different names" in page.inner_text(".live-difference")
