"""Demos of the section "features"."""

import numpy as np
import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.pages.figures import PageFigure

CODE = [
    "def add(a, b):\n    return a + b\n",
    "for key in names:\n    if key is None:\n        continue\n",
    "import os\n\nclass Reader(object):\n    def __init__(self, path):\n        self.path = path\n",
    "try:\n    value = int(text)\nexcept ValueError:\n    raise TypeError(text)\n",
]
PROSE = [
    "She looked at the sea, and said that it was time to go home.",
    "He was a very old man, and he had lost.",
    "When the winter came, the children of the house stayed by the fire and told each other stories.",
    "I do not know, said the captain, what we shall do if the wind does not turn.",
]


def superposition() -> PageFigure:
    """Count the features that a layer of two dimensions holds, from dense to sparse."""
    group = ms.load_toy_models()["intro"]
    density = np.array(group.group.density)
    held = (group.best_W.norm(dim=1) > 0.5).sum(1)
    figure = viz.curves(
        density,
        {"features with a direction": held},
        title="Five features, two dimensions",
        x_title="density (probability that a feature is present)",
        y_title="features represented (length above 1/2)",
        log_x=True,
        points=True,
    )
    dense, sparse = int(held[density.argmax()]), int(held[density.argmin()])
    caption = (
        f"Read it from right to left: {dense} features if all are always present, {sparse} if each is present in "
        f"{density.min():.0%} of the inputs. The layer has 2 dimensions throughout."
    )
    return PageFigure("superposition", figure, caption)


def interference() -> PageFigure:
    """See what each feature adds to the output of the others."""
    group = ms.load_toy_models()["pentagon"]
    W = group.best_W[0]
    gram = W.T @ W
    others = gram - torch.diag(gram.diagonal())
    figure = viz.heatmap(
        gram,
        title="Five features in a plane: what each adds to each output",
        x_title="feature that is present",
        y_title="output",
        unit="output before bias and ReLU",
        write_numbers=True,
        square=True,
    )
    caption = (
        f"Off the diagonal is interference. Negative values, down to {float(others.min()):.2f}, are cut off by the "
        f"ReLU; the positive ones, up to {float(others.max()):.2f}, are false alarms, which the biases "
        f"({float(group.models.b.mean()):.2f} on average) reduce."
    )
    return PageFigure("interference", figure, caption)


def sparsity() -> PageFigure:
    """The loss of a small layer, next to the best linear compression."""
    group = ms.load_toy_models()["counting"]
    density = np.array(group.group.density)
    held = (group.best_W.norm(dim=1) > 0.5).sum(1)
    figure = viz.curves(
        density,
        {"features with a direction": held},
        title="Twenty features, five dimensions",
        x_title="density (probability that a feature is present)",
        y_title="features represented (length above 1/2)",
        log_x=True,
        points=True,
    )
    counts = ", ".join(f"{int(n)} at {d:g}" for n, d in zip(held, density, strict=True))
    return PageFigure("sparsity", figure, f"The sparser the features, the more of them fit: {counts}.")


def importance() -> PageFigure:
    """Which features keep a direction when they matter less and less?"""
    group = ms.load_toy_models()["counting"]
    lengths = group.best_W.norm(dim=1)
    weights = np.array(group.group.importance[0])
    figure = viz.heatmap(
        lengths,
        title="Length of each feature's direction",
        x_title="feature (0 is the most important)",
        y_title="density",
        unit="length",
        y=[f"{density:g}" for density in group.group.density],
    )
    last = [int((row > 0.5).nonzero().max()) for row in lengths]
    caption = (
        f"When features are dense, the last one with a direction is feature {last[0]}, of importance "
        f"{weights[last[0]]:.2f}; at the lowest density it is feature {last[-1]}, of importance "
        f"{weights[last[-1]]:.3f}."
    )
    return PageFigure("importance", figure, caption)


def feature_dimensionality() -> PageFigure:
    """Follow the number of dimensions per feature from dense to sparse features."""
    group = ms.load_toy_models()["crowd"]
    W, density = group.best_W, np.array(group.group.density)
    per_feature = W.shape[1] / W.square().sum((1, 2))
    half = density[(per_feature - 0.5).abs().numpy() < 0.02]
    figure = viz.curves(
        1 / density,
        {"dimensions per feature": per_feature},
        title="100 features in 20 dimensions",
        x_title="1 / density",
        y_title="dimensions per represented feature",
        markers=[viz.Marker(0.5, "antipodal pairs", "y")],
        log_x=True,
        points=True,
    )
    caption = (
        f"A plateau, not a slope: from density {half.max():g} to {half.min():g} every feature has half a dimension. "
        f"The ends are {float(per_feature[0]):.2f} and {float(per_feature[-1]):.2f}."
    )
    return PageFigure("feature_dimensionality", figure, caption)


