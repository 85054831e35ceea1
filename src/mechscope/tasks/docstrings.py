"""Docstring: which argument comes next, in a docstring that documents a function's arguments in order?

Source: Heimersheim and Janiak 2023, "A circuit for Python docstrings in a 4-layer attention-only transformer"
(task, corruptions, metric). The names and words are our own.
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
from mechscope.tasks.template import fill_text, read_templates, slots_of

ARGUMENTS = ("A", "B", "C", "D", "E")
CORRUPTIONS = {
    "both": "the documented arguments and C get other names: neither the order nor the answer can be inferred",
    "docstring": "the docstring documents two names that the function does not have",
    "answer": "C has another name in the definition",
}


@checked_arguments
def docstring(
    model: Any,
    n: int = 64,
    seed: int = 0,
    *,
    corruption: Literal["both", "docstring", "answer"] = "both",
    template: int | None = None,
    metric: str | Metric = "logit_difference",
    prepend_bos: bool | None = None,
) -> Task:
    """A Python function with arguments A, B, C …, whose docstring documents A and B and ends in `:param`: C is right.

    The other arguments and the names inserted by the corruption are wrong. Positions: A_def, B_def, C_def (in the
    definition), A_doc, B_doc (in the docstring), end. Source: Heimersheim and Janiak 2023.

    Args:
        corruption: "both" (the default), "docstring" or "answer"; see `docstrings.CORRUPTIONS`.
        template: index of one template to use for all prompts; if omitted, prompts cycle through the templates.

    Raises:
        ValueError: if too few names are single tokens, or the corruption is unknown.
    """
    check_count(n)
    if corruption not in CORRUPTIONS:
        raise ValueError(
            f"unknown docstring corruption {corruption!r}; choose from {', '.join(CORRUPTIONS)}."
        )
    reader, lists = Reader(model), word_lists("docstring")
    functions = reader.words(lists["functions"], "function names")
    arguments = reader.words(lists["arguments"], "argument names", 8)
    words = reader.words(lists["words"], "words", 6)
    texts: list[str] = lists["templates"]
    example = _example([*functions], [*arguments], [*words])
    forms = read_templates(reader, texts, example, template)
    draw, draw_other = random.Random(f"docstring {seed}"), random.Random(f"docstring {seed} other")
    pairs: list[Pair] = []
    for index in range(n):
        number, form = forms[index % len(forms)]
        drawn = draw.sample([*arguments.values()], len(ARGUMENTS))
        names: dict[str, int] = dict(zip(ARGUMENTS, drawn, strict=True))
        plain = draw.sample([*words.values()], 6)
        fixed = {"FUNCTION": draw.choice([*functions.values()])}
        fixed |= {f"W{place + 1}": word for place, word in enumerate(plain)}
        others = draw_other.sample([token for token in arguments.values() if token not in drawn], 3)
        a_doc, b_doc, c = names["A"], names["B"], names["C"]
        if corruption in ("both", "docstring"):
            a_doc, b_doc = others[0], others[1]
        if corruption in ("both", "answer"):
            c = others[2]
        twin = {**names, "A": (names["A"], a_doc), "B": (names["B"], b_doc), "C": c}
        there = [slot for slot in ARGUMENTS if slot in form.slots]
        put_in = {a_doc, b_doc, c} & set(others)
        pairs.append(
            Pair(
                form.fill({**fixed, **names}),
                form.fill({**fixed, **twin}),
                correct=[names["C"]],
                wrong=[*(names[slot] for slot in there if slot != "C"), *sorted(put_in)],
                positions={
                    "A_def": form.slots["A"][0],
                    "B_def": form.slots["B"][0],
                    "C_def": form.slots["C"][0],
                    "A_doc": form.slots["A"][1],
                    "B_doc": form.slots["B"][1],
                },
                template=number,
            )
        )
    return assemble(
        "docstring",
        pairs,
        reader,
        metric=metric,
        corruption=f"{corruption}: {CORRUPTIONS[corruption]}",
        seed=seed,
        prepend_bos=prepend_bos,
    )


def docstring_texts() -> list[str]:
    """Texts that contain every piece of the docstring prompts."""
    lists = word_lists("docstring")
    example = _example(lists["functions"], lists["arguments"], lists["words"])
    listed = (*lists["functions"], *lists["arguments"], *lists["words"])
    return [*(fill_text(text, example) for text in lists["templates"]), *(f" {word}" for word in listed)]


def _example(functions: list[str], arguments: list[str], words: list[str]) -> dict[str, str]:
    """A word for every slot of the templates."""
    slots = {slot for text in word_lists("docstring")["templates"] for slot in slots_of(text)}
    places = [f"W{place}" for place in range(1, 7)]
    example = {
        "FUNCTION": functions[0],
        **dict(zip(ARGUMENTS, arguments, strict=False)),
        **dict(zip(places, words, strict=False)),
    }
    return {slot: word for slot, word in example.items() if slot in slots}
