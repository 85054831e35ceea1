"""Which part of the error is choice, which is size: the same features with the best coefficients they could have.

An L1 penalty makes activations too small. Least squares over the features that were active in an example, and no
others, says what is lost by that; what is left over is lost because these features were chosen, or because they are
what they are.
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
    """The share of the squared error that goes away with the best coefficients for the active features.

    0: no other coefficients are better; 1: with the right ones, these features would be enough. One least-squares
    problem an example, so some hundred examples are what is wanted.

    Args:
        target: what should be written; None: what is read.

    Raises:
        ValueError: for dictionaries that normalize each vector, whose reconstruction is not linear in their features.
    """
    if dictionary.cfg.normalize != "none":
        raise ValueError(
            f"this dictionary normalizes each vector ({dictionary.cfg.normalize}): there are no best coefficients."
        )
    features = dictionary.encode(x)
    # What is written without any feature: the bias, and a skip term.
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
