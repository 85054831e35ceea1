"""Demos of techniques that find and test circuits, on planted models whose true circuit is known."""

from __future__ import annotations

import numpy as np
import torch

import mechscope as ms
from mechscope import planted, techniques, viz
from mechscope.pages.figures import PageFigure
from mechscope.techniques.causal_scrubbing import Part
from mechscope.techniques.circuits.minimality import minimality as measure_minimality


def acdc() -> PageFigure:
    """How the circuit that ACDC finds depends on its threshold."""
    program = planted.load("ioi", noise=0.03)
    task = program.task(16)
    thresholds = [0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0]
    kept, true = [], []
    for tau in thresholds:
        edges = set(ms.discover(program.model, task, "acdc", tau=tau, progress=False).circuit().edges())
        kept.append(len(edges))
        true.append(len(edges & program.true_edges))
    figure = viz.curves(
        thresholds,
        {"edges kept": kept, "of which true": true},
        title="ACDC on a planted circuit with noise",
        x_title="threshold τ (logits)",
        y_title="edges",
        markers=[viz.Marker(float(len(program.true_edges)), "edges of the true circuit", axis="y")],
        points=True,
        log_x=True,
    )
    return PageFigure(
        "acdc",
        figure,
        f"At τ = {thresholds[0]} ACDC keeps {kept[0]} edges and at τ = {thresholds[-1]:g} {kept[-1]}; the true "
        f"circuit has {len(program.true_edges)}. Without the truth, nothing in this curve tells you where to stop.",
    )


def eap() -> PageFigure:
    """EAP's strongest edges, with the planted ones marked."""
    program = planted.load("ioi", noise=0.03)
    found = ms.discover(program.model, program.task(16), "eap", progress=False)
    scores = found.score_matrix
    graph = found.graph
    names = graph.edge_names()
    values = np.array([float(scores[graph.edge(name)]) for name in names])
    order = np.argsort(-np.abs(values))[:12]
    figure = viz.ranked_bars(
        [names[each] + (" (planted)" if names[each] in program.true_edges else "") for each in order],
        np.abs(values[order]),
        title="The strongest edges by edge attribution patching",
        x_title="size of the score (logits)",
        y_title="edge",
    )
    n_true = len(program.true_edges)
    top = {names[each] for each in order[:n_true]}
    integrated = set(
        ms.discover(program.model, program.task(16), progress=False).circuit(n_edges=n_true).edges()
    )
    return PageFigure(
        "eap",
        figure,
        f"Of the {n_true} strongest of {len(names)} edges, {len(top & program.true_edges)} belong to the planted "
        f"circuit of {n_true}. With integrated gradients (EAP-IG) it is {len(integrated & program.true_edges)}.",
    )


def causal_scrubbing() -> PageFigure:
    """Four hypotheses about a planted model, one of them right and one empty."""
    program = planted.load("ioi")
    task = program.task(32)
    hypotheses = {
        "everything": Part("logits", inputs=[Part("input"), Part("a0.h0"), Part("a1.h0"), Part("a2.h0")]),
        "last head": Part("logits", inputs=[Part("a2.h0")]),
        "first head": Part("logits", inputs=[Part("a0.h0")]),
        "nothing": Part("logits", inputs=[]),
    }
    shares = [
        techniques.causal_scrubbing(program.model, task, each, progress=False).share
        for each in hypotheses.values()
    ]
    figure = viz.bars(
        list(hypotheses),
        {"recovered": shares},
        title="What is left of the behaviour when the rest is resampled",
        x_title="what the output depends on, according to the hypothesis",
        y_title="share of the metric recovered",
        number_format=".2f",
    )
    return PageFigure(
        "causal-scrubbing",
        figure,
        f"“The output depends on the last head” recovers {shares[1]:.2f}, the wrong head {shares[2]:.2f}. The empty "
        f"claim that everything matters recovers {shares[0]:.2f} as well: it allows no swap, so it cannot fail.",
    )


