"""Demos of the section on vectors and gradients."""

from __future__ import annotations

import numpy as np
import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.pages.figures import PageFigure
from mechscope.viz import Marker

TEXT = "The captain came on deck and looked at the sea. The men were asleep, and there was no wind."


def change_of_basis() -> PageFigure:
    """The embedding of a modular adder, in the Fourier basis."""
    model = ms.load_model("grokking-p113")
    numbers = model.W_E[:113].detach().double()
    waves = techniques.fourier_basis(113) @ numbers  # the same vectors, other axes
    lengths = {"numbers 0 to 112": numbers.norm(dim=1), "waves": waves.norm(dim=1)}
    largest = {
        name: float(v.square().topk(10).values.sum() / v.square().sum()) for name, v in lengths.items()
    }
    figure = viz.curves(
        range(113),
        {name: v.sort(descending=True).values for name, v in lengths.items()},
        title="One embedding, measured along two sets of axes",
        x_title="axis, the largest first",
        y_title="length of the embedding along the axis",
    )
    caption = (
        f"The ten largest of 113 waves hold {largest['waves']:.0%} of the squared length, but the ten largest "
        f"numbers only {largest['numbers 0 to 112']:.0%}. The vectors are the same; in the right basis they are few."
    )
    return PageFigure("change_of_basis", figure, caption)


def rank() -> PageFigure:
    """The singular values of one head's OV matrix: as many as the head is wide."""
    model = ms.load_model("mini-attn-only-2l")
    values = torch.linalg.svdvals((model.W_V[1, 0] @ model.W_O[1, 0]).detach().double())
    count = int((values > 1e-5 * values[0]).sum())
    figure = viz.bars(
        [str(i) for i in range(24)],
        {"W_V W_O of head 1.0": values[:24]},
        title="A head writes in no more directions than it is wide",
        x_title="direction, the strongest first",
        y_title="singular value",
        number_format=".1f",
    )
    caption = (
        f"The matrix has {len(values)} rows and columns, but only {count} singular values differ from zero: "
        f"the head's width is {model.cfg.d_head}."
    )
    return PageFigure("rank", figure, caption)


def svd() -> PageFigure:
    """How well the first few singular directions approximate an embedding, and a random matrix."""
    generator = torch.Generator().manual_seed(0)
    W_E = ms.load_model("grokking-p113").W_E.detach().double()
    random = torch.randn(W_E.shape, generator=generator, dtype=torch.float64)
    kept = {}
    for name, matrix in {"embedding of a modular adder": W_E, "random numbers": random}.items():
        squares = torch.linalg.svdvals(matrix).square()
        kept[name] = squares.cumsum(0) / squares.sum()
    figure = viz.curves(
        range(1, len(W_E) + 1),
        kept,
        title="What the best approximation of each rank keeps",
        x_title="rank of the approximation",
        y_title="share of the squared size",
    )
    learned, chance = (float(curve[9]) for curve in kept.values())
    caption = (
        f"Ten singular directions keep {learned:.0%} of the learned embedding, and {chance:.0%} of random numbers of "
        "the same shape. A learned matrix can be far simpler than its size."
    )
    return PageFigure("svd", figure, caption)


