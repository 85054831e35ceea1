"""The reasons why a classic name differs here or is missing, for `classic_interface.py`.

Keys are names as the page shows them, with `name(parameter)` for a parameter and `*` as a wildcard. The first key that
matches gives the reason; a key that matches nothing is an error.
"""

BRIDGE = "part of TransformerBridge, the 3.x wrapper around Hugging Face modules; models here are HookedTransformers"
NO_FAMILY = "the model family is not supported"
ONE_DEVICE = "helpers for one model on several GPUs; a model is on one device here"

DIFFERENT: dict[str, str] = {
    "utils.download_file_from_hf(cache_dir)": "None is the hub's own cache, wherever it is on this machine",
    "utils.sample_logits(*)": "the order of 2.x, in which notebooks pass tokens by position",
    "hook_points.LensHandle(user_hook)": "made by add_hook; `hook` is the user's function, `user_hook` shows it",
    "hook_points.HookPoint.add_hook(alias_names)": BRIDGE,
    "evals.*(device)": "None is where the model is, with a GPU or without",
    "evals.induction_loss(subseq_len)": "None is 384, or half the context of a model in which that does not fit",
    "HookedTransformer.HookedTransformer(default_padding_side)": "says what None means there for most tokenizers",
    "*.to(print_details)": "by position it is recognised too, and there is nothing to print",
    "HookedTransformer.HookedTransformer.generate(generation_kwargs)": "an unknown option is an error, not ignored",
    "HookedTransformer.HookedTransformer.generate_stream(*)": "yields one token at a time, as a tensor; 3.x yields "
    "chunks of tokens or of text, so nothing written for it could run unchanged",
    "HookedTransformerConfig.HookedTransformerConfig(order)": "the order of 2.x; fields are normally passed by name",
    "HookedTransformerConfig.HookedTransformerConfig(act_fn)": "a model with MLPs names its activation, as in 2.x: "
    "3.x silently uses relu",
    "HookedTransformerConfig.HookedTransformerConfig.act_fn": "a model with MLPs names its activation, as in 2.x: "
    "3.x silently uses relu",
    "HookedEncoder.HookedEncoder(kwargs)": "an unknown option is an error, not ignored",
    "HookedEncoder.HookedEncoder.forward(return_type)": '"auto" is "logits" for whatever has a word head; an encoder '
    "without one (MiniLM) gives its hidden states",
    "loading_from_pretrained.get_pretrained_model_config(*)": "the config as it is stored; load_model takes the rest",
    "loading_from_pretrained.get_pretrained_state_dict(*)": "the weights as they are stored; load_model takes the rest",
    "weight_processing.ProcessWeights.*(adapter)": BRIDGE,
    "weight_processing.ProcessWeights.center_unembed(cfg)": "needed, because tied embeddings are untied first",
}

