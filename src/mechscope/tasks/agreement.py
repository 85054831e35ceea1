"""Subject–verb agreement: "I have heard that the boys near the tree" → " are", not " is".

Sources: Finlayson et al. 2021; Marks et al. 2024 (task and corruption). The sentences and words are our own.
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

STRUCTURES = ("simple", "prepositional", "relative")
NUMBERS = ("singular", "plural")


@checked_arguments
def subject_verb_agreement(
    model: Any,
    n: int = 64,
    seed: int = 0,
    *,
    structure: Literal["simple", "prepositional", "relative"] = "simple",
    distractor: Literal["same", "other"] | None = None,
    template: int | None = None,
    metric: str | Metric = "logit_difference",
    prepend_bos: bool | None = None,
) -> Task:
    """The verb must agree with the subject: verbs of the subject's number are right, those of the other number wrong.

    The corrupted prompt has the same subject in the other number, so the answer flips; the distractor stays.
    Singular and plural subjects alternate. Positions: subject, distractor (if any), end. Sources: Finlayson et al.
    2021; Marks et al. 2024.

    Args:
        structure: "simple"; "prepositional", with a second noun after a preposition; "relative", with a relative
            clause.
        distractor: whether the second noun has the "same" number as the clean subject or the "other" one (the
            hard case); random if omitted.
        template: index of one template to use for all prompts; if omitted, prompts cycle through the templates.

    Raises:
        ValueError: if too few words are single tokens, the structure is unknown, or a distractor is given for a
            simple sentence.
    """
    check_count(n)
    if structure not in STRUCTURES:
        raise ValueError(f"structure must be one of {', '.join(STRUCTURES)}, not {structure!r}.")
    if distractor not in (None, "same", "other"):
        raise ValueError(f'distractor must be "same", "other" or None for either, not {distractor!r}.')
    if structure == "simple" and distractor is not None:
        raise ValueError('a simple sentence has no distractor: use structure="prepositional" or "relative".')
    reader, lists = Reader(model), word_lists("subject_verb_agreement")
    people = _both_numbers(reader, lists["subjects"], "subjects", 2)
    second = people if structure == "relative" else _both_numbers(reader, lists["things"], "things", 1)
    verbs = _both_numbers(reader, lists["verbs"], "verbs", 1)
    texts: list[str] = lists["templates"][structure]
    example = {"SUBJECT": next(iter(people)), "DISTRACTOR": next(iter(second))}
    forms = read_templates(reader, texts, example, template)
    draw = random.Random(f"agreement {seed}")
    pairs: list[Pair] = []
    for index in range(n):
        number, form = forms[index // 2 % len(forms)]
        ours = index % 2
        subject = draw.choice([*people])
        other = draw.choice([word for word in second if word != subject])
        its = {"same": ours, "other": 1 - ours}.get(distractor or "", draw.randrange(2))
        fixed = {"DISTRACTOR": second[other][its]}
        where = {"subject": form.slots["SUBJECT"][0]}
        if "DISTRACTOR" in form.slots:
            where["distractor"] = form.slots["DISTRACTOR"][0]
        pairs.append(
            Pair(
                form.fill({**fixed, "SUBJECT": people[subject][ours]}),
                form.fill({**fixed, "SUBJECT": people[subject][1 - ours]}),
                correct=[verb[ours] for verb in verbs.values()],
                wrong=[verb[1 - ours] for verb in verbs.values()],
                positions=where,
                template=number,
            )
        )
    return assemble(
        "subject–verb agreement",
        pairs,
        reader,
        metric=metric,
        corruption="the subject changes its number; the answer flips",
        seed=seed,
        prepend_bos=prepend_bos,
    )


def subject_verb_agreement_texts() -> list[str]:
    """Texts that contain every piece of the agreement prompts and their answers."""
    lists = word_lists("subject_verb_agreement")
    pairs = {**lists["subjects"], **lists["things"], **lists["verbs"]}
    example = {"SUBJECT": next(iter(lists["subjects"])), "DISTRACTOR": next(iter(lists["things"]))}
    sentences = [fill_text(text, example) for texts in lists["templates"].values() for text in texts]
    return [*sentences, *(f" {word}" for pair in pairs.items() for word in pair)]


def _both_numbers(
    reader: Reader, listed: dict[str, str], what: str, at_least: int
) -> dict[str, tuple[int, int]]:
    """Singular → token ids of singular and plural, for words where each is one token."""
    kept = reader.word_groups(listed.items(), what, at_least)
    return {one: (ids[0], ids[1]) for (one, _), ids in kept.items()}
