"""Random tokens, then the same again: only induction can predict the second half."""

from __future__ import annotations

import random
from typing import Any, Literal, cast

import torch

from mechscope.arguments import checked_arguments, is_whole_number
from mechscope.model.token_ids import token_id
from mechscope.tasks.assembling import check_count
from mechscope.tasks.metrics import Answers, Metric, get_metric
from mechscope.tasks.task import Task

USUAL_HALF = 20


@checked_arguments
def repeated_random_tokens(
    model: Any,
    n: int = 32,
    seed: int = 0,
    *,
    half: int | None = None,
    answers: Literal["all", "last"] = "all",
    bos: int | Literal["auto"] | None = "auto",
    metric: str | Metric = "logit_difference",
) -> Task:
    """Random tokens twice; the corrupted prompt has other tokens in its first half, so that nothing repeats.

    The token that followed last time is right. The token in its place in the corrupted first half is wrong; without
    looking back, both are equally likely. All tokens of a pair of prompts differ, so the earlier occurrence is never
    ambiguous. Positions: "A1" (first occurrence of the token before the last answer), "B1" (the right answer, one
    later), "start2" (start of the second half), "end". Source: Olsson et al. 2022.

    Args:
        model: any model (no tokenizer is needed), or the size of its vocabulary.
        half: tokens per half; if omitted, 20, or fewer if the context or the vocabulary is small.
        answers: "all" positions of the second half except its last token, or only the "last" answer.
        bos: the first token, never drawn at random; "auto" uses the tokenizer's begin token if the model's texts
            start with one (`cfg.default_prepend_bos`).

    Raises:
        ValueError: if two halves do not fit the context, or there are too few tokens.
    """
    check_count(n)
    if answers not in ("all", "last"):
        raise ValueError(
            f'answers must be "all" (every position of the second half) or "last", not {answers!r}.'
        )
    cfg, tokenizer = getattr(model, "cfg", None), getattr(model, "tokenizer", None)
    if cfg is None and not is_whole_number(model):
        raise TypeError(f"pass a model or the size of its vocabulary, not {type(model).__name__}.")
    d_vocab: int = int(model) if cfg is None else min(cfg.d_vocab, cfg.d_vocab_out)
    n_ctx: int | None = None if cfg is None else cfg.n_ctx
    first_token: int | None
    if bos == "auto":
        begins = cfg is not None and cfg.default_prepend_bos
        first_token = getattr(tokenizer, "bos_token_id", None) if begins else None
    else:
        first_token = None if bos is None else token_id(bos, "bos")
    if first_token is not None and not 0 <= first_token < d_vocab:
        raise ValueError(f"bos={first_token} is not one of this model's tokens, 0 to {d_vocab - 1}.")
    special: set[int] = {
        *getattr(tokenizer, "all_special_ids", ()),
        *(() if first_token is None else (first_token,)),
    }
    tokens = [token for token in range(d_vocab) if token not in special]
    start = 0 if first_token is None else 1
    room = len(tokens) // 2 if n_ctx is None else min(len(tokens) // 2, (n_ctx - start) // 2)
    # Drop the last token of the second half: nothing follows it.
    half = min(USUAL_HALF, room) if half is None else half
    if not 2 <= half <= room:
        raise ValueError(
            f"two halves of {half} tokens and their corrupted counterparts need {2 * half} different tokens and "
            f"{start + 2 * half} positions, halves at least 2 tokens; this model has {len(tokens)} tokens"
            + ("." if n_ctx is None else f" and a context of {n_ctx}, so half may be up to {room}.")
        )
    draw = random.Random(f"repeated {seed}")
    drawn = torch.tensor([draw.sample(tokens, 2 * half) for _ in range(n)])
    ours, other = drawn[:, :half], drawn[:, half:]
    begin = torch.full((n, start), first_token or 0)
    clean, corrupted = (torch.cat([begin, first, ours[:, :-1]], dim=1) for first in (ours, other))
    where = torch.arange(half - 1) if answers == "all" else torch.tensor([half - 2])
    task = Task(
        "repeated random tokens",
        clean,
        corrupted,
        Answers(
            (start + half + where).expand(n, -1).clone(), ours[:, 1 + where, None], other[:, 1 + where, None]
        ),
        metric=get_metric(metric),
        positions={
            name: torch.full((n,), position)
            for name, position in {
                "A1": start + half - 2,
                "B1": start + half - 1,
                "start2": start + half,
                "end": start + 2 * half - 2,
            }.items()
        },
        corruption="the first half becomes other random tokens; the second repeats nothing",
        seed=seed,
    )
    if cfg is not None:
        task.check(cast("Any", model))
    return task
