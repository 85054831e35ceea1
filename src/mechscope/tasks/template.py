"""A sentence with slots, read once by the tokenizer and then filled with single tokens as often as one likes."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mechscope.tasks.reader import Reader

SLOT = re.compile(r"\[([A-Z]+[0-9]*)\]")


def slots_of(text: str) -> list[str]:
    """The names of a template's slots in order, repetitions included.

    >>> slots_of("When [S] and [IO] met, [S] spoke to")
    ['S', 'IO', 'S']
    """
    return SLOT.findall(text)


def fill_text(text: str, words: Mapping[str, str]) -> str:
    """The template as a sentence, each slot with its word."""
    return SLOT.sub(lambda slot: words[slot.group(1)], text)


@dataclass(frozen=True)
class Template:
    """The tokens of a template and where its slots stand in them."""

    text: str
    ids: tuple[int, ...]
    """Tokens, with some word in each slot."""
    slots: Mapping[str, tuple[int, ...]]
    """Positions of each slot, one for each time it occurs."""

    def fill(self, words: Mapping[str, int | Sequence[int]]) -> list[int]:
        """The tokens with these in the slots: one token for all occurrences of a slot, or one for each.

        Raises:
            KeyError: for a slot that no word is given for.
        """
        ids = list(self.ids)
        for slot, positions in self.slots.items():
            given = words[slot]
            tokens = [given] * len(positions) if isinstance(given, int) else given
            for position, token in zip(positions, tokens, strict=True):
                ids[position] = token
        return ids


def read_template(reader: Reader, text: str, example: Mapping[str, str]) -> Template:
    """A template's tokens and slots, found by filling it with example words that are single tokens.

    Raises:
        ValueError: where the tokenizer does not know a part of it, or joins a slot with its surroundings.
    """
    ids = reader.encode_known(fill_text(text, example))
    slots: dict[str, list[int]] = {}
    for slot in SLOT.finditer(text):
        before = fill_text(text[: slot.start()], example)
        # The space before a word belongs to the word's token.
        start = len(reader.encode(before.removesuffix(" ")))
        upto = reader.encode(before + example[slot.group(1)])
        if len(upto) != start + 1 or ids[: start + 1] != upto:
            raise ValueError(
                f"in {text!r} the tokenizer joins [{slot.group(1)}] with what stands beside it: "
                f"{list(reader.texts(upto))[-3:]}. Slots must be single tokens between words."
            )
        slots.setdefault(slot.group(1), []).append(start)
    return Template(text, tuple(ids), {slot: tuple(positions) for slot, positions in slots.items()})


def read_templates(
    reader: Reader, texts: Sequence[str], example: Mapping[str, str], number: int | None
) -> list[tuple[int, Template]]:
    """All templates, or the one of this number, each with its number.

    Raises:
        ValueError: for a number that none has; and as `read_template`.
    """
    if number is not None and not 0 <= number < len(texts):
        raise ValueError(f"template is a number from 0 to {len(texts) - 1}, not {number!r}.")
    chosen = range(len(texts)) if number is None else [number]
    return [(one, read_template(reader, texts[one], example)) for one in chosen]