def antipodal_pair() -> PageFigure:
    """Features that are never present together point in opposite directions."""
    group = ms.load_toy_models()["anticorrelated"]
    W = group.best_W[0]
    cosines = torch.nn.functional.cosine_similarity(W[:, :, None], W[:, None], dim=0)
    figure = viz.heatmap(
        cosines,
        title="Two pairs of features that exclude each other",
        x_title="feature",
        y_title="feature",
        unit="cosine similarity",
        write_numbers=True,
        square=True,
    )
    caption = (
        f"Features 0 and 1 are never present together, and have a cosine of {float(cosines[0, 1]):.2f}; 2 and 3 have "
        f"{float(cosines[2, 3]):.2f}. Between the pairs it is {float(cosines[0, 2].abs()):.2f}: four features in two "
        "dimensions."
    )
    return PageFigure("antipodal_pair", figure, caption)


def polytope() -> PageFigure:
    """Draw the directions of five equal features in a plane."""
    W = ms.load_toy_models()["pentagon"].best_W[0]
    order = torch.atan2(W[1], W[0]).argsort()
    angle = torch.rad2deg(torch.atan2(W[1], W[0])[order])
    steps = torch.cat([angle[1:], angle[:1] + 360]) - angle
    ring = torch.cat([order, order[:1]])
    figure = viz.curves(
        W[0, ring],
        {"directions, joined in order": W[1, ring]},
        title="Five equal features in a plane",
        x_title="first hidden dimension (weight)",
        y_title="second hidden dimension (weight)",
        points=True,
    )
    figure.update_yaxes(scaleanchor="x")
    caption = (
        f"Training found a regular pentagon: neighbours are between {float(steps.min()):.1f}° and "
        f"{float(steps.max()):.1f}° apart (72° would be exact)."
    )
    return PageFigure("polytope", figure, caption)


def privileged_basis() -> PageFigure:
    """Are the axes of neurons and of the residual stream special?"""
    model = ms.load_model("mini-gelu-1l")
    tokens = torch.randint(0, 512, (64, 64), generator=torch.Generator().manual_seed(0))
    _, cache = model.run_with_cache(tokens)

    def kurtosis(values: torch.Tensor) -> torch.Tensor:
        x = values.flatten(0, 1) - values.mean((0, 1))
        return x.pow(4).mean(0) / x.square().mean(0).square()

    neurons, stream = cache["blocks.0.mlp.hook_post"], cache["blocks.0.hook_resid_post"]
    turn = torch.linalg.qr(torch.randn(256, 256, generator=torch.Generator().manual_seed(1))).Q
    medians = [float(kurtosis(values).median()) for values in (neurons, neurons @ turn, stream)]
    figure = viz.bars(
        ["neurons", "neurons, rotated", "residual stream"],
        {"median over axes": medians},
        title="How heavy are the tails of each axis? (mini-gelu-1l)",
        x_title="axes",
        y_title="kurtosis (3 for a normal distribution)",
    )
    caption = (
        f"The axes of the neurons are special: a median kurtosis of {medians[0]:.0f}, which a random "
        "rotation lowers to "
        f"{medians[1]:.1f}. The residual stream's axes have {medians[2]:.1f}."
    )
    return PageFigure("privileged_basis", figure, caption)


def key_value_memory() -> PageFigure:
    """Read what a neuron writes in the vocabulary."""
    model = ms.load_model("mini-gelu-1l")
    written = model.blocks[0].mlp.W_out.detach() @ model.W_U.detach()
    written[
        :, model.tokenizer.bos_token_id
    ] = -torch.inf  # nothing ever predicts it, so its logit means nothing
    words = written[written.isfinite()].view(len(written), -1)
    reach = (words.max(1).values - words.mean(1)) / words.std(1)
    neuron = int(reach.argmax())
    top = written[neuron].topk(12)
    figure = viz.ranked_bars(
        [repr(model.to_string([int(token)])) for token in top.indices],
        top.values,
        title=f"Tokens that neuron {neuron} of mini-gelu-1l promotes",
        x_title="logits per unit of activation (before the norm)",
        y_title="token",
    )
    caption = (
        f"The strongest token lies {float(reach[neuron]):.1f} standard deviations above the mean; for "
        f"the median neuron it is {float(reach.median()):.1f}. Have these tokens anything in common?"
    )
    return PageFigure("key_value_memory", figure, caption)


def memory_management() -> PageFigure:
    """Look for neurons that erase the direction that they read."""
    model = ms.load_model("mini-gelu-4l")
    cosines = torch.stack(
        [torch.nn.functional.cosine_similarity(b.mlp.W_in.T, b.mlp.W_out, dim=-1) for b in model.blocks]
    ).detach()
    ranked = cosines.sort(1).values
    figure = viz.curves(
        range(ranked.shape[1]),
        {f"layer {layer}": row for layer, row in enumerate(ranked)},
        title="Does a neuron write what it reads? (mini-gelu-4l)",
        x_title="neuron (ranked within its layer)",
        y_title="cosine of input and output weights",
    )
    erase = (cosines < -0.375).sum(1).tolist()
    caption = (
        f"Random directions in 64 dimensions stay within about ±0.375 (three standard deviations). Below that are "
        f"{', '.join(map(str, erase))} of 256 neurons in layers 0 to 3: these may erase what they read."
    )
    return PageFigure("memory_management", figure, caption)


