"""The claims of step 03 about SmolLM2-135M, a language model that was not trained for this project."""

from __future__ import annotations

from mechscope.labs.claim import Claim, Condition

_SOURCE = "mechscope: SmolLM2-135M-Instruct in 4 bits"
_SEQUENCES = (
    "50 random tokens twice after a BOS; heads are chosen on one half of the sequences, and the numbers come from the "
    "other half. "
)

SMOLLM2_CLAIMS = (
    Claim(
        id="3.s1",
        statement="SmolLM2-135M has induction heads: found on some sequences, they are confirmed on others.",
        paper="prefix scores of the best five: .88 .75 .72 .63 .57",
        source=_SOURCE,
        tag="X",
        how=_SEQUENCES + "Null: the best other head in the layers of the five, by the same score.",
        conditions=(
            Condition("smollm2_again", "of the five best, among the five best of the other half", low=4),
            Condition("smollm2_lowest", "lowest prefix score of the five", low=0.45),
            Condition(
                "smollm2_best_other",
                "best other head in their layers",
                high=0.5,
                than="smollm2_lowest",
                than_what="that",
            ),
        ),
        needs="smollm2",
    ),
    Claim(
        id="3.s2",
        statement="They are the same heads whatever the sequences, and so are the previous-token and "
        "duplicate-token heads.",
        paper="induction 18.6 17.3 17.4 17.5 18.7; previous token 16.0 11.1; duplicate token 8.0 14.3",
        source=_SOURCE,
        tag="X",
        how="Induction heads in the top 5 by prefix score, the others in the top 2 by their scores, in each half of "
        "the sequences; the half with fewer counts. One miss is allowed.",
        conditions=(
            Condition("smollm2_heads_found", "of the nine heads ranked where they should be", low=8),
        ),
        needs="smollm2",
    ),
    Claim(
        id="3.s3",
        statement="They are what predicts the repeat: without a few of 270 heads the model hardly knows it any more.",
        paper="loss on the second copy 3.04 (14.1 on the first); without the best 1, 3, 5, 10: 5.1, 7.2, 11.4, 12.6; "
        "without other heads of the same layers 3.0 to 4.4",
        source=_SOURCE,
        tag="X",
        how=_SEQUENCES
        + "The outputs of the best 1, 3, 5 and 10 induction heads are replaced by zeros on the second "
        "copy. Null: as many other heads of the same layers; the worst draw counts.",
        conditions=(
            Condition(
                "smollm2_second_copy",
                "loss on the second copy",
                high=0.4,
                than="smollm2_first_copy",
                than_what="that on the first",
                unit="nats",
            ),
            Condition("smollm2_rise_5", "rise without the best five", low=5, unit="nats"),
            *(
                Condition(
                    f"smollm2_random_rise_{size}",
                    f"rise without {size} other head{'s' * (size > 1)}",
                    high=0.5,
                    than=f"smollm2_rise_{size}",
                    than_what=f"without the best {size}",
                    unit="nats",
                )
                for size in (1, 3, 5, 10)
            ),
        ),
        needs="smollm2",
    ),
    Claim(
        id="3.s4",
        statement="Its induction heads depend on previous-token heads, as in two layers.",
        paper="without 16.0 and 11.1 their mean prefix score falls from .72 to .05 (measured for this project)",
        source=_SOURCE,
        tag="X",
        how=_SEQUENCES
        + "The outputs of the two best previous-token heads are replaced by zeros; mean prefix score of "
        "the five induction heads. Null: two other heads of the same layers; the draw with the lowest mean counts.",
        conditions=(
            Condition(
                "smollm2_without_previous",
                "mean prefix score without previous-token heads",
                high=0.25,
                than="smollm2_mean",
                than_what="with them",
            ),
            Condition(
                "smollm2_without_two_others",
                "without two other heads",
                low=0.75,
                than="smollm2_mean",
                than_what="with them",
            ),
        ),
        needs="smollm2",
    ),
)
