"""Mistakes that people make, by kind, each as a call with the sentence that must come back.

Values of the wrong type (a task for a model, a number for a name) are tried on every function by
`test_wrong_types.py`; here are the mistakes that need a thought: right types that make no sense, the wrong order, parts
of another model, what is asked of a model that it does not have.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

import mechscope as ms
from mechscope import dictionaries, evals, feature_effects, planted, tasks, techniques, utils, viz
from mechscope.data.word_tokenizer import word_tokenizer
from mechscope.model.key_value_cache import HookedTransformerKeyValueCache
from tests.misuse.calls import (
    HOOK,
    attached,
    calls,
    clean_cache,
    dictionary,
    hypothesis,
    last_logit,
    model,
    task,
    tokens,
)
from tests.techniques.every_technique import small_model

NOT_FINITE = float("nan")


@dataclass(frozen=True)
class Mistake:
    """One mistake."""

    kind: str
    code: str
    """As one would write it."""
    call: Callable[[], Any]
    says: str
    """A part of the error's sentence, as a regular expression."""


FIELDS: dict[str, Any] = {
    "n_layers": 1,
    "d_model": 8,
    "n_ctx": 4,
    "d_head": 4,
    "d_vocab": 5,
    "attn_only": True,
}


def config(**changes: Any) -> Any:
    return ms.HookedTransformer({**FIELDS, **changes})


def sweep(*edits: Any) -> Any:
    made = techniques.Sweep(model(), tokens(), progress=False)
    return made.run(list(edits), lambda logits: logits[:, -1, 0].mean())


def edit(part: str, **changes: Any) -> Any:
    return sweep(techniques.Edit(f"blocks.0.{part}", **{"value": 0.0, **changes}))


def changed(_call: str, /, **changes: Any) -> Callable[[], Any]:
    return lambda: calls()[_call].with_changes(**changes)


def hooked(*pairs: Any, **kwargs: Any) -> Any:
    return model().run_with_hooks(tokens(), fwd_hooks=list(pairs), **kwargs)


def returning(value: Any) -> Callable[..., Any]:
    return lambda activation, hook: value(activation)


def other_model_cache() -> HookedTransformerKeyValueCache:
    return HookedTransformerKeyValueCache.init_cache(small_model(n_layers=1).cfg)


def of_another_length() -> Any:
    return model().run_with_cache(tokens()[:, :5])[1]


def reads_only(value: Any) -> Any:
    made = small_model()
    made.add_hook(HOOK, lambda activation, hook: value, reads_only=True)
    return made(torch.tensor([[1, 2]]))


def without_gradients() -> Any:
    with torch.no_grad():
        return model().run_with_hooks(tokens(), bwd_hooks=[(HOOK, lambda gradient, hook: None)])


def _hooks() -> list[Mistake]:
    resid = "blocks.0.hook_resid_post"
    keep = returning(lambda activation: None)
    rows: list[tuple[str, Callable[[], Any], str]] = [
        ("fwd_hooks=[(fn, name)]", lambda: hooked((keep, resid)), "swapped"),
        (
            "fwd_hooks=(name, fn)",
            lambda: model().run_with_hooks(tokens(), fwd_hooks=(resid, keep)),
            r"\(name, function\) pairs",
        ),
        (
            "fwd_hooks='name'",
            lambda: model().run_with_hooks(tokens(), fwd_hooks="name"),
            r"list of \(name, function\) pairs",
        ),
        (
            "fwd_hooks={name: fn}",
            lambda: model().run_with_hooks(tokens(), fwd_hooks={resid: keep}),
            r"list of \(name, function\) pairs",
        ),
        (
            "fwd_hooks=3",
            lambda: model().run_with_hooks(tokens(), fwd_hooks=3),
            r"list of \(name, function\) pairs",
        ),
        (
            "a hook without the argument `hook`",
            lambda: hooked((resid, lambda activation: None)),
            "takes other arguments",
        ),
        (
            "a hook with three arguments",
            lambda: hooked((resid, lambda a, b, hook: None)),
            "takes other arguments",
        ),
        ("a number for a hook", lambda: hooked((resid, 3)), r"function of \(activation, hook\)"),
        (
            "a misspelt hook name",
            lambda: hooked(("blocks.0.hook_resid_pots", keep)),
            "blocks.0.hook_resid_post",
        ),
        ("a misspelt name in a list", lambda: hooked(([resid, "hook_embd"], keep)), "hook_embed"),
        ("a layer that is not there", lambda: hooked(("blocks.7.hook_resid_post", keep)), "2 layers"),
        (
            "a predicate that matches nothing",
            lambda: hooked((lambda name: "patern" in name, keep)),
            "matches none",
        ),
        (
            "a hook that is never reached",
            lambda: hooked(("blocks.1.hook_resid_post", keep), stop_at_layer=1),
            "never fired",
        ),
        ("a backward hook under no_grad", without_gradients, "can never fire"),
        (
            "a backward hook that the pass does not reach",
            lambda: model().run_with_hooks(
                tokens(), stop_at_layer=1, bwd_hooks=[("blocks.1.hook_resid_post", keep)]
            ),
            "can never fire",
        ),
        (
            "a hook that returns another shape",
            lambda: hooked((resid, returning(lambda a: a[:, :1]))),
            "must have it too",
        ),
        (
            "a hook that returns another dtype",
            lambda: hooked((resid, returning(lambda a: a.double()))),
            "convert with",
        ),
        ("a hook that returns a number", lambda: hooked((resid, returning(lambda a: 3))), "return a tensor"),
        (
            "a hook that returns a pair",
            lambda: hooked((resid, returning(lambda a: (a, a)))),
            "return a tensor",
        ),
        ("a reads_only hook that returns something", lambda: reads_only(torch.zeros(1)), "would be ignored"),
        ("add_hook(fn, name)", lambda: small_model().add_hook(keep, resid), "swapped"),
        (
            "add_hook(name, fn, dir='forward')",
            lambda: small_model().add_hook(resid, keep, dir="forward"),
            "'fwd' or 'bwd'",
        ),
        (
            "rotary queries of a model without",
            lambda: hooked(("blocks.0.attn.hook_rot_q", keep)),
            "not rotary",
        ),
        (
            "names_filter=3",
            lambda: model().run_with_cache(tokens(), names_filter=3),
            "a name, a list of names",
        ),
        (
            "names_filter='resid_pre'",
            lambda: model().run_with_cache(tokens(), names_filter="resid_pre"),
            "nearest",
        ),
        ("names_filter=[3]", lambda: model().run_with_cache(tokens(), names_filter=[3]), "a string"),
        ("incl_bwd without a loss", lambda: model().run_with_cache(tokens(), incl_bwd=True), "scalar"),
        ("pos_slice='a'", lambda: model().run_with_cache(tokens(), pos_slice="a"), "a slice is"),
        (
            "a misspelt keyword",
            lambda: model().run_with_cache(tokens(), name_filter="hook_embed"),
            "names_filter",
        ),
    ]
    return [Mistake("hooks and caches", *row) for row in rows]


