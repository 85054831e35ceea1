"""GPT-2 small for replications that use it where it is on this machine, and skip claims where it is not."""

from __future__ import annotations

import torch

from mechscope.checkpoints.hub import find_on_this_machine, weight_files
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.weights_checksum import checksum_of_files
from mechscope.model.transformer import HookedTransformer

HUB_ID = "openai-community/gpt2"
NO_GPT2 = "GPT-2 small is not on this machine; `mechscope doctor` says how to get it"


def gpt2_is_available() -> bool:
    """Whether GPT-2 small is in the data folder or the hub's cache. Downloads nothing."""
    return find_on_this_machine("gpt2", HUB_ID)[1] is not None


def describe_gpt2(claims: str) -> str:
    """Say which weights of GPT-2 small a run would use, or which claims it cannot check without them.

    The checksum covers half a gibibyte and takes a second or two.

    Args:
        claims: the claims and a verb, such as "claims 4.1 to 4.13 are".
    """
    _, folder = find_on_this_machine("gpt2", HUB_ID)
    if folder is None:
        return f"not on this machine ({claims} not run)"
    return f"on this machine (weights {checksum_of_files(weight_files(folder))})"


def load_gpt2(device: torch.device) -> HookedTransformer:
    """Load GPT-2 small from the files on this machine."""
    return load_model("gpt2-small").to(device)
