"""claims.json: the verdicts of one run, for a person's eye, for `verify` and for the tests."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mechscope.labs.claim import CheckedClaim, Finding
from mechscope.labs.lab import LabRun
from mechscope.results import write_atomically

FORMAT = "mechscope claims 1"


@dataclass(frozen=True)
class ClaimsFile:
    """What a claims.json says."""

    path: Path
    """Where it lies."""
    title: str
    """Of the lab."""
    budget: str
    """quick or full."""
    seeds: tuple[int, ...]
    """Every seed that was run."""
    device: str
    """Where it ran."""
    seconds: float
    """How long the work took."""
    versions: Mapping[str, str]
    """Package → version."""
    fingerprint: str
    """Of the settings and inputs that produced it."""
    inputs: Mapping[str, str]
    """What was read, in words."""
    claims: tuple[Mapping[str, Any], ...]
    """The verdicts as plain JSON values."""
    machines: tuple[str, ...] = ()
    """Processors and thread counts that it was computed with, in words; empty in files of older versions."""

    def count(self, status: str) -> int:
        """How many claims ended as pass, fail or not-run."""
        return sum(claim["status"] == status for claim in self.claims)

    def changed_since(self, inputs: Mapping[str, str]) -> str:
        """What is another than now, in words, where the fingerprint is.

        Args:
            inputs: what the lab would read now, by name.
        """
        names = sorted(name for name in {*inputs, *self.inputs} if inputs.get(name) != self.inputs.get(name))
        if not names:
            return "its settings, device or version have changed since"
        return "it read " + "; ".join(f"{name}: {self.inputs.get(name, 'nothing')}" for name in names)


def write_claims(run: LabRun, fingerprint: str) -> Path:
    """Write claims.json into the run's folder."""
    content = {
        "format": FORMAT,
        "lab": {
            "step": run.lab.step,
            "slug": run.lab.slug,
            "title": run.lab.title,
            "version": run.lab.version,
        },
        "budget": run.budget,
        "seeds": list(run.seeds),
        "device": run.device,
        "machines": list(run.machines),
        "inputs": dict(run.inputs),
        "versions": dict(run.versions),
        "seconds": round(run.seconds, 1),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "fingerprint": fingerprint,
        "counts": {status: run.count(status) for status in ("pass", "fail", "not-run")},
        "claims": [_claim_to_json(claim) for claim in run.claims],
    }
    return write_atomically(
        run.folder / "claims.json", json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )


def read_claims(path: str | Path) -> ClaimsFile:
    """Read a claims.json.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is not one that `write_claims` wrote.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise ValueError(f"{path} is not JSON ({error}); run the lab again.") from error
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ValueError(f"{path} does not say format {FORMAT!r}; run the lab again.")
    try:
        return ClaimsFile(
            path=path,
            title=content["lab"]["title"],
            budget=content["budget"],
            seeds=tuple(content["seeds"]),
            device=content["device"],
            seconds=content["seconds"],
            versions=content["versions"],
            fingerprint=content["fingerprint"],
            inputs=content["inputs"],
            claims=tuple(content["claims"]),
            machines=tuple(content.get("machines", ())),
        )
    except KeyError as error:
        raise ValueError(f"{path} has no {error}; run the lab again.") from error


def _claim_to_json(checked: CheckedClaim) -> dict[str, Any]:
    claim = checked.claim
    return {
        "id": claim.id,
        "statement": claim.statement,
        "paper": claim.paper,
        "source": claim.source,
        "tag": claim.tag,
        "how": claim.how,
        "tolerance_by": claim.tolerance_by,
        "status": checked.status,
        "reason": checked.reason,
        "seeds": list(checked.seeds),
        "findings": [_finding_to_json(finding) for finding in checked.findings],
    }


def _finding_to_json(finding: Finding) -> dict[str, Any]:
    return {
        "what": finding.what,
        "unit": finding.unit,
        "wanted": finding.wanted,
        "ok": finding.ok,
        "ours": {str(seed): _number(value) for seed, value in finding.ours.items()},
        **(
            {"yardstick": {str(seed): _number(value) for seed, value in finding.yardstick.items()}}
            if finding.yardstick
            else {}
        ),
    }


def _number(value: float) -> float | None:
    # JSON has no NaN; a number that could not be measured is null, and its condition has failed already.
    return float(f"{value:.6g}") if math.isfinite(value) else None