def interchange_intervention() -> PageFigure:
    """Does one head of a planted model carry the variable "previous token"?"""
    program = planted.load("previous_token")
    model, (layer, head) = program.model, program.true_heads[0]
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randint(1, len(program.vocabulary), (2, 200, program.program.length), generator=generator)
    base, source = (torch.cat([torch.zeros(200, 1, dtype=torch.long), rows], 1) for rows in tokens)
    name = f"blocks.{layer}.attn.hook_z"
    with torch.no_grad():
        _, cache = model.run_with_cache(source, names_filter=name)

        def swap(z: torch.Tensor, hook: ms.HookPoint) -> torch.Tensor:
            z[:, :, head] = cache[name][:, :, head]
            return z

        answers = model.run_with_hooks(base, fwd_hooks=[(name, swap)]).argmax(-1)[:, 2:]
    predictions = {
        "source's previous token": source[:, 1:-1],
        "base's previous token": base[:, 1:-1],
        "source's current token": source[:, 2:],
    }
    accuracy = [float((answers == each).float().mean()) for each in predictions.values()]
    figure = viz.bars(
        list(predictions),
        {"accuracy": accuracy},
        title=f"Head a{layer}.h{head} is taken from a second input: which answer follows?",
        x_title="prediction for the answer",
        y_title="share of answers",
        number_format=".2f",
    )
    return PageFigure(
        "interchange-intervention",
        figure,
        f"The hypothesis “this head carries the previous token” predicts {accuracy[0]:.0%} of the answers. "
        f"Predicting that nothing changes is right in {accuracy[1]:.0%}, and a wrong variable in "
        f"{accuracy[2]:.0%}, which is about what chance gives.",
    )


def faithfulness() -> PageFigure:
    """Faithfulness of growing circuits beside random circuits of the same size."""
    program = planted.load("ioi", noise=0.03)
    found = ms.discover(program.model, program.task(16), progress=False)
    result = techniques.evaluate(
        program.model,
        program.task(16, seed=1),
        found.circuits([2, 4, 6, 8, 10, 12]),
        draws=10,
        progress=False,
    ).faithfulness.values
    series = result.coords["series"].values
    sizes = result.coords["size"].values
    figure = viz.curves(
        sizes,
        {str(series[0]): result.values[0], str(series[1]): result.values[1]},
        title="Faithfulness of circuits of growing size, on new prompts",
        x_title="edges in the circuit",
        y_title="share of the behaviour kept",
        points=True,
    )
    enough = int(np.argmax(result.values[0] > 0.95))
    return PageFigure(
        "faithfulness",
        figure,
        f"With {sizes[enough]} of {found.graph.n_edges} edges the circuit keeps {result.values[0, enough]:.2f} of "
        f"the behaviour; random circuits of that size keep {result.values[1, enough]:.2f}.",
    )


def minimality() -> PageFigure:
    """What each edge of a circuit that was chosen too large is worth."""
    program = planted.load("ioi", noise=0.03)
    task = program.task(16)
    circuit = ms.discover(program.model, task, progress=False).circuit(n_edges=12)
    found = measure_minimality(program.model, task, circuit, by="edge", draws=20, progress=False)
    values = found.lost.values
    names = [str(name) for name in values.coords["edge"].values]
    order = np.argsort(-values.values)
    figure = viz.ranked_bars(
        [names[each] + (" (planted)" if names[each] in program.true_edges else "") for each in order],
        values.values[order].round(2) + 0.0,  # without a sign on zero
        title="What the circuit loses without each of its edges",
        x_title="faithfulness lost (share of the behaviour)",
        y_title="edge",
        number_format=".2f",
    )
    idle = [name for name, lost in zip(names, values.values, strict=True) if abs(lost) < 0.05]
    return PageFigure(
        "minimality",
        figure,
        f"{len(idle)} of the {len(names)} edges cost less than 0.05 when they are removed, and "
        f"{len(set(idle) - program.true_edges)} of those were not planted: they make the circuit larger without "
        "explaining anything.",
    )


def null_baseline() -> PageFigure:
    """The best of many meaningless scores looks like a discovery."""
    generator = np.random.default_rng(0)
    candidates = [1, 3, 10, 30, 100, 300, 1000]
    best = [np.abs(generator.standard_normal((1000, count))).max(1) for count in candidates]
    middle = [float(np.median(each)) for each in best]
    figure = viz.curves(
        candidates,
        {
            "median of the best": middle,
            "95th percentile of the best": [float(np.quantile(each, 0.95)) for each in best],
        },
        title="The strongest of n heads that do nothing",
        x_title="number of heads searched",
        y_title="largest score (standard deviations)",
        markers=[viz.Marker(1.96, "p = 0.05 for a single head", axis="y")],
        points=True,
        log_x=True,
    )
    share = float((best[4] > 1.96).mean())
    return PageFigure(
        "null-baseline",
        figure,
        f"Among {candidates[4]} heads that do nothing, the strongest typically reaches {middle[4]:.1f} standard "
        f"deviations, and in {share:.0%} of searches it passes a threshold meant for one head. The null has to "
        "include the search.",
    )
