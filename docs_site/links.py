"""The check of every link: in the Markdown as a reader of the repository sees it, and in the built site.

    python -m docs_site.links site

Nothing is fetched: a link to another site only has to be well-formed, and the site may not load anything from
another one.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt

LOADED = {
    "script": ("src",),
    "img": ("src", "srcset"),
    "link": ("href",),
    "iframe": ("src",),
    "source": ("src", "srcset"),
    "video": ("src", "poster"),
    "audio": ("src",),
    "object": ("data",),
    "embed": ("src",),
    "use": ("href",),
}
"""Attributes that a browser loads by itself, by tag."""
PASSIVE = {"canonical", "alternate", "next", "prev", "author", "license"}
"""Kinds of <link> that load nothing."""
DORMANT = {
    "https://unpkg.com/mermaid@11/dist/mermaid.min.js": "loaded by the theme for Mermaid diagrams only",
    "https://unpkg.com/resize-observer-polyfill": "loaded by the theme for browsers older than 2020 only",
}
"""Addresses in the theme's JavaScript that our pages never load, and why."""


def bad_address(address: str) -> str | None:
    """The fault of an address on another site; None if it is well-formed."""
    parts = urlsplit(address)
    if parts.scheme == "mailto":
        return None if "@" in parts.path else "no @ in an address for mail"
    if parts.scheme not in ("http", "https"):
        return f"unknown scheme {parts.scheme!r}"
    if not re.fullmatch(r"(localhost|[\w-]+(\.[\w-]+)+)(:\d+)?", parts.netloc):
        return "no valid host"
    return "a space in it" if re.search(r"\s", address) else None


def is_external(target: str) -> bool:
    return bool(urlsplit(target).scheme or target.startswith("//"))


# Markdown


@cache
def _tokens(page: Path) -> list:
    text = re.sub(r"(?s)<!--.*?-->", "", page.read_text(encoding="utf-8"))
    return MarkdownIt("commonmark").enable("table").parse(text)


@cache
def markdown_anchors(page: Path) -> frozenset[str]:
    """The anchors of a page's headings, as code hosts make them: lower case, hyphens, numbers for repeats."""
    found: dict[str, int] = {}
    anchors: set[str] = set()
    tokens = _tokens(page)
    for opening, inline in pairwise(tokens):
        if opening.type != "heading_open":
            continue
        words = "".join(
            part.content for part in inline.children or [] if part.type in ("text", "code_inline")
        )
        anchor = re.sub(r"[^\w\- ]", "", words.strip().lower()).replace(" ", "-")
        repeats = found.get(anchor, 0)
        found[anchor] = repeats + 1
        anchors.add(f"{anchor}-{repeats}" if repeats else anchor)
    return frozenset(anchors)


def markdown_links(page: Path) -> Iterator[str]:
    """The targets of a page's links and pictures."""
    for token in _tokens(page):
        for part in token.children or []:
            target = part.attrGet("href") if part.type == "link_open" else part.attrGet("src")
            if target:
                yield str(target)


def markdown_problems(pages: list[Path]) -> list[str]:
    """Every link of these pages that leads nowhere."""
    problems: list[str] = []
    for page in pages:
        for target in markdown_links(page):
            if is_external(target):
                problem = bad_address(target)
            else:
                path, _, anchor = unquote(target).partition("#")
                aim = (page.parent / path).resolve() if path else page
                if not aim.exists():
                    problem = "no such file"
                elif anchor and aim.suffix == ".md" and anchor not in markdown_anchors(aim):
                    problem = "no such heading"
                else:
                    problem = None
            if problem:
                problems.append(f"{page.name}: {target}: {problem}")
    return problems


# The built site


