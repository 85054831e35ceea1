"""The figures of step 00, from one seed's models."""

from __future__ import annotations

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from mechscope.data.digits import Digits
from mechscope.labs.lab import LabFigure
from mechscope.labs.mnist_templates.bilinear import eigen_features, leading_patterns
from mechscope.labs.mnist_templates.measures import Trained
from mechscope.labs.mnist_templates.templates import (
    class_means,
    class_templates,
    evidence,
    live_pixels,
    smoothness,
    template_correlations,
)
from mechscope.results import Provenance, Result, make_result

CLASSES = [f"“{digit}”" for digit in range(10)]
_DECAY = 1
"""Index of the linear classifier that is drawn: weight decay 1."""


def draw_figures(digits: Digits, trained: Trained, seed: int) -> tuple[LabFigure, ...]:
    """All figures, in the lesson's order."""
    artist = _Artist(digits, trained, Provenance("digit classifiers", digits.name, seed))
    return (
        artist.weights(),
        artist.templates(),
        artist.match(),
        artist.evidence(),
        artist.decay_images(),
        artist.decay_numbers(),
        artist.hidden(),
        artist.spectra(),
        artist.eigenfeatures(),
    )


class _Artist:
    def __init__(self, digits: Digits, trained: Trained, provenance: Provenance) -> None:
        self.digits, self.trained, self.provenance = digits, trained, provenance
        self.means = class_means(digits.train_x, digits.train_y)
        self.class_templates = class_templates(self.means)
        self.live = live_pixels(digits.train_x)
        self.rows = trained.linear.weight[_DECAY]
        self.eigen = [eigen_features(network) for network in trained.bilinear]

    def images(self, rows: Tensor) -> Tensor:
        return rearrange(rows.detach().cpu(), "n (h w) -> n h w", h=self.digits.side)

    def result(self, values: Tensor, dims: tuple[str, ...], title: str, unit: str, **coords: list) -> Result:
        return make_result(values, dims, title, unit, self.provenance, coords)

    def picture(
        self, name: str, rows: Tensor, labels: list[str], title: str, unit: str, caption: str, **how: Any
    ) -> LabFigure:
        images = self.result(self.images(rows), ("label", "row", "col"), title, unit, label=labels)
        return LabFigure.of(images, caption, name=name, key="images", **how)

    def weights(self) -> LabFigure:
        return self.picture(
            "weights",
            self.rows,
            CLASSES,
            "What the trained classifier looks for: its ten weight rows",
            "logits per unit of brightness",
            "Ink on a warm pixel is evidence for the digit, ink on a cool one is evidence against it. Look for the "
            "cool hole in the middle of “0”, and for the cool flanks of “1”.",
        )

    def templates(self) -> LabFigure:
        return self.picture(
            "templates",
            self.class_templates,
            CLASSES,
            "What distinguishes each digit from the others in the data",
            "brightness",
            "Each digit's average image minus the average of the other nine averages. Nothing here was trained. "
            "Look at this figure next to the last one.",
        )

    def match(self) -> LabFigure:
        null = self.trained.linear.weight[len(self.trained.decays)]
        match, shuffled = (
            self.result(
                template_correlations(rows, self.class_templates, self.live).cpu(),
                ("label", "class"),
                title,
                "correlation",
            )
            for rows, title in (
                (self.rows, "Which digit does each weight row resemble?"),
                (null, "the same with shuffled labels"),
            )
        )
        figure = LabFigure.of(
            match,
            "Correlation over the pixels that vary. Look for the diagonal: in each row the warmest cell should be "
            "the digit's own. Off the diagonal, look for pairs that people confuse too.",
            name="match",
            key="match",
            data={"shuffled": shuffled},
            x_title="template of digit",
            y_title="weight row of digit",
            square=True,
            write_numbers=False,
        )
        figure.figure.update_layout(height=440)
        return figure

    def evidence(self) -> LabFigure:
        image, label = self.digits.test_x[0], int(self.digits.test_y[0])
        logits = self.trained.linear.logits(image[None], _DECAY)[0]
        runner_up = (
            int(logits.argsort(descending=True)[1]) if int(logits.argmax()) == label else int(logits.argmax())
        )
        maps, labels = [], []
        for digit in (label, runner_up):
            weight, bias = self.trained.linear.weight[_DECAY, digit], self.trained.linear.bias[_DECAY, digit]
            maps.append(evidence(weight, bias, image)[0])
            labels.append(f"for “{digit}”: {float(logits[digit]):+.1f}")
        maps.append(maps[0] - maps[1])
        labels.append(f"difference: {float(logits[label] - logits[runner_up]):+.1f}")
        return self.picture(
            "evidence",
            torch.stack(maps),
            labels,
            f"Why the first test image is called “{label}” and not “{runner_up}”",
            "logits",
            "The contribution of each inked pixel: weight × brightness. The pixels (plus the bias) sum exactly to the "
            "score. Look at the last picture: the few warm strokes that decide between the two.",
            columns=3,
        )

    def decay_images(self) -> LabFigure:
        shown = (0, 2, 3, 7)
        names = [f"decay {decay:g}" for decay in self.trained.decays] + ["shuffled"]
        rows = torch.stack(
            [self.trained.linear.weight[i, digit] for i in range(len(names)) for digit in shown]
        )
        labels = [f"“{digit}”, {name}" for name in names for digit in shown]
        return self.picture(
            "decay-images",
            rows,
            labels,
            "The same four rows with more and more weight decay",
            "weight",
            "Each picture has its own scale, so compare shapes. Look for speckle giving way to strokes from the top "
            "row down, and at the last row, trained on shuffled labels: the same method finds nothing to draw.",
            columns=len(shown),
            each_its_own_scale=True,
        )

    def decay_numbers(self) -> LabFigure:
        names = [f"decay {decay:g}" for decay in self.trained.decays] + ["shuffled labels"]
        linear = self.trained.linear
        # The first shuffle stands for all of them here.
        drawn = linear.weight[: len(names)]
        matches = [template_correlations(rows, self.class_templates, self.live) for rows in drawn]
        right = [
            linear.logits(self.digits.test_x, i).argmax(-1) == self.digits.test_y for i in range(len(names))
        ]
        series = {
            "match with its digit (correlation)": [float(match.diagonal().mean()) for match in matches],
            "smoothness (correlation)": [smoothness(rows, self.digits.side) for rows in drawn],
            "test accuracy (share)": [float(r.float().mean()) for r in right],
        }
        bars = self.result(
            torch.tensor(list(series.values())),
            ("series", "label"),
            "What weight decay buys, and what it costs",
            "1",
            series=list(series),
            label=names,
        ).replace(kind="bars")
        figure = LabFigure.of(
            bars,
            "All three are at most 1. Look for two bars that grow from left to right while the third shrinks: clearer "
            "templates, fewer right answers. The last group was trained on shuffled labels.",
            name="decay-numbers",
            x_title="classifier",
            y_title="correlation, or share",
            number_format=".2f",
        )
        lowest = min(series["match with its digit (correlation)"])
        figure.figure.update_yaxes(range=[min(0.0, lowest * 1.2), 1.1])
        return figure

    def hidden(self) -> LabFigure:
        return self.picture(
            "hidden",
            self.trained.relu[0].tensors["W_in"].T[:10],
            [f"unit {index}" for index in range(10)],
            "The first ten hidden units of a more accurate network",
            "weight",
            "These are not selected: simply the first ten. Look for a digit. Some have strokes and patches, but hardly "
            "a digit that you could name.",
        )

    def spectra(self) -> LabFigure:
        digit = 3
        values = {
            name: eigen.values[digit] for name, eigen in zip(("no decay", "decay 1"), self.eigen, strict=True)
        }
        sizes = torch.stack([row.abs() for row in values.values()])
        result = self.result(
            sizes,
            ("series", "rank"),
            f"How many patterns make up a bilinear layer's idea of “{digit}”",
            "1",
            series=list(values),
            rank=list(range(1, sizes.shape[1] + 1)),
        )
        return LabFigure.of(
            result.replace(kind="spectrum"),
            "Sizes of the eigenvalues in order, each curve divided by its first; the scale is logarithmic. Look for "
            "the curve with decay dropping away: fewer patterns carry most of the score.",
            name="spectra",
            key="spectra",
        )

    def eigenfeatures(self) -> LabFigure:
        without, decayed = (leading_patterns(eigen, self.means).float() for eigen in self.eigen)
        # The sign of a pattern is arbitrary: draw the two patterns of a digit with the signs that make them most alike.
        without = without * torch.where((without * decayed).sum(-1, keepdim=True) < 0, -1.0, 1.0)
        rows = torch.cat([decayed, without])
        return self.picture(
            "eigenfeatures",
            rows,
            [f"{name}, decay {decay}" for decay in ("1", "0") for name in CLASSES],
            "The strongest eigenfeature of each digit, with and without weight decay",
            "weight",
            "First two rows: with decay. Last two: without. Look for whole digits or their decisive strokes, and for "
            "what decay has removed. A pattern counts squared, so warm and cool could be swapped.",
            each_its_own_scale=True,
        )
