"""Linear probes: what can be read linearly from the activations at each layer and position.

Scores are on held-out examples, over several splits, and are compared with the score of the same probe on a control
task with random labels; the difference is the selectivity. Sources: Alain and Bengio 2016; Hewitt and Liang 2019.

How it misleads. Information that can be read is not necessarily used by the model: check with an intervention along
the direction. Held-out examples that share a template or a prefix with training examples do not test generalisation:
give `groups`. With more dimensions than examples every training set is separable, so only the held-out score and the
selectivity are meaningful.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Shaped
from numpy.typing import NDArray
from tqdm.auto import tqdm

from mechscope.arguments import checked_arguments
from mechscope.linear_probes import (
    KINDS,
    METRICS_OF,
    WORDS,
    Fit,
    Kind,
    Metric,
    control_labels,
    fit_probe,
    splits,
)
from mechscope.model.layer_checks import check_has_layers
from mechscope.model.names import get_act_name
from mechscope.model.token_batch import Tokens
from mechscope.results import Provenance, Result, make_result
from mechscope.techniques._inputs import TaskOrTokens, as_prompts
from mechscope.techniques._probe_inputs import as_labels, probe_activations, probe_positions

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Probes:
    """Held-out scores of one probe per layer and position (layer, pos), with a control and the chance level."""

    scores: Result
    """Mean over the splits: accuracy, AUROC or R²."""
    lowest: Result
    """The worst split."""
    highest: Result
    """The best split."""
    control: Result | None
    """The same probe on random labels, one per token type; None if control=False."""
    directions: Result
    """Weights in the basis of the activations (layer, pos, class, d_model), from the training set of the first split.
    Two-class probes and regression have one direction, towards the second class or larger values."""
    chance: float
    """The score of always predicting the commonest class (accuracy), 0.5 (AUROC) or 0 (R²)."""
    notes: tuple[str, ...] = ()
    """Warnings for the reader: more dimensions than examples, or a fit that did not converge."""

    @property
    def selectivity(self) -> Result:
        """Score minus control score: what the probe reads from the activation rather than memorises.

        Negative if the token itself is easier to read than the label.

        Raises:
            ValueError: if there is no control.
        """
        if self.control is None:
            raise ValueError("these probes have no control task; fit them with control=True.")
        values = self.scores.values - self.control.values
        return self.scores.replace(
            values=values, title=f"Selectivity: {self.scores.title}, less the control's"
        )

    def figure(self) -> Any:
        """Heat maps of scores and selectivity by layer and position; curves over layers for a single position."""
        from mechscope.viz.curves import Marker, curves
        from mechscope.viz.panels import heatmap_panels

        values = self.scores.values
        layers, positions = values.coords["layer"].values, values.coords["pos"].values
        title = " · ".join([self.scores.title, *self.notes])
        if len(positions) == 1:
            lines = {"probe": values, "worst split": self.lowest.values, "best split": self.highest.values}
            if self.control is not None:
                lines["control task"] = self.control.values
            return curves(
                layers,
                {name: line.values[:, 0] for name, line in lines.items()},
                title=title,
                x_title="layers that have run" if self.scores.title.endswith("resid") else "layer",
                y_title=self.scores.unit,
                markers=[Marker(self.chance, "chance", axis="y")],
                points=True,
            )
        maps = {f"held-out score (chance {self.chance:.2f})": values.values}
        if self.control is not None:
            maps["selectivity"] = self.selectivity.values.values
        return heatmap_panels(
            maps,
            title=title,
            x_title="position",
            y_title="layer",
            unit=dict.fromkeys(maps, self.scores.unit),
            x=list(positions),
            y=[f"{layer:g}" for layer in layers],
            columns=2,
            top_row_first=False,
        )

    def show(self) -> Any:
        """Display the figure and return it."""
        figure = self.figure()
        figure.show()
        return figure


@checked_arguments
def linear_probe(
    model: HookedTransformer,
    data: TaskOrTokens,
    labels: Any,
    *,
    site: str = "resid",
    positions: str | Sequence[int] = "all",
    kind: Kind = "classification",
    metric: Metric | None = None,
    groups: Any = None,
    control: bool = True,
    strength: float = 1.0,
    test_share: float = 0.25,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    batch_size: int = 32,
    progress: bool = True,
    attention_mask: Shaped[torch.Tensor, "batch pos"] | None = None,
) -> Probes:
    """Fit a probe for a label at every layer and position, and score it on held-out examples.

    Args:
        data: a task (its clean prompts), or tokens [batch pos].
        labels: one per example [batch], or one per token [batch pos] (labels of padding are ignored): classes of any
            type, or numbers.
        site: "resid" for the residual stream at the start of every layer and at the end (`layer` then counts the
            layers that have run), or a short hook name ("mlp_out", "z") for that activation in every layer.
        positions: "all", "answers", a named position of the task, or numbers, which count each prompt's real tokens
            (negative numbers from its end).
        kind: "classification" (logistic), "regression" (ridge) or "mean difference" (two classes).
        metric: "accuracy" or "auroc" (two classes); "r2" for regression. None uses the first that applies.
        groups: a group for each example [batch]; a group is never split between training and test set. None keeps
            equal prompts together.
        control: also fit a control task with random labels, one for each token that occurs at the position.
        strength: strength of the L2 penalty on standardised activations.
        test_share: share of the examples held out.
        seeds: one split per seed; results are the mean, worst and best over splits.
        batch_size: prompts per pass.
        progress: show a progress bar.
        attention_mask: for plain tokens, True where a token is real; None uses their own mask.

    Raises:
        KeyError: for a site that the model does not have, or a position that the task does not name.
        ValueError: for only one class, labels that do not fit, too few examples, or a model that gives NaN.

    >>> import mechscope as ms
    >>> model = ms.load_model("induction-2l")
    >>> task = ms.tasks.repeated_random_tokens(model, n=40, bos=128)
    >>> labels = (task.clean[:, -1] % 2).tolist()  # is the last token even?
    >>> probes = linear_probe(model, task, labels, positions=[-1], seeds=(0,), progress=False)
    >>> probes.scores.values.dims
    ('layer', 'pos')
    """
    prompts = as_prompts(model, data, attention_mask=attention_mask)
    metric = _check(kind, metric, strength, test_share, tuple(seeds))
    target = as_labels(labels, prompts.tokens, kind, metric)
    where = probe_positions(prompts, positions)
    names, layers = probe_sites(model, site)
    kept_together = _groups(groups, prompts.tokens)
    features = probe_activations(model, prompts, names, where, batch_size)
    tokens = prompts.tokens.cpu().numpy()
    shape = (len(names), len(where.names))
    scores = np.zeros((len(seeds), *shape))
    controls = np.zeros((len(seeds), *shape))
    weights: list[NDArray[Any]] = []
    chances: list[float] = []
    converged = True
    bar = tqdm(total=shape[1] * len(seeds), desc="linear probes", disable=not progress)
    for place in range(shape[1]):
        wanted = target.at(where.indices[:, place])
        types = tokens[np.arange(len(tokens)), where.indices[:, place]]
        divided = splits(wanted, kept_together, kind, test_share, tuple(seeds))
        for turn, (train, test) in enumerate(divided):
            chances.append(_chance(wanted, train, test, metric))
            for layer in range(shape[0]):
                fit = fit_probe(features[layer][:, place], wanted, train, test, kind, metric, strength)
                scores[turn, layer, place] = fit.score
                converged &= fit.converged
                if turn == 0:
                    weights.append(fit.weights)
                if control:
                    random_labels = control_labels(wanted, types, seeds[turn])
                    controls[turn, layer, place] = _control(
                        features[layer][:, place], random_labels, train, test, kind, metric, strength
                    )
            bar.update()
    bar.close()
    words, unit = WORDS[metric]
    width = features[0].shape[-1]
    provenance = Provenance(prompts.provenance.model, prompts.provenance.task, seeds[0])
    coords: dict[str, Any] = {"layer": layers, "pos": np.array(where.names)}

    def result(values: NDArray[Any], what: str) -> Result:
        return make_result(values, ("layer", "pos"), what, unit, provenance, coords)

    title = f"Held-out {words} of a {'mean-difference' if kind == 'mean difference' else 'linear'} probe on {site}"
    return Probes(
        scores=result(scores.mean(0), title),
        lowest=result(scores.min(0), f"{title}, worst split"),
        highest=result(scores.max(0), f"{title}, best split"),
        control=result(controls.mean(0), f"{title}, random labels") if control else None,
        directions=_directions(
            weights, shape, target.classes, coords, provenance, width == model.cfg.d_model
        ),
        chance=float(np.mean(chances)),
        notes=_notes(width, round(len(tokens) * (1 - test_share)), converged),
    )


def probe_sites(model: HookedTransformer, site: str) -> tuple[list[str], list[int]]:
    """Hook names of a site in every layer, and their layers.

    Raises:
        KeyError: for a site that the model does not have.
        ValueError: for a model without layers.
    """
    check_has_layers(model, "probing")
    n_layers = model.cfg.n_layers
    if site in ("resid", "resid_pre", "resid_post"):
        last = f"blocks.{n_layers - 1}.hook_resid_post"
        return [*(f"blocks.{layer}.hook_resid_pre" for layer in range(n_layers)), last], list(
            range(n_layers + 1)
        )
    names = [get_act_name(site, layer) for layer in range(n_layers)]
    for name in names:
        if name not in model.hook_dict:
            raise KeyError(
                f"this model has no activation {site!r} ({name!r}); use 'resid', or a short name such as 'attn_out', "
                "'mlp_out', 'z'."
            )
    return names, list(range(n_layers))


def _check(
    kind: str, metric: Metric | None, strength: float, test_share: float, seeds: tuple[int, ...]
) -> Metric:
    if kind not in KINDS:
        raise ValueError(f"kind must be one of {', '.join(KINDS)}, not {kind!r}.")
    allowed = METRICS_OF[kind]
    if metric is not None and metric not in allowed:
        raise ValueError(f"a probe of kind {kind!r} is scored by {' or '.join(allowed)}, not {metric!r}.")
    if not strength > 0:
        raise ValueError(f"strength, that of the penalty, must be above 0, not {strength}.")
    if not 0 < test_share < 1:
        raise ValueError(
            f"test_share must be between 0 and 1, not {test_share}: a probe is scored on examples it was not fitted to."
        )
    if not seeds:
        raise ValueError("probes need at least one seed for their splits.")
    return allowed[0] if metric is None else metric


def _groups(groups: Any, tokens: Tokens) -> NDArray[Any] | None:
    """Group numbers [batch]; by default equal prompts form a group, and None is returned if all prompts differ."""
    if groups is None:
        _, which = torch.unique(tokens.ids.masked_fill(~tokens.is_real, -1), dim=0, return_inverse=True)
        return None if len(which.unique()) == len(tokens) else which.cpu().numpy()
    found = np.asarray(groups)
    if found.shape != (len(tokens),):
        raise ValueError(f"groups must be one per example, {len(tokens)} of them, not shape {found.shape}.")
    _, which = np.unique(found, return_inverse=True)
    if which.max() < 1:
        raise ValueError(
            "all examples belong to one group (or all prompts are equal), so none can be held out."
        )
    return which


def _chance(labels: NDArray[Any], train: NDArray[Any], test: NDArray[Any], metric: Metric) -> float:
    if metric != "accuracy":
        return 0.5 if metric == "auroc" else 0.0
    commonest = np.bincount(labels[train]).argmax()
    return float(np.mean(labels[test] == commonest))


def _control(
    features: NDArray[Any], labels: NDArray[Any], train: NDArray[Any], test: NDArray[Any], *rest: Any
) -> float:
    """The score of the control; chance if its random labels leave only one class in the training or test set."""
    if rest[0] != "regression" and min(len(np.unique(labels[part])) for part in (train, test)) < 2:
        metric: Metric = rest[1]
        return _chance(labels, train, test, metric) if metric == "accuracy" else 0.5
    _, numbers = np.unique(labels, return_inverse=True) if rest[0] != "regression" else (None, labels)
    fit: Fit = fit_probe(features, numbers, train, test, *rest)
    return fit.score


def _directions(
    weights: list[NDArray[Any]],
    shape: tuple[int, int],
    classes: tuple[str, ...],
    coords: dict[str, Any],
    provenance: Provenance,
    in_stream: bool,
) -> Result:
    # Fits are ordered by position, then by layer.
    stack = np.stack(weights).reshape(shape[1], shape[0], *weights[0].shape).swapaxes(0, 1)
    names = classes if stack.shape[2] == len(classes) else classes[-1:]
    return make_result(
        stack,
        ("layer", "pos", "class", "d_model" if in_stream else "feature"),
        "Directions of the probes",
        "per unit of activation",
        provenance,
        {**coords, "class": list(names)},
    )


def _notes(width: int, examples: int, converged: bool) -> tuple[str, ...]:
    notes: list[str] = []
    if width > examples:
        notes.append(f"{width} dimensions but {examples} training examples: trust the selectivity")
    if not converged:
        notes.append("some fits did not converge")
    return tuple(notes)
