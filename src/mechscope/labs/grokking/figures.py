"""The figures of step 02, from one seed's models."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
from torch import Tensor

from mechscope.labs.grokking.anatomy import anatomy_of_weights
from mechscope.labs.grokking.measures import Analysis
from mechscope.labs.grokking.spectra import frequency_norms, number_embedding
from mechscope.labs.grokking.structure import SINGLE
from mechscope.labs.grokking.sweep import LONGEST, SHARES, SweepRun
from mechscope.labs.lab import LabFigure
from mechscope.labs.stacked import named_result, stacked_result
from mechscope.results import Provenance, make_result
from mechscope.viz import Marker, bars, curves, escape, render_result

FLOOR = 1e-10
"""Lower losses are drawn here, since zero has no logarithm."""


def draw_figures(
    drawn: Analysis,
    sweep: Mapping[str, SweepRun] | None,
    third_party: Mapping[str, Tensor] | None,
    seed: int,
) -> tuple[LabFigure, ...]:
    """All figures, in the lesson's order."""
    p = drawn.trained.config.p
    made_by = Provenance(f"one-layer transformer, p = {p}", f"addition modulo {p}", seed)
    figures = [
        _losses(drawn, made_by),
        _accuracies(drawn, made_by),
        _embedding(drawn, made_by),
        _to_logits(drawn, made_by),
        _neuron(drawn, made_by),
        _neurons(drawn, made_by),
        _heads(drawn, made_by),
        _ablation(drawn, made_by),
        _progress(drawn, made_by),
        _clean_up(drawn, made_by),
    ]
    if sweep:
        figures += [_sweep(sweep, seed), _dates(sweep, seed)]
    if third_party:
        figures.append(_clock_and_pizza(third_party))
    return tuple(figures)


def _over_epochs(
    name: str,
    epoch: Tensor,
    series: Mapping[str, Tensor],
    title: str,
    y_title: str,
    caption: str,
    made_by: Provenance,
    *,
    log_y: bool = False,
) -> LabFigure:
    result = stacked_result(
        series, ("series", "step"), title, y_title, made_by, {"step": epoch.numpy()}, kind="curves"
    )
    # Zero has no logarithm, so very small losses are drawn at FLOOR; the file of numbers has the losses themselves.
    drawn = result.replace(values=result.values.clip(min=FLOOR)) if log_y else result
    return LabFigure(name, render_result(drawn, x_title="epoch", log_y=log_y), caption, {"curves": result})


def _losses(drawn: Analysis, made_by: Provenance) -> LabFigure:
    history = drawn.trained.history
    return _over_epochs(
        "losses",
        history.epoch,
        {"trained on": history.train_loss, "never seen": history.test_loss},
        "Loss on training pairs and on all others",
        "loss (nats)",
        "Look at how far one curve has fallen before the other starts to fall, and how long that one stays above "
        f"guessing ({math.log(drawn.trained.config.p):.1f} nats). Nothing in the first curve predicts that the second "
        "will fall.",
        made_by,
        log_y=True,
    )


def _accuracies(drawn: Analysis, made_by: Provenance) -> LabFigure:
    history = drawn.trained.history
    return _over_epochs(
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
    level: Marker | None = None,
    log_y: bool = False,
) -> LabFigure:
    frequency = np.arange(1, len(next(iter(series.values()))) + 1)
    result = stacked_result(
        series, ("series", "frequency"), title, y_title, made_by, {"frequency": frequency}, kind="bars"
    )
    lab_figure = LabFigure.of(result, caption, name=name, key="norms", x_title="frequency k")
    figure = lab_figure.figure
    # Numbers on so many bars would be clutter; the axis shows them.
    figure.update_traces(texttemplate=None)
    figure.update_layout(bargap=0.1)
    figure.update_xaxes(nticks=20)
    if log_y:
        figure.update_yaxes(type="log", exponentformat="power", dtick=1)
    if level is not None:
        figure.add_shape(type="line", x0=0, x1=1, xref="paper", y0=level.at, y1=level.at)
        figure.add_annotation(
            x=1,
            xref="paper",
            # Plotly places annotations on a logarithmic axis by their logarithm, but not lines.
            y=math.log10(level.at) if log_y else level.at,
            text=escape(level.label),
            xanchor="right",
            yanchor="bottom",
        )
    return lab_figure


