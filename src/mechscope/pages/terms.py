"""Link the terms of a page to their explanation: the first occurrence of each in the text of a lesson.

A link shows the explanation in one line when the pointer rests on it or the keyboard reaches it, and screen readers
read it as the link's description. A page that stands alone, such as a report, shows the line and has no link.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from html import escape, unescape

SKIPPED = frozenset(
    {
        "a", "abbr", "button", "code", "details", "figure", "h1", "h2", "h3", "h4", "h5", "h6", "math", "nav", "option",
        "pre", "script", "select", "style", "summary", "svg", "textarea", "title",
    }
)  # fmt: skip
"""Elements whose text is left alone."""
VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
)
_TAG = re.compile(r"(<!--.*?-->|<[^<>]*>)", re.DOTALL)
_NAME = re.compile(r"</?([A-Za-z][\w-]*)")
_LESSON = re.compile(r'<article class="lesson">.*?</article>', re.DOTALL)


@dataclass(frozen=True)
class Term:
    """A term that has a page."""

    names: tuple[str, ...]
    """How it is written: the term and other names for it."""
    line: str
    """What it is, in one sentence."""
    route: str
    """The page that explains it."""


def link_lessons(page: str, terms: Sequence[Term], link: Callable[[str], str] | None) -> str:
    """A page on which the first occurrence of each term in `<article class="lesson">` is a link.

    Args:
        page: the HTML of the page.
        terms: what is explained where.
        link: route → link from this page; None for a page from which the explanations cannot be reached.
    """
    if not terms:
        return page
    pattern, by_name = _pattern(tuple(terms))
    linked: set[str] = set()

    def in_lesson(lesson: re.Match[str]) -> str:
        return link_terms(lesson[0], pattern, by_name, link, linked)

    return _LESSON.sub(in_lesson, page)


def link_terms(
    html: str,
    pattern: re.Pattern[str],
    by_name: dict[str, Term],
    link: Callable[[str], str] | None,
    linked: set[str],
) -> str:
    """HTML with links; see `link_lessons`.

    Args:
        pattern: finds the names of all terms.
        by_name: name in plain form → term.
        linked: routes that are linked already; added to.
    """

    def with_links(text: str) -> str:
        plain = text.lower()
        if len(plain) != len(text):  # a rare letter such as İ, after which the places would not agree
            return text
        parts: list[str] = []
        end = 0
        for match in pattern.finditer(plain):
            term = by_name[_plain(unescape(match[0]))]
            if term.route not in linked:
                linked.add(term.route)
                words = text[match.start() : match.end()]
                parts += [text[end : match.start()], _marked(words, term, link)]
                end = match.end()
        return "".join([*parts, text[end:]])

    pieces = _TAG.split(html)
    inside: list[str] = []
    for place, piece in enumerate(pieces):
        if place % 2 == 0:
            if not inside:
                pieces[place] = with_links(piece)
            continue
        name = _NAME.match(piece)
        if name is None or name[1].lower() in VOID or piece.endswith("/>"):
            continue
        element = name[1].lower()
        if not piece.startswith("</"):
            if inside or element in SKIPPED:
                inside.append(element)
        elif inside and inside[-1] == element:
            inside.pop()
    return "".join(pieces)


def _marked(words: str, term: Term, link: Callable[[str], str] | None) -> str:
    line = escape(term.line)
    if link is None:
        # With a place in the order of the Tab key, so that the keyboard reaches the line too.
        return f'<span class="glossary-term" role="term" tabindex="0" title="{line}">{words}</span>'
    return f'<a class="glossary-term" href="{escape(link(term.route))}" title="{line}">{words}</a>'


@lru_cache(maxsize=4)
def _pattern(terms: tuple[Term, ...]) -> tuple[re.Pattern[str], dict[str, Term]]:
    by_name: dict[str, Term] = {}
    # A term takes precedence over another name of a different one.
    terms_first = [(term.names[0], term) for term in terms]
    terms_first += [(name, term) for term in terms for name in term.names[1:]]
    for name, term in terms_first:
        by_name.setdefault(_plain(name), term)
    # Longer names first: "attention head" before "attention". By first letters, because Python tries the alternatives
    # one by one at every word of a page.
    by_letter: dict[str, list[str]] = {}
    for word in sorted(by_name, key=len, reverse=True):
        # A space in a name is also a line's end or a hyphen in the text.
        spelt = r"[\s-]+".join(re.escape(escape(part, quote=False)) for part in word.split())
        by_letter.setdefault(word[0], []).append(spelt)
    spelt = "|".join(f"(?={re.escape(letter)})(?:{'|'.join(words)})" for letter, words in by_letter.items())
    plurals = {f"{name}{ending}": term for name, term in by_name.items() for ending in ("s", "es")}
    return re.compile(rf"(?<![\w-])(?:{spelt})(?:s|es)?(?![\w-])"), plurals | by_name


def _plain(name: str) -> str:
    return re.sub(r"[\s-]+", " ", name.lower()).strip()
