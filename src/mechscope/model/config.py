"""The description of a transformer: every choice that decides its shape and its arithmetic.

Field names are those of the classic `HookedTransformerConfig`, so that a config written for it
still works; what it did not have is marked *(new)*. A config is checked when it is made: a value
that cannot be honoured is an error here and not a surprise in the forward pass.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from mechscope.model.classic_fields import accept_classic_fields, translate_classic_fields
from mechscope.model.config_checks import check_config_values
from mechscope.model.devices import check_device
from mechscope.settings import check_names
from mechscope.value_kinds import shown

ActivationName = Literal[
    "relu", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "silu", "solu", "solu_ln"
]
NormalizationType = Literal["LN", "LNPre", "RMS", "RMSPre"]
PositionType = Literal["standard", "rotary", "shortformer", "alibi", "none"]

ACTIVATION_NAMES = ("relu", "gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "silu", "solu", "solu_ln")
NORMALIZATION_TYPES = ("LN", "LNPre", "RMS", "RMSPre", None)
POSITION_TYPES = ("standard", "rotary", "shortformer", "alibi", "none")
INIT_MODES = ("gpt2", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal", "zeros")

# Switches that the classic class needed to compute optional activations. A hook point here is
# computed when something listens to it, so these only widen what `run_with_cache()` keeps by default.
CLASSIC_SWITCHES = (
    "use_attn_result",
    "use_split_qkv_input",
    "use_attn_in",
    "use_hook_mlp_in",
    "use_hook_tokens",
)

# Fields in old saved configs that no longer have an effect.
IGNORED_CLASSIC_FIELDS = frozenset({"dtype_str", "initializer_range_"})


@accept_classic_fields
@dataclass
class HookedTransformerConfig:
    """Shape and arithmetic of a `HookedTransformer`.

    >>> cfg = HookedTransformerConfig(n_layers=2, d_model=64, n_ctx=32, d_head=16, d_vocab=100,
    ...                               act_fn="gelu")
    >>> cfg.n_heads, cfg.d_mlp, cfg.d_vocab_out
    (4, 256, 100)

    Raises:
        ValueError: for a value that the model cannot honour, with the values that it can.
    """

    n_layers: int
    """Number of transformer blocks."""
    d_model: int
    """Width of the residual stream."""
    n_ctx: int
    """Longest sequence, in tokens."""
    d_head: int
    """Width of one attention head's queries, keys and values."""
    n_heads: int = -1
    """Attention heads a layer; -1 means d_model // d_head."""
    d_mlp: int | None = None
    """Hidden width of the MLP; None means 4 * d_model (unused when attn_only)."""
    act_fn: str | None = None
    """Activation of the MLP, one of ACTIVATION_NAMES; "solu_ln" is SoLU followed by a LayerNorm."""
    d_vocab: int = -1
    """Tokens that can be read; -1 means that a tokenizer decides."""
    d_vocab_out: int = -1
    """Tokens that can be predicted; -1 means d_vocab."""
    attn_only: bool = False
    """No MLPs at all."""
    gated_mlp: bool = False
    """MLP(x) = W_out(act(W_gate x) * W_in x) instead of W_out act(W_in x)."""
    normalization_type: str | None = "LN"
    """LN, RMS, their folded forms LNPre and RMSPre (no learned scale or shift), or None."""
    norm_placement: Literal["pre", "pre_and_post", "post"] = "pre"
    """*(new)* Norms before each sublayer, before and after it (Gemma 2), or only after it (OLMo 2)."""
    post_embedding_ln: bool = False
    """A LayerNorm right after the embedding (BLOOM)."""
    final_rms: bool = False
    """The final norm is RMS whatever the blocks use."""
    eps: float = 1e-5
    """Added to the variance in every norm."""
    positional_embedding_type: str = "standard"
    """standard (added to the embedding), rotary, shortformer (added to the inputs of queries and
    keys only), alibi, or none."""
    rotary_dim: int | None = None
    """Leading dimensions of a head that rotate; None means all of d_head."""
    rotary_base: float = 10_000.0
    """Base of the rotary frequencies."""
    rotary_base_local: float | None = None
    """*(new)* Another base for layers with local attention (Gemma 3)."""
    rotary_adjacent_pairs: bool = False
    """Rotate dimensions (2i, 2i+1) together (GPT-J, llama2.c) instead of (i, i + rotary_dim/2)."""
    rotary_scaling: dict[str, Any] | None = None
    """*(new)* {"type": "linear", "factor": f} or {"type": "llama3", "factor": f,
    "low_freq_factor": a, "high_freq_factor": b, "original_max_position_embeddings": n} or {"type": "yarn",
    "factor": f, "original_max_position_embeddings": n} (optional: "beta_fast", "beta_slow", "attention_factor",
    "truncate") or {"type": "dynamic", "factor": f, "original_max_position_embeddings": n};
    local layers with a base of their own are not scaled."""
    attention_dir: Literal["causal", "bidirectional"] = "causal"
    """Whether a position may attend to later ones."""
    attn_types: list[str] | None = None
    """"global" or "local" for each layer; None means global everywhere (or local everywhere where
    only window_size is given)."""
    window_size: int | None = None
    """A local layer attends to this many positions, its own included."""
    use_attn_scale: bool = True
    """Divide attention scores by attn_scale."""
    attn_scale: float = -1.0
    """Divisor of the attention scores; -1 means sqrt(d_head)."""
    scale_attn_by_inverse_layer_idx: bool = False
    """Also divide layer l's scores by l + 1."""
    attn_scores_soft_cap: float = -1.0
    """cap * tanh(scores / cap) where positive (Gemma 2)."""
    output_logits_soft_cap: float = -1.0
    """The same for the logits."""
    qk_norm: Literal["none", "per_head", "full"] = "none"
    """*(new)* RMS norm on queries and keys: over each head (Qwen 3, Gemma 3) or over all heads
    together (OLMo 2)."""
    n_key_value_heads: int | None = None
    """Grouped-query attention: heads that have keys and values of their own; None means n_heads."""
    parallel_attn_mlp: bool = False
    """Attention and MLP read the same residual stream (GPT-J, NeoX, Phi)."""
    tie_word_embeddings: bool = False
    """The unembedding is the transpose of the embedding and shares its storage."""
    seed: int | None = None
    """Seed of the initial weights; None draws from torch's current generator."""
    init_weights: bool = True
    """Draw initial weights; otherwise they are left uninitialised for a checkpoint to fill."""
    init_mode: str = "gpt2"
    """gpt2 (normal with initializer_range) or xavier_*/kaiming_* with initializer_range as gain."""
    initializer_range: float = -1.0
    """Standard deviation of the initial weights; -1 means 0.8 / sqrt(d_model)."""
    dtype: torch.dtype = torch.float32
    """Data type of the weights."""
    device: str | None = None
    """Device of the weights; None means CUDA where there is one, else the CPU."""
    model_name: str = "custom"
    """A name to show."""
    original_architecture: str | None = None
    """The architecture that the checkpoint named."""
    tokenizer_name: str | None = None
    """Where the tokenizer came from."""
    default_prepend_bos: bool = True
    """Whether text becomes tokens with a beginning-of-sequence token first."""
    tokenizer_prepends_bos: bool | None = None
    """Whether the tokenizer does that by itself; found out when a tokenizer is set."""
    checkpoint_index: int | None = None
    """Which training checkpoint these weights are, by index."""
    checkpoint_value: int | None = None
    """Which training checkpoint these weights are, by step or token count."""
    checkpoint_label_type: str | None = None
    """Whether checkpoint_value counts steps ("step") or tokens ("token")."""
    use_attn_result: bool = False
    use_split_qkv_input: bool = False
    use_attn_in: bool = False
    use_hook_mlp_in: bool = False
    use_hook_tokens: bool = False

    def __post_init__(self) -> None:
        for name in ("attn_scale", "initializer_range", "rotary_base"):
            # Classic configs contain whole numbers and NumPy numbers.
            value = getattr(self, name)
            if isinstance(value, (int, np.floating)) and not isinstance(value, bool):
                setattr(self, name, float(value))
        check_config_values(self)
        if self.n_heads == -1:
            if self.d_model % self.d_head:
                raise ValueError(
                    f"n_heads was not given and d_model={self.d_model} is not a multiple of d_head={self.d_head}; "
                    "give n_heads."
                )
            self.n_heads = self.d_model // self.d_head
        if self.d_vocab_out == -1:
            self.d_vocab_out = self.d_vocab
        if not self.attn_only:
            if self.act_fn is None:
                raise ValueError(
                    f"act_fn is needed by a model with MLPs: one of {', '.join(ACTIVATION_NAMES)} (or attn_only=True)."
                )
            if self.d_mlp is None:
                self.d_mlp = 4 * self.d_model
        if self.rotary_dim is None and self.positional_embedding_type == "rotary":
            self.rotary_dim = self.d_head
        if self.attn_scale == -1.0:
            self.attn_scale = self.d_head**0.5
        if self.initializer_range == -1.0:
            self.initializer_range = 0.8 / self.d_model**0.5 if self.init_mode == "gpt2" else 1.0
        if self.n_key_value_heads == self.n_heads:
            self.n_key_value_heads = None
        if isinstance(self.dtype, str):
            self.dtype = dtype_from_name(self.dtype)
            check_config_values(self)
        if self.device is None:
            self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device = str(check_device(self.device))
        if self.window_size is not None and self.attn_types is None:
            self.attn_types = ["local"] * self.n_layers
        self._check()

    def _check(self) -> None:
        if self.n_heads < 1:
            raise ValueError(f"n_heads must be at least 1, not {self.n_heads}.")
        if self.seed is not None and not 0 <= self.seed < 2**32:
            raise ValueError(f"seed must be between 0 and {2**32 - 1}, not {self.seed}.")
        _check_choice("act_fn", self.act_fn, (*ACTIVATION_NAMES, None))
        _check_choice("normalization_type", self.normalization_type, NORMALIZATION_TYPES)
        _check_choice("norm_placement", self.norm_placement, ("pre", "pre_and_post", "post"))
        _check_choice("positional_embedding_type", self.positional_embedding_type, POSITION_TYPES)
        _check_choice("attention_dir", self.attention_dir, ("causal", "bidirectional"))
        _check_choice("init_mode", self.init_mode, INIT_MODES)
        _check_choice("qk_norm", self.qk_norm, ("none", "per_head", "full"))
        if self.n_key_value_heads is not None and self.n_heads % self.n_key_value_heads:
            raise ValueError(
                f"n_heads={self.n_heads} must be a multiple of n_key_value_heads={self.n_key_value_heads}: "
                "each key/value head serves an equal group of query heads."
            )
        if self.rotary_dim is not None and (self.rotary_dim % 2 or self.rotary_dim > self.d_head):
            raise ValueError(f"rotary_dim={self.rotary_dim} must be even and at most d_head={self.d_head}.")
        if self.rotary_scaling is not None:
            _check_rotary_scaling(self.rotary_scaling, self.rotary_dim)
        if self.positional_embedding_type != "rotary":
            given = {
                "rotary_scaling": self.rotary_scaling is not None,
                "rotary_base_local": self.rotary_base_local is not None,
                "rotary_adjacent_pairs": self.rotary_adjacent_pairs,
            }
            if unused := [name for name, is_given in given.items() if is_given]:
                raise ValueError(
                    f"{', '.join(unused)} would have no effect with positional_embedding_type="
                    f"{self.positional_embedding_type!r}: set it to 'rotary', or leave this out."
                )
        if self.attn_types is not None:
            if len(self.attn_types) != self.n_layers:
                raise ValueError(
                    f"attn_types has {len(self.attn_types)} entries for n_layers={self.n_layers}."
                )
            for kind in self.attn_types:
                _check_choice("attn_types", kind, ("global", "local"))
            if "local" in self.attn_types and (self.window_size is None or self.window_size < 1):
                raise ValueError(f"local attention needs a positive window_size, not {self.window_size!r}.")
        if self.positional_embedding_type == "alibi" and self.attention_dir != "causal":
            raise ValueError("alibi positions are defined for causal attention only.")
        if self.norm_placement != "pre" and self.parallel_attn_mlp:
            raise ValueError("parallel_attn_mlp needs norm_placement='pre'.")
        if self.tie_word_embeddings and self.d_vocab_out != self.d_vocab:
            raise ValueError(
                f"tied embeddings need d_vocab_out={self.d_vocab_out} to equal d_vocab={self.d_vocab}."
            )

    @property
    def n_kv_heads(self) -> int:
        """Heads that have keys and values of their own."""
        return self.n_key_value_heads or self.n_heads

    @property
    def use_local_attn(self) -> bool:
        """Whether any layer has local attention (classic name)."""
        return self.attn_types is not None and "local" in self.attn_types

    @property
    def use_qk_norm(self) -> bool:
        """Whether queries and keys are normed head by head (classic name)."""
        return self.qk_norm == "per_head"

    @property
    def from_checkpoint(self) -> bool:
        """Whether these weights are a checkpoint of a training."""
        return self.checkpoint_index is not None or self.checkpoint_value is not None

    @property
    def rotary_scaling_factor(self) -> float:
        """The factor of linear rotary scaling under its classic name; 1 without scaling."""
        scaling = self.rotary_scaling or {}
        return float(scaling["factor"]) if scaling.get("type") == "linear" else 1.0

    @property
    def use_normalization_before_and_after(self) -> bool:
        """The classic name for norm_placement == "pre_and_post"."""
        return self.norm_placement == "pre_and_post"

    @property
    def is_layer_norm_activation(self) -> bool:
        """Whether the MLP's activation carries a LayerNorm of its own."""
        return self.act_fn is not None and self.act_fn.endswith("_ln")

    @property
    def n_params(self) -> int:
        """Weights in the blocks' matrices: the count used in scaling laws (no embeddings, norms or biases)."""
        attention = self.d_model * self.d_head * 2 * (self.n_heads + self.n_kv_heads)
        mlp = (
            0
            if self.attn_only or self.d_mlp is None
            else self.d_model * self.d_mlp * (3 if self.gated_mlp else 2)
        )
        return self.n_layers * (attention + mlp)

    def layer_window(self, layer: int) -> int | None:
        """How many positions layer `layer` attends to, or None for all."""
        return self.window_size if self.attn_types is not None and self.attn_types[layer] == "local" else None

    @classmethod
    def unwrap(cls, config: HookedTransformerConfig | Mapping[str, Any]) -> HookedTransformerConfig:
        """A config from a config or a mapping of its fields."""
        return config if isinstance(config, cls) else cls.from_dict(config)  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> HookedTransformerConfig:
        """A config from a mapping of field names to values; classic fields are translated.

        Raises:
            ValueError: for an unknown field, with the nearest names; for a missing field;
                and for values that a config refuses.
        """
        if not isinstance(config_dict, Mapping):
            raise TypeError(
                "a model is built from a HookedTransformerConfig or a dictionary of its fields, not "
                f"{shown(config_dict)}."
            )
        fields = dict(config_dict)
        for name in IGNORED_CLASSIC_FIELDS & fields.keys():
            fields.pop(name)
        fields = translate_classic_fields(fields)
        known = {field.name: field.default for field in dataclasses.fields(cls)}
        needed = [name for name, default in known.items() if default is dataclasses.MISSING]
        check_names(fields, known, needed, "a HookedTransformerConfig", noun="field")
        return cls(**fields)

    def to_dict(self) -> dict[str, Any]:
        """Every field by name; `from_dict` takes it back."""
        return dataclasses.asdict(self)

    def to_json_dict(self) -> dict[str, Any]:
        """`to_dict` with plain JSON values (the data type as its name)."""
        return {**self.to_dict(), "dtype": str(self.dtype).removeprefix("torch.")}

    def set_seed_everywhere(self, seed: int) -> None:
        """Seed Python's, NumPy's and torch's global generators."""
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the classic interface promises the global generator

    def is_layer_norm_folded(self) -> bool:
        """Whether the norms' learned scales have been folded into the weights that read them."""
        return self.normalization_type in ("LNPre", "RMSPre", None)


