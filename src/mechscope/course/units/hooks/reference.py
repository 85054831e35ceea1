"""The solutions of unit H."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

import mechscope as ms


def run_with_hook(model: nn.Module, name: str, hook: Callable[[Tensor], Tensor | None], x: Tensor) -> Tensor:
    """Run a model while `hook` sees the output of one of its modules, and may replace it.

    `name` is the module's name, as in model.named_modules(). If the hook returns a tensor, it takes the place of the
    module's output; if it returns None, nothing changes. Afterwards the model is as before, even if something raised an
    error. (torch: module.register_forward_hook.)
    """
    module = model.get_submodule(name)

    def forward_hook(module: nn.Module, inputs: object, output: Tensor) -> Tensor | None:
        return hook(output)

    handle = module.register_forward_hook(forward_hook)
    try:
        return model(x)
    finally:
        handle.remove()


def run_with_cache(model: nn.Module, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
    """Run a model, and return its output and the outputs of all modules that have no modules inside, by name.

    What is kept must stay what it was, even if a later module changes the same tensor in place (torch.nn.ReLU can do
    that), and the model is as before afterwards.
    """
    cache: dict[str, Tensor] = {}
    handles = []
    for name, module in model.named_modules():
        if not list(module.children()):

            def keep(module: nn.Module, inputs: object, output: Tensor, name: str = name) -> None:
                cache[name] = output.clone()

            handles.append(module.register_forward_hook(keep))
    try:
        return model(x), cache
    finally:
        for handle in handles:
            handle.remove()


def decompose_residual(
    model: ms.HookedTransformer, tokens: Int[Tensor, "batch pos"]
) -> Float[Tensor, "component batch pos d_model"]:
    """Everything that is added up in the final residual stream: token embedding, positions, and then for each layer
    what its attention and its MLP write.

    Names in the cache of model.run_with_cache(tokens): hook_embed, hook_pos_embed, blocks.0.hook_attn_out,
    blocks.0.hook_mlp_out, … The components add up to blocks.N.hook_resid_post of the last layer N.
    """
    _, cache = model.run_with_cache(tokens)
    names = ["hook_embed", "hook_pos_embed"]
    for layer in range(model.cfg.n_layers):
        names += [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_mlp_out"]
    batch = tokens.shape[0]
    return torch.stack([cache[name].expand(batch, -1, -1) for name in names])


def direct_logit_attribution(
    components: Float[Tensor, "component d_model"],
    scale: float,
    W_U: Float[Tensor, "d_model d_vocab"],
    right: int,
    wrong: int,
) -> Float[Tensor, " component"]:
    """What each component of the final residual stream adds to the logit of `right` minus the logit of `wrong`.

    The final LayerNorm subtracts each vector's mean and divides by `scale`, which is the same for all components (it
    was measured on their sum); its own weights are folded into W_U already.
    """
    centred = components - components.mean(-1, keepdim=True)
    return centred / scale @ (W_U[:, right] - W_U[:, wrong])


def logit_lens(
    stream: Float[Tensor, "layer pos d_model"],
    ln_final: Callable[[Tensor], Tensor],
    W_U: Float[Tensor, "d_model d_vocab"],
    b_U: Float[Tensor, " d_vocab"],
    token: int,
) -> Float[Tensor, "layer pos"]:
    """The probability that each layer's residual stream would give to a token, if the model ended there."""
    return (ln_final(stream) @ W_U + b_U).softmax(-1)[..., token]


def mean_ablate_head(
    z: Float[Tensor, "batch pos head d_head"],
    other_z: Float[Tensor, "other pos head d_head"],
    head: int,
) -> Float[Tensor, "batch pos head d_head"]:
    """z, in which one head's output is replaced by its mean over other texts: at each position the mean there."""
    ablated = z.clone()
    ablated[:, :, head] = other_z[:, :, head].mean(0)
    return ablated


def previous_token_score(pattern: Float[Tensor, "batch head query key"]) -> Float[Tensor, " head"]:
    """How much each head attends from a position to the one before it, on average over texts and positions.

    The first position has none before it and does not count.
    """
    return pattern.diagonal(-1, dim1=-2, dim2=-1).mean((0, -1))


def normalised_effect(
    patched: Float[Tensor, "*place"], clean: float, corrupted: float
) -> Float[Tensor, "*place"]:
    """How much of the way from the corrupted run's value to the clean run's a patched run has gone: 0 none, 1 all.

    Raise a ValueError if both values are the same, since there is no way then.
    """
    if clean == corrupted:
        raise ValueError("the clean and the corrupted run have the same value.")
    return (patched - corrupted) / (clean - corrupted)


def patch_residual(
    model: ms.HookedTransformer,
    clean: Int[Tensor, "batch pos"],
    corrupted: Int[Tensor, "batch pos"],
    metric: Callable[[Tensor], Tensor],
) -> Float[Tensor, "layer pos"]:
    """Activation patching: the metric of the corrupted run, if the residual stream before one layer, at one position,
    is that of the clean run.

    The stream before layer 2 is at "blocks.2.hook_resid_pre". model.run_with_hooks(tokens, fwd_hooks=[(name, hook)])
    calls hook(value, hook=...) there; what it returns replaces the value. `metric` takes logits.
    """
    _, cache = model.run_with_cache(clean)
    result = torch.zeros(model.cfg.n_layers, clean.shape[1])
    for layer in range(model.cfg.n_layers):
        name = f"blocks.{layer}.hook_resid_pre"
        for position in range(clean.shape[1]):

            def patch(value: Tensor, hook: object, name: str = name, position: int = position) -> Tensor:
                value = value.clone()
                value[:, position] = cache[name][:, position]
                return value

            result[layer, position] = metric(model.run_with_hooks(corrupted, fwd_hooks=[(name, patch)]))
    return result


def attribution_patching(
    clean: Float[Tensor, "batch pos d_model"],
    corrupted: Float[Tensor, "batch pos d_model"],
    gradient: Float[Tensor, "batch pos d_model"],
) -> Float[Tensor, " pos"]:
    """What patching each position would do to the metric, to first order, averaged over the batch.

    `gradient` is the derivative of the sum of the examples' metrics with respect to the activation in the corrupted
    run. Patching moves that activation from its corrupted to its clean value.
    """
    return ((clean - corrupted) * gradient).sum(-1).mean(0)


def fold_layer_norm(
    w: Float[Tensor, " d_model"],
    b: Float[Tensor, " d_model"],
    W: Float[Tensor, "d_model out"],
    bias: Float[Tensor, " out"],
) -> tuple[Float[Tensor, "d_model out"], Float[Tensor, " out"]]:
    """Weights and bias that read a LayerNorm without scale and shift, and give what W and bias give after one with w
    and b.

    So (normalised * w + b) @ W + bias equals normalised @ new_W + new_bias, for every normalised vector.
    """
    return w[:, None] * W, bias + b @ W


def product_eigenvalues(
    A: Float[Tensor, "d_model d_head"], B: Float[Tensor, "d_head d_model"]
) -> Float[Tensor, " d_head"]:
    """The eigenvalues of A @ B that are not zero, largest magnitude first, without ever making that large matrix.

    Here they are real numbers: return torch.linalg.eigvals(...).real. A @ B and B @ A have the same nonzero
    eigenvalues.
    """
    values = torch.linalg.eigvals(B @ A).real
    return values[values.abs().argsort(descending=True)]
