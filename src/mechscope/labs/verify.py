"""Which claims hold on this machine: read from finished runs; steps without one are run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.labs.claims_file import read_claims
from mechscope.labs.lab import Budget, Lab
from mechscope.labs.running import Preparation, check_places, prepare, run_prepared


@dataclass(frozen=True)
class Verification:
    """The verdicts of one lab."""

    lab: Lab
    """Which lab."""
    folder: Path
    """Where its run lies."""
    inputs: Mapping[str, str]
    """What it read."""
    claims: tuple[Mapping[str, Any], ...]
    """The claims as claims.json has them."""
    ran_now: bool
    """Whether the run was missing (or out of date) and was made for this."""

    def count(self, status: str) -> int:
        """How many claims ended as pass, fail or not-run."""
        return sum(claim["status"] == status for claim in self.claims)


def verify_labs(
    labs: Sequence[Lab],
    budget: Budget = "quick",
    seed: int = 0,
    out: str | Path = "runs",
    device: str = "auto",
    progress: bool | None = False,
) -> list[Verification]:
    """The verdicts of each lab, from its finished run with this budget and seed, or from a new one.

    Raises:
        ValueError: as `prepare`, before any work begins.
        OSError: likewise.
    """
    prepared = [prepare_to_verify(lab, budget, seed, out, device) for lab in labs]
    found: list[Verification] = []
    for preparation, problem in prepared:
        if problem:
            run_prepared(preparation, progress)
        found.append(verification_of(preparation, ran_now=bool(problem)))
    return found


def prepare_to_verify(
    lab: Lab,
    budget: Budget = "quick",
    seed: int = 0,
    out: str | Path = "runs",
    device: str = "auto",
) -> tuple[Preparation, str]:
    """Prepare a run; also return why it has to be made first (empty if it is finished and current).

    A run counts as finished only if its settings, inputs, device and code are what they are now: verdicts
    reached with one model or data file do not count once another is read.

    Raises:
        As `prepare`.
    """
    # A finished run may be in a read-only folder; only a new run has to write.
    preparation = prepare(lab, budget, seed, out, device, writes=False)
    problem = why_not_current(preparation)
    if problem:
        check_places(preparation.folder)
    return preparation, problem


def verification_of(preparation: Preparation, ran_now: bool) -> Verification:
    """The verdicts of a finished run."""
    found = read_claims(preparation.folder / "claims.json")
    return Verification(preparation.lab, preparation.folder, found.inputs, found.claims, ran_now)


def why_not_current(preparation: Preparation) -> str:
    """Why a run has no current verdicts, in words; empty if it has."""
    path = preparation.folder / "claims.json"
    if not path.is_file():
        return "no finished run"
    try:
        found = read_claims(path)
    except ValueError as error:
        return f"its claims.json cannot be read ({error})"
    if not (changes := found.changes_since(preparation.key)):
        return ""
    return f"its run is stale ({changes})"
