"""`mechscope neuroscope label`, `labels` and `suggest`: write down what units do."""

from __future__ import annotations

import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from mechscope.arguments import one_line
from mechscope.cli.command_line import command_line
from mechscope.cli.console import Terminal, print_json
from mechscope.cli.errors import UserError, user_errors
from mechscope.cli.neuroscope._label_text import evidence_lines
from mechscope.cli.neuroscope._unit_text import strongest_of
from mechscope.cli.neuroscope.label_commands import Label, Labels, Suggest
from mechscope.cli.neuroscope.store_commands import chosen_store
from mechscope.neuroscope.label_table import StoredLabel
from mechscope.neuroscope.labels.current import is_current
from mechscope.neuroscope.labels.evidence import HEADINGS, SHOWN, evidence_of
from mechscope.neuroscope.labels.predicates import load_predicate
from mechscope.neuroscope.labels.rules import Regex, Rule, TokenPatterns, Words, rule_in_words
from mechscope.neuroscope.labels.writing import write_label
from mechscope.neuroscope.store import NeuroscopeStore
from mechscope.neuroscope.units import UnitAddress


def run_label(command: Label) -> int:
    """Run `label` and return its exit code."""
    with user_errors():
        address = UnitAddress.parse(command.address)
        with NeuroscopeStore.open(command.store or address.model) as store:
            rule = _rule(command, store)
            written = write_label(store, address, " ".join(command.label), rule)
    again = ["--predicate", command.predicate] if command.predicate else []
    _say(f"{address} has label {written.id}: {one_line(written.label)}.")
    if rule is None:
        _say(
            "It has no rule, so it cannot be tested: write it with --words, --regex, --tokens, --like or --predicate."
        )
    else:
        _say(f"Rule: {one_line(rule.in_words)}.")
        _say(f"Test it with: {_score_line(address, *again, *_place(command.store))}")
    return 0


def _rule(command: Label, store: NeuroscopeStore) -> Rule | None:
    given = {
        name: value
        for name in ("words", "regex", "tokens", "like", "predicate")
        if (value := getattr(command, name)) not in ((), None)
    }
    if len(given) > 1:
        raise UserError(
            f"a label has one rule, but you gave {' and '.join(f'--{name}' for name in given)}: write two labels."
        )
    if command.at != "all" and not {"words", "regex"} & set(given):
        raise UserError("--at is about matches of --words and --regex.")
    if command.words:
        parts = [part.strip() for word in command.words for part in word.split(",")]
        return Words(tuple(part for part in parts if part), command.at)
    if command.regex is not None:
        return Regex(command.regex, command.at)
    if command.tokens:
        known = set(store.vocabulary().values())
        if unknown := [token for token in command.tokens if token not in known]:
            raise UserError(f"{store.model} has no token {unknown[0]!r}. Spaces count: ' the' is not 'the'.")
        return TokenPatterns(tuple((token,) for token in command.tokens))
    if command.like is not None:
        from mechscope.neuroscope.labels.examples import like_contexts

        return like_contexts(store, command.like)
    return None if command.predicate is None else load_predicate(command.predicate)