def dtype_from_name(name: str) -> torch.dtype:
    """`torch.float32` from "float32" or "torch.float32"."""
    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{name!r} is not a data type; try float32, float16, bfloat16 or float64.")
    return dtype


def _check_choice(field: str, value: object, choices: tuple[object, ...]) -> None:
    if value not in choices:
        raise ValueError(f"{field} must be one of {', '.join(map(str, choices))}, not {value!r}.")


ConfigLike = HookedTransformerConfig | Mapping[str, Any]
"""A config, or a mapping of its fields, from which a model's parts are built."""


# Required and optional keys of each kind of rotary scaling.
_ROTARY_SCALINGS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "linear": (("factor",), ()),
    "llama3": (("factor", "low_freq_factor", "high_freq_factor", "original_max_position_embeddings"), ()),
    "yarn": (
        ("factor", "original_max_position_embeddings"),
        ("beta_fast", "beta_slow", "attention_factor", "truncate"),
    ),
    "dynamic": (("factor", "original_max_position_embeddings"), ()),
}


def _check_rotary_scaling(scaling: Mapping[str, Any], rotary_dim: int | None) -> None:
    kind = scaling.get("type")
    if kind not in _ROTARY_SCALINGS:
        raise ValueError(
            f"rotary_scaling type must be one of {', '.join(_ROTARY_SCALINGS)}, not {scaling!r}."
        )
    needed, optional = _ROTARY_SCALINGS[kind]
    missing = [name for name in needed if name not in scaling]
    surplus = [name for name in scaling if name not in ("type", *needed, *optional)]
    if missing or surplus:
        raise ValueError(
            f"rotary_scaling of type {kind!r} "
            + (f"needs {', '.join(missing)}" if missing else f"has no {', '.join(surplus)}")
            + f"; it is {dict(scaling)!r}."
        )
    for name in (*needed, *optional):
        value = scaling.get(name)
        if name == "truncate":
            if not isinstance(value, (bool, type(None))):
                raise ValueError(f"rotary_scaling['truncate'] must be true or false, not {value!r}.")
        elif name in scaling and not (
            isinstance(value, (int, float)) and not isinstance(value, bool) and 0 < value < float("inf")
        ):
            raise ValueError(f"rotary_scaling[{name!r}] must be a positive number, not {value!r}.")
    if kind == "dynamic" and rotary_dim is not None and rotary_dim < 4:
        raise ValueError(f"dynamic rotary scaling needs rotary_dim of at least 4, not {rotary_dim}.")
