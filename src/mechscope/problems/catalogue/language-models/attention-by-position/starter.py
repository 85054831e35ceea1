"""Replace the attention of one head at a time by its average over distances, and measure the loss."""

from functools import partial

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate


def by_position(pattern: torch.Tensor, hook: ms.HookPoint, heads: list[int]) -> torch.Tensor:
    """Give every row the same attention: the mean over rows at each query and key position."""
    pattern[:, heads] = pattern[:, heads].mean(0)
    return pattern


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-attn-only-2l")
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:200]]

    def loss(hooks: list) -> float:
        return float(model.run_with_hooks(rows, return_type="loss", fwd_hooks=hooks))

    def frozen(layer: int, heads: list[int]) -> tuple:
        return (f"blocks.{layer}.attn.hook_pattern", partial(by_position, heads=heads))

    def silent(value: torch.Tensor, hook: ms.HookPoint) -> torch.Tensor:
        return value.mean((0, 1)).expand_as(value)

    n_layers, n_heads = model.cfg.n_layers, model.cfg.n_heads
    usual = loss([])
    none = loss([(f"blocks.{layer}.hook_attn_out", silent) for layer in range(n_layers)])
    everything = loss([frozen(layer, list(range(n_heads))) for layer in range(n_layers)])
    names = [f"{layer}.{head}" for layer in range(n_layers) for head in range(n_heads)]
    cost = [loss([frozen(layer, [head])]) - usual for layer in range(n_layers) for head in range(n_heads)]
    figure = viz.bars(
        names,
        {"added loss": cost},
        title="Each head of mini-attn-only-2l made blind to the tokens, one at a time",
        x_title="head (layer.number)",
        y_title="added loss (nats)",
        number_format=".2f",
    )
    kept = (none - everything) / (none - usual)
    cheap = min(range(len(cost)), key=lambda each: abs(cost[each]))
    return StartingPoint(
        baseline={
            "loss as usual (nats)": usual,
            "loss with attention by position only (nats)": everything,
            "loss without attention (nats)": none,
            "share of attention's worth kept by position alone": kept,
        },
        figure=figure,
        caption=f"With the same attention for every text, all heads together keep {kept:.0%} of what attention is "
        f"worth ({none - usual:.2f} nats). Making head {names[cheap]} alone blind costs {cost[cheap]:.3f} nats; the "
        f"most expensive head costs {max(cost):.2f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
