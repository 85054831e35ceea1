"""The claims of step 04: about GPT-2 small the paper's; about SmolLM2-135M, the twin and planted circuits our own."""

from __future__ import annotations

from mechscope.labs.claim import Claim, Condition
from mechscope.labs.ioi.claims_smollm2 import CLAIMS_SMOLLM2

PAPER = "Wang et al. 2022, Interpretability in the Wild"
OURS = "mechscope: the bundled twin, ioi-twin"
GPT2 = "gpt2-small"
ACDC = "gpt2-small-acdc"
EDGES = "published-edges"
RETRAINED = "retrained-twins"


def _sentence(words: str) -> str:
    return f"{words[:1].upper()}{words[1:]}."


def _gpt2(
    number: str,
    statement: str,
    paper: str,
    how: str,
    *conditions: Condition,
    tag: str = "P",
    source: str = PAPER,
    needs: str = GPT2,
) -> Claim:
    return Claim(f"4.{number}", f"{statement}.", paper, source, tag, _sentence(how), conditions, needs=needs)


def _twin(number: int, statement: str, how: str, *conditions: Condition, needs: str = "") -> Claim:
    return Claim(
        f"4.t{number}",
        f"{statement}.",
        "none: our own criterion",
        OURS,
        "design",
        _sentence(how),
        conditions,
        needs=needs,
    )


def _on_gpt2(measure: str, what: str, **bounds: float | str) -> Condition:
    return Condition(f"gpt2_{measure}", what, **bounds)  # type: ignore[arg-type]


def _on_twin(measure: str, what: str, **bounds: float | str) -> Condition:
    return Condition(f"twin_{measure}", what, **bounds)  # type: ignore[arg-type]


