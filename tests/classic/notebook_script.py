"""A notebook for the classic interface, as a script: every name that it promises, on small random models.

`test_notebook.py` runs it, and checks that no name was forgotten.
"""

# %% Imports, as an old notebook has them but for the package's name
import tempfile
from functools import partial
from pathlib import Path

import torch

import mechscope
from mechscope import (
    ActivationCache,
    FactoredMatrix,
    HookedTransformer,
    HookedTransformerConfig,
    HookedTransformerKeyValueCache,
    SVDInterpreter,
    components,
    evals,
    head_detector,
    patching,
    utils,
)
from mechscope.ActivationCache import ActivationCache as SameActivationCache
from mechscope.checkpoints.save import save_model
from mechscope.hook_points import HookedRootModule, HookPoint
from mechscope.HookedTransformer import HookedTransformer as SameHookedTransformer
from mechscope.HookedTransformerConfig import HookedTransformerConfig as SameConfig
from mechscope.past_key_value_caching import HookedTransformerKeyValueCache as SameKeyValueCache
from tests.classic.words import word_tokenizer

assert SameActivationCache is ActivationCache and SameHookedTransformer is HookedTransformer
assert SameConfig is HookedTransformerConfig and SameKeyValueCache is HookedTransformerKeyValueCache
torch.manual_seed(0)
tokenizer = word_tokenizer()

# %% A config with every classic field
cfg = HookedTransformerConfig(
    n_layers=2,
    d_model=32,
    d_head=8,
    n_heads=4,
    d_mlp=48,
    n_ctx=24,
    d_vocab=len(tokenizer),
    d_vocab_out=len(tokenizer),
    act_fn="gelu_new",
    attn_only=False,
    normalization_type="LN",
    positional_embedding_type="standard",
    n_key_value_heads=None,
    gated_mlp=False,
    final_rms=False,
    parallel_attn_mlp=False,
    attention_dir="causal",
    seed=0,
    init_mode="gpt2",
    init_weights=True,
    dtype=torch.float32,
    device="cpu",
    tokenizer_name="words",
    model_name="notebook",
    default_prepend_bos=True,
    use_attn_result=False,
    use_split_qkv_input=False,
    use_attn_in=False,
    use_hook_mlp_in=False,
    use_hook_tokens=False,
)
assert HookedTransformerConfig.unwrap(cfg.to_dict()) == cfg and HookedTransformerConfig.unwrap(cfg) is cfg
assert cfg.n_params == 2 * (4 * 32 * 32 + 2 * 32 * 48)
model = HookedTransformer(cfg, tokenizer)
print(model)

# %% One small model for each choice
base = {"n_layers": 1, "d_model": 16, "n_ctx": 12, "d_head": 4, "d_vocab": 20, "seed": 0}
zoo = {
    choice: HookedTransformer({**base, "act_fn": "relu", **fields})
    for choice, fields in {
        "relu": {},
        "gelu": {"act_fn": "gelu"},
        "gelu_new": {"act_fn": "gelu_new"},
        "silu": {"act_fn": "silu", "gated_mlp": True},
        "solu_ln": {"act_fn": "solu_ln"},
        "attn_only": {"attn_only": True, "act_fn": None},
        "LNPre": {"normalization_type": "LNPre"},
        "RMS": {"normalization_type": "RMS", "final_rms": True},
        "RMSPre": {"normalization_type": "RMSPre"},
        "None": {"normalization_type": None},
        "rotary": {"positional_embedding_type": "rotary"},
        "shortformer": {"positional_embedding_type": "shortformer"},
        "alibi": {"positional_embedding_type": "alibi"},
        "grouped": {"n_key_value_heads": 2},
        "parallel": {"parallel_attn_mlp": True},
        "bidirectional": {"attention_dir": "bidirectional"},
    }.items()
}
hooks_seen: set[str] = set()
for choice, small in zoo.items():
    every = [name for name in small.hook_dict if not (choice == "grouped" and name.endswith("hook_attn_in"))]
    logits, seen = small.run_with_cache(torch.arange(6)[None], names_filter=every)
    hooks_seen |= {name.replace("blocks.0.", "blocks.i.") for name in seen}
    assert logits.shape == (1, 6, 20)
