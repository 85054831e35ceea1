"""The claims of step 04 about SmolLM2-135M.

They name no heads: heads are found on one half of the data and confirmed on the other. The bounds were chosen after a
first look at the model, whose head numbers are in the lesson.
"""

from __future__ import annotations

from mechscope.labs.claim import Claim, Condition

SOURCE = "mechscope: SmolLM2-135M-Instruct in 4 bits, heads looked up beforehand"
SMOLLM2 = "smollm2-135m"


def _claim(
    number: int, statement: str, seen: str, how: str, *conditions: Condition, remark: str = ""
) -> Claim:
    return Claim(
        f"4.s{number}", f"{statement}.", seen, SOURCE, "X", how, conditions, remark=remark, needs=SMOLLM2
    )


def _on(measure: str, what: str, **bounds: float | str) -> Condition:
    if "than" in bounds:
        bounds["than"] = f"smollm2_{bounds['than']}"
    return Condition(f"smollm2_{measure}", what, **bounds)  # type: ignore[arg-type]


CLAIMS_SMOLLM2: tuple[Claim, ...] = (
    _claim(
        1,
        "SmolLM2-135M infers indirect objects; naming the indirect object a second time misleads it",
        "100 % of 64 prompts, mean logit difference 4.75; with IO named twice 2.4, with S named three times 3.7",
        "Prompts from 16 templates in both orders, without BOS. One more sentence names IO a second time, or, as the "
        "control, S a third time.",
        _on("accuracy", "prompts on which IO beats S", low=90, unit="%"),
        _on("logit_difference", "logit difference", low=4, unit="logits"),
        _on(
            "misled_logit_difference",
            "logit difference with IO named twice",
            high=0.8,
            than="control_logit_difference",
            than_what="that with S named three times",
        ),
        remark="Naming IO a second time lowers the difference in every seed, but in two of three by less than a fifth "
        "(2.66 against 3.30, 2.36 against 3.68, 3.07 against 3.81 logits): SmolLM2 is misled far less than GPT-2 "
        "small. The bound was set after seeing one seed.",
    ),
    _claim(
        2,
        "Two halves of the data that share neither templates nor names find the same heads",
        "the same heads in both halves, r above .95",
        "Every head is corrupted in the clean run (needed) and restored in the corrupted one (enough), at the end; a "
        "head with a tenth of the effect is confirmed by the other half if it has the same sign and at least half as "
        "much there. By chance: the other heads of its layer instead. The classes: S-suppressors, S-inhibition, "
        "induction and previous-token heads.",
        _on("needed_r", "correlation of needed over all heads", low=0.9),
        _on("enough_r", "correlation of enough over all heads", low=0.9),
        _on("needed_confirmed", "needed heads confirmed", low=70, unit="%"),
        _on("enough_confirmed", "heads that are enough confirmed", low=70, unit="%"),
        _on("needed_by_chance", "needed heads confirmed by chance", high=10, unit="%"),
        _on(
            "enough_confirmed",
            "heads that are enough confirmed",
            low=2,
            than="enough_by_chance",
            than_what="those confirmed by chance",
        ),
        _on("same_chain", "classes with the same strongest head, of 4", low=4),
    ),
    _claim(
        3,
        "Name movers attend to the indirect object and write the name that they attend to; other heads of their layers "
        "do not, and copy scores from the weights tell them apart, as in GPT-2 small",
        "attention .32 to .57, copy scores .63 to 1",
        "Attention from the end to IO; Pearson's r over prompts of attention to IO above that to S and of what is "
        "written towards IO above S, median over heads; names among the five likeliest tokens if a head attends only "
        "to IO, with its values from these prompts, and as in 4.5 from the weights alone.",
        _on(
            "mover_attention",
            "attention of name movers to IO",
            low=2,
            than="beside_attention",
            than_what="that of other heads of their layers",
        ),
        _on("attention_projection", "correlation of attention and writing", low=0.7),
        _on("mover_copy", "names that name movers copy", low=60, unit="%"),
        _on(
            "beside_copy",
            "names that other heads of their layers copy",
            high=0.5,
            than="mover_copy",
            than_what="those that name movers copy",
        ),
        _on("mover_weights_copy", "names that they copy by the weights alone", low=50, unit="%"),
        _on(
            "other_weights_copy", "names that other heads of the model copy by the weights", high=10, unit="%"
        ),
    ),
    _claim(
        4,
        "The head with the largest direct effect is not a name mover: it attends to S and writes against S. The "
        "circuit of GPT-2 small has no such class",
        "attention .52 to S and .04 to IO; negative copy score 1",
        "As 4.s3, for the S-suppressors: heads that write to the logits and lower S more than they raise IO.",
        _on(
            "suppressor_attention_to_s",
            "attention of S-suppressors to S",
            low=3,
            than="suppressor_attention",
            than_what="that to IO",
        ),
        _on("suppressor_opposite", "names that they write against", low=60, unit="%"),
        _on("suppressor_copy", "names that they copy", high=20, unit="%"),
    ),
    _claim(
        5,
        "The strongest S-inhibition head works through the queries of the heads that write the answer, and its "
        "message means nothing among other names",
        "a quarter of the effect; about 0 among other names",
        "Path patching at the end from the head to the queries of name movers and S-suppressors: corrupted in the "
        "original prompt (noise), restored among three other names, restored in twins in which S2 names IO. Beside "
        "it, the largest effect of the other "
        "heads of its layer. Then all S-inhibition heads are put on their means, and the name movers' attention is "
        "measured again.",
        _on(
            "to_queries",
            "effect through the queries",
            low=3,
            than="to_queries_beside",
            than_what="the largest of other heads of its layer",
        ),
        _on("to_queries", "effect through the queries", low=0.1),
        _on(
            "to_queries_denoised",
            "effect among three other names",
            high=0.25,
            than="to_queries",
            than_what="that in the original prompt",
        ),
        _on(
            "to_queries_of_twins",
            "effect among the same names",
            low=4,
            than="to_queries_denoised",
            than_what="that among three other names",
        ),
        _on(
            "preference_without",
            "attention to IO above that to S, without S-inhibition",
            high=0.5,
            than="preference",
            than_what="that with it",
        ),
    ),
    _claim(
        6,
        "The chain behind it is an induction circuit: a previous-token head feeds the keys of an induction head at S2, "
        "which feeds the values of the S-inhibition head; both are what they are called on random tokens too",
        "scores .88 and .72 on random tokens",
        "Path patching along both links, beside the largest effect of the other heads of the sender's layer; scores "
        "of step 03 on 10 sequences of 50 random tokens, twice, in which no name has to occur.",
        _on(
            "to_keys",
            "effect through the keys at S1+1",
            low=3,
            than="to_keys_beside",
            than_what="the largest of other heads of its layer",
        ),
        _on(
            "to_values",
            "effect through the values at S2",
            low=2,
            than="to_values_beside",
            than_what="the largest of other heads of its layer",
        ),
        _on("previous_score", "previous-token score", low=0.5),
        _on("induction_score", "induction score", low=0.4),
        _on("previous_median", "previous-token score of the median head", high=0.1),
        _on("induction_median", "induction score of the median head", high=0.1),
    ),
    _claim(
        7,
        "Knocking out the name movers, the S-suppressors or the S-inhibition heads costs more than knocking out as "
        "many heads outside the circuit; the name movers, which are redundant, cost less than the S-inhibition heads",
        "17 %, 37 % and 51 % of the logit difference; GPT-2 small loses 5 % without its name movers",
        "Each class on its mean by template and position, beside as many heads outside the circuit: the median of "
        "draws for each class, and of these the largest.",
        _on("movers_lost", "lost without the name movers", low=5, unit="%"),
        _on("suppressors_lost", "lost without the S-suppressors", low=15, unit="%"),
        _on("readers_lost", "lost without the S-inhibition heads", low=25, unit="%"),
        _on(
            "movers_lost",
            "lost without the name movers",
            low=1,
            than="others_lost",
            than_what="the most that is lost without as many others",
        ),
        _on(
            "movers_lost",
            "lost without the name movers",
            high=1,
            than="readers_lost",
            than_what="that without the S-inhibition heads",
        ),
    ),
    _claim(
        8,
        "These heads alone, each at its positions, keep more of the logit difference than random heads do, but they "
        "are no faithful circuit",
        "32 % of the logit difference; random sets 11 %, the best of three layer-matched sets 34 %",
        "F(C) / F(M) on other prompts than it was found with, everything else on its mean by template; the best draw "
        "of random sets. Layer-matched sets are in the report's figure. That each head matters would prove nothing: "
        "random weights pass it.",
        _on("faithfulness", "faithfulness", low=20, high=70, unit="%"),
        _on(
            "faithfulness",
            "faithfulness",
            low=1.5,
            than="random_best",
            than_what="that of the best random set",
        ),
        _on("nothing", "what is left without any head", high=20, unit="%"),
        remark="In one of three seeds the best random set keeps 39 % and the best layer-matched one 43 %, where the "
        "circuit's heads keep 32 %: heads that are needed are not enough, and a set that happens to hold the right "
        "few does as well. A fourth seed, which is not part of the budget, misses the bound narrowly: 27 against 18 %.",
    ),
    _claim(
        9,
        "Automatic discovery names the same heads, and its circuits of edges are faithful where others of their size "
        "are not",
        "faithfulness .23 to .79 over 38 to 4,996 edges; random 0, layer-matched up to .21",
        "EAP-IG on the half that the heads were found with, a head ranked by its strongest edge; faithfulness of its "
        "circuits on the other half, beside the medians of both nulls over all sizes.",
        _on("discovery_auc", "head AUC", low=0.85),
        _on("edges_large", "faithfulness of the largest circuit", low=0.5),
        _on("edges_random", "random circuits at any size", high=0.1),
        _on("edges_matched", "layer-matched circuits at any size", high=0.35),
        remark="A fourth seed, which is not part of the budget, misses one bound: the largest circuit's faithfulness "
        "is .28 (4,942 edges; random 0, layer-matched .03), though its heads are the same (AUC .97). How much a "
        "circuit of this size keeps depends on the prompts.",
    ),
)
"""In the order of the lesson."""
