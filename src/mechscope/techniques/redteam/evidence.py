"""The evidence ladder: what was asked, what was found, what a null gives, and what would falsify the claim next."""

from __future__ import annotations

import json
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal

from mechscope.results import Provenance

Verdict = Literal["supports", "undermines", "inconclusive", "not run"]


@dataclass(frozen=True)
class Rung:
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
    """What a rival or a random draw gives: the median of draws."""
    null_low: float | None = None
    null_high: float | None = None
    null_name: str = ""
    p: float | None = None
    """Share of random draws at least as strong, the claim itself counted."""
    details: dict[str, Any] = field(default_factory=dict)
    """Counter-examples, effects by member or by rival."""
    to_run: str = ""
    """What to run to make this check, or to make it stronger."""
    passes: float = 0.0
    """Forward passes over the task's prompts; where not run, how many it would take."""
    seconds: float = 0.0

    @property
    def margin(self) -> float:
        """How far the measurement's near end is above the null's far end; small is weak."""
        if self.low is None:
            return math.inf
        rival = self.null_high if self.null_high is not None else self.null
        return self.low - (0.0 if rival is None or math.isnan(rival) else rival)

    def __repr__(self) -> str:
        return f"<rung {self.name}: {self.verdict}; {self.numbers or self.reason}>"

    @property
    def numbers(self) -> str:
        """The measurement and its null in words; empty where nothing was measured."""
        if self.measured is None:
            return ""
        text = f"{self.measured:.3g} ({_number(self.low)} to {_number(self.high)})"
        if self.null is not None:
            text += f" beside {self.null:.3g}"
            if self.null_low is not None and self.null_low != self.null_high:
                text += f" ({_number(self.null_low)} to {_number(self.null_high)})"
            text += f" for {self.null_name}"
        return text if self.p is None else f"{text}, p = {self.p:.3g}"


@dataclass(frozen=True)
class Evidence:
    """Every rung for one hypothesis, from the cheapest question to the dearest."""

    claim: str
    kind: str
    """behaviour, heads or direction."""
    rungs: tuple[Rung, ...]
    provenance: Provenance

    def __getitem__(self, name: str) -> Rung:
        for rung in self.rungs:
            if rung.name == name:
                return rung
        raise KeyError(f"there is no rung {name!r}; there are {', '.join(rung.name for rung in self.rungs)}.")

    def with_verdict(self, verdict: Verdict) -> list[Rung]:
        """The rungs that came out so."""
        return [rung for rung in self.rungs if rung.verdict == verdict]

    @property
    def falsified(self) -> bool:
        """Whether any rung undermines the claim."""
        return bool(self.with_verdict("undermines"))

    @property
    def cheapest_falsifier(self) -> str:
        """The check that would most cheaply falsify the claim, and what exactly to run."""
        against = self.with_verdict("undermines")
        if against:
            first = min(against, key=lambda rung: rung.passes)
            return f"Already done: {first.name!r} undermines the claim. {first.reason}"
        open_rungs = [
            rung for rung in self.rungs if rung.verdict in ("inconclusive", "not run") and rung.to_run
        ]
        if open_rungs:
            next_one = min(open_rungs, key=lambda rung: rung.passes)
            return (
                f"{next_one.name!r} ({next_one.verdict}; about {max(next_one.passes, 1):.0f} forward passes): "
                f"{next_one.question} {next_one.to_run}"
            )
        weakest = min(self.rungs, key=lambda rung: rung.margin)
        return (
            f"Every check was run. The weakest is {weakest.name!r} ({weakest.numbers}): repeat it on new prompts, "
            f"task seed and redteam(seed=…) both changed, with four times the examples (about {4 * weakest.passes:.0f} "
            "passes)."
        )

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain numbers, text and lists."""
        return {
            "claim": self.claim,
            "kind": self.kind,
            "model": self.provenance.model,
            "task": self.provenance.task,
            "seed": self.provenance.seed,
            "cheapest_falsifier": self.cheapest_falsifier,
            "rungs": [_plain(dict(vars(rung))) for rung in self.rungs],
        }

    def to_json(self) -> str:
        """`to_dict` as text; what is not finite is null."""
        return json.dumps(self.to_dict(), indent=1, ensure_ascii=False, allow_nan=False)

    def to_markdown(self) -> str:
        """The ladder as a table, with counter-examples below it."""
        lines = [
            f"## {self.claim}",
            "",
            f"{self.provenance}. {self._tally()}",
            "",
            "| rung | question | measured | null or rival | verdict | why | passes | seconds |",
            "|---|---|---|---|---|---|---|---|",
        ]
        for rung in self.rungs:
            measured, _, rival = rung.numbers.partition(" beside ")
            cells = [rung.name, rung.question, measured, rival, rung.verdict, rung.reason]
            cells += [f"{rung.passes:.0f}", f"{rung.seconds:.2g}"] if rung.verdict != "not run" else ["", ""]
            lines.append(
                "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
            )
        lines += ["", f"**What would falsify it most cheaply.** {self.cheapest_falsifier}"]
        found = [
            (rung.name, text) for rung in self.rungs for text in rung.details.get("counter-examples", [])
        ]
        if found:
            lines += ["", "**Where it is wrong.**", ""]
            lines += [f"- {name}: {text}" for name, text in found]
        return "\n".join(lines) + "\n"

    def figure(self) -> Any:
        """Measured against null, a row a rung, what undermines the claim on top."""
        from mechscope.techniques.redteam._evidence_figure import evidence_figure

        return evidence_figure(self)

    def show(self) -> Any:
        """Draw and display the figure; returns it."""
        figure = self.figure()
        figure.show()
        return figure

    def _tally(self) -> str:
        count = Counter(rung.verdict for rung in self.rungs)
        return ", ".join(f"{number} {verdict}" for verdict, number in count.items()) + "."

    def __repr__(self) -> str:
        return f"<evidence on {self.claim!r}: {self._tally()[:-1]}; {self.provenance}>"


def _number(value: float | None) -> str:
    return "?" if value is None or math.isnan(value) else f"{value:.3g}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(each) for key, each in value.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
