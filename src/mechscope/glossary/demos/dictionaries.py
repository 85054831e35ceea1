"""Demos of dictionaries: what their measures say, and what they hide."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

import mechscope as ms
from mechscope import dictionaries, viz
from mechscope.dictionaries import synthetic
from mechscope.dictionaries.evaluation import feature_recovery, fraction_of_variance_unexplained, spliced_loss
from mechscope.glossary.demos._python_code import python_code
from mechscope.pages.figures import PageFigure

HOOK = "blocks.0.mlp.hook_post"
"""What the bundled dictionary reads."""


def _activations() -> Tensor:
    """Neurons of mini-gelu-1l on Python code [example neuron], without the first position."""
    model = ms.load_model("mini-gelu-1l")
    with torch.no_grad():
        _, cache = model.run_with_cache(python_code(model), names_filter=HOOK)
    return cache[HOOK][:, 1:].flatten(0, 1)


@torch.no_grad()
def sparse_autoencoder() -> PageFigure:
    """Reconstruct activations from a few latents, or from as many neurons."""
    sae = dictionaries.load("mini-gelu-1l-neurons")
    x = _activations()
    features = sae.encode(x)
    counts = [1, 2, 4, 8, 16]
    by_latents, by_neurons = [], []
    mean = x.mean(0)
    for count in counts:
        kept = features.topk(count).indices
        mask = torch.zeros_like(features).scatter(1, kept, 1.0)
        by_latents.append(float(fraction_of_variance_unexplained(x, sae.decode(features * mask))))
        strongest = (x - mean).abs().topk(count).indices
        mask = torch.zeros_like(x).scatter(1, strongest, 1.0)
        by_neurons.append(float(fraction_of_variance_unexplained(x, mean + (x - mean) * mask)))
    figure = viz.curves(
        counts,
        {"the strongest neurons": by_neurons, "the strongest latents": by_latents},
        title="How much of an activation do n units explain?",
        x_title="units used per token",
        y_title="fraction of variance unexplained",
        points=True,
    )
    return PageFigure(
        "sparse-autoencoder",
        figure,
        f"With {counts[-1]} latents per token, {by_latents[-1]:.0%} of the variance is left unexplained; with as "
        f"many neurons {by_neurons[-1]:.0%}. ({len(x):,} tokens of Python code.)",
    )


def l1() -> PageFigure:
    """The value that minimises squared error plus penalty, found by brute force."""
    strengths, penalty = np.linspace(0, 2, 41), 0.5
    grid = np.linspace(0, 2, 2001)
    best = [grid[np.argmin(0.5 * (grid - strength) ** 2 + penalty * grid)] for strength in strengths]
    figure = viz.curves(
        strengths,
        {"true strength": strengths, "best value under the penalty": best},
        title=f"An L1 penalty of {penalty} makes every active latent too small",
        x_title="true strength",
        y_title="value of the latent",
    )
    return PageFigure(
        "l1",
        figure,
        f"Strengths up to {penalty} become exactly 0, and a strength of {strengths[-1]:g} becomes {best[-1]:g}: "
        f"all that survive are short by {strengths[-1] - best[-1]:g}.",
    )


def fvu() -> PageFigure:
    """A few enormous activations decide the fraction of variance unexplained."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(1000, 32, generator=generator)
    useless = torch.zeros_like(x)
    sizes = [1, 3, 10, 30, 100]
    values = []
    for size in sizes:
        outlier = torch.full((5, 32), float(size))
        data, copy = torch.cat([x, outlier]), torch.cat([useless, outlier])
        values.append(float(fraction_of_variance_unexplained(data, copy)))
    figure = viz.curves(
        sizes,
        {"reconstruction that is right only on 5 of 1,005 examples": values},
        title="A reconstruction that ignores nearly all examples",
        x_title="size of the five outliers (standard deviations of the rest)",
        y_title="fraction of variance unexplained",
        points=True,
        log_x=True,
    )
    return PageFigure(
        "fvu",
        figure,
        f"Copying 5 of 1,005 examples and answering 0 for all others leaves {values[0]:.0%} of the variance "
        f"unexplained if the five are ordinary, and {values[-1]:.0%} if they are {sizes[-1]} times as large.",
    )


