"""Tables of the components' props in docs/components.md, made from the comments in viz/components/*.js.

    python -m docs_site.component_props

The comment of a component's function has one `@param {type} props.name text` for each prop; a name in brackets is
optional. The table of `renderTokens` stands between `<!-- props of renderTokens in tokens.js -->` and
`<!-- end of props -->`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent
COMPONENTS = ROOT / "src" / "mechscope" / "viz" / "components"
PAGE = ROOT / "docs" / "components.md"
_MARK = re.compile(r"(<!-- props of (\w+) in ([\w.]+) -->\n).*?(<!-- end of props -->)", re.DOTALL)
_COMMENT = r"/\*\*((?:(?!\*/).)*)\*/\s*export function {}\("
_PARAM = re.compile(
    r"@param \{(?P<type>(?:[^{}]|\{[^{}]*\})*)\} (?P<name>\[?props\.[\w.\[\]]+)\s*(?P<text>.*)", re.DOTALL
)


@dataclass(frozen=True)
class Prop:
    """One prop of a component."""

    name: str
    type: str
    is_optional: bool
    text: str


def props_of(function: str, source: str) -> list[Prop]:
    """The props that the comment of a function lists, in order.

    Raises:
        ValueError: if the function has no comment, or the comment no props.
    """
    comment = re.search(_COMMENT.format(function), source, re.DOTALL)
    if comment is None:
        raise ValueError(f"there is no function {function} with a comment.")
    lines = [line.strip().removeprefix("*").strip() for line in comment[1].splitlines()]
    entries = re.split(r"(?=@\w)", " ".join(lines))
    found = [match for entry in entries if (match := _PARAM.fullmatch(entry.strip()))]
    if not found:
        raise ValueError(f"the comment of {function} lists no props.")
    return [_prop(match["name"], match["type"], match["text"].strip()) for match in found]


def _prop(name: str, kind: str, text: str) -> Prop:
    is_optional = name.startswith("[")
    plain = name.removeprefix("[").removesuffix("]") if is_optional else name
    return Prop(plain.removeprefix("props."), kind, is_optional, text)


def props_table(function: str, source: str) -> str:
    """The props as a Markdown table."""
    rows = ["| Prop | Type | |", "|---|---|---|"]
    for prop in props_of(function, source):
        kind = prop.type.replace("|", "\\|")
        rows.append(f"| `{prop.name}` | `{kind}`{', optional' if prop.is_optional else ''} | {prop.text} |")
    return "\n".join(rows)


def with_tables(page: str) -> str:
    """The page with every table made again."""

    def table(match: re.Match[str]) -> str:
        source = (COMPONENTS / match[3]).read_text(encoding="utf-8")
        return f"{match[1]}\n{props_table(match[2], source)}\n\n{match[4]}"

    return _MARK.sub(table, page)


if __name__ == "__main__":
    PAGE.write_text(with_tables(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