PUBLISHED: tuple[Claim, ...] = (
    _gpt2(
        "1",
        "GPT-2 small gives the indirect object a larger logit than the subject",
        "3.56 logits",
        "mean over prompts from every template in both orders, no BOS",
        _on_gpt2("logit_difference", "logit difference", low=3.26, high=3.86, unit="logits"),
    ),
    _gpt2(
        "2",
        "It nearly always prefers the indirect object, and gives it about half of the probability",
        "99.3 %; probability 49 %",
        "share of prompts with a positive logit difference; mean probability of the indirect object",
        _on_gpt2("accuracy", "prompts on which IO beats S", low=98, unit="%"),
        _on_gpt2("io_probability", "probability of IO", low=44, high=54, unit="%"),
    ),
    _gpt2(
        "3",
        "Three name movers write the answer to the logits and two negative heads write against it",
        "9.9, 10.0, 9.6 and 10.7, 11.10",
        "path patching from every head to the logits; the three strongest for, the two strongest against",
        _on_gpt2("movers_found", "name movers among the three strongest", low=3),
        _on_gpt2("negative_found", "negative heads among the two strongest against", low=2),
    ),
    _gpt2(
        "4",
        "Name movers attend to the indirect object, and write what they attend to",
        "attention .59; correlation above .81",
        "attention from the end to IO, mean of 9.9, 10.0, 9.6; Pearson's r between attention to a name and what is "
        "written towards its logit",
        _on_gpt2("mover_attention", "attention to IO", low=0.51, high=0.67),
        _on_gpt2("attention_projection", "correlation of attention and projection", low=0.75),
    ),
    _gpt2(
        "5",
        "Name movers copy names, negative name movers do the opposite, other heads neither",
        "above 95 %, below 20 % elsewhere; negative 98 %",
        "names among the five highest logits of their own OV output, after the first MLP; others are all heads but "
        "name movers and backups",
        _on_gpt2("mover_copy", "copy score of name movers", low=90, unit="%"),
        _on_gpt2("other_copy", "copy score of other heads", high=25, unit="%"),
        _on_gpt2("negative_copy", "negative copy score of negative heads", low=90, unit="%"),
    ),
    _gpt2(
        "6",
        "S-inhibition heads attend from the end to the second mention of the subject",
        ".51",
        "mean attention from the end to S2 of 7.3, 7.9, 8.6, 8.10",
        _on_gpt2("inhibition_attention", "attention to S2", low=0.43, high=0.59),
    ),
    _gpt2(
        "7",
        "Without the three name movers hardly anything is lost, because backup heads step in",
        "5 %",
        "mean ablation by template and position; the direct effect of the eight backups before and after",
        _on_gpt2("movers_lost", "logit difference lost", high=20, unit="%"),
        _on_gpt2("backups_rise", "rise of the backups' direct effect", low=0.05, unit="logits"),
    ),
    _gpt2(
        "8",
        "The 26 heads alone, each at its position, do most of what the model does",
        "87 %",
        "F(C) / F(M), everything else at its mean by template; with no head active little may be left, or the ratio "
        "means nothing (random weights pass without this)",
        _on_gpt2("faithfulness", "faithfulness", low=70, high=110, unit="%"),
        _on_gpt2("nothing", "what is left without any head", high=25, unit="%"),
    ),
    _gpt2(
        "9",
        "So does the naive circuit, without backups and negative heads: faithfulness alone proves little",
        "10 %",
        "|F(M) - F(C)| / F(M) of the naive circuit, which is how the paper measures faithfulness",
        _on_gpt2("naive_gap", "gap of the naive circuit", high=14, unit="%"),
        _on_gpt2("nothing", "what is left without any head", high=25, unit="%"),
    ),
    _gpt2(
        "10",
        "Nearly every head of the circuit matters",
        "each at least 1 % of F(M)",
        "largest change of F when the head is removed from the circuit, or from the circuit without the rest of its "
        "class",
        _on_gpt2("needed_heads", "heads that matter, of 26", low=22),
    ),
    _gpt2(
        "11",
        "Naming the indirect object a second time misleads the model, naming the subject a third time does not",
        "23.4 % errors, logit difference 1.23 (control .4 %)",
        "one more sentence between the two of an IOI prompt",
        _on_gpt2("misled_errors", "errors with IO named twice", low=15, high=32, unit="%"),
        _on_gpt2("control_errors", "errors with S named three times", high=2, unit="%"),
    ),
    _gpt2(
        "12",
        "Attribution patching agrees with patching on heads; it is weak on the first MLP and the early residual stream",
        "r ≥ .9",
        "clean into corrupted; r over all 144 heads, and over the residual stream of the first four layers; the first "
        "MLP's estimate compared with its patch",
        _on_gpt2("attribution_r", "correlation over heads", low=0.9),
        _on_gpt2(
            "attribution_r_early",
            "correlation over the early residual stream",
            high=1,
            than="gpt2_attribution_r",
            than_what="that over heads",
        ),
        _on_gpt2("attribution_mlp0_error", "error at the first MLP, as a share of its patch", low=0.25),
        tag="C",
        source="a well-known course's code (attribution patching)",
    ),
    _gpt2(
        "13a",
        "Automatic discovery ranks the circuit's heads above others",
        "head AUC ≥ .85 (an independent check: .936)",
        "EAP-IG, a head ranked by its strongest edge, against the 26 heads",
        _on_gpt2("discovery_auc", "head AUC", low=0.85),
        tag="Q",
        source="quoted from later work on automatic circuit discovery",
    ),
    _gpt2(
        "13b",
        "ACDC finds the edges of the paper's circuit",
        "edge AUC .869",
        "the largest threshold at which ACDC keeps an edge, against the edges between classes",
        _on_gpt2("acdc_edge_auc", "edge AUC", low=0.789, high=0.949),
        tag="Q",
        source="Conmy et al. 2023, as quoted",
        needs=ACDC,
    ),
    _gpt2(
        "13c",
        "ACDC finds the edges of two other published circuits",
        "edge AUC .853 (Greater-Than; the 68 edges that it kept are all in the circuit) and .982 (Docstring)",
        "as 4.13b, by the KL divergence from the clean run, each circuit in the model it was found in, against "
        "its edges as they were drawn",
        _on_gpt2("acdc_greater_than", "edge AUC on Greater-Than", low=0.773, high=0.933),
        _on_gpt2("acdc_docstring", "edge AUC on Docstring", low=0.902, high=1),
        tag="Q",
        source="Conmy et al. 2023, as quoted",
        needs=EDGES,
    ),
)
"""The rows of the table for GPT-2 small."""

