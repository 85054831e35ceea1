"""The classic `components`: the parts of a model, for whoever builds one by hand."""

from mechscope.model.components import (
    MLP,
    Attention,
    Embed,
    GatedMLP,
    LayerNorm,
    LayerNormPre,
    PosEmbed,
    RMSNorm,
    RMSNormPre,
    TransformerBlock,
    Unembed,
)
from mechscope.model.encoder_components import (
    BertBlock,
    BertEmbed,
    BertMLMHead,
    BertNSPHead,
    BertPooler,
    TokenTypeEmbed,
)

# Grouped keys and values are a matter of the config here, not of another class.
AbstractAttention = GroupedQueryAttention = Attention

__all__ = [
    "MLP",
    "AbstractAttention",
    "Attention",
    "BertBlock",
    "BertEmbed",
    "BertMLMHead",
    "BertNSPHead",
    "BertPooler",
    "Embed",
    "GatedMLP",
    "GroupedQueryAttention",
    "LayerNorm",
    "LayerNormPre",
    "PosEmbed",
    "RMSNorm",
    "RMSNormPre",
    "TokenTypeEmbed",
    "TransformerBlock",
    "Unembed",
]
