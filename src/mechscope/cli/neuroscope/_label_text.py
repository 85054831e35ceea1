"""Labels of a unit as text for a terminal, with the evidence from their tests."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.text import Text

from mechscope.arguments import one_line
from mechscope.cli.neuroscope._unit_text import context_line
from mechscope.neuroscope.label_table import StoredLabel
from mechscope.neuroscope.labels.evidence import HEADINGS, evidence_of
from mechscope.neuroscope.labels.rules import rule_in_words
from mechscope.neuroscope.labels.summary import labels_in_words


def label_lines(labels: Sequence[StoredLabel], width: int, strongest: float, texts: int) -> Iterator[Text]:
    """The labels of a unit.

    Args:
        width: the width of the terminal in characters.
        strongest: the size of the activation that gets the full colour.
        texts: how many texts of each kind of evidence.
    """
    verdicts = [str((label.scores or {}).get("verdict", "")) for label in labels]
    yield Text(f"Labels: {labels_in_words(verdicts)}", "bold")
    for label in labels:
        yield Text.assemble(("label  ", "dim"), (one_line(label.label), "bold"), _scores(label))
        if rule := rule_in_words(label.rule_kind, label.rule):
            yield Text(f"rule   {one_line(rule)}", "dim")
        yield from evidence_lines(label, width, strongest, texts)


def evidence_lines(label: StoredLabel, width: int, strongest: float, texts: int) -> Iterator[Text]:
    """The texts on which a label's rule and its unit disagree, or nearly do, under their headings.

    Args:
        width, strongest, texts: see `label_lines`.
    """
    for kind, contexts in evidence_of(label.scores).items():
        yield Text(HEADINGS[kind], "bold")
        for context in contexts[:texts]:
            yield context_line(context, width, strongest)


def _scores(label: StoredLabel) -> str:
    numbers = {name: value for name, value in (label.scores or {}).items() if isinstance(value, (int, float))}
    listed = ", ".join(f"{name} {value:.3g}" for name, value in numbers.items())
    known = [str((label.scores or {}).get("verdict", "")), listed]
    return f"  ({': '.join(each for each in known if each)})" if any(known) else ""
