"""Demos of techniques that read, add and remove directions."""

from __future__ import annotations

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

import mechscope as ms
from mechscope import techniques, viz
from mechscope.glossary.demos._python_code import python_code
from mechscope.pages.figures import PageFigure


def probe() -> PageFigure:
    """Does a Python model know after each layer whether a bracket is open?"""
    model = ms.load_model("mini-gelu-4l")
    tokens = python_code(model)
    labels = []
    for row in tokens:
        pieces = [str(piece) for piece in model.to_str_tokens(row)]
        depth = np.cumsum([sum(map(piece.count, "([{")) - sum(map(piece.count, ")]}")) for piece in pieces])
        labels.append(depth[1:] > 0)
    label = np.stack(labels)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens)
    streams, _ = cache.accumulated_resid(return_labels=True)
    train, test = slice(0, 16), slice(16, None)
    scores = []
    for stream in streams[:, :, 1:].numpy():
        x = stream / stream.std()
        fit = LogisticRegression(max_iter=1000).fit(x[train].reshape(-1, x.shape[-1]), label[train].ravel())
        scores.append(float(fit.score(x[test].reshape(-1, x.shape[-1]), label[test].ravel())))
    chance = float(max(label[test].mean(), 1 - label[test].mean()))
    figure = viz.curves(
        np.arange(len(scores)),
        {"held-out accuracy": scores},
        title="A linear probe for “a bracket is open”, on Python code",
        x_title="layers that have run",
        y_title="accuracy",
        markers=[viz.Marker(chance, "always the commoner class", axis="y")],
        points=True,
    )
    return PageFigure(
        "probe",
        figure,
        f"From the current token alone (0 layers) the probe is right on {scores[0]:.0%} of the tokens, at best on "
        f"{max(scores):.0%}; the commoner class alone gives {chance:.0%}. Compare with both before you are "
        "impressed.",
    )


def control_task() -> PageFigure:
    """How many random labels a linear probe can learn by heart."""
    generator = np.random.default_rng(0)
    width = 64
    words = [16, 32, 64, 96, 128, 192, 256, 512]
    accuracy = []
    for count in words:
        vectors = generator.standard_normal((count, width))
        labels = np.arange(count) % 2
        generator.shuffle(labels)
        fit = LogisticRegression(C=1e4, max_iter=500).fit(vectors, labels)
        accuracy.append(float(fit.score(vectors, labels)))
    figure = viz.curves(
        words,
        {"accuracy on random labels": accuracy},
        title=f"A linear probe of {width}-dimensional vectors memorises",
        x_title="number of words, each with a random label",
        y_title="accuracy on its own words",
        markers=[viz.Marker(0.5, "chance", axis="y"), viz.Marker(2.0 * width, "twice the width")],
        points=True,
    )
    return PageFigure(
        "control-task",
        figure,
        f"The labels mean nothing, yet the probe gets {accuracy[words.index(64)]:.0%} of 64 words right and "
        f"{accuracy[words.index(128)]:.0%} of 128. Even for 512 it is at {accuracy[-1]:.0%}. An accuracy on a real "
        "property must be compared with these.",
    )


