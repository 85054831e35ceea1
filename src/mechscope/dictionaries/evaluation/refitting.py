"""Refit the coefficients of active features: how much of the error is due to their sizes, how much to their choice?

An L1 penalty makes activations too small. Least squares over the features that are active in an example measures the
error that this causes. The remaining error is due to the choice of features, or to the features themselves.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.arguments import checked_arguments

if TYPE_CHECKING:
    from mechscope.dictionaries.dictionary import Dictionary


@checked_arguments
@torch.no_grad()
def refit_gain(
    dictionary: Dictionary, x: Float[Tensor, "batch d_in"], target: Float[Tensor, "batch d_out"] | None = None
) -> float:
    """The share of the squared error that the best coefficients for the active features would remove.

    0 means that no other coefficients are better, 1 that these features would be enough with the right ones. It solves
    one least-squares problem per example, so a few hundred examples are a good number.

    Args:
        target: a transcoder's targets; None for an autoencoder.

    Raises:
        ValueError: for dictionaries that normalize each vector, whose reconstruction is not linear in their features.
    """
    if dictionary.cfg.normalize != "none":
        raise ValueError(
            f"this dictionary normalizes each vector ({dictionary.cfg.normalize}), so its reconstruction is not linear "
            "in its features, and there are no best coefficients."
        )
    features = dictionary.encode(x)
    # The output without any feature: the bias and the skip term.
    wanted = (x if target is None else target).double()
    wanted = wanted - dictionary.decode(torch.zeros_like(features), x).double()
    rows = (dictionary.W_dec / dictionary.scale_out).double().cpu()
    before = after = 0.0
    for mine, missing in zip(features.double().cpu(), wanted.double().cpu(), strict=True):
        active = mine > 0
        before += float((missing - mine @ rows).square().sum())
        if bool(active.any()):
            best = torch.linalg.lstsq(rows[active].T, missing[:, None], driver="gelsd").solution[:, 0]
            missing = missing - best @ rows[active]
        after += float(missing.square().sum())
    return 1 - after / before if before > 0 else 0.0