@dataclass
class Reader(HTMLParser):
    """Collects the links, loaded files and anchors of a page."""

    anchors: set[str] = field(default_factory=set)
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    diagrams: bool = False

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.anchors.update(values[name] for name in ("id", "name") if values.get(name))
        self.diagrams |= "mermaid" in values.get("class", "").split()
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and set(values.get("rel", "").split()) & PASSIVE:
            self.links.append(values.get("href", ""))
            return
        for name in LOADED.get(tag, ()):
            if not values.get(name):
                continue
            parts = values[name].split(",") if name == "srcset" else [values[name]]
            self.loads += [part.split()[0] for part in parts]
        self.loads += css_addresses(values.get("style", ""))


def css_addresses(text: str) -> list[str]:
    """The addresses that a style sheet loads."""
    found = re.findall(r"""url\(\s*["']?([^"')]+)["']?\s*\)|@import\s+["']([^"']+)["']""", text)
    return [first or second for first, second in found]


@cache
def read_page(page: Path) -> Reader:
    reader = Reader()
    text = page.read_text(encoding="utf-8")
    reader.feed(text)
    for sheet in re.findall(r"(?s)<style[^>]*>(.*?)</style>", text):
        reader.loads += css_addresses(sheet)
    return reader


def site_problems(site: Path) -> list[str]:
    """Every link of a built site that leads nowhere, and everything that it would load from elsewhere.

    Raises:
        ValueError: for a folder without pages, in which there is nothing to check.
    """
    site = site.resolve()
    pages = sorted(site.rglob("*.html"))
    if not pages:
        raise ValueError(f"{site.name} holds no HTML pages: build the site first (`make docs`).")
    problems: list[str] = []
    for page in pages:
        # What the server shows for any address that does not exist has absolute links.
        if page == site / "404.html":
            continue
        reader = read_page(page)
        where = page.relative_to(site)
        if reader.diagrams:
            problems.append(f"{where}: a Mermaid diagram, whose script would be fetched from another site")
        for target in reader.links:
            problem = _link_problem(page, target)
            if problem:
                problems.append(f"{where}: {target}: {problem}")
        for target in reader.loads:
            problem = _load_problem(page, target)
            if problem:
                problems.append(f"{where}: {target}: {problem}")
    for sheet in sorted(site.rglob("*.css")):
        for target in css_addresses(sheet.read_text(encoding="utf-8")):
            problem = _load_problem(sheet, target)
            if problem:
                problems.append(f"{sheet.relative_to(site)}: {target}: {problem}")
    for script in sorted(site.rglob("*.js")):
        if script.parent.name == "search":  # the index of words: text, not code
            continue
        for target in re.findall(r"""["'`](https?://[^"'`\s]+)["'`]""", script.read_text(encoding="utf-8")):
            if target not in DORMANT and re.search(
                r"\.m?js$|//(unpkg|cdn|cdnjs|fonts)\.|shim|polyfill", target
            ):
                problems.append(f"{script.relative_to(site)}: {target}: a script from another site")
    return problems


def _link_problem(page: Path, target: str) -> str | None:
    if is_external(target):
        return bad_address(target)
    path, _, anchor = unquote(target).partition("#")
    aim = (page.parent / path.partition("?")[0]).resolve() if path else page
    if aim.is_dir():
        aim /= "index.html"
    if not aim.exists():
        return "no such file"
    if anchor and aim.suffix == ".html" and anchor not in read_page(aim).anchors:
        return "no such anchor"
    return None


def _load_problem(page: Path, target: str) -> str | None:
    if target.startswith(("data:", "#")):
        return None
    if is_external(target):
        return "loaded from another site"
    path = unquote(target).partition("#")[0].partition("?")[0]
    return None if (page.parent / path).exists() else "no such file"


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python -m docs_site.links SITE")
    site = Path(sys.argv[1])
    problems = site_problems(site)
    if problems:
        sys.exit("\n".join(problems))
    pages = sorted(site.rglob("*.html"))
    links = sum(len(read_page(page.resolve()).links) for page in pages)
    print(
        f"{site}: {len(pages)} pages, {links:,} links, all of them lead somewhere; nothing is loaded from elsewhere"
    )


if __name__ == "__main__":
    main()
