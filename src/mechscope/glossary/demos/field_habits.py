"""Demos about the field's habits, on made-up numbers."""

from __future__ import annotations

import numpy as np

from mechscope import viz
from mechscope.pages.figures import PageFigure


def goodhart() -> PageFigure:
    """Choose the best of n candidates by a proxy, and see how good it really is."""
    generator = np.random.default_rng(0)
    candidates = [1, 2, 5, 10, 30, 100, 300, 1000]
    proxy, quality = [], []
    for count in candidates:
        true = generator.standard_normal((2000, count))
        measured = true + generator.standard_normal((2000, count))
        chosen = measured.argmax(1)
        proxy.append(float(np.mean(measured[np.arange(2000), chosen])))
        quality.append(float(np.mean(true[np.arange(2000), chosen])))
    figure = viz.curves(
        candidates,
        {"proxy": proxy, "true quality": quality},
        title="The best of n candidates, chosen by quality plus error",
        x_title="number of candidates",
        y_title="mean of the winner (standard deviations)",
        points=True,
        log_x=True,
    )
    return PageFigure(
        "goodhart",
        figure,
        f"Among {candidates[3]} candidates the winner's proxy exceeds its quality by {proxy[3] - quality[3]:.1f}, "
        f"among {candidates[-1]:,} by {proxy[-1] - quality[-1]:.1f}: the harder you select, the more of the lead "
        "is luck.",
    )


def pre_registration() -> PageFigure:
    """The calibration curve of somebody who is too sure."""
    generator = np.random.default_rng(0)
    log_odds = generator.normal(0, 2, 4000)
    outcome = generator.random(4000) < 1 / (1 + np.exp(-log_odds / 2))
    stated = 1 / (1 + np.exp(-log_odds))
    edges = np.linspace(0, 1, 11)
    bins = np.digitize(stated, edges[1:-1])
    middle = [float(stated[bins == each].mean()) for each in range(10)]
    share = [float(outcome[bins == each].mean()) for each in range(10)]
    figure = viz.curves(
        middle,
        {"what happened": share, "perfect calibration": middle},
        title="4,000 predictions by a forecaster who is too sure",
        x_title="stated probability",
        y_title="share that came true",
        points=True,
    )
    brier = float(np.mean((stated - outcome) ** 2))
    return PageFigure(
        "pre-registration",
        figure,
        f"Of the predictions made with about {middle[-1]:.0%}, {share[-1]:.0%} came true. The Brier score is "
        f"{brier:.3f}; always saying one half gives 0.250. Only written predictions allow this curve.",
    )
