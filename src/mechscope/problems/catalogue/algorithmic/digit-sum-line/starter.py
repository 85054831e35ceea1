"""How many directions of the last layer does the model of digit sums need?"""

import torch

from mechscope import viz
from mechscope.course.challenges.challenge import challenge
from mechscope.problems import StartingPoint, run_starter

HOOK = "blocks.0.hook_resid_post"
DIRECTIONS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 24, 32)


def starting_point(seed: int = 0) -> StartingPoint:
    subject = challenge("digit_sum")
    inputs = subject.held_out(3000, seed, wide=True)
    sums = torch.tensor([int(subject.rule(digits)) for digits in inputs])
    tokens = subject.encode(inputs)
    with torch.no_grad():
        _, cache = subject.model.run_with_cache(tokens, names_filter=HOOK)
        x = cache[HOOK][:, -1]
        centre = x.mean(0)
        # The directions in which the mean activation moves as the sum grows.
        means = torch.stack([x[sums == s].mean(0) if (sums == s).any() else centre for s in range(46)])
        by_sum = torch.linalg.svd(means - centre).Vh
        generator = torch.Generator().manual_seed(seed)
        at_random = torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], generator=generator)).Q.T

        def accuracy(directions: torch.Tensor) -> float:
            kept = centre + (x - centre) @ directions.T @ directions
            answers = (kept @ subject.model.W_U + subject.model.b_U).argmax(1)
            return float((answers == sums).float().mean())

        found = {
            "principal directions of the means": [accuracy(by_sum[:n]) for n in DIRECTIONS],
            "random directions": [accuracy(at_random[:n]) for n in DIRECTIONS],
        }
    full = accuracy(torch.eye(x.shape[1]))
    kept = found["principal directions of the means"]
    needed = next(n for n, share in zip(DIRECTIONS, kept, strict=True) if share > 0.9 * full)
    figure = viz.curves(
        DIRECTIONS,
        found,
        title="Sums of five digits: accuracy with few directions kept",
        x_title="directions of the last residual stream that are kept",
        y_title="sums right (share)",
        points=True,
    )
    return StartingPoint(
        baseline={
            "sums right with all directions (share)": full,
            "sums right with one direction (share)": kept[0],
            "directions needed for 90 % of the accuracy": float(needed),
        },
        figure=figure,
        caption=(
            f"With one direction, {kept[0]:.0%} of the sums are right, with two {kept[1]:.0%}, with {needed} "
            f"{kept[DIRECTIONS.index(needed)]:.0%}, and with all {full:.0%}. As many random directions give "
            f"{found['random directions'][DIRECTIONS.index(needed)]:.0%}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
