"""Measure which digits suffer when a channel of digits-cnn is set to its mean, and whether selectivity predicts it."""

import torch
from torch.nn.functional import cross_entropy, normalize

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
    mean = activations.mean((0, 2, 3))

    def by_digit(values: torch.Tensor) -> torch.Tensor:
        return torch.stack([values[labels == digit].mean(0) for digit in range(10)])

    loss = by_digit(cross_entropy(logits, labels, reduction="none"))

    def rise(direction: torch.Tensor) -> torch.Tensor:
        """How much the loss on each digit rises when a unit direction in channel space has its mean everywhere."""

        def ablate(value: torch.Tensor, hook: object) -> torch.Tensor:
            amount = torch.einsum("b c y x, c -> b y x", value - mean[:, None, None], direction)
            return value - amount[:, None] * direction[:, None, None]

        ablated = model.run_with_hooks(images, fwd_hooks=[(HOOK, ablate)])
        return by_digit(cross_entropy(ablated, labels, reduction="none")) - loss

    generator = torch.Generator().manual_seed(seed)
    drawn = normalize(torch.randn(DIRECTIONS, len(mean), generator=generator), dim=1)
    by_channel = torch.stack([rise(direction) for direction in torch.eye(len(mean))])
    by_direction = torch.stack([rise(direction) for direction in drawn])

    response = by_digit(activations.mean((2, 3)))
    others = (response.sum(0) - response.amax(0)) / 9
    selectivity = (response.amax(0) - others) / (response.amax(0) + others + 1e-9)
    ranks = torch.stack([selectivity, by_channel.mean(1)]).argsort(1).argsort(1).float()
    agreement = float(torch.corrcoef(ranks)[0, 1])
    preferred_suffers = (response.argmax(0) == by_channel.argmax(1)).float().mean()
    worst = int(by_channel.mean(1).argmax())
    figure = viz.heatmap(
        by_channel,
        title="What each digit loses without one channel of block 1",
        x_title="digit",
        y_title="channel",
        unit="rise of the loss (nats)",
        write_numbers=False,
    )
    return StartingPoint(
        baseline={
            "rise of the loss without the worst channel (nats)": float(by_channel.mean(1).max()),
            "rise of the loss without the worst of 16 random directions (nats)": float(
                by_direction.mean(1).max()
            ),
            "channels whose preferred digit suffers most (%; chance is 10)": 100 * float(preferred_suffers),
            "rank correlation of a channel's selectivity and the rise of the loss without it": agreement,
        },
        figure=figure,
        caption=(
            f"Channel {worst} matters most, and most for the digit {int(by_channel[worst].argmax())}. For "
            f"{100 * preferred_suffers:.0f} % of the channels the digit to which they respond most suffers most."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
