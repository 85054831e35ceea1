"""Rank neurons by zero, mean and resample ablation, and remove the least important half by each ranking."""

import numpy as np
import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

POINT = "blocks.0.mlp.hook_post"
HOW = ["zero", "mean", "resample"]


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-1l")
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
    generator = torch.Generator().manual_seed(seed)
    rows = rows[torch.randperm(len(rows), generator=generator)]
    rank_on, judge_on = rows[:20], rows[20:120]

    def loss(rows: torch.Tensor, how: str, neurons: list[int]) -> float:
        def remove(value: torch.Tensor, hook: ms.HookPoint) -> torch.Tensor:
            if how == "zero":
                value[..., neurons] = 0
            elif how == "mean":
                value[..., neurons] = value[..., neurons].mean((0, 1))
            else:  # the same neurons, at positions of other texts
                flat = value[..., neurons].flatten(0, 1)
                shuffled = flat[torch.randperm(len(flat), generator=torch.Generator().manual_seed(seed))]
                value[..., neurons] = shuffled.view(*value.shape[:2], -1)
            return value

        return float(model.run_with_hooks(rows, return_type="loss", fwd_hooks=[(POINT, remove)]))

    count = model.cfg.d_mlp
    cost = {how: np.array([loss(rank_on, how, [neuron]) for neuron in range(count)]) for how in HOW}
    least = {how: np.argsort(values)[: count // 2].tolist() for how, values in cost.items()}
    least["random"] = torch.randperm(count, generator=generator)[: count // 2].tolist()
    usual = loss(judge_on, "zero", [])
    added = np.array([[loss(judge_on, how, chosen) - usual for how in HOW] for chosen in least.values()])
    figure = viz.heatmap(
        added,
        title=f"Loss added when {count // 2} of {count} neurons are removed",
        x_title="how they are removed",
        y_title="ranking that chose them",
        unit="nats",
        x=HOW,
        y=list(least),
        write_numbers=True,
    )
    ranks = np.stack([cost[how].argsort().argsort() for how in ("zero", "resample")])
    agree = float(np.corrcoef(ranks).min())  # off the diagonal
    return StartingPoint(
        baseline={
            "rank correlation of zero and resample ablation": agree,
            "added loss, half removed by mean, lowest of three rankings (nats)": float(added[:3, 1].min()),
            "added loss, half removed by mean, random half (nats)": float(added[3, 1]),
        },
        figure=figure,
        caption=f"Zero and resample ablation rank the neurons with a correlation of {agree:.2f}. Set to their "
        f"means, the half that a ranking calls unimportant costs {added[:3, 1].min():.3f} to {added[:3, 1].max():.3f} "
        f"nats; a random half costs {added[3, 1]:.3f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
