"""Words and templates for indirect object identification: ours, the published ones, or the user's."""

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
    """The words and templates of IOI prompts."""

    names: tuple[str, ...]
    places: tuple[str, ...]
    objects: tuple[str, ...]
    templates: tuple[str, ...]
    """Sentences with slots [S], [IO], [PLACE], [OBJECT], subject first, that stop before the answer."""

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
        """Texts that contain every piece of any prompt made from these words."""
        forms = [in_order(text, order) for text in self.templates for order in ORDERS]
        words = (*self.names, *self.places, *self.objects)
        return [*(fill_text(form, self.example()) for form in forms), *(f" {word}" for word in words)]


def get_ioi_words(words: str | Mapping[str, Sequence[str]]) -> IOIWords:
    """Words by name: "ours", "published" (Wang et al. 2022, from the data folder), or a mapping of your own lists.

    A mapping may have "names", "places", "objects" and "templates"; ours are used for any that it omits.

    Raises:
        ValueError: for an unknown name, an unknown list, or a template without one [IO] and two [S].
        FileNotFoundError: for "published" if the data folder does not contain it.
    """
    ours = word_lists("ioi")
    if isinstance(words, str):
        if words not in ("ours", "published"):
            raise ValueError(f'words must be "ours", "published" or a mapping of lists, not {words!r}.')
        found: Mapping[str, Any] = ours if words == "ours" else published_ioi_words()
    else:
        unknown = [key for key in words if key not in ("names", "places", "objects", "templates")]
        if unknown:
            raise ValueError(
                f"IOI words must be lists of names, places, objects and templates, not {unknown[0]!r}."
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
    """The template with another sentence before its last one; None if it has only one sentence."""
    first, stop, last = template.rpartition(". ")
    fits = stop and sorted(slot for slot in slots_of(first) if slot in ("S", "IO")) == ["IO", "S"]
    return f"{first}. {sentence} {last}" if fits else None


def _normal(template: str) -> str:
    """The template in our notation: [S] and [IO] for the published [B] and [A], without the answer at the end."""
    text = template.replace("[B]", "[S]").replace("[A]", "[IO]").removesuffix("[IO]").rstrip()
    slots = slots_of(text)
    if slots.count("IO") != 1 or slots.count("S") != 2 or slots[-1] == "IO":
        raise ValueError(
            f"an IOI template must name [IO] once and [S] twice, ending with [S]; {template!r} does not."
        )
    if [slot for slot in slots if slot in ("S", "IO")] != ["S", "IO", "S"]:
        raise ValueError(
            f"an IOI template must begin with [S] (order='ABBA' swaps the names); {template!r} does not."
        )
    unknown = [slot for slot in slots if slot not in ("S", "IO", "PLACE", "OBJECT")]
    if unknown:
        raise ValueError(f"the slots are [S], [IO], [PLACE] and [OBJECT]; {template!r} has [{unknown[0]}].")
    return text
