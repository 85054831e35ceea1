"""Hand the chosen dictionary to SAELens and read it back: three reconstructions that must agree."""

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
    """Why the check cannot be made, in words, or None."""
    if importlib.util.find_spec(PEER) is None:
        return "SAELens is not installed (the tests of mechscope compare with it and with sparsify where they are)"
    return None


def compare_with_saelens(dictionary: Dictionary, x: Float[Tensor, "batch d_in"]) -> dict[str, float]:
    """Largest differences of reconstructions, over the activations' largest entry.

    Returns:
        "peer": ours against SAELens's own of the same folder; "read_back": ours against ours read from it.
    """
    peer: Any = importlib.import_module(PEER)
    x = x.cpu().float()
    ours = dictionary.to("cpu").fold()
    with tempfile.TemporaryDirectory() as folder, torch.no_grad():
        save_saelens(ours, folder)
        theirs = peer.SAE.load_from_disk(folder)(x)
        again = load_saelens(folder)(x)
        wanted = ours(x)
    size = float(x.abs().max())
    return {
        "peer": float((wanted - theirs).abs().max()) / size,
        "read_back": float((wanted - again).abs().max()) / size,
    }
