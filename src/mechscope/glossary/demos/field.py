"""Demos of the section "The field"."""

from __future__ import annotations

import numpy as np

import mechscope as ms
from mechscope.pages.figures import PageFigure
from mechscope.viz import curves


def cherry_picking() -> PageFigure:
    """Search random neurons for one that follows a label, and try it again on other texts."""
    rng = np.random.default_rng(0)
    label = rng.permutation(np.repeat([-1.0, 1.0], 20))
    # Twenty searches, each with two sets of 40 texts: one to search in, and one that plays no part in the choice.
    first, second = np.abs(rng.standard_normal((2, 20, 2_000, 40)) @ (label / 40))
    searched = [1, 3, 10, 30, 100, 300, 1_000, 2_000]
    chosen = [first[:, :count].argmax(1) for count in searched]
    before = [float(first[range(20), best].mean()) for best in chosen]
    after = [float(second[range(20), best].mean()) for best in chosen]
    figure = curves(
        searched,
        {"where it was chosen": before, "on 40 other texts": after},
        title="Search long enough, and noise looks like a feature",
        x_title="neurons searched (count)",
        y_title="agreement with the label (mean product)",
        log_x=True,
        points=True,
    )
    caption = (
        f"Every neuron is random. The best of {searched[-1]} reaches {before[-1]:.2f} on the texts where it was chosen "
        f"and {after[-1]:.2f} on 40 others (means of 20 searches)."
    )
    return PageFigure("cherry-picking", figure, caption)


def reverse_engineering() -> PageFigure:
    """Look at the embedding of a network that adds modulo 113 in the basis that its algorithm uses."""
    model = ms.load_model("grokking-p113")
    share = 100 * np.asarray(ms.techniques.embedding_spectrum(model).values)
    top = np.flatnonzero(share > 5) + 1
    figure = curves(
        np.arange(1, len(share) + 1),
        {"share": share},
        title="A table of 113 numbers is a handful of waves",
        x_title="frequency (waves in 113 numbers)",
        y_title="share of the variance of the embedding (%)",
    )
    caption = (
        f"The embedding of a network that learned to add modulo 113. Of {len(share)} frequencies, {len(top)} "
        f"({', '.join(map(str, top))}) hold {share[top - 1].sum():.0f} % of the variance: a hint at the algorithm."
    )
    return PageFigure("reverse-engineering", figure, caption)
