"""What each layer is worth in models of one to four layers, when it is replaced by its mean output."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

MODELS = ["mini-gelu-1l", "mini-gelu-2l", "mini-gelu-3l", "mini-gelu-4l"]


def mean_output(value: torch.Tensor, hook: ms.HookPoint) -> torch.Tensor:
    return value.mean((0, 1)).expand_as(value)


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    whole, cost = {}, torch.full((4, len(MODELS)), torch.nan)
    for column, name in enumerate(MODELS):
        model = ms.load_model(name)
        rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:200]]
        whole[name] = float(model(rows, return_type="loss"))
        for layer in range(model.cfg.n_layers):
            hooks = [(f"blocks.{layer}.hook_{part}_out", mean_output) for part in ("attn", "mlp")]
            cost[layer, column] = (
                float(model.run_with_hooks(rows, return_type="loss", fwd_hooks=hooks)) - whole[name]
            )
    figure = viz.heatmap(
        cost,
        title="What a layer is worth: loss without it, minus loss with it",
        x_title="model and its loss",
        y_title="layer",
        unit="nats",
        x=[f"{name}: {loss:.2f} nats" for name, loss in whole.items()],
        write_numbers=True,
        top_row_first=False,
    )
    gained = whole["mini-gelu-2l"] - whole["mini-gelu-4l"]
    late = float(cost[2:, 3].sum())
    return StartingPoint(
        baseline={
            "loss of mini-gelu-2l minus loss of mini-gelu-4l (nats)": gained,
            "cost of removing layer 2 of mini-gelu-4l (nats)": float(cost[2, 3]),
            "cost of removing layer 3 of mini-gelu-4l (nats)": float(cost[3, 3]),
        },
        figure=figure,
        caption=f"Removed one at a time, layers 2 and 3 of mini-gelu-4l cost {late:.2f} nats together. Yet "
        f"mini-gelu-2l, which has no such layers, reaches {whole['mini-gelu-2l']:.2f} nats, and mini-gelu-4l "
        f"{whole['mini-gelu-4l']:.2f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
