"""Run every method on every planted circuit, and measure how well it separates true edges and nodes from others.

AUROC is the chance that a true edge (or node) has a larger score, in magnitude, than one outside the circuit: 1 is
perfect, .5 is chance. The circuit is known because the model was compiled from a program; random weights, idle
heads and a rotated basis hide it.
"""

from __future__ import annotations

import itertools
import json
import math
import statistics
import time
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from tqdm import tqdm

from mechscope import planted
from mechscope.arguments import check_kinds, checked_arguments
from mechscope.results import Provenance, Result, make_result, versions
from mechscope.results.bootstrap import bootstrap_distribution, percentile_interval
from mechscope.runs.key import RunKey
from mechscope.runs.source_digest import source_digests
from mechscope.runs.store import Store
from mechscope.scoreboard.methods import METHODS, Scored, node_scores
from mechscope.storage.files import write_atomically
from mechscope.storage.folder_lock import hold_folder
from mechscope.techniques.circuits import EdgeGraph, auroc

DISGUISE: dict[str, Any] = {"rotate": True, "extra_heads": 2, "extra_layers": 1}


@dataclass(frozen=True)
class Condition:
    """How hard a circuit is to find."""

    words: str
    noise_share: float
    """Strength of the random weights, as a share of the strength at which the program starts to err at sharpness 6."""
    sharpness: float
    """Difference between attention scores in nats; the softmax of a large difference has almost no gradient."""


CONDITIONS: dict[str, Condition] = {
    "plain": Condition("as compiled", 0.5, 6.0),
    "noisy": Condition("with as much noise as the program tolerates", 1.0, 6.0),
    "saturated": Condition("with saturated attention", 0.15, 20.0),
}
"""Conditions by name."""
EXACT = "edge-patching"
"""The method that the estimators of edges estimate."""
RANKED_ONLY = ("acdc",)
"""Methods whose scores rank edges but do not estimate an effect."""
KINDS = ("edges", "nodes", "agreement")


@dataclass(frozen=True)
class Match:
    """One method on one planted model."""

    program: str
    condition: str
    seed: int
    contender: str
    """The method's name in `METHODS`."""
    edges: float | None
    """AUROC over edges; None for a method that does not score edges."""
    nodes: float
    """AUROC over heads and MLPs."""
    agreement: float | None
    """Pearson's r between the method's edge scores and the effects of patching each edge separately; None if
    either is missing."""
    seconds: float
    """CPU seconds, not counting the compilation of the model."""


