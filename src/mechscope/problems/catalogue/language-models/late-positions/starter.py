"""Loss on held-out Python code at every position, for models of two to four layers."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

MODELS = ["mini-gelu-2l", "mini-gelu-3l", "mini-gelu-4l"]
LATE = 6  # how many positions at the end count as late


def starting_point(seed: int = 0) -> StartingPoint:
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    losses, by_row = {}, {}
    for name in MODELS:
        model = ms.load_model(name)
        rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
        order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
        with torch.no_grad():
            loss = model(rows[order[:800]], return_type="loss", loss_per_token=True)
        by_row[name] = loss[:, -LATE:].mean(1) - loss[:, -4 * LATE : -LATE].mean(1)  # a rise per row
        losses[name] = loss.mean(0).view(-1, 3).mean(1)  # three positions together: single ones are noisy
    rises = {name: float(rise.mean()) for name, rise in by_row.items()}
    # The same tokens for both models, which removes most of the noise.
    apart = by_row["mini-gelu-4l"] - by_row["mini-gelu-2l"]
    error = float(apart.std() / len(apart) ** 0.5)
    figure = viz.curves(
        range(23, 64, 3),
        {name: loss[7:] for name, loss in losses.items()},
        title="Loss from position 20 on, on Python code that the models have not seen",
        x_title="position of the predicted token (mean of three positions)",
        y_title="loss (nats)",
    )
    return StartingPoint(
        baseline={
            f"rise in the last {LATE} positions, mini-gelu-2l (nats)": rises["mini-gelu-2l"],
            f"rise in the last {LATE} positions, mini-gelu-4l (nats)": rises["mini-gelu-4l"],
            "difference of the two rises (nats)": float(apart.mean()),
            "standard error of the difference (nats)": error,
        },
        figure=figure,
        caption=f"More context should help, so the lines should fall to the end. In the last {LATE} positions "
        f"mini-gelu-4l falls behind mini-gelu-2l on the same tokens, by {float(apart.mean()):.2f} ± {error:.2f} "
        f"nats more than in the {3 * LATE} positions before.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
