"""`mechscope neuroscope score`: test labels and print what came out."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.text import Text

from mechscope.arguments import one_line
from mechscope.cli.console import Terminal
from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.neuroscope._label_text import evidence_lines
from mechscope.cli.neuroscope._unit_text import strongest_of
from mechscope.cli.neuroscope.label_commands import Score
from mechscope.cli.neuroscope.store_commands import chosen_store
from mechscope.neuroscope.label_table import StoredLabel
from mechscope.neuroscope.labels.evidence import SHOWN
from mechscope.neuroscope.labels.predicates import Predicate, load_predicate
from mechscope.neuroscope.labels.rules import rule_in_words
from mechscope.neuroscope.labels.scoring import Scorer, ScoringOptions
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.units import UnitAddress

MEANINGS = {
    "AUC": "how often firing tokens score higher than quiet ones",
    "AUC on near misses": "the same, against equal tokens that are quiet",
    "precision": "the share of its matches that fire",
    "recall": "the share of firing tokens that match",
}


def run_score(command: Score) -> int:
    """Run the command and return its exit code: 0 whatever the verdicts are."""
    if bool(command.address) == command.all:
        raise UserError("give the address of a unit, or --all for all labels of a store.")
    if command.max_tokens < 0 or not command.seeds or min(command.seeds) < 0:
        raise UserError("--max-tokens and --seeds must not be negative, and there must be a seed.")
    console = Terminal()
    with user_errors():
        function = None if command.predicate is None else load_predicate(command.predicate)
        address = None if command.all else UnitAddress.parse(command.address)
        place = command.store or address.model if address else chosen_store(command.store, command.model)
        options = ScoringOptions(
            threshold=command.threshold,
            corpus=command.corpus,
            field=command.field,
            most_tokens=command.max_tokens,
            seeds=command.seeds,
        )
        with NeuroscopeStore.open(place) as store:
            labels = store.labels.of(address) if address else store.labels.all()
            if not labels:
                raise UserError(
                    f"{address or store.model} has no label to score: `mechscope neuroscope label` writes one."
                )
            scorer = Scorer(store, options, lambda sentence: print(f"{sentence} …", file=sys.stderr))
            for label, scores in _scored(scorer, labels, function, console, strict=not command.all):
                strongest = strongest_of(store.unit(label.address))
                for line in score_lines(replace(label, scores=scores), console.width, strongest):
                    console.print(line, overflow="fold", soft_wrap=False)
                if command.corpus and not scores.get("text", {}).get("more from"):
                    console.print(Text(f"{_unread(command.corpus, scores)}\n"))
    return 0


def _unread(corpus: tuple[str, ...], scores: Mapping[str, Any]) -> str:
    """Why the text that --corpus names was not read for a label."""
    reason = (
        "in the stored sample, this unit fires often enough to test the label"
        if "text" in scores
        else "more text would not change this verdict"
    )
    return f"--corpus {' '.join(corpus)} was not read: {reason}."


def _scored(
    scorer: Scorer,
    labels: tuple[StoredLabel, ...],
    function: Predicate | None,
    console: Console,
    *,
    strict: bool,
) -> Iterator[tuple[StoredLabel, Mapping[str, Any]]]:
    """Each label with its scores; with several labels, one that cannot be scored does not stop the others."""
    # Labels of a site one after another, so that the model reads the sample for them once.
    for label in sorted(labels, key=lambda label: (label.address, label.id)):
        try:
            yield label, scorer.keep(label, _named_function(label, function))
        except (ValueError, KeyError) as error:
            if strict and len(labels) == 1:
                raise
            # str() of a KeyError is its message in quotes.
            reason = error.args[0] if isinstance(error, KeyError) else error
            console.print(Text(f"label {label.id} of {label.address} is not scored: {reason}"))


def _named_function(label: StoredLabel, function: Predicate | None) -> Predicate | None:
    """The function on the command line, if it is the rule of a label."""
    if function is None or label.rule_kind != "predicate":
        return None
    name, _, checksum = label.rule.partition(" ")
    given, _, current = function.text.partition(" ")
    if name != given:
        return None
    if checksum != current:
        raise ValueError(
            f"the file of {name} has changed since the label was written (checksum {current}, then {checksum}): write "
            "a new label."
        )
    return function


def score_lines(label: StoredLabel, width: int, strongest: float) -> Iterator[Text]:
    """What came out of the test of a label.

    Args:
        label: with its scores.
        width: the width of the terminal in characters.
        strongest: the size of the activation that gets the full colour.
    """
    scores = label.scores or {}
    yield Text(f"{label.address}  {one_line(label.label)}", "bold")
    yield Text(f"rule {label.id}  {one_line(rule_in_words(label.rule_kind, label.rule))}", "dim")
    yield Text.assemble((scores["verdict"], "bold"), f": {scores['because']}")
    if text := scores.get("text"):
        more = f", more of {' and '.join(text['more from'])} included" if text["more from"] else ""
        yield Text(
            f"tested on {text['tokens']:,} tokens of {text['documents']:,} documents that its page does not show{more}"
            f"; the unit fires at {text['firing']:,} of them, and the rule matches {text['matches']:,}"
        )
        if scores["verdict"] == "cannot tell":
            yield Text("--max-tokens reads more text, and --corpus names other text.")
    intervals = scores.get("intervals", {})
    for name, (low, high) in intervals.items():
        yield Text.assemble(
            f"  {name:<19}{scores[name]:.2f}  ({low:.2f} to {high:.2f})  ", (MEANINGS[name], "dim")
        )
    if null := scores.get("null"):
        yield Text(
            f"  null: {null['draws']} {null['kind']}, median AUC {null['median_auc']:.2f}; p = {null['p']:.2g}, and no "
            f"smaller value than {null['resolution']:.2g} is possible"
        )
        recalls = scores["recall by strength"].items()
        yield Text("  recall by strength: " + ", ".join(f"{name} {value:.0%}" for name, value in recalls))
    yield from evidence_lines(label, width, strongest, SHOWN)
    yield Text("")
