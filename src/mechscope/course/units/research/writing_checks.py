"""The checks of unit R of what is written: the log of predictions, and the report."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from mechscope.course.comparison import difference
from mechscope.course.trial import CheckFailedError, Trial
from mechscope.course.units.research import reference

# The log

CLAIMS = (
    "head 5.1 is an induction head",
    "without layer 0 the second copy is as hard as the first",
    "a random circuit keeps less than a tenth",
    "the third seed has the head in the same layer",
    "steering by twice the vector breaks the text",
)
REWRITTEN = "Open the file with mode 'a', which adds at the end. Earlier lines stay as they are, to the last character."
COUNTED_LINES = "The number counts predictions only. Outcomes are lines of the log, too, but no predictions."
STILL_OPEN = "Leave out predictions that have an outcome: they are not open any more."
ONE_LINE = "Write one JSON object on a line of its own: json.dumps(entry) and a line break."
REFUSED_TOO_LATE = "Test the arguments before you write anything."
CERTAIN = "A probability of 0 or 1 cannot be wrong a little. Raise a ValueError."
NOTHING_SETTLES = "If nothing settles a claim, nothing can prove it wrong. Raise a ValueError."
LAST_ONLY = "Return everything that is settled, not only this prediction."
AS_SETTLED = "The order is that of the predictions' numbers, not that in which they were settled."
UNKNOWN = "Only a prediction that stands in the log can be settled. Raise a ValueError."
TWICE = "An outcome is not changed afterwards. Raise a ValueError."


@contextmanager
def log_file() -> Generator[Path]:
    """The path of a log in a folder of its own, where no file is yet."""
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "predictions.jsonl"


def _prediction(trial: Trial, number: int) -> dict[str, Any]:
    return {
        "kind": "prediction",
        "number": number,
        "claim": CLAIMS[number % len(CLAIMS)],
        "probability": round(float(trial.uniform(1, low=0.05, high=0.95)), 2),
        "settled_by": f"experiment {number}",
    }


def _write(path: Path, entries: list[dict[str, Any]]) -> None:
    # Other separators than json.dumps uses, so that a rewritten file is noticed.
    path.write_text(
        "".join(json.dumps(entry, separators=(",", ":")) + "\n" for entry in entries), encoding="utf-8"
    )


def _added(path: Path, before: str, count: int) -> list[dict[str, Any]]:
    """The entries that were added to a log.

    Raises:
        CheckFailedError: if the log has lost something or something else was added.
    """
    if not path.exists():
        raise CheckFailedError("there is no file at the given path.", "Create it if it is missing.")
    text = path.read_text(encoding="utf-8")
    if not text.startswith(before):
        raise CheckFailedError("the log has lost or changed what was written before.", REWRITTEN)
    lines = text[len(before) :].splitlines()
    try:
        entries = [json.loads(line) for line in lines]
    except ValueError:
        raise CheckFailedError(f"a line of the log is no JSON: {lines[0][:60]!r}.", ONE_LINE) from None
    if len(entries) != count or not text.endswith("\n"):
        raise CheckFailedError(f"{len(entries)} lines were added to the log; {count} was expected.", ONE_LINE)
    return entries


def _must_equal(got: object, wanted: object, what: str, diagnosis: str = "") -> None:
    if problem := difference(got, wanted, 1e-5, 1e-6, what):
        raise CheckFailedError(problem, diagnosis)


def check_log_prediction(trial: Trial) -> None:
    with log_file() as path:
        wanted = [_prediction(trial, 0), _prediction(trial, 1)]
        for number, entry in enumerate(wanted):
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            found = trial.call(path, entry["claim"], entry["probability"], entry["settled_by"])
            (written,) = _added(path, before, 1)
            _must_equal(written, entry, "the line")
            _must_equal(
                found, torch.tensor([each["probability"] for each in wanted[: number + 1]]), "the open ones"
            )
    _check_with_outcomes(trial)
    with log_file() as path:
        _write(path, wanted)
        for probability, settled_by, problem, diagnosis in (
            (1.0, "a run", "a probability of 1 was accepted.", CERTAIN),
            (0.0, "a run", "a probability of 0 was accepted.", CERTAIN),
            (0.5, " ", "a prediction that nothing settles was accepted.", NOTHING_SETTLES),
        ):
            _must_refuse(trial, path, problem, diagnosis, "a claim", probability, settled_by)


def _check_with_outcomes(trial: Trial) -> None:
    """A log in which some predictions are settled."""
    with log_file() as path:
        count = trial.number(3, 6)
        old = [_prediction(trial, number) for number in range(count)]
        settled = trial.number(0, count)
        outcome = {"kind": "outcome", "number": settled, "happened": True}
        _write(path, [*old, outcome])
        before, entry = path.read_text(encoding="utf-8"), _prediction(trial, count)
        found = trial.call(path, entry["claim"], entry["probability"], entry["settled_by"])
        (written,) = _added(path, before, 1)
        _must_equal(written.get("number"), count, "the number", COUNTED_LINES)
        _must_equal(written, entry, "the line")
        still = [each["probability"] for each in [*old, entry] if each["number"] != settled]
        everything = torch.tensor([each["probability"] for each in [*old, entry]])
        forgotten = isinstance(found, Tensor) and found.shape == everything.shape
        _must_equal(found, torch.tensor(still), "the open ones", STILL_OPEN if forgotten else "")


def _must_refuse(trial: Trial, path: Path, problem: str, diagnosis: str, *arguments: Any) -> None:
    before = path.read_text(encoding="utf-8")
    try:
        trial.call(path, *arguments)
    except ValueError:
        trial.require(
            path.read_text(encoding="utf-8") == before,
            "something was written although it was refused.",
            REFUSED_TOO_LATE,
        )
        return
    raise CheckFailedError(problem, diagnosis)


def check_settle_prediction(trial: Trial) -> None:
    with log_file() as path:
        count = trial.number(4, 7)
        old = [_prediction(trial, number) for number in range(count)]
        order = torch.randperm(count, generator=trial.generator).tolist()
        # The last is settled first, so that the two orders differ.
        order = sorted(order, key=lambda number: number != count - 1)
        _write(path, old)
        outcomes: dict[int, bool] = {}
        for number in order[:-1]:
            outcomes[number] = bool(trial.uniform(1) < 0.5)
            before = path.read_text(encoding="utf-8")
            found = trial.call(path, number, outcomes[number])
            (written,) = _added(path, before, 1)
            _must_equal(
                written, {"kind": "outcome", "number": number, "happened": outcomes[number]}, "the line"
            )
            _check_settled(found, old, outcomes)
        problem = f"prediction {count} was settled, although there is none with this number."
        _must_refuse(trial, path, problem, UNKNOWN, count, True)
        _must_refuse(
            trial, path, "a prediction was settled a second time.", TWICE, order[0], not outcomes[order[0]]
        )


def _check_settled(found: Any, old: list[dict[str, Any]], outcomes: Mapping[int, bool]) -> None:
    def settled(numbers: list[int]) -> tuple[Tensor, Tensor]:
        said = torch.tensor([old[number]["probability"] for number in numbers])
        return said, torch.tensor([outcomes[number] for number in numbers])

    wanted, in_time = settled(sorted(outcomes)), settled(list(outcomes))
    diagnosis = ""
    if not difference(found, in_time, 1e-5, 1e-6):
        diagnosis = AS_SETTLED
    elif not difference(found, tuple(part[-1:] for part in in_time), 1e-5, 1e-6):
        diagnosis = LAST_ONLY
    names = ("the settled probabilities", "what happened")
    if problem := difference(found, wanted, 1e-5, 1e-6, "the answer", names):
        raise CheckFailedError(problem, diagnosis)


# The report

FAILED_LEFT_OUT = (
    "A claim that was not reproduced is missing. A report that shows only what worked is advertising."
)
EVERY_SEED = (
    "A claim is reproduced if the number of every seed is in the range. One outside is enough against it."
)
SEEDS_MISSING = "Show the number of every seed. A mean hides how far they are apart."
ACCEPTS_FEW_SEEDS = "Raise a ValueError for a claim with fewer than 3 seeds."
ACCEPTS_NO_ATTACK = (
    "Raise a ValueError for a claim that nobody tried to prove wrong, or whose outcome is not told."
)
ACCEPTS_NO_FIGURE = "Raise a ValueError for a claim without a figure: what is the evidence?"
ACCEPTS_NO_ANSWER = (
    "Raise a ValueError if one of QUESTIONS has no answer. The uncomfortable ones are left out first."
)
ENDS = "Both ends belong to the range."


def _claim(trial: Trial, number: int, kind: str) -> dict[str, Any]:
    low = round(float(trial.uniform(1, low=1, high=2)), 2)
    high = low + 1
    inside = [round(float(value), 3) for value in trial.uniform(4, low=low + 0.4, high=high - 0.4)]
    if kind == "one seed outside":
        inside[trial.number(0, 4)] = round(high + 0.3, 3)
    if kind == "at the end":
        inside[0], inside[1] = low, high
    return {
        "claim": f"{CLAIMS[number % len(CLAIMS)].capitalize()}.",
        "published": f"{low + 0.5:.1f} nats",
        "low": low,
        "high": high,
        "measured": {int(trial.number(0, 50)) + 50 * seed: value for seed, value in enumerate(inside)},
        "figure": f"figure-{number}.svg",
        "attack": f"{trial.number(19, 99)} random circuits",
        "result": f"the best reached {float(trial.uniform(1)):.2f}",
    }


def check_replication_report(trial: Trial) -> None:
    kinds = ["inside", "one seed outside", "at the end", "one seed outside", "inside"]
    order = torch.randperm(5, generator=trial.generator).tolist()
    claims = [_claim(trial, number, kinds[number]) for number in order]
    answers = {
        question: f"answer {trial.number(0, 100)} to {question.lower()}" for question in reference.QUESTIONS
    }
    answer = trial.call(claims, answers)
    trial.require(
        isinstance(answer, tuple) and len(answer) == 2 and isinstance(answer[0], str),
        "a text and a number are expected.",
    )
    text, share = answer
    for number, claim in zip(order, claims, strict=True):
        _check_claim(trial, text, claim, kinds[number])
    for question in reference.QUESTIONS:
        trial.require(
            f"## {question}" in text and answers[question] in text, f"the report does not answer {question!r}"
        )
    _must_equal(share, 0.6, "the share of claims that were reproduced", EVERY_SEED)
    _must_equal(
        _lines(text),
        _lines(reference.replication_report(claims, answers)[0]),
        "the report, as lines without empty ones,",
    )
    _check_refusals(trial, claims, answers)


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.splitlines() if line.strip()]


def _check_claim(trial: Trial, text: str, claim: Mapping[str, Any], kind: str) -> None:
    held = kind != "one seed outside"
    _, found, rest = text.partition(f"## {claim['claim']}")
    trial.require(
        bool(found), f"the report has no section for {claim['claim']!r}", "" if held else FAILED_LEFT_OUT
    )
    section = rest.split("\n## ")[0]
    for seed, value in claim["measured"].items():
        trial.require(
            f"Seed {seed}: {value:.4g}" in section,
            f"the section of {claim['claim']!r} does not show seed {seed}.",
            SEEDS_MISSING,
        )
    said = "Verdict: reproduced" in section
    trial.require(
        said == held and ("Verdict: not reproduced" in section) != held,
        f"the verdict on {claim['claim']!r} should be {'reproduced' if held else 'not reproduced'}.",
        ENDS if kind == "at the end" else EVERY_SEED if not held else "",
    )
    for part in ("published", "figure", "attack", "result"):
        trial.require(str(claim[part]) in section, f"the section of {claim['claim']!r} lacks its {part}.")


def _check_refusals(trial: Trial, claims: list[dict[str, Any]], answers: dict[str, str]) -> None:
    place = trial.number(0, len(claims))

    def refuses(change: dict[str, Any], problem: str, diagnosis: str) -> None:
        changed = [dict(claim) for claim in claims]
        changed[place] |= change
        _refuses(trial, changed, answers, changed[place]["claim"], problem, diagnosis)

    two = dict(list(claims[place]["measured"].items())[:2])
    refuses({"measured": two}, "a claim with two seeds was accepted.", ACCEPTS_FEW_SEEDS)
    refuses({"figure": ""}, "a claim without a figure was accepted.", ACCEPTS_NO_FIGURE)
    refuses({"attack": ""}, "a claim that nobody attacked was accepted.", ACCEPTS_NO_ATTACK)
    refuses(
        {"result": " "}, "a claim was accepted that does not say how the attack ended.", ACCEPTS_NO_ATTACK
    )
    for question in reference.QUESTIONS:
        fewer = {asked: answer for asked, answer in answers.items() if asked != question}
        _refuses(
            trial,
            claims,
            fewer,
            question,
            f"a report without an answer to {question!r} was accepted.",
            ACCEPTS_NO_ANSWER,
        )


def _refuses(
    trial: Trial,
    claims: list[dict[str, Any]],
    answers: dict[str, str],
    named: str,
    problem: str,
    diagnosis: str,
) -> None:
    try:
        trial.call(claims, answers)
    except ValueError as error:
        trial.require(
            named in str(error), f"the error does not name what is wrong: {error}", "Name it in the message."
        )
        return
    raise CheckFailedError(problem, diagnosis)