def _reading() -> list[Mistake]:
    cache = clean_cache
    rows: list[tuple[str, Callable[[], Any], str]] = [
        ('cache["resid_post", -3]', lambda: cache()["resid_post", -3], "layer -3 .* 2 layers"),
        ('cache["resid_post", 5]', lambda: cache()["resid_post", 5], "2 layers"),
        ('cache["resid_pots", 0]', lambda: cache()["resid_pots", 0], "resid_post"),
        ('cache["resid_post"]', lambda: cache()["resid_post"], "nearest"),
        ('cache["resid_post", 1.0]', lambda: cache()["resid_post", 1.0], "whole number"),
        ("accumulated_resid(layer=9)", lambda: cache().accumulated_resid(layer=9), "between 0 and 2"),
        ("accumulated_resid(layer='1')", lambda: cache().accumulated_resid(layer="1"), "whole number"),
        ("decompose_resid(layer=1.5)", lambda: cache().decompose_resid(layer=1.5), "whole number"),
        ("logit_attrs with an answer out of range", changed("logit_attrs", tokens=99), "0 to 39"),
        ("logit_attrs with a negative answer", changed("logit_attrs", tokens=-1), "negative"),
        (
            "logit_attrs with 3 answers for 8 prompts",
            changed("logit_attrs", tokens=[1, 2, 3]),
            "one per example",
        ),
        ("logit_attrs(answers, stack)", lambda: cache().logit_attrs(3, cache().decompose_resid()), "tensor"),
        ("model(None)", lambda: model()(None), "text or token ids"),
        ("model({'input_ids': tokens})", lambda: model()({"input_ids": tokens()}), "text or token ids"),
        ("model([])", lambda: model()([]), "no tokens"),
        ("model(tokens.float())", lambda: model()(tokens().float()), "whole numbers"),
        ("model(tokens > 3)", lambda: model()(tokens() > 3), "whole numbers"),
        ("model(3)", lambda: model()(3), r"\[batch pos\]"),
        ("model(tokens[None])", lambda: model()(tokens()[None]), r"\[batch pos\]"),
        ("model of ids out of range", lambda: model()(tokens() + 40), "out of range"),
        ("model of negative ids", lambda: model()(-tokens() - 1), "out of range"),
        ("model of more than n_ctx tokens", lambda: model()(torch.ones(1, 30, dtype=torch.long)), "n_ctx=24"),
        ("model(text) without a tokenizer", lambda: small_model()("abc"), "needs a tokenizer"),
        ("return_type='logit'", lambda: model()(tokens(), return_type="logit"), "'logits', 'loss', 'both'"),
        ("prepend_bos='yes'", lambda: model()("abc", prepend_bos="yes"), "True, False or None"),
        ("padding_side='middle'", lambda: model()(["ab", "c"], padding_side="middle"), "'left' or 'right'"),
        ("stop_at_layer=5", lambda: model()(tokens(), stop_at_layer=5), "between -2 and 2"),
        ("stop_at_layer='1'", lambda: model()(tokens(), stop_at_layer="1"), "whole number"),
        ("start_at_layer=1 with tokens", lambda: model()(tokens(), start_at_layer=1), "residual stream"),
        (
            "start_at_layer=1 and a loss without tokens",
            lambda: model()(torch.zeros(1, 3, 32), start_at_layer=1, return_type="loss"),
            "needs the tokens",
        ),
        (
            "an attention mask of another shape",
            lambda: model()(tokens(), attention_mask=torch.ones(8, 3)),
            "must be the same",
        ),
        (
            "an attention mask of other numbers",
            lambda: model()(tokens(), attention_mask=tokens()),
            "must contain only 1",
        ),
        ("past_kv_cache={}", lambda: model()(tokens(), past_kv_cache={}), "HookedTransformerKeyValueCache"),
        (
            "a key/value cache of another model",
            lambda: model()(tokens()[:1], past_kv_cache=other_model_cache()),
            "another model",
        ),
        (
            "a key/value cache of another batch",
            lambda: model()(tokens(), past_kv_cache=HookedTransformerKeyValueCache.init_cache(model().cfg)),
            "batch of 1",
        ),
        ("a loss of one token", lambda: model()(tokens()[:, :1], return_type="loss"), "no next token"),
        ("to_tokens(3)", changed("to_tokens", input=3), "a string or a list of strings"),
        ("to_tokens(['a', 3])", changed("to_tokens", input=["a", 3]), "a string or a list of strings"),
        ("to_single_token of two", changed("to_single_token", string="ab"), "not one token but 2"),
        ("to_string of 1.5", changed("to_string", tokens=1.5), "whole numbers"),
        ("to_single_str_token('a')", changed("to_single_str_token", int_token="a"), "one whole number"),
        ("a token that does not occur", changed("get_token_position", single_token="z"), "does not occur"),
        ("generate(max_new_tokens=-1)", changed("generate", max_new_tokens=-1), "negative"),
        ("generate(max_new_tokens=1.5)", changed("generate", max_new_tokens=1.5), "whole number"),
        ("generate past n_ctx", changed("generate", max_new_tokens=30), "n_ctx=24"),
        ("generate(temperature=-1)", changed("generate", temperature=-1.0, do_sample=True), "temperature"),
        (
            "generate(temperature=nan)",
            changed("generate", temperature=NOT_FINITE, do_sample=True),
            "temperature",
        ),
        ("generate(top_k=0)", changed("generate", top_k=0, do_sample=True), "top_k"),
        ("generate(top_p=1.5)", changed("generate", top_p=1.5, do_sample=True), "top_p"),
        ("generate(eos_token_id=99)", changed("generate", eos_token_id=99, stop_at_eos=True), "0 to 39"),
        (
            "generate(return_type='text')",
            changed("generate", return_type="text"),
            "return_type must be one of",
        ),
        ("generate(do_sample='yes')", changed("generate", do_sample="yes"), "True or False"),
        ("generate(stop_strings=[''])", changed("generate", stop_strings=[""]), "non-empty"),
        ("generate(freq_penalty=nan)", changed("generate", freq_penalty=NOT_FINITE), "finite"),
        (
            "steps after the end token without one",
            lambda: small_model().generate(tokens()[:, :3], 2, verbose=False),
            "needs an end token",
        ),
    ]
    return [Mistake("reading and writing text", *row) for row in rows]


