"""Claims as data: what a paper found, what counts as finding it again, and what we found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from mechscope.near_names import did_you_mean_clause

Status = Literal["pass", "fail", "not-run"]

TAGS: dict[str, str] = {
    "P": "read in the paper's text",
    "C": "read in the authors' or a well-known course's code",
    "Q": "quoted by a third party",
    "X": "measured for this project on a two-core CPU",
    "R": "remembered, not yet confirmed",
    "design": "our own yardstick, no paper's number",
}
"""Where a number comes from. The tag is part of the claim and always shown with it."""


@dataclass(frozen=True)
class Condition:
    """One inequality that a measured number must satisfy.

    Bounds are inclusive. With `than`, they are multiples of another measured number and strict, so that two
    equal numbers (zero and zero, say) never count as an order.

    >>> Condition("accuracy", "accuracy", low=92.1, high=93.1, unit="%").wanted
    '92.1 to 93.1\xa0%'
    """

    measure: str
    """Key of the number among an experiment's measures."""
    what: str
    """The number in words."""
    low: float | None = None
    """Smallest value (or multiple of `than`) that satisfies."""
    high: float | None = None
    """Largest value (or multiple of `than`) that satisfies."""
    unit: str = ""
    """Unit to print."""
    than: str | None = None
    """Key of another measure that the bounds are multiples of."""
    than_what: str = ""
    """That measure in words."""

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise ValueError(f"condition on {self.measure!r} has neither a lower nor an upper bound.")

    @property
    def wanted(self) -> str:
        """The bounds in words."""
        unit = f"\u00a0{self.unit}" if self.unit else ""
        if self.than is not None:
            parts = [
                f"{sign}\u00a0{'' if bound == 1 else f'{bound:g} × '}{self.than_what or self.than}"
                for sign, bound in ((">", self.low), ("<", self.high))
                if bound is not None
            ]
            return " and ".join(parts)
        if self.low is not None and self.high is not None:
            return f"{self.low:g}{unit}" if self.low == self.high else f"{self.low:g} to {self.high:g}{unit}"
        return f"≥\u00a0{self.low:g}{unit}" if self.low is not None else f"≤\u00a0{self.high:g}{unit}"

    def holds(self, measures: Mapping[str, float]) -> bool:
        """Whether the measures satisfy the condition; a number that is not finite never does.

        Raises:
            KeyError: if a measure that the condition names is missing, with the nearest names.
        """
        value = _look_up(measures, self.measure)
        if self.than is None:
            above = self.low is None or value >= self.low
            below = self.high is None or value <= self.high
        else:
            other = _look_up(measures, self.than)
            above = self.low is None or value > self.low * other
            below = self.high is None or value < self.high * other
            value += other  # an infinite or missing yardstick measures nothing
        return math.isfinite(value) and above and below


@dataclass(frozen=True)
class Claim:
    """A statement of a paper and what counts as reproducing it."""

    id: str
    """Step and number, such as "0.3a"."""
    statement: str
    """What is claimed, in a sentence."""
    paper: str
    """The number that the source gives."""
    source: str
    """Which paper, course or measurement."""
    tag: str
    """One of TAGS."""
    how: str
    """How it is measured here."""
    conditions: tuple[Condition, ...]
    """All of them must hold, in every seed."""
    tolerance_by: str = "ours"
    """Who chose the bounds: "ours", or the source."""
    remark: str = ""
    """What is known about why it comes out as it does here; shown with it where it fails."""
    needs: str = ""
    """What must be present for the claim to be checked at all, such as "mnist"; empty for nothing."""

    def __post_init__(self) -> None:
        if self.tag not in TAGS:
            raise ValueError(f"claim {self.id} has tag {self.tag!r}; tags are {', '.join(TAGS)}.")
        if not self.conditions:
            raise ValueError(f"claim {self.id} has no condition: it could not fail.")


@dataclass(frozen=True)
class Finding:
    """What one condition came out as, seed by seed."""

    what: str
    """The measured number in words."""
    unit: str
    """Its unit."""
    wanted: str
    """The bounds in words."""
    ours: dict[int, float]
    """Seed → measured number."""
    held: dict[int, bool]
    """Seed → whether the condition held."""
    yardstick: dict[int, float]
    """Seed → the other measure that it was compared with; empty where the bounds are plain numbers."""

    @property
    def ok(self) -> bool:
        """Whether it held in every seed."""
        return all(self.held.values())


@dataclass(frozen=True)
class CheckedClaim:
    """A claim with its verdict. Not run is neither pass nor fail."""

    claim: Claim
    """What was claimed."""
    status: Status
    """pass, fail or not-run."""
    reason: str
    """Why it failed or was not run; empty for a pass."""
    findings: tuple[Finding, ...] = ()
    """One for each condition; empty where the claim was not run."""

    @property
    def seeds(self) -> tuple[int, ...]:
        """The seeds that the verdict rests on."""
        return tuple(self.findings[0].ours) if self.findings else ()


def check_claims(
    claims: Sequence[Claim],
    measures: Mapping[int, Mapping[str, float]],
    not_run: Mapping[str, str] | None = None,
) -> list[CheckedClaim]:
    """The verdict on each claim.

    Args:
        measures: seed → name → number.
        not_run: claim id, or what a claim `needs`, → the reason why it could not be run.

    Raises:
        KeyError: if a claim that was run names a number that was not measured.
        ValueError: if there is no seed at all, or `not_run` names neither a claim nor a need.
    """
    reasons = dict(not_run or {})
    known = {claim.id for claim in claims} | {claim.needs for claim in claims}
    if stray := sorted(set(reasons) - known):
        raise ValueError(f"not_run names {stray}, which no claim has as its id or its need.")
    checked = []
    for claim in claims:
        reason = reasons.get(claim.id) or (reasons.get(claim.needs) if claim.needs else None)
        checked.append(CheckedClaim(claim, "not-run", reason) if reason else _check(claim, measures))
    return checked


def _check(claim: Claim, measures: Mapping[int, Mapping[str, float]]) -> CheckedClaim:
    if not measures:
        raise ValueError(
            f"claim {claim.id} was to be checked on no seed at all; that would pass whatever happened."
        )
    findings = tuple(
        Finding(
            condition.what,
            condition.unit,
            condition.wanted,
            {seed: float(_look_up(found, condition.measure)) for seed, found in measures.items()},
            {seed: condition.holds(found) for seed, found in measures.items()},
            {seed: float(_look_up(found, condition.than)) for seed, found in measures.items()}
            if condition.than
            else {},
        )
        for condition in claim.conditions
    )
    missed = [
        f"{finding.what} should be {finding.wanted}, was "
        + ", ".join(
            f"{finding.ours[seed]:.4g} (seed {seed})" for seed, held in finding.held.items() if not held
        )
        for finding in findings
        if not finding.ok
    ]
    return CheckedClaim(claim, "fail" if missed else "pass", "; ".join(missed), findings)


def _look_up(measures: Mapping[str, float], name: str) -> float:
    if name not in measures:
        measured = f"measured were: {', '.join(sorted(measures))}."
        hint = did_you_mean_clause(name, measures, n=3) or measured
        raise KeyError(f"no measure {name!r}; {hint}")
    return float(measures[name])