@dataclass(frozen=True)
class Scoreboard:
    """All matches, with tables and means."""

    matches: tuple[Match, ...]
    examples: int
    """Pairs of prompts per match."""

    def programs(self) -> list[str]:
        """Programs in the order in which they ran."""
        return list(dict.fromkeys(match.program for match in self.matches))

    def methods(self) -> list[str]:
        """Methods in the order in which they ran."""
        return list(dict.fromkeys(match.contender for match in self.matches))

    def contenders(self) -> list[str]:
        """Deprecated name of `methods`."""
        warnings.warn(
            "Scoreboard.contenders() has been renamed: use methods(). The old name will go in the next version.",
            DeprecationWarning,
            stacklevel=2,
        )
        return self.methods()

    def seeds(self) -> list[int]:
        """Seeds in the order in which they ran."""
        return list(dict.fromkeys(match.seed for match in self.matches))

    def conditions(self) -> list[str]:
        """Conditions in the order in which they ran."""
        return list(dict.fromkeys(match.condition for match in self.matches))

    def table(self, kind: str = "edges", condition: str = "plain") -> Result:
        """Mean AUROC over seeds (technique, program), of edges or of nodes.

        Raises:
            ValueError: for another kind, or a condition that was not run.
        """
        if kind not in KINDS[:2]:
            raise ValueError(f"AUROC is over 'edges' or 'nodes', not {kind!r}.")
        if condition not in self.conditions():
            raise ValueError(f"{condition!r} was not run; there are {', '.join(self.conditions())}.")
        names = [name for name in self.methods() if self._values(name, kind, condition)]
        programs = self.programs()
        values = np.array(
            [[_mean(self._values(name, kind, condition, program)) for program in programs] for name in names]
        )
        return make_result(
            values,
            ("technique", "program"),
            title=f"AUROC of {kind} against planted circuits {CONDITIONS[condition].words}",
            unit="AUROC",
            provenance=self._provenance(),
            coords={"technique": [METHODS[name].words for name in names], "program": programs},
        )

    def summary(
        self, kind: str = "edges", condition: str = "plain", draws: int = 2000
    ) -> dict[str, tuple[float, float, float]]:
        """For each method its mean AUROC (or agreement) and a 95 % interval, bootstrapped over programs."""
        generator = np.random.default_rng(0)
        found: dict[str, tuple[float, float, float]] = {}
        for name in self.methods():
            means = [_mean(self._values(name, kind, condition, program)) for program in self.programs()]
            means = [mean for mean in means if not math.isnan(mean)]
            if means:
                drawn = bootstrap_distribution(
                    [np.array(means)], lambda rows: rows.mean(-1), resamples=draws, rng=generator
                )
                low, high = percentile_interval(drawn)
                found[name] = (statistics.fmean(means), float(low), float(high))
        return found

    def median_seconds(self, contender: str) -> float:
        """The median CPU seconds of a method's matches."""
        return statistics.median(match.seconds for match in self.matches if match.contender == contender)

    def figure(self, kind: str = "edges", condition: str = "saturated") -> Any:
        """AUROC of each method on each program, as a heat map."""
        return self.table(kind, condition).figure()

    def save(self, path: str | Path) -> Path:
        """Write all matches as JSON."""
        data = {
            "format": "mechscope scoreboard 1",
            "examples": self.examples,
            "versions": versions(),
            "matches": [asdict(match) for match in self.matches],
        }
        return write_atomically(path, json.dumps(data, indent=1) + "\n")

    def _values(self, contender: str, kind: str, condition: str, program: str | None = None) -> list[float]:
        values = [
            getattr(match, kind)
            for match in self.matches
            if match.contender == contender
            and match.condition == condition
            and program in (None, match.program)
        ]
        return [value for value in values if value is not None and not math.isnan(value)]

    def _provenance(self) -> Provenance:
        return Provenance(model="planted models", task=f"{self.examples} pairs of prompts each")


@checked_arguments
def scoreboard(
    programs: Iterable[str] | None = None,
    methods: Iterable[str] | None = None,
    *,
    conditions: Iterable[str] = tuple(CONDITIONS),
    seeds: Sequence[int] = (0, 1, 2),
    examples: int = 64,
    keep: str | Path | None = None,
    progress: bool = True,
    contenders: Iterable[str] | None = None,
) -> Scoreboard:
    """Test every method on every planted program.

    Args:
        programs: names from `mechscope.planted.PROGRAMS`; None for all.
        methods: names from `METHODS`; None for all.
        conditions: names from `CONDITIONS`.
        seeds: each seeds the disguise, the prompts and the random draws of a method.
        examples: pairs of prompts.
        keep: a folder that stores the finished matches of each model; matches found there are not run again if they
            come from the same code and settings.
        progress: show a progress bar.
        contenders: deprecated name of `methods`.

    Raises:
        KeyError: for a program or method that does not exist.
        ValueError: for empty lists or fewer than 2 examples.
        FolderInUseError: if another process uses the folder `keep`.
        NotKeptError: if a match cannot be written there; those before it are kept.
    """
    if contenders is not None:
        warnings.warn(
            "scoreboard(contenders=…) has been renamed: use methods=…. The old name will go in the next version.",
            DeprecationWarning,
            stacklevel=3,
        )
        methods = contenders if methods is None else methods
    chosen = list(planted.PROGRAMS) if programs is None else list(programs)
    tested = list(METHODS) if methods is None else list(methods)
    for name in chosen:
        if name not in planted.PROGRAMS:
            raise KeyError(f"no planted program is called {name!r}; there are {', '.join(planted.PROGRAMS)}.")
    for name in tested:
        if name not in METHODS:
            raise KeyError(f"no method is called {name!r}; there are {', '.join(METHODS)}.")
    settings = list(conditions)
    for name in settings:
        if name not in CONDITIONS:
            raise KeyError(f"no condition is called {name!r}; there are {', '.join(CONDITIONS)}.")
    if not chosen or not tested or not settings or not seeds or examples < 2:
        raise ValueError(
            "a scoreboard needs a program, a method, a condition, a seed and at least 2 pairs of prompts."
        )
    with nullcontext() if keep is None else hold_folder(keep):
        return _run_all(
            chosen, tested, settings, seeds, examples, None if keep is None else Path(keep), progress
        )


