"""Short names of hook points."""

from __future__ import annotations

from typing import Any

import pytest

from mechscope.model.names import get_act_name
from tests.model.tiny import tiny_model

CASES = {
    ("k", 6): "blocks.6.attn.hook_k",
    ("k", 6, "a"): "blocks.6.attn.hook_k",
    ("z", 0): "blocks.0.attn.hook_z",
    ("result", 1): "blocks.1.attn.hook_result",
    ("pattern", 2): "blocks.2.attn.hook_pattern",
    ("attn", 2): "blocks.2.attn.hook_pattern",
    ("attn_scores", 2): "blocks.2.attn.hook_attn_scores",
    ("attn_logits", 2): "blocks.2.attn.hook_attn_scores",
    ("rot_q", 2): "blocks.2.attn.hook_rot_q",
    ("pre", 2): "blocks.2.mlp.hook_pre",
    ("mlp_pre", 2): "blocks.2.mlp.hook_pre",
    ("mlp_post", 2): "blocks.2.mlp.hook_post",
    ("mid", 2): "blocks.2.mlp.hook_mid",
    ("post", 2, "mlp"): "blocks.2.mlp.hook_post",
    ("pre_linear", 2): "blocks.2.mlp.hook_pre_linear",
    ("resid_pre", 3): "blocks.3.hook_resid_pre",
    ("resid_mid", 3): "blocks.3.hook_resid_mid",
    ("resid_post", 3): "blocks.3.hook_resid_post",
    ("attn_out", 3): "blocks.3.hook_attn_out",
    ("mlp_out", 3): "blocks.3.hook_mlp_out",
    ("mlp_in", 3): "blocks.3.hook_mlp_in",
    ("q_input", 3): "blocks.3.hook_q_input",
    ("attn_in", 3): "blocks.3.hook_attn_in",
    ("scale", 4, "ln1"): "blocks.4.ln1.hook_scale",
    ("normalized", 27, "ln2"): "blocks.27.ln2.hook_normalized",
    ("scale", 0, "mlp"): "blocks.0.mlp.hook_scale",
    ("scale", 1, "b"): "blocks.1.hook_scale",
    ("scale",): "ln_final.hook_scale",
    ("normalized",): "ln_final.hook_normalized",
    ("embed",): "hook_embed",
    ("pos_embed",): "hook_pos_embed",
    ("tokens",): "hook_tokens",
    ("hook_embed",): "hook_embed",
    ("blocks.0.attn.hook_q",): "blocks.0.attn.hook_q",
    ("k6",): "blocks.6.attn.hook_k",
    ("pre5",): "blocks.5.mlp.hook_pre",
    ("scale4ln1",): "blocks.4.ln1.hook_scale",
    ("z7a",): "blocks.7.attn.hook_z",
    ("post3m",): "blocks.3.mlp.hook_post",
    ("attn2",): "blocks.2.attn.hook_pattern",
    ("mlp_out10",): "blocks.10.hook_mlp_out",
    ("attn_out1",): "blocks.1.hook_attn_out",
    ("q", "0"): "blocks.0.attn.hook_q",
}
# Where the peer's answer names no hook point at all.
OURS = {
    ("scale", None, "ln_final"): "ln_final.hook_scale",
    ("resid_pre5",): "blocks.5.hook_resid_pre",
    ("attn_scores3",): "blocks.3.attn.hook_attn_scores",
    ("hook_q", 3): "blocks.3.attn.hook_q",
}


@pytest.mark.parametrize(("arguments", "full"), [*CASES.items(), *OURS.items()])
def test_full_names(arguments: tuple[Any, ...], full: str) -> None:
    assert get_act_name(*arguments) == full


@pytest.mark.parametrize("variant", ["plain", "rotary", "solu_ln", "gated", "Gemma-like"])
def test_every_hook_point_has_its_short_name(variant: str) -> None:
    for name in tiny_model(variant).hook_dict:
        *where, last = name.split(".")
        short = last.removeprefix("hook_")
        if not where or where[0] == "ln_final":
            assert get_act_name(short) == name
        else:
            layer, part = int(where[1]), ".".join(where[2:]) or None
            assert get_act_name(short, layer, part) == name
            if part in (None, "attn") or (part == "mlp" and short not in ("scale", "normalized")):
                assert get_act_name(short, layer) == name


@pytest.mark.parametrize(
    ("arguments", "error", "says"),
    [
        (("resid_pre", -1), ValueError, "whole number of at least 0, not -1"),
        (("resid_pre", "last"), ValueError, "not 'last'"),
        (("resid_pre", 1.5), ValueError, "not 1.5"),
        (("blocks.1.attn.hook_q", 1), ValueError, "full hook name"),
        ((3,), TypeError, "not int"),
    ],
)
def test_misuse_says_what_is_wrong(arguments: tuple[Any, ...], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        get_act_name(*arguments)


@pytest.mark.peer
def test_agrees_with_the_peer() -> None:
    theirs = pytest.importorskip("transformer_lens.utils").get_act_name
    for arguments, full in CASES.items():
        if arguments not in [("mlp_out10",), ("attn_out1",)]:  # the peer splits no names with an underscore
            assert theirs(*arguments) == full, arguments
