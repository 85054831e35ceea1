"""Configs of dictionaries: one frozen dataclass per architecture, which validates itself. Does not load torch.

`d_in` is the width that is read, `d_out` the width that is written, `d_sae` the number of features.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from mechscope.arguments import checked_arguments, shown
from mechscope.near_names import did_you_mean
from mechscope.settings import NonNegativeFloat, PositiveFloat, Range, Settings, decode

DecoderNorm = Literal["unit", "free"]
Normalize = Literal["none", "constant_norm", "layer_norm"]
BiasStart = Literal["zero", "geometric_median"]
Dtype = Literal["float32", "float64", "bfloat16", "float16"]
Size = Annotated[int, Range(least=1, most=2**31 - 1)]


@dataclass(frozen=True, kw_only=True)
class DictionaryConfig(Settings):
    """The settings that all architectures share."""

    architecture: ClassVar[str] = ""
    """The architecture's name in files."""

    d_in: Size
    """Width of the activations that are read."""
    d_sae: Size
    """Number of features."""
    d_out: Size | None = None
    """Output width. None means an autoencoder, which reconstructs its input; a number means a transcoder."""
    skip: bool = False
    """Whether a transcoder adds a linear map of its input, W_skip [d_out, d_in]."""
    subtract_b_dec: bool = True
    """Whether b_dec is subtracted from the input before encoding (not in a transcoder, where it is an output bias)."""
    decoder_norm: DecoderNorm = "unit"
    """"unit": rows of W_dec keep length 1 during training. "free": lengths are learned, and an L1 penalty is weighted
    by them, so that a long row cannot reduce a feature's penalty."""
    decoder_start_norm: PositiveFloat = 1.0
    """Initial length of W_dec's rows, if lengths are free."""
    b_dec_start: BiasStart = "zero"
    """Initial b_dec: zero, or the geometric median of the first activations."""
    normalize: Normalize = "none"
    """Normalization of each activation vector: none, rescaling to length √d_in, or a layer norm, undone in the
    reconstruction. (A common factor for all vectors is `scale_in`, which is estimated, not set.)"""
    dtype: Dtype = "float32"
    """Data type of the weights."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.d_out is not None:
            if self.subtract_b_dec:
                raise ValueError(
                    "a transcoder's b_dec is a bias of its output, so it cannot be subtracted from its input: "
                    "set subtract_b_dec=False (or use transcoder(cfg, d_out))."
                )
        elif self.skip:
            raise ValueError(
                "a skip term belongs to a transcoder: set d_out. (An autoencoder with one would only copy.)"
            )
        if self.decoder_norm == "unit" and self.decoder_start_norm != 1.0:
            raise ValueError(
                f"decoder_start_norm is {self.decoder_start_norm}, but decoder_norm='unit' keeps rows at length 1: "
                "leave it at 1 or set decoder_norm='free'."
            )

    @property
    def transcodes(self) -> bool:
        """Whether it is a transcoder, which writes to a different hook point than it reads."""
        return self.d_out is not None

    @property
    def width_out(self) -> int:
        """Output width: d_out, or d_in if there is no d_out."""
        return self.d_in if self.d_out is None else self.d_out

    def to_dict(self) -> dict[str, Any]:
        """The fields and the architecture's name, ready for JSON."""
        return {"architecture": self.architecture, **super().to_dict()}


@dataclass(frozen=True, kw_only=True)
class ReluConfig(DictionaryConfig):
    """ReLU features under an L1 penalty (Bricken et al. 2023; weighted by decoder norms: Conerly et al. 2024)."""

    architecture: ClassVar[str] = "relu"

    l1: NonNegativeFloat = 1.0
    """Weight of the penalty: sum over features of f, times the decoder norms if they are free."""


@dataclass(frozen=True, kw_only=True)
class TopKConfig(DictionaryConfig):
    """The k largest pre-activations of each example, and no penalty (Gao et al. 2024)."""

    architecture: ClassVar[str] = "topk"

    k: Size = 32
    """Number of active features per example."""
    rescale_by_decoder_norm: bool = False
    """Whether pre-activations and features are measured in units of a decoder with unit rows."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k > self.d_sae:
            raise ValueError(
                f"k is {self.k}, but there are only d_sae = {self.d_sae} features to choose from."
            )


@dataclass(frozen=True, kw_only=True)
class BatchTopKConfig(DictionaryConfig):
    """The k·batch largest pre-activations of a batch; a threshold afterwards (Bussmann et al. 2024)."""

    architecture: ClassVar[str] = "batch_topk"

    k: PositiveFloat = 32
    """Average number of active features per example, over a batch."""
    rescale_by_decoder_norm: bool = False
    """As in TopKConfig."""
    threshold_rate: Annotated[float, Range(above=0, most=1)] = 0.01
    """Weight of the latest batch in the running mean of its smallest active feature."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k > self.d_sae:
            raise ValueError(
                f"k is {self.k}, but there are only d_sae = {self.d_sae} features to choose from."
            )


