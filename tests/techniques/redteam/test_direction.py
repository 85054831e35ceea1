"""Directions that carry a behaviour, that carry nothing, and that only seem to."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import mechscope as ms
from mechscope.tasks import Answers, Task
from mechscope.techniques.redteam import Direction, redteam
from mechscope.techniques.redteam._reading_weights import read_part
from tests.model.tiny import exact_model
from tests.techniques.redteam.models import VOCAB, marker_task, neurons, two_jobs


def seven_or_nine(seed: int) -> Task:
    """What stood after these words, 7 or 9?"""
    words = torch.randint(10, 128, (48, 23), generator=torch.Generator().manual_seed(seed))
    first = torch.full((48, 1), 128)
    clean, corrupted = (torch.cat([first, words, torch.full((48, 1), said), words], 1) for said in (7, 9))
    seven = torch.full((48, 1, 1), 7)
    return Task("7, not 9", clean, corrupted, Answers(torch.full((48, 1), 47), seven, seven + 2))


def difference(model: Any, task: Task) -> torch.Tensor:
    hook = "blocks.1.hook_resid_pre"
    with torch.no_grad():
        clean, corrupted = (
            model.run_with_cache(tokens, names_filter=hook)[1][hook][:, 24]
            for tokens in (task.clean, task.corrupted)
        )
    return (clean - corrupted).mean(0)


def verdicts(evidence: Any) -> dict[str, str]:
    return {check.name: check.verdict for check in evidence.checks}


@pytest.fixture(scope="module")
def model() -> Any:
    return ms.load_model("induction-2l")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_difference_of_means_passes(model: Any, seed: int) -> None:
    # The direction comes from other prompts than those it is tested on.
    direction = Direction(difference(model, seven_or_nine(seed + 30)), 1, positions=24, claim="7 or 9")
    evidence = redteam(model, seven_or_nine(seed), direction, seed=seed, n_null=19, progress=False)
    assert set(verdicts(evidence).values()) == {"supports"}, evidence.to_markdown()


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_random_direction_fails(model: Any, seed: int) -> None:
    vector = torch.randn(128, generator=torch.Generator().manual_seed(seed))
    evidence = redteam(
        model, seven_or_nine(seed), Direction(vector, 1, positions=24), seed=seed, n_null=19, progress=False
    )
    found = verdicts(evidence)
    for name in (
        "projected out",
        "patched along it",
        "beats directions of matched covariance",
    ):
        assert found[name] == "undermines", name
    assert found["dose and response"] == "inconclusive"
    assert found["something to explain"] == "supports" and found["readable along it"] != "undermines"


def test_a_dead_direction_is_readable_and_does_nothing() -> None:
    """Neuron 1 tells the prompts apart perfectly, and nothing reads it."""
    model, task = neurons()
    dead = redteam(model, task, Direction(torch.tensor([0.0, 1, 0]), 0, "post"), n_null=19, progress=False)
    found = verdicts(dead)
    assert dead["readable along it"].measured == 1
    for name in ("projected out", "patched along it", "no illusion"):
        assert found[name] == "undermines", name
    assert found["dose and response"] == "inconclusive"
    assert "Nothing later reads" in dead["no illusion"].reason
    true = redteam(model, task, Direction(torch.tensor([2.0, 0, 0]), 0, "post"), n_null=19, progress=False)
    assert verdicts(true)["no illusion"] == verdicts(true)["patched along it"] == "supports"


def test_the_illusion_is_caught_where_patching_is_taken_in() -> None:
    """The unread neuron's difference switches the constant one on: half of the effect, by what is never used."""
    model, task = neurons()
    fake = redteam(model, task, Direction(torch.tensor([0.0, 1, 1]), 0, "post"), n_null=19, progress=False)
    found = verdicts(fake)
    assert fake["patched along it"].measured == pytest.approx(0.5, abs=1e-5)
    assert found["patched along it"] == "supports" and found["no illusion"] == "undermines"
    assert fake["no illusion"].measured == pytest.approx(0, abs=1e-5)


def test_a_head_and_named_positions() -> None:
    model, task = two_jobs(), marker_task(24, 0)
    last = Direction(torch.eye(VOCAB)[20] - torch.eye(VOCAB)[21], 0, "z", head=0, positions=-1)
    evidence = redteam(model, task, last, n_null=19, progress=False)
    check = evidence["patched along it"]
    # It moves those prompts whose markers are 20 or 21 and leaves others alone.
    assert check.measured is not None and 0.1 < check.measured < 0.9
    unread = redteam(
        model, task, Direction(torch.eye(VOCAB)[3], 0, "z", head=0, positions=-1), progress=False
    )
    assert (
        unread["no illusion"].verdict == "undermines" and unread["patched along it"].verdict == "undermines"
    )


def test_what_weights_read() -> None:
    model = exact_model(seed=0)  # LayerNorm takes the mean away, so no one reads it
    generator = torch.Generator().manual_seed(0)
    vector = torch.randn(24, generator=generator, dtype=torch.float64)
    part = read_part(model, "resid_pre", 0, None, vector)
    if part is not None:
        with torch.no_grad():
            left = vector - part
            for matrix in (*model.W_Q[0], *model.W_V[1], model.W_in[1]):
                read = matrix - matrix.mean(0)
                assert float((left @ read).abs().max()) < 1e-4
    assert part is not None


@pytest.mark.parametrize(
    ("options", "error", "words"),
    [
        ({"vector": torch.ones(5)}, ValueError, "128 entries"),
        ({"vector": torch.zeros(128)}, ValueError, "zero"),
        ({"vector": torch.full((128,), float("nan"))}, ValueError, "not finite"),
        ({"layer": 2}, ValueError, "no layer 2"),
        ({"site": "pattern"}, KeyError, "no site"),
        ({"site": "post"}, KeyError, "no site"),
        ({"site": "z"}, ValueError, "give a head"),
        ({"site": "z", "head": 9, "vector": torch.ones(16)}, ValueError, "no head 9"),
        ({"positions": "nowhere"}, KeyError, "nowhere"),
        ({"positions": 99}, ValueError, "99"),
    ],
)
def test_directions_that_are_none(
    model: Any, options: dict[str, Any], error: type[Exception], words: str
) -> None:
    given = {"vector": torch.ones(128), "layer": 1, **options}
    with pytest.raises(error, match=words):
        redteam(model, seven_or_nine(0), Direction(**given), n_null=19, progress=False)
