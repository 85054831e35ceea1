"""Demos that train small dictionaries on synthetic activations, whose true features are known."""

from __future__ import annotations

import numpy as np
import torch

from mechscope import dictionaries, viz
from mechscope.dictionaries import synthetic
from mechscope.dictionaries.evaluation import fraction_of_variance_unexplained
from mechscope.pages.figures import PageFigure


def l0() -> PageFigure:
    """The trade between the number of active latents and the error."""
    generator = torch.Generator().manual_seed(0)
    truth = synthetic.independent(16, 32, 2.0, generator)
    x, _ = truth.sample(4096, generator)
    penalties = [0.1, 0.2, 0.4, 0.8]
    saes = {
        str(l1): dictionaries.build(dictionaries.ReluConfig(d_in=16, d_sae=32, l1=l1)) for l1 in penalties
    }
    dictionaries.train(
        saes,
        dictionaries.TensorStream(x, batch_size=256),
        dictionaries.TrainingConfig(steps=300, lr=1e-2, revive="none", scale=False),
        progress=False,
    )
    with torch.no_grad():
        active = [float((sae.encode(x) > 0).float().sum(-1).mean()) for sae in saes.values()]
        error = [float(fraction_of_variance_unexplained(x, sae(x))) for sae in saes.values()]
    figure = viz.curves(
        active,
        {"fraction of variance unexplained": error},
        title="Four dictionaries that differ only in the penalty",
        x_title="L0 (active latents per example)",
        y_title="fraction of variance unexplained",
        markers=[viz.Marker(2.0, "true number of causes")],
        points=True,
    )
    return PageFigure(
        "l0",
        figure,
        f"From a penalty of {penalties[0]} to {penalties[-1]}, L0 falls from {active[0]:.1f} to {active[-1]:.1f} "
        f"and the unexplained variance rises from {error[0]:.1%} to {error[-1]:.0%}. Neither number means anything "
        "alone.",
    )


def resampling() -> PageFigure:
    """Train with and without resampling, from a start in which half of the latents are dead."""
    generator = torch.Generator().manual_seed(0)
    truth = synthetic.independent(16, 32, 2.0, generator)
    x, _ = truth.sample(4096, generator)
    dead: dict[str, float] = {}
    error: dict[str, float] = {}
    for revive in ("none", "resample"):
        sae = dictionaries.build(dictionaries.ReluConfig(d_in=16, d_sae=64, l1=0.2))
        with torch.no_grad():
            sae.b_enc[:32] = -10.0
        dictionaries.train(
            sae,
            dictionaries.TensorStream(x, batch_size=256),
            dictionaries.TrainingConfig(
                steps=400, lr=1e-2, revive=revive, resample_every=100, dead_after=10_000, scale=False
            ),
            progress=False,
        )
        with torch.no_grad():
            dead[revive] = float((sae.encode(x) <= 0).all(0).float().mean())
            error[revive] = float(fraction_of_variance_unexplained(x, sae(x)))
    figure = viz.bars(
        ["dead latents", "variance unexplained"],
        {each: [dead[each], error[each]] for each in dead},
        title="A dictionary that starts with half of its latents dead",
        x_title="measure after 400 steps",
        y_title="share",
        number_format=".3f",
    )
    return PageFigure(
        "resampling",
        figure,
        f"Without resampling {dead['none']:.0%} of the latents are still dead at the end, with it "
        f"{dead['resample']:.0%}. The unexplained variance changes from {error['none']:.1%} to "
        f"{error['resample']:.1%}.",
    )


def feature_absorption() -> PageFigure:
    """Parent features, each with children that imply it: does the parent's latent still fire beside a child?"""
    generator = torch.Generator().manual_seed(0)
    truth = synthetic.hierarchical(16, 16, 2.0, generator, children=3, inherited=0.3)
    x, coefficients = truth.sample(8192, generator)
    sae = dictionaries.build(dictionaries.ReluConfig(d_in=16, d_sae=16, l1=0.4))
    dictionaries.train(
        sae,
        dictionaries.TensorStream(x, batch_size=256),
        dictionaries.TrainingConfig(steps=250, lr=1e-2, scale=False, revive="none"),
        progress=False,
    )
    with torch.no_grad():
        active = sae.encode(x) > 0
        parents = range(0, 16, 4)
        nearest = (sae.W_dec @ truth.directions[::4].T).argmax(0).tolist()
    recall: dict[str, list[float]] = {"without a child": [], "with a child": []}
    for parent, latent in zip(parents, nearest, strict=True):
        child = (coefficients[:, parent + 1 : parent + 4] > 0).any(1)
        for name, group in (("without a child", ~child), ("with a child", child)):
            there = (coefficients[:, parent] > 0) & group
            recall[name].append(float(active[there, latent].float().mean()))
    figure = viz.bars(
        [f"parent {number}" for number in range(len(nearest))],
        recall,
        title="Does the parent's latent fire when the parent is there?",
        x_title="parent feature",
        y_title="recall",
        number_format=".2f",
    )
    means = {name: float(np.mean(values)) for name, values in recall.items()}
    return PageFigure(
        "feature-absorption",
        figure,
        f"On average the parent's latent fires on {means['without a child']:.0%} of the examples that have the "
        f"parent alone, and on {means['with a child']:.0%} of those that have one of its children too.",
    )
