"""Gendered pronouns: "… that Anna is a kind teacher, and I think that" → " she".

Source: Mathwin et al. 2023 (task and metric). The sentences and names are our own.
"""

from __future__ import annotations

import random
from typing import Any, Literal

from mechscope.arguments import checked_arguments
from mechscope.data.word_lists import word_lists
from mechscope.tasks.assembling import Pair, assemble, check_count
from mechscope.tasks.metrics import Metric
from mechscope.tasks.reader import Reader
from mechscope.tasks.task import Task
from mechscope.tasks.template import fill_text, read_templates

PRONOUNS = {"women": " she", "men": " he"}


@checked_arguments
def gendered_pronoun(
    model: Any,
    n: int = 64,
    seed: int = 0,
    *,
    gender: Literal["women", "men"] | None = None,
    template: int | None = None,
    metric: str | Metric = "logit_difference",
    prepend_bos: bool | None = None,
) -> Task:
    """A person is introduced by a given name; the pronoun usual for that name is right, the other one wrong.

    The corrupted prompt has a name of the other gender, so the answer flips. Names for women and for men alternate.
    Positions: name, noun, end. Source: Mathwin et al. 2023.

    Args:
        gender: use only clean names for "women" or for "men"; both if omitted.
        template: index of one template to use for all prompts; if omitted, prompts cycle through the templates.

    Raises:
        ValueError: if too few names are single tokens, or for an unknown gender or template.
    """
    check_count(n)
    if gender not in (None, "women", "men"):
        raise ValueError(f'gender must be "women", "men" or None for both, not {gender!r}.')
    reader, lists = Reader(model), word_lists("gendered_pronoun")
    names = {one: reader.words(lists[one], f"names for {one}") for one in PRONOUNS}
    pronouns = {one: reader.need_token(word, "the pronoun") for one, word in PRONOUNS.items()}
    adjectives = reader.words(lists["adjectives"], "adjectives")
    nouns = reader.words(lists["nouns"], "nouns")
    texts: list[str] = lists["templates"]
    example = {
        "NAME": next(iter(names["women"])),
        "ADJECTIVE": next(iter(adjectives)),
        "NOUN": next(iter(nouns)),
    }
    forms = read_templates(reader, texts, example, template)
    draw = random.Random(f"pronoun {seed}")
    pairs: list[Pair] = []
    for index in range(n):
        number, form = forms[(index // 2 if gender is None else index) % len(forms)]
        ours = gender or ("women", "men")[index % 2]
        theirs = "men" if ours == "women" else "women"
        fixed = {"ADJECTIVE": draw.choice([*adjectives.values()]), "NOUN": draw.choice([*nouns.values()])}
        clean, corrupted = (draw.choice([*names[one].values()]) for one in (ours, theirs))
        pairs.append(
            Pair(
                form.fill({**fixed, "NAME": clean}),
                form.fill({**fixed, "NAME": corrupted}),
                correct=[pronouns[ours]],
                wrong=[pronouns[theirs]],
                positions={"name": form.slots["NAME"][0], "noun": form.slots["NOUN"][0]},
                template=number,
            )
        )
    return assemble(
        "gendered pronoun",
        pairs,
        reader,
        metric=metric,
        corruption="the name becomes one of the other gender; the answer flips",
        seed=seed,
        prepend_bos=prepend_bos,
    )


def gendered_pronoun_texts() -> list[str]:
    """Texts that contain every piece of the gendered-pronoun prompts and their answers."""
    lists = word_lists("gendered_pronoun")
    example = {
        "NAME": lists["women"][0],
        "ADJECTIVE": lists["adjectives"][0],
        "NOUN": lists["nouns"][0],
    }
    listed = (*lists["women"], *lists["men"], *lists["adjectives"], *lists["nouns"])
    sentences = (fill_text(text, example) for text in lists["templates"])
    return [*sentences, *(f" {word}" for word in listed), *PRONOUNS.values()]
