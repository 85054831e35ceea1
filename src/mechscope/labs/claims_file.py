"""claims.json: the verdicts of one run, for a person's eye, for `verify` and for the tests."""

from __future__ import annotations

import datetime
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from mechscope.arguments import not_of_kind, shown
from mechscope.labs.claim import CheckedClaim, Finding
from mechscope.reading import read_json_object
from mechscope.runs.key import RunKey, read_key
from mechscope.storage.files import write_atomically

if TYPE_CHECKING:  # the web lab reads these files without torch
    from mechscope.labs.lab import LabRun

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
    """Processors and thread counts that computed it, in words; empty in files of older versions."""
    key: RunKey | None = None
    """What decided the run; None in files of older versions."""
    finished: datetime.datetime | None = None
    """When the run was finished; None if the file does not say."""

    def count(self, status: str) -> int:
        """How many claims ended as pass, fail or not-run."""
        return sum(claim["status"] == status for claim in self.claims)

    def changes_since(self, key: RunKey) -> str:
        """What has changed since the run, in words; empty if nothing has.

        Args:
            key: what would decide the run now.
        """
        return key.changes_since(None if self.key is None else self.key.to_dict())


def write_claims(run: LabRun, key: RunKey) -> Path:
    """Write claims.json into the run's folder."""
    content = claims_content(run) | {"fingerprint": key.name, "key": key.to_dict()}
    return write_atomically(
        run.folder / "claims.json", json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    )


def claims_content(run: LabRun) -> dict[str, Any]:
    """What claims.json says about a run, as plain JSON values, without the key that decided it."""
    return {
        "format": FORMAT,
        "lab": {
            "step": run.lab.step,
            "slug": run.lab.slug,
            "title": run.lab.title,
        },
        "budget": run.budget,
        "seeds": list(run.seeds),
        "device": run.device,
        "machines": list(run.machines),
        "inputs": dict(run.inputs),
        "versions": dict(run.versions),
        "seconds": round(run.seconds, 1),
        "finished": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "fingerprint": "",
        "counts": {status: run.count(status) for status in ("pass", "fail", "not-run")},
        "claims": [_claim_to_json(claim) for claim in run.claims],
    }


def read_claims(path: str | Path) -> ClaimsFile:
    """Read a claims.json.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if the file is not one that `write_claims` wrote.
    """
    return parse_claims(read_json_object(path, fix="Run the lab again."), Path(path))


def parse_claims(content: Mapping[str, Any], path: Path) -> ClaimsFile:
    """What the content of a claims.json says.

    Args:
        path: the file that it is from.

    Raises:
        ValueError: if it is not what `claims_content` gave.
    """
    if content.get("format") != FORMAT:
        raise ValueError(f"{path} does not say format {FORMAT!r}; run the lab again.")
    _check_fields(path, "it", content, _FILE)
    for name, kind in (("machines", list[str]), ("finished", str)):
        if name in content:  # files of earlier versions do not have them
            _check_fields(path, "it", content, {name: kind})
    _check_fields(path, "lab", content["lab"], {"title": str})
    for number, claim in enumerate(content["claims"]):
        _check_fields(path, f"claim {number}", claim, _CLAIM)
        if claim["status"] not in STATUSES:
            raise ValueError(
                f"{path}: claim {number} has status {shown(claim['status'])}; known are {', '.join(STATUSES)}. Run the "
                "lab again."
            )
        for name in {"how", "remark"} & claim.keys():
            _check_fields(path, f"claim {number}", claim, {name: str})
        for finding in claim["findings"]:
            _check_fields(path, f"a finding of claim {number}", finding, _FINDING)
            if "yardstick" in finding:
                _check_fields(
                    path, f"a finding of claim {number}", finding, {"yardstick": dict[str, float | None]}
                )
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
        key=read_key(content.get("key")),
        finished=_time(content.get("finished")),
    )


def _time(words: str | None) -> datetime.datetime | None:
    try:
        return None if words is None else datetime.datetime.fromisoformat(words)
    except ValueError:
        return None


STATUSES = ("pass", "fail", "not-run")
_FILE: dict[str, Any] = {
    "lab": dict[str, Any], "budget": str, "seeds": list[int], "device": str, "seconds": float,
    "versions": dict[str, str], "fingerprint": str, "inputs": dict[str, str], "claims": list[Any],
}  # fmt: skip
_CLAIM: dict[str, Any] = {
    "id": str, "statement": str, "paper": str, "source": str, "tag": str, "tolerance_by": str, "status": str,
    "reason": str, "seeds": list[int], "findings": list[Any],
}  # fmt: skip
_FINDING: dict[str, Any] = {
    "what": str, "unit": str, "wanted": str, "ok": bool, "ours": dict[str, float | None],
}  # fmt: skip


def _check_fields(path: Path, what: str, found: object, kinds: Mapping[str, Any]) -> None:
    """Raise ValueError unless `found` is an object that has each of these fields, with a value of its kind."""
    if not isinstance(found, dict):
        raise ValueError(f"{path}: {what} must be an object {{…}}, not {shown(found)}. Run the lab again.")
    fields = cast("dict[str, Any]", found)
    for name, kind in kinds.items():
        if name not in fields:
            raise ValueError(f"{path}: {what} has no {name!r}. Run the lab again.")
        if (words := not_of_kind(fields[name], kind)) is not None:
            raise ValueError(
                f"{path}: {what}: {name} must be {words}, not {shown(fields[name])}. Run the lab again."
            )


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
        **({"remark": claim.remark} if claim.remark else {}),
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