assert zoo["silu"].W_gate.shape == (1, 16, 64) and zoo["grouped"].W_K.shape == (1, 4, 16, 4)

# %% Loading: a folder serves as well as a name of the model table
folder = Path(tempfile.mkdtemp()) / "notebook"
save_model(model, folder)
loaded = HookedTransformer.from_pretrained(
    str(folder),
    fold_ln=True,
    center_writing_weights=True,
    center_unembed=True,
    refactor_factored_attn_matrices=False,
    fold_value_biases=True,
    hf_model=None,
    tokenizer=tokenizer,
    device="cpu",
    dtype=torch.float32,
    default_prepend_bos=True,
    default_padding_side="right",
    first_n_layers=1,
    n_ctx=20,
    checkpoint_index=None,
    checkpoint_value=None,
)
assert (loaded.cfg.n_layers, loaded.cfg.n_ctx, loaded.cfg.normalization_type) == (1, 20, "LNPre")
as_trained = HookedTransformer.from_pretrained_no_processing(str(folder), tokenizer=tokenizer, device="cpu")
tokens = model.to_tokens("the cat sat on the mat , the cat sat on the mat")
assert torch.allclose(as_trained(tokens), model(tokens), atol=1e-5)
processed = HookedTransformer(cfg, tokenizer)
processed.load_and_process_state_dict(model.state_dict(), fold_ln=True)
in_place = HookedTransformer.from_pretrained_no_processing(str(folder), tokenizer=tokenizer, device="cpu")
in_place.process_weights_()
before = model(tokens).log_softmax(-1)
for other in (processed, in_place):
    assert torch.allclose(other(tokens).log_softmax(-1), before, atol=1e-4)

# %% Forward passes
logits = model(tokens, return_type="logits")
loss = model(tokens, return_type="loss")
both = model(tokens, return_type="both")
assert model(tokens, return_type=None) is None and torch.equal(both.logits, logits)
per_token = model(tokens, return_type="loss", loss_per_token=True)
assert torch.allclose(per_token.mean(), loss) and per_token.shape == (1, tokens.shape[1] - 1)
from_text = model("the cat sat on the mat , the cat sat on the mat", prepend_bos=True, padding_side="right")
assert torch.allclose(from_text, logits, atol=1e-5)
residual, _, shortformer_pos_embed, attention_mask = model.input_to_embed(tokens)
resumed = model(
    model(tokens, stop_at_layer=1),
    start_at_layer=1,
    tokens=tokens,
    shortformer_pos_embed=shortformer_pos_embed,
    attention_mask=attention_mask,
    return_type="loss",
)
assert torch.allclose(resumed, loss, atol=1e-5) and residual.shape == (1, tokens.shape[1], 32)
past = HookedTransformerKeyValueCache.init_cache(cfg, "cpu", batch_size=1)
model(tokens[:, :5], past_kv_cache=past)
assert torch.allclose(model(tokens[:, 5:], past_kv_cache=past), logits[:, 5:], atol=1e-4)

# %% Text and tokens
assert model.to_string(tokens[0, 1:]) == "the cat sat on the mat , the cat sat on the mat"
assert model.to_str_tokens("the cat") == ["<bos>", "the", " cat"]
cat = model.to_single_token(" cat")
assert model.to_single_str_token(cat) == " cat"
assert model.get_token_position(" cat", "the cat sat", prepend_bos=True) == 2
assert torch.equal(model.tokens_to_residual_directions(" cat"), model.W_U[:, cat])


# %% Hooks
def ablate(z: torch.Tensor, hook: HookPoint, head: int) -> torch.Tensor:
    z[:, :, head] = 0.0
    return z


ablated = model.run_with_hooks(
    tokens,
    return_type="loss",
    fwd_hooks=[(utils.get_act_name("z", 0), partial(ablate, head=1))],
    bwd_hooks=[],
    reset_hooks_end=True,
    clear_contexts=False,
)
assert ablated != loss and torch.equal(model(tokens, return_type="loss"), loss)
with model.hooks(fwd_hooks=[(lambda name: name.endswith("hook_z"), partial(ablate, head=0))]):
    assert not torch.equal(model(tokens), logits)