OFFLINE: tuple[Claim, ...] = (
    _twin(
        1,
        "The twin infers who was not named twice, even for pairs of names and templates that it never saw",
        "pairs of names that occur together in no training story, in unseen templates; the same names in any "
        "order, where no position gives the answer away",
        _on_twin("held_out_accuracy", "IO beats S, held-out pairs of names and templates", low=95, unit="%"),
        _on_twin("any_order_accuracy", "IO beats S, names in any order", low=95, unit="%"),
    ),
    _twin(
        2,
        "Nothing simple solves it: no n-gram, no skip-trigram, no copying, no rule about the positions of names",
        "baselines fitted on stories like the twin's, and four rules, on names in any order; ties count half",
        _on_twin("best_rival", "best baseline or rule", high=75, unit="%"),
    ),
    _twin(
        3,
        "Path patching back from the logits finds the chain: heads that mark the second mention, heads at the end that "
        "read the mark, heads that copy the other name",
        "threshold of 5 % of the effect; classes by position, attention and direct effect",
        _on_twin("movers", "name movers", low=1),
        _on_twin("readers", "S-inhibition heads and S-suppressors", low=1),
        _on_twin("markers", "duplicate-token and induction heads", low=1),
        _on_twin("chain_edges", "edges from heads at S2 to heads at the end", low=1),
    ),
    _twin(
        4,
        "Name movers copy, other heads of the model do not",
        "as 4.5",
        _on_twin("mover_copy", "copy score of name movers", low=90, unit="%"),
        _on_twin("other_copy", "copy score of other heads", high=25, unit="%"),
    ),
    _twin(
        5,
        "Knocking out any link of the chain costs more than knocking out equally many heads outside it",
        "mean ablation of each class by itself, the class that costs least; the null is the median of random sets",
        _on_twin(
            "least_lost",
            "lost without the least important link",
            low=1,
            than="twin_null_lost",
            than_what="the most that is lost without as many others",
        ),
        _on_twin("least_lost", "lost without the least important link", low=20, unit="%"),
    ),
    _twin(
        6,
        "The circuit alone does what the model does, and other circuits of the same size do not",
        "F(C) / F(M) on prompts that it was not found with; nulls never draw the circuit itself",
        _on_twin("faithfulness", "faithfulness", low=70, high=110, unit="%"),
        _on_twin("nothing", "what is left without any head", high=25, unit="%"),
        _on_twin("random_as_good", "random circuits as faithful", high=5, unit="%"),
        _on_twin("matched_as_good", "layer-matched circuits as faithful", high=5, unit="%"),
    ),
    _twin(
        7,
        "Nearly every head of the circuit matters",
        "as 4.10, as a share of the circuit's heads (22 of 26 is 85 %)",
        _on_twin("needed", "heads that matter", low=85, unit="%"),
    ),
    _twin(
        8,
        "Attribution patching agrees with patching",
        "clean into corrupted; r over all heads",
        _on_twin("attribution_r", "correlation over heads", low=0.9),
    ),
    _twin(
        9,
        "Automatic discovery finds what path patching found",
        "EAP-IG by head and ACDC by edge, against heads and edges of the traced circuit",
        _on_twin("discovery_auc", "head AUC of EAP-IG", low=0.85),
        _on_twin("acdc_edge_auc", "edge AUC of ACDC", low=0.85),
    ),
    _twin(
        10,
        "Naming the indirect object a second time misleads the twin more than naming the subject a third time",
        "as 4.11, by order only",
        _on_twin(
            "misled_errors",
            "errors with IO named twice",
            low=1,
            than="twin_control_errors",
            than_what="errors with S named three times",
        ),
    ),
    _twin(
        11,
        "If the circuit is known because it was planted, the pipeline finds exactly that circuit",
        "planted IOI circuits with rotated bases, renumbered and idle heads and an idle layer: same heads, same edges",
        Condition("planted_exact", "planted circuits recovered exactly", low=100, unit="%"),
    ),
    _twin(
        12,
        "Twins trained from other seeds learn the task too",
        "the share of new seeds that reach 95 % on held-out names and templates",
        Condition("retrained_share", "seeds that learn it", low=100, unit="%"),
        needs=RETRAINED,
    ),
)
"""The claims that can be tested on every machine."""

CLAIMS: tuple[Claim, ...] = (*PUBLISHED, *CLAIMS_SMOLLM2, *OFFLINE)
