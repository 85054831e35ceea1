"""Indirect object identification: "When Mary and John went out, John gave a drink to" → " Mary".

Source: Wang et al. 2022, "Interpretability in the Wild" (task, corruptions, metric). The sentences and words are our
own unless the published ones are requested.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from mechscope.arguments import checked_arguments
from mechscope.data.word_lists import word_lists
from mechscope.tasks._ioi_corruptions import Names, get_corruption
from mechscope.tasks.assembling import Pair, assemble, check_count
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
    """Which of two names comes next? The one that was not repeated: IO is right, S is wrong.

    The clean prompts depend on the seed, the words, the order and the templates, but not on the corruption. Templates
    and orders alternate, so that each occurs equally often. Positions: IO, S1, S1+1, S2, end. Source: Wang et al.
    2022, section 2 and appendix A.

    Args:
        model: a model with a tokenizer, or a tokenizer.
        corruption: what the corrupted prompts change; see `IOI_CORRUPTIONS`. "ABC", the paper's, uses three
            other names.
        words: "ours"; "published", from the data folder; or a mapping with names, places, objects, templates.
        order: "BABA" names the subject first, "ABBA" the indirect object; "mixed" (the default) alternates.
        templates: indices of the templates to use; all if omitted.
        aligned: use only the largest set of templates that have every name at the same position.
        prepend_bos: start with the begin token; None follows the model's `cfg.default_prepend_bos`. The paper's
            prompts have none.

    Raises:
        ValueError: if too few words are single tokens, or for an unknown corruption, order or template.
        FileNotFoundError: if the published words are requested but missing.

    >>> from mechscope.checkpoints import load_model
    >>> task = ioi(load_model("ioi-twin"), n=4)
    >>> task.clean.shape, sorted(task.positions)
    (torch.Size([4, 18]), ['IO', 'S1', 'S1+1', 'S2', 'end'])
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

    This misleads a circuit that looks for the repeated name. As controls, `mention="S"` names the subject instead,
    and "other" a third person. The added name is at position C; the rest is as in `ioi`, using only templates with
    two sentences. Source: Wang et al. 2022, section 4 (adversarial examples).

    Raises:
        ValueError: as `ioi`, and where no template has two sentences.
    """
    if mention not in ("IO", "S", "other"):
        raise ValueError(f'mention must be "IO", "S" or "other", not {mention!r}.')
    name = {"IO": "IOI, IO named twice", "S": "IOI, S named three times", "other": "IOI, a third name"}[
        mention
    ]
    return _build(
        name, model, n, seed, corruption, words, order, templates, aligned, metric, prepend_bos, mention
    )


def ioi_texts() -> list[str]:
    """Texts that contain every piece of our IOI prompts."""
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
    # Two random streams, so that the corruption does not affect the clean prompts.
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
    """The templates to cycle through in the requested orders, each with its index."""
    if order not in (None, "mixed", *ORDERS):
        raise ValueError(f'order must be "BABA", "ABBA" or "mixed", not {order!r}.')
    if aligned and order == "mixed":
        raise ValueError('mixed orders put the names at different positions: use order="BABA" or "ABBA".')
    orders = ORDERS if order == "mixed" or (order is None and not aligned) else (order or "BABA",)
    count = len(words.templates)
    chosen = range(count) if templates is None else [templates] if isinstance(templates, int) else templates
    if len(chosen) == 0 or any(not 0 <= number < count for number in chosen):
        raise ValueError(f"templates must be one or more numbers from 0 to {count - 1}, not {templates!r}.")
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
                # The order only swaps the first two names, so the added sentence is unaffected.
                forms.append((identity, read_template(reader, in_order(text or "", one), words.example())))
    if not forms:
        raise ValueError("none of these templates has two sentences to insert another one between.")
    if not aligned:
        return forms
    shapes = [(len(form.ids), *(form.slots.get(slot, ()) for slot in ("IO", "S", "C"))) for _, form in forms]
    shape = Counter(shapes).most_common(1)[0][0]
    return [form for form, found in zip(forms, shapes, strict=True) if found == shape]
