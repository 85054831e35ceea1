"""Rules: what a label claims, in a form that can be tested. A rule gives every token a score; above 0 is a match.

| kind | matches |
|---|---|
| `words` | whole words from a list; upper and lower case are the same |
| `regex` | a regular expression on the text of the sequence; if it has a group, only what the first group matched |
| `tokens` | tokens from a list, with the tokens before them if they matter |
| `like` | tokens in surroundings like those of some examples |
| `predicate` | a Python function (see `predicates`), which is never read from a store |

Words and regular expressions match passages, which may be several tokens. `at` says which of them count: all, the
first, the last, or the one after the passage. It is written behind the kind, as in "words, first token".

"Like these examples" compares tokens, place by place, by naive Bayes (`detection.ExampleContexts`). The residual stream
would be a more powerful measure of similarity, but a neuron is itself a function of the residual stream: a score would
then say that the model resembles itself, and not that a reader who sees the text could tell where the unit fires.
"""

from __future__ import annotations

import json
import math
import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from jaxtyping import Float

from mechscope.arguments import visible_token
from mechscope.near_names import did_you_mean
from mechscope.neuroscope.labels.text_spans import PLACES, At, Tokens, covered, spans_of

LONGEST = 1_000
"""The most characters of a regular expression."""
KINDS = ("words", "regex", "tokens", "like", "predicate")
WINDOW = 4
"""How many tokens of an example are compared: the unit's own and those before it."""
BACKGROUND = 4_000
"""With how many tokens of the texts examples are compared."""
_BEFORE_THE_START = -1
"""In place of tokens before the start of a text."""


class Rule(ABC):
    """What a label claims."""

    kind: str
    """How to read `text`."""
    text: str
    """The rule as it is stored."""
    is_about_text: bool = True
    """Whether it reads the text of a sequence, in which characters must be whole, and not tokens as pages show them."""

    @abstractmethod
    def scores(self, sequences: Sequence[Tokens]) -> list[Float[np.ndarray, " pos"]]:
        """A score for each token of each sequence; above 0 is a match.

        Raises:
            ValueError: if the rule cannot be applied; says why.
        """

    @property
    def in_words(self) -> str:
        """The rule for a reader."""
        return f"{self.kind}: {self.text}"


