"""Words and templates for indirect object identification: ours, the published ones, or one's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mechscope.data.word_lists import published_ioi_words, word_lists
from mechscope.tasks.template import fill_text, slots_of

ORDERS = ("BABA", "ABBA")
"""Whether the subject (B) or the indirect object (A) is named first."""


@dataclass(frozen=True)
class IOIWords:
    """What IOI prompts are made of."""

    names: tuple[str, ...]
    places: tuple[str, ...]
    objects: tuple[str, ...]
    templates: tuple[str, ...]
    """With slots [S], [IO], [PLACE], [OBJECT]; the subject first, cut before the answer."""

    def example(self) -> dict[str, str]:
        """A word for every slot."""
        return {
            "S": self.names[0],
            "IO": self.names[1],
            "C": self.names[-1],
            "PLACE": self.places[0],
            "OBJECT": self.objects[0],
        }

    def texts(self) -> list[str]:
        """Texts that hold every piece that any prompt of these words can hold."""
        forms = [in_order(text, order) for text in self.templates for order in ORDERS]
        words = (*self.names, *self.places, *self.objects)
        return [*(fill_text(form, self.example()) for form in forms), *(f" {word}" for word in words)]


def get_ioi_words(words: str | Mapping[str, Sequence[str]]) -> IOIWords:
    """ "ours", "published" (Wang et al. 2022, from the data folder), or a mapping with lists of one's own.

    A mapping may hold "names", "places", "objects" and "templates"; what it leaves out is ours.

    Raises:
        ValueError: for another name, an unknown list, or a template without one [IO] and two [S].
        FileNotFoundError: for "published" where the data folder does not hold it.
    """
    ours = word_lists("ioi")
    if isinstance(words, str):
        if words not in ("ours", "published"):
            raise ValueError(f'words are "ours", "published" or a mapping of lists, not {words!r}.')
        found: Mapping[str, Any] = ours if words == "ours" else published_ioi_words()
    else:
        unknown = [key for key in words if key not in ("names", "places", "objects", "templates")]
        if unknown:
            raise ValueError(
                f"IOI words are lists of names, places, objects and templates, not {unknown[0]!r}."
            )
        found = {**ours, **words}
    templates = found["templates"]
    if isinstance(templates, Mapping):  # the published file has several families
        templates = templates["BABA"]
    names, places, objects = (found[key] for key in ("names", "places", "objects"))
    for what, part in (("names", names), ("places", places), ("objects", objects), ("templates", templates)):
        if isinstance(part, str) or not part:
            raise ValueError(f"IOI needs a list of {what}, not {part!r}.")
    return IOIWords(tuple(names), tuple(places), tuple(objects), tuple(_normal(text) for text in templates))


def in_order(template: str, order: str) -> str:
    """The template with the subject first ("BABA") or the indirect object first ("ABBA")."""
    if order == "BABA":
        return template
    return template.replace("[S]", "[#]", 1).replace("[IO]", "[S]", 1).replace("[#]", "[IO]", 1)


def with_mention(template: str, sentence: str) -> str | None:
    """The template with a further sentence before its last one; None where it has but one sentence."""
    first, stop, last = template.rpartition(". ")
    fits = stop and sorted(slot for slot in slots_of(first) if slot in ("S", "IO")) == ["IO", "S"]
    return f"{first}. {sentence} {last}" if fits else None


def _normal(template: str) -> str:
    """In our spelling: [S] and [IO] for the published [B] and [A], without the answer at the end."""
    text = template.replace("[B]", "[S]").replace("[A]", "[IO]").removesuffix("[IO]").rstrip()
    slots = slots_of(text)
    if slots.count("IO") != 1 or slots.count("S") != 2 or slots[-1] == "IO":
        raise ValueError(
            f"an IOI template names [IO] once and [S] twice, [S] last of them; {template!r} does not."
        )
    if [slot for slot in slots if slot in ("S", "IO")] != ["S", "IO", "S"]:
        raise ValueError(
            f"an IOI template begins with [S] (order='ABBA' swaps the names); {template!r} does not."
        )
    unknown = [slot for slot in slots if slot not in ("S", "IO", "PLACE", "OBJECT")]
    if unknown:
        raise ValueError(f"the slots are [S], [IO], [PLACE] and [OBJECT]; {template!r} has [{unknown[0]}].")
    return text
