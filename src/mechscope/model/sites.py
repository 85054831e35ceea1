"""Where a hook point is in the forward pass, and which positions an edit there can reach; both follow from its name."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig

_IN_BLOCK = re.compile(r"blocks\.(\d+)\.(.+)")

EMBEDDINGS = ("hook_embed", "hook_pos_embed")
# Keys and values read these, so an edit at one position reaches every position that attends to it.
_SPREADING = frozenset({
    "hook_resid_pre", "hook_attn_in", "hook_k_input", "hook_v_input", "ln1.hook_scale", "ln1.hook_normalized",
    "attn.hook_k", "attn.hook_v", "attn.hook_rot_k", "attn.k_norm.hook_scale", "attn.k_norm.hook_normalized",
})  # fmt: skip
_BEFORE_Z = frozenset({
    "hook_q_input", "attn.hook_q", "attn.hook_rot_q", "attn.hook_attn_scores", "attn.hook_pattern",
    "attn.q_norm.hook_scale", "attn.q_norm.hook_normalized",
})  # fmt: skip
# How the names of points after z in a block begin.
_AFTER_Z = (
    "attn.hook_result", "hook_attn_out", "ln1_post.", "hook_resid_mid", "hook_mlp_in", "ln2.", "mlp.", "ln2_post.",
    "hook_mlp_out", "hook_resid_post",
)  # fmt: skip
_WITH_PATTERN_AXES = ("attn.hook_attn_scores", "attn.hook_pattern")
OF_A_DICTIONARY = ".hook_sae_"
"""In the name of a dictionary's hook point, the string after the name of the point at which it is attached."""


@dataclass(frozen=True)
class Site:
    """Where a hook point is in the forward pass."""

    layer: int
    """Its block; 0 for an embedding."""
    part: str
    """Its name within the block, or the full name of an embedding."""

    @classmethod
    def of(cls, hook: str) -> Site:
        """The site of a full hook name.

        Raises:
            ValueError: for any other point, such as one after the last block, because no sweep can start there.
        """
        if hook in EMBEDDINGS:
            return cls(0, hook)
        match = _IN_BLOCK.fullmatch(hook)
        if match is None:
            raise ValueError(
                f"a sweep edits embeddings ({', '.join(EMBEDDINGS)}) and points inside blocks; {hook!r} is neither. "
                "Use model.run_with_hooks for it."
            )
        return cls(int(match[1]), match[2])

    def axes(self, cfg: HookedTransformerConfig) -> tuple[int | None, int] | None:
        """The number of heads of the activation (None without an axis of heads), and the size of its last axis.

        The size is 0 for scores and patterns, whose last axis is the keys. None for points whose shape is not listed
        here: those of dictionaries and norms.
        """
        if self.part != self.owner:
            return None
        part = self.part.removeprefix("attn.").removeprefix("hook_")
        if self.has_pattern_axes:
            return cfg.n_heads, 0
        if part in ("q", "rot_q", "z"):
            return cfg.n_heads, cfg.d_head
        if part in ("k", "rot_k", "v"):
            return cfg.n_kv_heads, cfg.d_head
        if part in ("q_input", "attn_in", "result"):
            return cfg.n_heads, cfg.d_model
        if part in ("k_input", "v_input"):
            return cfg.n_kv_heads, cfg.d_model
        if part in ("mlp.hook_pre", "mlp.hook_pre_linear", "mlp.hook_post", "mlp.hook_mid"):
            return None, cast("int", cfg.d_mlp)
        if part.startswith(("resid_", "attn_out", "mlp_out", "mlp_in", "embed", "pos_embed")):
            return None, cfg.d_model
        return None

    @property
    def owner(self) -> str:
        """The part itself; for a dictionary's point, the part at which the dictionary is attached."""
        return self.part.partition(OF_A_DICTIONARY)[0]

    @property
    def spreads(self) -> bool:
        """Whether an edit at one position can change other positions within its own block."""
        return self.owner in _SPREADING or self.part in EMBEDDINGS

    @property
    def before_z(self) -> bool:
        """Whether attention must be computed for an edit here to take effect."""
        inside = self.part != self.owner and not self.after_z
        return self.spreads or self.owner in _BEFORE_Z or inside

    @property
    def after_z(self) -> bool:
        """Whether it is after z, so that a run which resumes its block after attention reaches it."""
        return self.owner.startswith(_AFTER_Z)

    @property
    def splits_inputs(self) -> bool:
        """Whether a hook here splits the input of the heads, so that the norm is applied head by head."""
        return self.part == self.owner and self.part.endswith(("_input", "attn_in"))

    @property
    def has_pattern_axes(self) -> bool:
        """Whether the activation is [batch head query key]."""
        return self.part in _WITH_PATTERN_AXES
