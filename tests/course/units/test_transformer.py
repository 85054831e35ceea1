"""What is special about unit T."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch

import mechscope as ms
from mechscope.course.kit import random_gpt
from mechscope.course.trial import CheckFailedError, Trial
from mechscope.course.units.transformer import checks, checks_of_layers, reference
from mechscope.course.units.transformer.stories import D_VOCAB, stories
from mechscope.course.units.transformer.suspects import BUGS, suspect_with


def test_the_reference_runs_a_bundled_model_and_continues_its_text() -> None:
    trial = Trial(reference.gpt, reference.gpt, (), 0)
    checks.check_gpt(trial)
    assert trial.notes[0].endswith("it says 'Anna'.")


@dataclass
class Gpt2OnThisMachine:
    """Stands for GPT-2, whose weights the tests do not have."""

    is_available: bool
    missing: str = "GPT-2 small is not on this machine"
    name: str = "gpt2"


def test_gpt2_is_compared_where_its_weights_are_in_reach(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_model(name: str, *, process: bool) -> object:
        asked.append((name, process))
        return random_gpt(5) if name == "gpt2" else bundled

    bundled = ms.load_model("ioi-twin", process=False)
    checks_of_layers._bundled.cache_clear()
    monkeypatch.setattr(ms, "load_model", load_model)
    monkeypatch.setattr(checks_of_layers, "GPT2_SMALL", Gpt2OnThisMachine(is_available=True))
    trial = Trial(reference.gpt, reference.gpt, (), 0)
    checks.check_gpt(trial)
    assert ("gpt2", False) in asked
    assert trial.notes[-1] == "Its logits are GPT-2's, with GPT-2's own weights."
    monkeypatch.setattr(checks_of_layers, "GPT2_SMALL", Gpt2OnThisMachine(is_available=False))
    checks.check_gpt(trial)
    assert trial.notes[-1] == "With GPT-2's own weights it was not run: GPT-2 small is not on this machine."


def test_logits_that_are_wrong_only_in_gpt2s_size_are_noticed() -> None:
    def short_context(tokens: torch.Tensor, weights: dict[str, torch.Tensor], n_layers: int) -> torch.Tensor:
        logits = reference.gpt(tokens, weights, n_layers)
        return logits if n_layers < 12 else logits.half().float()

    with pytest.raises(CheckFailedError, match="weights of a model of GPT-2's size"):
        checks.check_gpt(Trial(short_context, reference.gpt, (), 0))


@pytest.mark.slow
def test_the_reference_equals_mechscopes_model_in_gpt2s_own_shape() -> None:
    config = ms.HookedTransformerConfig(
        n_layers=12,
        d_model=768,
        n_ctx=1024,
        d_head=64,
        n_heads=12,
        d_mlp=3072,
        d_vocab=50_257,
        act_fn="gelu_new",
        seed=0,
    )
    model = ms.HookedTransformer(config)
    tokens = torch.randint(0, 50_257, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        weights = {name: weight.detach() for name, weight in model.named_parameters()}
        logits, expected = reference.gpt(tokens, weights, 12), model(tokens)
    assert float((logits - expected).abs().max()) < 1e-4 * float(expected.abs().max())


def test_stories_begin_every_sentence_with_the_hero() -> None:
    names = torch.randperm(D_VOCAB, generator=torch.Generator().manual_seed(1))
    found = stories(50, 3, names, torch.Generator().manual_seed(2)).view(50, 3, 4)
    assert bool((found[:, :, 0] == found[:, :1, 0]).all())
    assert len(found[:, :, 3].unique()) == 1
    assert len(found[:, 0, 0].unique()) > 5


@pytest.mark.parametrize("bug", BUGS)
def test_a_suspect_differs_from_the_right_model_only_if_it_has_a_bug(bug: str) -> None:
    model = random_gpt(3)
    weights = {name: weight.detach() for name, weight in model.named_parameters()}
    tokens = torch.arange(8)[None]
    with torch.no_grad():
        same = torch.allclose(suspect_with(bug)(tokens, weights, 3), model(tokens), atol=1e-4)
    assert same == (bug == "none")


def test_the_work_of_a_step_is_reported() -> None:
    trial = Trial(reference.attention_step, reference.attention_step, (), 0)
    checks.check_attention_step(trial)
    assert "multiplications instead of" in trial.notes[0]
