"""Red-teaming: try to falsify a hypothesis in every way that applies, and say what is left to try.

How it misleads. If every check says "supports", these attacks failed on these prompts, and no more is known. Intervals
are over examples, not over models, and among several checks at 95 % one is sometimes wrong by chance.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Int

from mechscope.arguments import checked_arguments, is_whole_number
from mechscope.model.model_name import model_name
from mechscope.results import Provenance
from mechscope.tasks.task import Task
from mechscope.techniques.redteam._behaviour_checks import BehaviourChecks
from mechscope.techniques.redteam._component_checks import ComponentChecks
from mechscope.techniques.redteam._direction_checks import DirectionChecks
from mechscope.techniques.redteam._direction_patches import DirectionPatches
from mechscope.techniques.redteam._running_checks import Experiment
from mechscope.techniques.redteam.evidence import Evidence
from mechscope.techniques.redteam.hypotheses import Behaviour, Direction, Heads, Hypothesis

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@checked_arguments
def redteam(
    model: HookedTransformer,
    task: Task,
    hypothesis: Hypothesis,
    *,
    training_tokens: Int[torch.Tensor, "row pos"] | None = None,
    other_models: Sequence[HookedTransformer] = (),
    other_tasks: Sequence[Task] = (),
    paraphrase: Task | Sequence[Task] | None = None,
    n_null: int = 39,
    skip: Collection[str] = (),
    seed: int = 0,
    progress: bool = True,
) -> Evidence:
    """Run every check that applies to a hypothesis, and report the evidence.

    Args:
        model: the model.
        task: prompts on which the hypothesis is tested; 32 or more pairs give useful intervals.
        hypothesis: a `Behaviour` (a rule), `Heads` (a set of components) or a `Direction`.
        training_tokens: text to fit baselines to; None fits them to the task's prompts, with the baseline for each
            example fitted to other examples.
        other_models: models from other seeds, or others that read the same tokens.
        other_tasks: tasks that a set of components should leave alone, or on which a rule should hold too.
        paraphrase: for a rule, the same task in other words.
        n_null: random draws per null. A p-value cannot be below 1 / (n_null + 1): with fewer than 19 draws, the checks
            that compare with random draws are inconclusive, unless there are so few alternatives that all are tried.
        skip: names of checks to leave out, such as "no backup takes over", the longest in a large model.
        seed: seed of all random draws and of the bootstrap.
        progress: say how long the checks will take, estimated from a measured pass, and show a progress bar.

    Raises:
        KeyError: for components, sites, positions or checks to skip that do not exist.
        ValueError: for a hypothesis or task that does not fit, no draws, or too few examples.

    >>> import torch
    >>> import mechscope as ms
    >>> model = ms.load_model("induction-2l")
    >>> task = ms.tasks.repeated_random_tokens(model, 32, bos=128)
    >>> rule = Behaviour(lambda tokens: torch.full_like(tokens, 5), "it always says token 5")
    >>> redteam(model, task, rule, progress=False).falsified
    True
    """
    if not is_whole_number(n_null, 1):
        raise ValueError(f"n_null={n_null!r} must be a whole number of random draws, at least 1.")
    if task.n_examples < 4:
        raise ValueError(
            f"{task.name} has {task.n_examples} examples; intervals over examples need at least 4."
        )
    paraphrases = (
        [] if paraphrase is None else [paraphrase] if isinstance(paraphrase, Task) else list(paraphrase)
    )
    task.check(model)
    for other in (*other_tasks, *paraphrases):
        other.check(model)
    for other_model in other_models:
        task.check(other_model)
    experiment = Experiment(model, task, seed, n_null, progress)
    if isinstance(hypothesis, Behaviour):
        _check_text(model, training_tokens)
        hypothesis.check(model, task)
        kind = "behaviour"
        plan = BehaviourChecks(
            experiment, hypothesis, training_tokens, other_models, other_tasks, paraphrases
        )
    elif isinstance(hypothesis, Heads):
        kind = "heads"
        plan = ComponentChecks(experiment, tuple(hypothesis.parsed(model)), other_models, other_tasks)
    elif isinstance(hypothesis, Direction):
        hypothesis.check(model, task)
        kind = "direction"
        plan = DirectionChecks(experiment, DirectionPatches(experiment, hypothesis))
    else:
        raise ValueError(
            f"a hypothesis is a Behaviour, Heads or a Direction, not {type(hypothesis).__name__}."
        )
    checks = experiment.run(plan, [skip] if isinstance(skip, str) else skip)
    return Evidence(hypothesis.claim, kind, checks, Provenance(model_name(model), task.name, seed))


def _check_text(model: HookedTransformer, tokens: torch.Tensor | None) -> None:
    if tokens is None:
        return
    if tokens.ndim != 2 or tokens.shape[1] < 3 or tokens.is_floating_point():
        raise ValueError(
            f"training_tokens are whole-number tokens [row pos] of at least 3 positions, not {tuple(tokens.shape)} of "
            f"{tokens.dtype}."
        )
    if int(tokens.min()) < 0 or int(tokens.max()) >= model.cfg.d_vocab:
        raise ValueError(f"training_tokens must lie between 0 and {model.cfg.d_vocab - 1}.")
