"""Measure how small changes of the pixels mislead digits-cnn, and whether they mislead a network with another seed."""

import torch
from torch.nn.functional import cross_entropy

import mechscope as ms
from mechscope import viz
from mechscope.data.digits import load_digits
from mechscope.problems import StartingPoint, run_starter

IMAGES = 1000
SIZES = (0.0, 0.05, 0.1, 0.15, 0.2, 0.25)
QUOTED = 0.15


def starting_point(seed: int = 0) -> StartingPoint:
    """Change every pixel by ±size along the sign of the gradient; the seed decides the random signs next to it."""
    model, other = ms.load_subject("digits-cnn"), ms.load_subject("digits-cnn-seed1")
    digits = load_digits()
    images, labels = digits.test_x[:IMAGES].clone().requires_grad_(), digits.test_y[:IMAGES]
    (gradient,) = torch.autograd.grad(cross_entropy(model(images), labels), images)
    images = images.detach()
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randint(0, 2, images.shape, generator=generator) * 2.0 - 1.0

    @torch.no_grad()
    def accuracies(network: torch.nn.Module, direction: torch.Tensor) -> list[float]:
        changed = [(images + size * direction).clamp(0, 1) for size in SIZES]
        return [100 * float((network(each).argmax(-1) == labels).float().mean()) for each in changed]

    found = {
        "gradient of digits-cnn": accuracies(model, gradient.sign()),
        "the same images, read by digits-cnn-seed1": accuracies(other, gradient.sign()),
        "random signs": accuracies(model, noise),
    }
    figure = viz.curves(
        SIZES,
        found,
        title="Accuracy on slightly changed digits",
        x_title="change of each pixel (0 is paper, 1 is ink)",
        y_title="accuracy (%)",
        points=True,
    )
    own, transferred, random = (values[SIZES.index(QUOTED)] for values in found.values())
    return StartingPoint(
        baseline={
            f"accuracy after a change of {QUOTED} along the gradient (%)": own,
            "the same images, read by digits-cnn-seed1 (%)": transferred,
            f"accuracy after random changes of {QUOTED} (%)": random,
        },
        figure=figure,
        caption=(
            f"A change of {QUOTED} per pixel along the gradient leaves {own:.0f} % right, random signs of that size "
            f"{random:.0f} %. A network that never saw this gradient still reads {transferred:.0f} % of these images."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
