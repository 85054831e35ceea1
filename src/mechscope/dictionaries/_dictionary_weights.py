"""The weights of a dictionary: creating, checking, scaling and folding them.

Weights have the names and shapes that published files use. `dictionary.py` computes with them.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from typing import Any, Self

import torch
from jaxtyping import Float
from torch import Tensor, nn

from mechscope.dictionaries._seeding import normal_rows
from mechscope.dictionaries.config import DictionaryConfig
from mechscope.dictionaries.distributed.ranks import ALONE, Ranks
from mechscope.model.state_dict_check import check_state_dict, check_weights, expected_like

SCALES = ("scale_in", "scale_out")
"""Tensors that may be missing, which means 1, and that may be one number or one for each coordinate."""


class DictionaryWeights(nn.Module):
    """Encoder, decoder, biases and scales, or one rank's share of them; see `Dictionary`."""

    cfg: DictionaryConfig
    ranks: Ranks
    mine: slice
    """Which of the d_sae features are held here: all of them, or one rank's share."""
    W_enc: Float[Tensor, "d_in feature"]
    b_enc: Float[Tensor, " feature"]
    W_dec: Float[Tensor, "feature d_out"]
    b_dec: Float[Tensor, " d_out"]
    W_skip: Float[Tensor, "d_out d_in"] | None
    scale_in: Float[Tensor, " ..."]
    """Activations are multiplied by this before they are read: one number, or one for each coordinate of d_in."""
    scale_out: Float[Tensor, " ..."]
    """Reconstructions are divided by this; in an autoencoder it equals scale_in."""
    metadata: dict[str, Any]
    """Where it came from (`model_name`, `hook_name`, …); saved with it."""

    # Weights created in inference mode could never be trained.
    @torch.inference_mode(False)
    def __init__(
        self, cfg: DictionaryConfig, generator: torch.Generator | None = None, ranks: Ranks = ALONE
    ) -> None:
        super().__init__()
        self.cfg, self.ranks = cfg, ranks
        self.mine = ranks.share(cfg.d_sae)
        self.metadata = {}
        dtype: torch.dtype = getattr(torch, cfg.dtype)
        # Contiguous, because tools that flatten parameters (LBFGS, pruning, safetensors) need it.
        self.W_enc = nn.Parameter(torch.empty(cfg.d_in, self.features_here, dtype=dtype))
        self.W_dec = nn.Parameter(torch.empty(self.features_here, cfg.width_out, dtype=dtype))
        self.b_dec = nn.Parameter(torch.zeros(cfg.width_out, dtype=dtype))
        self.W_skip = nn.Parameter(torch.zeros(cfg.width_out, cfg.d_in, dtype=dtype)) if cfg.skip else None
        self.register_buffer("scale_in", torch.ones((), dtype=dtype))
        self.register_buffer("scale_out", torch.ones((), dtype=dtype))
        self._add_parameters(dtype)
        if generator is not None:
            _draw_directions(self, generator)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> Any:
        """Copy tensors into this dictionary (`torch.nn.Module.load_state_dict`).

        Raises:
            RuntimeError: for missing, unexpected and misshapen tensors.
            ValueError: for tensors that are not floating point, which torch would convert.
        """
        check_state_dict(state_dict, expected_like(self.state_dict()), finite=False, names_and_shapes=False)
        return super().load_state_dict(state_dict, strict=strict, assign=assign)

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Convert every tensor, as torch's `to`, `half`, `bfloat16`, `float` and `double` do; update the config."""
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        dtype = str(self.W_enc.dtype).removeprefix("torch.")
        if dtype != self.cfg.dtype:
            self.cfg = dataclasses.replace(self.cfg, dtype=dtype)  # type: ignore[arg-type]
        return self

    @property
    def features_here(self) -> int:
        """The number of features held here, which is the length of the axis `feature`."""
        return self.mine.stop - self.mine.start

    # Overridden by architectures ---------------------------------------------------------------

    def _add_parameters(self, dtype: torch.dtype) -> None:
        """Add parameters other than W_enc, W_dec, b_dec and W_skip, with their initial values."""
        self.b_enc = nn.Parameter(torch.zeros(self.features_here, dtype=dtype))

    def _multiply_features(self, factor: Float[Tensor, " feature"]) -> None:
        """Multiply each feature by `factor` and divide its decoder row by it."""
        self.W_enc.mul_(factor)
        self.b_enc.mul_(factor)
        self.W_dec.div_(factor[:, None])

    @property
    def norms_fold(self) -> bool:
        """Whether decoder norms can be folded into the encoder without changing the reconstruction."""
        return True

    # Features as rows --------------------------------------------------------------------------

    def decoder_norms(self) -> Float[Tensor, " feature"]:
        """Lengths of the decoder's rows."""
        return torch.linalg.vector_norm(self.W_dec, dim=-1)

    def nonzero_norms(self) -> Float[Tensor, " feature"]:
        """`decoder_norms`, but 1 for a row of zeros, so that one can divide by them."""
        norms = self.decoder_norms()
        return norms.masked_fill(norms == 0, 1.0)

    def by_feature(self) -> dict[str, Tensor]:
        """Every parameter that has one row per feature, as a view with features first; writing to it is possible."""
        return {
            name: tensor.data.T if name == "W_enc" else tensor.data
            for name, tensor in self.named_parameters()
            if self.feature_axis(name) is not None
        }

    def feature_axis(self, name: str) -> int | None:
        """The feature axis of the tensor with this name; None if all features share the tensor."""
        if name == "W_enc":
            return 1
        return 0 if name in dict(self.named_parameters()) and name not in ("b_dec", "W_skip") else None

    # Scales, folding, saving -------------------------------------------------------------------

    @torch.no_grad()
    def set_scale(self, scale_in: Tensor | float, scale_out: Tensor | float | None = None) -> None:
        """Set the factor of activations (and the one of targets, in a transcoder); see `stream.estimate_scale`.

        Raises:
            ValueError: for a factor that is not finite and above 0, and if each vector is normalized, which makes any
                factor meaningless.
        """
        if self.cfg.normalize != "none":
            raise ValueError(
                f"normalize={self.cfg.normalize!r} already sets each vector's length: leave the scale at 1."
            )
        if not self.cfg.transcodes:
            if scale_out is not None:
                raise ValueError("an autoencoder reads and writes in the same units: give one scale.")
            scale_out = scale_in
        elif scale_out is None:
            raise ValueError("a transcoder needs two scales: one for its input, one for its output.")
        for name, value, width in (
            ("scale_in", scale_in, self.cfg.d_in),
            ("scale_out", scale_out, self.cfg.width_out),
        ):
            scale = torch.as_tensor(value, dtype=self.W_enc.dtype, device=self.W_enc.device).clone()
            if scale.shape not in ((), (width,)) or not bool((scale.isfinite() & (scale > 0)).all()):
                raise ValueError(f"{name} must be one number above 0, or {width} of them, not {value!r}.")
            setattr(self, name, scale)

    @torch.no_grad()
    def fold(self, norms: bool | None = None) -> Self:
        """A copy with the same outputs whose scales are 1 and whose decoder has unit rows.

        Args:
            norms: whether to fold the decoder's norms; None folds them if that leaves the outputs unchanged (with TopK
                it would change which features are the largest, unless all norms are equal or already rescaled).

        Raises:
            ValueError: if norms=True but folding them would change the outputs; and for one rank's share.
        """
        self.refuse_a_share()
        if norms and not self.norms_fold:
            raise ValueError(
                f"folding the decoder's norms would change which features this {self.cfg.architecture} dictionary "
                "selects; fold(norms=False) folds the scales alone."
            )
        folded = copy.deepcopy(self)
        folded._fold_scales()
        if norms or (norms is None and folded.norms_fold):
            folded._multiply_features(folded.nonzero_norms())
        return folded

    def refuse_a_share(self) -> None:
        """Raise ValueError if only one rank's share of the features is held here."""
        if not self.ranks.alone:
            raise ValueError(
                f"this is the share of rank {self.ranks.rank} of {self.ranks.size}: call gather_dictionary(dictionary) "
                "on all ranks, which returns the whole dictionary on the first one."
            )

    def _fold_scales(self) -> None:
        self.W_enc.mul_(self.scale_in.reshape(-1, 1))
        self.W_dec.div_(self.scale_out)
        self.b_dec.div_(self.scale_out)
        if self.W_skip is not None:
            self.W_skip.mul_(self.scale_in).div_(self.scale_out.reshape(-1, 1))
        self.scale_in = torch.ones_like(self.scale_in.reshape(-1)[0])
        self.scale_out = torch.ones_like(self.scale_out.reshape(-1)[0])

    def state(self) -> dict[str, Tensor]:
        """Every tensor by name, copied to the CPU."""
        return {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in self.state_dict().items()
        }

    def check_state(
        self, state: Mapping[str, Tensor], what: str = "these tensors", *, finite: bool = True
    ) -> None:
        """Check tensors before they replace this dictionary's.

        Args:
            what: whose tensors these are, for the error.
            finite: whether NaN and infinity are errors too.

        Raises:
            ValueError: listing every missing and unexpected tensor, and every wrong shape, data type or value.
        """
        cfg = self.cfg
        expected = expected_like(self.state_dict(), same_dtype=True)
        for name, width in zip(SCALES, (cfg.d_in, cfg.width_out), strict=True):
            expected[name] = dataclasses.replace(expected[name], shapes=((), (width,)), optional=True)
        owner = (
            f"a {cfg.architecture} dictionary with d_in {cfg.d_in}, d_sae {self.features_here} and d_out "
            f"{cfg.width_out}"
        )
        check_state_dict(state, expected, what=what, owner=owner, finite=finite)

    def folded_to_save(self, norms: bool | None = None) -> Self:
        """`fold`, but refuse weights that are not finite, which no loader would accept.

        Raises:
            ValueError: naming every tensor that is not finite, before or after folding; also as `fold`.
        """
        self.check_finite()
        folded = self.fold(norms)
        folded.check_finite(
            f"folding the scales into the weights does not fit into {self.cfg.dtype}",
            "Convert the dictionary first, for example to float32 with dictionary.float().",
        )
        return folded

    def check_finite(
        self,
        what: str = "this dictionary cannot be saved",
        advice: str = "Its training diverged: use an earlier checkpoint, or train again with a lower learning rate.",
    ) -> None:
        """Raise ValueError naming every tensor that is not finite.

        Args:
            what: what cannot be done with them, for the error.
            advice: what to do about it, for the error.
        """
        check_weights(self.state_dict().items(), what, advice=advice)

    @torch.no_grad()
    def take_state(self, state: Mapping[str, Tensor]) -> None:
        """Replace every tensor by the one in `state`, as `state()` or a converter returns it.

        A missing scale means 1.

        Raises:
            ValueError: listing every missing and unexpected tensor, and every wrong shape or data type.
        """
        self.check_state(state, finite=False)
        own = self.state_dict()
        for name, tensor in state.items():
            if name in SCALES:
                setattr(self, name, tensor.to(self.W_enc.device, copy=True))
            else:
                own[name].copy_(tensor)


@torch.no_grad()
def _draw_directions(dictionary: DictionaryWeights, generator: torch.Generator) -> None:
    """Set the decoder to random directions and the encoder to its transpose; a transcoder's encoder is drawn too."""
    _draw_rows(dictionary, dictionary.W_dec, generator)
    if dictionary.cfg.transcodes:
        _draw_rows(dictionary, dictionary.W_enc.T, generator)
    else:
        dictionary.W_enc.copy_(dictionary.W_dec.T)


def _draw_rows(dictionary: DictionaryWeights, rows: Tensor, generator: torch.Generator) -> None:
    """Fill the rows of the features held here. All rows are drawn, so the result does not depend on the ranks."""
    mine, begin = dictionary.mine, 0
    for drawn in normal_rows(dictionary.cfg.d_sae, rows.shape[1], generator):
        first, last = max(begin, mine.start), min(begin + len(drawn), mine.stop)
        if first < last:
            some = drawn[first - begin : last - begin]
            some = some / some.norm(dim=-1, keepdim=True) * dictionary.cfg.decoder_start_norm
            rows[first - mine.start : last - mine.start] = some
        begin += len(drawn)
