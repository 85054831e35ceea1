"""The claims of step 03."""

from __future__ import annotations

from mechscope.labs.claim import Claim, Condition
from mechscope.labs.induction.smollm2_claims import SMOLLM2_CLAIMS

_OLSSON = "Olsson et al. (2022), “In-context learning and induction heads”"
_ELHAGE = "Elhage et al. (2021), “A mathematical framework for transformer circuits”"

CLAIMS = (
    Claim(
        id="3.1",
        statement="The prefix score measures what it should: 1 for a head that always looks at the token after the "
        "last occurrence, and chance level for one that looks everywhere equally.",
        paper="a definition",
        source=_OLSSON,
        tag="P",
        how="Mean attention from a token's second occurrence to the token after its first, on blocks of random tokens "
        "repeated twice after a BOS. Checked on a hand-wired head and on uniform attention.",
        conditions=(
            Condition("prefix_of_hand_wired", "score of the hand-wired induction head", low=0.999),
            Condition(
                "prefix_of_uniform_error", "uniform attention: distance from its exact score", high=1e-5
            ),
            Condition("test_sequences", "sequences tested on", low=10),
        ),
    ),
    Claim(
        id="3.2",
        statement="Two layers form an induction head; one layer, on the same data with the same budget, does not.",
        paper="only models with at least two layers have induction heads",
        source=f"{_ELHAGE}; {_OLSSON}",
        tag="P",
        how="Largest prefix score of any head at the end of training; in-context gain = loss on the first quarter of "
        "a sequence minus loss on the last, on held-out sequences.",
        conditions=(
            Condition("prefix_2l", "best prefix score, two layers", low=0.5),
            Condition("prefix_1l", "best prefix score, one layer", high=0.1),
            Condition(
                "gain_1l",
                "in-context gain, one layer",
                high=0.5,
                than="gain_2l",
                than_what="with two",
                unit="nats",
            ),
        ),
    ),
    Claim(
        id="3.3",
        statement="It happens abruptly: in-context learning, the induction head and the loss on repeated tokens change "
        "at the same time.",
        paper="one narrow window of training, for all three",
        source=_OLSSON,
        tag="P",
        how="A curve's change point is where half of its total change has happened. Abrupt: more than half of the "
        "change happens within some 15 % of the training (for a straight line it would be 15 %).",
        conditions=(
            Condition("change_spread", "change points apart, share of training", high=10, unit="%"),
            Condition(
                "abrupt_in_context",
                "share of its change within 15 % of training: in-context score",
                low=50,
                unit="%",
            ),
            Condition("abrupt_prefix", "prefix score", low=50, unit="%"),
            Condition("abrupt_repeated", "loss on repeated tokens", low=50, unit="%"),
        ),
    ),
    Claim(
        id="3.4a",
        statement="Previous-token heads feed induction heads by K-composition, as the weights show.",
        paper="induction heads read previous-token heads by their keys; unrelated heads about 1/√d_model",
        source=f"{_ELHAGE}; the test is this project's",
        tag="P",
        how="‖W_OV W_QKᵀ‖ / (‖W_OV‖ ‖W_QK‖) for each head of layer 0 with each of layer 1, LayerNorms folded in. T = Σ "
        "over pairs of (previous-token score − mean) · K-composition · (prefix score − mean); p: share of all "
        "relabellings of the heads with a T at least as large; required: p ≤ 0.05. If all heads but one of each layer "
        "are of the layer's kind (at least half of the best score), there is nothing to relabel; then mean "
        "K-composition must be 1.5 × that of random directions and 1.3 × that by queries and by values. “The largest "
        "pair joins two such heads” would be vacuous there. Evidence: the required p over the measured p, or the "
        "smaller of the two ratios, each over its required value.",
        conditions=(
            Condition("composition_evidence", "evidence, relative to what is required", low=1),
            Condition("random_times_root_d", "random heads' score × √d_model", low=0.9, high=1.1),
        ),
    ),
    Claim(
        id="3.4b",
        statement="The same holds in a language model after training, but not before.",
        paper="p = .007; before the phase change .72 to .86 (measured for this project)",
        source=f"{_ELHAGE}; the test is this project's",
        tag="X",
        how="The test of 3.4a on the last and on the first checkpoint of mini-attn-only-2l.",
        conditions=(
            Condition("text_relabelling_p", "p at the end", high=0.05),
            Condition("text_relabelling_p_untrained", "p before training", low=0.05),
        ),
        needs="text-models",
    ),
    Claim(
        id="3.5",
        statement="Induction heads copy: they make the token that they attend to likelier.",
        paper="> 0.5",
        source=_ELHAGE,
        tag="P",
        how="Σ Re λ / Σ |λ| over the eigenvalues of W_E W_OV W_U, through d_head × d_head matrices; the lowest of all "
        "induction heads.",
        conditions=(Condition("copying", "copying score of the least copying induction head", low=0.5),),
    ),
    Claim(
        id="3.6",
        statement="It is causal: without previous-token heads there is no induction, and without induction heads "
        "hardly any in-context learning, while other heads matter little.",
        paper="induction heads carry most of in-context learning",
        source=f"{_OLSSON}; the bounds of 60 % and 20 % are from a course's code",
        tag="P",
        how="Heads' outputs are replaced by their means, position by position. For the second and third number all "
        "attention patterns are frozen (pattern-preserving), so that only what a head itself writes is lost. "
        "The bound of a quarter on the remaining prefix score is ours.",
        conditions=(
            Condition(
                "prefix_without_previous",
                "prefix score without previous-token heads",
                high=0.25,
                than="prefix_2l",
                than_what="with them",
            ),
            Condition("removed_by_induction", "gain lost without induction heads", low=60, unit="%"),
            Condition(
                "removed_by_others", "gain lost without the most important other head", high=20, unit="%"
            ),
        ),
    ),
    Claim(
        id="3.7",
        statement="The same score finds the known heads of GPT-2 small.",
        paper="induction 5.1 5.5 6.9 7.2 7.10; previous token 4.11 2.2; duplicate token 3.0 0.1",
        source="Wang et al. (2022), “Interpretability in the wild”; a course's code",
        tag="P",
        how="50 random tokens twice, 10 sequences; induction heads in the top 8 by prefix score, previous-token heads "
        "in the top 2, duplicate-token heads in the top 3 by their scores. One miss is allowed.",
        conditions=(Condition("gpt2_heads_found", "of the nine heads ranked where they should be", low=8),),
        needs="gpt2-small",
    ),
    Claim(
        id="3.8",
        statement="The mechanism is sufficient: weights written by hand, without training, solve the task.",
        paper="100 %",
        source="constructed for this project",
        tag="design",
        how="Two attention-only layers of one head in the same HookedTransformer; blocks of different random tokens, "
        "twice; accuracy on the second copy.",
        conditions=(Condition("hand_wired_accuracy", "accuracy", low=100, unit="%"),),
    ),
    Claim(
        id="3.9",
        statement="Simpler methods are not enough: counting n-grams, or copying any token of the context, gains less "
        "than half of what two layers gain.",
        paper="no number",
        source="constructed for this project",
        tag="design",
        how="Unigram, bigram, trigram, skip-trigram and two copying baselines are fitted to 1,024 sequences like those "
        "of the training; the best by in-context gain is compared with the two-layer model on the same tests.",
        conditions=(
            Condition(
                "gain_rival",
                "in-context gain, best baseline",
                high=0.5,
                than="gain_2l",
                than_what="two layers",
                unit="nats",
            ),
            Condition(
                "repeated_2l",
                "loss on the second copy, two layers",
                high=0.5,
                than="repeated_rival",
                than_what="that baseline's",
                unit="nats",
            ),
        ),
    ),
    Claim(
        id="3.10",
        statement="The same holds in language models: two layers form an induction head, one layer does not.",
        paper="only models with at least two layers have induction heads",
        source=f"{_ELHAGE}; {_OLSSON}; the bounds are ours",
        tag="P",
        how="The bundled mini-attn-only-1l and -2l at the end of their training: best prefix score on random tokens "
        "repeated twice, and how far the loss on the second copy fell since the first checkpoint. Their first "
        "training phase was on repeated random tokens, the second on text: see their cards.",
        conditions=(
            Condition("text_prefix_2l", "best prefix score, two layers", low=0.5),
            Condition("text_prefix_1l", "best prefix score, one layer", high=0.1),
            Condition(
                "text_drop_1l",
                "fall of the loss on repeated tokens, one layer",
                high=0.5,
                than="text_drop_2l",
                than_what="with two",
                unit="nats",
            ),
        ),
        needs="text-models",
    ),
    Claim(
        id="3.11",
        statement="Over the training checkpoints of the two-layer language model, the induction head and the use of "
        "repeats come together.",
        paper="r = .90, p = .00015 (measured for this project); one narrow window of training",
        source=f"{_OLSSON}; the test is this project's",
        tag="P",
        how="The increase of the best prefix score from one checkpoint to the next, and the decrease of the loss on "
        "repeated tokens: their correlation, and p over 100,000 orders of the checkpoints. Null: the same with either "
        "curve shifted by one checkpoint. The in-context gain on code does not change with the head, and no claim says "
        "so.",
        conditions=(
            Condition("text_together_r", "correlation of the increments", low=0),
            Condition("text_together_p", "its permutation p", high=0.01),
            Condition("text_shifted_p", "p with one curve shifted by a checkpoint", low=0.05),
            Condition("text_checkpoints", "checkpoints looked at", low=8),
        ),
        needs="text-models",
    ),
    Claim(
        id="3.12",
        statement="If keys already contain the previous token, one layer is enough to form an induction head.",
        paper="one-layer models with smeared keys form induction heads; the others do not",
        source=f"{_OLSSON}; the bounds are ours",
        tag="P",
        how="The one-layer model of 3.2, same data and budget, but each head mixes the previous position's key into "
        "every key in a learned proportion. Best prefix score at the end, compared with the same model with "
        "ordinary keys.",
        conditions=(
            Condition("prefix_smeared", "best prefix score, one layer with smeared keys", low=0.5),
            Condition("prefix_1l", "one layer with ordinary keys", high=0.1),
            Condition(
                "gain_smeared",
                "in-context gain with smeared keys",
                low=2,
                than="gain_1l",
                than_what="with ordinary ones",
                unit="nats",
            ),
        ),
        needs="smeared",
    ),
    Claim(
        id="3.13",
        statement="At the phase change the two-layer model begins to learn something else: the path of its per-token "
        "losses turns. With one layer it does not.",
        paper="a turn in the plane of the first two principal components, with two and more layers only",
        source=f"{_OLSSON}; measure and bounds are ours",
        tag="P",
        how="Loss on each token of the held-out sequences at every look at the training, projected on the first two "
        "principal components of each model. Turn: angle between the last 15 % of the path's length before a look and "
        "the next 15 %; the largest within 10 % of the training around the change of the two-layer model's prefix "
        "score.",
        remark="Both paths bend, and with one layer just as far. On random tokens nothing can be learned before the "
        "change, so there is no first direction to turn away from; and any path that slows down bends in this plane. "
        "The paper's models had learned pairs and triples of words before. In three training runs on random tokens "
        "with preferred successors (bigrams whose log probabilities vary by 0.6, 1.2 and 2 nats) no induction head "
        "formed in the same number of steps. The bundled language models cannot decide this: they turn where their "
        "training data changes from random tokens to text.",
        conditions=(
            Condition("turn_2l", "largest turn at the change, two layers", low=45, unit="degrees"),
            Condition(
                "turn_1l",
                "one layer",
                high=0.5,
                than="turn_2l",
                than_what="that with two",
                unit="degrees",
            ),
        ),
        needs="turning",
    ),
    *SMOLLM2_CLAIMS,
)