def _embedding(drawn: Analysis, made_by: Provenance) -> LabFigure:
    start = frequency_norms(number_embedding(drawn.trained.checkpoint(0)))
    return _by_frequency(
        "embedding",
        {"before training": start, "after": drawn.structure.embedding_norms},
        "The waves in the embedding of the numbers",
        "norm",
        "The size of each wave in W_E, over the numbers. Before training, every frequency is present. Look at how many "
        "are left.",
        made_by,
    )


def _to_logits(drawn: Analysis, made_by: Provenance) -> LabFigure:
    norms = drawn.structure.W_L_norms
    return _by_frequency(
        "to-logits",
        {"after training": norms},
        "The waves that the neurons can write to the answers",
        "norm",
        "The size of each wave in W_L, over the answers. Look for the ones above the line (a quarter of the largest): "
        f"these are the key frequencies, {', '.join(map(str, drawn.structure.keys))} here.",
        made_by,
        level=Marker(float(norms.max()) / 4, "a quarter", axis="y"),
    )


def _neuron(drawn: Analysis, made_by: Provenance) -> LabFigure:
    p = drawn.trained.config.p
    neurons = anatomy_of_weights(drawn.trained.weights, p).neurons
    best = drawn.structure.neuron_shares.amax(0)
    spread = neurons.flatten(0, 1).std(0)
    # Of the purest quarter, draw a neuron with the lowest frequency, which is easiest to see: the most variable one.
    own = drawn.structure.neuron_shares.argmax(0) + 1
    pure = best >= best.quantile(0.75)
    chosen = int((spread * (pure & (own == own[pure].min()))).argmax())
    activations = make_result(
        neurons[..., chosen],
        ("row", "col"),
        f"Neuron {chosen} on every pair of numbers",
        "activation",
        made_by,
        kind="heatmap",
    )
    lab_figure = LabFigure.of(
        activations,
        f"Look at how often the pattern repeats along a side, and compare with its frequency, {int(own[chosen])}, "
        f"which explains {100 * float(best[chosen]):.0f} % of it.",
        name="neuron",
        key="neuron",
        x_title="b",
        y_title="a",
        write_numbers=False,
        square=True,
    )
    figure = lab_figure.figure
    figure.data[0].update(xgap=0, ygap=0)
    ticks = list(range(0, p, 20))
    figure.update_xaxes(tickvals=ticks, ticktext=ticks, tickangle=0)
    figure.update_yaxes(tickvals=ticks, ticktext=ticks)
    figure.update_layout(height=520, meta={"max_width": 620})
    return lab_figure


def _neurons(drawn: Analysis, made_by: Provenance) -> LabFigure:
    best = drawn.structure.neuron_shares.amax(0).sort(descending=True).values
    shares = make_result(
        100 * best,
        ("rank",),
        "How much of each neuron a single frequency explains",
        "% of variance",
        made_by,
        {"rank": np.arange(1, len(best) + 1)},
    )
    figure = LabFigure.of(
        shares,
        "Look at how far to the right the curve stays above the line: these neurons use one frequency each.",
        name="neurons",
        key="shares",
        x_title="neurons, the purest first",
        y_title="variance explained (%)",
        markers=[Marker(100 * SINGLE, f"{100 * SINGLE:.0f} %", axis="y")],
    )
    figure.figure.update_yaxes(range=[0, 104])
    return figure


def _heads(drawn: Analysis, made_by: Provenance) -> LabFigure:
    shares = 100 * drawn.structure.head_shares
    title = "How much of each head's attention its best frequency explains"
    # The file of numbers has every frequency's share; the figure shows the largest.
    figure = bars(
        [f"0.{head} (k = {int(best) + 1})" for head, best in enumerate(shares.argmax(0))],
        {"variance explained": shares.amax(0)},
        title=title,
        x_title="head (and its frequency)",
        y_title="variance explained (%)",
        number_format=".0f",
    )
    data = make_result(
        shares,
        ("frequency", "head"),
        title,
        "% of variance",
        made_by,
        {"frequency": np.arange(1, len(shares) + 1)},
    )
    return LabFigure(
        "heads",
        figure,
        "The attention from “=” to the first number, over all pairs. Look at whether one wave of each number is all "
        "there is to it.",
        {"shares": data},
    )


