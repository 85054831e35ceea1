"""Techniques: from a model and a task to a result. Names are imported when first used.

Modules with a leading underscore are shared by several techniques.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mechscope.lazy import lazy_names

if TYPE_CHECKING:
    from mechscope.techniques.ablation import ablation, knock_out
    from mechscope.techniques.activation_patching import patch
    from mechscope.techniques.attention_statistics import attention_statistics, norm_weighted_attention
    from mechscope.techniques.attribution_patching import attribution_patching
    from mechscope.techniques.causal_scrubbing import causal_scrubbing
    from mechscope.techniques.circuits import Circuit, EdgeGraph, acdc, discover, evaluate, load_circuit
    from mechscope.techniques.composition import composition_scores
    from mechscope.techniques.direct_logit_attribution import direct_logit_attribution
    from mechscope.techniques.directional_ablation import (
        directional_ablation,
        orthogonalize_weights,
        without_direction,
    )
    from mechscope.techniques.fourier import (
        embedding_spectrum,
        fourier_basis,
        fourier_spectrum,
        gini,
        key_frequencies,
        neuron_frequencies,
    )
    from mechscope.techniques.head_detectors import detect_heads, head_scores
    from mechscope.techniques.logit_lens import logit_lens
    from mechscope.techniques.ov_qk_circuits import copying_scores, full_circuit, top_token_pairs
    from mechscope.techniques.path_patching import path_patching, path_patching_every_head
    from mechscope.techniques.probing import linear_probe
    from mechscope.techniques.redteam import Behaviour, Direction, Heads, redteam
    from mechscope.techniques.steering import steered, steering_curve, steering_vector
    from mechscope.techniques.subspace_patching import subspace_patching
    from mechscope.techniques.svd import neuron_tokens, singular_directions
    from mechscope.techniques.sweep import Edit, Sweep

_HOMES = {
    "Behaviour": "mechscope.techniques.redteam",
    "Circuit": "mechscope.techniques.circuits",
    "Direction": "mechscope.techniques.redteam",
    "EdgeGraph": "mechscope.techniques.circuits",
    "Edit": "mechscope.techniques.sweep",
    "Heads": "mechscope.techniques.redteam",
    "Sweep": "mechscope.techniques.sweep",
    "ablation": "mechscope.techniques.ablation",
    "acdc": "mechscope.techniques.circuits",
    "attention_statistics": "mechscope.techniques.attention_statistics",
    "attribution_patching": "mechscope.techniques.attribution_patching",
    "causal_scrubbing": "mechscope.techniques.causal_scrubbing",
    "composition_scores": "mechscope.techniques.composition",
    "copying_scores": "mechscope.techniques.ov_qk_circuits",
    "detect_heads": "mechscope.techniques.head_detectors",
    "direct_logit_attribution": "mechscope.techniques.direct_logit_attribution",
    "directional_ablation": "mechscope.techniques.directional_ablation",
    "discover": "mechscope.techniques.circuits",
    "embedding_spectrum": "mechscope.techniques.fourier",
    "evaluate": "mechscope.techniques.circuits",
    "fourier_basis": "mechscope.techniques.fourier",
    "fourier_spectrum": "mechscope.techniques.fourier",
    "full_circuit": "mechscope.techniques.ov_qk_circuits",
    "gini": "mechscope.techniques.fourier",
    "head_scores": "mechscope.techniques.head_detectors",
    "key_frequencies": "mechscope.techniques.fourier",
    "knock_out": "mechscope.techniques.ablation",
    "linear_probe": "mechscope.techniques.probing",
    "load_circuit": "mechscope.techniques.circuits",
    "logit_lens": "mechscope.techniques.logit_lens",
    "neuron_frequencies": "mechscope.techniques.fourier",
    "neuron_tokens": "mechscope.techniques.svd",
    "norm_weighted_attention": "mechscope.techniques.attention_statistics",
    "orthogonalize_weights": "mechscope.techniques.directional_ablation",
    "patch": "mechscope.techniques.activation_patching",
    "path_patching": "mechscope.techniques.path_patching",
    "path_patching_every_head": "mechscope.techniques.path_patching",
    "redteam": "mechscope.techniques.redteam",
    "singular_directions": "mechscope.techniques.svd",
    "steered": "mechscope.techniques.steering",
    "steering_curve": "mechscope.techniques.steering",
    "steering_vector": "mechscope.techniques.steering",
    "subspace_patching": "mechscope.techniques.subspace_patching",
    "top_token_pairs": "mechscope.techniques.ov_qk_circuits",
    "without_direction": "mechscope.techniques.directional_ablation",
}

_MOVED = {"scoreboard": "mechscope.scoreboard"}

__all__ = [
    "Behaviour",
    "Circuit",
    "Direction",
    "EdgeGraph",
    "Edit",
    "Heads",
    "Sweep",
    "ablation",
    "acdc",
    "attention_statistics",
    "attribution_patching",
    "causal_scrubbing",
    "composition_scores",
    "copying_scores",
    "detect_heads",
    "direct_logit_attribution",
    "directional_ablation",
    "discover",
    "embedding_spectrum",
    "evaluate",
    "fourier_basis",
    "fourier_spectrum",
    "full_circuit",
    "gini",
    "head_scores",
    "key_frequencies",
    "knock_out",
    "linear_probe",
    "load_circuit",
    "logit_lens",
    "neuron_frequencies",
    "neuron_tokens",
    "norm_weighted_attention",
    "orthogonalize_weights",
    "patch",
    "path_patching",
    "path_patching_every_head",
    "redteam",
    "singular_directions",
    "steered",
    "steering_curve",
    "steering_vector",
    "subspace_patching",
    "top_token_pairs",
    "without_direction",
]

__getattr__, __dir__ = lazy_names(__name__, _HOMES, moved=_MOVED)