counted = []
model.add_hook(
    "blocks.0.hook_resid_pre",
    lambda x, hook: counted.append(hook.name),
    dir="fwd",
    is_permanent=False,
    level=None,
    prepend=True,
)
model.add_perma_hook("blocks.1.hook_resid_pre", lambda x, hook: counted.append(hook.name))
model(tokens)
model.reset_hooks()
model(tokens)
assert counted == ["blocks.0.hook_resid_pre", "blocks.1.hook_resid_pre", "blocks.1.hook_resid_pre"]
model.remove_all_hook_fns(including_permanent=True)
assert isinstance(model.hook_dict["hook_embed"], HookPoint) and isinstance(model, HookedRootModule)
assert model.mod_dict["blocks.0.attn"] is model.blocks[0].attn

# %% The cache
logits, cache = model.run_with_cache(
    tokens, names_filter=None, device="cpu", remove_batch_dim=False, return_cache_object=True
)
assert isinstance(cache, ActivationCache) and cache.has_batch_dim
loss, with_gradients = model.run_with_cache(
    tokens, return_type="loss", names_filter=["blocks.0.hook_resid_post"], incl_bwd=True
)
model.zero_grad()
assert list(with_gradients.keys()) == ["blocks.0.hook_resid_post", "blocks.0.hook_resid_post_grad"]
_, plain = model.run_with_cache(tokens, names_filter="hook_embed", return_cache_object=False)
assert isinstance(plain, dict) and list(plain) == ["hook_embed"]
_, last_position = model.run_with_cache(tokens, pos_slice=-1, stop_at_layer=1)
assert "blocks.1.hook_resid_pre" not in last_position
assert cache["blocks.0.attn.hook_pattern"] is cache["pattern", 0]
assert cache["scale", 0, "ln1"].shape == (1, tokens.shape[1], 1)
assert list(cache.keys()) == list(cache.cache_dict) and len(list(cache.values())) == len(cache.items())
model.set_use_attn_result(True)
model.set_use_split_qkv_input(True)
model.set_use_attn_in(True)
model.set_use_hook_mlp_in(True)
_, wide = model.run_with_cache(tokens)
assert wide["result", 1].shape == (1, tokens.shape[1], 4, 32) and "blocks.0.hook_q_input" in wide
for switch in (model.set_use_attn_result, model.set_use_split_qkv_input, model.set_use_attn_in):
    switch(False)
model.set_use_hook_mlp_in(False)

# %% Taking the residual stream apart
final = cache["resid_post", -1]
assert torch.allclose(cache.accumulated_resid(layer=-1)[-1], final)
parts, labels = cache.decompose_resid(layer=-1, return_labels=True)
assert torch.allclose(parts.sum(0), final, atol=1e-5) and labels[0] == "embed"
heads = cache.stack_head_results(layer=-1, incl_remainder=True)
assert torch.allclose(heads.sum(0), final, atol=1e-5)
assert cache.stack_activation("pattern").shape[0] == 2
assert cache.get_neuron_results(0).shape == (1, tokens.shape[1], 48, 32)
assert cache.stack_neuron_results(layer=1).shape[0] == 48
everything = cache.get_full_resid_decomposition(expand_neurons=True)
assert torch.allclose(everything.sum(0), final, atol=1e-5)
direction = model.W_U[:, cat]
projected = cache.get_full_resid_decomposition(expand_neurons=False, project_output_onto=direction)
assert torch.allclose(projected.sum(0), final @ direction, atol=1e-4)
cache.compute_head_results()
assert cache["result", 0].shape == (1, tokens.shape[1], 4, 32)
attributions = cache.logit_attrs(parts, " cat", incorrect_tokens=" dog")
assert attributions.shape == parts.shape[:-1]
assert cache.apply_ln_to_stack(parts, layer=-1).shape == parts.shape
first = cache.apply_slice_to_batch_dim(0)
assert not first.has_batch_dim
_, single = model.run_with_cache(tokens)
single.remove_batch_dim()
assert single["pattern", 0].ndim == 3
cache.toggle_autodiff(False)
cache.toggle_autodiff(True)
cache.to("cpu")
print(cache)

