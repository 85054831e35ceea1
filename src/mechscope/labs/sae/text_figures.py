"""The figures about the language model."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch

from mechscope.dictionaries.evaluation import feature_pages
from mechscope.dictionaries.evaluation.sparse_probing import SparseProbing
from mechscope.labs.lab import LabFigure
from mechscope.labs.sae.context_figure import BEFORE, EXAMPLES, ShownFeature, draw_contexts
from mechscope.labs.sae.features_against_neurons import Universality
from mechscope.labs.sae.language_model import HOOK
from mechscope.labs.sae.measures import TextFindings
from mechscope.labs.sae.probing import KS
from mechscope.labs.sae.splitting import Splitting
from mechscope.labs.sae.steering import Steering
from mechscope.labs.sae.text_study import TextStudy
from mechscope.labs.stacked import named_result, stacked_result
from mechscope.results import Provenance, make_result
from mechscope.viz import Marker
from mechscope.viz.template import new_figure
from mechscope.viz.ticks import log_axis


def draw_text(text: TextFindings, numbers: Mapping[str, float], seed: int) -> tuple[LabFigure, ...]:
    """The figures in the lesson's order. The one about universality needs a second model."""
    study = text.study
    made_by = Provenance(study.config.model, "held-out Python source", seed)
    return (
        _frontier(study, made_by),
        _dead(study, made_by),
        _densities(study, made_by),
        _splice(numbers, made_by),
        _pages(study, made_by, seed),
        _detection(numbers, made_by),
        *([_universality(text.universality, made_by)] if text.universality else []),
        _splitting(text.splitting, made_by),
        _steering(text.steering, made_by),
        _probe(text.probing, made_by),
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


def _dead(study: TextStudy, made_by: Provenance) -> LabFigure:
    config = study.config
    shares = {name: 100 * share for name, share in study.dead.items()}
    title = f"Latents that never fire, of {config.revival_size} with {config.revival_k} active at once"
    return LabFigure.of(
        named_result(shares, title, "dead latents (%)", made_by),
        "Never active on the held-out text. Which of the two cures works here, and does any?",
        name="dead",
        key="values",
        x_title="done for dead latents",
        number_format=".1f",
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
    return LabFigure.of(
        stacked_result(series, ("series", "bin"), title, "latents", made_by, {"bin": middles}, "curves"),
        "Latents that never fire are not in it. Look for a second hump on the left: latents that fire hardly ever. "
        "Are they rare ideas, or waste?"
        + (f" (L1: counted on all {relu.examples:,} tokens that were trained on.)" if study.rare else ""),
        name="densities",
        key="densities",
        x_title="log10 of the share of tokens",
        points=True,
    )


def _splice(numbers: Mapping[str, float], made_by: Provenance) -> LabFigure:
    added = {
        "reconstruction": numbers["delta_ce"],
        "the mean": numbers["mean_ce"],
        "zeros": numbers["zero_ce"],
    }
    title = "What the model loses when its neurons are replaced"
    return LabFigure.of(
        named_result(added, title, "loss added (nats)", made_by),
        "At every position but BOS. Look at the two yardsticks first, then at the reconstruction: which of them "
        "would you choose if you wanted your dictionary to look good?",
        name="splice",
        key="values",
        x_title="in place of the neurons",
        number_format=".3f",
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
    shown = [
        ShownFeature(
            page.feature,
            () if page.logits is None else tuple(page.logits.top),
            page.top,
            page.max_activation,
        )
        for page in pages
    ]
    return draw_contexts(shown, model.tokenizer, made_by, name="pages", usual="0.1 % to 10 %")


def _detection(numbers: Mapping[str, float], made_by: Provenance) -> LabFigure:
    scores = {
        "features": numbers["detected_features"],
        "neurons": numbers["detected_neurons"],
        "features of a random model": numbers["detected_random"],
    }
    return LabFigure.of(
        named_result(scores, "Can examples tell where a unit is active?", "held-out AUC, mean", made_by),
        "0.5 is guessing. Look at features and neurons, and then, before you are pleased, at the third bar.",
        name="detection",
        key="values",
        x_title="kind of unit",
        number_format=".2f",
        markers=(Marker(0.5, "guessing", axis="y"),),
    )


def _universality(found: Universality, made_by: Provenance) -> LabFigure:
    title = f"How well does {found.partner} have the same units?"
    edges = np.linspace(0, 1, 21)
    middles = (edges[:-1] + edges[1:]) / 2
    sides = {"features": found.feature_correlations, "neurons": found.neuron_correlations}
    series = {
        name: np.histogram(values[~values.isnan()].clamp(0, 1).numpy(), edges)[0]
        / max(1, int((~values.isnan()).sum()))
        for name, values in sides.items()
    }
    return LabFigure.of(
        stacked_result(
            series, ("series", "bin"), title, "share of units", made_by, {"bin": middles}, "curves"
        ),
        "Pearson correlation of activations on the same text. Look which of the two lies further to the right.",
        name="universality",
        key="correlations",
        x_title="correlation with the best partner",
        markers=[Marker(found.features, "median feature"), Marker(found.neurons, "median neuron")],
        points=True,
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
    return LabFigure.of(
        stacked_result(series, ("series", "label"), title, "%", made_by, {"label": names}, "bars"),
        f"A child is nearer to its parent (cosine above {splitting.related:.2f}) than random rows ever are. Look how "
        "many features have two children or more, and how many would by chance.",
        name="splitting",
        key="children",
        x_title="children",
        y_title="features of the small dictionary (%)",
        number_format=".0f",
    )


def _steering(steering: Steering, made_by: Provenance) -> LabFigure:
    title = "Turning a feature up and down"
    series = {
        "its own top tokens": steering.own.mean(0),
        "other features' top tokens": steering.others.mean(0),
    }
    coords = {"coefficient": list(steering.doses)}
    return LabFigure.of(
        stacked_result(series, ("series", "coefficient"), title, "logits", made_by, coords, "curves"),
        f"Mean over {len(steering.features)} features drawn at random. Look for three things: the sign, whether more "
        "does more, and whether other tokens move too.",
        name="steering",
        key="changes",
        x_title="dose (times the largest activation)",
        y_title="logit change",
        points=True,
    )


def _probe(probing: SparseProbing, made_by: Provenance) -> LabFigure:
    scores = {
        "all neurons": probing.dense,
        **{f"{k} feature{'s' * (k > 1)}": score for k, score in zip(KS, probing.scores, strict=True)},
        "all features": probing.every_feature,
    }
    return LabFigure.of(
        named_result(scores, "Is this token inside a comment?", "held-out AUROC", made_by),
        "Look at the first bar: that is what was there to be read. How many features does it take to get near it?",
        name="probe",
        key="values",
        x_title="what the probe may read",
        number_format=".2f",
        markers=(Marker(probing.chance, "guessing", axis="y"),),
    )