def steering() -> PageFigure:
    """Steer a Python model with the difference between two kinds of prompt, beside random directions."""
    model = ms.load_model("mini-gelu-4l")
    layer = 3
    vector = techniques.steering_vector(
        model,
        ["    return", "        return", "if x:\n    return"],
        ["import", "\nimport", "from os import"],
        layer=layer,
    )
    prompts = model.to_tokens(["x = 1\n", "    y = 2\n", "print(x)\n"])
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(10, model.cfg.d_model, generator=generator)
    noise = noise / noise.norm(dim=-1, keepdim=True) * vector.norm()
    wanted = int(model.to_tokens("    return", prepend_bos=False)[0, -1])
    coefficients = [-4.0, -2.0, -1.0, 0.0, 1.0, 2.0, 4.0]

    def logit(direction: torch.Tensor, coefficient: float) -> float:
        with torch.no_grad(), techniques.steered(model, direction, layer, coefficient):
            return float(model(prompts)[:, -1].log_softmax(-1)[:, wanted].mean())

    chosen = [logit(vector, each) for each in coefficients]
    random = np.array([[logit(direction, each) for each in coefficients] for direction in noise])
    figure = viz.curves(
        coefficients,
        {
            "steering vector": chosen,
            "random, median": np.median(random, 0),
            "random, highest": random.max(0),
        },
        title="Steering towards “return”",
        x_title="coefficient",
        y_title="log probability (nats)",
        points=True,
    )
    return PageFigure(
        "steering",
        figure,
        f"With coefficient {coefficients[-1]:g}, the vector raises the log probability of “return” from "
        f"{chosen[3]:.1f} to {chosen[-1]:.1f}. The best of ten random directions of the same length reaches "
        f"{random[:, -1].max():.1f}, their median {np.median(random[:, -1]):.1f}: part of any such effect is mere "
        "disturbance.",
    )


def concept_erasure() -> PageFigure:
    """Remove directions one after another, or move the class means together in one step."""
    generator = np.random.default_rng(0)
    labels = np.arange(1000) % 2
    shape = generator.standard_normal((20, 20))
    vectors = generator.standard_normal((1000, 20)) @ shape + np.outer(
        labels, generator.standard_normal(20) * 3
    )

    def accuracy(x: np.ndarray) -> float:
        return float(LogisticRegression(C=100, max_iter=2000).fit(x, labels).score(x, labels))

    scores, left = [accuracy(vectors)], vectors
    for _ in range(4):
        direction = LogisticRegression(C=100, max_iter=2000).fit(left, labels).coef_[0]
        direction = direction / np.linalg.norm(direction)
        left = left - np.outer(left @ direction, direction)
        scores.append(accuracy(left))
    means = np.stack([vectors[labels == label].mean(0) for label in (0, 1)])
    together = accuracy(vectors - means[labels])
    figure = viz.curves(
        np.arange(len(scores)),
        {"accuracy of a new probe": scores},
        title="Erasing a property by projecting out one probe after another",
        x_title="directions removed",
        y_title="accuracy",
        markers=[viz.Marker(together, "class means made equal", axis="y")],
        points=True,
    )
    return PageFigure(
        "concept-erasure",
        figure,
        f"After one direction is removed, a new probe still reaches {scores[1]:.2f} (before: {scores[0]:.2f}), and "
        f"after {len(scores) - 1} it reaches {scores[-1]:.2f}. If the class means are made equal, it reaches "
        f"{together:.2f} at once.",
    )


def model_diffing() -> PageFigure:
    """Neurons of two models from different seeds, compared by number and by best match."""
    models = [ms.load_model(name) for name in ("mini-gelu-1l", "mini-gelu-1l-seed1")]
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(2, models[0].cfg.d_vocab, (64, 32), generator=generator)
    columns = []
    for model in models:
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter="blocks.0.mlp.hook_post")
        acts = cache["blocks.0.mlp.hook_post"].flatten(0, 1)
        acts = acts - acts.mean(0)
        columns.append(acts / acts.norm(dim=0).clamp(min=1e-6))
    correlation = (columns[0].T @ columns[1]).numpy()
    same, best = np.diag(correlation), correlation.max(1)
    figure = viz.curves(
        np.arange(1, len(best) + 1),
        {"best match in the other model": np.sort(best)[::-1], "same number": np.sort(same)[::-1]},
        title="Neurons of two models that differ only in the seed",
        x_title="neurons, ordered by the value shown",
        y_title="correlation of activations",
    )
    return PageFigure(
        "model-diffing",
        figure,
        f"The median correlation of a neuron with its best match is {np.median(best):.2f}; with the neuron of the "
        f"same number it is {np.median(same):.2f}. Models that were trained separately share no numbering.",
    )
