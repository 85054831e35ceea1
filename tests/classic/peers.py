"""The same weights in our model and in the peer's."""

from __future__ import annotations

from typing import Any

import pytest

from mechscope.model.transformer import HookedTransformer
from tests.model.tiny import BASE, VARIANTS, tiny_model


def twins(variant: str = "plain", **overrides: Any) -> tuple[HookedTransformer, Any]:
    """A tiny model of ours and the peer's with its weights; the test is skipped without the peer."""
    peer = pytest.importorskip("transformer_lens")
    ours = tiny_model(variant, **overrides)
    fields = {**BASE, **VARIANTS[variant], **overrides, "device": "cpu"}
    theirs = peer.HookedTransformer(peer.HookedTransformerConfig(**fields))
    found = theirs.load_state_dict(ours.state_dict(), strict=False)
    assert not found.unexpected_keys, found
    # The peer's ALiBi models hold a position embedding that they never read.
    unread = ("mask", "IGNORE", "rotary_sin", "rotary_cos", *(("W_pos",) if variant == "alibi" else ()))
    assert all(name.rpartition(".")[2] in unread for name in found.missing_keys)
    return ours, theirs
