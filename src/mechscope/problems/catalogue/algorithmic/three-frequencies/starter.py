"""How good are the three frequencies of the bundled adder, compared with all other sets of three?"""

import itertools

import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.problems import StartingPoint, run_starter

P = 113


def margins(sets: torch.Tensor) -> torch.Tensor:
    """How far the right answer is ahead of the best wrong one, for waves of equal height that add up to 1."""
    wrong = torch.arange(1, P)
    waves = torch.cos(
        2 * torch.pi * torch.arange(P // 2 + 1)[:, None] * wrong / P
    )  # [frequency, wrong answer]
    return 1 - waves[sets].mean(1).max(1).values


def starting_point(seed: int = 0) -> StartingPoint:
    # All sets are tried, so nothing depends on the seed.
    model = ms.load_model("grokking-p113")
    keys = techniques.key_frequencies(techniques.embedding_spectrum(model))
    sets = torch.tensor(list(itertools.combinations(range(1, P // 2 + 1), len(keys))))
    all_margins = margins(sets)
    learned = float(margins(torch.tensor([keys])))
    better = float((all_margins > learned + 1e-6).float().mean())

    ranked = all_margins.sort(descending=True).values
    every = torch.arange(0, len(ranked), 40)
    figure = viz.curves(
        every / len(ranked),
        {"every set of three frequencies": ranked[every]},
        title="How well can three frequencies separate 113 answers?",
        x_title="share of sets with a larger margin",
        y_title="margin (wave heights)",
        markers=[viz.Marker(learned, f"learned: {', '.join(map(str, keys))}", "y")],
    )
    return StartingPoint(
        baseline={
            "margin of the learned frequencies (share of a wave's height)": learned,
            "largest margin of three frequencies (share of a wave's height)": float(ranked[0]),
            "sets of three with a larger margin than the learned one (share)": better,
        },
        figure=figure,
        caption=(
            f"The learned frequencies {', '.join(map(str, keys))} have a margin of {learned:.3f}; the best of "
            f"{len(ranked):,} sets has {float(ranked[0]):.3f} and the median {float(ranked.median()):.3f}. "
            f"{better:.0%} of all sets are better."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