@dataclass(frozen=True)
class Words(Rule):
    """Whole words, in upper or lower case.

    >>> [each.tolist() for each in Words(("cat",)).scores([("A", " Cat", " sat")])]
    [[0.0, 1.0, 0.0]]

    Raises:
        ValueError: for no words.
    """

    words: tuple[str, ...]
    at: At = "all"

    def __post_init__(self) -> None:
        if isinstance(self.words, str):
            raise ValueError(f"words must be several, such as ({self.words!r},), and not one text.")
        if not self.words or not all(word.strip() for word in self.words):
            raise ValueError("give at least one word, and no empty ones, as in: import, from.")
        for word in self.words:
            # Stores keep words with commas between them.
            if "," in word or word != word.strip():
                raise ValueError(
                    f"a word has no comma in it and no space at its ends, as {word!r} has: use a regular expression."
                )
        _check_place(self.at)

    @property
    def kind(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return _with_place("words", self.at)

    @property
    def text(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return ", ".join(self.words)

    def scores(self, sequences: Sequence[Tokens]) -> list[Float[np.ndarray, " pos"]]:
        pattern = re.compile("|".join(_whole(word) for word in self.words), re.IGNORECASE)
        return [
            covered(tokens, [match.span() for match in pattern.finditer("".join(tokens))], self.at).astype(
                float
            )
            for tokens in sequences
        ]


@dataclass(frozen=True)
class Regex(Rule):
    """A regular expression on the text of a sequence.

    Raises:
        ValueError: for one that does not compile or is too long.
    """

    text: str
    at: At = "all"

    def __post_init__(self) -> None:
        if len(self.text) > LONGEST:
            raise ValueError(
                f"the regular expression has {len(self.text):,} characters; at most {LONGEST:,} are allowed."
            )
        if not self.text:
            raise ValueError("the regular expression is empty.")
        try:
            re.compile(self.text)
        except (re.error, RecursionError, OverflowError) as error:
            raise ValueError(f"the regular expression {self.text!r} cannot be read: {error}.") from error
        _check_place(self.at)

    @property
    def kind(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return _with_place("regex", self.at)

    def scores(self, sequences: Sequence[Tokens]) -> list[Float[np.ndarray, " pos"]]:
        found = spans_of(self.text, ["".join(tokens) for tokens in sequences])
        return [
            covered(tokens, spans, self.at).astype(float)
            for tokens, spans in zip(sequences, found, strict=True)
        ]


@dataclass(frozen=True)
class TokenPatterns(Rule):
    """Tokens, with the tokens before them where these matter.

    >>> rule = TokenPatterns(((" the", None),))  # any token after " the"
    >>> [each.tolist() for each in rule.scores([(" on", " the", " mat")])]
    [[0.0, 0.0, 1.0]]

    Raises:
        ValueError: for no patterns, or one that says nothing.
    """

    patterns: tuple[tuple[str | None, ...], ...]
    """Each is a run of tokens that ends at the token that matches; None stands for any token."""

    kind = "tokens"
    is_about_text = False

    def __post_init__(self) -> None:
        if isinstance(self.patterns, str) or any(isinstance(each, str) for each in self.patterns):
            raise ValueError(
                "patterns must be runs of tokens, such as ((' the', ' cat'),); for a single token, write ((' the',),)."
            )
        if not self.patterns or not all(any(token for token in pattern) for pattern in self.patterns):
            raise ValueError("give at least one token, and no empty ones.")

    @property
    def text(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return json.dumps(self.patterns, ensure_ascii=False)

    @property
    def in_words(self) -> str:
        return "tokens: " + " or ".join(pattern_in_words(pattern) for pattern in self.patterns)

    def scores(self, sequences: Sequence[Tokens]) -> list[Float[np.ndarray, " pos"]]:
        return [self._matches(np.array(tokens, object)) for tokens in sequences]

    def _matches(self, tokens: np.ndarray) -> Float[np.ndarray, " pos"]:
        found = np.zeros(len(tokens), bool)
        for pattern in self.patterns:
            size = len(pattern)
            if size > len(tokens):
                continue
            own = np.ones(len(tokens) - size + 1, bool)
            for place, token in enumerate(pattern):
                if token is not None:
                    own &= tokens[place : len(tokens) - size + 1 + place] == token
            found[size - 1 :] |= own
        return found.astype(float)


@dataclass(frozen=True)
class Like(Rule):
    """Tokens in surroundings like those of examples.

    The score is the log-odds that a token is one of those at which the unit fires, by naive Bayes over the tokens at
    the last `WINDOW` places: above 0, the unit is more likely to fire than not.

    Raises:
        ValueError: for no examples, or a firing rate that is no probability.
    """

    examples: tuple[Tokens, ...]
    """Each ends at a token at which a unit fires."""
    firing_rate: float
    """The share of all tokens at which the unit fires."""
    source: str = ""
    """Where the examples come from."""

    kind = "like"
    is_about_text = False

    def __post_init__(self) -> None:
        if not self.examples or not all(self.examples):
            raise ValueError("give at least one example, and no empty ones.")
        if not 0 < self.firing_rate < 1:
            raise ValueError(f"the firing rate must be between 0 and 1, not {self.firing_rate:g}.")

    @property
    def text(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return json.dumps(
            {
                "examples": [list(example[-WINDOW:]) for example in self.examples],
                "firing rate": self.firing_rate,
                "source": self.source,
            },
            ensure_ascii=False,
        )

    @property
    def in_words(self) -> str:
        number = len(self.examples)
        origin = f" from {self.source}" if self.source else ""
        return f"like: {number} {'example' if number == 1 else 'examples'}{origin}"

    def scores(self, sequences: Sequence[Tokens]) -> list[Float[np.ndarray, " pos"]]:
        # Imported late, because the pages that show rules need no torch.
        import torch

        from mechscope.dictionaries.evaluation.detection import ExampleContexts

        numbers: dict[str, int] = {}
        windows = [_windows(tokens, numbers) for tokens in sequences]
        if not windows:
            return []
        every = torch.from_numpy(np.concatenate(windows))
        # Every n-th token, so that the same texts always give the same scores.
        background = every[:: -(-len(every) // BACKGROUND)]
        examples = np.stack([_windows(example, numbers)[-1] for example in self.examples])
        odds = ExampleContexts(torch.from_numpy(examples), background)(every).numpy()
        odds = odds + math.log(self.firing_rate / (1 - self.firing_rate))
        return np.split(odds, np.cumsum([len(tokens) for tokens in sequences])[:-1])


def _windows(tokens: Tokens, numbers: dict[str, int]) -> np.ndarray:
    """For each token, the numbers of the last `WINDOW` tokens."""
    ids = [numbers.setdefault(token, len(numbers)) for token in tokens]
    padded = np.array([_BEFORE_THE_START] * (WINDOW - 1) + ids, np.int64)
    return np.lib.stride_tricks.sliding_window_view(padded, WINDOW)


def rule_of(kind: str, text: str) -> Rule:
    """A stored rule.

    Raises:
        ValueError: for a rule of an unknown kind, one that cannot be read, or a predicate, which is never read from a
            store.
    """
    name, _, place = kind.partition(", ")
    at = cast(At, place.removesuffix(" token") or "all")
    match name:
        case "words":
            return Words(tuple(word.strip() for word in text.split(",")), at)
        case "regex":
            return Regex(text, at)
        case "tokens" | "like":
            return _from_json(name, text)
        case "predicate":
            raise ValueError(
                f"the rule is the function {text.split(' ')[0]}, and stores keep no programs: name its file with "
                "--predicate FILE:FUNCTION."
            )
        case "":
            raise ValueError(
                "the label has no rule, so there is nothing to score: write it again with a rule."
            )
        case _:
            raise ValueError(f"there is no kind of rule {name!r}.{did_you_mean(name, KINDS)}")


def rule_in_words(kind: str, text: str) -> str:
    """A stored rule for a reader, whatever its kind; empty if there is none."""
    try:
        return rule_of(kind, text).in_words
    except ValueError:
        return f"{kind}: {text}" if kind else ""


def pattern_in_words(pattern: Sequence[str | None]) -> str:
    r"""A run of tokens for a reader.

    >>> print(pattern_in_words(("\n", None)))
    \n + any
    """
    return " + ".join("any" if token is None else visible_token(token) for token in pattern)


def _from_json(name: str, text: str) -> Rule:
    try:
        found: Any = json.loads(text)
        if name == "tokens":
            return TokenPatterns(tuple(tuple(pattern) for pattern in found))
        examples = tuple(tuple(example) for example in found["examples"])
        return Like(examples, float(found["firing rate"]), str(found["source"]))
    except (KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(f"a rule of the kind {name!r} cannot be read: {text[:80]!r}.") from error


def _whole(word: str) -> str:
    """A pattern for a word. It has a border only where the word ends in a letter, a digit or _: "->" has none."""
    begin = r"(?<!\w)" if re.match(r"\w", word[0]) else ""
    end = r"(?!\w)" if re.match(r"\w", word[-1]) else ""
    return f"{begin}{re.escape(word)}{end}"


def _with_place(kind: str, at: At) -> str:
    return kind if at == "all" else f"{kind}, {at} token"


def _check_place(at: str) -> None:
    if at not in PLACES:
        raise ValueError(f"which tokens of a match count must be one of {', '.join(PLACES)}, not {at!r}.")
