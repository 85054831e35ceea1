"""Read the front matter of a Markdown file: fixed keys, each with a text or a list of texts, in a subset of YAML.

A list is written `[a, "b, c"]`, or with one item per indented line that begins with a dash. A value may go on in the
next lines if these are indented. Quotes are needed around a text with a comma between brackets, and around one that
YAML would read as something else, such as "04" or `a: b`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from mechscope.near_names import did_you_mean

FENCE = "---"
_DASH = re.compile(r"(?:^|\n)- +")
_ITEM = re.compile(r"""\s*("(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^,"'\[\]][^,\[\]]*)\s*(,|$)""")
_NOT_TEXT = re.compile(r"[-+]?[\d_.]+(e[-+]?\d+)?|true|false|yes|no|on|off|null|~", re.IGNORECASE)


def read_front_matter(
    text: str, path: Path, *, texts: Sequence[str], lists: Sequence[str], what: str
) -> tuple[dict[str, str], dict[str, tuple[str, ...]], str]:
    """Split a file into its front matter and the rest.

    Args:
        text: the file.
        path: its name, for errors.
        texts: the keys that have a text.
        lists: the keys that have a list. Every key must be there.
        what: what the file describes, for errors: "an entry".

    Returns:
        The texts by key, the lists by key, and the Markdown after the front matter.

    Raises:
        ValueError: names the file, the key and what was expected.
    """
    lines = text.splitlines()
    if not lines or lines[0].strip() != FENCE or FENCE not in (line.strip() for line in lines[1:]):
        raise ValueError(f"{path}: {what} begins with its front matter between two lines {FENCE!r}.")
    end = next(number for number, line in enumerate(lines[1:], 1) if line.strip() == FENCE)
    raw = _raw_values(lines[1:end], path)
    known = (*texts, *lists)
    if unknown := [key for key in raw if key not in known]:
        question = did_you_mean(unknown[0], known)
        raise ValueError(
            f"{path}: there is no key {unknown[0]!r} in {what}.{question} Keys: {', '.join(known)}."
        )
    if missing := [key for key in known if key not in raw]:
        raise ValueError(f"{path}: the key {missing[0]!r} is missing. Keys: {', '.join(known)}.")
    return (
        {key: _text(raw[key], key, path) for key in texts},
        {key: _list(raw[key], key, path) for key in lists},
        "\n".join(lines[end + 1 :]).strip() + "\n",
    )


def _raw_values(lines: list[str], path: Path) -> dict[str, str]:
    values: dict[str, str] = {}
    key = ""
    for line in lines:
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        if line[0].isspace():
            if not key:
                raise ValueError(
                    f"{path}: the front matter begins with an indented line; expected 'key: value'."
                )
            values[key] = f"{values[key]}\n{line.strip()}".strip()
            continue
        key, colon, value = line.partition(":")
        if not colon or not re.fullmatch(r"\w+", key):
            raise ValueError(f"{path}: expected 'key: value' in the front matter, found {line!r}.")
        if key in values:
            raise ValueError(f"{path}: the key {key!r} stands there twice.")
        values[key] = value.strip()
    return values


def _on_one_line(value: str) -> str:
    """The value without line ends, and without ` # …` at its end, outside of quotes."""
    value = value.replace("\n", " ")
    found = re.match(r"""((?:"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^"'#]|(?<=\w)'|(?<!\s)#)*)\s#""", f" {value}")
    return found[1].strip() if found else value


def _text(raw: str, key: str, path: Path) -> str:
    raw = _on_one_line(raw)
    if raw.startswith(("[", "- ")):
        raise ValueError(f"{path}: {key} is one text, not a list: {raw}")
    text = _scalar(raw, key, path)
    if not text:
        raise ValueError(f"{path}: {key} is empty.")
    return text


def _list(raw: str, key: str, path: Path) -> tuple[str, ...]:
    if _DASH.match(raw):
        items = [_scalar(_on_one_line(item), key, path) for item in _DASH.split(raw)[1:]]
    else:
        items = list(_between_brackets(_on_one_line(raw), key, path))
    if twice := [item for item in items if items.count(item) > 1]:
        raise ValueError(f"{path}: {key} lists {twice[0]!r} twice.")
    return tuple(items)


def _between_brackets(raw: str, key: str, path: Path) -> Iterator[str]:
    if not (raw.startswith("[") and raw.endswith("]")):
        raise ValueError(f"{path}: {key} is a list such as [a, b] or [], not {raw!r}.")
    rest = raw[1:-1].strip()
    while rest:
        item = _ITEM.match(rest)
        if item is None:
            raise ValueError(
                f"{path}: {key} cannot be read from {rest!r}; quote a text that has a comma or quotes."
            )
        yield _scalar(item[1].strip(), key, path)
        rest = rest[item.end() :].strip()


def _scalar(raw: str, key: str, path: Path) -> str:
    if len(raw) > 1 and raw[0] == raw[-1] == '"':
        return re.sub(r"\\(.)", r"\1", raw[1:-1])
    if len(raw) > 1 and raw[0] == raw[-1] == "'":
        return raw[1:-1].replace("''", "'")
    if (
        _NOT_TEXT.fullmatch(raw)
        or ": " in raw
        or raw.endswith(":")
        or raw[:1] in tuple("&*!|>%@`\"'[]{}?-,#")
    ):
        raise ValueError(f'{path}: {key} needs quotes around {raw!r}: "{raw}".')
    return raw
