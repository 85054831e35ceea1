"""Turn what a user types into an expression for the full-text index, and test the same words against a short text."""

from __future__ import annotations

import re
import unicodedata

_PIECE = re.compile(r'"([^"]*)"?|([^\s"]+)')
_WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """The words of a text: letters and digits, in lower case, without accents.

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
    return [words_of(piece) for piece in _pieces(query)]


def _pieces(query: str) -> list[str]:
    """What is in double quotes, and every other piece between spaces, as far as there is a word in it."""
    found = [piece for quoted, plain in _PIECE.findall(query) if words_of(piece := quoted or plain)]
    if not found:
        raise ValueError(f"{query!r} has no word to search for: give letters or digits.")
    return found


def match_expression(query: str) -> str:
    """An expression for MATCH that finds texts with every word and phrase; the last word may be the start of one.

    >>> match_expression('NOT "AND')
    '"NOT" "AND"*'

    Raises:
        ValueError: for text without a word.
    """
    # In quotes, words such as NOT and signs such as * and : are plain text. The index divides it into words and removes
    # accents in the same way as in the texts; doing so here would lose letters such as the Russian short i.
    plain = (piece.replace('"', " ").replace("\0", " ") for piece in _pieces(query))
    return " ".join(f'"{piece}"' for piece in plain) + "*"


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
