"""Compare the methods on a model whose circuit nobody knows.

There is no truth to score against, so three weaker questions are asked, and none of them says which method is right:
does a method agree with patching each head (an exact experiment, but one question of several that could be asked), with
the other methods, and do the heads that it ranks first keep the behaviour when every other head is patched?

The reference is measured on other prompts than the methods see. So patching itself does not agree with it perfectly,
and its own row says how far two sets of prompts agree.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from scipy.stats import spearmanr
from tqdm import tqdm

from mechscope.arguments import checked_arguments
from mechscope.checkpoints.weights_checksum import checksum_of_parameters
from mechscope.model.model_name import model_name
from mechscope.results import Provenance, Result, make_result, versions
from mechscope.runs.key import RunKey
from mechscope.runs.source_digest import source_digests
from mechscope.runs.store import Store
from mechscope.scoreboard.methods import METHODS, Scored, node_scores
from mechscope.storage.folder_lock import hold_folder
from mechscope.tasks.task import Task
from mechscope.techniques.ablation import ablation
from mechscope.techniques.activation_patching import patch
from mechscope.techniques.circuits import Circuit, EdgeGraph, MaskedRun, auroc, layer_matched_circuit
from mechscope.techniques.path_patching import path_patching_every_head

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

REFERENCE = "patch-noise"
"""The method that measures the reference: the effect of patching each head with its corrupted output."""
LARGE = 0.02
"""A head whose reference effect is at least this share of the whole effect counts as important."""
SHARES = (0.05, 0.1, 0.2)
"""Numbers of heads whose faithfulness is measured, as shares of all heads."""
DRAWS = 2
"""Random sets of heads of each null."""


def _patching(direction: Literal["denoise", "noise"]) -> Callable[..., Scored]:
    def method(model: HookedTransformer, task: Task, seed: int) -> Scored:
        return _by_name(patch(model, task, "z", direction=direction, progress=False))

    return method


def _ablation(how: Literal["zero", "mean"]) -> Callable[..., Scored]:
    def method(model: HookedTransformer, task: Task, seed: int) -> Scored:
        return _by_name(ablation(model, task, "heads", how, seed=seed, progress=False))

    return method


def _to_logits(model: HookedTransformer, task: Task, seed: int) -> Scored:
    return _by_name(path_patching_every_head(model, task, ["logits"], direction="noise", progress=False))


def _by_name(found: Result) -> Scored:
    effects = found.values.values
    return Scored(
        nodes={f"a{layer}.h{head}": float(effects[layer, head]) for layer, head in np.ndindex(effects.shape)}
    )


@dataclass(frozen=True)
class Compared:
    """One method of the comparison."""

    words: str
    """Its name in tables."""
    method: Callable[[HookedTransformer, Task, int], Scored]
    """Takes a model, a task and a seed, and returns scores."""


COMPARED: dict[str, Compared] = {
    "patch-noise": Compared(METHODS["patch-noise"].words, _patching("noise")),
    "patch-denoise": Compared(METHODS["patch-denoise"].words, _patching("denoise")),
    "ablation-zero": Compared(METHODS["ablation-zero"].words, _ablation("zero")),
    "ablation-mean": Compared(METHODS["ablation-mean"].words, _ablation("mean")),
    "path-logits": Compared("path patching to the logits", _to_logits),
    **{
        name: Compared(METHODS[name].words, METHODS[name].method)
        for name in ("attribution", "attribution-ig", "attribution-drop", "direct", "eap", "eap-ig", "chance")
    },
}
"""Methods by their name in code: path patching, and those of `METHODS` that need no run per edge. The sweeps leave
MLPs out, because only heads are compared."""


@dataclass(frozen=True)
class NotRun:
    """A method that would take too long."""

    words: str
    """Its name in tables."""
    reason: str
    """What makes it expensive."""
    hours: float
    """Estimated CPU hours on the machine of the comparison."""


@dataclass(frozen=True)
class Comparison:
    """Every method's scores of the heads, and what they agree with."""

    scores: Result
    """Each method's score of every head, in the method's own unit (technique, layer, head)."""
    reference: Result
    """The effect of patching each head, on other prompts (layer, head)."""
    faithfulness: Result
    """Share of the behaviour that a method's first heads and all MLPs keep (technique, heads)."""
    random_null: Result
    """The same for random heads: mean, lowest and highest of the draws (series, heads)."""
    matched_null: Result
    """For each method, the mean for random heads of the same layers (technique, heads)."""
    seconds: dict[str, float]
    """CPU seconds of each method, by name in code."""
    not_run: tuple[NotRun, ...]
    """Methods that were too expensive."""
    examples: int
    """Pairs of prompts."""
    seed: int
    """The first seed of prompts."""

    def rank_agreement(self) -> Result:
        """Spearman's correlation of the sizes of the heads' scores, between each two methods (technique, other)."""
        flat = np.abs(self.scores.values.values).reshape(len(self.seconds), -1)
        labels = list(self.scores.values.coords["technique"].values)
        return make_result(
            _spearman(flat, flat),
            ("technique", "other_technique"),
            title="Agreement between methods on the order of the heads",
            unit="Spearman's ρ",
            provenance=self.scores.provenance,
            coords={"technique": labels, "other_technique": labels},
            kind="heatmap",
        )

    def with_reference(self) -> dict[str, tuple[float, float]]:
        """Name in code → (Spearman's ρ with the reference, AUROC for the heads whose effect is large)."""
        effects = np.abs(self.reference.values.values).ravel()
        important = torch.from_numpy(effects >= LARGE)
        found: dict[str, tuple[float, float]] = {}
        for name, values in zip(self.seconds, np.abs(self.scores.values.values), strict=True):
            rho = float(_spearman(values.reshape(1, -1), effects[None])[0, 0])
            found[name] = rho, auroc(torch.from_numpy(values.ravel()), important)
        return found

    @property
    def n_important(self) -> int:
        """Heads whose reference effect is at least `LARGE`."""
        return int((np.abs(self.reference.values.values) >= LARGE).sum())


