"""What a class looks like, how well a weight row matches it, and how smooth a row is."""

from __future__ import annotations

import torch
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor


def class_means(
    x: Float[Tensor, "batch pixel"], y: Int[Tensor, " batch"], classes: int = 10
) -> Float[Tensor, "class pixel"]:
    """The average image of each class.

    Raises:
        ValueError: if a class has no image.
    """
    counts = torch.bincount(y, minlength=classes)
    if (counts == 0).any():
        raise ValueError(f"class {int((counts == 0).nonzero()[0])} has no image to average.")
    sums = torch.zeros(classes, x.shape[1], dtype=x.dtype, device=x.device).index_add_(0, y, x)
    return sums / counts[:, None]


def class_templates(means: Float[Tensor, "class pixel"]) -> Float[Tensor, "class pixel"]:
    """Each class's mean minus the mean of the other classes' means: what tells it from the rest."""
    others = (means.sum(0) - means) / (len(means) - 1)
    return means - others


def nearest_mean_accuracy(
    means: Float[Tensor, "class pixel"], x: Float[Tensor, "batch pixel"], y: Int[Tensor, " batch"]
) -> float:
    """Accuracy of answering with the class whose mean image is nearest."""
    return float((torch.cdist(x, means).argmin(-1) == y).float().mean())


def live_pixels(x: Float[Tensor, "batch pixel"], least_std: float = 0.05) -> Bool[Tensor, " pixel"]:
    """Pixels that vary over the images; elsewhere a weight has nothing to learn from."""
    return x.std(0) > least_std


def template_correlations(
    rows: Float[Tensor, "row pixel"], templates: Float[Tensor, "class pixel"], live: Bool[Tensor, " pixel"]
) -> Float[Tensor, "row class"]:
    """Pearson correlation of every weight row with every class template over the live pixels."""

    def standardise(images: Tensor) -> Tensor:
        centred = images[:, live] - images[:, live].mean(-1, keepdim=True)
        # A row that is constant has no shape; its correlation is 0, not a division by zero.
        return centred / centred.norm(dim=-1, keepdim=True).clamp_min(1e-12)

    return standardise(rows) @ standardise(templates).T


def row_permutation_p(
    match: Float[Tensor, "row class"], count: int = 9_999, seed: int = 0
) -> Float[Tensor, ""]:
    """Share of random row orders that match the classes at least as well as the actual order.

    The statistic is the mean correlation of row c with class c. Source: Monte Carlo permutation test; the observed
    order counts as one of the draws, so p is never below 1 / (count + 1).
    """
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(count, len(match), generator=generator).argsort(-1).to(match.device)
    drawn = match.double()[order, torch.arange(len(match), device=match.device)].mean(-1)
    # Rounding must not make the observed order count as worse than itself.
    as_good = drawn >= match.double().diagonal().mean() - 1e-12
    return (1 + as_good.sum()) / (1 + count)


def smoothness(rows: Float[Tensor, "row pixel"], side: int) -> float:
    """Correlation of horizontally adjacent weights, over all rows together: 1 is smooth, 0 is noise."""
    images = rearrange(rows, "n (h w) -> n h w", h=side)
    pairs = torch.stack([images[:, :, :-1].flatten(), images[:, :, 1:].flatten()]).cpu().double()
    return float(torch.corrcoef(pairs)[0, 1])


def evidence(
    row: Float[Tensor, " pixel"], bias: Float[Tensor, ""], image: Float[Tensor, " pixel"]
) -> tuple[Float[Tensor, " pixel"], float]:
    """What each pixel says for a class, in logits, and how far bias + evidence is from the logit itself."""
    per_pixel = row * image
    logit = torch.nn.functional.linear(image[None], row[None], bias[None])[0, 0]
    return per_pixel, float((per_pixel.sum() + bias - logit).abs())