def _configs() -> list[Mistake]:
    rows: list[tuple[str, Callable[[], Any], str]] = [
        ("device='gpu'", lambda: config(device="gpu"), "'cuda'"),
        ("device=3.5", lambda: config(device=3.5), "device"),
        ("model.to('gpu')", lambda: small_model().to("gpu"), "'cuda'"),
        ("load_model(name, device='gpu')", lambda: ms.load_model("induction-2l", device="gpu"), "'cuda'"),
        ("dtype='int8'", lambda: config(dtype="int8"), "floating-point"),
        ("dtype='float99'", lambda: config(dtype="float99"), "data type"),
        (
            "load_model(name, dtype='int8')",
            lambda: ms.load_model("induction-2l", dtype="int8"),
            "floating-point",
        ),
        ("load_model(None)", lambda: ms.load_model(None), "a name, a path"),
        ("load_model('')", lambda: ms.load_model(""), "empty name"),
        ("load_model('inducton-2l')", lambda: ms.load_model("inducton-2l"), "induction-2l"),
        (
            "load_model(name, first_n_layers=-1)",
            lambda: ms.load_model("induction-2l", first_n_layers=-1),
            "first_n_layers",
        ),
        ("HookedTransformer('gpt2')", lambda: ms.HookedTransformer("gpt2"), "dictionary of its fields"),
        ("HookedTransformer(None)", lambda: ms.HookedTransformer(None), "dictionary of its fields"),
        ("n_layer=2", lambda: config(n_layer=2), "n_layers"),
        ("n_layers='2'", lambda: config(n_layers="2"), "n_layers must be a whole number"),
        ("n_layers=-1", lambda: config(n_layers=-1), "n_layers"),
        ("n_layers=1.5", lambda: config(n_layers=1.5), "n_layers must be a whole number"),
        ("d_model=0", lambda: config(d_model=0), "d_model"),
        ("n_ctx=True", lambda: config(n_ctx=True), "n_ctx must be a whole number"),
        ("d_vocab=0", lambda: config(d_vocab=0), "d_vocab"),
        ("act_fn='gleu'", lambda: config(attn_only=False, act_fn="gleu"), "gelu"),
        ("normalization_type='layernorm'", lambda: config(normalization_type="layernorm"), "LN"),
        ("positional_embedding_type='rope'", lambda: config(positional_embedding_type="rope"), "rotary"),
        ("eps=-1", lambda: config(eps=-1.0), "eps"),
        ("eps=nan", lambda: config(eps=NOT_FINITE), "eps"),
        ("n_key_value_heads=3 of 2", lambda: config(n_key_value_heads=3), "n_key_value_heads"),
        ("rotary_dim=3", lambda: config(positional_embedding_type="rotary", rotary_dim=3), "rotary_dim"),
        (
            "rotary_base=inf",
            lambda: config(positional_embedding_type="rotary", rotary_base=float("inf")),
            "rotary_base",
        ),
        ("attention_dir='both'", lambda: config(attention_dir="both"), "attention_dir"),
        ("an MLP without act_fn", lambda: config(attn_only=False), "act_fn"),
        ("set_tokenizer('gpt2')", lambda: small_model().set_tokenizer("gpt2"), "Hugging Face interface"),
        (
            "a tokenizer with more ids than the model",
            lambda: small_model(d_vocab=5).set_tokenizer(word_tokenizer(["a", "b", "c"])),
            "5",
        ),
    ]
    return [Mistake("models and configs", *row) for row in rows]


