"""Build a task from your own pairs of prompts, as text or as tokens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, cast

import torch

from mechscope.arguments import checked_arguments
from mechscope.model.token_batch import Tokens
from mechscope.model.token_ids import token_id, token_ids
from mechscope.tasks.assembling import Pair, assemble
from mechscope.tasks.left_out import some
from mechscope.tasks.metrics import Answers, Metric, get_metric
from mechscope.tasks.reader import Reader
from mechscope.tasks.task import Task

Answer = str | int | Sequence[str] | Sequence[int]
Positions = Mapping[str, int | Sequence[int]]


@checked_arguments
def from_prompts(
    model: Any,
    clean: Sequence[str],
    corrupted: Sequence[str],
    correct: Sequence[Answer],
    wrong: Sequence[Answer] | None = None,
    positions: Positions | None = None,
    *,
    name: str = "my task",
    metric: str | Metric | None = None,
    corruption: str = "",
    prepend_bos: bool | None = None,
) -> Task:
    """Build a task from text prompts; the answer comes after the last token.

    Pairs may differ in length, but the two prompts of a pair must have the same number of tokens.

    Args:
        model: a model with a tokenizer, or a tokenizer.
        correct: for each prompt, one right answer or several; each is a single token (" Mary", with its space).
        wrong: likewise for wrong answers; None if there are no particular ones.
        positions: name → position, one for all prompts or one per prompt, counted in the tokens of the text (an
            added begin token does not count); negative positions count from the end. "end" is added.
        metric: if omitted, the logit difference, or the log-probability if there are no wrong answers.
        prepend_bos: start with the begin token; None follows the model's `cfg.default_prepend_bos`, as
            `model(text)` does. It is not added to a prompt that already starts with it.

    Raises:
        ValueError: for empty lists or lists of different lengths, a pair whose prompts are identical or differ in
            length, an answer that is not one token, or a position outside its prompt.
    """
    reader = Reader(model)
    _check_lists(clean, corrupted, correct, wrong)
    pairs: list[Pair] = []
    for number, (text, twin) in enumerate(zip(clean, corrupted, strict=True)):
        ours, theirs = reader.encode_known(text), reader.encode_known(twin)
        if not ours:
            raise ValueError(f"clean prompt {number} has no tokens.")
        if len(ours) != len(theirs):
            raise ValueError(
                f"pair {number}: the clean prompt has {len(ours)} tokens and the corrupted one {len(theirs)}; "
                "patching replaces one with the other token by token, so they must have the same length.\n"
                f"  clean:     {list(reader.texts(ours))}\n  corrupted: {list(reader.texts(theirs))}"
            )
        if ours == theirs:
            raise ValueError(f"pair {number}: both prompts are {text!r}, so there is nothing to explain.")
        pairs.append(
            Pair(
                ours,
                theirs,
                _answer(reader, correct, number, "right"),
                None if wrong is None else _answer(reader, wrong, number, "wrong"),
                {
                    key: _position(key, where, number, len(clean), len(ours))
                    for key, where in (positions or {}).items()
                },
            )
        )
    chosen = metric or ("log_probability" if wrong is None else "logit_difference")
    return assemble(
        name, pairs, reader, metric=chosen, corruption=corruption, seed=None, prepend_bos=prepend_bos
    )


@checked_arguments
def from_tokens(
    clean: torch.Tensor | Sequence[Sequence[int]],
    corrupted: torch.Tensor | Sequence[Sequence[int]],
    correct: torch.Tensor | Sequence[int],
    wrong: torch.Tensor | Sequence[int] | None = None,
    positions: Positions | None = None,
    *,
    answers_at: int | Sequence[int] = -1,
    name: str = "my task",
    metric: str | Metric | None = None,
    corruption: str = "",
) -> Task:
    """Build a task from prompts as tokens [batch pos], for models without a tokenizer.

    Pass prompts of different lengths as `Tokens`, which know their padding (`model.to_tokens` returns them, and
    `Tokens(ids, attention_mask)` makes them); the task then pads on the right. In a plain tensor every token counts
    as real.

    Args:
        correct: right tokens [batch], or [batch answer] if there are several answers.
        wrong: wrong tokens of the same shape, or None.
        answers_at: position or positions whose logits predict the answers; negative ones count from the end.
        positions: as in `from_prompts`.

    Raises:
        ValueError: for shapes that do not fit, or pairs of identical prompts.
    """
    ours, theirs = _right_padded(clean, "clean prompts"), _right_padded(corrupted, "corrupted prompts")
    if ours.ndim != 2 or ours.numel() == 0 or ours.shape != theirs.shape:
        raise ValueError(
            f"clean and corrupted prompts must be tokens [batch pos] of the same shape, not {tuple(ours.shape)} and "
            f"{tuple(theirs.shape)}."
        )
    if not torch.equal(ours.lengths, theirs.lengths):
        raise ValueError(
            f"clean prompts have {ours.lengths.tolist()} tokens and corrupted ones {theirs.lengths.tolist()} (padding "
            "not counted); patching replaces one with the other, so both prompts of a pair must have the same length."
        )
    same = (ours == theirs).all(1).nonzero().flatten().tolist()
    if same:
        raise ValueError(f"pair {same[0]}: both prompts are the same tokens, so there is nothing to explain.")
    batch = len(ours)
    lengths = ours.lengths.tolist()
    at = token_ids(answers_at, "positions of answers", negative=True).reshape(-1).tolist()
    where = torch.tensor(
        [[_position("answers_at", one, row, batch, lengths[row]) for one in at] for row in range(batch)]
    )
    right = _rows(correct, batch, "correct")
    not_right = None if wrong is None else _rows(wrong, batch, "wrong")
    for what, found in (("correct", right), ("wrong", not_right)):
        if found is not None and found.shape[1] != len(at):
            raise ValueError(
                f"{what} has {found.shape[1]} answers per prompt but answers_at names {len(at)} positions; the two "
                "numbers must agree."
            )
    named = {
        key: torch.tensor([_position(key, one, row, batch, lengths[row]) for row in range(batch)])
        for key, one in (positions or {}).items()
    }
    return Task(
        name,
        ours,
        theirs,
        Answers(
            where,
            right[..., None],
            None if not_right is None else not_right[..., None],
        ),
        metric=get_metric(metric or ("log_probability" if wrong is None else "logit_difference")),
        positions={**named, "end": ours.lengths - 1},
        lengths=None if ours.attention_mask is None else ours.lengths,
        corruption=corruption,
    )


def _right_padded(tokens: torch.Tensor | Sequence[Sequence[int]], what: str) -> Tokens:
    """The same rows with padding moved to the right."""
    known = Tokens(token_ids(tokens, what), getattr(tokens, "attention_mask", None))
    if known.attention_mask is None or known.ndim != 2:
        return known
    order = (~known.is_real).to(torch.int8).sort(dim=1, stable=True).indices
    longest = int(known.lengths.max())
    return Tokens(known.ids.gather(1, order)[:, :longest], known.is_real.gather(1, order)[:, :longest])


def _check_lists(
    clean: Sequence[str],
    corrupted: Sequence[str],
    correct: Sequence[Answer],
    wrong: Sequence[Answer] | None,
) -> None:
    given: dict[str, Any] = {"clean": clean, "corrupted": corrupted, "correct": correct}
    if wrong is not None:
        given["wrong"] = wrong
    for what, values in given.items():
        if isinstance(values, str):
            raise ValueError(f"{what} must be a list with one entry per prompt, not the text {values!r}.")
        if len(values) == 0:
            raise ValueError(f"{what} is empty; a task needs at least one pair of prompts.")
    if len({len(values) for values in given.values()}) > 1:
        counts = ", ".join(f"{len(values)} {what}" for what, values in given.items())
        raise ValueError(f"the lists must have the same length, not {counts}.")


def _rows(answers: Any, batch: int, what: str) -> torch.Tensor:
    """Answers as token ids [batch answer]."""
    ids = token_ids(answers, f"{what} answers")
    if ids.numel() == 0 or ids.numel() % batch:
        raise ValueError(
            f"{what} has {ids.numel()} answers for {batch} prompts; every prompt needs the same number of answers."
        )
    return ids.reshape(batch, -1)


def _answer(reader: Reader, answers: Sequence[Answer], number: int, which: str) -> list[int]:
    """The ids of one prompt's answers."""
    what = f"pair {number}: the {which} answer"
    choices = _choices(answers[number])
    if not choices:
        raise ValueError(f"{what} is an empty list.")
    try:
        return [
            reader.need_token(one, what) if isinstance(one, str) else token_id(one, what) for one in choices
        ]
    except ValueError as error:
        several = [
            str(row)
            for row, answer in enumerate(answers)
            if any(isinstance(one, str) and reader.token(one) is None for one in _choices(answer))
        ]
        if len(several) < 2:
            raise
        raise ValueError(
            f"{error} {len(several)} of {len(answers)} prompts have a {which} answer that is not one token: "
            f"{some(several)}. Leave them out, or choose other answers."
        ) from None


def _choices(answer: Answer) -> list[Any]:
    single = isinstance(answer, str) or not isinstance(answer, Iterable) or getattr(answer, "ndim", 1) == 0
    return [answer] if single else list(cast("Sequence[Any]", answer))


def _position(name: str, where: int | Sequence[int], number: int, count: int, length: int) -> int:
    """The position in one prompt, counted from its beginning."""
    given = token_ids(where, f"positions[{name!r}]", negative=True)
    if given.ndim > 1 or (given.ndim == 1 and len(given) != count):
        raise ValueError(f"positions[{name!r}] has {given.numel()} entries for {count} prompts.")
    found = int(given if given.ndim == 0 else given[number])
    if not -length <= found < length:
        raise ValueError(f"pair {number}: position {name!r} is {found}, but the prompt has {length} tokens.")
    return found % length
