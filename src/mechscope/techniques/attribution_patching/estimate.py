"""Attribution patching: a first-order estimate of the effect of every patch at once.

Patching an activation changes the metric by about (source - base) . d(metric)/d(activation). Two forward
passes and one backward pass give that product for every head, neuron and position together, where real
patching needs one run for each. Source: Nanda 2023, "Attribution Patching"; Syed et al. 2023.

How it misleads, and what helps:
- *Saturation*: a flat function has no gradient. `qk_fix=True` corrects the commonest case, saturated attention, by
  recomputing the pattern exactly for queries and keys (Kramár et al. 2024). `steps=10` averages gradients along the
  straight line from the base's embeddings to the source's (integrated gradients: Sundararajan et al. 2017; for
  circuits Hanna et al. 2024). Its estimates at the embedding sum to the whole effect. They distribute the joint change
  of everything, so for a patch of a single part they may be less accurate than the plain estimate. Between two
  tokens' embeddings there is no token, and heads that match tokens may be inactive there.
- *Cancellation*: a node's direct effect and its effect through a later layer may cancel at the base point by
  accident, although either changes under the patch. `grad_drop=True` computes the gradient without each layer's
  contribution in turn, and averages magnitudes (Kramár et al. 2024, section 3.1.2).
- *Norms* shrink large changes of the residual stream, so estimates are worst at `resid_pre`. Use `patch` to measure
  what looks important, and some of what does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import torch
from tqdm import tqdm

from mechscope.arguments import checked_arguments
from mechscope.model.model_name import model_name
from mechscope.model.precision import at_least_float32
from mechscope.results import Provenance, Result, make_result
from mechscope.tasks.task import Task
from mechscope.techniques.activation_patching import labels_of_heads, result_dims
from mechscope.techniques.attribution_patching._attention_fix import AttentionFix
from mechscope.techniques.attribution_patching._gradient_pass import GradientPass, check_steps, points_on_line
from mechscope.techniques.attribution_patching._sites import By, Target, resolve_sites
from mechscope.techniques.attribution_patching._two_runs import TwoRuns
from mechscope.techniques.sweep.task_sweep import SHARE, Direction, in_words

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Attributions:
    """Estimates of several sites from the same passes."""

    results: Mapping[str, Result]
    """Results by the site's name as the caller wrote it."""

    def __getitem__(self, site: str) -> Result:
        return self.results[site]

    def show(self) -> None:
        """Display the figure of every result."""
        for result in self.results.values():
            result.show()