def _tasks() -> list[Mistake]:
    ids = tokens

    def made(**changes: Any) -> Callable[[], Any]:
        return changed("from_tokens", **changes)

    rows: list[tuple[str, Callable[[], Any], str]] = [
        ("from_tokens(tokens + 0.5, …)", made(clean=ids().float() + 0.5), "whole numbers"),
        ("answers of 1.5", made(correct=[1.5] * 8), "whole numbers"),
        ("a tensor of answers of 1.5", made(correct=torch.full((8,), 1.5)), "whole numbers"),
        ("truth values for answers", made(correct=[True] * 8), "whole numbers"),
        ("negative answers", made(correct=[-1] * 8), "negative"),
        ("7 answers for 8 prompts", made(correct=list(range(7))), "8"),
        ("prompts of two lengths", made(corrupted=ids()[:, :5]), "same shape"),
        ("the same prompt twice", made(corrupted=ids()), "same tokens"),
        ("answers at position 99", made(answers_at=99), "99"),
        ("a named position outside", made(positions={"S": 40}), "40"),
        ("a metric that does not exist", made(metric="logit_diff"), "logit_difference"),
        ("tokens of one sequence", made(clean=ids()[0], corrupted=ids()[1]), r"\[batch pos\]"),
        ("no prompts", made(clean=ids()[:0], corrupted=ids()[:0]), r"\[batch pos\]"),
        (
            "an answer that the model cannot give",
            lambda: made(correct=[77] * 8)().baselines(model()),
            "0 to 39",
        ),
        ("prompts longer than n_ctx", lambda: task().baselines(small_model(n_ctx=4)), "n_ctx=4"),
        (
            "tokens of another vocabulary",
            lambda: task().baselines(small_model(d_vocab=10)),
            "another model's tokenizer",
        ),
        ("from_prompts with a string for a list", changed("from_prompts", clean="abc"), "list of strings"),
        (
            "from_prompts with lists of two lengths",
            changed("from_prompts", corrupted=["abd"]),
            "must have the same length",
        ),
        (
            "from_prompts with pairs of two lengths",
            changed("from_prompts", corrupted=["ab", "xyw"]),
            "same length",
        ),
        ("an answer of two tokens", changed("from_prompts", correct=["de", "a"]), "not one token but 2"),
        ("from_prompts without a tokenizer", changed("from_prompts", model=small_model()), "no tokenizer"),
        (
            "an empty list of prompts",
            changed("from_prompts", clean=[], corrupted=[], correct=[], wrong=None),
            "empty",
        ),
        ("modular_addition(p=1)", changed("modular_addition", p=1), "p"),
        ("modular_addition(n=-3)", changed("modular_addition", n=-3), "at least 1"),
        ("modular_addition with more pairs than there are", changed("modular_addition", p=3, n=100), "9"),
        ("sorting(length=0)", changed("sorting", length=0), "at least 2"),
        ("sorting with too few values", changed("sorting", length=8, n_values=3), "values"),
        ("repeated_random_tokens(n=0)", changed("repeated_random_tokens", n=0), "at least 1"),
        (
            "repeated_random_tokens(half=1000)",
            changed("repeated_random_tokens", half=1000),
            "n_ctx|context|positions",
        ),
        ("get_metric('logit_diff')", changed("get_metric", metric="logit_diff"), "logit_difference"),
        ("ioi without a tokenizer", lambda: tasks.ioi(small_model(), 4), "no tokenizer"),
        (
            "ioi with an unknown corruption",
            lambda: tasks.ioi(ms.load_model("ioi-twin"), 4, corruption="XYZ"),
            "corruption",
        ),
        ("select of an example that is not there", lambda: task().select([99]), "99|out of"),
        ("split(0)", lambda: task().split(0.0), "one part empty"),
        ("with_metric('accuracy ')", lambda: task().with_metric("accuracy "), "accuracy"),
    ]
    return [Mistake("tasks", *row) for row in rows]


