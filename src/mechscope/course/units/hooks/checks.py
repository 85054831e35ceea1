"""The checks of unit H."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import torch
from torch import Tensor, nn

from mechscope.course.comparison import difference
from mechscope.course.kit import largest_tensor, random_gpt
from mechscope.course.trial import CheckFailedError, Trial


def _network(trial: Trial) -> nn.Sequential:
    """Two layers with a threshold that changes its input in place, and an inner part."""
    torch_state = torch.get_rng_state()
    torch.manual_seed(trial.seed)
    network = nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Sequential(nn.Linear(6, 5), nn.Tanh()))
    torch.set_rng_state(torch_state)
    return network


def _second_layer(model: nn.Sequential, x: Tensor) -> Tensor:
    """What the linear layer of the inner part gives."""
    return model.get_submodule("2.0")(model[1](model[0](x)))


def _hooks_left(model: nn.Module) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def _tokens(trial: Trial, batch: int = 2) -> Tensor:
    return trial.whole(0, 17, batch, trial.number(4, 7))


def check_run_with_hook(trial: Trial) -> None:
    model, x = _network(trial), trial.normal(3, 4)
    plain = model(x)
    seen: list[Tensor] = []

    def look(value: Tensor) -> None:
        seen.append(value.clone())

    out = trial.function(model, "2.0", look, x)
    _must_be(out, plain, "the output with a hook that returns None")
    trial.require(
        len(seen) == 1,
        f"the hook was called {len(seen)} times; once is expected.",
        "Is it on the named module?",
    )
    _must_be(seen[0], _second_layer(model, x), "what the hook saw")
    trial.require(_hooks_left(model) == 0, "the hook is still there after the run.", LEFT)
    out = trial.function(model, "2.0", lambda value: 2 * value, x)
    _must_be(out, torch.tanh(2 * seen[0]), "the output with a hook that returns twice its input", IGNORED)

    def stumble(value: Tensor) -> Tensor:
        raise ZeroDivisionError

    try:
        trial.function(model, "0", stumble, x)
    except ZeroDivisionError:
        trial.require(_hooks_left(model) == 0, "the hook is still there after an error.", LEFT_AFTER_ERROR)
    else:
        raise CheckFailedError("an error that the hook raised was swallowed.", SWALLOWED)


LEFT = "Remove it with the handle that register_forward_hook returns: otherwise it acts in every later run."
LEFT_AFTER_ERROR = "Remove the hook in a `finally`, so that an error does not leave it behind."
IGNORED = "What the hook returns has to replace the module's output: return it from your forward hook."
SWALLOWED = "Let errors of hooks pass: whoever wrote the hook wants to see them."
CHANGED_LATER = "A later module changed this tensor in place after you kept it: keep a copy (clone)."
WITH_CONTAINERS = "Modules with other modules inside do not belong into the cache."


def _must_be(got: object, wanted: object, what: str, diagnosis: str = "") -> None:
    if problem := difference(got, wanted, 1e-4, 1e-5, what):
        raise CheckFailedError(problem, diagnosis)


def check_run_with_cache(trial: Trial) -> None:
    model, x = _network(trial), trial.normal(3, 4)
    answer = trial.function(model, x)
    trial.require(
        isinstance(answer, tuple) and len(answer) == 2, "two things are expected: the output and the cache."
    )
    out, cache = answer
    _must_be(out, model(x), "the output")
    names = {"0", "1", "2.0", "2.1"}
    trial.require(isinstance(cache, dict), "the cache is no dictionary.")
    trial.require(
        set(cache) == names,
        f"the cache has the names {sorted(cache)}; {sorted(names)} are expected.",
        WITH_CONTAINERS if set(cache) > names else "",
    )
    _must_be(cache["0"], model[0](x), "the output of the first layer", CHANGED_LATER)
    _must_be(cache["2.0"], _second_layer(model, x), "the output of the second layer")
    _must_be(cache["2.1"], out, "the output of the last module")
    trial.require(_hooks_left(model) == 0, "hooks are still there after the run.", LEFT)


def check_decompose_residual(trial: Trial) -> None:
    model, tokens = random_gpt(trial.seed), _tokens(trial)
    with torch.no_grad():
        found = trial.compare(model, tokens, rtol=1e-3, atol=1e-4, what="the components")
        _, cache = model.run_with_cache(tokens)
    _must_be(found.sum(0), cache["blocks.2.hook_resid_post"], "the sum of the components")


def check_direct_logit_attribution(trial: Trial) -> None:
    for _ in range(2):
        d_model = trial.number(8, 14)
        components = trial.normal(trial.number(4, 7), d_model) + trial.normal(1, 1)
        W_U = trial.normal(d_model, 9)
        total = components.sum(0)
        scale = float((total - total.mean()).square().mean().sqrt())
        right, wrong = torch.randperm(9, generator=trial.generator)[:2].tolist()
        found = trial.compare(components, scale, W_U, right, wrong, rtol=1e-3, what="the attribution")
        logits = (total - total.mean()) / scale @ W_U
        trial.require(
            torch.isclose(found.sum(), logits[right] - logits[wrong], atol=1e-3),
            "the attribution does not add up to the difference between the logits.",
        )


def check_logit_lens(trial: Trial) -> None:
    model, tokens = random_gpt(trial.seed), _tokens(trial, 1)
    with torch.no_grad():
        logits, cache = model.run_with_cache(tokens)
        stream = torch.stack([cache[f"blocks.{layer}.hook_resid_post"][0] for layer in range(3)])
        token = trial.number(0, 17)
        found = trial.compare(
            stream, model.ln_final, model.W_U.detach(), model.b_U.detach(), token, what="the probabilities"
        )
    _must_be(found[-1], logits[0].softmax(-1)[:, token], "the probabilities of the last layer")


def check_mean_ablate_head(trial: Trial) -> None:
    for _ in range(2):
        pos, heads, d_head = trial.number(4, 7), trial.number(3, 5), trial.number(3, 6)
        z, other = trial.normal(3, pos, heads, d_head), trial.normal(5, pos, heads, d_head) + 1
        trial.compare(z, other, trial.number(0, heads), what="the ablated z")


def check_previous_token_score(trial: Trial) -> None:
    for _ in range(2):
        size = trial.number(5, 9)
        scores = 2 * trial.normal(2, 3, size, size)
        later = torch.ones(size, size, dtype=torch.bool).triu(1)
        trial.compare(scores.masked_fill(later, -torch.inf).softmax(-1), what="the scores")


def check_normalised_effect(trial: Trial) -> None:
    for _ in range(2):
        clean, corrupted = (float(trial.uniform(1, low=low, high=low + 1)) for low in (2, -1))
        trial.compare(trial.normal(3, 4), clean, corrupted, what="the effect")
    ends = trial.call(torch.tensor([corrupted, clean]), clean, corrupted)
    _must_be(ends, torch.tensor([0.0, 1.0]), "the effect of patching nothing and of patching all")
    trial.refuses(
        ValueError,
        "both runs have the same value, and your function does not say so.",
        trial.normal(3),
        1.0,
        1.0,
    )


def check_patch_residual(trial: Trial) -> None:
    model, clean = random_gpt(trial.seed), _tokens(trial)
    corrupted = clean.clone()
    corrupted[:, 1] = (corrupted[:, 1] + trial.number(1, 17)) % 17
    right, wrong = trial.number(0, 8), trial.number(8, 17)

    def metric(logits: Tensor) -> Tensor:
        return (logits[:, -1, right] - logits[:, -1, wrong]).mean()

    with torch.no_grad():
        found = trial.compare(model, clean, corrupted, metric, rtol=1e-3, atol=1e-4, what="the metric")
        whole = metric(model(clean))
        trial.require(
            torch.isclose(found[0, 1], whole, atol=1e-3),
            "patching the only place that differs, before the first layer, must give the clean run.",
        )


def check_attribution_patching(trial: Trial) -> None:
    for _ in range(2):
        shape = (trial.number(2, 5), trial.number(4, 7), trial.number(5, 9))
        trial.compare(
            trial.normal(*shape), trial.normal(*shape), trial.normal(*shape), what="the attribution"
        )


def check_fold_layer_norm(trial: Trial) -> None:
    for _ in range(2):
        d_model, out = trial.number(5, 9), trial.number(5, 9)
        w, b = trial.uniform(d_model, low=0.5, high=2), trial.normal(d_model)
        W, bias = trial.normal(d_model, out), trial.normal(out)
        new_W, new_bias = trial.compare(w, b, W, bias, names=("the folded weights", "the folded bias"))
        x = trial.normal(4, d_model)
        _must_be(x @ new_W + new_bias, (x * w + b) @ W + bias, "the output")


def check_product_eigenvalues(trial: Trial) -> None:
    for _ in range(2):
        d_model, d_head = trial.number(20, 30), trial.number(4, 7)
        A = trial.normal(d_model, d_head) / d_model**0.5
        # B @ A is symmetric times positive definite, so its eigenvalues are real and have the signs of those of the
        # symmetric matrix. Two are negative and two positive, so that no other order is the one by magnitude.
        turn = torch.linalg.qr(trial.normal(d_head, d_head)).Q
        sizes = trial.uniform(d_head, low=1, high=4)
        sizes[:2] *= -1
        other = trial.normal(d_model, d_head)
        other = other - A @ torch.linalg.solve(A.T @ A, A.T @ other)
        B = (turn * sizes) @ turn.T @ (A + other).T
        trial.compare(A, B, rtol=1e-2, atol=1e-3, what="the eigenvalues")
    made = largest_tensor(lambda: trial.call(A, B))
    trial.require(
        made < 4 * d_model * d_model,
        f"a tensor of {made} bytes was made: the large matrix A @ B itself.",
        MADE,
    )


MADE = "B @ A is only d_head × d_head, and has the same nonzero eigenvalues."
