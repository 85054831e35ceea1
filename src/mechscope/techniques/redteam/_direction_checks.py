"""The checks of a direction: needed, enough, better than random directions, graded, readable, and no illusion.

What each says if there is nothing to measure (the floor) is in docs/redteam.md.
Sources: Geiger et al. 2023 (interchange along a direction); Makelov et al. 2023 (the illusion); Hewitt and Liang
2019 (probes with controls).
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from mechscope.techniques.redteam._direction_patches import DirectionPatches
from mechscope.techniques.redteam._intervals import FEWEST_DRAWS, FLOOR, SIGNIFICANT, Estimate, p_value
from mechscope.techniques.redteam._reading_weights import read_part
from mechscope.techniques.redteam._running_checks import (
    Experiment,
    Finding,
    Step,
    clearly_beaten,
    not_run,
    percent,
    spread,
    too_few_draws,
)
from mechscope.techniques.redteam.evidence import Verdict

SOME = 0.25
"""A direction that restores less than this share of the effect does not carry it."""
DOSES = (0.0, 0.25, 0.5, 0.75, 1.0, 1.5)
RESTORED, DESTROYED = "share of the effect restored", "share of the effect destroyed"


class DirectionChecks:
    """The checks of `Direction`."""

    def __init__(self, experiment: Experiment, patches: DirectionPatches) -> None:
        self.experiment, self.patches = experiment, patches

    @property
    def premise_fails(self) -> str:
        """Why nothing can be measured: the two runs do not differ clearly."""
        gap = self.experiment.bootstrap.mean(self.patches.clean - self.patches.corrupted)
        if gap.low * gap.high > 0:
            return ""
        return (
            f"Clean and corrupted prompts do not differ clearly ({gap.value:.3g}, {gap.low:.3g} to {gap.high:.3g}), so "
            "there is nothing to take shares of."
        )

    def first_pass(self) -> float:
        """Patch the whole activation."""
        _ = self.patches.whole
        return self.patches.full_passes

    def steps(self) -> list[Step]:
        """The checks in order."""
        n = self.experiment.n_null
        one = 0.0 if self.premise_fails else self.patches.full_passes
        return [
            Step(
                "something to explain",
                "Does patching the whole activation at this site restore the behaviour?",
                self.something,
                "Choose a site and positions where patching the whole activation restores the behaviour.",
                0,
            ),
            Step(
                "projected out",
                "Does the behaviour disappear if the component along the direction is the same for all prompts?",
                self.projected_out,
                "Run it on more examples.",
                2 + n,
                (2 + n) * one,
            ),
            Step(
                "patched along it",
                "Does the clean component alone restore the behaviour on corrupted prompts?",
                self.patched,
                "Run it on more examples.",
                1,
                one,
            ),
            Step(
                "beats random directions",
                "Do directions drawn uniformly restore as much?",
                lambda: self.compare("even"),
                "Raise n_null.",
                n + 1,
                (n + 1) * one,
            ),
            Step(
                "beats directions of matched covariance",
                "Do random directions along which the activations vary restore as much?",
                lambda: self.compare("matched"),
                "Raise n_null.",
                n + 1,
                (n + 1) * one,
            ),
            Step(
                "dose and response",
                "Does a larger dose have a larger effect?",
                self.dose,
                "Run it on more examples.",
                len(DOSES),
                len(DOSES) * one,
            ),
            Step(
                "readable along it",
                "Are clean and corrupted prompts separated along it, on held-out prompts?",
                self.probe,
                "Run it on more examples.",
                0,
            ),
            Step(
                "no illusion",
                "Does the effect stay if only the part of the direction that later weights read is patched?",
                self.illusion,
                "State the direction at a site with a null space, such as the neurons that write there (site='post').",
                2,
                2 * one,
            ),
        ]

    def something(self) -> Finding:
        if self.premise_fails:
            clean, corrupted = map(
                self.experiment.bootstrap.mean, (self.patches.clean, self.patches.corrupted)
            )
            unit = self.experiment.task.metric.unit
            return Finding("inconclusive", self.premise_fails, clean, unit, corrupted, "corrupted prompts")
        effect = self.patches.share_restored(self.patches.whole)
        verdict = _some(effect)
        reason = (
            f"The whole activation restores {percent(effect.value)}; a direction in it can do part of that."
        )
        return Finding(verdict, reason, effect, RESTORED)

    def projected_out(self) -> Finding:
        drawn = self.patches.random("even", self.experiment.n_null)
        found = self.patches.removed([self.patches.unit, None, *drawn])
        effect, whole = (self.patches.share_removed(each) for each in found[:2])
        null = spread(self._shares(1 - self._restored(found[2:])))
        verdict = _some(effect)
        reason, advice = f"{percent(effect.value)} is destroyed.", ""
        if verdict == "supports" and effect.low <= null.high:
            verdict = "inconclusive"
        elif verdict == "supports" and too_few_draws(len(drawn)):
            verdict = "inconclusive"
            reason += too_few_draws(len(drawn))
            advice = "Raise n_null."
        elif verdict != "supports" and whole.low <= FLOOR:
            verdict = "inconclusive"
            reason += (
                f" If the whole activation is the same for all prompts, {percent(whole.value)} is, so there is nothing "
                "that a direction in it could destroy."
            )
            advice = "Choose a site and positions without which the behaviour disappears."
        return Finding(verdict, reason, effect, DESTROYED, null, "directions drawn uniformly", advice=advice)

    def patched(self) -> Finding:
        found = self.patches.restored([self.patches.unit])[0]
        effect = self.patches.share_restored(found)
        return Finding(_some(effect), f"It restores {percent(effect.value)}.", effect, RESTORED)

    def compare(self, kind: str) -> Finding:
        found = self.patches.restored([self.patches.unit, *self.patches.random(kind, self.experiment.n_null)])
        effect = self.patches.share_restored(found[0])
        shares = self._shares(self._restored(found))
        p = p_value(float(shares[0]), shares[1:])
        verdict: Verdict = "inconclusive"
        reason = f"{percent(float((shares[1:] < shares[0]).mean()))} of {len(shares) - 1} draws restore less."
        null, advice = spread(shares[1:]), ""
        few = too_few_draws(len(shares) - 1)
        if effect.low <= FLOOR:
            reason += f" The direction itself restores {percent(effect.value, 1)}, not clearly more than {FLOOR:.0%}."
            advice = "Choose a direction that restores more, or run it on more examples."
            if not clearly_beaten(shares[1:]):
                reason += " Hardly any draw restores more, so there is nothing to compare."
            elif few:
                reason += few
            else:
                verdict = "undermines"
        elif few:
            reason += few
        elif p <= SIGNIFICANT and effect.low > float(np.median(shares[1:])):
            verdict = "supports"
        elif p > 2 * SIGNIFICANT:
            verdict = "undermines"
        words = "directions drawn uniformly" if kind == "even" else "directions of matched covariance"
        details = {"smallest possible p": 1 / len(shares)}
        return Finding(verdict, reason, effect, RESTORED, null, words, p, details=details, advice=advice)

    def dose(self) -> Finding:
        runs = torch.stack([self.patches.restored([self.patches.unit], dose)[0] for dose in DOSES])
        gap = float((self.patches.clean - self.patches.corrupted).mean())
        means = (runs.mean(1) / gap).double().cpu().numpy()

        def rank_correlation(*rows: NDArray[np.float64]) -> NDArray[np.float64]:
            curve = np.stack([row.mean(-1) for row in rows]) / gap
            ranks = curve.argsort(0).argsort(0)
            away = ranks - ranks.mean(0)
            ideal = np.arange(len(DOSES))[:, None] - (len(DOSES) - 1) / 2
            return (away * ideal).sum(0) / (ideal**2).sum()

        effect = self.experiment.bootstrap.statistic(rank_correlation, *runs)
        height = float(means[DOSES.index(1.0)] - means[0])
        verdict: Verdict = "inconclusive"
        reason = f"From dose 0 to dose 1 the metric moves by {percent(height)} of the effect."
        advice = ""
        if abs(height) < SOME / 2:
            reason += " That is too little for the shape of the response to be seen."
            advice = "Choose a direction that restores more."
        elif effect.low >= 0.75:
            verdict = "supports"
        elif effect.high < 0.5:
            verdict = "undermines"
        doses = {str(dose): float(mean - means[0]) for dose, mean in zip(DOSES, means, strict=True)}
        return Finding(
            verdict,
            reason,
            effect,
            "rank correlation of dose and response",
            details={"doses": doses},
            advice=advice,
        )

    def probe(self) -> Finding:
        clean, corrupted = self.patches.activations()
        half = len(clean) // 2
        if half < 4:
            return not_run("It needs at least 8 examples, half to fit and half to test.")
        right = _threshold_accuracy(clean, corrupted, self.patches.unit, half)
        effect = self.experiment.bootstrap.mean(right)
        # These draws cost no pass, so there are always enough of them.
        drawn = self.patches.random("even", max(self.experiment.n_null, FEWEST_DRAWS))
        control = [float(_threshold_accuracy(clean, corrupted, each, half).mean()) for each in drawn]
        null = spread(np.array(control))
        verdict: Verdict = "inconclusive"
        if effect.low > null.high:
            verdict = "supports"
        reason = (
            f"One threshold along it separates {percent(effect.value)}. A direction can be readable and unused, and "
            "a quantity with many values need not split in two, so this check alone never undermines a claim."
        )
        return Finding(verdict, reason, effect, "accuracy", null, "directions drawn uniformly (control)")

    def illusion(self) -> Finding:
        hypothesis = self.patches.hypothesis
        part = read_part(
            self.experiment.model, hypothesis.site, hypothesis.layer, hypothesis.head, self.patches.unit
        )
        if part is None:
            return not_run(
                "Some weight reads every direction at this site, so the weights show no dormant part."
            )
        if float(part.norm()) < 1e-3:
            return Finding("undermines", "Nothing later reads any of it.", Estimate(0.0, 0.0, 0.0), RESTORED)
        found = self.patches.restored([self.patches.unit, part / part.norm()])
        whole, read = (self.patches.share_restored(each) for each in found)
        verdict: Verdict = "inconclusive"
        reason = (
            f"{percent(float(part.norm()) ** 2)} of its squared length is read; patching that part alone restores "
            f"{percent(read.value)}, the whole direction {percent(whole.value)}."
        )
        advice = ""
        if whole.low <= FLOOR:
            reason += " There is no clear effect that could be an illusion."
            advice = "Choose a direction that restores more, or run it on more examples."
        elif read.low > SOME and read.low > 0.5 * whole.value:
            verdict = "supports"
        elif read.high < 0.5 * whole.value or read.high < SOME:
            verdict = "undermines"
        half = Estimate(whole.value / 2, whole.low / 2, whole.high / 2)
        name = "half of the whole direction's effect"
        return Finding(verdict, reason, read, RESTORED, half, name, advice=advice)

    def _restored(self, metric: torch.Tensor) -> torch.Tensor:
        zero, one = self.patches.corrupted.mean(), self.patches.clean.mean()
        return (metric.mean(-1) - zero) / (one - zero)

    def _shares(self, values: torch.Tensor) -> NDArray[np.float64]:
        return values.double().cpu().numpy()


def _threshold_accuracy(
    clean: torch.Tensor, corrupted: torch.Tensor, direction: torch.Tensor, half: int
) -> torch.Tensor:
    """Accuracy of each held-out pair [example]; threshold and sign come from the first half. NaN is omitted."""
    along = torch.stack([clean, corrupted]) @ direction.to(clean)
    means = along[:, :half].nanmean(1)  # [2 position]: each position has its own threshold
    middle, sign = means.mean(0), torch.sign(means[0] - means[1])
    beyond = (along[:, half:] - middle) * sign
    right = torch.stack([beyond[0] > 0, beyond[1] < 0]).double()
    return right.where(beyond.isfinite(), torch.nan).nanmean((0, 2))


def _some(effect: Estimate) -> Verdict:
    if effect.low > SOME:
        return "supports"
    return "undermines" if effect.high < SOME else "inconclusive"
