"""Measure at which layer of digits-cnn the true digit of a misread image can still be read out."""

import torch
from torch import Tensor

import mechscope as ms
from mechscope import viz
from mechscope.data.digits import load_digits
from mechscope.problems import StartingPoint, run_starter
from mechscope.subjects import DigitsCNN

LAYERS = {
    "pixels": "hook_input",
    "block 0": "blocks.0.hook_pool",
    "block 1": "blocks.1.hook_pool",
    "hidden": "hook_hidden_post",
}
FITTED_ON = 2000


@torch.no_grad()
def read_out(
    model: DigitsCNN, layer: str, train_x: Tensor, train_y: Tensor, test_x: Tensor, ridge: float = 10.0
) -> Tensor:
    """The digit that a linear readout of one layer, fitted to training images by ridge regression, gives for others."""

    def activations(images: Tensor) -> Tensor:
        _, cache = model.run_with_cache(images, names_filter=layer)
        flat = cache[layer].flatten(1)
        return torch.cat([flat, torch.ones(len(flat), 1)], 1).double()

    X, targets = activations(train_x), torch.eye(10, dtype=torch.float64)[train_y]
    weights = torch.linalg.solve(X.T @ X + ridge * torch.eye(X.shape[1]), X.T @ targets)
    return (activations(test_x) @ weights).argmax(-1)


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    """Read out every layer for the test images that the network misreads; the seed decides the untrained network."""
    digits, model, untrained = load_digits(), ms.load_subject("digits-cnn"), DigitsCNN(seed=1000 + seed)
    answers = torch.cat([model(part).argmax(-1) for part in digits.test_x.split(2000)])
    misread = answers != digits.test_y
    images, truth = digits.test_x[misread], digits.test_y[misread]
    train = digits.train_x[:FITTED_ON], digits.train_y[:FITTED_ON]
    shares = {
        name: [
            100 * float((read_out(network, hook, *train, images) == truth).float().mean())
            for hook in LAYERS.values()
        ]
        for name, network in {"digits-cnn": model, "untrained": untrained}.items()
    }
    figure = viz.bars(
        list(LAYERS),
        shares,
        title="Misread digits whose true digit can be read out",
        x_title="layer",
        y_title="share of misread test images (%)",
        number_format=".0f",
    )
    trained, null = shares["digits-cnn"], shares["untrained"]
    return StartingPoint(
        baseline={
            "misread images (of 10,000)": float(misread.sum()),
            "true digit read out from block 1 (% of the misread)": trained[2],
            "the same from block 1 of an untrained network (%)": null[2],
            "true digit read out from the hidden layer (% of the misread)": trained[3],
        },
        figure=figure,
        caption=(
            f"Of {int(misread.sum())} misread images, a linear readout of block 1 finds the true digit in "
            f"{trained[2]:.0f} %, of the hidden layer in {trained[3]:.0f} %. Untrained filters allow {null[2]:.0f} % "
            "in block 1."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