MISSING: dict[str, str] = {
    "*T5*": NO_FAMILY + " (T5)",
    "HookedEncoderDecoder": NO_FAMILY + " (T5)",
    "HookedAudioEncoder": NO_FAMILY + " (HuBERT)",
    "components.MoE": NO_FAMILY + " (mixtures of experts)",
    "TransformerBridgeConfig": BRIDGE,
    "model_bridge": BRIDGE,
    "conversion_utils": BRIDGE,
    "factories*": BRIDGE,
    "hook_points.HookPoint.enable_reshape": BRIDGE,
    "hook_points.HookPoint.hook_conversion": BRIDGE,
    "hook_points.HookPoint.backward_scale": BRIDGE,
    "utilities.tracr.make_tracr_transformer_bridge_*": BRIDGE
    + "; tracr_config and tracr_state_dict make one",
    "cache": "the module's names are in past_key_value_caching",
    "config": "the module's names are in HookedTransformerConfig",
    "pretrained": "one weight conversion per family; mechscope.checkpoints has its own",
    "supported_models": "its names are in loading_from_pretrained",
    "lit": "the Language Interpretability Tool is a separate program that is no longer released",
    "utils.clear_huggingface_cache": "deletes every model on the machine, other programs' too",
    "*warn_if_mps": "one warning of one release of torch",
    "*ModelWithCfg": "a type of a private helper",
    "*move_to_and_update_config": "model.to(…) does it",
    "utils.get_rotary_pct_from_config": "reads Hugging Face configs; mechscope.checkpoints has its own",
    "utils.calculate_available_device_cuda_memory": ONE_DEVICE,
    "utils.count_unique_devices": ONE_DEVICE,
    "utils.determine_available_memory_for_available_devices": ONE_DEVICE,
    "utils.find_embedding_device": ONE_DEVICE,
    "utils.get_best_available_*": ONE_DEVICE,
    "utils.get_device_for_block_index": ONE_DEVICE,
    "utils.resolve_device_map": ONE_DEVICE,
    "utils.sort_devices_based_on_available_memory": ONE_DEVICE,
    "utils.TypedModuleList": "a type for type checkers",
    "*.T": "a type variable",
    "FactoredMatrix.TensorLike": "a type for type checkers",
    "components.*.ROTARY_INITIAL_CACHE_SIZE": "tables of rotary angles grow as they are needed",
    "components.*.mask": "a buffer that is empty since 3.0; masks are made for a pass; state_dict() still has it",
    "components.*.IGNORE": "the number -inf; state_dict() still has it",
    "components.Unembed.hook_*": "new in 3.5: what they show is ln_final.hook_normalized (scaled) and the logits",
    "components.BertPooler.activation": "tanh, which has no state",
    "components.*.select_activation_function": "called once by the constructor there; `act_fn` holds its choice",
    "head_detector.*_ERR": "texts of errors; ours say what was found",
    "evals.*mmlu*": "a benchmark of knowledge, which evaluation libraries keep up to date",
    "evals.MMLU_*": "a benchmark of knowledge, which evaluation libraries keep up to date",
    "loading_from_pretrained.convert_*": "one function for all families; mechscope.checkpoints has one file each",
    "loading_from_pretrained.PYTHIA_V0_CHECKPOINTS": "the first release of Pythia is not in the table of models",
    "loading_from_pretrained.NON_HF_HOSTED_MODEL_NAMES": "every model of the table is on the hub",
    "loading_from_pretrained.NEED_REMOTE_CODE_MODELS": "no code of a repository is ever run",
    "loading_from_pretrained.Config": "a part of the reference's own tests",
    "loading_from_pretrained.get_basic_config": "a part of the reference's own tests",
    "weight_processing.ProcessWeights.convert_tensor_to_*": BRIDGE,
    "weight_processing.ProcessWeights.distribute_weights_to_components": BRIDGE,
    "weight_processing.ProcessWeights.extract_attention_tensors_for_folding": BRIDGE,
    "weight_processing.ProcessWeights.*_single": "a line of arithmetic inside a step",
    "weight_processing.ProcessWeights.fold_layer_norm_*": "half of a step: fold_layer_norm does the whole",
    "weight_processing.ProcessWeights.center_attention_weights": "half of a step: fold_layer_norm does the whole",
    "utilities.activation_functions.*": NO_FAMILY + " (Apertus)",
}

# Calls that are accepted alike and answered otherwise.
SAME_CALL_OTHER_ANSWER: dict[str, str] = {
    "ActivationCache.ActivationCache.logit_attrs": "includes the final norm's scale where it is not folded, so that "
    "attributions sum to the logit",
    "HookedRootModule.HookedRootModule.run_with_cache": "an empty selection, a name that no activation has and a hook "
    "that never fired are errors; positions of turned queries and keys are sliced by position (the reference slices "
    "their heads); a cached gradient at a block's first norm is the whole gradient, not that of one of three calls",
    "hook_points.HookPoint.add_hook": "an in-place edit stays where it is made: the hook gets a copy",
    "past_key_value_caching.TransformerLensKeyValueCacheEntry.append": "keys are kept after they are turned, so a "
    "rotary key is never turned twice; there they are kept unturned",
    "head_detector.detect_head": "options and a list of heads work for several texts too (the reference drops them), "
    "and scores are not rounded to three digits",
    "head_detector.get_supported_heads": "returns the names; there it prints them",
    "HookedTransformer.HookedTransformer.forward": "the loss of a batch of texts leaves padding out on either side",
    "utils.tokenize_and_concatenate": "texts run on from row to row and the last, short row is dropped; there each "
    "thousand texts end in a dropped row",
    "utils.Slice.unwrap": "one index drops its axis, as it does in the cache's methods; run_with_cache keeps it, as "
    "there",
    "components.PosEmbed.forward": "padding gets the first position's embedding; there it is zero",
    "components.AbstractAttention.create_alibi_multipliers": "the slopes of the paper (and of BLOOM) also where the "
    "number of heads is no power of two",
    "HookedTransformer.HookedTransformer.set_ungroup_grouped_query_attention": "gives heads weights of their own for "
    "good, where the reference copies activations in each pass",
    "HookedTransformer.HookedTransformer.n_params_total": "tied embeddings are counted once",
    "HookedTransformerConfig.HookedTransformerConfig.n_params": "keys and values that heads share are counted once",
    "HookedEncoder.HookedEncoder.forward": "each predicted word is decoded by itself, so pieces of words stay apart",
    "tools.analysis.direct_path_patching.get_act_patch_direct_path": "the norm's scale and centring are applied where "
    "they are not folded; the reference warns and leaves them out",
    "evals.IOIDataset": "the same sentences every time unless a seed says otherwise, and other default names and "
    "templates",
    "utils.test_prompt": "also returns what it prints",
}
