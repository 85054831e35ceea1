"""Real language models that replications use if they are on this machine; without them, claims are shown as not run."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch

from mechscope.checkpoints.gguf_file import is_gguf, why_unreadable
from mechscope.checkpoints.hub import find_on_this_machine, weight_files
from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.packaged_models import PACKAGED
from mechscope.checkpoints.weights_checksum import checksum_of_files
from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class LabModel:
    """A model that a lab studies if it is on this machine."""

    name: str
    """The name for `load_model`."""
    title: str
    """Its name in a sentence."""
    get: str
    """How to get it: the end of a sentence about its absence."""
    hub_id: str = ""
    """Its repository on the hub; empty for a model in a package."""

    @property
    def files(self) -> list[Path]:
        """The weight files on this machine; empty if it is not here. Downloads nothing."""
        if not self.hub_id:
            packaged = PACKAGED[self.name]
            return [packaged.file] if packaged.is_here else []
        _, folder = find_on_this_machine(self.name, self.hub_id)
        return [] if folder is None else weight_files(folder)

    @property
    def is_available(self) -> bool:
        """Whether it is on this machine and can be read. Downloads nothing."""
        return not self.missing

    @property
    def missing(self) -> str:
        """Why claims about it cannot be checked, and what to do; empty if they can."""
        files = self.files
        if not files:
            return f"{self.title} is not on this machine; {self.get}"
        if any(map(is_gguf, files)) and (reason := why_unreadable()) is not None:
            return f"{self.title} is on this machine, but {reason.rstrip('.')}"
        return ""

    def describe(self, claims: str) -> str:
        """Say which weights a run would use, or which claims it cannot check without them.

        The checksum reads every weight file: half a gibibyte takes a second or two.

        Args:
            claims: the claims and a verb, such as "claims 4.1 to 4.13 are".
        """
        files = self.files
        if not files:
            return f"not on this machine ({claims} not run)"
        if self.missing:
            return f"on this machine, but the gguf package is not ({claims} not run)"
        return f"on this machine (weights {checksum_of_files(files)})"

    def load(self, device: torch.device) -> HookedTransformer:
        """Load it from the files on this machine, processed."""
        return load_model(self.name).to(device)


GPT2_SMALL = LabModel("gpt2", "GPT-2 small", "`mechscope doctor` says how to get it", "openai-community/gpt2")
SMOLLM2 = LabModel("smollm2-135m", "SmolLM2-135M", "`mechscope models get smollm2-135m` fetches it (98 MB)")
