"""Greater-than: "… began in the year 1732 and ended in the year 17" → a number above 32.

Tokenizers write 1732 as 17 and 32, or digit by digit. In the first case the answer is the ending of a year, in the
second its tens digit. Source: Hanna, Liu and Variengien 2023 (task, corruption, metric). The sentences are our own.
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
FIRST_TENS, LAST_TENS = 1, 8
"""Tens digits of clean start years that are read digit by digit, so that there are digits above and below."""
DIGIT_SLOTS = {"[XX]": "[X1][X2]", "[YY]": "[Y1][Y2]"}


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
    """Something began in a year and ended in the same century: the model must continue with a later year.

    The tokenizer decides between two versions, and the task's name says which it is:

    - *greater-than*, if 1732 is " 17" and "32": all endings above the start year's are right, and those up to and
      including it are wrong. Positions: noun, XX (the century), YY (the start year's ending), end.
    - *greater-than, digit by digit*, if 1732 is "1", "7", "3" and "2" (perhaps after a space): the next token is the
      tens digit. Digits above the start year's tens digit are right and those below it wrong; the same digit is
      neither, because the units decide whether that year is later. Positions: noun, the start year's digits X1, X2,
      Y1 and Y2, end.

    The corrupted prompt starts in year 01, which gives no reason to prefer later years. Source: Hanna et al. 2023,
    section 2; the version by digits is ours.

    Args:
        model: a model with a tokenizer of one of these kinds, or such a tokenizer.
        template: index of one template to use for all prompts; if omitted, prompts cycle through the templates.

    Raises:
        ValueError: for a tokenizer that writes years in another way.
    """
    check_count(n)
    reader, lists = Reader(model), word_lists("greater_than")
    digits = _digits(reader)
    endings, years = _years(reader) if digits is None else ([], [])
    nouns = reader.words(lists["nouns"], "nouns")
    draw = random.Random(f"greater than {seed}")
    if digits is None:
        name, pairs = "greater-than", _two_digit_pairs(reader, n, draw, template, nouns, endings, years)
    else:
        name, pairs = "greater-than, digit by digit", _digit_pairs(reader, n, draw, template, nouns, digits)
    return assemble(
        name,
        pairs,
        reader,
        metric=metric,
        corruption="the start year's last two digits become 01",
        seed=seed,
        prepend_bos=prepend_bos,
    )


def _two_digit_pairs(
    reader: Reader,
    n: int,
    draw: random.Random,
    template: int | None,
    nouns: dict[str, int],
    endings: list[int],
    years: list[tuple[int, int]],
) -> list[Pair]:
    """Prompts that end after the century; the ending of a year is the answer."""
    century, year = years[0]
    example = {"NOUN": next(iter(nouns)), "XX": str(century), "YY": f"{year:02d}"}
    forms = read_templates(reader, word_lists("greater_than")["templates"], example, template)
    century_ids = {one: reader.need_token(f" {one}", "the century") for one, _ in years}
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
    return pairs


def _digit_pairs(
    reader: Reader,
    n: int,
    draw: random.Random,
    template: int | None,
    nouns: dict[str, int],
    digits: tuple[int, ...],
) -> list[Pair]:
    """Prompts that end after the century's two digits; the tens digit of a year is the answer."""
    texts = list[str](word_lists("greater_than")["templates"])
    for slot, by_digit in DIGIT_SLOTS.items():
        texts = [text.replace(slot, by_digit) for text in texts]
    example = {"NOUN": next(iter(nouns)), "X1": "1", "X2": "7", "Y1": "3", "Y2": "2"}
    forms = read_templates(reader, texts, example, template)
    pairs: list[Pair] = []
    for index in range(n):
        number, form = forms[index % len(forms)]
        tens, units = draw.randint(FIRST_TENS, LAST_TENS), draw.randrange(10)
        first, second = divmod(draw.choice(CENTURIES), 10)
        fixed = {"NOUN": draw.choice([*nouns.values()]), "X1": digits[first], "X2": digits[second]}
        pairs.append(
            Pair(
                form.fill({**fixed, "Y1": digits[tens], "Y2": digits[units]}),
                form.fill({**fixed, "Y1": digits[0], "Y2": digits[LOW]}),
                correct=digits[tens + 1 :],
                wrong=digits[:tens],
                positions={"noun": form.slots["NOUN"][0]}
                | {slot: form.slots[slot][0] for slot in ("X1", "X2", "Y1", "Y2")},
                template=number,
            )
        )
    return pairs


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


def _digits(reader: Reader) -> tuple[int, ...] | None:
    """Token ids of the digits 0 to 9 inside a year, if the tokenizer writes every year digit by digit."""
    in_front = reader.pieces(" 1111")[:-4]
    found = [set(reader.pieces(f" 1{digit}{digit}{digit}")[-3:]) for digit in range(10)]
    if any(len(same) != 1 for same in found):
        return None
    digits = tuple(same.pop() for same in found)
    if len(set(digits)) < 10 or reader.unknown in digits:
        return None
    used = (LOW, *range(10 * FIRST_TENS, 10 * LAST_TENS + 10))
    years = (f"{century}{ending:02d}" for century in CENTURIES for ending in used)
    apart = all(
        reader.pieces(f" {year}") == [*in_front, *(digits[int(digit)] for digit in year)] for year in years
    )
    return digits if apart else None


def _years(reader: Reader) -> tuple[list[int], list[tuple[int, int]]]:
    """Token ids of the endings 00 to 99, and the years (century, ending) that are two tokens."""
    endings: list[int] = []
    for ending in range(100):
        token = reader.token(f"{ending:02d}")
        if token is None:
            example = list(reader.texts(reader.pieces(" 1732")))
            raise ValueError(
                "greater-than needs a tokenizer with a token for each of 00 to 99, or one that writes years digit by "
                f"digit: this one has no token for {ending:02d} and writes ' 1732' as {example}. The tokenizers of "
                'GPT-2, Llama 2 and Qwen 2 will do, and so will word_tokenizer(tasks.vocabulary("greater_than")).'
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
