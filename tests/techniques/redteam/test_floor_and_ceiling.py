"""What each check says where there is nothing to keep, nothing to break, and just above that."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from mechscope.model.transformer import HookedTransformer
from mechscope.tasks import Task
from mechscope.techniques.redteam import Behaviour, Direction, Evidence, Heads, redteam
from tests.techniques.redteam.models import VOCAB, WORDS, same_token_task, weighted_heads

MATCHED, RANDOM = "beats layer-matched components", "beats random components"
MEMBERS, BACKUP = "every member is needed", "no backup takes over"
MARKERS = range(WORDS, VOCAB)


def attacked(weights: list[float], direct: float = 0.0, seed: int = 0, **options: Any) -> Evidence:
    """The claim that the first two heads carry a behaviour of size 1; the others share what these two leave."""
    model, task = weighted_heads(weights, direct), same_token_task(16, seed)
    return redteam(model, task, Heads(["a0.h0", "a0.h1"]), seed=seed, progress=False, **options)


def shared(*claimed: float, among: int, direct: float = 0.0) -> list[float]:
    return [*claimed, *[(1 - direct - sum(claimed)) / among] * among]


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize(
    ("claimed", "among", "by_check"),
    [
        # Neither the claim (.6 %) nor any other pair (6.6 %) keeps anything.
        ((0.003, 0.003), 30, {RANDOM: "inconclusive", MATCHED: "inconclusive", MEMBERS: "inconclusive"}),
        # Just below the floor: better than all other pairs, and too little to say that it carries anything.
        ((0.088, 0.003), 30, {RANDOM: "inconclusive", MATCHED: "inconclusive", MEMBERS: "inconclusive"}),
        # Just above it.
        ((0.112, 0.003), 30, {RANDOM: "supports", MATCHED: "supports", MEMBERS: "undermines"}),
        # The claim keeps nothing, and others do: that is no tie.
        ((0.003, 0.003), 4, {RANDOM: "undermines", MATCHED: "undermines", MEMBERS: "inconclusive"}),
        # At the floor a member can still be missed when it is ablated alone.
        ((0.04, 0.03), 30, {RANDOM: "inconclusive", MATCHED: "inconclusive", MEMBERS: "supports"}),
        ((0.5, 0.4), 30, {RANDOM: "supports", MATCHED: "supports", MEMBERS: "supports"}),
    ],
)
def test_a_set_that_keeps_nothing_by_itself(
    claimed: tuple[float, ...], among: int, by_check: dict[str, str], seed: int
) -> None:
    evidence = attacked(shared(*claimed, among=among), seed=seed)
    assert {name: evidence[name].verdict for name in by_check} == by_check, evidence.to_markdown()
    kept = evidence["enough"]
    assert kept.measured == pytest.approx(sum(claimed), abs=1e-5)
    assert kept.verdict == ("supports" if sum(claimed) > 0.75 else "undermines")
    for name, verdict in by_check.items():
        if verdict == "inconclusive":
            assert f"By itself the set keeps {sum(claimed):.1%}" in evidence[name].reason
            assert "the components that patching ranks next" in evidence[name].to_run


@pytest.mark.parametrize(("strong", "verdict"), [(0, "inconclusive"), (1, "inconclusive"), (4, "undermines")])
def test_ties_at_the_floor_are_no_evidence(strong: int, verdict: str) -> None:
    """Most of forty others keep next to nothing, some a little more than the claim; what counts is who keeps a lot."""
    weak = 40 - strong
    rest = 1 - 0.001 - 0.002 * weak
    weights = [0.001, *[0.002] * weak, *[rest / strong] * strong] if strong else [0.001, *[0.999 / 40] * 40]
    model = weighted_heads(weights)
    check = redteam(model, same_token_task(16, 0), Heads(["a0.h0"]), n_null=40, progress=False)[RANDOM]
    assert check.p == 1 and check.verdict == verdict


@pytest.mark.parametrize(
    ("claimed", "direct", "verdict"),
    [
        ((0.02, 0.01), 0.95, "inconclusive"),
        ((0.05, 0.03), 0.85, "inconclusive"),
        ((0.08, 0.04), 0.85, "supports"),
        ((0.2, 0.1), 0.6, "supports"),
    ],
)
def test_what_stays_anyway_is_not_kept_by_anyone(
    claimed: tuple[float, ...], direct: float, verdict: str
) -> None:
    evidence = attacked(shared(*claimed, among=10, direct=direct), direct)
    kept = evidence["enough"]
    assert kept.measured == pytest.approx(sum(claimed) + direct, abs=1e-5)
    assert sum(claimed) + direct > 0.75
    assert kept.null == pytest.approx(direct, abs=1e-5)
    assert [evidence[name].verdict for name in ("enough", RANDOM, MATCHED)] == [verdict] * 3
    assert evidence[MEMBERS].verdict != "undermines"


@pytest.mark.parametrize(("direct", "verdict"), [(0.95, "inconclusive"), (0.6, "supports")])
def test_a_behaviour_that_no_ablation_breaks(direct: float, verdict: str) -> None:
    """If ablating all heads destroys little, a mean has nothing to be compared with; that it stays says enough."""
    evidence = attacked(shared(0.9 * (1 - direct), 0.0, among=4, direct=direct), direct)
    assert evidence["needed (corrupted values)"].verdict == "undermines"
    assert evidence["needed (mean)"].verdict == evidence["needed (resampled)"].verdict == verdict


@pytest.mark.parametrize(
    ("weight", "verdict"),
    [(0.0, "inconclusive"), (0.09, "inconclusive"), (0.11, "supports"), (1.0, "supports")],
)
def test_no_work_to_take_over(weight: float, verdict: str) -> None:
    evidence = attacked(shared(weight, 0.0, among=6))
    check = evidence[BACKUP]
    assert check.verdict == verdict
    assert ("there is little that another component could take over" in check.reason) == (
        verdict == "inconclusive"
    )


@pytest.mark.parametrize(
    ("own", "other", "verdict"),
    [
        (0.003, 0.003, "inconclusive"),
        (0.003, 0.0, "inconclusive"),
        (0.09, 0.09, "inconclusive"),
        (0.11, 0.11, "undermines"),
        (0.11, 0.02, "supports"),
        (0.003, 0.5, "undermines"),
    ],
)
def test_harm_to_other_tasks_needs_harm(own: float, other: float, verdict: str) -> None:
    model = weighted_heads([own, 1 - own], other=[other, 1 - other])
    evidence = redteam(
        model,
        same_token_task(16, 0),
        Heads(["a0.h0"]),
        other_tasks=[same_token_task(16, 1, MARKERS)],
        progress=False,
    )
    assert evidence["specific to this task"].verdict == verdict


def test_another_task_that_the_model_does_not_do() -> None:
    model = weighted_heads([0.8, 0.2], other=[0.0, 0.0])
    other = same_token_task(16, 1, MARKERS)
    check = redteam(model, same_token_task(16, 0), Heads(["a0.h0"]), other_tasks=[other], progress=False)[
        "specific to this task"
    ]
    assert check.verdict == "inconclusive" and "'same marker'" in check.reason


@pytest.mark.parametrize(
    ("weights", "elsewhere", "direct", "verdict"),
    [
        ([0.9, 0.1], [0.9, 0.1], 0.0, "supports"),
        ([0.9, 0.1], [0.5, 0.5], 0.0, "undermines"),
        # Nothing to confirm: the claimed head keeps nothing here.
        ([0.05, 0.95], [0.5, 0.5], 0.0, "inconclusive"),
        # Elsewhere the behaviour stays without any head.
        ([0.9, 0.1], [0.04, 0.01], 0.95, "inconclusive"),
        ([0.9, 0.1], [0.14, 0.01], 0.85, "supports"),
    ],
)
def test_other_models(weights: list[float], elsewhere: list[float], direct: float, verdict: str) -> None:
    evidence = redteam(
        weighted_heads(weights),
        same_token_task(16, 0),
        Heads(["a0.h0"]),
        other_models=[weighted_heads(elsewhere, direct)],
        progress=False,
    )
    assert evidence["holds in other models"].verdict == verdict


def no_behaviour(seed: int) -> HookedTransformer:
    """A model that says the right word as often as the wrong one."""
    model = weighted_heads([0.5, 0.3, 0.2])
    with torch.no_grad():
        model.unembed.W_U[VOCAB:] = torch.randn(VOCAB, VOCAB, generator=torch.Generator().manual_seed(seed))
    return model


@pytest.mark.parametrize("seed", [0, 1, 2])
@pytest.mark.parametrize(
    "hypothesis", [Heads(["a0.h0", "a0.h1"]), Direction(torch.ones(2 * VOCAB), 0)], ids=["heads", "direction"]
)
def test_a_model_without_the_behaviour(hypothesis: Any, seed: int) -> None:
    evidence = redteam(no_behaviour(seed), same_token_task(32, seed), hypothesis, progress=False)
    assert {check.verdict for check in evidence.checks} == {"inconclusive"}
    assert "do not differ clearly" in evidence.checks[1].reason
    # No time is spent on shares of nothing, and the one thing to do is named.
    assert sum(check.passes for check in evidence.checks) <= 4
    assert "'something to explain'" in evidence.cheapest_falsifier
    assert evidence.figure().data  # also a report that measured one thing can be drawn


# Few draws --------------------------------------------------------------------------------------


@pytest.mark.parametrize("n_null", [1, 5, 18])
def test_few_draws_say_what_they_cannot_decide(n_null: int) -> None:
    strong, weak = (
        attacked(shared(*claimed, among=30), n_null=n_null) for claimed in ((0.5, 0.4), (0.1, 0.02))
    )
    for evidence in (strong, weak):
        for name in (RANDOM, MATCHED):
            check = evidence[name]
            assert check.verdict == "inconclusive"
            assert f"cannot be below {1 / (n_null + 1):.2g}" in check.reason and "at least 19" in check.reason
            assert check.details["smallest possible p"] == 1 / (n_null + 1)
    assert strong["enough"].verdict == strong[MEMBERS].verdict == "supports"
    assert attacked(shared(0.5, 0.4, among=30), n_null=19)[RANDOM].verdict == "supports"


def test_all_alternatives_are_enough_however_few() -> None:
    evidence = attacked(shared(0.5, 0.4, among=4), n_null=6)
    assert evidence[RANDOM].verdict == "supports" and "of all 6 sets" in evidence[RANDOM].reason


# Directions -------------------------------------------------------------------------------------


def one_direction() -> HookedTransformer:
    """Tokens 0 and 1 lie on one axis of 512, which is read directly."""
    model = HookedTransformer(
        {"n_layers": 1, "d_model": 512, "n_ctx": 2, "d_head": 2, "n_heads": 1, "d_vocab": 2, "attn_only": True,
         "normalization_type": None, "positional_embedding_type": "shortformer"}
    )  # fmt: skip
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        model.embed.W_E[:, 0] = model.unembed.W_U[0] = torch.tensor([-1.0, 1.0])
    return model


def either_token(n: int, length: int = 1) -> Task:
    task = same_token_task(n, 0, range(2))
    if length == 1:
        return task
    answers = dataclasses.replace(task.answers, positions=task.answers.positions + length - 1)
    return dataclasses.replace(
        task,
        clean=task.clean.repeat(1, length),
        corrupted=task.corrupted.repeat(1, length),
        answers=answers,
    )


@pytest.mark.parametrize(
    ("share", "by_check"),
    [
        # The whole site restores everything, so a direction that restores 5 % is wrong; how it does so is not seen.
        (
            0.05,
            {
                "projected out": "undermines",
                "patched along it": "undermines",
                "beats random directions": "inconclusive",
                "dose and response": "inconclusive",
                "no illusion": "inconclusive",
            },
        ),
        (
            0.15,
            {
                "patched along it": "undermines",
                "beats random directions": "supports",
                "dose and response": "supports",
                "no illusion": "supports",
            },
        ),
        (0.9, {"projected out": "supports", "patched along it": "supports", "no illusion": "supports"}),
    ],
)
def test_a_direction_that_restores_little(share: float, by_check: dict[str, str]) -> None:
    vector = torch.zeros(512)
    vector[0], vector[1] = share**0.5, (1 - share) ** 0.5
    evidence = redteam(one_direction(), either_token(16), Direction(vector, 0), progress=False)
    assert evidence["patched along it"].measured == pytest.approx(share, abs=1e-5)
    assert {name: evidence[name].verdict for name in by_check} == by_check, evidence.to_markdown()


def test_a_site_that_nothing_depends_on() -> None:
    vector = torch.eye(512)[0]
    evidence = redteam(
        one_direction(), either_token(16, length=2), Direction(vector, 0, positions=0), progress=False
    )
    assert evidence["something to explain"].verdict == evidence["patched along it"].verdict == "undermines"
    check = evidence["projected out"]
    assert (
        check.verdict == "inconclusive"
        and "If the whole activation is the same for all prompts, 0% is" in check.reason
    )


def test_few_draws_for_a_direction() -> None:
    vector = torch.eye(512)[0]
    evidence = redteam(one_direction(), either_token(16), Direction(vector, 0), n_null=5, progress=False)
    for name in ("projected out", "beats random directions", "beats directions of matched covariance"):
        assert evidence[name].verdict == "inconclusive" and "at least 19" in evidence[name].reason
    assert evidence["readable along it"].verdict != "undermines"
    assert evidence["patched along it"].verdict == "supports"


# Rules ------------------------------------------------------------------------------------------


def test_a_model_that_always_says_the_same() -> None:
    model = weighted_heads([1.0])
    with torch.no_grad():
        model.unembed.b_U[5] = 100.0
    task, other = same_token_task(32, 0), dataclasses.replace(same_token_task(32, 1), name="other words")
    rule = Behaviour(lambda tokens: torch.full_like(tokens, 5), "it always says 5")
    evidence = redteam(
        model, task, rule, other_tasks=[other], other_models=[model], paraphrase=other, progress=False
    )
    for name in (
        "agrees with the model",
        "swaps that do not matter",
        "paraphrases",
        "holds on other tasks",
        "holds in other models",
    ):
        assert evidence[name].verdict == "inconclusive", name
    assert "answers are all alike" in evidence["swaps that do not matter"].reason


@pytest.mark.parametrize("seed", [0, 1])
def test_a_rule_and_baselines_that_all_predict_nothing(seed: int) -> None:
    """The model says the seventh word after the one it sees, and the text knows nothing of words."""
    model, task = weighted_heads([1.0]), same_token_task(32, seed)
    with torch.no_grad():
        model.unembed.W_U[VOCAB : VOCAB + WORDS, :WORDS] = torch.roll(torch.eye(WORDS), 7, 1)
    text = torch.randint(WORDS, VOCAB, (40, 10), generator=torch.Generator().manual_seed(seed))

    def check(step: int) -> Evidence:
        rule = Behaviour(lambda tokens: (tokens + step) % WORDS)
        return redteam(model, task, rule, training_tokens=text, seed=seed, progress=False)

    wrong, right = check(3), check(7)
    assert wrong["agrees with the model"].verdict == "undermines"
    assert wrong["beats the baselines"].verdict == "inconclusive"
    assert "Neither says what the model says" in wrong["beats the baselines"].reason
    assert right["agrees with the model"].verdict == right["beats the baselines"].verdict == "supports"
