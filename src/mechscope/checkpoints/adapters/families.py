"""All supported families, and the lookup from a checkpoint to its family."""

from __future__ import annotations

from mechscope.checkpoints.adapters.bert import BERT
from mechscope.checkpoints.adapters.bloom import BLOOM
from mechscope.checkpoints.adapters.family import Family
from mechscope.checkpoints.adapters.gemma import GEMMA, GEMMA2, GEMMA3
from mechscope.checkpoints.adapters.gpt2 import GPT2
from mechscope.checkpoints.adapters.gpt_neo import GPT_NEO
from mechscope.checkpoints.adapters.gpt_neox import GPT_NEOX
from mechscope.checkpoints.adapters.gptj import GPT_J
from mechscope.checkpoints.adapters.hf_config import HfConfig
from mechscope.checkpoints.adapters.llama import LLAMA
from mechscope.checkpoints.adapters.mistral import MISTRAL
from mechscope.checkpoints.adapters.olmo2 import OLMO2
from mechscope.checkpoints.adapters.opt import OPT
from mechscope.checkpoints.adapters.phi import PHI, PHI3
from mechscope.checkpoints.adapters.qwen import QWEN2, QWEN3

FAMILIES: tuple[Family, ...] = (
    GPT2, GPT_NEO, GPT_J, OPT, GPT_NEOX, BLOOM, LLAMA, MISTRAL, QWEN2, QWEN3, GEMMA, GEMMA2, GEMMA3, PHI,
    PHI3, OLMO2, BERT,
)  # fmt: skip


def family_of(config: HfConfig) -> Family:
    """The family that a config.json belongs to.

    Raises:
        ValueError: for an unsupported model type (lists the supported ones), or for a head of another task.
    """
    model_type = config.get("model_type")
    family = next((family for family in FAMILIES if model_type in family.model_types), None)
    if family is None:
        supported = ", ".join(name for family in FAMILIES for name in family.model_types)
        raise ValueError(
            f"config.json says model_type={model_type!r}, for which mechscope has no adapter; it has "
            f"{supported}."
        )
    return family
