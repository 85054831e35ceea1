"""Demos of the section on transformers: tokens, the stream, norms, sampling."""

from __future__ import annotations

import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.byte_pairs import train_byte_pairs
from mechscope.pages.figures import PageFigure
from mechscope.viz import Marker

TEXT = "The captain came on deck and looked at the sea. The men were asleep, and there was no wind."


def token() -> PageFigure:
    """The pieces that a small tokenizer makes of words, with and without a space."""
    model = ms.load_model("mini-gelu-1l")
    words = ["captain", " captain", "Captain", "there", " there", "theorem", "1999", "xylophone"]
    pieces = [[str(piece) for piece in model.to_str_tokens(word, prepend_bos=False)] for word in words]
    counts = [len(parts) for parts in pieces]
    labels = [f"{word!r}: {' | '.join(parts)}" for word, parts in zip(words, pieces, strict=True)]
    figure = viz.ranked_bars(
        labels,
        counts,
        title="How many tokens is a word?",
        x_title="number of tokens",
        y_title="text and its pieces",
        number_format=".0f",
    )
    caption = (
        f"With a vocabulary of {model.cfg.d_vocab}, 'there' has {counts[3]} tokens, ' there' with a space "
        f"{counts[4]}, and 'theorem' {counts[5]}. Positions in a figure are pieces, not words."
    )
    return PageFigure("token", figure, caption)


def bpe() -> PageFigure:
    """A larger vocabulary makes a text shorter, with diminishing returns."""
    sizes = [257, 260, 264, 270, 280, 290, 300]
    lengths = [len(train_byte_pairs([TEXT], size).encode(TEXT, add_special_tokens=False)) for size in sizes]
    figure = viz.curves(
        sizes,
        {"tokens": lengths},
        title="Each merge makes one new token, and the text shorter",
        x_title="tokens in the vocabulary (256 bytes, a BOS, and merges)",
        y_title="length of the text (tokens)",
        points=True,
    )
    first, last = lengths[0] - lengths[1], lengths[-2] - lengths[-1]
    caption = (
        f"The first {sizes[1] - sizes[0]} merges save {first} of {lengths[0]} tokens, the last "
        f"{sizes[-1] - sizes[-2]} save {last}: frequent pairs are fused first."
    )
    return PageFigure("bpe", figure, caption)


