"""The config of a transformer: every choice that decides its shape and arithmetic.

Fields have the names of the classic `HookedTransformerConfig`, so that a config written for it still works; fields that
it did not have are marked *(new)*. A config is checked when it is made, so that a value the model cannot use is an
error here and not a surprise in the forward pass.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from mechscope.arguments import shown
from mechscope.model._classic_fields import accept_classic_fields, translate_classic_fields
from mechscope.model._config_checks import (
    ACTIVATION_NAMES,
    MAX_LAYERS,
    MAX_SIZE,
    check_config_values,
    check_consistency,
)
from mechscope.model.devices import check_device
from mechscope.settings import check_names

__all__ = [
    "ACTIVATION_NAMES",
    "MAX_LAYERS",
    "MAX_SIZE",
    "ConfigLike",
    "HookedTransformerConfig",
    "dtype_from_name",
]

# Fields of old saved configs that no longer have an effect.
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
        ValueError: for a value that the model cannot use; lists the values that it can.
    """

    n_layers: int
    """Number of transformer blocks."""
    d_model: int
    """Width of the residual stream."""
    n_ctx: int
    """Length of the longest sequence, in tokens."""
    d_head: int
    """Width of one attention head's queries, keys and values."""
    n_heads: int = -1
    """Attention heads per layer; -1 means d_model // d_head."""
    d_mlp: int | None = None
    """Hidden width of the MLP; None means 4 * d_model (unused when attn_only)."""
    act_fn: str | None = None
    """Activation of the MLP, one of ACTIVATION_NAMES; "solu_ln" is SoLU followed by a LayerNorm."""
    d_vocab: int = -1
    """Number of tokens that the model can read; -1 takes it from the tokenizer."""
    d_vocab_out: int = -1
    """Number of tokens that the model can predict; -1 means d_vocab."""
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
    """The final norm is an RMS norm, whatever norm the blocks use."""
    eps: float = 1e-5
    """Added to the variance in every norm."""
    positional_embedding_type: str = "standard"
    """standard (added to the embedding), rotary, shortformer (added to the inputs of queries and
    keys only), alibi, or none."""
    rotary_dim: int | None = None
    """How many dimensions of a head rotate, from the first; None means all of d_head."""
    rotary_base: float = 10_000.0
    """Base of the rotary frequencies."""
    rotary_base_local: float | None = None
    """*(new)* A different base for layers with local attention (Gemma 3)."""
    rotary_adjacent_pairs: bool = False
    """Rotate dimensions (2i, 2i+1) together (GPT-J, llama2.c) instead of (i, i + rotary_dim/2)."""
    rotary_scaling: dict[str, Any] | None = None
    """*(new)* {"type": "linear", "factor": f} or {"type": "llama3", "factor": f,
    "low_freq_factor": a, "high_freq_factor": b, "original_max_position_embeddings": n} or {"type": "yarn",
    "factor": f, "original_max_position_embeddings": n} (optional: "beta_fast", "beta_slow", "attention_factor",
    "truncate") or {"type": "dynamic", "factor": f, "original_max_position_embeddings": n};
    local layers with rotary_base_local are not scaled."""
    attention_dir: Literal["causal", "bidirectional"] = "causal"
    """Whether a position may attend to later ones."""
    attn_types: list[str] | None = None
    """"global" or "local" for each layer; None means global in all layers (or local in all, if window_size is
    given)."""
    window_size: int | None = None
    """How many positions a query attends to in a local layer, its own included."""
    use_attn_scale: bool = True
    """Divide attention scores by attn_scale."""
    attn_scale: float = -1.0
    """Divisor of the attention scores; -1 means sqrt(d_head)."""
    scale_attn_by_inverse_layer_idx: bool = False
    """Also divide the scores of layer l by l + 1."""
    attn_scores_soft_cap: float = -1.0
    """If positive, replace scores by cap * tanh(scores / cap) (Gemma 2)."""
    output_logits_soft_cap: float = -1.0
    """The same for logits."""
    qk_norm: Literal["none", "per_head", "full"] = "none"
    """*(new)* RMS norm on queries and keys: over each head separately (Qwen 3, Gemma 3) or over all heads together
    (OLMo 2)."""
    n_key_value_heads: int | None = None
    """Grouped-query attention: the number of key/value heads; None means n_heads."""
    parallel_attn_mlp: bool = False
    """Attention and MLP of a block read the same residual stream (GPT-J, NeoX, Phi)."""
    tie_word_embeddings: bool = False
    """The unembedding is the transpose of the embedding and shares its storage."""
    seed: int | None = None
    """Seed of the initial weights; None uses the current state of torch's generator."""
    init_weights: bool = True
    """Draw initial weights; False leaves them uninitialised, for a checkpoint to fill."""
    init_mode: str = "gpt2"
    """gpt2 (normal, with initializer_range as standard deviation), or xavier_* or kaiming_* (with it as gain)."""
    initializer_range: float = -1.0
    """Standard deviation of the initial weights; -1 means 0.8 / sqrt(d_model)."""
    dtype: torch.dtype = torch.float32
    """Data type of the weights."""
    device: str | None = None
    """Device of the weights; None means CUDA if available, else the CPU."""
    model_name: str = "custom"
    """The model's name in titles and reports."""
    original_architecture: str | None = None
    """The architecture that the checkpoint names."""
    tokenizer_name: str | None = None
    """The name or folder of the tokenizer."""
    default_prepend_bos: bool = True
    """Whether tokens of a text start with a beginning-of-sequence token."""
    tokenizer_prepends_bos: bool | None = None
    """Whether the tokenizer adds that token by itself; determined when a tokenizer is set."""
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
            # Classic configs hold whole numbers and NumPy numbers here.
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
                    f"a model with MLPs needs act_fn: one of {', '.join(ACTIVATION_NAMES)} (or attn_only=True)."
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
        check_consistency(self)

    @property
    def n_kv_heads(self) -> int:
        """The number of key/value heads."""
        return self.n_key_value_heads or self.n_heads

    @property
    def use_local_attn(self) -> bool:
        """Whether any layer has local attention (classic name)."""
        return self.attn_types is not None and "local" in self.attn_types

    @property
    def use_qk_norm(self) -> bool:
        """Whether queries and keys are normalized head by head (classic name)."""
        return self.qk_norm == "per_head"

    @property
    def from_checkpoint(self) -> bool:
        """Whether these weights are an intermediate checkpoint of a training run."""
        return self.checkpoint_index is not None or self.checkpoint_value is not None

    @property
    def rotary_scaling_factor(self) -> float:
        """The factor of linear rotary scaling (classic name); 1 without scaling."""
        scaling = self.rotary_scaling or {}
        return float(scaling["factor"]) if scaling.get("type") == "linear" else 1.0

    @property
    def use_normalization_before_and_after(self) -> bool:
        """Whether norm_placement is "pre_and_post" (classic name)."""
        return self.norm_placement == "pre_and_post"

    @property
    def is_layer_norm_activation(self) -> bool:
        """Whether the MLP's activation function is followed by a LayerNorm."""
        return self.act_fn is not None and self.act_fn.endswith("_ln")

    @property
    def n_params(self) -> int:
        """The number of weights in the blocks' matrices, as in scaling laws (no embeddings, norms or biases)."""
        attention = self.d_model * self.d_head * 2 * (self.n_heads + self.n_kv_heads)
        mlp = (
            0
            if self.attn_only or self.d_mlp is None
            else self.d_model * self.d_mlp * (3 if self.gated_mlp else 2)
        )
        return self.n_layers * (attention + mlp)

    def layer_window(self, layer: int) -> int | None:
        """How many positions layer `layer` attends to; None means all."""
        return self.window_size if self.attn_types is not None and self.attn_types[layer] == "local" else None

    @classmethod
    def unwrap(cls, config: HookedTransformerConfig | Mapping[str, Any]) -> HookedTransformerConfig:
        """The config itself, or a config from a mapping of its fields."""
        return config if isinstance(config, cls) else cls.from_dict(config)  # type: ignore[arg-type]

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any]) -> HookedTransformerConfig:
        """A config from a mapping of field names to values; classic fields are translated.

        Raises:
            TypeError: for anything but a mapping.
            ValueError: for an unknown field (suggests the nearest names), a missing field, or a value that the model
                cannot use.
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
        """Every field by name; `from_dict` makes the same config from it."""
        return dataclasses.asdict(self)

    def to_json_dict(self) -> dict[str, Any]:
        """`to_dict` with JSON values: the data type becomes its name."""
        return {**self.to_dict(), "dtype": str(self.dtype).removeprefix("torch.")}

    def set_seed_everywhere(self, seed: int) -> None:
        """Seed Python's, NumPy's and torch's global generators."""
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed)  # noqa: NPY002 - the classic interface promises the global generator

    def is_layer_norm_folded(self) -> bool:
        """Whether the norms have no learned scales, because they were folded into the weights that read them."""
        return self.normalization_type in ("LNPre", "RMSPre", None)


def dtype_from_name(name: str) -> torch.dtype:
    """The data type with a name such as "float32" or "torch.float32".

    Raises:
        ValueError: for an unknown name.
    """
    dtype = getattr(torch, name.removeprefix("torch."), None)
    if not isinstance(dtype, torch.dtype):
        raise ValueError(f"{name!r} is not a data type; try float32, float16, bfloat16 or float64.")
    return dtype


ConfigLike = HookedTransformerConfig | Mapping[str, Any]
"""A config or a mapping of its fields: what the parts of a model are built from."""