def _ablation(drawn: Analysis, made_by: Provenance) -> LabFigure:
    structure = drawn.structure
    return _by_frequency(
        "ablation",
        {"loss without it": structure.loss_without.clamp(min=FLOOR)},
        "Removing one frequency from the logits",
        "loss over all pairs (nats)",
        f"The line is the loss of the whole model. Look at which bars differ from it "
        f"({', '.join(map(str, structure.keys))} are the key frequencies), and by how many powers of ten.",
        made_by,
        level=Marker(max(structure.loss, FLOOR), "nothing removed", axis="y"),
        log_y=True,
    )


def _progress(drawn: Analysis, made_by: Provenance) -> LabFigure:
    progress = drawn.progress
    return _over_epochs(
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
        "removed. Look at when each of them moves, and what the training loss does meanwhile.",
        made_by,
        log_y=True,
    )


def _clean_up(drawn: Analysis, made_by: Provenance) -> LabFigure:
    progress = drawn.progress
    return _over_epochs(
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
    names = [f"{100 * run.fraction:.0f} %{_decay_suffix(run.weight_decay, usual)}" for run in sweep.values()]
    delays = ", ".join(
        f"{name}: {run.delay:,.0f} epochs"
        for name, run in zip(names, sweep.values(), strict=True)
        if math.isfinite(run.delay)
    )
    accuracy = named_result(
        {name: run.accuracy for name, run in zip(names, sweep.values(), strict=True)},
        "Test accuracy at the end, by share of pairs trained on",
        "%",
        Provenance("one-layer transformer, small", "addition modulo p", seed),
    )
    return LabFigure.of(
        accuracy,
        "The small model, same number of epochs at most. Look at which training runs never grokked. "
        f"Epochs from memorising to grokking: {delays or 'it never happened'}.",
        name="sweep",
        key="accuracy",
        x_title="share of pairs trained on",
        y_title="right answers on the others (%)",
        number_format=".0f",
    )


def _decay_suffix(decay: float, usual: float) -> str:
    if decay == usual:
        return ""
    return ", no decay" if decay == 0 else f", {decay / usual:g} × decay"


def _dates(sweep: Mapping[str, SweepRun], seed: int) -> LabFigure:
    # A model that never got there is drawn at its last epoch.
    epochs = named_result(
        {f"{100 * sweep[name].fraction:g} %": min(sweep[name].solved, LONGEST) for name in SHARES},
        "When does it understand? By share of training pairs",
        "epochs",
        Provenance("one-layer transformer, small", "addition modulo p", seed),
    )
    figure = curves(
        [100 * sweep[name].fraction for name in SHARES],
        {"test loss below 0.01": epochs.values.values},
        title=epochs.title,
        x_title="share of pairs trained on (%)",
        y_title="epoch",
        log_y=True,
        points=True,
    )
    return LabFigure(
        "dates",
        figure,
        "The scale is logarithmic. On the left, look at how much time a tenth of the pairs costs; on the right, where "
        "hardly a fact is missing, what takes time is to fit them all.",
        {"epochs": epochs},
    )


def _clock_and_pizza(third_party: Mapping[str, Tensor]) -> LabFigure:
    names = {"irrelevance": "distance irrelevance", "symmetricity": "gradient symmetricity"}
    measures = stacked_result(
        {
            model: [float(third_party[f"{model}_{measure}"]) for measure in names]
            for model in ("clock", "pizza")
        },
        ("series", "label"),
        "A clock and a pizza, told apart by two measures",
        "1",
        Provenance("published clock and pizza (p = 59)", "addition modulo 59"),
        {"label": list(names.values())},
        kind="bars",
    )
    return LabFigure.of(
        measures,
        "Both are at most 1. Look at which model's answers depend on the distance of the two numbers (a low "
        "irrelevance), and which model treats both numbers alike.",
        name="clock-and-pizza",
        key="measures",
        x_title="measure",
        y_title="value",
        number_format=".2f",
    )