def _interventions() -> list[Mistake]:
    z, resid, pattern, post = "attn.hook_z", "hook_resid_pre", "attn.hook_pattern", "mlp.hook_post"
    rows: list[tuple[str, Callable[[], Any], str]] = [
        ("patch(task, model)", changed("patch", model=task(), task=model()), "swapped"),
        ("patch(model, tokens)", changed("patch", task=tokens()), "a task"),
        ("patch of an unknown site", changed("patch", site="resid_prr"), "resid_pre"),
        ("patch(layers=[7])", changed("patch", layers=[7]), "layer"),
        ("patch(direction='forward')", changed("patch", direction="forward"), "'denoise' or 'noise'"),
        ("patch(normalize=1)", changed("patch", normalize=1), "True or False"),
        ("patch(memory=-1)", changed("patch", memory=-1), "memory"),
        ("knock_out([(0, 1)])", changed("knock_out", components=[(0, 1)]), "list of strings"),
        ("knock_out(['a9.h9'])", changed("knock_out", components=["a9.h9"]), "2 layers of 4 heads"),
        ("knock_out(['head 1'])", changed("knock_out", components=["head 1"]), "head 1"),
        ("knock_out([])", changed("knock_out", components=[]), "empty|at least one|nothing|no component"),
        ("ablation(how='median')", changed("ablation", how="median"), "zero, mean"),
        ("ablation(draws=0)", changed("ablation", draws=0, how="resample"), "draws"),
        ("ablation of an unknown kind", changed("ablation", components="neurones"), "neurones"),
        (
            "a reference of another length",
            changed("ablation", how="resample", reference=tokens()[:, :4]),
            "position by position",
        ),
        ("path_patching to an unknown node", changed("path_patching", receivers=["logit"]), "logit"),
        (
            "path_patching from later to earlier",
            changed("path_patching", senders=["a1.h0"], receivers=["a0.h0<q>"]),
            "after|before|earlier|later",
        ),
        ("Edit(head=99)", lambda: edit(z, head=99), "outside 0 to 3"),
        ("Edit(head=-1)", lambda: edit(z, head=-1), "outside 0 to 3"),
        ("Edit(head='1')", lambda: edit(z, head="1"), "whole number"),
        ("Edit of a head of the residual stream", lambda: edit(resid, head=1), "no heads"),
        ("Edit(pos=99)", lambda: edit(resid, pos=99), "outside 0 to 6"),
        ("Edit(pos=-1)", lambda: edit(resid, pos=-1), "outside 0 to 6"),
        ("Edit(index=999)", lambda: edit(post, index=999), "outside 0 to 127"),
        ("Edit(key=99)", lambda: edit(pattern, key=99), "outside 0 to 6"),
        ("Edit(key=1) of z", lambda: edit(z, key=1), "no key axis"),
        ("Edit without a value", lambda: edit(z, value=None), "a value or a function"),
        ("Edit(how='multiply')", lambda: edit(z, how="multiply"), "'replace' or 'add'"),
        (
            "Edit with a value of another width",
            lambda: edit(resid, value=torch.zeros(1, 7, 5)),
            r"\[batch pos 32\]",
        ),
        (
            "Edit with a value of another length",
            lambda: edit(resid, value=torch.zeros(1, 5, 32)),
            "same number of tokens",
        ),
        ("Edit with NaN", lambda: edit(resid, value=torch.full((1, 7, 32), NOT_FINITE)), "NaN"),
        ("Edit with a basis of another width", lambda: edit(resid, basis=torch.zeros(5, 2)), r"\[32 k\]"),
        (
            "Edit of the logits",
            lambda: sweep(techniques.Edit("ln_final.hook_normalized", 0.0)),
            "run_with_hooks",
        ),
        (
            "a sweep without edits",
            lambda: techniques.Sweep(model(), tokens(), progress=False).run([], last_logit),
            "no interventions|nothing|at least one|edits",
        ),
        (
            "a clean cache of another length",
            changed("get_act_patch_resid_pre", clean_cache=of_another_length()),
            "same number of tokens",
        ),
        (
            "a metric that gives a vector",
            changed("get_act_patch_resid_pre", patching_metric=lambda logits: logits[:, -1, 0]),
            "one number",
        ),
        (
            "a metric that is NaN",
            changed("get_act_patch_resid_pre", patching_metric=lambda logits: logits.sum() * NOT_FINITE),
            "NaN",
        ),
        (
            "a string for a metric",
            changed("get_act_patch_resid_pre", patching_metric="logit_diff"),
            "a function",
        ),
        (
            "the cache in the place of the tokens",
            changed("get_act_patch_resid_pre", corrupted_tokens=clean_cache(), clean_cache=tokens()),
            "swapped|tensor",
        ),
        ("subspace_patching(layer=5)", changed("subspace_patching", layer=5), "layer"),
        ("a subspace of another width", changed("subspace_patching", subspace=torch.randn(5)), "32"),
        (
            "a subspace of zeros",
            changed("subspace_patching", subspace=torch.zeros(32)),
            "zero|independent|rank",
        ),
        (
            "directional_ablation of a direction of zeros",
            changed("directional_ablation", direction=torch.zeros(32)),
            "zero|independent|rank",
        ),
        ("n_random=0", changed("directional_ablation", n_random=0), "at least"),
        (
            "orthogonalize_weights of another width",
            changed("orthogonalize_weights", direction=torch.randn(7)),
            "32",
        ),
        ("steering_vector(layer=2)", changed("steering_vector", layer=2), "layer 2"),
        ("steering_vector(layer=-1)", changed("steering_vector", layer=-1), "layer -1"),
        (
            "steering_vector without negative prompts",
            changed("steering_vector", negative=None),
            "negative prompts",
        ),
        ("a task and negative prompts", changed("steering_vector", positive=task()), "own negative prompts"),
        ("a named position of tokens", changed("steering_vector", positions="S2"), "have names"),
        ("position 99", changed("steering_vector", positions=99), "outside 0 to 6"),
        ("the same prompts twice", changed("steering_vector", negative=tokens()[:4]), "same mean"),
        ("steered by a vector of another width", changed("steered", vector=torch.randn(7)), "32"),
        ("steered by zeros", changed("steered", vector=torch.zeros(32)), "not zero"),
        ("steered by nan", changed("steered", coefficient=NOT_FINITE), "finite"),
        ("steering_curve without coefficients", changed("steering_curve", coefficients=[]), "at least one"),
        ("steering_curve of one token", changed("steering_curve", text=tokens()[:, :1]), "two positions"),
    ]
    return [Mistake("interventions", *row) for row in rows]


