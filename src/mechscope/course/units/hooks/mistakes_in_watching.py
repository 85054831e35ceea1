"""Mistakes in watching a model and in taking a prediction apart."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.hooks import checks, reference

# Hooks


def _never_removed(model, name, hook, x):
    model.get_submodule(name).register_forward_hook(lambda module, inputs, output: hook(output))
    return model(x)


def _removed_only_on_success(model, name, hook, x):
    handle = model.get_submodule(name).register_forward_hook(lambda module, inputs, output: hook(output))
    out = model(x)
    handle.remove()
    return out


def _answer_ignored(model, name, hook, x):
    def look(module, inputs, output):
        hook(output)

    handle = model.get_submodule(name).register_forward_hook(look)
    try:
        return model(x)
    finally:
        handle.remove()


def _errors_swallowed(model, name, hook, x):
    handle = model.get_submodule(name).register_forward_hook(lambda module, inputs, output: hook(output))
    try:
        return model(x)
    except Exception:
        return None
    finally:
        handle.remove()


def _on_the_model(model, name, hook, x):
    handle = model.register_forward_hook(lambda module, inputs, output: hook(output))
    try:
        return model(x)
    finally:
        handle.remove()


def _cached(model, x, *, copy=True, inner_only=True, remove=True):
    cache, handles = {}, []
    for name, module in model.named_modules():
        if inner_only and list(module.children()):
            continue

        def keep(module, inputs, output, name=name):
            cache[name] = output.clone() if copy else output

        handles.append(module.register_forward_hook(keep))
    out = model(x)
    if remove:
        for handle in handles:
            handle.remove()
    return out, cache


def _not_copied(model, x):
    return _cached(model, x, copy=False)


def _with_containers(model, x):
    return _cached(model, x, inner_only=False)


def _hooks_left_behind(model, x):
    return _cached(model, x, remove=False)


# The residual stream


def _components(model, tokens, names):
    _, cache = model.run_with_cache(tokens)
    return torch.stack([cache[name].expand(tokens.shape[0], -1, -1) for name in names])


def _names(model, first=("hook_embed", "hook_pos_embed"), parts=("attn_out", "mlp_out")):
    return [*first, *(f"blocks.{layer}.hook_{part}" for layer in range(model.cfg.n_layers) for part in parts)]


def _positions_left_out(model, tokens):
    return _components(model, tokens, _names(model, first=("hook_embed",)))


def _streams_added(model, tokens):
    return _components(model, tokens, _names(model, parts=("resid_pre", "mlp_out")))


def _mlps_left_out(model, tokens):
    return _components(model, tokens, _names(model, parts=("attn_out",)))


def _stream_after_attention(model, tokens):
    return _components(model, tokens, _names(model, parts=("resid_mid", "mlp_out")))


# Attribution


def _uncentred(components, scale, W_U, right, wrong):
    return components / scale @ (W_U[:, right] - W_U[:, wrong])


def _own_scale(components, scale, W_U, right, wrong):
    centred = components - components.mean(-1, keepdim=True)
    return centred / centred.square().mean(-1, keepdim=True).sqrt() @ (W_U[:, right] - W_U[:, wrong])


def _unscaled(components, scale, W_U, right, wrong):
    return reference.direct_logit_attribution(components, 1.0, W_U, right, wrong)


def _for_wrong(components, scale, W_U, right, wrong):
    return -reference.direct_logit_attribution(components, scale, W_U, right, wrong)


def _one_logit(components, scale, W_U, right, wrong):
    return (components - components.mean(-1, keepdim=True)) / scale @ W_U[:, right]


# The logit lens


def _no_norm(stream, ln_final, W_U, b_U, token):
    return (stream @ W_U + b_U).softmax(-1)[..., token]


def _no_bias(stream, ln_final, W_U, b_U, token):
    return (ln_final(stream) @ W_U).softmax(-1)[..., token]


def _logits(stream, ln_final, W_U, b_U, token):
    return (ln_final(stream) @ W_U + b_U)[..., token]


def _over_layers(stream, ln_final, W_U, b_U, token):
    return (ln_final(stream) @ W_U + b_U).softmax(0)[..., token]


MISTAKES = {
    "run_with_hook": (
        Mistake(_never_removed, checks.LEFT, changes_model=True),
        Mistake(_removed_only_on_success, checks.LEFT_AFTER_ERROR, changes_model=True),
        Mistake(_answer_ignored, checks.IGNORED),
        Mistake(_errors_swallowed, checks.SWALLOWED),
        Mistake(_on_the_model, ""),
    ),
    "run_with_cache": (
        Mistake(_not_copied, checks.CHANGED_LATER),
        Mistake(_with_containers, checks.WITH_CONTAINERS),
        Mistake(_hooks_left_behind, checks.LEFT, changes_model=True),
    ),
    "decompose_residual": (
        Mistake(_positions_left_out, ""),
        Mistake(
            _streams_added,
            "You took the stream before each layer: the sum so far, not what a layer writes.",
        ),
        Mistake(_mlps_left_out, ""),
        Mistake(
            _stream_after_attention,
            "You took the stream after attention: the sum so far, not what attention writes.",
        ),
    ),
    "direct_logit_attribution": (
        Mistake(_uncentred, "LayerNorm also subtracts each component's mean."),
        Mistake(
            _own_scale,
            "Each component was divided by a scale of its own; all share the sum's.",
        ),
        Mistake(_unscaled, "The division by the scale is missing."),
        Mistake(_for_wrong, "This is for `wrong` minus `right`."),
        Mistake(_one_logit, "This is for the logit of `right` alone."),
    ),
    "logit_lens": (
        Mistake(_no_norm, "The final LayerNorm is missing; the unembedding reads through it."),
        Mistake(_no_bias, "The bias of the unembedding is missing."),
        Mistake(_logits, "These are logits; the softmax over the vocabulary is missing."),
        Mistake(_over_layers, "The softmax went over the layers, not over the vocabulary."),
    ),
}
"""Exercise → its known mistakes."""
