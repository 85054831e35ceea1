"""The figures about the language model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from mechscope.dictionaries.evaluation import feature_pages
from mechscope.labs.lab import LabFigure
from mechscope.labs.sae.language import HOOK
from mechscope.labs.sae.measures import TextFindings
from mechscope.labs.sae.plain_bars import bar_figure
from mechscope.labs.sae.probing import KS
from mechscope.labs.sae.reading import Shared
from mechscope.labs.sae.splitting import Splitting
from mechscope.labs.sae.steering import Steering
from mechscope.labs.sae.text_study import TextStudy
from mechscope.labs.stacked import stacked_result
from mechscope.results import Provenance, make_result
from mechscope.viz import Marker, bars, curves
from mechscope.viz.template import new_figure
from mechscope.viz.ticks import log_axis
from mechscope.viz.token_grid import token_grid

BEFORE = 7
"""Tokens that a page shows before the one where the feature is active."""
EXAMPLES = 3
"""Contexts a page."""


def draw_text(text: TextFindings, numbers: Mapping[str, float], seed: int) -> tuple[LabFigure, ...]:
    """All of them, in the lesson's order; the universality figure needs a second model."""
    study = text.study
    made_by = Provenance(study.config.model, "held-out Python source", seed)
    return (
        _frontier(study, made_by),
        bar_figure(
            "dead",
            {f"{name}": 100 * share for name, share in study.dead.items()},
            f"Latents that never fire, of {study.config.revival_size} with {study.config.revival_k} active at once",
            "done for dead latents",
            "dead latents (%)",
            "Never active on the held-out text. Which of the two cures works here, and does any?",
            made_by,
            number_format=".1f",
        ),
        _densities(study, made_by),
        bar_figure(
            "splice",
            {
                "reconstruction": numbers["delta_ce"],
                "the mean": numbers["mean_ce"],
                "zeros": numbers["zero_ce"],
            },
            "What the model loses when its neurons are replaced",
            "in place of the neurons",
            "loss added (nats)",
            "At every position but BOS. Look at the two yardsticks first, then at the reconstruction: which of them "
            "would you choose if you wanted your dictionary to look good?",
            made_by,
            number_format=".3f",
        ),
        _pages(study, made_by, seed),
        bar_figure(
            "detection",
            {
                "features": numbers["detected_features"],
                "neurons": numbers["detected_neurons"],
                "features of a random model": numbers["detected_random"],
            },
            "Can examples tell where a unit is active?",
            "kind of unit",
            "held-out AUC, mean",
            "0.5 is guessing. Look at features and neurons, and then, before you are pleased, at the third bar.",
            made_by,
            markers=(Marker(0.5, "guessing", axis="y"),),
        ),
        *([_universality(text.shared, made_by)] if text.shared else []),
        _splitting(text.splitting, made_by),
        _steering(text.steering, made_by),
        bar_figure(
            "probe",
            {
                "all neurons": text.probing.dense,
                **{
                    f"{k} feature{'s' * (k > 1)}": score
                    for k, score in zip(KS, text.probing.scores, strict=True)
                },
                "all features": text.probing.every_feature,
            },
            "Is this token inside a comment?",
            "what the probe may read",
            "held-out AUROC",
            "Look at the first bar: that is what was there to be read. How many features does it take to get near it?",
            made_by,
            markers=(Marker(text.probing.chance, "guessing", axis="y"),),
        ),
    )


def _frontier(study: TextStudy, made_by: Provenance) -> LabFigure:
    title = "Two ways to be sparse: what is lost at each L0"
    figure = new_figure(title, "active latents (L0)", "variance unexplained (FVU)")
    series = {
        "TopK": sorted((each.l0, each.fvu) for each in study.topk.values()),
        "ReLU, L1": sorted((each.l0, each.fvu) for each in study.relu.values()),
    }
    for (name, points), dash in zip(series.items(), ("solid", "dash"), strict=True):
        figure.add_scatter(
            x=[x for x, _ in points],
            y=[y for _, y in points],
            name=name,
            mode="lines+markers",
            line={"dash": dash, "width": 2},
            hovertemplate=f"{name}<br>L0 %{{x:.3g}}<br>FVU %{{y:.3g}}<extra></extra>",
        )
    figure.update_xaxes(log_axis(x for points in series.values() for x, _ in points))
    figure.update_yaxes(log_axis(y for points in series.values() for _, y in points))
    figure.update_layout(showlegend=True)
    data = {
        name: make_result(
            np.array([y for _, y in points]),
            ("l0",),
            f"{title}: {name}",
            "fraction of variance",
            made_by,
            {"l0": [x for x, _ in points]},
        )
        for name, points in series.items()
    }
    return LabFigure(
        "frontier",
        figure,
        "Both axes logarithmic, held-out text. Lower is better, and so is further left. Look for the gap at equal L0.",
        {name.split(",")[0].lower(): each for name, each in data.items()},
    )


def _densities(study: TextStudy, made_by: Provenance) -> LabFigure:
    title = "How often latents fire"
    relu = study.rare or study.sparsest_relu
    low = -np.log10(max(relu.examples, study.scores.activity.examples))
    edges = np.linspace(low, 0, 25)
    middles = (edges[:-1] + edges[1:]) / 2
    series: dict[str, np.ndarray] = {}
    for name, activity in (("ReLU, L1", relu), ("TopK", study.scores.activity)):
        alive = activity.densities[activity.times > 0].log10().numpy()
        series[name] = np.histogram(alive, edges)[0].astype(float)
    figure = curves(
        middles,
        series,
        title=title,
        x_title="log10 of the share of tokens",
        y_title="latents",
        points=True,
    )
    data = stacked_result(series, ("series", "bin"), title, "latents", made_by, {"bin": middles})
    return LabFigure(
        "densities",
        figure,
        "Latents that never fire are not in it. Look for a second hump on the left: latents that fire hardly ever. "
        "Are they rare ideas, or waste?"
        + (f" (L1: counted on all {relu.examples:,} tokens that were trained on.)" if study.rare else ""),
        {"densities": data},
    )


