"""Turn what a user types into an expression for the full-text index, and test the same words against a short text."""

from __future__ import annotations

import re
import unicodedata

_PIECE = re.compile(r'"([^"]*)"?|([^\s"]+)')
_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """The words of a text as the index sees them: letters and digits, in lower case, without accents.

    >>> words_of("Où est self.my_name?")
    ['ou', 'est', 'self', 'my', 'name']
    """
    plain = text.casefold()
    if not plain.isascii():
        decomposed = unicodedata.normalize("NFKD", plain)
        plain = "".join(letter for letter in decomposed if not unicodedata.combining(letter))
    return _WORD.findall(plain)


def phrases(query: str) -> list[list[str]]:
    """The runs of words that a text must have: what is in double quotes, and every other piece between spaces.

    >>> phrases('to "be or" not self.name')
    [['to'], ['be', 'or'], ['not'], ['self', 'name']]

    Raises:
        ValueError: for text without a word.
    """
    found = [words for quoted, piece in _PIECE.findall(query) if (words := words_of(quoted or piece))]
    if not found:
        raise ValueError(f"{query!r} has no word to search for: give letters or digits.")
    return found


def match_expression(query: str) -> str:
    """An expression for MATCH that finds texts with every word and phrase; the last word may be the start of one.

    >>> match_expression('NOT "AND')
    '"not" "and"*'

    Raises:
        ValueError: for text without a word.
    """
    # In quotes, words such as NOT and signs such as * and : are plain text.
    return " ".join(f'"{" ".join(words)}"' for words in phrases(query)) + "*"


def matches(query: list[list[str]], text: str) -> bool:
    """Whether a text has every phrase (see `phrases`); the last word may be the start of one.

    >>> matches(phrases("or no"), "to be or not to be"), matches(phrases('"or no"'), "no or"), matches([["o"]], "to")
    (True, False, False)
    """
    words = words_of(text)
    last = len(query) - 1
    return all(_has(words, phrase, is_prefix=number == last) for number, phrase in enumerate(query))


def _has(words: list[str], phrase: list[str], *, is_prefix: bool) -> bool:
    *first, end = phrase
    ends = [place for place, word in enumerate(words) if (word.startswith(end) if is_prefix else word == end)]
    return any(place >= len(first) and words[place - len(first) : place] == first for place in ends)
