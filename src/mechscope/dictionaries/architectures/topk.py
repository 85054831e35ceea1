"""TopK: the k largest pre-activations of each example, computed sparsely.

Gao et al. 2024, "Scaling and evaluating sparse autoencoders". Decoding and all gradients only touch the k features of
each example (see `sparse.py`).
"""

from __future__ import annotations

from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries._top_k import top_k
from mechscope.dictionaries.config import TopKConfig
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.distributed._selection import among_all
from mechscope.dictionaries.features import SparseFeatures, as_rows
from mechscope.dictionaries.losses import DeadFeatures, Loss, squared_error, total
from mechscope.dictionaries.sparse import encode_topk, sparse_decode


class TopKDictionary(Dictionary):
    """f = ReLU of the k largest pre-activations, 0 elsewhere; there is no penalty.

    With `rescale_by_decoder_norm`, pre-activations are multiplied by the decoder's norms before they are compared,
    and the decoder is used as if its rows had length 1.
    """

    @property
    def k(self) -> int:
        """The largest number of active features per example."""
        return cast("TopKConfig", self.cfg).k

    @property
    def rescales(self) -> bool:
        """Whether the decoder is used as if it had unit rows."""
        return cast("TopKConfig", self.cfg).rescale_by_decoder_norm

    def activate(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """The k largest, as dense features."""
        if self.rescales:
            pre = pre * self.decoder_norms()
        values, indices = top_k(pre, min(self.k, self.features_here))
        if not self.ranks.alone:
            kept = among_all(as_rows(values), as_rows(indices), self.k, self.ranks)
            values = values * kept.view_as(values)
        return torch.zeros_like(pre).scatter(-1, indices, torch.relu(values))

    def encode_sparse(self, x: Float[Tensor, "*batch d_in"]) -> SparseFeatures:
        """`encode`, but with sparse features."""
        z = self._inside(x).z
        found = self._select(as_rows(z))
        shape = (*z.shape[:-1], found.values.shape[-1])
        return SparseFeatures(found.values.view(shape), found.indices.view(shape), self.features_here)

    def _select(self, z: Tensor) -> SparseFeatures:
        norms = self.decoder_norms() if self.rescales else None
        values, indices = encode_topk(
            z,
            self.b_dec if self.cfg.subtract_b_dec else None,
            self.W_enc,
            self.b_enc,
            self.k,
            None if norms is None else norms.detach(),
            self.ranks,
        )
        if norms is not None:
            values = values * norms[indices]
        return SparseFeatures(torch.relu(values), indices, self.features_here)

    def _write(self, features: Tensor | SparseFeatures, z: Tensor | None = None) -> Tensor:
        if isinstance(features, SparseFeatures):
            values = as_rows(features.values)
            indices = as_rows(features.indices)
            if self.rescales:
                values = values / self.nonzero_norms()[indices]
            written = sparse_decode(values, indices, self.W_dec)
            return self._complete(written.view(*features.values.shape[:-1], written.shape[-1]), z)
        if self.rescales:
            features = features / self.nonzero_norms()
        return super()._write(features, z)

    def loss(
        self,
        x: Float[Tensor, "*batch d_in"],
        target: Float[Tensor, "*batch d_out"] | None = None,
        *,
        sparsity: float = 1.0,
        dead: DeadFeatures | None = None,
    ) -> Loss:
        """As `Dictionary.loss`, but with sparse features."""
        z, wanted = self._pair(x, target)
        features = self._select(z)
        written = self._write(features, z)
        parts = {"mse": squared_error(written, wanted)}
        if dead is not None:
            parts["auxiliary"] = self._auxiliary(z, wanted - written, dead)
        return Loss(total(parts), parts, features, written, wanted)

    @property
    def norms_fold(self) -> bool:
        """True if features are rescaled anyway, or all norms are equal, so that folding them preserves the order."""
        norms = self.decoder_norms()
        return self.rescales or bool(torch.allclose(norms, norms[:1].expand_as(norms), rtol=1e-4, atol=0))