def _run_all(
    programs: Sequence[str],
    methods: Sequence[str],
    conditions: Sequence[str],
    seeds: Sequence[int],
    examples: int,
    keep: Path | None,
    progress: bool,
) -> Scoreboard:
    matches: list[Match] = []
    rounds = list(itertools.product(programs, conditions, seeds))
    with tqdm(total=len(rounds) * len(methods), desc="scoreboard", disable=not progress) as bar:
        for program, condition, seed in rounds:
            bar.set_postfix_str(f"{program}, {condition}")
            name = f"{program}-{condition}-{seed}-{examples}"
            store = None if keep is None else Store(keep, _key(condition, methods))
            found = None if store is None else _read_matches(store, name)
            if found is None:
                found = list(run_matches(program, methods, condition=condition, seed=seed, examples=examples))
                if store is not None:
                    store.write_json(name, {"matches": [asdict(match) for match in found]})
            matches += found
            bar.update(len(found))
    return Scoreboard(tuple(matches), examples)


def disguised_model(program: str, condition: str = "plain", seed: int = 0) -> planted.PlantedModel:
    """The planted model on which methods are tested: rotated, with idle heads, an idle layer, and noise.

    The seed decides where each component is placed, so the true circuit has the same edges under every condition.
    """
    setting = CONDITIONS[condition]
    noise = setting.noise_share * planted.STEADY_NOISE[program]
    return planted.load(program, noise=noise, seed=seed, sharpness=setting.sharpness, **DISGUISE)


def run_matches(
    program: str,
    methods: Iterable[str],
    *,
    condition: str = "plain",
    seed: int = 0,
    examples: int = 64,
) -> Iterator[Match]:
    """Test methods on one planted model, one match after another."""
    model = disguised_model(program, condition, seed)
    task = model.task(examples, seed=seed)
    graph = EdgeGraph.of(model.model)
    true_edges = graph.mask(model.true_edges)
    true_nodes = {node for node in model.true_nodes if node not in ("input", "logits")}
    exact: torch.Tensor | None = None
    for name in methods:
        start = time.process_time()
        scored = METHODS[name].method(model.model, task, seed)
        took = time.process_time() - start
        edges = agreement = None
        if scored.edges is not None:
            values = scored.edges[graph.valid].nan_to_num(0.0)
            edges = auroc(values.abs(), true_edges[graph.valid])
            exact = values if name == EXACT else exact
            if exact is not None and name not in (EXACT, *RANKED_ONLY):
                agreement = float(torch.corrcoef(torch.stack([values, exact]))[0, 1])
        nodes = _node_auroc(graph, scored, true_nodes)
        yield Match(program, condition, seed, name, edges, nodes, agreement, took)


def _key(condition: str, methods: Sequence[str]) -> RunKey:
    """Everything that decides the matches of one planted model, except what their file name says."""
    settings = {**asdict(CONDITIONS[condition]), **DISGUISE, "methods": methods, "versions": versions()}
    return RunKey(settings, source=_source())


@cache
def _source() -> dict[str, str]:
    return source_digests(__name__, *{METHODS[name].method.__module__ for name in METHODS})


def _read_matches(store: Store, name: str) -> list[Match] | None:
    """Matches stored by an earlier run, if the same code ran them with the same settings."""
    stored = store.read_json(name)
    if stored is None:
        return None
    try:
        for match in stored["matches"]:
            check_kinds(Match, match, finite=False)
        return [Match(**match) for match in stored["matches"]]
    except (ValueError, TypeError, KeyError):
        return None  # damaged, so run again


def _node_auroc(graph: EdgeGraph, scored: Scored, true: set[str]) -> float:
    """AUROC over heads and MLPs."""
    ranks = {name: abs(score) for name, score in node_scores(graph, scored).items()}
    names = list(ranks)
    return auroc(
        torch.tensor([ranks[name] for name in names]), torch.tensor([name in true for name in names])
    )


def _mean(values: Sequence[float]) -> float:
    return statistics.fmean(values) if values else math.nan
