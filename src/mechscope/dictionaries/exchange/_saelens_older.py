"""Convert SAELens configs from before version 6, which are flat and contain every setting of the training run."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from mechscope.dictionaries.exchange._settings_check import check_settings, one_of
from mechscope.dictionaries.head import HEAD

RENAMED = {
    "hook_point": "hook_name",
    "hook_point_layer": "hook_layer",
    "hook_point_head_index": "hook_head_index",
    "activation_fn_str": "activation_fn",
}
METADATA = (
    "model_name",
    "model_class_name",
    "hook_name",
    "hook_layer",
    "hook_head_index",
    "hook_head_index_out",
    "hook_name_out",
    "model_from_pretrained_kwargs",
    "prepend_bos",
    "exclude_special_tokens",
    "neuronpedia_id",
    "context_size",
    "seqpos_slice",
    "dataset_path",
    "dataset_trust_remote_code",
    "sae_lens_version",
    "sae_lens_training_version",
)
MEANING = (
    "architecture",
    "d_in",
    "d_sae",
    "dtype",
    "device",
    "apply_b_dec_to_input",
    "normalize_activations",
    "reshape_activations",
    "activation_fn",
    "activation_fn_kwargs",
    "finetuning_scaling_factor",
)
# Settings of training, which do not change what the trained weights compute.
_TRAINING = """
    act_store_device adam_beta1 adam_beta2 autocast autocast_lm b_dec_init_method batch_size cached_activations_path
    checkpoint_path compile_llm compile_sae dead_feature_threshold dead_feature_window decoder_heuristic_init
    decoder_orthogonal_init eval_batch_size_prompts eval_every_n_wandb_logs expansion_factor feature_reinit_scale
    feature_resampling_method feature_sampling_method feature_sampling_window finetuning_method finetuning_tokens
    from_pretrained_path hook_eval hook_point_eval init_encoder_as_decoder_transpose is_dataset_tokenized
    jumprelu_bandwidth jumprelu_init_threshold l1_coefficient l1_warm_up_steps llm_compilation_mode
    log_activations_store_to_wandb log_optimizer_state_to_wandb log_to_wandb lp_norm lr lr_decay_steps lr_end
    lr_scheduler_name lr_warm_up_steps model_kwargs mse_loss_normalization n_batches_in_buffer n_checkpoints
    n_eval_batches n_restart_cycles noise_scale normalize_sae_decoder resume run_name sae_compilation_mode
    scale_sparsity_penalty_by_decoder_norm seed store_batch_size store_batch_size_prompts streaming tokens_per_buffer
    total_training_tokens train_batch_size train_batch_size_tokens training_tokens use_cached_activations
    use_ghost_grads verbose wandb_entity wandb_id wandb_log_frequency wandb_project
"""
TRAINING = frozenset(_TRAINING.split())


def is_older(settings: Mapping[str, Any]) -> bool:
    """Whether a config is flat; since version 6, entries about the model are under "metadata"."""
    return "metadata" not in settings


def to_present(
    settings: Mapping[str, Any], state: Mapping[str, Tensor], ignore: Collection[str], folder: Path
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """Settings and tensors as in version 6.

    Raises:
        ValueError: for unknown settings or values.
    """
    where = str(folder / "cfg.json")
    flat = {RENAMED.get(name, name): value for name, value in settings.items() if name not in ignore}
    check_settings(flat, needed=("d_in", "d_sae"), known=(*MEANING, *METADATA, *TRAINING, "k"), where=where)
    architecture = flat.get("architecture") or "standard"
    one_of("architecture", architecture, ("standard", "gated", "jumprelu", "topk"), where)
    activation = flat.get("activation_fn") or ("topk" if architecture == "topk" else "relu")
    one_of("activation_fn", activation, ("relu", "topk"), where)
    present: dict[str, Any] = {
        "architecture": architecture,
        "d_in": flat["d_in"],
        "d_sae": flat["d_sae"],
        "dtype": flat.get("dtype") or "float32",
        "apply_b_dec_to_input": flat.get("apply_b_dec_to_input", True),
        "normalize_activations": _normalization(flat.get("normalize_activations")),
        "reshape_activations": flat.get("reshape_activations")
        or ("hook_z" if "hook_z" in str(flat.get("hook_name", "")) and flat.get(HEAD) is None else "none"),
        "metadata": {name: flat[name] for name in METADATA if name in flat},
    }
    options = dict(flat.get("activation_fn_kwargs") or {})
    if activation == "topk":
        if architecture not in ("standard", "topk"):
            raise ValueError(
                f"{where}: a {architecture} dictionary with activation_fn='topk' is not supported."
            )
        present["architecture"] = "topk"
        present["k"] = options.pop("k", flat.get("k"))
        one_of("activation_fn_kwargs.signed", options.pop("signed", False), (False,), where)
    elif flat.get("k") is not None:
        raise ValueError(
            f"{where}: k {flat['k']!r} belongs to activation_fn 'topk', but this one is {activation!r}."
        )
    if options:
        raise ValueError(f"{where}: unknown activation_fn_kwargs {', '.join(options)}.")
    if activation != "topk" and architecture == "topk":
        raise ValueError(
            f"{where}: architecture 'topk' with activation_fn {activation!r} contradict each other."
        )
    return present, _with_factor(flat, state, where)


def _normalization(value: object) -> object:
    """The present name of a setting that used to be a boolean; false and missing are "none"."""
    if value is None or value is False:
        return "none"
    return "expected_average_only_in" if value is True else value


def _with_factor(flat: Mapping[str, Any], state: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """Tensors with the fine-tuned factor of each feature folded into the decoder."""
    tensors = dict(state)
    names = [name for name in ("scaling_factor", "finetuning_scaling_factor") if name in tensors]
    for name in names:
        factor = tensors.pop(name)
        # Some versions always saved it, as 1 if it had not been tuned.
        if bool((factor == 1).all()):
            continue
        if not flat.get("finetuning_scaling_factor"):
            raise ValueError(
                f"{where}: the weights have a {name} that is not 1, but the config does not say to use it."
            )
        if "W_dec" in tensors and factor.shape == tensors["W_dec"].shape[:1]:
            tensors["W_dec"] = tensors["W_dec"] * factor[:, None]
        else:
            raise ValueError(
                f"{where}: {name} has shape {tuple(factor.shape)}; it should be one number per feature."
            )
    return tensors
