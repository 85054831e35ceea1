"""The figures of step 02, from one seed's models."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from mechscope.labs.grokking.anatomy import anatomy_of_weights
from mechscope.labs.grokking.measures import Analysis
from mechscope.labs.grokking.spectra import frequency_norms, number_embedding
from mechscope.labs.grokking.structure import SINGLE
from mechscope.labs.grokking.sweep import LONGEST, SHARES, SweepRun
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import stacked_result
from mechscope.results import Provenance, make_result
from mechscope.viz import Marker, bars, curves, escape, heatmap

FLOOR = 1e-10
"""The lowest loss that is drawn, since zero has no logarithm."""


def draw_figures(
    shown: Analysis,
    sweep: Mapping[str, SweepRun] | None,
    third_party: Mapping[str, Tensor] | None,
    seed: int,
) -> tuple[LabFigure, ...]:
    """All figures, in the lesson's order."""
    p = shown.trained.config.p
    made_by = Provenance(f"one-layer transformer, p = {p}", f"addition modulo {p}", seed)
    figures = [
        _losses(shown, made_by),
        _accuracies(shown, made_by),
        _embedding(shown, made_by),
        _to_logits(shown, made_by),
        _neuron(shown, made_by),
        _neurons(shown, made_by),
        _heads(shown, made_by),
        _ablation(shown, made_by),
        _progress(shown, made_by),
        _clean_up(shown, made_by),
    ]
    if sweep:
        figures += [_sweep(sweep, seed), _dates(sweep, seed)]
    if third_party:
        figures.append(_clock_and_pizza(third_party))
    return tuple(figures)


def _series(
    name: str,
    epoch: Tensor,
    series: Mapping[str, Tensor],
    title: str,
    y_title: str,
    caption: str,
    made_by: Provenance,
    *,
    log_y: bool = False,
    markers: tuple[Marker, ...] = (),
) -> LabFigure:
    drawn = {key: values.clamp(min=FLOOR) if log_y else values for key, values in series.items()}
    figure = curves(epoch, drawn, title=title, x_title="epoch", y_title=y_title, log_y=log_y, markers=markers)
    data = stacked_result(series, ("series", "step"), title, y_title, made_by, {"step": epoch.numpy()})
    return LabFigure(name, figure, caption, {"curves": data})


def _losses(shown: Analysis, made_by: Provenance) -> LabFigure:
    history = shown.trained.history
    return _series(
        "losses",
        history.epoch,
        {"trained on": history.train_loss, "never seen": history.test_loss},
        "Loss on training pairs and on all others",
        "loss (nats)",
        "Look how far one curve has fallen before the other starts to fall, and how long that one stays above guessing "
        f"({math.log(shown.trained.config.p):.1f} nats). Nothing in the first curve predicts that the second will "
        "fall.",
        made_by,
        log_y=True,
    )


def _accuracies(shown: Analysis, made_by: Provenance) -> LabFigure:
    history = shown.trained.history
    return _series(
        "accuracies",
        history.epoch,
        {"trained on": 100 * history.train_accuracy, "never seen": 100 * history.test_accuracy},
        "The same, as right answers",
        "right answers (%)",
        "Look at the gap in time between the two rises.",
        made_by,
    )


def _by_frequency(
    name: str,
    series: Mapping[str, Tensor],
    title: str,
    y_title: str,
    caption: str,
    made_by: Provenance,
    *,
    markers: tuple[Marker, ...] = (),
    log_y: bool = False,
) -> LabFigure:
    count = len(next(iter(series.values())))
    frequency = np.arange(1, count + 1)
    figure = bars([str(k) for k in frequency], series, title=title, x_title="frequency k", y_title=y_title)
    # Numbers on so many bars would be clutter; the axis shows them.
    figure.update_traces(texttemplate=None)
    figure.update_layout(bargap=0.1)
    figure.update_xaxes(type="category", nticks=20)
    if log_y:
        figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    for marker in markers:
        figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=marker.at, y1=marker.at)
        figure.add_annotation(
            x=1,
            xref="paper",
            y=math.log10(marker.at) if log_y else marker.at,
            text=escape(marker.label),
            xanchor="right",
            yanchor="bottom",
        )
    data = stacked_result(series, ("series", "frequency"), title, y_title, made_by, {"frequency": frequency})
    return LabFigure(name, figure, caption, {"norms": data})


def _embedding(shown: Analysis, made_by: Provenance) -> LabFigure:
    start = frequency_norms(number_embedding(shown.trained.checkpoint(0)))
    return _by_frequency(
        "embedding",
        {"before training": start, "after": shown.structure.embedding_norms},
        "The waves in the embedding of the numbers",
        "norm",
        "The size of each wave in W_E, over the numbers. Before training, every frequency is present. Look how many "
        "are left.",
        made_by,
    )