def run_labels(command: Labels) -> int:
    """Run `labels` and return its exit code."""
    console = Terminal()
    with user_errors(), NeuroscopeStore.open(chosen_store(command.store, command.model)) as store:
        if command.remove is not None:
            store.labels.remove(command.remove)
            _say(f"Label {command.remove} is removed.")
            return 0
        found = [
            label
            for label in store.labels.all()
            if not command.holding or _verdict(label).startswith("holds")
        ]
        changed = {label.id for label in found if label.scores and not is_current(store, label)}
        model = store.model
        strongest = {label.id: _strongest(store, label) for label in found if command.evidence}
    if command.json:
        left_out = () if command.evidence else HEADINGS
        print_json([_as_object(label, left_out, is_current=label.id not in changed) for label in found])
        return 0
    if not found:
        raise UserError(
            f"no label of {model} holds."
            if command.holding
            else f"{model} has no labels yet: `mechscope neuroscope label ADDRESS …` writes one."
        )
    table = Table(box=None, pad_edge=False)
    for heading in ("no.", "unit", "verdict", "AUC", "precision", "recall", "label"):
        is_text = heading in ("unit", "verdict", "label")
        table.add_column(heading, justify="left" if is_text else "right", no_wrap=heading != "label")
    for label in found:
        numbers = [_number(label, name) for name in ("AUC", "precision", "recall")]
        verdict = f"{_verdict(label)}{' *' if label.id in changed else ''}"
        place = f"{label.address.site}/{label.address.unit}"
        rule = rule_in_words(label.rule_kind, label.rule)
        words = Text.assemble(one_line(label.label), (f"  {one_line(rule)}" if rule else "", "dim"))
        table.add_row(str(label.id), place, verdict, *numbers, words)
    console.print(Text(f"Labels of {model}", "bold"))
    console.print(table)
    if changed:
        console.print("* The harvest or the test has changed since this was scored: score it again.")
    for label in found:
        if command.evidence and evidence_of(label.scores):
            console.print()
            console.print(Text(f"Label {label.id} of {label.address}: {one_line(label.label)}", "bold"))
            for line in evidence_lines(label, console.width, strongest[label.id], SHOWN):
                console.print(line, overflow="fold", soft_wrap=False)
    return 0


def _strongest(store: NeuroscopeStore, label: StoredLabel) -> float:
    """The size of the activation that gets the full colour."""
    try:
        return strongest_of(store.unit(label.address))
    except KeyError:
        # A unit that a later harvest does not have: its threshold was a quarter of its highest activation.
        return 4 * abs((label.scores or {}).get("firing", {}).get("threshold", 0.25))


def run_suggest(command: Suggest) -> int:
    """Run `suggest` and return its exit code."""
    from mechscope.neuroscope.labels.auto_label import LogOddsLabeller, material_of

    with user_errors():
        address = UnitAddress.parse(command.address)
        with NeuroscopeStore.open(command.store or address.model) as store:
            material = material_of(store, address)
            found = LogOddsLabeller().suggest(material)
            if found is None:
                raise UserError(
                    f"no token is clearly more frequent in the {len(material.firing)} contexts of {address} at which "
                    "it fires than elsewhere. Read them yourself: what it fires on may be more than one token."
                )
            _say(f"{address}: {one_line(found.label)}")
            if not command.keep:
                _say(
                    "This is a guess from the contexts on its page. --keep writes it down, so that you can score it."
                )
                return 0
            label = store.labels.add(address, found.label, found.rule.kind, found.rule.text)
    _say(f"This is label {label.id} now. Test it with: {_score_line(address, *_place(command.store))}")
    return 0


def _place(store: Path | None) -> list[str | Path]:
    return [] if store is None else ["--store", store]


def _score_line(address: UnitAddress, *options: str | Path) -> str:
    """The command that tests a unit's labels, to be copied."""
    return command_line("neuroscope", "score", str(address), *options)


def _as_object(label: StoredLabel, left_out: Collection[str], *, is_current: bool) -> dict[str, Any]:
    """A label as JSON has it: its fields, with the address as text, and its scores without some of their parts."""
    whole = vars(label) | {"address": str(label.address)}
    if label.scores is None:
        return whole
    scores = {name: value for name, value in label.scores.items() if name not in left_out}
    return whole | {"scores": scores, "is_current": is_current}


def _verdict(label: StoredLabel) -> str:
    if label.scores is None:
        return "not scored" if label.rule_kind else "no rule"
    return str(label.scores.get("verdict", "scored"))


def _number(label: StoredLabel, name: str) -> str:
    value = (label.scores or {}).get(name)
    return f"{value:.2f}" if isinstance(value, int | float) else ""


def _say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
