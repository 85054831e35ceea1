"""Claims of step 02 about a network that composes permutations."""

from __future__ import annotations

from mechscope.labs.claim import Claim, Condition
from mechscope.labs.grokking.config import COMPOSITION

_CHUGHTAI = (
    "Chughtai, Chan and Nanda (2023), “A toy model of universality”; numbers read from the table of results in the "
    "authors' repository"
)
_TRAINING = (
    f"Their network: embeddings of width {COMPOSITION.d_embed}, {COMPOSITION.n_neurons} neurons, "
    f"{100 * COMPOSITION.fraction:.0f} % of the 14,400 pairs, full batch, AdamW; but learning rate "
    f"{COMPOSITION.learning_rate:g} (theirs 0.001), weight decay {COMPOSITION.weight_decay:g} (1) and "
    f"{COMPOSITION.epochs:,} epochs (250,000)."
)
# A network that knows nothing could be said to use few irreps, or to lose nothing without them.
_GROKKED = Condition("s5_test_accuracy", "test accuracy at the end", low=99.5, unit="%")

COMPOSITION_CLAIMS = (
    Claim(
        id="2.15a",
        statement="Composing permutations of five things is learned in irreducible representations: much of the "
        "logits' variance is characters χ(a b c⁻¹).",
        paper="39, 85, 60 and 59 % of the variance; W_a and W_b to at least 99.9 % in the key irreps (four seeds)",
        source=_CHUGHTAI,
        tag="C",
        how=f"{_TRAINING} Least squares of the logits on the characters of the key irreps, over all pairs and answers, "
        "with what is the same for every answer removed. An irrep is key if its character has a cosine similarity "
        "above 0.005 with the logits, as in the authors' code. W_a and W_b: each embedding times its part of the "
        "linear layer. Nulls: the same network when it had only memorised its pairs, with all six characters; the "
        "characters of b a c⁻¹ instead (leaving out the sign, which does not depend on the order); the answers in "
        "random order. 39 % is the least of the paper's four networks; the other bounds are ours.",
        remark="Networks differ in when they grok. Of the three seeds tried, 0 and 1 did at epochs 2,200 and 2,400, "
        "seed 2 at 4,000. With the paper's weight decay of 1 and narrower embeddings, one of two had not at 5,800.",
        conditions=(
            _GROKKED,
            Condition("s5_explained", "variance explained by the key irreps", low=39, unit="%"),
            Condition("s5_embedding", "share of W_a and W_b in the key irreps, the lesser", low=95, unit="%"),
            Condition(
                "s5_memorised_explained",
                "variance explained when memorised",
                high=0.5,
                than="s5_explained",
                than_what="at the end",
                unit="%",
            ),
            Condition(
                "s5_swapped_explained",
                "variance explained in the wrong order",
                high=0.25,
                than="s5_ordered_explained",
                than_what="in the right one",
                unit="%",
            ),
            Condition(
                "s5_relabelled_explained",
                "variance explained with the answers in random order",
                high=0.1,
                than="s5_explained",
                than_what="in the right order",
                unit="%",
            ),
        ),
        needs="composition",
    ),
    Claim(
        id="2.15b",
        statement="They are few.",
        paper="2 to 4 of the six irreps that say something about the answer (four seeds: 4, 2, 3, 2)",
        source=_CHUGHTAI,
        tag="C",
        how="Key irreps of 2.15a, counted, in a network that composes almost without a mistake. With a threshold of "
        "0.05, two would count in each of seeds 0 and 1. The third has little weight in the logits, but without it the "
        "null of 2.15c misses its bounds in seed 0.",
        conditions=(
            Condition("s5_keys", "key irreps", low=2, high=4),
            _GROKKED,
        ),
        needs="composition",
    ),
    Claim(
        id="2.15c",
        statement="The neurons need them: nothing but the key irreps of the product is enough, and without them "
        "nothing is left.",
        paper="restricted loss below the whole model's (2e-9 to 7e-7 nats), excluded loss 7.6 to 17.2 nats, where "
        "guessing costs 4.79 (four seeds)",
        source=_CHUGHTAI,
        tag="C",
        how="Of the neurons' activations, the part that the entries of ρ(a b) explain, for all key irreps ρ, is kept "
        "alone (with the mean over all pairs) or removed; loss over all pairs. Null: the same with the irreps that are "
        "not key. All bounds are ours.",
        conditions=(
            _GROKKED,
            Condition(
                "s5_keys_kept",
                "only the key irreps in the neurons",
                high=1,
                than="s5_whole",
                than_what="the whole model",
                unit="nats",
            ),
            Condition(
                "s5_keys_removed",
                "neurons without them",
                low=1,
                than="s5_guessing",
                than_what="guessing",
                unit="nats",
            ),
            Condition(
                "s5_others_kept",
                "only the other irreps in the neurons",
                low=0.9,
                than="s5_guessing",
                than_what="guessing",
                unit="nats",
            ),
            Condition(
                "s5_others_removed",
                "neurons without the others",
                high=1.5,
                than="s5_whole",
                than_what="the whole model",
                unit="nats",
            ),
        ),
        needs="composition",
    ),
)
