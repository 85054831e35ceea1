"""A sentence with slots: tokenized once, then filled with single tokens as often as needed."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mechscope.tasks.reader import Reader

SLOT = re.compile(r"\[([A-Z]+[0-9]*)\]")


def slots_of(text: str) -> list[str]:
    """The names of a template's slots in order, including repetitions.

    >>> slots_of("When [S] and [IO] met, [S] spoke to")
    ['S', 'IO', 'S']
    """
    return SLOT.findall(text)


def fill_text(text: str, words: Mapping[str, str]) -> str:
    """The template as a sentence, with a word in each slot."""
    return SLOT.sub(lambda slot: words[slot.group(1)], text)


@dataclass(frozen=True)
class Template:
    """The tokens of a template and the positions of its slots."""

    text: str
    ids: tuple[int, ...]
    """Tokens of the template, with an example word in each slot."""
    slots: Mapping[str, tuple[int, ...]]
    """Positions of each slot, one per occurrence."""

    def fill(self, words: Mapping[str, int | Sequence[int]]) -> list[int]:
        """Fill the slots with tokens: one token for all occurrences of a slot, or one per occurrence.

        Raises:
            KeyError: for a slot without a word.
        """
        ids = list(self.ids)
        for slot, positions in self.slots.items():
            given = words[slot]
            tokens = [given] * len(positions) if isinstance(given, int) else given
            for position, token in zip(positions, tokens, strict=True):
                ids[position] = token
        return ids


def read_template(reader: Reader, text: str, example: Mapping[str, str]) -> Template:
    """Find a template's tokens and slots by filling it with example words that are single tokens.

    Raises:
        ValueError: if the tokenizer does not know a part of the text, or merges a slot with its surroundings.
    """
    ids = reader.encode_known(fill_text(text, example))
    slots: dict[str, list[int]] = {}
    for slot in SLOT.finditer(text):
        before = fill_text(text[: slot.start()], example)
        upto = reader.encode(before + example[slot.group(1)])
        start = len(upto) - 1
        # The space before a word is part of the word's token; before a digit, it may be a token of its own.
        one_more = start == len(reader.encode(before.removesuffix(" "))) or upto[:-1] == reader.encode(before)
        if not one_more or ids[: start + 1] != upto:
            raise ValueError(
                f"in {text!r} the tokenizer merges [{slot.group(1)}] with its surroundings: "
                f"{list(reader.texts(upto))[-3:]}. Slots must be single tokens between words."
            )
        slots.setdefault(slot.group(1), []).append(start)
    return Template(text, tuple(ids), {slot: tuple(positions) for slot, positions in slots.items()})


def read_templates(
    reader: Reader, texts: Sequence[str], example: Mapping[str, str], number: int | None
) -> list[tuple[int, Template]]:
    """All templates, or only the one with index `number`, each with its index.

    Raises:
        ValueError: for an index out of range, and as `read_template`.
    """
    if number is not None and not 0 <= number < len(texts):
        raise ValueError(f"template must be a number from 0 to {len(texts) - 1}, not {number!r}.")
    chosen = range(len(texts)) if number is None else [number]
    return [(one, read_template(reader, texts[one], example)) for one in chosen]