def _pages(study: TextStudy, made_by: Provenance, seed: int) -> LabFigure:
    model = study.model
    density = study.scores.activity.densities
    usable = ((density > 1e-3) & (density < 0.1)).nonzero().flatten()
    if not len(usable):
        usable = density.argsort(descending=True)[: study.config.pages]
    order = torch.randperm(len(usable), generator=torch.Generator().manual_seed(seed))
    features = usable[order[: study.config.pages]].tolist()
    pages = feature_pages(
        model,
        study.chosen,
        study.texts.test,
        HOOK,
        features,
        through=model.blocks[0].mlp.W_out,
        contexts=EXAMPLES,
        groups=1,
        a_group=1,
        tokens_listed=3,
        neighbours=1,
        window=(BEFORE, 0),
        batch_size=64,
    )
    rows: list[list[str]] = []
    values: list[list[float]] = []
    names: list[str] = []
    for page in pages:
        promoted = ""
        if page.logits is not None:
            promoted = " ".join(_text(model, token).strip() or "␣" for token in page.logits.top)
        for number, context in enumerate(page.top):
            missing = BEFORE + 1 - len(context.tokens)
            rows.append([""] * missing + [_text(model, token) for token in context.tokens])
            top = page.max_activation or 1.0
            values.append([0.0] * missing + [value / top for value in context.activations])
            names.append(f"{page.feature} → {promoted}" if number == 0 else f"{page.feature}, {number + 1}")
    if not rows:
        rows, values, names = [[""] * (BEFORE + 1)], [[0.0] * (BEFORE + 1)], ["no feature is active"]
    title = "Some features: where they are strongest, and (→) what they promote"
    columns = [str(place) for place in range(-BEFORE, 1)]
    figure = token_grid(
        values,
        rows,
        title=title,
        x_title="position before the strongest token",
        y_title="feature, context",
        unit="activation / largest",
        x=columns,
        y=names,
        top_row_first=True,
    )
    data = make_result(
        torch.tensor(values),
        ("label", "pos"),
        title,
        "activation / largest",
        made_by,
        {"label": names, "pos": columns},
    )
    return LabFigure(
        "pages",
        figure,
        "Drawn at random among features that are active on 0.1 % to 10 % of the tokens, not picked. "
        "Say of each what it means before you look at what it promotes; then ask for how many you could.",
        {"activations": data},
    )


def _text(model: object, token: int) -> str:
    tokenizer = getattr(model, "tokenizer", None)
    return str(token) if tokenizer is None else str(tokenizer.decode([token])).replace("\n", "⏎")


def _universality(shared: Shared, made_by: Provenance) -> LabFigure:
    title = f"How well does {shared.partner} have the same units?"
    edges = np.linspace(0, 1, 21)
    middles = (edges[:-1] + edges[1:]) / 2
    sides = {"features": shared.feature_correlations, "neurons": shared.neuron_correlations}
    series = {
        name: np.histogram(values[~values.isnan()].clamp(0, 1).numpy(), edges)[0]
        / max(1, int((~values.isnan()).sum()))
        for name, values in sides.items()
    }
    figure = curves(
        middles,
        series,
        title=title,
        x_title="correlation with the best partner",
        y_title="share of units",
        markers=[Marker(shared.features, "median feature"), Marker(shared.neurons, "median neuron")],
        points=True,
    )
    data = stacked_result(series, ("series", "bin"), title, "share of units", made_by, {"bin": middles})
    return LabFigure(
        "universality",
        figure,
        "Pearson correlation of activations on the same text. Look which of the two lies further to the right.",
        {"correlations": data},
    )


def _splitting(splitting: Splitting, made_by: Provenance) -> LabFigure:
    title = "How many features of a larger dictionary each feature of a small one splits into"
    most = 6
    names = [*map(str, range(most)), f"{most} and more"]
    series = {
        name: torch.bincount(children.clamp(max=most), minlength=most + 1).double() / len(children) * 100
        for name, children in (
            ("larger dictionary", splitting.children),
            ("random rows", splitting.random_children),
        )
    }
    figure = bars(
        names,
        series,
        title=title,
        x_title="children",
        y_title="features of the small dictionary (%)",
        number_format=".0f",
    )
    figure.update_xaxes(type="category")
    data = stacked_result(series, ("series", "label"), title, "%", made_by, {"label": names})
    return LabFigure(
        "splitting",
        figure,
        f"A child is nearer to its parent (cosine above {splitting.related:.2f}) than random rows ever are. Look how "
        "many features have two children or more, and how many would by chance.",
        {"children": data},
    )


def _steering(steering: Steering, made_by: Provenance) -> LabFigure:
    title = "Turning a feature up and down"
    series = {
        "its own top tokens": steering.own.mean(0),
        "other features' top tokens": steering.others.mean(0),
    }
    figure = curves(
        np.array(steering.doses),
        series,
        title=title,
        x_title="dose (times the largest activation)",
        y_title="logit change",
        points=True,
    )
    data = stacked_result(
        series, ("series", "coefficient"), title, "logits", made_by, {"coefficient": list(steering.doses)}
    )
    return LabFigure(
        "steering",
        figure,
        f"Mean over {len(steering.features)} features drawn at random. Look for three things: the sign, whether more "
        "does more, and whether other tokens move too.",
        {"changes": data},
    )
