"""The classic `set_use_…` switches for activations that cost extra time or memory.

Here such an activation is computed whenever its hook point has a listener, so a switch only decides whether
`run_with_cache()` without a names_filter keeps it too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.arguments import check_switches

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig
    from mechscope.model.hook_points import HookPoint

# Switch → the ends of the hook names that it makes `run_with_cache()` keep.
KEPT_BY = {
    "use_attn_result": ("attn.hook_result",),
    "use_split_qkv_input": ("hook_q_input", "hook_k_input", "hook_v_input"),
    "use_attn_in": ("hook_attn_in",),
    "use_hook_mlp_in": ("hook_mlp_in",),
    "use_hook_tokens": ("hook_tokens",),
}


class ClassicSwitches:
    """`set_use_attn_result` and the other switches, and which hook points are optional or absent."""

    cfg: HookedTransformerConfig
    hook_dict: dict[str, HookPoint]

    def set_use_attn_result(self, use_attn_result: bool) -> None:
        """Set whether `run_with_cache()` keeps the output of each head [batch pos head d_model]."""
        check_switches(use_attn_result=use_attn_result)
        self.cfg.use_attn_result = use_attn_result

    def set_use_split_qkv_input(self, use_split_qkv_input: bool) -> None:
        """Set whether `run_with_cache()` keeps each head's query, key and value inputs [batch pos head d_model]."""
        check_switches(use_split_qkv_input=use_split_qkv_input)
        self.cfg.use_split_qkv_input = use_split_qkv_input

    def set_use_attn_in(self, use_attn_in: bool) -> None:
        """Set whether `run_with_cache()` keeps the input of each head [batch pos head d_model].

        Raises:
            ValueError: for True on a model with grouped keys and values.
        """
        check_switches(use_attn_in=use_attn_in)
        if use_attn_in and self.cfg.n_key_value_heads is not None:
            raise ValueError(
                "hook_attn_in has one slice per query head, but this model's keys and values are grouped: "
                "use set_use_split_qkv_input."
            )
        self.cfg.use_attn_in = use_attn_in

    def set_use_hook_mlp_in(self, use_hook_mlp_in: bool) -> None:
        """Set whether `run_with_cache()` keeps the inputs of MLPs [batch pos d_model].

        Raises:
            ValueError: for True on an attention-only model.
        """
        check_switches(use_hook_mlp_in=use_hook_mlp_in)
        if use_hook_mlp_in and self.cfg.attn_only:
            raise ValueError("this model is attention-only: there is no hook_mlp_in.")
        self.cfg.use_hook_mlp_in = use_hook_mlp_in

    def optional_hook_names(self) -> frozenset[str]:
        """Names of the points that `run_with_cache()` only keeps if a switch or `names_filter` includes them."""
        left_out = tuple(
            ending
            for switch, endings in KEPT_BY.items()
            if not getattr(self.cfg, switch)
            for ending in endings
        )
        return frozenset(name for name in self.hook_dict if name.endswith(left_out))

    def why_absent(self, name: str) -> str:
        """The reason, for an error, why this model has no such hook point; empty if the config does not explain it."""
        cfg = self.cfg
        owner, at_dictionary, _ = name.partition(".hook_sae_")
        if at_dictionary:
            return (
                f" (it is a dictionary's hook point, but no dictionary is attached there: work inside "
                f"`with dictionary.attached(model, {owner!r}):`)"
            )
        parts = name.split(".")
        if len(parts) > 1 and parts[0] == "blocks" and parts[1].isdigit() and int(parts[1]) >= cfg.n_layers:
            there = f"{cfg.n_layers} layers, 0 to {cfg.n_layers - 1}" if cfg.n_layers else "no layers"
            return f" (this model has {there})"
        if cfg.attn_only and any(word in name for word in ("mlp", "ln2", "resid_mid")):
            return " (this model is attention-only)"
        if cfg.parallel_attn_mlp and name.endswith("hook_resid_mid"):
            return " (attention and MLP run in parallel in this model, so there is nothing between them)"
        if "hook_rot_" in name and cfg.positional_embedding_type != "rotary":
            return f" (this model has {cfg.positional_embedding_type} positions, not rotary ones)"
        if "pos_embed" in name and cfg.positional_embedding_type not in ("standard", "shortformer"):
            return f" (this model has {cfg.positional_embedding_type} positions)"
        if name.endswith(("hook_scale", "hook_normalized")) and cfg.normalization_type is None:
            return " (this model has no norms)"
        if name.endswith("hook_pre_linear") and not cfg.gated_mlp:
            return " (its MLPs are not gated)"
        if name.endswith("mlp.hook_mid") and not cfg.is_layer_norm_activation:
            return " (its MLPs have no LayerNorm)"
        return ""
