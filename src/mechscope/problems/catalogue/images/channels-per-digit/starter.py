"""Measure which digits suffer when a channel of digits-cnn is set to its mean, and whether selectivity predicts it."""

import torch
from scipy.stats import spearmanr

import mechscope as ms
from mechscope import viz
from mechscope.data.digits import load_digits
from mechscope.problems import StartingPoint, run_starter

IMAGES = 1000
HOOK = "blocks.1.hook_post"
DIRECTIONS = 16


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    """Ablate each channel of the second block; the seed decides random directions, which are ablated for comparison."""
    model, digits = ms.load_subject("digits-cnn"), load_digits()
    images, labels = digits.test_x[:IMAGES], digits.test_y[:IMAGES]
    logits, cache = model.run_with_cache(images, names_filter=HOOK)
    activations = cache[HOOK]
    right = logits.argmax(-1) == labels
    mean = activations.mean((0, 2, 3))

    def accuracy_by_digit(right: torch.Tensor) -> torch.Tensor:
        return torch.stack([right[labels == digit].float().mean() for digit in range(10)])

    def drop(direction: torch.Tensor) -> torch.Tensor:
        """Lost accuracy per digit when every position has the mean amount of one unit direction in channel space."""

        def ablate(value: torch.Tensor, hook: object) -> torch.Tensor:
            amount = torch.einsum("b c y x, c -> b y x", value - mean[:, None, None], direction)
            return value - amount[:, None] * direction[:, None, None]

        answers = model.run_with_hooks(images, fwd_hooks=[(HOOK, ablate)]).argmax(-1)
        return 100 * (accuracy_by_digit(right) - accuracy_by_digit(answers == labels))

    n_channels = len(mean)
    by_channel = torch.stack([drop(direction) for direction in torch.eye(n_channels)])
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.nn.functional.normalize(torch.randn(DIRECTIONS, n_channels, generator=generator), dim=1)
    by_direction = torch.stack([drop(direction) for direction in drawn])

    response = torch.stack([activations[labels == digit].mean((0, 2, 3)) for digit in range(10)])
    others = (response.sum(0) - response.amax(0)) / 9
    selectivity = (response.amax(0) - others) / (response.amax(0) + others + 1e-9)
    agreement = float(spearmanr(selectivity.numpy(), by_channel.mean(1).numpy()).statistic)
    worst = int(by_channel.mean(1).argmax())
    figure = viz.heatmap(
        by_channel,
        title="Accuracy lost without one channel of block 1",
        x_title="digit",
        y_title="channel",
        unit="percentage points lost",
        write_numbers=False,
    )
    hardest = int(by_channel[worst].argmax())
    return StartingPoint(
        baseline={
            "accuracy lost without the worst channel (percentage points)": float(by_channel.mean(1).max()),
            "accuracy lost without the worst of 16 random directions (percentage points)": float(
                by_direction.mean(1).max()
            ),
            "rank correlation of a channel's selectivity and the accuracy lost without it": agreement,
        },
        figure=figure,
        caption=(
            f"Channel {worst} matters most; without it the digit {hardest} loses {by_channel[worst, hardest]:.0f} "
            f"percentage points. Rank correlation of a channel’s preference and its cost: {agreement:.2f}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