def context_neuron() -> PageFigure:
    """Find the neuron that best tells code from prose, and compare it with the rest."""
    model = ms.load_model("mini-gelu-1l")
    name = "blocks.0.mlp.hook_post"
    code, prose = (
        torch.cat([model.run_with_cache(text)[1][name][0, 1:] for text in texts]) for texts in (CODE, PROSE)
    )
    above = torch.stack([(code[:, None, n] > prose[None, :, n]).float().mean() for n in range(code.shape[1])])
    ranked = (above - 0.5).abs().sort(descending=True).values + 0.5
    best = int((above - 0.5).abs().argmax())
    figure = viz.curves(
        range(len(ranked)),
        {"neuron": ranked},
        title="How well does one neuron tell code from prose? (mini-gelu-1l)",
        x_title="neuron (ranked)",
        y_title="AUROC over tokens (0.5 is chance)",
    )
    caption = (
        f"Neuron {best} is the best, with an AUROC of {float(ranked[0]):.2f}; the median neuron has "
        f"{float(ranked[128]):.2f}. A true context neuron would be near 1 on every token."
    )
    return PageFigure("context_neuron", figure, caption)


def linear_representation() -> PageFigure:
    """Read code against prose off one direction, on texts that did not choose it."""
    model = ms.load_model("mini-gelu-1l")
    name = "blocks.0.hook_resid_post"
    means = [[model.run_with_cache(t)[1][name][0, 1:].mean(0) for t in texts] for texts in (CODE, PROSE)]
    code, prose = (torch.stack([group[0], group[1]]) for group in means)
    direction = code.mean(0) - prose.mean(0)
    middle = (code.mean(0) + prose.mean(0)) / 2
    values = [[float((x - middle) @ direction / direction.norm()) for x in group[2:]] for group in means]
    figure = viz.bars(
        ["first unseen text", "second unseen text"],
        {"code": values[0], "prose": values[1]},
        title="One direction in the residual stream of mini-gelu-1l",
        x_title="text",
        y_title="mean position along code − prose",
    )
    caption = (
        f"The direction is the difference of two means over two texts each. On four unseen texts, code lies at "
        f"{min(values[0]):.2f} or more and prose at {max(values[1]):.2f} or less."
    )
    return PageFigure("linear_representation", figure, caption)


def non_linear_feature() -> PageFigure:
    """Numbers of a modular adder lie on circles, not on a line."""
    model = ms.load_model("grokking-p113")
    numbers = model.W_E.detach()[:113]
    strength = techniques.embedding_spectrum(model).values
    k = int(strength.coords["frequency"].values[strength.values.argmax()])
    waves = techniques.fourier_basis(113)[[2 * k - 1, 2 * k]].float()
    plane = torch.linalg.qr((waves @ numbers).T).Q
    x, y = (numbers @ plane).T
    order = torch.arange(113) * pow(k, -1, 113) % 113
    order = torch.cat([order, order[:1]])
    radius = (x.square() + y.square()).sqrt()
    figure = viz.curves(
        x[order],
        {f"numbers in steps of {pow(k, -1, 113)}": y[order]},
        title=f"The embedding of 113 numbers in the plane of frequency {k}",
        x_title="first direction of the plane",
        y_title="second direction of the plane",
        points=True,
    )
    figure.update_yaxes(scaleanchor="x")
    caption = (
        f"The numbers lie on a circle: the radius is {float(radius.mean()):.2f} ± "
        f"{float(radius.std()):.2f}. A number is "
        "an angle in this plane, and no single direction holds it."
    )
    return PageFigure("non_linear_feature", figure, caption)


def max_activating_example() -> PageFigure:
    """Show a neuron's activation on every token of the texts that excite it most."""
    model = ms.load_model("mini-gelu-1l")
    name, texts = "blocks.0.mlp.hook_post", [*CODE[1:], *PROSE[1:]]
    found = [model.run_with_cache(text)[1][name][0, 1:] for text in texts]
    peaks = torch.stack([values.max(0).values for values in found])
    neuron = int((peaks.max(0).values - peaks.median(0).values).argmax())
    text = texts[int(peaks[:, neuron].argmax())]
    values = found[texts.index(text)][:, neuron]
    words = [model.to_string([int(token)]) for token in model.to_tokens(text)[0, 1:]]
    figure = viz.bars(
        [f"{i} {word!r}" for i, word in enumerate(words)],
        {"activation": values},
        title=f"Neuron {neuron} of mini-gelu-1l on the text that excites it most",
        x_title="token",
        y_title="activation",
        number_format=".1f",
    )
    at = int(values.argmax())
    caption = (
        f"The peak of {float(values.max()):.1f} is at token {at}, {words[at]!r}; the median token of this text has "
        f"{float(values.median()):.2f}. One example suggests an explanation, and proves none."
    )
    return PageFigure("max_activating_example", figure, caption)
