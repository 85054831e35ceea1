"""Prove that one head is right on every input, from its weights alone, as the weights get noisier."""

import copy

import torch

import mechscope as ms
from mechscope import planted, viz
from mechscope.problems import StartingPoint, run_starter

NOISE = [0.0, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2, 0.3]


@torch.no_grad()
def proved_share(model: ms.HookedTransformer, tokens: int, length: int) -> float:
    """Share of comparisons (position, token, previous token, wrong answer) that are proved for every input.

    Attention to the previous position is bounded from below by giving every other key its highest possible score, and
    the output by the least favourable other key. Token 0 is BOS, at position 0.
    """
    stream = model.W_E[:, None] + model.W_pos[None]  # [token pos d_model]
    q = stream @ model.W_Q[0, 0] + model.b_Q[0, 0]
    k = stream @ model.W_K[0, 0] + model.b_K[0, 0]
    scores = torch.einsum("aid,bjd->aibj", q, k) / model.cfg.attn_scale
    moved = (stream @ model.W_V[0, 0] + model.b_V[0, 0]) @ model.W_O[0, 0] @ model.W_U  # [token pos logit]
    direct = (stream + model.b_O[0]) @ model.W_U + model.b_U
    begin, words = torch.tensor([0]), torch.arange(1, tokens)
    proved = []
    for i in range(2, length):
        for a in words:
            for c in words:
                right = scores[a, i, c, i - 1]
                keys = [(begin, 0), *((words, j) for j in range(1, i - 1)), (a[None], i)]
                least = 1 / (1 + sum((scores[a, i, rows, j] - right).max().exp() for rows, j in keys))
                for wrong in words[words != c]:
                    lead = moved[..., c] - moved[..., wrong]  # [token pos]: over this wrong answer
                    good, bad = lead[c, i - 1], torch.stack([lead[rows, j].min() for rows, j in keys]).min()
                    worst = torch.minimum(good, least * good + (1 - least) * bad)
                    proved.append(float(direct[a, i, c] - direct[a, i, wrong] + worst > 0))
    return sum(proved) / len(proved)


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    program = planted.load("previous_token", n_tokens=5, length=6)
    model, size = program.model, len(program.vocabulary)
    generator = torch.Generator().manual_seed(seed)
    rows = torch.randint(1, size, (3000, model.cfg.n_ctx), generator=generator)
    rows[:, 0] = 0
    noise = [torch.randn(weight.shape, generator=generator) for weight in model.parameters()]
    right, proved = [], []
    for amount in NOISE:
        noisy = copy.deepcopy(model)
        for weight, draw in zip(noisy.parameters(), noise, strict=True):
            weight.add_(amount * draw)
        said = noisy(rows)[:, 2:, 1:].argmax(-1) + 1
        right.append(float((said == rows[:, 1:-1]).float().mean()))
        proved.append(proved_share(noisy, size, model.cfg.n_ctx))
    figure = viz.curves(
        NOISE,
        {"right on 3,000 random inputs": right, "proved for every input": proved},
        title="A planted previous-token head: what is true, and what can be proved",
        x_title="noise added to every weight (standard deviation)",
        y_title="share of answers (proved: of comparisons)",
        points=True,
    )
    holds = max((amount for amount, value in zip(NOISE, right, strict=True) if value == 1), default=0.0)
    certain = max((amount for amount, value in zip(NOISE, proved, strict=True) if value == 1), default=0.0)
    return StartingPoint(
        baseline={
            "largest noise tried at which no sampled answer is wrong": holds,
            "largest noise tried at which every answer is proved": certain,
        },
        figure=figure,
        caption=f"No sampled answer is wrong up to a noise of {holds:g}. Every answer is proved up to {certain:g}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