def _to_logits(shown: Analysis, made_by: Provenance) -> LabFigure:
    norms = shown.structure.W_L_norms
    return _by_frequency(
        "to-logits",
        {"after training": norms},
        "The waves that the neurons can write to the answers",
        "norm",
        "The size of each wave in W_L, over the answers. Look for the ones above the line (a quarter of the largest): "
        f"these are the key frequencies, {', '.join(map(str, shown.structure.keys))} here.",
        made_by,
        markers=(Marker(float(norms.max()) / 4, "a quarter"),),
    )


def _neuron(shown: Analysis, made_by: Provenance) -> LabFigure:
    p = shown.trained.config.p
    neurons = anatomy_of_weights(shown.trained.weights, p).neurons
    best = shown.structure.neuron_shares.amax(0)
    spread = neurons.flatten(0, 1).std(0)
    # Among the purest neurons with the longest wave, which is easiest to see, the one with the largest effect.
    own = shown.structure.neuron_shares.argmax(0) + 1
    pure = best >= best.quantile(0.75)
    chosen = int((spread * (pure & (own == own[pure].min()))).argmax())
    frequency = int(own[chosen])
    title = f"Neuron {chosen} on every pair of numbers"
    figure = heatmap(
        neurons[..., chosen],
        title=title,
        x_title="b",
        y_title="a",
        unit="activation",
        write_numbers=False,
        square=True,
    )
    figure.data[0].update(xgap=0, ygap=0)
    written = list(range(0, p, 20))
    figure.update_xaxes(tickvals=written, ticktext=written, tickangle=0)
    figure.update_yaxes(tickvals=written, ticktext=written)
    figure.update_layout(height=520, meta={"max_width": 620})
    data = make_result(neurons[..., chosen], ("row", "col"), title, "activation", made_by)
    return LabFigure(
        "neuron",
        figure,
        f"Look how often the pattern repeats along a side, and compare with its frequency, {frequency}, which "
        f"explains {100 * float(best[chosen]):.0f} % of it.",
        {"neuron": data},
    )


def _neurons(shown: Analysis, made_by: Provenance) -> LabFigure:
    best = shown.structure.neuron_shares.amax(0).sort(descending=True).values
    rank = torch.arange(1, len(best) + 1)
    title = "How much of each neuron a single frequency explains"
    figure = curves(
        rank,
        {"best frequency": 100 * best},
        title=title,
        x_title="neurons, the purest first",
        y_title="variance explained (%)",
        markers=[Marker(100 * SINGLE, f"{100 * SINGLE:.0f} %", axis="y")],
    )
    figure.update_yaxes(range=[0, 104])
    data = make_result(100 * best, ("rank",), title, "% of variance", made_by, {"rank": rank.numpy()})
    return LabFigure(
        "neurons",
        figure,
        "Look how far to the right the curve stays above the line: these neurons use one frequency each.",
        {"shares": data},
    )


def _heads(shown: Analysis, made_by: Provenance) -> LabFigure:
    shares = 100 * shown.structure.head_shares
    names = [f"0.{head} (k = {int(shares[:, head].argmax()) + 1})" for head in range(shares.shape[1])]
    title = "How much of each head's attention its best frequency explains"
    figure = bars(
        names,
        {"variance explained": shares.amax(0)},
        title=title,
        x_title="head (and its frequency)",
        y_title="variance explained (%)",
        number_format=".0f",
    )
    data = make_result(shares, ("frequency", "head"), title, "% of variance", made_by,
                       {"frequency": np.arange(1, len(shares) + 1)})  # fmt: skip
    return LabFigure(
        "heads",
        figure,
        "The attention from “=” to the first number, over all pairs. Look whether one wave of each number "
        "is all there is to it.",
        {"shares": data},
    )


def _ablation(shown: Analysis, made_by: Provenance) -> LabFigure:
    structure = shown.structure
    return _by_frequency(
        "ablation",
        {"loss without it": structure.loss_without.clamp(min=FLOOR)},
        "Removing one frequency from the logits",
        "loss over all pairs (nats)",
        f"The line is the loss of the whole model. Look which bars differ from it "
        f"({', '.join(map(str, structure.keys))} are the key frequencies), and by how many powers of ten.",
        made_by,
        markers=(Marker(max(structure.loss, FLOOR), "nothing removed"),),
        log_y=True,
    )


