"""Entries for tests."""

from __future__ import annotations

from mechscope.glossary.entry import HEADINGS, Entry


def made_entry(slug: str, *, text: str = "", link: str = "other", **changes: object) -> Entry:
    """An entry without mistakes of its own, except that its words must differ from those of others."""
    body = text or " ".join(f"{slug}{number}" for number in range(30))
    parts = [f"## {heading}\n{body} {number}" for number, heading in enumerate(HEADINGS)]
    fields: dict[str, object] = {
        "slug": slug,
        "section": "circuits",
        "term": slug.replace("-", " ").capitalize(),
        "aliases": (),
        "line": "What it is, in a sentence.",
        "before": (),
        "see": (),
        "exercises": (),
        "labs": (),
        "papers": (),
        "text": "\n\n".join(parts) + f" [words]({link})\n",
    }
    return Entry(**{**fields, **changes})  # type: ignore[arg-type]