@checked_arguments
@overload
def attribution_patching(
    model: HookedTransformer,
    task: Task,
    sites: str = "head",
    by: By = None,
    *,
    direction: Direction = ...,
    normalize: bool = ...,
    steps: int = ...,
    qk_fix: bool = ...,
    grad_drop: bool = ...,
    average: bool = ...,
    progress: bool = ...,
) -> Result: ...
@checked_arguments
@overload
def attribution_patching(
    model: HookedTransformer,
    task: Task,
    sites: Sequence[str],
    by: By = None,
    *,
    direction: Direction = ...,
    normalize: bool = ...,
    steps: int = ...,
    qk_fix: bool = ...,
    grad_drop: bool = ...,
    average: bool = ...,
    progress: bool = ...,
) -> Attributions: ...
@checked_arguments
def attribution_patching(
    model: HookedTransformer,
    task: Task,
    sites: str | Sequence[str] = "head",
    by: By = None,
    *,
    direction: Direction = "denoise",
    normalize: bool = True,
    steps: int = 1,
    qk_fix: bool = False,
    grad_drop: bool = False,
    average: bool = True,
    progress: bool = True,
) -> Result | Attributions:
    """Estimate what `patch` would measure, for all activations of one or more sites at once.

    Args:
        sites: one of "head" (or "z"), "neuron" (or "post"), "resid_pre", "resid_mid", "resid_post", "attn_out",
            "mlp_out", "q", "k", "v", "pattern", or a list of them, which costs no further passes.
        by: the axes besides the layer along which effects are separated, as for `patch`; a mapping by site if there
            are several sites. Along other axes effects are summed, which to first order is patching together.
        direction: "denoise" (base corrupted, source clean) or "noise".
        normalize: report shares of the difference between source and base; otherwise the change of the metric.
        steps: 1 takes the gradient at the base. More steps average the gradient over the midpoints of that many pieces
            of the line between the base's and the source's embeddings, with one forward and backward pass each.
        qk_fix: for "q" and "k", recompute the softmax exactly. If effects are separated by position, keys need one
            softmax per layer and position.
        grad_drop: average magnitudes over gradients that skip one layer each, with one backward pass per layer. All
            values are then positive.
        average: average over examples; False keeps them as the first axis, "batch".
        progress: show a progress bar.

    Returns:
        estimates with axes ("layer", *by), like `patch` (also "kv_head" under grouped-query attention);
        `Attributions` for a list of sites.

    Raises:
        KeyError: for a site that does not exist.
        ValueError: for incompatible options, a metric without gradient, or a task that does not fit.
    """
    targets = resolve_sites(model, task, sites, by)
    _check(model, task, targets, direction, steps, qk_fix, grad_drop)
    run = TwoRuns(model, task, direction, normalize)
    run.source.require([hook for target in targets for hook in target.hooks(model)] + [run.end])
    estimator = _Estimator(run, targets, qk_fix)
    if grad_drop:
        estimator.with_gradients_dropped(progress)
    elif steps > 1:
        estimator.along_the_line(steps, progress)
    else:
        estimator.at_the_base()
    how = f"Integrated gradients ({steps} steps)" if steps > 1 else "Attribution patching"
    repairs = ["softmax recomputed"] * qk_fix + ["layers' gradients dropped in turn"] * grad_drop
    how += f" ({', '.join(repairs)})" if repairs else ""
    results = {
        target.name: _result(run, target, estimator.totals[target.name], how, average) for target in targets
    }
    return results[sites] if isinstance(sites, str) else Attributions(results)


