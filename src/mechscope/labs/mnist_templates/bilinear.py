r"""Reading a bilinear layer exactly: each class's score is a quadratic form, and a form has eigenvectors.

score_u(x) = Σ_a P_au (w_a·x)(v_a·x) = xᵀ Q_u x with Q_u = ½ Σ_a P_au (w_a v_aᵀ + v_a w_aᵀ).
Method: Pearce, Dooms, Rigg, Oramas and Sharkey (2025), "Bilinear MLPs enable weight-based mechanistic
interpretability", section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.labs.mnist_templates.networks import Network


@dataclass(frozen=True)
class EigenFeatures:
    """The eigendecomposition of every class's quadratic form, largest magnitude first."""

    values: Float[Tensor, "class rank"]
    """Eigenvalues, positive for a pattern that speaks for the class."""
    vectors: Float[Tensor, "class rank pixel"]
    """Unit eigenvectors as images. The sign of one is arbitrary: the form squares it away."""

    def effective_ranks(self) -> Float[Tensor, " class"]:
        """exp(entropy) of the normalised magnitudes of the eigenvalues: how many directions carry the form."""
        shares = self.values.abs() / self.values.abs().sum(-1, keepdim=True)
        return torch.exp(torch.special.entr(shares).sum(-1))

    def participation_ratios(self) -> Float[Tensor, " class"]:
        """(Σ|λ|)² / Σλ²: another way to count the directions, less sensitive to a long tail."""
        return self.values.abs().sum(-1) ** 2 / self.values.square().sum(-1)


def eigen_features(network: Network) -> EigenFeatures:
    """Eigenvalues and eigenvectors of each class's form, in float64.

    The forms live in the span of the 2·hidden input vectors, so they are diagonalised there and never as
    pixel × pixel matrices where that would be larger.

    Raises:
        ValueError: if the network is not bilinear.
    """
    if network.kind != "bilinear":
        raise ValueError(f"eigenfeatures exist for bilinear networks; this one is {network.kind!r}.")
    w, v, p = (network.tensors[name].detach().cpu().double() for name in ("W_in", "V_in", "W_out"))
    basis, inside = torch.linalg.qr(torch.cat([w, v], dim=1))
    w, v = inside.split(w.shape[1], dim=1)
    forms = torch.einsum("ra, ac, sa -> crs", w, p, v)
    values, vectors = torch.linalg.eigh((forms + forms.mT) / 2)
    order = values.abs().argsort(-1, descending=True)
    values = values.gather(-1, order)
    vectors = torch.einsum("pr, crk -> ckp", basis, vectors)
    vectors = vectors.gather(1, order[..., None].expand_as(vectors))
    return EigenFeatures(values, vectors)


def leading_patterns(
    features: EigenFeatures, means: Float[Tensor, "class pixel"]
) -> Float[Tensor, "class pixel"]:
    """Each class's strongest eigenvector that speaks for it, signed so that its own mean image agrees with it."""
    strongest = torch.where(features.values > 0, features.values, -torch.inf).argmax(-1)
    patterns = features.vectors[torch.arange(len(strongest)), strongest]
    agreement = (patterns * means.cpu().double()).sum(-1, keepdim=True)
    return patterns * torch.where(agreement < 0, -1.0, 1.0)
