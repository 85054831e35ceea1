"""The classic `components`: the parts of a model, for whoever builds one by hand."""

from mechscope.model.components import (
    MLP,
    Attention,
    Embed,
    GatedMLP,
    GroupedQueryAttention,
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

# Every attention layer is one, as with the classic base class.
AbstractAttention = Attention

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