def _techniques() -> list[Mistake]:
    rows: list[tuple[str, Callable[[], Any], str]] = [
        ("logit_lens(top=0)", changed("logit_lens", top=0), "top must be between 1"),
        ("logit_lens(top=99)", changed("logit_lens", top=99), "top must be between 1"),
        ("logit_lens(batch_size=0)", changed("logit_lens", batch_size=0), "batch_size"),
        (
            "logit_lens of targets of another shape",
            changed("logit_lens", targets=tokens()[:, :3]),
            "each position",
        ),
        (
            "logit_lens of a text without a tokenizer",
            lambda: techniques.logit_lens(small_model(), "abc"),
            "needs a tokenizer",
        ),
        (
            "logit_lens of a prompt of padding",
            changed("logit_lens", attention_mask=torch.zeros(8, 7)),
            "only padding",
        ),
        (
            "a mask for a task",
            changed("logit_lens", data=task(), attention_mask=torch.ones(8, 7)),
            "knows its own padding",
        ),
        ("direct_logit_attribution(by='heads')", changed("direct_logit_attribution", by="heads"), "head"),
        ("direct_logit_attribution(top=0)", changed("direct_logit_attribution", by="neuron", top=0), "top"),
        ("head_scores of an unknown pattern", changed("head_scores", pattern="prevous"), "previous"),
        (
            "head_scores of a matrix of another size",
            changed("head_scores", pattern=torch.zeros(3, 3)),
            r"\(7, 7\)",
        ),
        (
            "head_scores of weights above 1",
            changed("head_scores", pattern=torch.full((7, 7), 2.0)),
            "between 0 and 1",
        ),
        (
            "head_scores where nothing comes twice",
            changed("head_scores", data=torch.arange(7)[None], pattern="duplicate"),
            "nothing to score",
        ),
        ("detect_heads without patterns", changed("detect_heads", patterns=[]), "at least one"),
        ("detect_heads without seeds", changed("detect_heads", seeds=[]), "at least one seed"),
        ("norm_weighted_attention(layer=9)", changed("norm_weighted_attention", layer=9), "no layer 9"),
        ("norm_weighted_attention(head=-1)", changed("norm_weighted_attention", head=-1), "no head -1"),
        (
            "norm_weighted_attention(example=99)",
            changed("norm_weighted_attention", example=99),
            "no prompt 99",
        ),
        (
            "attention_statistics of one token",
            changed("attention_statistics", data=tokens()[:, :1]),
            "one token",
        ),
        ("probe labels of another length", changed("linear_probe", labels=[0, 1]), "labels have shape"),
        ("probe labels of one class", changed("linear_probe", labels=[1] * 8), "two classes"),
        (
            "probe labels that are NaN",
            changed("linear_probe", labels=[NOT_FINITE] * 8, kind="regression"),
            "finite",
        ),
        ("a probe of an unknown kind", changed("linear_probe", kind="logistic"), "classification"),
        ("a probe scored by another metric", changed("linear_probe", metric="r2"), "accuracy"),
        ("a probe at an unknown site", changed("linear_probe", site="residual"), "no activation"),
        ("test_share=1.5", changed("linear_probe", test_share=1.5), "between 0 and 1"),
        ("probe at position 99", changed("linear_probe", positions=[99]), "outside 0 to 6"),
        ("composition_scores('X')", changed("composition_scores", kind="X"), "Q"),
        ("composition_scores(draws=1)", changed("composition_scores", draws=1), "at least 2 draws"),
        ("composition of one layer", changed("composition_scores", model=small_model(n_layers=1)), "layer"),
        ("full_circuit(layer=9)", changed("full_circuit", layer=9), "layer 9"),
        ("full_circuit('VO')", changed("full_circuit", circuit="VO"), "OV"),
        ("top_token_pairs(k=0)", changed("top_token_pairs", k=0), "k"),
        ("top_token_pairs(head=9)", changed("top_token_pairs", head=9), "head 9"),
        ("singular_directions(n=0)", changed("singular_directions", n=0), "between 1 and 8"),
        ("neuron_tokens of neuron 999", changed("neuron_tokens", neurons=[999]), "999"),
        (
            "neuron_tokens of an attention-only model",
            lambda: techniques.neuron_tokens(ms.load_model("induction-2l"), 0, [1]),
            "no neurons|attention-only",
        ),
        ("discover by an unknown method", changed("discover", method="eapig"), "eap-ig"),
        ("discover with the task first", changed("discover", model=task(), task=model()), "swapped"),
        ("acdc(tau=-1)", changed("acdc", tau=-1.0), "at least 0"),
        ("acdc(tau=inf)", changed("acdc", tau=float("inf")), "finite"),
        ("acdc by an unknown rule", changed("acdc", rule="largest"), "change"),
        (
            "a circuit of more edges than there are",
            lambda: techniques.discover(model(), task(), "eap", progress=False).circuit(10**6),
            "edges",
        ),
        ("causal_scrubbing of another node", changed("causal_scrubbing", hypothesis="logits"), "Part"),
        ("causal_scrubbing(draws=0)", changed("causal_scrubbing", draws=0), "draws"),
        (
            "scrubbing prompts of another length",
            changed("causal_scrubbing", prompts=tokens()[:, :4]),
            "7 positions",
        ),
        ("embedding_spectrum(p=99)", changed("embedding_spectrum", p=99), "p=99"),
        ("embedding_spectrum(p=-1)", changed("embedding_spectrum", p=-1), "p=-1"),
        ("fourier_basis(1)", changed("fourier_basis", p=1), "2"),
        (
            "key_frequencies of negative strengths",
            changed("key_frequencies", strength=[-1.0, 2.0]),
            "numbers from 0",
        ),
        ("gini of nothing", changed("gini", values=[]), "not all 0"),
        ("redteam of a string", lambda: techniques.redteam(model(), task(), "it copies"), "Behaviour"),
        (
            "load_circuit of a file that is not there",
            lambda: techniques.load_circuit("no/such/file.json"),
            "no/such/file.json",
        ),
        (
            "detect_head of an unknown head",
            changed("detect_head", detection_pattern="previous_head"),
            "previous_token_head",
        ),
        ("detect_head of one token", changed("detect_head", seq=tokens()[:1, :1]), "at least 2"),
        ("detect_head(heads=[(9, 0)])", changed("detect_head", heads=[(9, 0)]), "no head 0 in layer 9"),
        ("detect_head(error_measure='mean')", changed("detect_head", error_measure="mean"), "'mul' or 'abs'"),
        ("induction_loss(subseq_len=1)", changed("induction_loss", subseq_len=1), "between 2"),
        ("planted.load('induktion')", changed("planted.load", name="induktion"), "induction"),
        (
            "hypothesis in the place of the task",
            changed("causal_scrubbing", task=hypothesis(), hypothesis=task()),
            "swapped",
        ),
    ]
    return [Mistake("techniques", *row) for row in rows]