@torch.no_grad()
def dead_latent() -> PageFigure:
    """Latents look dead in a small sample."""
    sae = dictionaries.load("mini-gelu-1l-neurons")
    active = sae.encode(_activations()) > 0
    samples = [25, 50, 100, 200, 400, 800, len(active)]
    silent = [float((~active[:count].any(0)).float().mean()) for count in samples]
    figure = viz.curves(
        samples,
        {"never active so far": silent},
        title="Latents of the bundled dictionary that have not fired yet",
        x_title="tokens looked at",
        y_title="share of latents",
        points=True,
        log_x=True,
    )
    return PageFigure(
        "dead-latent",
        figure,
        f"After {samples[2]} tokens, {silent[2]:.0%} of the latents have never fired; after {samples[-1]:,} tokens "
        f"{silent[-1]:.0%}. A count of dead latents is meaningless without the number of tokens.",
    )


@torch.no_grad()
def topk() -> PageFigure:
    """What happens if a dictionary is used with another k than it was trained with."""
    sae = dictionaries.load("mini-gelu-1l-neurons")
    x = _activations()
    pre = sae.pre_activations(x).relu()
    counts = [2, 4, 8, 16, 32, 64, 128]
    errors = []
    for count in counts:
        best = pre.topk(count)
        errors.append(
            float(
                fraction_of_variance_unexplained(
                    x, sae.decode(torch.zeros_like(pre).scatter(1, best.indices, best.values))
                )
            )
        )
    figure = viz.curves(
        counts,
        {"fraction of variance unexplained": errors},
        title="A dictionary trained with k = 16, used with another k",
        x_title="latents kept per token",
        y_title="fraction of variance unexplained",
        points=True,
        log_x=True,
    )
    return PageFigure(
        "topk",
        figure,
        f"Up to the k of training the error falls fast, from {errors[0]:.0%} with {counts[0]} latents to "
        f"{errors[3]:.1%} with {counts[3]}. Keeping {counts[-1]} brings it only to {errors[-1]:.1%}: the "
        "dictionary never learned to use more.",
    )


def jumprelu() -> PageFigure:
    """ReLU, ReLU with a bias, and JumpReLU."""
    z, threshold = np.linspace(-0.5, 2, 251), 0.8
    jump = np.where(z > threshold, z, 0.0)
    shifted = np.maximum(z - threshold, 0)
    figure = viz.curves(
        z,
        {"ReLU": np.maximum(z, 0), "ReLU with bias −0.8": shifted, "JumpReLU, threshold 0.8": jump},
        title="Three ways from a pre-activation to a latent",
        x_title="pre-activation",
        y_title="value of the latent",
    )
    at = int(np.searchsorted(z, 1.5))
    return PageFigure(
        "jumprelu",
        figure,
        f"To ignore interference below {threshold}, a ReLU needs a negative bias, and then reports "
        f"{shifted[at]:.2f} for a pre-activation of {z[at]:.2f}. JumpReLU ignores the same values and reports "
        f"{jump[at]:.2f}.",
    )


def mmcs() -> PageFigure:
    """Random directions score well if there are enough of them."""
    generator = torch.Generator().manual_seed(0)
    truth = synthetic.random_directions(32, 16, generator)
    sizes = [32, 128, 512, 2048, 8192]
    found = [feature_recovery(synthetic.random_directions(size, 16, generator), truth) for size in sizes]
    figure = viz.curves(
        sizes,
        {
            "true to learned": [each.mmcs for each in found],
            "learned to true": [each.mmcs_back for each in found],
        },
        title="MMCS of dictionaries that consist of random directions",
        x_title="number of random directions",
        y_title="mean max cosine similarity",
        points=True,
        log_x=True,
    )
    return PageFigure(
        "mmcs",
        figure,
        f"In 16 dimensions, {sizes[0]} random directions reach {found[0].mmcs:.2f} and {sizes[-1]:,} reach "
        f"{found[-1].mmcs:.2f}, though nothing was learned. The other direction stays at {found[-1].mmcs_back:.2f}.",
    )


