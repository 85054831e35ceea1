"""The claims of step 04 about SmolLM2-135M.

They name no heads: heads are found on one half of the data and confirmed on the other. The bounds were chosen after a
first look at the model, whose head numbers are in the lesson.
"""

from __future__ import annotations

from mechscope.labs.claim import Claim, Condition

SOURCE = "mechscope: SmolLM2-135M-Instruct in 4 bits, heads looked up beforehand"
SMOLLM2 = "smollm2-135m"


def _claim(number: int, statement: str, seen: str, how: str, *conditions: Condition) -> Claim:
    return Claim(f"4.s{number}", statement, seen, SOURCE, "X", how, conditions, needs=SMOLLM2)


def _on(measure: str, what: str, **bounds: float | str) -> Condition:
    if "than" in bounds:
        bounds["than"] = f"smollm2_{bounds['than']}"
    return Condition(f"smollm2_{measure}", what, **bounds)  # type: ignore[arg-type]


CLAIMS_SMOLLM2: tuple[Claim, ...] = (
    _claim(
        1,
        "SmolLM2-135M infers indirect objects; naming the indirect object a second time misleads it",
        "100 % of 64 prompts, mean logit difference 4.75",
        "Prompts from 16 templates in both orders, without BOS. One more sentence names IO a second time, or, as the "
        "control, S a third time.",
        _on("accuracy", "prompts on which IO beats S", low=98, unit="%"),
        _on("logit_difference", "logit difference", low=4, unit="logits"),
        _on(
            "misled_logit_difference",
            "logit difference with IO named twice",
            high=0.6,
            than="control_logit_difference",
            than_what="that with S named three times",
        ),
    ),
    _claim(
        2,
        "Two halves of the data that share neither templates nor names find the same heads",
        "the same heads in both halves, r above .95",
        "Every head is corrupted in the clean run (needed) and restored in the corrupted one (enough), at the end; a "
        "head with a tenth of the effect is confirmed by the other half if it has the same sign and at least half as "
        "much there. By chance: the other heads of its layer instead. The chain: the strongest name mover, "
        "S-inhibition, induction and previous-token head.",
        _on("needed_r", "correlation of needed over all heads", low=0.9),
        _on("enough_r", "correlation of enough over all heads", low=0.9),
        _on("needed_confirmed", "needed heads confirmed", low=70, unit="%"),
        _on("enough_confirmed", "heads that are enough confirmed", low=70, unit="%"),
        _on("needed_by_chance", "needed heads confirmed by chance", high=10, unit="%"),
        _on("enough_by_chance", "heads that are enough confirmed by chance", high=20, unit="%"),
        _on("same_chain", "links of the chain with the same strongest head, of 4", low=4),
    ),
)
