"""Greater-than: "… began in the year 1732 and ended in the year 17" → a number above 32.

Source: Hanna, Liu and Variengien 2023 (task, corruption, metric). The sentences are our own.
"""

from __future__ import annotations

import random
from typing import Any

from mechscope.arguments import checked_arguments
from mechscope.data.word_lists import word_lists
from mechscope.tasks.assembling import Pair, assemble, check_count
from mechscope.tasks.metrics import Metric
from mechscope.tasks.reader import Reader
from mechscope.tasks.task import Task
from mechscope.tasks.template import fill_text, read_templates

CENTURIES = tuple(range(11, 19))
LOW, FIRST, LAST = 1, 2, 98
"""The corrupted start year ends in 01, clean ones in 02 to 98, so that there are endings above and below."""


@checked_arguments
def greater_than(
    model: Any,
    n: int = 64,
    seed: int = 0,
    *,
    template: int | None = None,
    metric: str | Metric = "probability_difference",
    prepend_bos: bool | None = None,
) -> Task:
    """Something began in a year and ended in the same century: all later two-digit endings are right.

    Endings up to and including the start year's are wrong. The corrupted prompt starts in year 01, so that all but
    two endings are right and the start year gives no reason to prefer later ones. Positions: noun, XX (the
    century), YY (the start year's ending), end. Source: Hanna et al. 2023, section 2.

    Args:
        model: a model whose tokenizer writes 1732 as " 17" and "32" (GPT-2's does), or such a tokenizer.
        template: index of one template to use for all prompts; if omitted, prompts cycle through the templates.

    Raises:
        ValueError: for a tokenizer without two-digit tokens.
    """
    check_count(n)
    reader, lists = Reader(model), word_lists("greater_than")
    endings, years = _years(reader)
    nouns = reader.words(lists["nouns"], "nouns")
    texts: list[str] = lists["templates"]
    century, year = years[0]
    example = {"NOUN": next(iter(nouns)), "XX": str(century), "YY": f"{year:02d}"}
    forms = read_templates(reader, texts, example, template)
    century_ids = {one: reader.need_token(f" {one}", "the century") for one, _ in years}
    draw = random.Random(f"greater than {seed}")
    pairs: list[Pair] = []
    for index in range(n):
        number, form = forms[index % len(forms)]
        # Draw the ending first: some centuries have fewer two-token years, which must not bias the endings.
        ending = draw.choice(sorted({year for _, year in years}))
        century = draw.choice([one for one, year in years if year == ending])
        fixed = {"NOUN": draw.choice([*nouns.values()]), "XX": century_ids[century]}
        pairs.append(
            Pair(
                form.fill({**fixed, "YY": endings[ending]}),
                form.fill({**fixed, "YY": endings[LOW]}),
                correct=endings[ending + 1 :],
                wrong=endings[: ending + 1],
                positions={
                    "noun": form.slots["NOUN"][0],
                    "XX": form.slots["XX"][0],
                    "YY": form.slots["YY"][0],
                },
                template=number,
            )
        )
    return assemble(
        "greater-than",
        pairs,
        reader,
        metric=metric,
        corruption="the start year's last two digits become 01",
        seed=seed,
        prepend_bos=prepend_bos,
    )


def greater_than_texts() -> list[str]:
    """Texts that contain every piece of the greater-than prompts and their answers."""
    lists = word_lists("greater_than")
    example = {"NOUN": lists["nouns"][0], "XX": "17", "YY": "32"}
    return [
        *(fill_text(text, example) for text in lists["templates"]),
        *(f" {noun}" for noun in lists["nouns"]),
        *(f" {century}" for century in CENTURIES),
        *(f"{ending:02d}" for ending in range(100)),
    ]


def _years(reader: Reader) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids of the endings 00 to 99, and the years (century, ending) that are two tokens."""
    endings: list[int] = []
    for ending in range(100):
        token = reader.token(f"{ending:02d}")
        if token is None:
            example = list(reader.texts(reader.pieces(" 1732")))
            raise ValueError(
                "greater-than needs a tokenizer with a token for each of 00 to 99: this one has none for "
                f"{ending:02d} and writes ' 1732' as {example}. GPT-2's tokenizer will do, and so will "
                'word_tokenizer(tasks.vocabulary("greater_than")).'
            )
        endings.append(token)

    def two_tokens(century: int, ending: int) -> bool:
        first = reader.token(f" {century}")
        return first is not None and reader.pieces(f" {century}{ending:02d}") == [first, endings[ending]]

    years = [
        (century, ending)
        for century in CENTURIES
        if two_tokens(century, LOW)
        for ending in range(FIRST, LAST + 1)
        if two_tokens(century, ending)
    ]
    if not years:
        raise ValueError(
            "greater-than needs years of two tokens, and this tokenizer writes ' 1732' as "
            f"{list(reader.texts(reader.pieces(' 1732')))}."
        )
    return endings, years
