"""Seen from an early checkpoint, when will copying be learned? Extrapolate one sign of it."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter

STEPS = (0, 100, 200, 400, 500, 600, 700, 800, 900, 1000, 1200, 1400)
HALF, ROWS = 31, 48
ENOUGH = 0.5
"""Attention to the previous token that is taken as a sign that copying is about to be learned."""


def starting_point(seed: int = 0) -> StartingPoint:
    generator = torch.Generator().manual_seed(seed)
    block = torch.randint(1, 512, (ROWS, HALF), generator=generator)
    tokens = torch.cat([torch.zeros(ROWS, 1, dtype=torch.long), block, block], 1)
    losses, previous = [], []
    for step in STEPS:
        model = ms.load_model("mini-attn-only-2l", checkpoint_value=step, process=False)
        with torch.no_grad():
            found, cache = model.run_with_cache(tokens, return_type="loss", loss_per_token=True)
        losses.append(float(found[:, HALF + 1 :].mean()))
        attention = cache["pattern", 0].diagonal(-1, dim1=2, dim2=3)
        previous.append(float(attention.mean((0, 2)).max()))
    halfway = (losses[0] + losses[-1]) / 2
    arrived = next(i for i, value in enumerate(losses) if value < halfway)
    jump = STEPS[arrived]

    # At each checkpoint before the jump: where does the line through the last two readings reach the mark?
    seen, guesses = [], []
    for i in range(1, arrived):
        slope = (previous[i] - previous[i - 1]) / (STEPS[i] - STEPS[i - 1])
        if slope > 0:
            seen.append(STEPS[i])
            guesses.append(min(STEPS[i] + max(ENOUGH - previous[i], 0) / slope, 3100.0))
    errors = torch.tensor([abs(guess - jump) for guess in guesses])
    constant = torch.tensor([abs(2 * step - jump) for step in seen]).float()
    figure = viz.curves(
        seen,
        {
            "extrapolated attention to the previous token": guesses,
            "twice the present step": [2 * s for s in seen],
        },
        title="Predicted step at which mini-attn-only-2l learns to copy",
        x_title="training step at which the prediction is made",
        y_title="predicted step",
        points=True,
        markers=[viz.Marker(jump, "what happened", "y")],
    )
    return StartingPoint(
        baseline={
            "step at which copying is half learned": float(jump),
            "mean error of the extrapolation (steps)": float(errors.mean()),
            "mean error of “twice the present step” (steps)": float(constant.mean()),
        },
        figure=figure,
        caption=(
            f"Copying is half learned at step {jump:,}. Predictions made at steps {seen[0]:,} to {seen[-1]:,} by "
            f"extrapolating attention are off by {float(errors.mean()):,.0f} steps on average; “twice as long as so "
            f"far” is off by {float(constant.mean()):,.0f}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