# %% Weights
shapes = {
    "W_E": (46, 32), "W_U": (32, 46), "W_pos": (24, 32), "W_E_pos": (70, 32),
    "W_Q": (2, 4, 32, 8), "W_K": (2, 4, 32, 8), "W_V": (2, 4, 32, 8), "W_O": (2, 4, 8, 32),
    "W_in": (2, 32, 48), "W_out": (2, 48, 32),
    "b_Q": (2, 4, 8), "b_K": (2, 4, 8), "b_V": (2, 4, 8), "b_O": (2, 32), "b_in": (2, 48), "b_out": (2, 32),
    "b_U": (46,), "QK": (2, 4, 32, 32), "OV": (2, 4, 32, 32),
}  # fmt: skip
assert len(tokenizer) == 46
for name, shape in shapes.items():
    assert tuple(getattr(model, name).shape) == shape, name
all_weights = (model.W_E, model.W_pos, model.W_E_pos, model.W_Q, model.W_K, model.W_V, model.W_O, model.W_in,
               model.W_out, model.W_gate, model.b_Q, model.b_K, model.b_V, model.b_O, model.b_in, model.b_out,
               model.b_U)  # fmt: skip
assert all_weights[9] is None, "this model's MLPs are not gated"
for mode in ("Q", "K", "V"):
    assert model.all_composition_scores(mode).shape == (2, 4, 2, 4)
assert model.all_head_labels()[5] == "L1H1"
assert model.accumulated_bias(2).shape == (32,)
block = model.blocks[0]
assert isinstance(block.attn, components.Attention) and isinstance(block.mlp, components.MLP)
assert isinstance(block.ln1, components.LayerNorm) and isinstance(block.ln2, components.LayerNorm)

# %% Factored matrices
ov = model.OV[0]
assert isinstance(ov, FactoredMatrix) and (ov.ndim, tuple(ov.shape)) == (3, (4, 32, 32))
assert torch.allclose(ov.A @ ov.B, ov.AB) and torch.allclose(ov.B @ ov.A, ov.BA)
U, S, V = ov.svd()
assert torch.equal(U, ov.U) and torch.equal(S, ov.S) and torch.equal(V, ov.V) and torch.equal(V, ov.Vh)
assert ov.eigenvalues.shape == (4, 8) and ov.norm().shape == (4,)
vector = torch.randn(32)
assert torch.allclose(ov @ vector, ov.AB @ vector, atol=1e-4)
assert torch.allclose(vector @ ov, vector @ ov.AB, atol=1e-4)
circuit = model.W_E @ ov @ model.W_U
assert circuit.shape == (4, 46, 46) and circuit.get_corner(2).shape == (4, 2, 2)
assert (ov @ ov.T).mdim == 8 and torch.allclose((ov * 2.0).AB, 2 * ov.AB)
assert ov[1, :5, 3].shape == (5, 1) and ov.unsqueeze(0).shape == (1, 4, 32, 32)
assert torch.allclose(ov.make_even().AB, ov.AB, atol=1e-4)
assert ov.collapse_l().shape == (4, 8, 32) and ov.collapse_r().shape == (4, 32, 8)
assert ov.pair[0] is ov.A
assert utils.composition_scores(model.OV[0], model.QK[1]).shape == (4, 4)

# %% Generation
story = model.generate(
    "the cat",
    max_new_tokens=4,
    stop_at_eos=False,
    do_sample=True,
    top_k=5,
    top_p=0.9,
    temperature=0.7,
    freq_penalty=0.5,
    use_past_kv_cache=True,
    return_type="input",
    verbose=False,
)
assert isinstance(story, str) and story.startswith("the cat")
ended = model.generate(tokens, 3, stop_at_eos=True, eos_token_id=1, do_sample=False, verbose=False)
assert ended.shape[1] <= tokens.shape[1] + 3

# %% Patching
clean, corrupted = (model.to_tokens(f"the {animal} sat on the mat") for animal in ("cat", "dog"))
_, clean_cache = model.run_with_cache(clean)
dog = model.to_single_token(" dog")


def metric(logits: torch.Tensor) -> torch.Tensor:
    return logits[0, -1, cat] - logits[0, -1, dog]


