"""Evidence reports: what each check measured, what a null gives, and which check could falsify the claim next."""

from __future__ import annotations

import json
import math
import warnings
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from mechscope.pages.tables import markdown_table
from mechscope.results import Provenance

Verdict = Literal["supports", "undermines", "inconclusive", "not run"]
AGAINST = " against "
OLD_NAMES = {
    "beats the rivals": "beats the baselines",
    "beside random components": "beats random components",
    "beside layer-matched components": "beats layer-matched components",
    "beside random directions": "beats random directions",
    "beside directions of matched covariance": "beats directions of matched covariance",
}
"""Names of checks that have changed; the old ones still find them, with a DeprecationWarning."""


@dataclass(frozen=True)
class Check:
    """One check of a hypothesis."""

    name: str
    question: str
    verdict: Verdict
    reason: str
    """Why the verdict is what it is, or why the check was not run."""
    measured: float | None = None
    low: float | None = None
    """Lower end of the 95 % bootstrap interval over examples."""
    high: float | None = None
    unit: str = ""
    null: float | None = None
    """The same measurement for a baseline, or the median over random draws."""
    null_low: float | None = None
    null_high: float | None = None
    null_name: str = ""
    p: float | None = None
    """Share of random draws at least as strong, counting the claim itself as one."""
    details: dict[str, Any] = field(default_factory=dict)
    """Counter-examples, effects by member or by baseline, and the like."""
    to_run: str = ""
    """How to make this check run, or make it stronger."""
    passes: float = 0.0
    """Forward passes over the task's prompts; if the check was not run, how many it would take."""
    seconds: float = 0.0

    @property
    def margin(self) -> float:
        """The lower end of the measurement minus the upper end of the null: small means weak evidence."""
        if self.low is None:
            return math.inf
        null = self.null_high if self.null_high is not None else self.null
        return self.low - (0.0 if null is None or math.isnan(null) else null)

    def __repr__(self) -> str:
        return f"<check {self.name}: {self.verdict}; {self.numbers or self.reason}>"

    @property
    def numbers(self) -> str:
        """The measurement and its null in words; empty if nothing was measured."""
        if self.measured is None:
            return ""
        text = f"{self.measured + 0.0:.3g} ({_number(self.low)} to {_number(self.high)})"
        if self.null is not None:
            text += f"{AGAINST}{self.null:.3g}"
            if self.null_low is not None and self.null_low != self.null_high:
                text += f" ({_number(self.null_low)} to {_number(self.null_high)})"
            text += f" for {self.null_name}"
        return text if self.p is None else f"{text}, p = {self.p:.3g}"


@dataclass(frozen=True)
class Evidence:
    """The results of all checks of one hypothesis."""

    claim: str
    kind: str
    """behaviour, heads or direction."""
    checks: tuple[Check, ...]
    provenance: Provenance

    @property
    def rungs(self) -> tuple[Check, ...]:
        """Deprecated name of `checks`."""
        _warn_renamed("Evidence.rungs", "checks")
        return self.checks

    def __getitem__(self, name: str) -> Check:
        """A check by name.

        Raises:
            KeyError: for an unknown name; lists the known ones.
        """
        if name in OLD_NAMES:
            _warn_renamed(f"the check {name!r}", repr(OLD_NAMES[name]))
            name = OLD_NAMES[name]
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(
            f"there is no check {name!r}; there are {', '.join(check.name for check in self.checks)}."
        )

    def with_verdict(self, verdict: Verdict) -> list[Check]:
        """The checks with this verdict."""
        return [check for check in self.checks if check.verdict == verdict]

    @property
    def falsified(self) -> bool:
        """Whether any check undermines the claim."""
        return bool(self.with_verdict("undermines"))

    @property
    def cheapest_falsifier(self) -> str:
        """The cheapest check that could falsify the claim, and how to run it."""
        against = self.with_verdict("undermines")
        if against:
            first = min(against, key=lambda check: check.passes)
            return f"Already done: {first.name!r} undermines the claim. {first.reason}"
        open_checks = [
            check for check in self.checks if check.verdict in ("inconclusive", "not run") and check.to_run
        ]
        if open_checks:
            next_one = min(open_checks, key=lambda check: check.passes)
            return (
                f"{next_one.name!r} ({next_one.verdict}; about {max(next_one.passes, 1):.0f} forward passes): "
                f"{next_one.question} {next_one.to_run}"
            )
        weakest = min(self.checks, key=lambda check: check.margin)
        return (
            f"Every check was run. The weakest is {weakest.name!r} ({weakest.numbers}): repeat it on new prompts, "
            f"task seed and redteam(seed=…) both changed, with four times the examples (about {4 * weakest.passes:.0f} "
            "passes)."
        )

    def to_dict(self) -> dict[str, Any]:
        """The report as plain numbers, text and lists."""
        return {
            "claim": self.claim,
            "kind": self.kind,
            "model": self.provenance.model,
            "task": self.provenance.task,
            "seed": self.provenance.seed,
            "cheapest_falsifier": self.cheapest_falsifier,
            # The key of saved reports, from before checks were called checks.
            "rungs": [_plain(dict(vars(check))) for check in self.checks],
        }

    def to_json(self) -> str:
        """`to_dict` as JSON; values that are not finite become null."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def to_markdown(self) -> str:
        """The checks as a table, with counter-examples below it."""
        headers = ["check", "question", "measured", "null or baseline", "verdict", "why", "passes", "seconds"]
        rows: list[list[str]] = []
        for check in self.checks:
            measured, _, null = check.numbers.partition(AGAINST)
            cost = ["", ""]
            if check.verdict != "not run":
                cost = [f"{check.passes:.0f}", f"{check.seconds:.2g}"]
            rows.append([check.name, check.question, measured, null, check.verdict, check.reason, *cost])
        lines = [f"## {self.claim}", "", f"{self.provenance}. {self._tally()}", ""]
        lines += [
            markdown_table(headers, rows),
            "",
            f"**What would falsify it most cheaply.** {self.cheapest_falsifier}",
        ]
        found = [
            (check.name, text) for check in self.checks for text in check.details.get("counter-examples", [])
        ]
        if found:
            lines += ["", "**Where it is wrong.**", ""]
            lines += [f"- {name}: {text}" for name, text in found]
        return "\n".join(lines) + "\n"

    def figure(self) -> Any:
        """Measurement and null, one row per check; checks that undermine the claim come first."""
        from mechscope.techniques.redteam._evidence_figure import evidence_figure

        return evidence_figure(self)

    def show(self) -> Any:
        """Display the figure and return it."""
        figure = self.figure()
        figure.show()
        return figure

    def _tally(self) -> str:
        count = Counter(check.verdict for check in self.checks)
        return ", ".join(f"{number} {verdict}" for verdict, number in count.items()) + "."

    def __repr__(self) -> str:
        return f"<evidence on {self.claim!r}: {self._tally()[:-1]}; {self.provenance}>"


def _warn_renamed(old: str, new: str) -> None:
    message = f"{old} has been renamed: use {new}. The old name will go in the next version."
    warnings.warn(message, DeprecationWarning, stacklevel=3)


def _number(value: float | None) -> str:
    # Adding zero turns -0 into 0.
    return "?" if value is None or math.isnan(value) else f"{value + 0.0:.3g}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
