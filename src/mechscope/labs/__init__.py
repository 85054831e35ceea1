"""The replications: each a small experiment with its claims as data, its figures and its lesson.

Every name is imported when it is first used: listing the labs does not load torch.
"""

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.labs.claim import TAGS, CheckedClaim, Claim, Condition, Finding, check_claims
    from mechscope.labs.claims_file import ClaimsFile, read_claims, write_claims
    from mechscope.labs.lab import BUDGETS, Budget, Lab, LabFigure, LabRun, Outcome
    from mechscope.labs.registry import LABS, LabEntry, all_labs, find_entry, find_lab
    from mechscope.labs.report import render_report, write_report
    from mechscope.labs.running import Preparation, prepare, run_lab, run_prepared
    from mechscope.labs.verify import Verification, verify_labs
    from mechscope.model.device_choice import pick_device

_HOMES = {
    "BUDGETS": "lab",
    "Budget": "lab",
    "CheckedClaim": "claim",
    "Claim": "claim",
    "ClaimsFile": "claims_file",
    "Condition": "claim",
    "Finding": "claim",
    "LABS": "registry",
    "Lab": "lab",
    "LabEntry": "registry",
    "LabFigure": "lab",
    "LabRun": "lab",
    "Outcome": "lab",
    "Preparation": "running",
    "TAGS": "claim",
    "Verification": "verify",
    "all_labs": "registry",
    "check_claims": "claim",
    "find_entry": "registry",
    "find_lab": "registry",
    "prepare": "running",
    "read_claims": "claims_file",
    "render_report": "report",
    "run_lab": "running",
    "run_prepared": "running",
    "verify_labs": "verify",
    "write_claims": "claims_file",
    "write_report": "report",
}

__all__ = [
    "BUDGETS",
    "LABS",
    "TAGS",
    "Budget",
    "CheckedClaim",
    "Claim",
    "ClaimsFile",
    "Condition",
    "Finding",
    "Lab",
    "LabEntry",
    "LabFigure",
    "LabRun",
    "Outcome",
    "Preparation",
    "Verification",
    "all_labs",
    "check_claims",
    "find_entry",
    "find_lab",
    "pick_device",
    "prepare",
    "read_claims",
    "render_report",
    "run_lab",
    "run_prepared",
    "verify_labs",
    "write_claims",
    "write_report",
]

__getattr__, __dir__ = lazy_names(
    __name__,
    {name: f"{__name__}.{module}" for name, module in _HOMES.items()}
    | {"pick_device": "mechscope.model.device_choice"},
    moved={"Workshop": "mechscope.runs:Workspace"},
)