class _Estimator:
    """Sums of change times gradient, one tensor [batch *by] per layer and site."""

    def __init__(self, run: TwoRuns, targets: list[Target], qk_fix: bool) -> None:
        self.run, self.targets, self.model = run, targets, run.model
        self.totals: dict[str, list[torch.Tensor]] = {target.name: [] for target in targets}
        self.fix: AttentionFix | None = None
        if qk_fix:
            self.fix = AttentionFix(run.model, run.base, run.source)
            self.fix.require([target.site for target in targets if target.site in ("q", "k")])
        self.hooks: dict[str, list[tuple[Target, int]]] = {}
        for target in targets:
            for layer, hook in enumerate(target.hooks(run.model)):
                if self._fixed(target):
                    hook = f"blocks.{layer}.attn.hook_pattern"
                self.hooks.setdefault(hook, []).append((target, layer))

    def _fixed(self, target: Target) -> bool:
        return self.fix is not None and target.site in ("q", "k")

    def at_the_base(self) -> None:
        """The plain estimate."""
        forward = self._forward()
        self.run.set_baselines(forward.logits)
        found = self._collect(forward, forward.activations)
        self._add(found, 1.0)

    def along_the_line(self, steps: int, progress: bool) -> None:
        """Integrated gradients over the input embeddings, by the midpoint rule."""
        base, source = self.run.base, self.run.source
        for each in (base, source):
            each.require(["hook_embed", *self.hooks, self.run.end])
        self.run.set_baselines(self.run.logits(base))
        start, change = base["hook_embed"], source["hook_embed"] - base["hook_embed"]
        at_base = {hook: base[hook] for hook in self.hooks}
        for share in tqdm(points_on_line(steps), desc="integrated gradients", disable=not progress):
            forward = self._forward(start + share * change)
            self._add(self._collect(forward, at_base), 1 / steps)

    def with_gradients_dropped(self, progress: bool) -> None:
        """The mean magnitude over gradients that skip one layer each."""
        n_layers = self.model.cfg.n_layers
        forward = self._forward(droppable=True)
        self.run.set_baselines(forward.logits)
        for layer in tqdm(range(n_layers), desc="dropping gradients", disable=not progress):
            outputs = [f"blocks.{layer}.hook_attn_out", f"blocks.{layer}.hook_mlp_out"]
            found = self._collect(forward, forward.activations, drop=outputs, again=layer + 1 < n_layers)
            found = {key: values.abs() for key, values in found.items()}
            # Dropping a node's own layer leaves no gradient, so there is one term fewer than layers.
            self._add(found, 1 / (n_layers - 1))

    def _forward(self, embedding: torch.Tensor | None = None, droppable: bool = False) -> GradientPass:
        run = self.run
        return GradientPass(
            self.model, run.task, run.base.tokens, self.hooks, run.reference, embedding, droppable
        )

    def _collect(
        self,
        forward: GradientPass,
        at_base: Mapping[str, torch.Tensor],
        drop: Sequence[str] = (),
        again: bool = False,
    ) -> dict[tuple[str, int], torch.Tensor]:
        found: dict[tuple[str, int], torch.Tensor] = {}

        def listen(hook: str, gradient: torch.Tensor) -> None:
            for target, layer in self.hooks[hook]:
                if self.fix is not None and self._fixed(target):
                    values = self.fix.estimate(target.site, layer, gradient, "pos" in target.by)
                    if "pos" not in target.by:
                        values = values.squeeze(1)
                    axes = ("batch", "pos", "head") if "pos" in target.by else ("batch", "head")
                    if "head" not in target.by:
                        values, axes = values.sum(-1), axes[:-1]
                    found[target.name, layer] = target.order(values, axes)
                else:
                    change = at_least_float32(self.run.source[hook]) - at_least_float32(at_base[hook])
                    found[target.name, layer] = target.sum_up(change, at_least_float32(gradient))

        forward.backward(listen, drop, again)
        return found

    def _add(self, found: Mapping[tuple[str, int], torch.Tensor], weight: float) -> None:
        for target in self.targets:
            totals = self.totals[target.name]
            for layer in range(self.model.cfg.n_layers):
                values = found[target.name, layer] * weight
                if len(totals) == layer:
                    totals.append(values)
                else:
                    totals[layer] = totals[layer] + values


def _result(run: TwoRuns, target: Target, totals: list[torch.Tensor], how: str, average: bool) -> Result:
    values = torch.stack(totals, 1) / run.scale  # [batch layer *by]
    dims: tuple[str, ...] = ("layer", *result_dims(run.model, target.site, target.by))
    what = run.task.metric.name if run.normalize else f"change of the {run.task.metric.name}"
    return make_result(
        values.mean(0) if average else values,
        dims if average else ("batch", *dims),
        title=f"{how} of the {target.words}, {in_words(run.direction)}: {what}",
        unit=SHARE if run.normalize else run.task.metric.unit,
        provenance=Provenance(model_name(run.model), run.task.name, run.task.seed),
        coords=target.coords(run.model.cfg.n_layers),
        labels=labels_of_heads(run.model, dims),
        kind="heatmap" if len(dims) == 2 and average else "",
    )


def _check(
    model: HookedTransformer,
    task: Task,
    targets: Sequence[Target],
    direction: str,
    steps: int,
    qk_fix: bool,
    grad_drop: bool,
) -> None:
    check_steps(steps)
    if steps > 1 and (qk_fix or grad_drop):
        raise ValueError("integrated gradients (steps > 1) cannot be combined with qk_fix or grad_drop.")
    if qk_fix and not any(target.site in ("q", "k") for target in targets):
        raise ValueError("qk_fix corrects the estimates for the sites 'q' and 'k', but neither was given.")
    if grad_drop and model.cfg.n_layers < 2:
        raise ValueError("grad_drop skips one layer at a time, but this model has only one.")
    if task.metric.needs_reference and direction == "noise" and steps == 1:
        raise ValueError(
            f"{task.metric.name} is at its minimum in the clean run, where its gradient is zero, so a first-order "
            "estimate is zero; use direction='denoise' or steps=10."
        )
