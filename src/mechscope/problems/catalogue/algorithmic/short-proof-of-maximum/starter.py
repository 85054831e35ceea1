"""For how many of 4.3 billion lists can it be proved that the model of maxima is right, and with how many numbers?"""

import copy
import random

import torch

from mechscope import viz
from mechscope.course.challenges.challenge import challenge
from mechscope.problems import StartingPoint, run_starter

N, LENGTH = 16, 8


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    subject = challenge("maximum")
    model = copy.deepcopy(subject.model).double()
    head = model.blocks[0].attn
    # One layer, one head, no norm: a label's logit is a weighted mean of what each position writes, plus a constant.
    # Between two labels, the sign of a sum of votes decides.
    numbers = [subject.vocabulary.index(str(n)) for n in range(N)]
    ids = torch.tensor([0, *numbers, len(subject.vocabulary) - 1])  # first token, 0 to 15, "="
    x = model.W_E[ids][None] + model.W_pos[: LENGTH + 2, None]  # [pos, token, d_model]
    q = x[-1, -1] @ head.W_Q[0] + head.b_Q[0]
    scores = (x @ head.W_K[0] + head.b_K[0]) @ q / model.cfg.d_head**0.5
    writes = (x @ head.W_V[0] + head.b_V[0]) @ head.W_O[0] @ model.W_U
    constant = (x[-1, -1] + head.b_O) @ model.W_U + model.b_U
    votes = (scores - scores.max()).exp()[..., None] * (writes + constant)  # [pos, token, label]

    full, short = [], []
    for m in range(N):
        wrong = torch.arange(N) != m
        lead = (votes[..., m, None] - votes)[..., wrong]  # of the right label over each wrong one
        fixed = lead[0, 0] + lead[-1, -1]
        choices = lead[1:-1, 1 : m + 2]  # [place, token up to m, label]
        worst = choices.min(1).values
        # The maximum stands at one place at least: assume the place where it helps least.
        full.append(bool((fixed + worst.sum(0) + (choices[:, m] - worst).min(0).values > 0).all()))
        # The same with three numbers: what "=" and the first token, the maximum, and any other number do at worst.
        short.append(bool(fixed.min() + choices[:, m].min() + (LENGTH - 1) * choices.min() > 0))
    share = [((m + 1) / N) ** LENGTH - (m / N) ** LENGTH for m in range(N)]
    proved = {name: sum(s for s, sure in zip(share, by_maximum, strict=True) if sure)
              for name, by_maximum in (("full", full), ("short", short))}  # fmt: skip

    rng = random.Random(seed)
    sampled = []
    for m in range(N):
        rows = [[str(rng.randint(0, m)) for _ in range(LENGTH)] for _ in range(300)]
        for row in rows:
            row[rng.randrange(LENGTH)] = str(m)
        sampled.append(subject.accuracy([tuple(row) for row in rows]))
    figure = viz.bars(
        [str(m) for m in range(N)],
        {
            "right in a sample": sampled,
            "proved with the whole table": [float(sure) for sure in full],
            "proved with three numbers": [float(sure) for sure in short],
        },
        title="The model of maxima: what a sample says and what can be proved",
        x_title="largest of the eight numbers",
        y_title="lists answered correctly (share)",
        number_format=".2g",
    )
    return StartingPoint(
        baseline={
            "accuracy proved with three numbers per maximum (share)": proved["short"],
            "accuracy proved with the whole table (share)": proved["full"],
            "numbers in the whole table": float((LENGTH * N + 2) * N),
        },
        figure=figure,
        caption=(
            f"The whole table proves every list with {sum(full)} of the 16 maxima right, {proved['full']:.2%} of all "
            f"lists. Three numbers for each maximum prove {sum(short)} of them, {proved['short']:.2%}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
