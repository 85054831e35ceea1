"""Mistakes in the log of predictions and in the report."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import json
from pathlib import Path

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.research import reference, writing_checks

# The log


def _entries(path):
    return (
        [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()] if path.exists() else []
    )


def _logged(
    path,
    claim,
    probability,
    settled_by,
    *,
    number=None,
    keep_open=True,
    rewrite=False,
    late=False,
    strict=True,
):
    def test():
        if (strict and not 0 < probability < 1) or not 0 <= probability <= 1:
            raise ValueError
        if strict and not settled_by.strip():
            raise ValueError

    if not late:
        test()
    old = _entries(path)
    predictions = [entry for entry in old if entry["kind"] == "prediction"]
    entry = {
        "kind": "prediction",
        "number": len(predictions) if number is None else number(old),
        "claim": claim,
        "probability": probability,
        "settled_by": settled_by,
    }
    if rewrite:
        path.write_text("".join(json.dumps(each) + "\n" for each in [*old, entry]), encoding="utf-8")
    else:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry) + "\n")
    if late:
        test()
    settled = {each["number"] for each in old if each["kind"] == "outcome"} if keep_open else set()
    return torch.tensor(
        [each["probability"] for each in [*predictions, entry] if each["number"] not in settled]
    )


def _lines_counted(path, claim, probability, settled_by):
    return _logged(path, claim, probability, settled_by, number=len)


def _settled_ones_too(path, claim, probability, settled_by):
    return _logged(path, claim, probability, settled_by, keep_open=False)


def _file_rewritten(path, claim, probability, settled_by):
    return _logged(path, claim, probability, settled_by, rewrite=True)


def _overwritten(path, claim, probability, settled_by):
    answer = reference.log_prediction(path, claim, probability, settled_by)
    path.write_text(path.read_text(encoding="utf-8").splitlines()[-1] + "\n", encoding="utf-8")
    return answer


def _tested_afterwards(path, claim, probability, settled_by):
    return _logged(path, claim, probability, settled_by, late=True)


def _anything_goes(path, claim, probability, settled_by):
    return _logged(path, claim, probability, settled_by, strict=False)


def _no_line_break(path, claim, probability, settled_by):
    answer = reference.log_prediction(path, claim, probability, settled_by)
    path.write_text(path.read_text(encoding="utf-8").rstrip("\n"), encoding="utf-8")
    return answer


def _settled(
    path: Path,
    number,
    happened,
    *,
    unknown=False,
    twice=False,
    in_place=False,
    change=lambda numbers: sorted(numbers),
):
    entries = _entries(path)
    said = {entry["number"]: entry["probability"] for entry in entries if entry["kind"] == "prediction"}
    outcomes = {entry["number"]: entry["happened"] for entry in entries if entry["kind"] == "outcome"}
    outcomes |= {entry["number"]: entry["happened"] for entry in entries if "happened" in entry}
    if (number not in said and not unknown) or (number in outcomes and not twice):
        raise ValueError
    if in_place:
        for entry in entries:
            if entry["number"] == number:
                entry["happened"] = happened
        path.write_text("".join(json.dumps(entry) + "\n" for entry in entries), encoding="utf-8")
    else:
        with path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"kind": "outcome", "number": number, "happened": happened}) + "\n")
    outcomes[number] = happened
    numbers = change(list(outcomes))
    return torch.tensor([said.get(each, 0.5) for each in numbers]), torch.tensor(
        [outcomes[each] for each in numbers]
    )


def _unknown_accepted(path, number, happened):
    return _settled(path, number, happened, unknown=True)


def _changed_afterwards(path, number, happened):
    return _settled(path, number, happened, twice=True)


def _into_the_prediction(path, number, happened):
    return _settled(path, number, happened, in_place=True)


def _in_the_order_of_time(path, number, happened):
    return _settled(path, number, happened, change=list)


def _this_one_only(path, number, happened):
    return _settled(path, number, happened, change=lambda numbers: numbers[-1:])


# The report


def _report(claims, answers, *, shown=lambda held: True, seeds=True, holds=None, needs=("figure", "attack", "result"),
            fewest=3, questions=reference.QUESTIONS):  # fmt: skip
    def held(claim):
        values = list(claim["measured"].values())
        return (holds or (lambda low, high, values: all(low <= value <= high for value in values)))(
            claim["low"], claim["high"], values
        )

    for claim in claims:
        if len(claim["measured"]) < fewest or any(not str(claim[part]).strip() for part in needs):
            raise ValueError(claim["claim"])
    for question in questions:
        if not answers.get(question):
            raise ValueError(question)
    held_all = [held(claim) for claim in claims]
    lines = [f"{sum(held_all)} of {len(claims)} claims reproduced."]
    for claim, reproduced in zip(claims, held_all, strict=True):
        if not shown(reproduced):
            continue
        lines += [f"## {claim['claim']}", f"Published: {claim['published']}"]
        values = claim["measured"]
        mean = sum(values.values()) / len(values)
        lines += (
            [f"Seed {seed}: {value:.4g}" for seed, value in values.items()]
            if seeds
            else [f"Mean: {mean:.4g}"]
        )
        lines += [
            f"Verdict: {'reproduced' if reproduced else 'not reproduced'}",
            f"Figure: {claim['figure']}",
            f"Tried to prove it wrong: {claim['attack']}",
            f"Result: {claim['result']}",
        ]
    for question in reference.QUESTIONS:
        lines += [f"## {question}", answers.get(question, "")]
    return "\n".join(lines) + "\n", sum(held_all) / len(claims)


def _only_what_worked(claims, answers):
    return _report(claims, answers, shown=lambda held: held)


def _mean_in_range(claims, answers):
    return _report(claims, answers, holds=lambda low, high, values: low <= sum(values) / len(values) <= high)


def _ends_left_out(claims, answers):
    return _report(
        claims, answers, holds=lambda low, high, values: all(low < value < high for value in values)
    )


def _mean_only(claims, answers):
    return _report(claims, answers, seeds=False)


def _never_attacked(claims, answers):
    return _report(claims, answers, needs=("figure",))


def _no_evidence(claims, answers):
    return _report(claims, answers, needs=("attack", "result"))


def _one_seed_will_do(claims, answers):
    return _report(claims, answers, fewest=1)


def _questions_optional(claims, answers):
    return _report(claims, answers, questions=())


MISTAKES = {
    "log_prediction": (
        Mistake(_lines_counted, writing_checks.COUNTED_LINES),
        Mistake(_settled_ones_too, writing_checks.STILL_OPEN),
        Mistake(_file_rewritten, writing_checks.REWRITTEN),
        Mistake(_overwritten, writing_checks.REWRITTEN),
        Mistake(_tested_afterwards, writing_checks.REFUSED_TOO_LATE),
        Mistake(_anything_goes, writing_checks.CERTAIN),
        Mistake(_no_line_break, writing_checks.ONE_LINE),
    ),
    "settle_prediction": (
        Mistake(_unknown_accepted, writing_checks.UNKNOWN),
        Mistake(_changed_afterwards, writing_checks.TWICE),
        Mistake(_into_the_prediction, writing_checks.REWRITTEN),
        Mistake(_in_the_order_of_time, writing_checks.AS_SETTLED),
        Mistake(_this_one_only, writing_checks.LAST_ONLY),
    ),
    "replication_report": (
        Mistake(_only_what_worked, writing_checks.FAILED_LEFT_OUT),
        Mistake(_mean_in_range, writing_checks.EVERY_SEED),
        Mistake(_ends_left_out, writing_checks.ENDS),
        Mistake(_mean_only, writing_checks.SEEDS_MISSING),
        Mistake(_never_attacked, writing_checks.ACCEPTS_NO_ATTACK),
        Mistake(_no_evidence, writing_checks.ACCEPTS_NO_FIGURE),
        Mistake(_one_seed_will_do, writing_checks.ACCEPTS_FEW_SEEDS),
        Mistake(_questions_optional, writing_checks.ACCEPTS_NO_ANSWER),
    ),
}
"""Exercise → its known mistakes."""
