"""The base class of all architectures: encode activations as features, and decode features into reconstructions.

    f = activate((z − b_dec) W_enc + b_enc)        ẑ = f W_dec + b_dec

where z is the activation times `scale_in`. Weights have the names and shapes that published files use.
"""

from __future__ import annotations

import dataclasses
from abc import abstractmethod
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries._dictionary_weights import DictionaryWeights
from mechscope.dictionaries._encoder_product import encoder_product
from mechscope.dictionaries._geometric_median import geometric_median
from mechscope.dictionaries._normalization import Normalized, normalize
from mechscope.dictionaries._top_k import top_k
from mechscope.dictionaries.distributed._selection import among_all
from mechscope.dictionaries.features import SparseFeatures, as_rows
from mechscope.dictionaries.losses import DeadFeatures, Loss, squared_error, total

if TYPE_CHECKING:
    from mechscope.dictionaries.attach import Attached
    from mechscope.model.hooked_root_module import HookedRootModule


class Dictionary(DictionaryWeights):
    """A dictionary of features: `encode`, `decode`, `forward`, and `loss`.

    Args:
        cfg: its settings.
        generator: the random generator of initial weights; None leaves them uninitialised.
        ranks: the processes among which its features are divided. Each rank then holds its own features and everything
            that features share; `encode` returns the rank's own features, and all ranks must make the same calls.

    Raises:
        ValueError: if the features cannot be divided evenly among the ranks.
    """

    # Overridden by architectures ---------------------------------------------------------------

    @abstractmethod
    def activate(self, pre: Float[Tensor, "*batch feature"]) -> Float[Tensor, "*batch feature"]:
        """Features from pre-activations."""
        raise NotImplementedError

    def _penalties(
        self,
        z: Float[Tensor, "batch d_in"],
        target: Float[Tensor, "batch d_out"],
        pre: Float[Tensor, "batch feature"],
        features: Float[Tensor, "batch feature"],
        sparsity: float,
    ) -> dict[str, Tensor]:
        """Terms of the loss other than the squared error; `sparsity` scales the ones that have a warm-up."""
        return {}

    @property
    def mixes_examples(self) -> bool:
        """Whether the features of one example depend on the other examples of its batch."""
        return False

    # Encoding and decoding ------------------------------------------------------------------------

    def encode(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch feature"]:
        """Features of activations.

        Raises:
            ValueError: if the activations have another width.
        """
        return self._features(self._inside(x).z)

    def decode(
        self,
        features: Float[Tensor, "*batch feature"] | SparseFeatures,
        x: Float[Tensor, "*batch d_in"] | None = None,
    ) -> Float[Tensor, "*batch d_out"]:
        """The reconstruction from features.

        Args:
            x: the activations that the features came from. The skip term and undoing a normalization need it; without
                it, the skip term is left out.

        Raises:
            ValueError: if a normalization must be undone and x is missing.
        """
        written = self._write(features, None if x is None or self.W_skip is None else self._inside(x).z)
        if self.cfg.normalize != "none" and not self.cfg.transcodes:
            if x is None:
                raise ValueError(
                    f"this dictionary normalizes each vector ({self.cfg.normalize}), and undoing that needs the "
                    "vector: call decode(features, x)."
                )
            written = self._inside(x).undo(written)
        return (written / self.scale_out).to(self.W_dec.dtype)

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The reconstruction of x, or of a transcoder's target."""
        return self.decode(self.encode(x), x)

    def pre_activations(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch feature"]:
        """The values that `activate` turns into features."""
        return self._pre(self._inside(x).z)

    def _inside(self, x: Tensor) -> Normalized:
        """Scaled and normalized activations, in the data type of the weights."""
        if x.shape[-1:] != (self.cfg.d_in,):
            raise ValueError(
                f"this dictionary reads activations of width d_in = {self.cfg.d_in}, not of shape {tuple(x.shape)}."
            )
        dtype = self.W_enc.dtype
        # In half precision a norm or a mean would be rounded, and a norm may overflow.
        wide = x.to(torch.promote_types(dtype, torch.float32)) * self.scale_in
        inside = normalize(wide, self.cfg.normalize)
        return dataclasses.replace(inside, z=inside.z.to(dtype))

    def _pre(self, z: Tensor) -> Tensor:
        return encoder_product(z, self.b_dec if self.cfg.subtract_b_dec else None, self.W_enc, self.b_enc)

    def _features(self, z: Tensor) -> Tensor:
        return self.activate(self._pre(z))

    def _write(self, features: Tensor | SparseFeatures, z: Tensor | None = None) -> Tensor:
        """The reconstruction before scaling and normalization are undone, with the skip term from z."""
        if isinstance(features, SparseFeatures):
            features = features.dense()
        return self._complete(features.to(self.W_dec.dtype) @ self.W_dec, z)

    def _complete(self, written: Tensor, z: Tensor | None) -> Tensor:
        """The sum of all ranks' reconstructions, with the biases and the skip term added once."""
        if self.ranks.first:
            written = written + self.b_dec
            if self.W_skip is not None and z is not None:
                written = written + z @ self.W_skip.T
        return self.ranks.sum(written)

    # Training ----------------------------------------------------------------------------------------

    def loss(
        self,
        x: Float[Tensor, "*batch d_in"],
        target: Float[Tensor, "*batch d_out"] | None = None,
        *,
        sparsity: float = 1.0,
        dead: DeadFeatures | None = None,
    ) -> Loss:
        """The loss of a batch of activations.

        Args:
            x: the inputs.
            target: a transcoder's targets; None for an autoencoder, whose inputs are the targets.
            sparsity: factor of the sparsity penalty (its warm-up).
            dead: features that an auxiliary loss should revive.

        Raises:
            ValueError: for activations of the wrong width or none at all, a transcoder without a target, or an
                autoencoder with one.
        """
        z, wanted = self._pair(x, target)
        pre = self._pre(z)
        features = self.activate(pre)
        written = self._write(features, z)
        parts = {"mse": squared_error(written, wanted)}
        parts.update(self._penalties(z, wanted, pre, features, sparsity))
        if dead is not None:
            parts["auxiliary"] = self._auxiliary(z, wanted - written, dead)
        return Loss(total(parts), parts, features, written, wanted)

    def _pair(self, x: Tensor, target: Tensor | None) -> tuple[Tensor, Tensor]:
        """Inputs and targets as the weights see them, both [batch width]."""
        if x.shape[:-1].numel() == 0:
            raise ValueError(
                f"a loss is a mean over activations, but a tensor of shape {tuple(x.shape)} has none."
            )
        z = as_rows(self._inside(x).z)
        if not self.cfg.transcodes:
            if target is not None:
                raise ValueError(
                    "an autoencoder's target is its input; for a different target build a transcoder (set d_out)."
                )
            return z, z
        if target is None:
            raise ValueError("a transcoder needs a target: loss(x, target).")
        if target.shape != (*x.shape[:-1], self.cfg.width_out):
            raise ValueError(
                f"the target of inputs {tuple(x.shape)} must have shape {(*x.shape[:-1], self.cfg.width_out)}, "
                f"not {tuple(target.shape)}."
            )
        return z, as_rows(target.to(z.dtype) * self.scale_out)

    def _auxiliary(self, z: Tensor, left_over: Tensor, dead: DeadFeatures) -> Tensor:
        """Squared error of the dead features' reconstruction of the residual error.

        Pre-activations are not clipped at zero: a feature that is negative everywhere would then get no gradient, and
        such features need it most.
        """
        which = dead.mask.nonzero().squeeze(-1)
        dead_features = self.ranks.count(len(which))
        if not dead_features:
            return z.new_zeros(())
        if self.cfg.subtract_b_dec:
            z = z - self.b_dec
        pre = z @ self.W_enc[:, which] + self._gate_bias()[which]
        k = min(dead.k, dead_features)
        values, indices = top_k(pre, min(k, len(which)))
        if not self.ranks.alone:
            values = values * among_all(values, indices, k, self.ranks)
        chosen = torch.zeros_like(pre).scatter(-1, indices, values)
        # A few dead features cannot explain everything, so their loss counts less.
        share = min(dead_features / dead.k, 1.0)
        written = self.ranks.sum(chosen @ self.W_dec[which])
        return dead.coefficient * share * squared_error(written, left_over.detach())

    def _gate_bias(self) -> Tensor:
        return self.b_enc

    @torch.no_grad()
    def before_step(self) -> None:
        """Prepare gradients for the optimizer: sum those of shared tensors over ranks, and remove from that of W_dec
        what would only change the length of unit rows."""
        if not self.ranks.alone:
            shared = [tensor for name, tensor in self.named_parameters() if self.feature_axis(name) is None]
            for tensor in shared:
                if tensor.grad is None:
                    tensor.grad = torch.zeros_like(tensor)
            self.ranks.add_up([tensor.grad for tensor in shared if tensor.grad is not None])
        if self.cfg.decoder_norm == "unit" and self.W_dec.grad is not None:
            along = torch.einsum("fd,fd->f", self.W_dec.grad, self.W_dec)
            self.W_dec.grad.addcmul_(self.W_dec, along[:, None], value=-1)

    @torch.no_grad()
    def after_step(self) -> None:
        """Restore the length of unit rows after the optimizer's step."""
        if self.cfg.decoder_norm == "unit":
            self.W_dec.div_(self.decoder_norms().clamp_min(1e-12)[:, None])

    @torch.no_grad()
    def start_from(
        self, x: Float[Tensor, "batch d_in"], target: Float[Tensor, "batch d_out"] | None = None
    ) -> None:
        """Set b_dec from a sample of activations, if the config says so."""
        if self.cfg.b_dec_start == "geometric_median":
            _, wanted = self._pair(x, target)
            self.b_dec.copy_(geometric_median(wanted))

    # Use ------------------------------------------------------------------------------------------------------

    def attached(
        self,
        model: HookedRootModule,
        hook_name: str | None = None,
        *,
        error_term: bool = True,
        writes: str | None = None,
        head: int | None = None,
        head_out: int | None = None,
        elsewhere: bool = False,
    ) -> AbstractContextManager[Attached]:
        """Splice this dictionary into `model` inside a `with` block; see `attach.attached`."""
        from mechscope.dictionaries.attach import attached

        self.refuse_a_share()
        return attached(
            self,
            model,
            hook_name,
            error_term=error_term,
            writes=writes,
            head=head,
            head_out=head_out,
            elsewhere=elsewhere,
        )

    def extra_repr(self) -> str:
        """The settings."""
        return str(self.cfg)