def _dictionaries() -> list[Mistake]:
    other = "blocks.1.hook_resid_post"

    def topk(**changes: Any) -> Callable[[], Any]:
        return lambda: dictionaries.build(
            dictionaries.TopKConfig(**{"d_in": 8, "d_sae": 16, "k": 2, **changes}), generator=0
        )

    rows: list[tuple[str, Callable[[], Any], str]] = [
        ("attached where it was not trained", changed("attached", hook_name=other), "not trained on"),
        (
            "attached to a misspelt point",
            changed("attached", hook_name="blocks.0.hook_resid_pots"),
            "hook_resid_post",
        ),
        (
            "attached(model, dictionary)",
            changed("attached", dictionary=model(), model=dictionary()),
            "swapped",
        ),
        ("attached twice", lambda: attached_twice(), "already"),
        ("TopKConfig(k=99)", topk(k=99), "only d_sae = 16"),
        ("TopKConfig(k=0)", topk(k=0), "k"),
        ("TopKConfig(k=1.5)", topk(k=1.5), "k must be a whole number"),
        ("TopKConfig(d_in=-1)", topk(d_in=-1), "d_in"),
        ("TopKConfig(d_in='8')", topk(d_in="8"), "d_in must be a whole number"),
        ("TopKConfig(normalize='unit')", topk(normalize="unit"), "normalize"),
        ("activations of another width", lambda: dictionary()(torch.zeros(2, 5)), "32"),
        (
            "activations with NaN in a stream",
            changed("TensorStream", x=torch.full((20, 32), NOT_FINITE)),
            "NaN|finite",
        ),
        ("fewer activations than a batch", changed("TensorStream", batch_size=64), "batch"),
        ("TensorStream(batch_size=0)", changed("TensorStream", batch_size=0), "batch_size|batch"),
        ("ModelStream of no hook point", changed("ModelStream", hook_name=[]), "empty list"),
        (
            "ModelStream of patterns",
            changed("ModelStream", hook_name="blocks.0.attn.hook_pattern"),
            "one vector for each",
        ),
        ("ModelStream(skip_first=99)", changed("ModelStream", skip_first=99), "leaves no position"),
        ("ModelStream(skip_first=-1)", changed("ModelStream", skip_first=-1), "at least 0"),
        ("ModelStream of floats", changed("ModelStream", tokens=tokens().float()), "whole numbers"),
        (
            "ModelStream with a mask of another shape",
            changed("ModelStream", mask=torch.ones(3, 3, dtype=torch.bool)),
            "must be the same",
        ),
        ("a buffer smaller than a batch", changed("ModelStream", buffer_size=2), "buffer"),
        ("a buffer larger than the text", changed("ModelStream", buffer_size=10_000), "buffer"),
        (
            "evaluate on tokens without a model",
            changed("evaluate (dictionary)", model=None, hook_name=None),
            "give the model",
        ),
        ("evaluate without hook_name", changed("evaluate (dictionary)", hook_name=None), "hook_name"),
        (
            "evaluate on a misspelt point",
            changed("evaluate (dictionary)", hook_name="hook_embd"),
            "hook_embed",
        ),
        ("evaluate(skip_first=7)", changed("evaluate (dictionary)", skip_first=7), "leaves no position"),
        ("spliced_loss(batch_size=0)", changed("spliced_loss", batch_size=0), "at least 1"),
        (
            "spliced_loss of texts of one token",
            changed("spliced_loss", tokens=tokens()[:, :1]),
            "no token left to predict",
        ),
        ("features that are not there", changed("read_features", features=[99]), "0 to 47"),
        ("negative features", changed("read_features", features=[-1]), "0 to 47"),
        ("no features", changed("read_features", features=[]), "one or more"),
        ("pages of features that are not there", changed("feature_pages", features=[99]), "0 to 47"),
        ("train without steps", lambda: dictionaries.TrainingConfig(steps=0), "steps"),
        ("train(lr=-1)", lambda: dictionaries.TrainingConfig(steps=2, lr=-1.0), "lr"),
        ("train(lr=nan)", lambda: dictionaries.TrainingConfig(steps=2, lr=NOT_FINITE), "lr"),
        ("train on a tensor", changed("train", stream=torch.randn(8, 32)), "stream"),
        ("train a dictionary of another width", changed("train", dictionaries=topk()()), "32"),
        (
            "load from a folder that is not there",
            lambda: dictionaries.load("no/such/folder"),
            "no/such/folder",
        ),
        (
            "patch_features of tokens",
            lambda: feature_effects.patch_features(model(), tokens(), attached()),
            "a task",
        ),
    ]
    return [Mistake("dictionaries", *row) for row in rows]


def attached_twice() -> Any:
    with dictionaries.attached(dictionary(), model()), dictionaries.attached(dictionary(), model()):
        return None


