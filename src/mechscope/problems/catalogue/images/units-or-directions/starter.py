"""Measure whether hidden units of digits-cnn stand for single digits more clearly than random directions do."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.digits import load_digits
from mechscope.problems import StartingPoint, run_starter

HOOK = "hook_hidden_post"
IMAGES = 4000
DRAWS = 400


def best_digit(values: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """For each column of values: the largest share of its variance that being one digit or not explains."""
    is_digit = torch.nn.functional.one_hot(labels, 10).float()
    is_digit = (is_digit - is_digit.mean(0)) / is_digit.std(0)
    standard = (values - values.mean(0)) / values.std(0)
    correlation = standard.T @ is_digit / (len(labels) - 1)
    return correlation.square().amax(1)


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    """Score live units, and random directions in the space that they span; the seed decides the directions."""
    model, digits = ms.load_subject("digits-cnn"), load_digits()
    images, labels = digits.test_x[:IMAGES], digits.test_y[:IMAGES]
    _, cache = model.run_with_cache(images, names_filter=HOOK)
    hidden = cache[HOOK]
    live = hidden.amax(0) > 0
    hidden = hidden[:, live]
    generator = torch.Generator().manual_seed(seed)
    directions = torch.randn(int(live.sum()), DRAWS, generator=generator)
    units, drawn = best_digit(hidden, labels), best_digit(hidden @ directions, labels)
    logits = best_digit(model(images), labels)
    ordered = units.sort(descending=True).values
    level = viz.Marker(float(drawn.mean()), "mean of random directions", axis="y")
    figure = viz.curves(
        list(range(1, len(ordered) + 1)),
        {"hidden units": ordered},
        title="How much of a hidden unit one digit explains",
        x_title="live hidden unit, best first",
        y_title="share of variance explained by one digit",
        markers=(level,),
        points=True,
    )
    return StartingPoint(
        baseline={
            "hidden units: variance explained by one digit (mean share)": float(units.mean()),
            "random directions of the same layer (mean share)": float(drawn.mean()),
            "logits (mean share)": float(logits.mean()),
            "hidden units that are ever on (of 32)": float(live.sum()),
        },
        figure=figure,
        caption=(
            f"One digit explains {100 * units.mean():.0f} % of a hidden unit's variance on average, "
            f"{100 * drawn.mean():.0f} % of a random direction's, and {100 * logits.mean():.0f} % of a logit's."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