@dataclass(frozen=True, kw_only=True)
class MatryoshkaConfig(BatchTopKConfig):
    """BatchTopK whose first features must also reconstruct on their own (Bussmann et al. 2025)."""

    architecture: ClassVar[str] = "matryoshka"

    widths: tuple[Size, ...] = ()
    """How many features each nested dictionary has, ascending; the last is d_sae."""

    def __post_init__(self) -> None:
        super().__post_init__()
        rising = all(a < b for a, b in zip(self.widths, self.widths[1:], strict=False))
        if not self.widths or not rising or self.widths[-1] != self.d_sae:
            raise ValueError(
                f"widths must ascend and end at d_sae = {self.d_sae}, as ({self.d_sae // 4 or 1}, {self.d_sae}) "
                f"does; got {self.widths}."
            )


@dataclass(frozen=True, kw_only=True)
class JumpReluConfig(DictionaryConfig):
    """A learned threshold for each feature and a penalty on their number (Rajamanoharan et al. 2024b)."""

    architecture: ClassVar[str] = "jumprelu"

    l0: NonNegativeFloat = 1.0
    """Weight of the penalty: the number of active features."""
    bandwidth: PositiveFloat = 0.05
    """Width of the window around a threshold within which examples affect it."""
    start_threshold: NonNegativeFloat = 0.01
    """Initial thresholds."""


@dataclass(frozen=True, kw_only=True)
class GatedConfig(DictionaryConfig):
    """Two encoders decide which features are active and how strongly (Rajamanoharan et al. 2024a)."""

    architecture: ClassVar[str] = "gated"

    l1: NonNegativeFloat = 1.0
    """Weight of the penalty on the gates' positive parts."""


@dataclass(frozen=True, kw_only=True)
class CrosscoderConfig(ReluConfig):
    """One set of ReLU features that reads and writes several layers at once (Lindsey et al. 2024)."""

    architecture: ClassVar[str] = "crosscoder"

    n_layers: Size = 1
    """Number of layers; d_in is the width of all layers concatenated."""
    decoder_norm: DecoderNorm = "free"
    """A feature's penalty is weighted by the sum of its decoder's norms over layers, so they must be free."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, width in (("d_in", self.d_in), ("d_out", self.width_out)):
            if width % self.n_layers:
                raise ValueError(
                    f"{name} is {width}, which is not {self.n_layers} layers of one width: give n_layers × d_model."
                )
        if self.decoder_norm != "free":
            raise ValueError(
                "a crosscoder weighs its penalty by the decoder's norms: set decoder_norm='free'."
            )


CONFIGS: dict[str, type[DictionaryConfig]] = {
    config.architecture: config
    for config in (
        ReluConfig,
        TopKConfig,
        BatchTopKConfig,
        JumpReluConfig,
        GatedConfig,
        MatryoshkaConfig,
        CrosscoderConfig,
    )
}
"""Architecture → its settings."""


@checked_arguments
def config_from_dict(settings: Mapping[str, Any]) -> DictionaryConfig:
    """Restore the config that `to_dict` describes.

    >>> config_from_dict({"architecture": "topk", "d_in": 8, "d_sae": 16, "k": 2}).k
    2

    Raises:
        ValueError: for an unknown architecture or field, with the closest names, for a missing field, and
            for values that no dictionary can have.
    """
    if not isinstance(settings, Mapping):
        raise ValueError(f"a dictionary's settings must be a table, not {shown(settings)}.")
    fields = dict(settings)
    architecture = fields.pop("architecture", None)
    if not isinstance(architecture, str) or architecture not in CONFIGS:
        hint = did_you_mean(str(architecture), CONFIGS, show=repr)
        raise ValueError(f"no architecture is called {architecture!r}; there are {', '.join(CONFIGS)}.{hint}")
    return decode(CONFIGS[architecture], fields, f"a {architecture} dictionary")