def _progress(shown: Analysis, made_by: Provenance) -> LabFigure:
    progress = shown.progress
    return _series(
        "progress",
        progress.epoch,
        {
            "trained on": progress.train_loss,
            "never seen": progress.test_loss,
            "restricted": progress.restricted,
            "excluded": progress.excluded,
        },
        "What happens while the training loss is flat",
        "loss (nats)",
        "Restricted (on unseen pairs): only the key frequencies are kept. Excluded (on training pairs): only they are "
        "removed. Look when each of them moves, and what the training loss does meanwhile.",
        made_by,
        log_y=True,
    )


def _clean_up(shown: Analysis, made_by: Provenance) -> LabFigure:
    progress = shown.progress
    return _series(
        "clean-up",
        progress.epoch,
        {
            "Gini of W_E": progress.gini_embedding,
            "Gini of W_L": progress.gini_to_logits,
            "Σw² (largest = 1)": progress.squared_weights / progress.squared_weights.max(),
        },
        "Fewer frequencies, smaller weights",
        "value",
        "The Gini coefficient is 0 if all frequencies have the same share, and near 1 if a few have nearly all of it. "
        "Look for the time at which the weights shrink and the Ginis rise fastest.",
        made_by,
    )


def _sweep(sweep: Mapping[str, SweepRun], seed: int) -> LabFigure:
    usual = sweep["standard"].weight_decay
    names = [f"{100 * run.fraction:.0f} %{_decay_words(run.weight_decay, usual)}" for run in sweep.values()]
    accuracy = [run.accuracy for run in sweep.values()]
    title = "Test accuracy at the end, by share of pairs trained on"
    figure = bars(
        names,
        {"test accuracy": accuracy},
        title=title,
        x_title="share of pairs trained on",
        y_title="right answers on the others (%)",
        number_format=".0f",
    )
    # By default, the axis would read "20 %" as a number and drop the bar of the training without decay.
    figure.update_xaxes(type="category")
    made_by = Provenance("one-layer transformer, small", "addition modulo p", seed)
    data = make_result(accuracy, ("label",), title, "%", made_by, {"label": names})
    delays = ", ".join(
        f"{name}: {run.delay:,.0f} epochs"
        for name, run in zip(names, sweep.values(), strict=True)
        if math.isfinite(run.delay)
    )
    return LabFigure(
        "sweep",
        figure,
        "The small model, same number of epochs at most. Look which training runs never grokked. "
        f"Epochs from memorising to grokking: {delays or 'it never happened'}.",
        {"accuracy": data},
    )


def _decay_words(decay: float, usual: float) -> str:
    if decay == usual:
        return ""
    return ", no decay" if decay == 0 else f", {decay / usual:g} × decay"


def _dates(sweep: Mapping[str, SweepRun], seed: int) -> LabFigure:
    shares = [100 * sweep[name].fraction for name in SHARES]
    # A model that never reached it is drawn at its last epoch.
    epochs = [min(sweep[name].solved, LONGEST) for name in SHARES]
    title = "When does it understand? By share of training pairs"
    figure = curves(
        shares,
        {"test loss below 0.01": epochs},
        title=title,
        x_title="share of pairs trained on (%)",
        y_title="epoch",
        log_y=True,
        points=True,
    )
    made_by = Provenance("one-layer transformer, small", "addition modulo p", seed)
    data = make_result(
        epochs, ("label",), title, "epochs", made_by, {"label": [f"{share:g} %" for share in shares]}
    )
    return LabFigure(
        "dates",
        figure,
        "The scale is logarithmic. On the left, look how much time a tenth of the pairs costs; on the right, where "
        "hardly a fact is missing, what takes time is to fit them all.",
        {"epochs": data},
    )


def _clock_and_pizza(third_party: Mapping[str, Tensor]) -> LabFigure:
    names = {"irrelevance": "distance irrelevance", "symmetricity": "gradient symmetricity"}
    series = {
        model: [float(third_party[f"{model}_{measure}"]) for measure in names] for model in ("clock", "pizza")
    }
    title = "A clock and a pizza, told apart by two measures"
    figure = bars(
        list(names.values()), series, title=title, x_title="measure", y_title="value", number_format=".2f"
    )
    data = make_result(
        torch.tensor(list(series.values())),
        ("series", "label"),
        title,
        "1",
        Provenance("published clock and pizza (p = 59)", "addition modulo 59"),
        {"series": list(series), "label": list(names.values())},
    )
    return LabFigure(
        "clock-and-pizza",
        figure,
        "Both are at most 1. Look which model's answers depend on the distance of the two numbers (a low "
        "irrelevance), and which model treats both numbers alike.",
        {"measures": data},
    )
