"""Direct logit attribution: what each part of the model adds directly to the logit of the answer.

The residual stream that the unembedding reads is the sum of what all parts wrote. If the final norm's scale is held
fixed, the logit difference is linear in that sum, so it splits into one number per part, and the numbers add up to it
exactly. Source: Elhage et al. 2021, "Logit lens and direct logit attribution".

How it misleads. Only direct effects count: a head that works through later heads scores zero. The scale is held fixed,
although removing a part would change it. Parts may cancel: two large numbers of opposite sign often mean that one part
undoes another.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from jaxtyping import Shaped

from mechscope.arguments import checked_arguments
from mechscope.model.layer_checks import check_has_layers
from mechscope.results import Result, make_result
from mechscope.techniques._inputs import Prompts, TaskOrTokens, as_prompts
from mechscope.techniques._logit_terms import LogitTerms

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

__all__ = ["By", "LogitAttribution", "LogitTerms", "direct_logit_attribution"]

By = Literal["component", "layer", "head", "neuron", "source"]
BY: tuple[By, ...] = ("component", "layer", "head", "neuron", "source")


@dataclass(frozen=True)
class LogitAttribution:
    """The contributions of parts of the model to the logit difference."""

    contributions: Result
    """In logits, mean over prompts and answers unless `average` was False."""
    total: float
    """The logit difference itself, computed from the whole residual stream (before a soft cap, if there is one)."""

    @property
    def rest(self) -> float:
        """The logit difference not explained by the listed parts: 0 by component and by layer, within rounding.

        Raises:
            ValueError: for contributions at every position.
        """
        values = self.contributions.values
        if "batch" in values.dims:
            values = values.mean("batch")
        if "pos" in values.dims:
            raise ValueError(
                "the total is measured at the answers, but these contributions are at every position."
            )
        return self.total - float(values.sum())

    def figure(self) -> Any:
        """The figure of the contributions."""
        return self.contributions.figure()

    def show(self) -> Any:
        """Display the figure and return it."""
        return self.contributions.show()


@checked_arguments
def direct_logit_attribution(
    model: HookedTransformer,
    task: TaskOrTokens,
    by: By = "component",
    *,
    positions: Literal["answers", "all"] = "answers",
    top: int = 20,
    average: bool = True,
    attention_mask: Shaped[torch.Tensor, "batch pos"] | None = None,
) -> LogitAttribution:
    """Split the logit difference (or the answer's logit, if a task has no wrong answers) into contributions of parts.

    Args:
        task: a task (its clean prompts); or text or tokens, for the logit of the token that the model itself predicts
            after each prompt.
        by: "component": the embeddings, every head, every MLP and the biases, which sum to the total;
            "layer": the same with all heads of a layer together; "head": (layer, head); "neuron": the `top` neurons
            by magnitude; "source": each head split by the position that it attends to (component, key).
        positions: "answers" measures at the answer positions; "all" measures at every position how far its residual
            stream points to the prompt's one answer (component, pos).
        top: how many neurons.
        average: average over prompts; False keeps them as the first axis, "batch".
        attention_mask: for plain tokens, True where a token is real; None uses their own mask.

    Returns:
        contributions in logits (before a soft cap, if the model has one), and the logit difference.

    Raises:
        ValueError: for an unknown `by`, options that do not fit the task or the model, or a model that gives NaN.

    >>> import mechscope as ms
    >>> model = ms.load_model("induction-2l")
    >>> task = ms.tasks.repeated_random_tokens(model, n=8, bos=128)
    >>> found = direct_logit_attribution(model, task)
    >>> abs(found.rest) < 1e-3
    True
    """
    prompts = as_prompts(model, task, attention_mask=attention_mask)
    _check(model, prompts, by, positions)
    if top < 1:
        raise ValueError(f"top, the number of neurons, must be at least 1, not {top}.")
    read = prompts.tokens if prompts.task is None else prompts.task
    terms = LogitTerms(model, read, everywhere=positions == "all")
    values, dims, coords = _contributions(terms, by, top, np.array(prompts.labels))
    if positions == "all":
        dims, coords = (*dims, "pos"), {**coords, "pos": np.array(prompts.labels)}
    else:
        values = values.mean(1)  # answers
    if positions == "all":
        values = values.movedim(1, -1)
    if average:
        values = values.mean(0)
    else:
        dims = ("batch", *dims)
    capped = " before the soft cap" if model.cfg.output_logits_soft_cap > 0 else ""
    result = make_result(
        values,
        dims,
        f"Direct effect on the {terms.what}{capped}, by {'source position' if by == 'source' else by}",
        "logits",
        prompts.provenance,
        coords,
    )
    at_answers = terms if positions == "answers" else LogitTerms(model, read)
    return LogitAttribution(result, float(at_answers.total().mean()))


def _contributions(
    terms: LogitTerms, by: By, top: int, labels: np.ndarray
) -> tuple[torch.Tensor, tuple[str, ...], dict[str, Any]]:
    """Values [batch answer …], the axes after those two, and their coordinates."""
    if by == "head":
        return terms.heads().permute(1, 2, 0, 3), ("layer", "head"), {}
    if by == "neuron":
        values, names = terms.top_neurons(top)
        return values, ("component",), {"component": np.array(names)}
    if by == "source":
        values = terms.sources()  # [layer batch answer head key]
        names = [f"a{layer}.h{head}" for layer in range(values.shape[0]) for head in range(values.shape[3])]
        flat = values.permute(1, 2, 0, 3, 4).flatten(2, 3)
        return flat, ("component", "key"), {"component": np.array(names), "key": labels}
    values, names = terms.components(split_heads=by == "component")
    return values, ("component",), {"component": np.array(names)}


def _check(model: HookedTransformer, prompts: Prompts, by: str, positions: str) -> None:
    task = prompts.task
    if by not in BY:
        raise ValueError(f"by must be one of {', '.join(BY)}, not {by!r}.")
    if positions not in ("answers", "all"):
        raise ValueError(f"positions must be 'answers' or 'all', not {positions!r}.")
    if positions == "all":
        if by not in ("component", "layer"):
            raise ValueError(f"positions='all' can be combined with by='component' or 'layer', not {by!r}.")
        if task is not None and task.answers.positions.shape[1] > 1:
            raise ValueError(
                f"{task.name} has {task.answers.positions.shape[1]} answers per prompt, so there is no single "
                "answer to measure at every position; use positions='answers'."
            )
    if by in ("head", "neuron", "source"):
        check_has_layers(model, f"direct logit attribution by {by}")
    if by == "neuron" and model.cfg.attn_only:
        raise ValueError("this model is attention-only: it has no neurons; use by='head'.")
    if (by == "source" or positions == "all") and not prompts.aligned:
        name, remedy = "these texts", "give one text, or texts of one length."
        if task is not None:
            name, remedy = task.name, "select prompts of one shape, such as task.select([0])."
        raise ValueError(
            f"in {name} a position means different things in different prompts, so a mean over prompts is "
            f"meaningless; {remedy}"
        )
