"""A call of every public function that works, on small models: each misuse changes one of its arguments."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from mechscope import dictionaries, evals, head_detector, patching, planted, tasks, techniques
from mechscope.model.transformer import HookedTransformer
from mechscope.tasks.task import Task
from mechscope.techniques.causal_scrubbing import Part
from tests.model.letters import Letters
from tests.techniques.every_technique import direction_of, small_model, small_task

HOOK = "blocks.0.hook_resid_post"


@dataclass(frozen=True)
class Call:
    """A function and arguments with which it works."""

    function: Callable[..., Any]
    arguments: dict[str, Any]

    def with_changes(self, **changes: Any) -> Any:
        """What the function returns when some arguments are others; contexts are entered."""
        result = self.function(**{**self.arguments, **changes})
        if hasattr(result, "__enter__"):
            with result as entered:
                return entered
        return result


class Alphabet(Letters):
    """Letters, and a sign for each of the model's other tokens."""

    alphabet = Letters.alphabet + "#?0123456789"

    def __len__(self) -> int:
        return len(self.alphabet)


@cache
def model() -> HookedTransformer:
    """Two layers, four heads, a tokenizer of single letters."""
    made = small_model(n_ctx=24)
    made.set_tokenizer(Alphabet(apart=True))
    made.cfg.default_prepend_bos = False
    return made


@cache
def task() -> Task:
    return small_task(model())


@cache
def dictionary() -> Any:
    made = dictionaries.build(dictionaries.ReluConfig(d_in=32, d_sae=48), generator=0)
    made.metadata["hook_name"] = HOOK
    return made


def tokens() -> torch.Tensor:
    """[batch pos]"""
    return task().clean.ids.clone()


def hypothesis() -> Part:
    token = [Part("input")]
    return Part("logits", inputs=[Part("a1.h0", inputs={"q": token, "k": token, "v": token})])


@cache
def attached() -> Any:
    with dictionaries.attached(dictionary(), model()) as found:
        return found


def stream() -> Any:
    draw = torch.randn(64, 32, generator=torch.Generator().manual_seed(0))
    return dictionaries.TensorStream(draw, batch_size=16)


def last_logit(logits: torch.Tensor) -> torch.Tensor:
    return logits[:, -1, 0].mean()


@cache
def clean_cache() -> Any:
    return model().run_with_cache(task().clean)[1]


