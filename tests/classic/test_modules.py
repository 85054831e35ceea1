"""Old import lines: each module of the classic package, in any order, gives what it gave."""

from __future__ import annotations

import importlib
import subprocess
import sys

import pytest

# A class whose module has its name: `from x import Y` and `from x.Y import Y` must both give the class.
TWINS = (
    "ActivationCache",
    "FactoredMatrix",
    "HookedEncoder",
    "HookedRootModule",
    "HookedTransformer",
    "HookedTransformerConfig",
    "SVDInterpreter",
)
NAMES = {
    "components": ("Attention", "MLP", "GatedMLP", "LayerNorm", "LayerNormPre", "RMSNorm", "RMSNormPre", "Embed",
                   "PosEmbed", "Unembed", "TransformerBlock", "GroupedQueryAttention", "BertBlock"),
    "evals": ("IOIDataset", "evaluate_on_dataset", "induction_loss", "ioi_eval", "sanity_check"),
    "head_detector": ("detect_head", "compute_head_attention_similarity_score", "get_supported_heads"),
    "hook_points": ("HookPoint", "HookedRootModule"),
    "past_key_value_caching": ("HookedTransformerKeyValueCache", "HookedTransformerKeyValueCacheEntry"),
    "patching": ("generic_activation_patch", "get_act_patch_resid_pre", "layer_pos_patch_setter"),
    "utils": ("get_act_name", "Slice", "test_prompt", "to_numpy"),
}  # fmt: skip


def run(lines: str) -> str:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", lines], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.parametrize("first", ["package", "module"])
def test_a_class_and_its_module_may_share_a_name_in_any_order(first: str) -> None:
    """One process an order, all classes in it: the order within a class is what matters."""
    steps = []
    for name in TWINS:
        lines = [f"from mechscope import {name} as one", f"from mechscope.{name} import {name} as two"]
        steps += lines if first == "package" else [f"import mechscope.{name}", *reversed(lines)]
        steps.append(f"import mechscope.{name}")
        steps.append(f"assert isinstance(one, type) and one is two is mechscope.{name}, '{name}'")
        steps.append(f"from mechscope import {name} as again; assert again is one")
    assert run("\n".join([*steps, "print('all the same')"])) == "all the same"


def test_the_modules_give_their_names() -> None:
    for module, names in NAMES.items():
        found = importlib.import_module(f"mechscope.{module}")
        assert getattr(importlib.import_module("mechscope"), module) is found
        for name in names:
            assert getattr(found, name) is not None
        assert set(getattr(found, "__all__", names)) >= set(names) or module == "evals"
