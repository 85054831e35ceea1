"""Are the axes of the residual stream special in the small models, although nothing in the design says so?"""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter

MODELS = ("mini-attn-only-4l", "mini-gelu-4l", "mini-solu-4l")
ROWS = 200


def kurtosis(x: torch.Tensor) -> float:
    """How unequal the coordinates of a vector are: their fourth standardised moment, averaged over examples."""
    x = x - x.mean(1, keepdim=True)
    return float((x.pow(4).mean(1) / x.square().mean(1).square()).mean())


def starting_point(seed: int = 0) -> StartingPoint:
    text = "\n".join(read_standard_library()[name] for name in HELD_OUT_CODE)
    generator = torch.Generator().manual_seed(seed)
    excess: dict[str, list[float]] = {}
    widest = 0.0
    for name in MODELS:
        # Weights as they were trained: processing centres and folds, which changes the axes.
        model = ms.load_model(name, process=False)
        begin, *ids = model.to_tokens(text, truncate=False)[0].tolist()
        width = model.cfg.n_ctx - 1
        rows = torch.tensor(ids[: ROWS * width]).view(ROWS, width)
        tokens = torch.cat([torch.full((ROWS, 1), begin), rows], 1)
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter=lambda hook: "hook_resid" in hook)
        excess[name] = []
        for layer in range(model.cfg.n_layers):
            x = cache["resid_post", layer][:, 1:].flatten(0, 1)
            turned = [
                kurtosis(x @ torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], generator=generator)).Q)
                for _ in range(8)
            ]
            null = torch.tensor(turned)
            excess[name].append(kurtosis(x) - float(null.mean()))
            widest = max(widest, float((null - null.mean()).abs().max()))
    layers = [f"after layer {layer}" for layer in range(4)]
    figure = viz.bars(
        layers,
        excess,
        title="Are some axes of the residual stream larger than others?",
        x_title="place",
        y_title="kurtosis minus that of rotated axes",
        number_format=".2f",
        markers=[viz.Marker(widest, "largest deviation of a random rotation", "y")],
    )
    return StartingPoint(
        baseline={
            **{
                f"excess kurtosis after the last layer, {name}": values[-1] for name, values in excess.items()
            },
            "largest deviation of a random rotation": widest,
        },
        figure=figure,
        caption=(
            "After the last layer, the model's own axes exceed rotated ones by "
            + ", ".join(f"{values[-1]:.2f} ({name})" for name, values in excess.items())
            + f"; single random rotations stay within {widest:.2f} of their mean."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
