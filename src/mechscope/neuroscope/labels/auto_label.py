"""Suggest a label: an interface for any labeller, and one that needs no model and no network.

A labeller gets what a person would look at, and returns a label with a rule. What it suggests is scored like any other
label. To use a language model of your own, write a class with this one method:

    class MyLabeller:
        def suggest(self, material: Material) -> Suggestion | None:
            answer = ask_my_model(my_prompt(material.firing, material.quiet))
            return Suggestion(answer.label, Regex(answer.pattern))

    suggestion = MyLabeller().suggest(material_of(store, "mlp0/17"))
    label = store.labels.add("mlp0/17", suggestion.label, suggestion.rule.kind, suggestion.rule.text)
    Scorer(store).keep(label)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from mechscope.neuroscope.labels.rules import Rule, TokenPatterns, pattern_in_words
from mechscope.neuroscope.labels.text_spans import Tokens
from mechscope.neuroscope.labels.thresholds import thresholds_of
from mechscope.neuroscope.units import Context, UnitAddress

if TYPE_CHECKING:
    from mechscope.neuroscope.store import NeuroscopeStore

Pattern = tuple[str | None, ...]
"""A run of tokens that ends at the token in question; None stands for any token."""


@dataclass(frozen=True)
class Material:
    """What a labeller sees of a unit."""

    address: UnitAddress
    firing: tuple[Context, ...]
    """The contexts of the unit's page at whose focus it fires, the strongest first."""
    quiet: tuple[Context, ...]
    """The contexts of the page at whose focus it does not."""
    background: tuple[Tokens, ...]
    """Sequences of the random sample, whatever the unit does there."""
    firing_rate: float
    """The share of the harvest's tokens at which the unit fires."""


@dataclass(frozen=True)
class Suggestion:
    """What a unit might do."""

    label: str
    """In words."""
    rule: Rule
    """By which it can be tested."""


class Labeller(Protocol):
    """Anything that looks at contexts and says what a unit does."""

    def suggest(self, material: Material) -> Suggestion | None:
        """A label with a rule; None if the labeller finds nothing to say."""
        ...


def material_of(store: NeuroscopeStore, address: UnitAddress | str) -> Material:
    """What a labeller sees of a unit; only what its page shows, and texts without activations.

    Raises:
        ValueError, KeyError: for a unit that the store does not have.
    """
    address = store.address(address)
    known = thresholds_of(store, address.site)
    contexts = sorted(store.unit(address).contexts, key=lambda context: -context.value)
    threshold, vocabulary = known.values[address.unit], store.vocabulary()
    return Material(
        address,
        tuple(context for context in contexts if context.value > threshold),
        tuple(context for context in contexts if context.value <= threshold),
        tuple(tuple(vocabulary[token] for token in each.tokens.tolist()) for each in store.sample()),
        float(known.rates[address.unit]),
    )


@dataclass(frozen=True)
class LogOddsLabeller:
    """Finds the tokens that are more frequent where a unit fires than in the sample.

    Candidates are the token at which it fires, the one before it, and both together. Small tokens are parts of words,
    so these are often endings or beginnings. A candidate needs clear evidence: its log-odds ratio with an informative
    Dirichlet prior must be large in standard deviations (Monroe, Colaresi and Quinn 2008, *Fightin' Words*, section
    3.5.1), so that frequent tokens need more of it, and tokens that were seen once do not win. Of these, those with the
    best balance (harmonic mean) of estimated precision and share of contexts are taken.
    """

    most: int = 5
    """How many patterns a rule has at most."""
    least_deviations: float = 1.96
    """How many standard deviations the log-odds of a pattern are above 0 at least."""
    least_precision: float = 0.2
    """At what share of its matches the unit fires at least, estimated from the firing rate."""

    def suggest(self, material: Material) -> Suggestion | None:
        """The patterns with the best scores, each of which explains contexts that those before it do not."""
        firing = [set(patterns_at(context.tokens, context.focus)) for context in material.firing]
        everywhere = Counter(
            pattern
            for tokens in material.background
            for place in range(len(tokens))
            for pattern in patterns_at(tokens, place)
        )
        total = sum(len(tokens) for tokens in material.background)
        if len(firing) < 2 or not total:
            return None
        found = dict[Pattern, float]()
        for pattern, number in Counter(pattern for own in firing for pattern in own).items():
            precision = self._precision(number / len(firing), everywhere[pattern] / total, material)
            deviations = log_odds(number, len(firing), everywhere[pattern], total)
            if number >= 2 and precision >= self.least_precision and deviations >= self.least_deviations:
                recall = number / len(firing)
                found[pattern] = 2 * precision * recall / (precision + recall)
        chosen, left = list[Pattern](), list(firing)
        for pattern in sorted(found, key=lambda pattern: (-found[pattern], len(pattern), str(pattern))):
            if len(chosen) < self.most and sum(pattern in own for own in left) >= 2:
                chosen.append(pattern)
                left = [own for own in left if pattern not in own]
        if not chosen:
            return None
        return Suggestion(
            "fires on " + " or ".join(map(pattern_in_words, chosen)), TokenPatterns(tuple(chosen))
        )

    def _precision(self, share_firing: float, share: float, material: Material) -> float:
        return min(1.0, share_firing * material.firing_rate / share) if share else 1.0


def patterns_at(tokens: Sequence[str], place: int) -> Iterator[Pattern]:
    """The patterns that a token and the one before it make.

    >>> list(patterns_at([" the", " cat"], 1))
    [(' cat',), (' the', None), (' the', ' cat')]
    """
    yield (tokens[place],)
    if place:
        yield (tokens[place - 1], None)
        yield (tokens[place - 1], tokens[place])


def log_odds(number: int, of: int, elsewhere: int, total: int) -> float:
    """The log-odds of a pattern among firing tokens against those in the sample, in standard deviations.

    The sample is the prior, scaled to as many tokens as there are firing ones, with half a token for patterns that it
    does not have.

    Args:
        number: at how many of the firing tokens the pattern is …
        of: … out of so many.
        elsewhere: at how many tokens of the sample it is …
        total: … out of so many.
    """
    prior = of * (elsewhere + 0.5) / (total + 1)
    ours = np.log((number + prior) / (2 * of - number - prior))
    theirs = np.log((elsewhere + prior) / (total + of - elsewhere - prior))
    return float((ours - theirs) / np.sqrt(1 / (number + prior) + 1 / (elsewhere + prior)))