@checked_arguments
def compare_methods(
    model: HookedTransformer,
    make_task: Callable[[int], Task],
    *,
    methods: Iterable[str] | None = None,
    seed: int = 0,
    keep: str | Path | None = None,
    progress: bool = True,
) -> Comparison:
    """Score every head with every method, and compare the scores with patching and with one another.

    Args:
        model: any model with attention heads.
        make_task: takes a seed, returns that seed's prompts. Three are drawn: for the methods, for the reference, and
            for faithfulness.
        methods: names from `COMPARED`; None for all.
        seed: the first seed of the prompts, and the seed of random draws.
        keep: a folder that stores each finished method; what is found there is not run again if it comes from the same
            weights, code and settings.
        progress: show a progress bar.

    Raises:
        KeyError: for a method that does not exist.
        ValueError: for an empty list, or a model with a single head.
        FolderInUseError: if another process uses the folder `keep`.
    """
    chosen = list(COMPARED) if methods is None else list(methods)
    for name in chosen:
        if name not in COMPARED:
            raise KeyError(f"no method is called {name!r}; there are {', '.join(COMPARED)}.")
    if not chosen:
        raise ValueError("the list of methods is empty; name at least one, or leave it out for all.")
    if model.cfg.n_heads < 2:
        raise ValueError("methods are compared by how they order heads, and this model has one per layer.")
    with nullcontext() if keep is None else hold_folder(keep):
        return _compare(model, make_task, chosen, seed, None if keep is None else Path(keep), progress)


def _compare(
    model: HookedTransformer,
    make_task: Callable[[int], Task],
    methods: Sequence[str],
    seed: int,
    keep: Path | None,
    progress: bool,
) -> Comparison:
    tasks = [make_task(seed + number) for number in range(3)]
    settings = {"task": tasks[0].name, "examples": tasks[0].n_examples, "seed": seed, "versions": versions()}
    inputs = {"model weights": checksum_of_parameters(model)}
    store = None if keep is None else Store(keep, RunKey(settings, inputs, _source()))
    shape = model.cfg.n_layers, model.cfg.n_heads

    def measured(name: str, method: Callable[..., Scored], task: Task) -> tuple[np.ndarray, float]:
        found = None if store is None else store.read_tensors(name)
        if found is not None and tuple(found[0]["scores"].shape) == shape:
            return found[0]["scores"].numpy(), float(found[1]["seconds"])
        start = time.process_time()
        by_head = node_scores(EdgeGraph.of(model), method(model, task, seed))
        took = time.process_time() - start
        values = [[by_head[f"a{layer}.h{head}"] for head in range(shape[1])] for layer in range(shape[0])]
        if store is not None:
            store.write_tensors(name, {"scores": torch.tensor(values)}, {"seconds": str(took)})
        return np.array(values, dtype=np.float32), took

    table: list[np.ndarray] = []
    seconds: dict[str, float] = {}
    with tqdm(total=len(methods) + 2, desc="comparing methods", disable=not progress) as bar:
        for name in methods:
            bar.set_postfix_str(COMPARED[name].words)
            values, seconds[name] = measured(name, COMPARED[name].method, tasks[0])
            table.append(values)
            bar.update()
        bar.set_postfix_str("the reference, on other prompts")
        reference, _ = measured("reference", COMPARED[REFERENCE].method, tasks[1])
        bar.update()
        bar.set_postfix_str("faithfulness of the first heads")
        kept = _faithfulness(model, tasks[2], np.stack(table), seed, store)
        bar.update()
    made = Provenance(model_name(model), tasks[0].name, seed)
    words = [COMPARED[name].words for name in methods]
    sizes = _sizes(model)

    def result(values: Any, dims: tuple[str, ...], title: str, unit: str, **coords: Any) -> Result:
        return make_result(np.asarray(values), dims, title, unit, made, coords)

    share = "share of the behaviour"
    own, matched, drawn = kept["own"], kept["matched"], kept["random"]
    spread = torch.stack([drawn.mean(1), drawn.amin(1), drawn.amax(1)])
    return Comparison(
        result(
            np.stack(table),
            ("technique", "layer", "head"),
            "Scores of heads",
            "see technique",
            technique=words,
        ),
        result(
            reference, ("layer", "head"), "Patching each head, on other prompts", "share of the whole effect"
        ),
        result(
            own,
            ("technique", "heads"),
            "Faithfulness of the first heads",
            share,
            technique=words,
            heads=sizes,
        ),
        result(
            spread,
            ("series", "heads"),
            "Random heads",
            share,
            series=["mean", "lowest", "highest"],
            heads=sizes,
        ),
        result(
            matched,
            ("technique", "heads"),
            "Random heads of the same layers",
            share,
            technique=words,
            heads=sizes,
        ),
        seconds,
        _too_expensive(model, tasks[0], float(kept["seconds_of_circuit"]), seconds.get("eap", 0.0)),
        tasks[0].n_examples,
        seed,
    )