def rotary_embedding() -> PageFigure:
    """Scores after the rotation depend on the distance only."""
    width, base = 16, 10_000.0
    speeds = base ** (-torch.arange(0, width, 2, dtype=torch.float64) / width)
    generator = torch.Generator().manual_seed(0)
    query, key = torch.randn(2, width // 2, dtype=torch.complex128, generator=generator)

    def score(at: int, back: int) -> float:
        def turned(vector: torch.Tensor, position: int) -> torch.Tensor:
            return vector * torch.polar(torch.ones_like(speeds), position * speeds)

        return float((turned(query, at) * turned(key, at - back).conj()).real.sum())

    distances = range(33)
    scores = {f"query at position {at}": [score(at, back) for back in distances] for at in (40, 400)}
    figure = viz.curves(
        distances,
        scores,
        title="Rotated queries and keys know only how far apart they are",
        x_title="distance between query and key (tokens)",
        y_title="attention score, before scaling",
    )
    near, far = scores.values()
    gap = max(abs(a - b) for a, b in zip(near, far, strict=True))
    caption = (
        f"The scores of one query and key range from {min(near):.1f} to {max(near):.1f} with their distance, but are "
        f"the same at positions 40 and 400 (largest difference {gap:.0e})."
    )
    return PageFigure("rotary_embedding", figure, caption)


def residual_stream() -> PageFigure:
    """The stream at the end is the sum of what all parts wrote."""
    model = ms.load_model("mini-gelu-4l")
    _, cache = model.run_with_cache(TEXT)
    parts, names = cache.decompose_resid(return_labels=True)
    sizes = parts[:, 0, 1:].norm(dim=-1).mean(dim=1)  # without the BOS
    gap = float((parts.sum(0) - cache["blocks.3.hook_resid_post"]).abs().max())
    figure = viz.bars(
        names,
        {"mean length": sizes},
        title="What each part writes to the residual stream",
        x_title="part of the model",
        y_title="mean length of the vector",
        number_format=".2f",
    )
    caption = (
        f"The {len(names)} vectors add up to the final stream at every position (largest difference {gap:.1g}). The "
        f"longest on average, {sizes.max():.1f}, is written by {names[int(sizes.argmax())]}."
    )
    return PageFigure("residual_stream", figure, caption)


def layernorm() -> PageFigure:
    """Doubling every contribution changes nothing; doubling one contribution changes all others."""
    model = ms.load_model("mini-gelu-2l")
    _, cache = model.run_with_cache(TEXT)
    parts, names = cache.decompose_resid(pos_slice=-1, return_labels=True)
    parts = parts[:, 0]
    factors = torch.linspace(0.25, 4, 16)

    def share(changed: torch.Tensor) -> float:
        """The length of the embedding after the norm's division."""
        total = changed.sum(0)
        return float(parts[0].norm() / (total - total.mean()).std(correction=0))

    one = []
    for factor in factors:
        scaled = parts.clone()
        scaled[-1] = factor * parts[-1]
        one.append(share(scaled))
    figure = viz.curves(
        factors,
        {"embedding": one},
        title="Change one part, and the norm changes all the others",
        x_title=f"{names[-1]} is multiplied by",
        y_title="length of the embedding after the norm",
        markers=[Marker(1.0, "the model as it is")],
    )
    caption = (
        f"The embedding itself is not touched, but after the last norm its length falls from {one[0]:.2f} to "
        f"{one[-1]:.2f} as {names[-1]} grows from {factors[0]:.2f} to {factors[-1]:.0f} times its size."
    )
    return PageFigure("layernorm", figure, caption)


def layernorm_folding() -> PageFigure:
    """The learned gains of a norm return in the weights that read it."""
    prompt = " and ran to the store with a drink for"
    raw = ms.load_model("ioi-twin", process=False)
    folded = ms.load_model("ioi-twin", fold_ln=True, center_writing_weights=False, center_unembed=False)
    gains = raw.blocks[2].ln1.w.detach()
    before, after = (model.W_V[2].detach().norm(dim=(0, 2)) for model in (raw, folded))
    order = gains.argsort()
    gap = float((raw(prompt) - folded(prompt)).detach().abs().max())
    figure = viz.curves(
        range(len(gains)),
        {"gain of the norm": gains[order], "length of W_V's rows, after ÷ before": (after / before)[order]},
        title="Folding moves a norm's gains into the weights that read it",
        x_title="coordinate of the stream, in order of the gain",
        y_title="factor",
    )
    caption = (
        f"In layer 2 of ioi-twin the gains range from {gains.min():.2f} to {gains.max():.2f}, and each row of W_V "
        f"grows or shrinks by nearly its gain. The logits stay the same (largest difference {gap:.0e})."
    )
    return PageFigure("layernorm_folding", figure, caption)


def gelu() -> PageFigure:
    """GELU beside ReLU."""
    x = torch.linspace(-4, 4, 161)
    y = torch.nn.functional.gelu(x)
    lowest = int(y.argmin())
    figure = viz.curves(
        x,
        {"GELU": y, "ReLU": x.relu()},
        title="A smooth bend",
        x_title="input of the neuron",
        y_title="output of the neuron",
    )
    caption = (
        f"Far from zero both agree. GELU dips to {y[lowest]:.2f} at {x[lowest]:.2f}, so an inactive neuron is hardly "
        "ever exactly 0."
    )
    return PageFigure("gelu", figure, caption)


def solu() -> PageFigure:
    """A clear voice passes; a murmur of the same size is shrunk."""
    counts = [1, 2, 4, 8, 16, 32, 64]
    kept = []
    for count in counts:
        x = torch.zeros(64)
        x[:count] = 8 / count**0.5  # always a vector of length 8
        kept.append(float((x * x.softmax(dim=0)).norm() / 8))
    figure = viz.curves(
        counts,
        {"SoLU without its norm": kept},
        title="The same length, spread over more and more of 64 neurons",
        x_title="neurons that share the vector",
        y_title="length after the activation ÷ before",
        log_x=True,
        points=True,
    )
    caption = (
        f"One neuron alone keeps {kept[0]:.0%} of its length; eight that share it keep {kept[3]:.0%}, and all 64 "
        f"{kept[-1]:.1%}. Spreading a feature does not pay."
    )
    return PageFigure("solu", figure, caption)


def temperature() -> PageFigure:
    """How a temperature reshapes one prediction."""
    logits = ms.load_model("mini-gelu-4l")("The captain")[0, -1].detach()
    temperatures = torch.logspace(-1, 1, 41, base=10)
    curves: dict[str, list[float]] = {"likeliest token": [], "the ten likeliest": [], "all others": []}
    for t in temperatures:
        p = (logits / t).softmax(0).sort(descending=True).values
        for series, value in zip(curves.values(), (p[0], p[:10].sum(), p[10:].sum()), strict=True):
            series.append(float(value))
    figure = viz.curves(
        temperatures,
        curves,
        title="What comes after “The captain”, at different temperatures",
        x_title="temperature",
        y_title="probability",
        markers=[Marker(1.0, "as the model predicts")],
        log_x=True,
    )
    caption = (
        f"At temperature 1, the likeliest token has {curves['likeliest token'][20]:.0%}, at 0.1 "
        f"{curves['likeliest token'][0]:.0%}. At 10, the {len(logits) - 10} tokens beyond the first ten get "
        f"{curves['all others'][-1]:.0%}."
    )
    return PageFigure("temperature", figure, caption)


def top_p() -> PageFigure:
    """How many tokens top-p keeps depends on how sure the model is."""
    model = ms.load_model("mini-gelu-4l")
    p = model(TEXT)[0, :-1].detach().softmax(-1).sort(descending=True).values
    kept = ((p.cumsum(-1) - p) < 0.9).sum(-1)  # tokens needed to reach 0.9
    figure = viz.curves(
        range(len(kept)),
        {"kept": kept},
        title="How many tokens does top-p = 0.9 keep?",
        x_title="position",
        y_title="tokens kept",
        points=True,
    )
    tokens = model.to_str_tokens(TEXT)
    low, high = int(kept.argmin()), int(kept[1:].argmax()) + 1
    caption = (
        f"After {tokens[low]!r} (position {low}) {kept[low]} tokens are kept, after {tokens[high]!r} (position {high}) "
        f"{kept[high]} of {model.cfg.d_vocab}. A fixed number, as in top-k, would be wrong at one of them."
    )
    return PageFigure("top_p", figure, caption)