def eigenvector() -> PageFigure:
    """Any start turns towards the strongest eigenvector."""
    W_E = ms.load_model("mini-gelu-1l").W_E.detach().double()
    matrix = W_E.T @ W_E
    target = torch.linalg.eigh(matrix).eigenvectors[:, -1]
    curves = {}
    for seed in range(3):
        vector = torch.randn(len(matrix), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        cosines = []
        for _ in range(31):
            vector = vector / vector.norm()
            cosines.append(float((vector @ target).abs()))
            vector = matrix @ vector
        curves[f"start {seed}"] = cosines
    figure = viz.curves(
        range(31),
        curves,
        title="Multiply again and again: power iteration",
        x_title="how often the vector was multiplied",
        y_title="|cosine| with the strongest eigenvector",
    )
    starts, ends = [c[0] for c in curves.values()], [c[-1] for c in curves.values()]
    caption = (
        f"Three random starts begin at cosines of {min(starts):.2f} to {max(starts):.2f} with the strongest "
        f"eigenvector of an embedding's W_Eᵀ W_E; after 30 products they are at {min(ends):.3f} or more."
    )
    return PageFigure("eigenvector", figure, caption)


def cosine_similarity() -> PageFigure:
    """All activations look alike until their mean is subtracted."""
    model = ms.load_model("mini-gelu-4l")
    _, cache = model.run_with_cache(TEXT)
    acts = cache["blocks.1.hook_attn_out"][0, 1:]
    below = np.tril_indices(len(acts), k=-1)  # each pair of positions once
    curves, means = {}, []
    for name, vectors in {"as they are": acts, "mean subtracted": acts - acts.mean(0)}.items():
        unit = vectors / vectors.norm(dim=1, keepdim=True)
        cosines = (unit @ unit.T).numpy()[below]
        curves[name] = np.percentile(cosines, np.arange(101))
        means.append(cosines.mean())
    figure = viz.curves(
        np.arange(101),
        curves,
        title="Cosines between all pairs of positions of one text",
        x_title="pairs of positions, in order of their cosine (percent)",
        y_title="cosine",
        markers=[Marker(0.0, "a right angle", axis="y")],
    )
    caption = (
        f"What attention writes in layer 1 of mini-gelu-4l has a mean cosine of {means[0]:.2f} between two positions. "
        f"Without the vector that they all share it is {means[1]:.2f}, so most of the likeness says nothing about "
        "these two."
    )
    return PageFigure("cosine_similarity", figure, caption)


def near_orthogonality() -> PageFigure:
    """The spread of cosines between random directions."""
    generator = torch.Generator().manual_seed(0)
    dims = [2, 4, 8, 16, 32, 64, 128, 256, 512, 1024]
    typical, worst = [], []
    for d in dims:
        unit = torch.nn.functional.normalize(torch.randn(200, d, generator=generator), dim=1)
        cosines = (unit @ unit.T)[~torch.eye(200, dtype=torch.bool)]
        typical.append(float(cosines.square().mean().sqrt()))
        worst.append(float(cosines.abs().max()))
    figure = viz.curves(
        dims,
        {"root mean square": typical, "largest": worst, "1/√d": [d**-0.5 for d in dims]},
        title="Cosines between 200 random directions",
        x_title="number of dimensions d",
        y_title="|cosine|",
        log_x=True,
        log_y=True,
    )
    caption = (
        f"In 64 dimensions, the typical cosine of two of 200 random directions is {typical[5]:.3f}, close to 1/√64, "
        f"and the largest {worst[5]:.2f}; in 1,024 dimensions they are {typical[-1]:.3f} and {worst[-1]:.2f}."
    )
    return PageFigure("near_orthogonality", figure, caption)


def gradient() -> PageFigure:
    """A head is turned down gradually; the gradient only knows the first bit of the way."""
    model = ms.load_model("mini-attn-only-2l")
    tokens = model.to_tokens(" cat dog bird cat dog")
    target = int(tokens[0, model.to_tokens(" cat dog").shape[1]])

    def margin(scale: torch.Tensor) -> torch.Tensor:
        def turn_down(z: torch.Tensor, hook: object) -> torch.Tensor:
            return z * scale

        logits = model.run_with_hooks(tokens, fwd_hooks=[("blocks.0.attn.hook_z", turn_down)])[0, -1]
        return logits[target] - logits.mean()

    scale = torch.ones((), requires_grad=True)
    (slope,) = torch.autograd.grad(margin(scale), scale)
    steps = torch.linspace(0, 1, 21)
    with torch.no_grad():
        true = [float(margin(step)) for step in steps]
    linear = [true[-1] + float(slope) * float(step - 1) for step in steps]
    figure = viz.curves(
        steps,
        {"measured": true, "predicted by the gradient at 1": linear},
        title="The gradient is a promise about small steps",
        x_title="layer 0's heads are multiplied by",
        y_title="logit of the repeated token above the mean",
        markers=[Marker(1.0, "the model as it is")],
    )
    caption = (
        f"The slope at 1 predicts {linear[0]:.1f} without the heads of layer 0; the measured value is {true[0]:.1f}. "
        f"At 0.9 the two differ by only {abs(true[18] - linear[18]):.2f}."
    )
    return PageFigure("gradient", figure, caption)