def calls() -> dict[str, Call]:
    """By name."""
    m, t, ids = model(), task(), tokens()
    both: dict[str, Any] = {"model": m, "task": t}
    quiet: dict[str, Any] = {"progress": False}
    labels = (ids[:, 2] % 2).tolist()
    token_pair = {"positive": ids[:4], "negative": ids[4:]}
    patched: dict[str, Any] = {
        "model": m,
        "corrupted_tokens": t.corrupted.ids,
        "clean_cache": clean_cache(),
        "patching_metric": last_logit,
    }
    texts = {"clean": ["abc", "xyz"], "corrupted": ["abd", "xyw"], "correct": ["d", "a"], "wrong": ["e", "b"]}
    found: dict[str, Call] = {
        "patch": Call(techniques.patch, {**both, "site": "resid_pre", **quiet}),
        "ablation": Call(techniques.ablation, {**both, "components": "heads", **quiet}),
        "knock_out": Call(techniques.knock_out, {**both, "components": ["a0.h0"], **quiet}),
        "path_patching": Call(
            techniques.path_patching, {**both, "senders": ["a0.h0"], "receivers": ["logits"], **quiet}
        ),
        "path_patching_every_head": Call(
            techniques.path_patching_every_head, {**both, "receivers": ["logits"], **quiet}
        ),
        "attribution_patching": Call(techniques.attribution_patching, dict(both)),
        "subspace_patching": Call(
            techniques.subspace_patching,
            {**both, "subspace": direction_of(m), "layer": 1, "n_random": 2, **quiet},
        ),
        "directional_ablation": Call(
            techniques.directional_ablation, {**both, "direction": direction_of(m), "n_random": 2, **quiet}
        ),
        "without_direction": Call(techniques.without_direction, {"model": m, "direction": direction_of(m)}),
        "orthogonalize_weights": Call(
            techniques.orthogonalize_weights, {"model": m, "direction": direction_of(m)}
        ),
        "steering_vector": Call(techniques.steering_vector, {"model": m, **token_pair, "layer": 1}),
        "steered": Call(
            techniques.steered, {"model": m, "vector": direction_of(m), "layer": 1, "coefficient": 1.0}
        ),
        "steering_curve": Call(
            techniques.steering_curve,
            {**both, "vector": direction_of(m), "layer": 1, "coefficients": [1.0], "n_random": 1, **quiet},
        ),
        "logit_lens": Call(techniques.logit_lens, {"model": m, "data": ids, "top": 3, **quiet}),
        "direct_logit_attribution": Call(techniques.direct_logit_attribution, {**both, "by": "component"}),
        "head_scores": Call(techniques.head_scores, {"model": m, "data": ids, "pattern": "previous"}),
        "detect_heads": Call(
            techniques.detect_heads, {"model": m, "data": None, "patterns": ["previous"], "seeds": [0]}
        ),
        "attention_statistics": Call(techniques.attention_statistics, {"model": m, "data": ids}),
        "norm_weighted_attention": Call(
            techniques.norm_weighted_attention, {"model": m, "data": ids, "layer": 0, "head": 0}
        ),
        "linear_probe": Call(
            techniques.linear_probe,
            {
                "model": m,
                "data": ids,
                "labels": labels,
                "positions": [2],
                "groups": list(range(8)),
                "seeds": [0],
                **quiet,
            },
        ),
        "composition_scores": Call(
            techniques.composition_scores, {"model": m, "kind": "K", "draws": 2, **quiet}
        ),
        "copying_scores": Call(techniques.copying_scores, {"model": m}),
        "full_circuit": Call(techniques.full_circuit, {"model": m, "layer": 0, "head": 1}),
        "top_token_pairs": Call(techniques.top_token_pairs, {"model": m, "layer": 0, "head": 1, "k": 3}),
        "singular_directions": Call(
            techniques.singular_directions, {"model": m, "layer": 0, "head": 1, "n": 2}
        ),
        "neuron_tokens": Call(
            techniques.neuron_tokens, {"model": m, "layer": 0, "neurons": [1, 2], "top": 3}
        ),
        "discover": Call(techniques.discover, {**both, "method": "eap", **quiet}),
        "acdc": Call(techniques.acdc, {**both, "tau": 0.05, **quiet}),
        "causal_scrubbing": Call(
            techniques.causal_scrubbing, {**both, "hypothesis": hypothesis(), "draws": 2, **quiet}
        ),
        "embedding_spectrum": Call(techniques.embedding_spectrum, {"model": m, "p": 5}),
        "fourier_basis": Call(techniques.fourier_basis, {"p": 5}),
        "fourier_spectrum": Call(techniques.fourier_spectrum, {"values": torch.randn(5, 3)}),
        "key_frequencies": Call(techniques.key_frequencies, {"strength": [1.0, 2.0, 0.1]}),
        "gini": Call(techniques.gini, {"values": [1.0, 2.0, 3.0]}),
        "Sweep": Call(techniques.Sweep, {"model": m, "tokens": ids, **quiet}),
        "Edit": Call(techniques.Edit, {"hook": "blocks.0.attn.hook_z", "value": 0.0, "head": 1}),
        "EdgeGraph.of": Call(techniques.EdgeGraph.of, {"model": m}),
        "from_prompts": Call(tasks.from_prompts, {"model": m, **texts}),
        "from_tokens": Call(
            tasks.from_tokens,
            {
                "clean": t.clean.ids,
                "corrupted": t.corrupted.ids,
                "correct": list(range(8)),
                "wrong": list(range(8, 16)),
            },
        ),
        "modular_addition": Call(tasks.modular_addition, {"p": 7, "n": 5, "seed": 0}),
        "sorting": Call(tasks.sorting, {"length": 3, "n_values": 9, "n": 4}),
        "reversal": Call(tasks.reversal, {"length": 3, "n_values": 9, "n": 4}),
        "balanced_brackets": Call(tasks.balanced_brackets, {"length": 6, "n": 4}),
        "repeated_random_tokens": Call(tasks.repeated_random_tokens, {"model": m, "n": 3, "half": 4}),
        "get_metric": Call(tasks.get_metric, {"metric": "logit_difference"}),
        "build": Call(
            dictionaries.build, {"cfg": dictionaries.ReluConfig(d_in=32, d_sae=48), "generator": 0}
        ),
        "attached": Call(dictionaries.attached, {"dictionary": dictionary(), "model": m, "hook_name": HOOK}),
        "ModelStream": Call(
            dictionaries.ModelStream,
            {"model": m, "tokens": ids, "hook_name": HOOK, "batch_size": 4, "buffer_size": 20},
        ),
        "TensorStream": Call(dictionaries.TensorStream, {"x": torch.randn(20, 32), "batch_size": 4}),
        "train": Call(
            dictionaries.train,
            {
                "dictionaries": dictionaries.build(dictionaries.ReluConfig(d_in=32, d_sae=8), generator=0),
                "stream": stream(),
                "cfg": dictionaries.TrainingConfig(steps=2),
                **quiet,
            },
        ),
        "evaluate (dictionary)": Call(
            dictionaries.evaluation.evaluate,
            {"dictionary": dictionary(), "data": ids, "model": m, "hook_name": HOOK},
        ),
        "spliced_loss": Call(
            dictionaries.evaluation.spliced_loss,
            {"model": m, "dictionary": dictionary(), "tokens": ids, "hook_name": HOOK},
        ),
        "read_features": Call(
            dictionaries.evaluation.read_features,
            {"model": m, "dictionary": dictionary(), "tokens": ids, "hook_name": HOOK, "features": [0, 1]},
        ),
        "feature_pages": Call(
            dictionaries.evaluation.feature_pages,
            {"model": m, "dictionary": dictionary(), "tokens": ids, "hook_name": HOOK, "features": [0]},
        ),
        "planted.load": Call(
            planted.load, {"name": "copy_first" if "copy_first" in planted.PROGRAMS else "ioi"}
        ),
        "get_act_patch_resid_pre": Call(patching.get_act_patch_resid_pre, patched),
        "get_act_patch_attn_head_out_all_pos": Call(patching.get_act_patch_attn_head_out_all_pos, patched),
        "detect_head": Call(
            head_detector.detect_head, {"model": m, "seq": "abab", "detection_pattern": "previous_token_head"}
        ),
        "induction_loss": Call(evals.induction_loss, {"model": m, "subseq_len": 5}),
        "run_with_cache": Call(m.run_with_cache, {"input": ids}),
        "run_with_hooks": Call(m.run_with_hooks, {"input": ids, "fwd_hooks": [(HOOK, lambda x, hook: x)]}),
        "forward": Call(m, {"input": ids}),
        "generate": Call(
            m.generate,
            {
                "input": ids[:, :3],
                "max_new_tokens": 2,
                "verbose": False,
                "stop_at_eos": False,
                "do_sample": False,
            },
        ),
        "to_tokens": Call(m.to_tokens, {"input": ["ab", "c"]}),
        "to_string": Call(m.to_string, {"tokens": ids}),
        "to_str_tokens": Call(m.to_str_tokens, {"input": "abc"}),
        "to_single_token": Call(m.to_single_token, {"string": "a"}),
        "to_single_str_token": Call(m.to_single_str_token, {"int_token": 3}),
        "get_token_position": Call(m.get_token_position, {"single_token": "b", "input": "abc"}),
        "tokens_to_residual_directions": Call(m.tokens_to_residual_directions, {"tokens": "a"}),
        "accumulated_resid": Call(clean_cache().accumulated_resid, {"layer": 1}),
        "decompose_resid": Call(clean_cache().decompose_resid, {"layer": 1}),
        "stack_head_results": Call(clean_cache().stack_head_results, {"layer": 1}),
        "stack_activation": Call(clean_cache().stack_activation, {"activation_name": "resid_pre"}),
        "get_full_resid_decomposition": Call(clean_cache().get_full_resid_decomposition, {"layer": 1}),
        "logit_attrs": Call(
            clean_cache().logit_attrs, {"residual_stack": clean_cache().decompose_resid(), "tokens": 3}
        ),
        "HookedTransformer": Call(
            HookedTransformer,
            {"cfg": {"n_layers": 1, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5, "attn_only": True}},
        ),
        "set_tokenizer": Call(small_model().set_tokenizer, {"tokenizer": Letters()}),
    }
    return found
