"""A dictionary: features of activations, which encode them and reconstruct them. What all architectures share.

    f = activate((z − b_dec) W_enc + b_enc)        ẑ = f W_dec + b_dec

where z is the activation times `scale_in`. Weights have the names and shapes of the field's files.
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
    """What every architecture is: `encode`, `decode`, `forward`, and `loss` with its parts named.

    Args:
        cfg: its settings.
        generator: where initial weights are drawn from; None leaves the weights to be filled in.
        ranks: the processes among which its features are divided. Each then holds its own features and all that
            features share; `encode` gives the rank's own, and all ranks must make the same calls.

    Raises:
        ValueError: if the features cannot be divided evenly among the ranks.
    """

    # What an architecture says -----------------------------------------------------------------

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
        """What the loss has beside the squared error; `sparsity` scales what a warm-up scales."""
        return {}

    @property
    def mixes_examples(self) -> bool:
        """Whether an example's features depend on the others of its batch."""
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
        """What features write.

        Args:
            x: the activations they came from. A skip term is added from it (without it, there is none), and a
                normalization of each vector can only be undone with it.

        Raises:
            ValueError: if a normalization must be undone and x is missing.
        """
        written = self._write(features, None if x is None or self.W_skip is None else self._inside(x).z)
        if self.cfg.normalize != "none" and not self.cfg.transcodes:
            if x is None:
                raise ValueError(
                    f"this dictionary normalizes each vector ({self.cfg.normalize}), and turning a reconstruction "
                    "back needs the vector: call decode(features, x)."
                )
            written = self._inside(x).undo(written)
        return (written / self.scale_out).to(self.W_dec.dtype)

    def forward(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch d_out"]:
        """The reconstruction (a transcoder's: of its target)."""
        return self.decode(self.encode(x), x)

    def pre_activations(self, x: Float[Tensor, "*batch d_in"]) -> Float[Tensor, "*batch feature"]:
        """What `activate` turns into features."""
        return self._pre(self._inside(x).z)

    def _inside(self, x: Tensor) -> Normalized:
        """Activations as the weights see them."""
        if x.shape[-1:] != (self.cfg.d_in,):
            raise ValueError(
                f"this dictionary reads activations of width d_in = {self.cfg.d_in}, and got shape {tuple(x.shape)}."
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
        """What features write in the space of training; the skip term is added from z."""
        if isinstance(features, SparseFeatures):
            features = features.dense()
        return self._complete(features.to(self.W_dec.dtype) @ self.W_dec, z)

    def _complete(self, written: Tensor, z: Tensor | None) -> Tensor:
        """What is written by all ranks' features and, once, by what they share."""
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
        """What a training step minimises on a batch of activations.

        Args:
            x: what is read.
            target: the targets; None if they are the inputs.
            sparsity: factor on the sparsity penalty (its warm-up).
            dead: features that an auxiliary loss shall bring back.

        Raises:
            ValueError: for activations of the wrong width or none at all, a transcoder without a target, an autoencoder
                with one.
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
        """What is read and what should be written, both [batch width] and in the space of training."""
        if x.shape[:-1].numel() == 0:
            raise ValueError(
                f"a loss is a mean over activations, and there are none in shape {tuple(x.shape)}."
            )
        z = as_rows(self._inside(x).z)
        if not self.cfg.transcodes:
            if target is not None:
                raise ValueError(
                    "an autoencoder's target is its input; for another one build a transcoder (d_out)."
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
        """Squared error of the dead features' reconstruction of what the living left over.

        Pre-activations are used as they are: cut at zero, a feature that is negative everywhere would get no
        gradient, and it is the one that needs it.
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
        # Where few are dead, they cannot be asked to explain everything.
        share = min(dead_features / dead.k, 1.0)
        written = self.ranks.sum(chosen @ self.W_dec[which])
        return dead.coefficient * share * squared_error(written, left_over.detach())

    def _gate_bias(self) -> Tensor:
        return self.b_enc

    @torch.no_grad()
    def before_step(self) -> None:
        """Between backward and optimizer: make the gradients of what ranks share whole, and take from that of W_dec
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
        """Put parameters back where they must be: unit rows to length 1."""
        if self.cfg.decoder_norm == "unit":
            self.W_dec.div_(self.decoder_norms().clamp_min(1e-12)[:, None])

    @torch.no_grad()
    def start_from(
        self, x: Float[Tensor, "batch d_in"], target: Float[Tensor, "batch d_out"] | None = None
    ) -> None:
        """Set b_dec from a sample of activations, where the config says so."""
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
        """A context in which this dictionary is spliced into `model`; see `attach.attached`."""
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