arguments = (model, corrupted, clean_cache, metric)
length = clean.shape[1]
effects = {
    "resid_pre": patching.get_act_patch_resid_pre(*arguments, progress=False),
    "resid_mid": patching.get_act_patch_resid_mid(*arguments, progress=False),
    "attn_out": patching.get_act_patch_attn_out(*arguments, progress=False),
    "mlp_out": patching.get_act_patch_mlp_out(*arguments, progress=False),
}
assert all(effect.shape == (2, length) for effect in effects.values())
# at layer 0 the residual stream is the tokens: patching the one that differs is the clean run
assert torch.allclose(effects["resid_pre"][0, 2], metric(model(clean)).detach(), atol=1e-5)
by_pos = [
    patching.get_act_patch_attn_head_out_by_pos(*arguments, progress=False),
    patching.get_act_patch_attn_head_q_by_pos(*arguments, progress=False),
    patching.get_act_patch_attn_head_k_by_pos(*arguments, progress=False),
    patching.get_act_patch_attn_head_v_by_pos(*arguments, progress=False),
    patching.get_act_patch_attn_head_pattern_by_pos(*arguments, progress=False).transpose(1, 2),
]
all_pos = [
    patching.get_act_patch_attn_head_out_all_pos(*arguments, progress=False),
    patching.get_act_patch_attn_head_q_all_pos(*arguments, progress=False),
    patching.get_act_patch_attn_head_k_all_pos(*arguments, progress=False),
    patching.get_act_patch_attn_head_v_all_pos(*arguments, progress=False),
    patching.get_act_patch_attn_head_pattern_all_pos(*arguments, progress=False),
]
every_head = patching.get_act_patch_attn_head_all_pos_every(*arguments, progress=False)
assert torch.equal(every_head, torch.stack(all_pos)) and every_head.shape == (5, 2, 4)
every_position = patching.get_act_patch_attn_head_by_pos_every(*arguments, progress=False)
assert torch.equal(every_position, torch.stack(by_pos))
blocks_every = patching.get_act_patch_block_every(*arguments, progress=False)
assert blocks_every.shape == (3, 2, length)
entries = patching.get_act_patch_attn_head_pattern_dest_src_pos(*arguments, progress=False)
assert entries.shape == (2, 4, length, length)
direct = patching.get_act_patch_direct_path(*arguments, progress=False)
assert direct.shape == (2, 4)
generic = patching.generic_activation_patch(
    *arguments,
    patch_setter=patching.layer_pos_patch_setter,
    activation_name="resid_pre",
    index_axis_names=("layer", "pos"),
    progress=False,
)
# float32, and the two run the patched passes in batches of different sizes
assert torch.allclose(generic, effects["resid_pre"], atol=1e-4)

# %% Helpers
utils.test_prompt("the cat sat on the", "mat", model, top_k=3)
assert utils.to_numpy(utils.get_corner(logits, 2)).shape == (1, 2, 2)
assert torch.allclose(utils.lm_cross_entropy_loss(logits, tokens), loss, atol=1e-5)
assert 0 <= utils.lm_accuracy(logits, tokens) <= 1
padded = model.to_tokens(["the cat", "the cat sat on the mat"])
assert utils.get_attention_mask(tokenizer, padded, prepend_bos=True).sum() == 3 + 7
assert utils.remove_batch_dim(logits).shape == logits.shape[1:]
assert utils.Slice((1, 3)).apply(tokens, dim=1).shape == (1, 2)

# %% Heads, evaluations, singular vectors
scores = head_detector.detect_head(model, "the cat sat on the cat", "previous_token_head")
assert scores.shape == (2, 4)
for make in (
    head_detector.get_previous_token_head_detection_pattern,
    head_detector.get_duplicate_token_head_detection_pattern,
    head_detector.get_induction_head_detection_pattern,
):
    assert make(tokens).shape == (tokens.shape[1],) * 2
assert evals.induction_loss(model, batch_size=2, subseq_len=6) > 0
ioi = evals.IOIDataset(
    tokenizer,
    templates=["[A] and [B] sat , [B] gave it to [A]"],
    names=["Sarah", "Daniel", "Rachel"],
    num_samples=4,
)
assert set(evals.ioi_eval(model, ioi)) == {"Logit Difference", "Accuracy"}
assert SVDInterpreter(model).get_singular_vectors("OV", 0, num_vectors=3, head_index=1).shape == (46, 1, 3)
assert mechscope.SVDInterpreter is SVDInterpreter
print("done")
