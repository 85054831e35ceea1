"""How much of an MLP's work is done by the few neurons that stand out most at each position."""

from functools import partial

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

KEPT = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256]


def keep_strongest(value: torch.Tensor, hook: ms.HookPoint, count: int) -> torch.Tensor:
    """Keep the `count` neurons furthest from their means at each position, and set the others to their means."""
    mean = value.mean((0, 1))
    kept = torch.zeros_like(value, dtype=torch.bool)
    kept.scatter_(-1, (value - mean).abs().topk(count, dim=-1).indices, True)
    return torch.where(kept, value, mean)


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    cost: dict[str, list[float]] = {}
    for name in ("mini-gelu-1l", "mini-solu-1l"):
        model = ms.load_model(name)
        rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
        rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:100]]
        whole = float(model(rows, return_type="loss"))
        # In the SoLU model, hook_post comes after the LayerNorm of its neurons.
        cost[name] = [
            float(
                model.run_with_hooks(
                    rows,
                    return_type="loss",
                    fwd_hooks=[("blocks.0.mlp.hook_post", partial(keep_strongest, count=count))],
                )
            )
            - whole
            for count in KEPT
        ]
    shares = {name: [1 - value / values[0] for value in values] for name, values in cost.items()}
    figure = viz.curves(
        [max(count, 0.5) for count in KEPT],
        cost,
        title="Loss added when only the strongest neurons of each position are kept",
        x_title="neurons kept per position (0 is drawn at 0.5)",
        y_title="added loss (nats)",
        log_x=True,
        points=True,
    )
    at = KEPT.index(4)
    return StartingPoint(
        baseline={
            "added loss with 4 neurons kept, mini-gelu-1l (nats)": cost["mini-gelu-1l"][at],
            "added loss with 4 neurons kept, mini-solu-1l (nats)": cost["mini-solu-1l"][at],
            "share of the MLP's worth kept by 4 neurons, mini-gelu-1l": shares["mini-gelu-1l"][at],
            "share of the MLP's worth kept by 4 neurons, mini-solu-1l": shares["mini-solu-1l"][at],
        },
        figure=figure,
        caption=f"With 4 of 256 neurons per position, GELU loses {cost['mini-gelu-1l'][at]:.2f} nats and SoLU "
        f"{cost['mini-solu-1l'][at]:.2f}. As shares of what each MLP is worth, 4 neurons keep "
        f"{shares['mini-gelu-1l'][at]:.0%} and {shares['mini-solu-1l'][at]:.0%}: the two ways to count disagree.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
