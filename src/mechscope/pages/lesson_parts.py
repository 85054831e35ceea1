"""A lesson cut into its sections, and each section into text, code and places for figures."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

INTRODUCTION = "Introduction"
"""What the part of a lesson before its first heading is called."""
_FIGURE = re.compile(r"\[\[figure ([\w-]+)\]\]\s*")
_LIVE = "[[live]]"
"""The place of the figure that computes in a page; nothing else has one."""
_HEADING = re.compile(r"## (.+)")
_FENCE = re.compile(r"```(\w*)\s*")


@dataclass(frozen=True)
class Part:
    """A stretch of a lesson."""

    kind: Literal["text", "code", "figure"]
    """What it is."""
    content: str
    """Markdown, Python, or the name of a figure."""

    @property
    def is_template(self) -> bool:
        """Whether it is text with numbers or conditions to fill in."""
        return self.kind == "text" and ("{{" in self.content or "{%" in self.content)


@dataclass(frozen=True)
class Section:
    """The text under one heading."""

    title: str
    """The heading."""
    parts: tuple[Part, ...]
    """What is under it, in order."""

    @property
    def paragraphs(self) -> list[str]:
        """Its text, paragraph by paragraph; lines are joined."""
        text = "\n\n".join(part.content for part in self.parts if part.kind == "text")
        return [" ".join(paragraph.split()) for paragraph in re.split(r"\n\s*\n", text) if paragraph.strip()]


def split_lesson(text: str) -> list[Section]:
    """The sections of a lesson's Markdown, filled in or not.

    >>> [section] = split_lesson("Look.\\n\\n[[figure curve]]\\n\\n```python\\n1 + 1\\n```\\n")
    >>> [(part.kind, part.content) for part in section.parts]
    [('text', 'Look.'), ('figure', 'curve'), ('code', '1 + 1')]

    Raises:
        ValueError: if a block of code does not end, or is not Python.
    """
    sections: list[Section] = []
    title, parts = INTRODUCTION, []
    for kind, content in _pieces(text):
        if kind == "heading":
            sections.append(Section(title, tuple(parts)))
            title, parts = content, []
        else:
            parts.append(Part(kind, content))
    sections.append(Section(title, tuple(parts)))
    return [section for section in sections if section.parts or section.title != INTRODUCTION]


def _pieces(text: str) -> Iterator[tuple[Literal["heading", "text", "code", "figure"], str]]:
    waiting: list[str] = []
    code: list[str] | None = None

    def flush() -> Iterator[tuple[Literal["text"], str]]:
        if content := "\n".join(waiting).strip():
            yield "text", content
        waiting.clear()

    for line in text.splitlines():
        if code is not None:
            if line.rstrip() == "```":
                yield "code", "\n".join(code)
                code = None
            else:
                code.append(line)
        elif fence := _FENCE.fullmatch(line):
            if fence[1] != "python":
                raise ValueError(
                    f"the lesson has a block of {fence[1] or 'unnamed'} code; only python is run."
                )
            yield from flush()
            code = []
        elif heading := _HEADING.fullmatch(line):
            yield from flush()
            yield "heading", heading[1].strip()
        elif figure := _FIGURE.fullmatch(line):
            yield from flush()
            yield "figure", figure[1]
        elif line.rstrip() == _LIVE:
            yield from flush()
        else:
            waiting.append(line)
    if code is not None:
        raise ValueError("a block of code in the lesson does not end: add a line ```.")
    yield from flush()