def _sizes(model: HookedTransformer) -> list[int]:
    heads = model.cfg.n_layers * model.cfg.n_heads
    return sorted({max(1, round(share * heads)) for share in SHARES})


def _faithfulness(
    model: HookedTransformer, task: Task, table: np.ndarray, seed: int, store: Store | None
) -> dict[str, torch.Tensor]:
    """Faithfulness of each method's first heads, of random heads, and of random heads of the same layers."""
    name = "faithfulness"
    order = np.argsort(-np.abs(table).reshape(len(table), -1), axis=1, kind="stable")
    ranking = torch.from_numpy(order)
    found = None if store is None else store.read_tensors(name)
    if found is not None and torch.equal(found[0]["ranking"], ranking):
        return found[0]
    sizes = _sizes(model)
    generator = torch.Generator().manual_seed(seed)
    n_heads = order.shape[1]
    own = [_circuit(model, places[:size].tolist()) for places in ranking for size in sizes]
    matched = [layer_matched_circuit(circuit, generator) for circuit in own for _ in range(DRAWS)]
    drawn = [
        _circuit(model, torch.randperm(n_heads, generator=generator)[:size].tolist())
        for size in sizes
        for _ in range(DRAWS)
    ]
    run = MaskedRun(model, task, own[0].graph)
    ends = torch.stack([own[0].graph.valid, torch.zeros_like(own[0].graph.valid)])
    model_alone, nothing = run.measure(ends).double().mean(1)
    everything = [*own, *matched, *drawn]
    start = time.process_time()
    values = [
        run.measure(torch.stack([circuit.kept for circuit in some])) for some in _pieces(everything, 16)
    ]
    took = (time.process_time() - start) / len(everything)
    shares = (torch.cat(values).double().mean(1) - nothing) / (model_alone - nothing)
    parts = shares.split([len(own), len(matched), len(drawn)])
    kept = {
        "own": parts[0].view(len(table), len(sizes)),
        "matched": parts[1].view(len(table), len(sizes), DRAWS).mean(-1),
        "random": parts[2].view(len(sizes), DRAWS),
        "seconds_of_circuit": torch.tensor(took),
        "ranking": ranking,
    }
    if store is not None:
        store.write_tensors(name, kept)
    return kept


def _pieces(circuits: Sequence[Circuit], size: int) -> list[Sequence[Circuit]]:
    return [circuits[start : start + size] for start in range(0, len(circuits), size)]


def _circuit(model: HookedTransformer, heads: Sequence[int]) -> Circuit:
    """Heads, counted through all layers, with every MLP and all edges between these."""
    graph = EdgeGraph.of(model)
    mlps = [source for source in graph.sources if source.startswith("m")]
    names = [f"a{place // model.cfg.n_heads}.h{place % model.cfg.n_heads}" for place in heads]
    return Circuit.from_nodes(graph, [*names, *mlps])


def _too_expensive(
    model: HookedTransformer, task: Task, seconds_of_circuit: float, seconds_of_eap: float
) -> tuple[NotRun, ...]:
    graph = EdgeGraph.of(model)
    edges = graph.n_edges
    runs = f"one run of the model for each of {edges:,} edges"
    hours = edges * seconds_of_circuit / 3600
    points = 5 * len(graph.sources)
    return (
        NotRun(METHODS["edge-patching"].words, runs, hours),
        NotRun(METHODS["acdc"].words, f"up to {runs}", hours),
        NotRun(
            METHODS["eap-ig-activations"].words,
            f"one gradient for each of {points:,} points, which start on average halfway up the model",
            points * seconds_of_eap / 2 / 3600,
        ),
    )


@cache
def _source() -> dict[str, str]:
    return source_digests(__name__, *{one.method.__module__ for one in COMPARED.values()})


def _spearman(rows: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Spearman's ρ between each row and each other row [row other]."""
    measure: Any = spearmanr
    return np.array([[float(measure(row, other).statistic) for other in others] for row in rows])
