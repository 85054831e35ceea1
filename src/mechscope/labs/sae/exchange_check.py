"""Save a dictionary for SAELens and compare three reconstructions: ours, SAELens's, and ours after reading it back."""

from __future__ import annotations

import importlib.util
import tempfile
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.exchange import load_saelens, save_saelens

PEER = "sae_lens"


def why_no_peer() -> str | None:
    """Why the check cannot be made, in words; None if it can."""
    if importlib.util.find_spec(PEER) is None:
        return "SAELens is not installed (mechscope's tests compare with it, and with sparsify, if they are installed)"
    return None


def compare_with_saelens(dictionary: Dictionary, x: Float[Tensor, "batch d_in"]) -> dict[str, float]:
    """Largest differences between reconstructions, relative to the largest activation.

    Returns:
        "peer": ours against SAELens's from the same folder; "read_back": ours against ours after loading that folder.
    """
    peer: Any = importlib.import_module(PEER)
    x = x.cpu().float()
    ours = dictionary.to("cpu").fold()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        save_saelens(ours, folder)
        theirs = peer.SAE.load_from_disk(folder)(x)
        again = load_saelens(folder)(x)
        before = ours(x)
    largest = float(x.abs().max())
    return {
        "peer": float((before - theirs).abs().max()) / largest,
        "read_back": float((before - again).abs().max()) / largest,
    }
