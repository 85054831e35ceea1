"""The components of a transformer."""

from mechscope.lazy import attach_modules
from mechscope.model.components._calling import has_custom_parts, run_block
from mechscope.model.components.attention import Attention
from mechscope.model.components.attention_mask import AttentionMask
from mechscope.model.components.block import TransformerBlock
from mechscope.model.components.embed import Embed, PosEmbed, TiedUnembed, Unembed
from mechscope.model.components.grouped_attention import GroupedQueryAttention
from mechscope.model.components.mlp import MLP, GatedMLP
from mechscope.model.components.normalization import (
    LayerNorm,
    LayerNormPre,
    RMSNorm,
    RMSNormPre,
)
from mechscope.model.components.pass_context import PassContext
from mechscope.model.components.rotary import RotaryTable

__getattr__ = attach_modules(__name__, __file__)

__all__ = [
    "MLP",
    "Attention",
    "AttentionMask",
    "Embed",
    "GatedMLP",
    "GroupedQueryAttention",
    "LayerNorm",
    "LayerNormPre",
    "PassContext",
    "PosEmbed",
    "RMSNorm",
    "RMSNormPre",
    "RotaryTable",
    "TiedUnembed",
    "TransformerBlock",
    "Unembed",
    "has_custom_parts",
    "run_block",
]