def loss_recovered() -> PageFigure:
    """The loss with the reconstruction in place, between those of the model and of ablation."""
    model = ms.load_model("mini-gelu-1l")
    splice = spliced_loss(model, dictionaries.load("mini-gelu-1l-neurons"), python_code(model, 12), HOOK)
    figure = viz.bars(
        ["model", "reconstruction", "mean ablation", "zero ablation"],
        {"loss": [splice.ce, splice.ce_spliced, splice.ce_mean, splice.ce_zero]},
        title="What the model's loss says about the bundled dictionary",
        x_title="what stands in for the neurons",
        y_title="cross-entropy (nats per token)",
        number_format=".2f",
    )
    return PageFigure(
        "loss-recovered",
        figure,
        f"The reconstruction costs {splice.delta_ce:.3f} nats. That is {splice.recovered_mean:.1%} recovered if the "
        f"baseline is mean ablation and {splice.recovered_zero:.1%} if it is zero ablation.",
    )


@torch.no_grad()
def error_node() -> PageFigure:
    """Is the reconstruction error worse for the model than noise of the same size?"""
    model, sae = ms.load_model("mini-gelu-1l"), dictionaries.load("mini-gelu-1l-neurons")
    tokens = python_code(model, 12)
    usual = model(tokens).log_softmax(-1)
    generator = torch.Generator().manual_seed(0)

    def divergence(kind: str) -> float:
        def edit(x: Tensor, hook: ms.HookPoint) -> Tensor:
            error = sae(x) - x
            if kind == "random":
                noise = torch.randn(x.shape, generator=generator)
                error = noise / noise.norm(dim=-1, keepdim=True) * error.norm(dim=-1, keepdim=True)
            if kind == "shuffled":
                error = error[torch.randperm(len(error), generator=generator)]
            x[:, 1:] += error[:, 1:]
            return x

        edited = model.run_with_hooks(tokens, fwd_hooks=[(HOOK, edit)]).log_softmax(-1)
        return float((usual.exp() * (usual - edited)).sum(-1)[:, 1:].mean())

    values = {kind: divergence(kind) for kind in ("real", "random", "shuffled")}
    figure = viz.bars(
        ["its own error", "random, same length", "error on another text"],
        {"KL divergence": list(values.values())},
        title="What different errors do to the model's predictions",
        x_title="what is added to the neurons",
        y_title="KL divergence (nats)",
        number_format=".3f",
    )
    return PageFigure(
        "error-node",
        figure,
        f"The error that the dictionary makes changes predictions by {values['real']:.3f} nats, a random vector of "
        f"the same length by {values['random']:.3f}, and the error made on another text by {values['shuffled']:.3f}.",
    )


@torch.no_grad()
def dashboard() -> PageFigure:
    """The top examples of a latent are a small part of what it does."""
    sae = dictionaries.load("mini-gelu-1l-neurons")
    features = sae.encode(_activations())
    latent = int(((features > 0).sum(0) - 300).abs().argmin())
    values = features[:, latent][features[:, latent] > 0].sort(descending=True).values
    figure = viz.curves(
        np.arange(1, len(values) + 1),
        {f"latent {latent}": values.numpy()},
        title=f"All activations of latent {latent}, from the strongest to the weakest",
        x_title="rank among the tokens on which it fires",
        y_title="activation",
        markers=[viz.Marker(20.0, "the usual top 20")],
    )
    half = int((values > values[0] / 2).sum())
    return PageFigure(
        "dashboard",
        figure,
        f"The latent fires on {len(values)} of {len(features):,} tokens. The top 20 are {20 / len(values):.0%} of "
        f"these, and only {half} exceed half of the maximum: most of what it does is not on a page of top examples.",
    )