def _helpers() -> list[Mistake]:
    stack = torch.zeros(3, 8, 7, 32)
    logits, ids = torch.zeros(1, 5, 7), torch.zeros(1, 5, dtype=torch.int64)
    with_nan = ms.FactoredMatrix(torch.full((3, 3), NOT_FINITE), torch.zeros(3, 3))
    cache = clean_cache
    rows: list[tuple[str, Callable[[], Any], str]] = [
        ("apply_ln_to_stack('stack')", lambda: cache().apply_ln_to_stack("stack"), "a tensor"),  # type: ignore[arg-type]
        (
            "a stack of another width",
            lambda: cache().apply_ln_to_stack(stack[..., :5]),
            "vectors of the residual",
        ),
        (
            "a stack of one vector",
            lambda: cache().apply_ln_to_stack(torch.zeros(32)),
            "vectors of the residual",
        ),
        (
            "a stack of another batch",
            lambda: cache().apply_ln_to_stack(stack[:, :3]),
            "does not belong to this pass",
        ),
        (
            "a stack of fewer positions",
            lambda: cache().apply_ln_to_stack(stack[:, :, :4]),
            "does not belong to this pass",
        ),
        ("logit_attrs of no tokens", changed("logit_attrs", tokens=[]), "no tokens"),
        ("cache['resid_pre', True]", lambda: cache()["resid_pre", True], "whole number"),
        ("cache['q', 0, 'mlp']", lambda: cache()["q", 0, "mlp"], "an activation of 'attn'"),
        ("ActivationCache(model, activations)", lambda: ms.ActivationCache(model(), {}), "by hook name"),  # type: ignore[arg-type]
        ("a cache of numbers", lambda: ms.ActivationCache({"hook_embed": 1}, model()), "holds tensors"),  # type: ignore[dict-item]
        ("cache.to('gpu')", lambda: cache().to("gpu"), "'cuda'"),
        ("cache.toggle_autodiff('no')", lambda: cache().toggle_autodiff("no"), "True or False"),  # type: ignore[arg-type]
        ("FactoredMatrix(1, 2)", lambda: ms.FactoredMatrix(1, 2), "A is a tensor"),  # type: ignore[arg-type]
        (
            "factors of two data types",
            lambda: ms.FactoredMatrix(torch.zeros(2, 3), torch.zeros(3, 2, dtype=torch.float64)),
            "one data type",
        ),
        ("eigenvalues of NaN", lambda: with_nan.eigenvalues, "NaN or infinite"),
        ("singular values of NaN", lambda: with_nan.S, "NaN or infinite"),
        ("a corner of -1 rows", lambda: with_nan.get_corner(-1), "at least one"),
        ("a loss of float tokens", lambda: utils.lm_cross_entropy_loss(logits, ids.float()), "whole numbers"),
        ("accuracy of float tokens", lambda: utils.lm_accuracy(logits, ids.float()), "whole numbers"),
        ("accuracy of tokens of another length", lambda: utils.lm_accuracy(logits, ids[:, :4]), "must agree"),
        ("a token drawn from NaN", lambda: utils.sample_logits(logits[0] / 0), "no token to sample"),
        ("sample_logits(top_k=1.5)", lambda: utils.sample_logits(logits[0], top_k=1.5), "whole number"),  # type: ignore[arg-type]
        (
            "repeat_along_head_dimension(0)",
            lambda: utils.repeat_along_head_dimension(logits, 0),
            "at least one",
        ),
        ("more positions before than there are", lambda: utils.get_offset_position_ids(9, ids), "0 to the 5"),
        ("the transpose of a vector", lambda: utils.transpose(torch.zeros(3)), "a matrix"),
        ("test_prompt of a string as a model", lambda: utils.test_prompt("a", "b", "model"), "a model"),  # type: ignore[arg-type]
        (
            "composition_scores of a tensor",
            lambda: utils.composition_scores(logits, with_nan),
            "FactoredMatrix",
        ),  # type: ignore[arg-type]
        ("run_with_cache(device='gpu')", lambda: model().run_with_cache(tokens(), device="gpu"), "'cuda'"),
        (
            "run_with_cache(incl_bwd='yes')",
            lambda: model().run_with_cache(tokens(), incl_bwd="yes"),
            "True or False",
        ),
        ("run_with_hooks(reset_hooks_end='no')", lambda: hooked(reset_hooks_end="no"), "True or False"),
        ("add_hook(None, fn)", lambda: model().add_hook(None, returning(lambda a: a)), "not None"),
        (
            "add_hook(level='top')",
            lambda: model().add_hook(HOOK, returning(lambda a: a), level="top"),  # type: ignore[arg-type]
            "level",
        ),
        (
            "a hook that returns another device",
            lambda: hooked((HOOK, returning(lambda a: a.to("meta")))),
            "on meta",
        ),
        ("model(padding_side=3)", lambda: model()(tokens(), padding_side=3), "'left' or 'right'"),  # type: ignore[arg-type]
        (
            "positions of a shortformer at the start",
            lambda: model()(tokens(), shortformer_pos_embed=torch.zeros(8, 7, 32)),
            "start_at_layer",
        ),
        ("generate([])", lambda: model().generate([], 2, verbose=False), "empty"),
        (
            "generate(temprature=1)",
            lambda: model().generate(tokens(), 2, temprature=1),
            "Did you mean temperature",
        ),  # type: ignore[call-arg]
        ("model.to(torch.int8)", lambda: small_model().to(torch.int8), "floating point"),
        ("model.to(dtype='int8')", lambda: small_model().to(dtype="int8"), "data type"),
        ("model.to(3.5)", lambda: small_model().to(3.5), "device"),
        ("set_use_attn_result('yes')", lambda: small_model().set_use_attn_result("yes"), "True or False"),  # type: ignore[arg-type]
        ("load_state_dict of a path", lambda: small_model().load_state_dict("model.pt"), "a mapping"),  # type: ignore[arg-type]
        (
            "load_and_process_state_dict(fold_ln='yes')",
            lambda: small_model().load_and_process_state_dict(model().state_dict(), fold_ln="yes"),  # type: ignore[arg-type]
            "True or False",
        ),
        ("directions of no tokens", lambda: model().tokens_to_residual_directions([]), "no tokens"),
        (
            "a key/value cache of no config",
            lambda: HookedTransformerKeyValueCache.init_cache(3),  # type: ignore[arg-type]
            "model.cfg",
        ),
        (
            "a key/value cache of no rows",
            lambda: HookedTransformerKeyValueCache.init_cache(model().cfg, "cpu", 0),
            "at least 1",
        ),
        (
            "default_padding_side='middle'",
            lambda: ms.HookedTransformer(FIELDS, default_padding_side="middle"),
            "left",
        ),  # type: ignore[arg-type]
        ("seed=-1", lambda: config(seed=-1), "seed must be between 0"),
        ("ioi_eval(num_samples=0)", lambda: evals.IOIDataset(object(), num_samples=0), "num_samples"),
        ("ioi_eval of a string", lambda: evals.ioi_eval("gpt2"), "a model"),  # type: ignore[arg-type]
        ("induction_loss of a string", lambda: evals.induction_loss("gpt2"), "a model"),  # type: ignore[arg-type]
        ("induction_loss(device='gpu')", lambda: evals.induction_loss(model(), device="gpu"), "'cuda'"),
        ("planted.load(noise=nan)", lambda: planted.load("induction", noise=NOT_FINITE), "noise"),
        ("planted.load(margin=nan)", lambda: planted.load("induction", margin=NOT_FINITE), "margin"),
        ("a figure of a list", lambda: viz.bars(["a"], [1], title="t", x_title="x", y_title="y"), "series"),  # type: ignore[arg-type]
        (
            "a figure without columns",
            lambda: viz.image_grid(torch.zeros(2, 3, 3), ["a", "b"], title="pixels", unit="ink", columns=0),
            "columns",
        ),
        (
            "a spread of another length",
            lambda: viz.ranked_bars(["a"], [1], title="t", x_title="x", y_title="y", spread=[1, 2]),
            "spread",
        ),
        ("render_result(3)", lambda: viz.render_result(3), "result"),  # type: ignore[arg-type]
    ]
    return [Mistake("caches, matrices and helpers", *row) for row in rows]


def corpus() -> list[Mistake]:
    """Every mistake, kind after kind."""
    kinds = (_hooks, _reading, _configs, _tasks, _interventions, _techniques, _dictionaries, _helpers)
    return [mistake for kind in kinds for mistake in kind()]
