"""Indirect object identification: "When Mary and John went out, John gave a drink to" → " Mary".

Source: Wang et al. 2022, "Interpretability in the Wild" (task, corruptions, metric). Sentences and words are ours
unless the published ones are asked for.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mechscope.arguments import checked_arguments
from mechscope.data.word_lists import word_lists
from mechscope.tasks.assembling import Pair, assemble, check_count
from mechscope.tasks.ioi_corruptions import Names, get_corruption
from mechscope.tasks.ioi_words import ORDERS, IOIWords, get_ioi_words, in_order, with_mention
from mechscope.tasks.metrics import Metric
from mechscope.tasks.reader import Reader
from mechscope.tasks.task import Task
from mechscope.tasks.template import Template, read_template

Words = Literal["ours", "published"] | Mapping[str, Sequence[str]]
Order = Literal["BABA", "ABBA", "mixed"]


@checked_arguments
def ioi(
    model: Any,
    n: int = 64,
    seed: int = 0,
    *,
    corruption: str = "ABC",
    words: Words = "ours",
    order: Order | None = None,
    templates: int | Sequence[int] | None = None,
    aligned: bool = False,
    metric: str | Metric = "logit_difference",
    prepend_bos: bool | None = None,
) -> Task:
    """Which of two names comes next: the one that was not repeated. Right is IO, wrong is S.

    The clean prompts depend on the seed, the words, the order and the templates, not on the corruption. Templates
    and orders take turns, so that each occurs equally often. Positions: IO, S1, S1+1, S2, end. Source: Wang et al.
    2022, section 2 and appendix A.

    Args:
        model: a model with a tokenizer, or a tokenizer.
        corruption: what the twins change; see `IOI_CORRUPTIONS`. "ABC", the paper's, puts three other names in.
        words: "ours"; "published", from the data folder; or a mapping with names, places, objects, templates.
        order: "BABA" names the subject first, "ABBA" the indirect object; "mixed" (the default) takes turns.
        templates: numbers of the templates to use; all where left out.
        aligned: only the largest set of templates in which every name stands at the same position.
        prepend_bos: start with the begin token; None follows the model's `cfg.default_prepend_bos`. The paper's
            prompts have none.

    Raises:
        ValueError: for too few words that are single tokens, or unknown corruptions, orders and templates.
        FileNotFoundError: for published words that are not there.
    """
    return _build(
        "IOI", model, n, seed, corruption, words, order, templates, aligned, metric, prepend_bos, None
    )


@checked_arguments
def ioi_double_io(
    model: Any,
    n: int = 64,
    seed: int = 0,
    *,
    mention: Literal["IO", "S", "other"] = "IO",
    corruption: str = "ABC",
    words: Words = "ours",
    order: Order | None = None,
    templates: int | Sequence[int] | None = None,
    aligned: bool = False,
    metric: str | Metric = "logit_difference",
    prepend_bos: bool | None = None,
) -> Task:
    """IOI with one more sentence that names the indirect object again, so that both names are repeated.

    A circuit that looks for the repeated name is misled by it. `mention="S"` names the subject instead, and
    "other" a third person: the controls. The name stands at the position C; the rest is as in `ioi`, with those
    templates that have two sentences. Source: Wang et al. 2022, section 4 (adversarial examples).

    Raises:
        ValueError: as `ioi`, and where no template has two sentences.
    """
    if mention not in ("IO", "S", "other"):
        raise ValueError(f'mention is "IO", "S" or "other", not {mention!r}.')
    name = {"IO": "IOI, IO named twice", "S": "IOI, S named three times", "other": "IOI, a third name"}[
        mention
    ]
    return _build(
        name, model, n, seed, corruption, words, order, templates, aligned, metric, prepend_bos, mention
    )


def ioi_texts() -> list[str]:
    """Texts that hold every piece of our IOI prompts."""
    ours = get_ioi_words("ours")
    sentences = [f" {text.replace('[C]', ours.names[0])}" for text in word_lists("ioi")["extra_sentences"]]
    return [*ours.texts(), *sentences]


def _build(
    name: str,
    model: Any,
    n: int,
    seed: int,
    corruption: str,
    words: Words,
    order: Order | None,
    templates: int | Sequence[int] | None,
    aligned: bool,
    metric: str | Metric,
    prepend_bos: bool | None,
    mention: str | None,
) -> Task:
    check_count(n)
    changed = get_corruption(corruption)
    reader, listed = Reader(model), get_ioi_words(words)
    third = 1 if mention else 0
    kept = reader.words(listed.names, "names", changed.needs + (2 if mention else 0))
    names = list(kept.values())
    places = reader.words(listed.places, "places")
    objects = reader.words(listed.objects, "objects")
    known = IOIWords(tuple(kept), tuple(places), tuple(objects), listed.templates)
    forms = _forms(reader, known, order, templates, aligned, mention is not None)
    # Two draws: another corruption leaves the clean prompts as they are.
    draw, draw_other = random.Random(f"ioi {seed}"), random.Random(f"ioi {seed} {corruption}")
    draw.shuffle(forms)
    pairs: list[Pair] = []
    for example in range(n):
        number, form = forms[example % len(forms)]
        io, s, *rest = draw.sample(names, 2 + third)
        extra = {"IO": io, "S": s, "other": rest[0] if rest else io}[mention or "IO"]
        fixed = {"PLACE": draw.choice([*places.values()]), "OBJECT": draw.choice([*objects.values()])}
        clean = Names(io, s, s, extra)
        others = [token for token in names if token not in (io, s, extra)]
        corrupted = changed.change(clean, draw_other.sample(others, min(len(others), 4)))
        s1, s2 = form.slots["S"]
        where = {"IO": form.slots["IO"][0], "S1": s1, "S1+1": s1 + 1, "S2": s2}
        where |= {"C": form.slots["C"][0]} if mention else {}
        both = (form.fill({**fixed, **found.slots()}) for found in (clean, corrupted))
        pairs.append(Pair(*both, correct=[io], wrong=[s], positions=where, template=number))
    return assemble(
        name,
        pairs,
        reader,
        metric=metric,
        corruption=f"{corruption}: {changed.says}",
        seed=seed,
        prepend_bos=prepend_bos,
    )


def _forms(
    reader: Reader,
    words: IOIWords,
    order: Order | None,
    templates: int | Sequence[int] | None,
    aligned: bool,
    mention: bool,
) -> list[tuple[int, Template]]:
    """The templates to take turns in, each with its number, in the orders that are wanted."""
    if order not in (None, "mixed", *ORDERS):
        raise ValueError(f'order is "BABA", "ABBA" or "mixed", not {order!r}.')
    if aligned and order == "mixed":
        raise ValueError('mixed orders put the names at different positions: take order="BABA" or "ABBA".')
    orders = ORDERS if order == "mixed" or (order is None and not aligned) else (order or "BABA",)
    count = len(words.templates)
    chosen = range(count) if templates is None else [templates] if isinstance(templates, int) else templates
    if len(chosen) == 0 or any(not 0 <= number < count for number in chosen):
        raise ValueError(f"templates are numbers from 0 to {count - 1}, at least one, not {templates!r}.")
    sentences = word_lists("ioi")["extra_sentences"] if mention else [None]
    forms: list[tuple[int, Template]] = []
    for kind, sentence in enumerate(sentences):
        for number in chosen:
            text = (
                words.templates[number]
                if sentence is None
                else with_mention(words.templates[number], sentence)
            )
            for one in orders if text is not None else ():
                identity = (kind * len(ORDERS) + ORDERS.index(one)) * count + number
                # The order swaps the first two names, which a further sentence does not touch.
                forms.append((identity, read_template(reader, in_order(text or "", one), words.example())))
    if not forms:
        raise ValueError("none of these templates has two sentences, between which another can be put.")
    if not aligned:
        return forms
    shapes = [(len(form.ids), *(form.slots.get(slot, ()) for slot in ("IO", "S", "C"))) for _, form in forms]
    shape = Counter(shapes).most_common(1)[0][0]
    return [form for form, found in zip(forms, shapes, strict=True) if found == shape]
