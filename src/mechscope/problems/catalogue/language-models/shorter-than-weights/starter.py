"""How many bits the weights of a model need, if its loss may rise only a little."""

import copy

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

STEPS = [
    3,
    2,
    1.5,
    1,
    0.8,
    0.6,
    0.4,
    0.3,
    0.2,
]  # sizes of a rounding step, in standard deviations of each matrix
ALLOWED = 0.05  # nats


def bits(whole: torch.Tensor) -> float:
    """Entropy of the rounded values: what an ideal code would need for them."""
    share = whole.unique(return_counts=True)[1] / whole.numel()
    return float(-(share * share.log2()).sum() * whole.numel())


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-attn-only-1l")
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    rows = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"]
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:200]]
    usual = float(model(rows, return_type="loss"))
    needed, added = [], []
    for step in STEPS:
        rounded, total = copy.deepcopy(model), 0.0
        for weight in rounded.parameters():
            if weight.numel() > 1 and weight.std() > 0:
                unit = step * weight.std()
                whole = (weight / unit).round()
                total += bits(whole) + 32  # 32 bits for the unit itself
                weight.copy_(whole * unit)
        needed.append(total / 1000)
        added.append(float(rounded(rows, return_type="loss")) - usual)
    enough = min(size for size, loss in zip(needed, added, strict=True) if loss <= ALLOWED)
    counted = sum(weight.numel() for weight in model.parameters())
    figure = viz.curves(
        needed,
        {"rounded weights": added, "allowed": [ALLOWED] * len(STEPS)},
        title="The weights of mini-attn-only-1l as a description: length and price",
        x_title="length (thousand bits)",
        y_title="added loss (nats)",
        points=True,
        log_y=True,
    )
    return StartingPoint(
        baseline={
            f"bits at an added loss of at most {ALLOWED} nats (thousands)": enough,
            "bits per weight at that length": enough * 1000 / counted,
            "bits as stored, 16 per weight (thousands)": 16 * counted / 1000,
        },
        figure=figure,
        caption=f"To stay within {ALLOWED} nats of the model's loss of {usual:.2f}, rounded weights need "
        f"{enough:,.0f} thousand bits, {enough * 1000 / counted:.1f} per weight.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
