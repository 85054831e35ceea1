"""Steering: add a direction to the residual stream, and measure the effect and the cost.

A steering vector is the difference of mean activations between prompts that show a behaviour and prompts that do not
(Turner et al. 2023; Rimsky et al. 2024). `steered` adds it while a model reads or generates. `steering_curve` measures
the metric for several coefficients, compared with random directions of the same length, and the damage to other text.

How it misleads. A large vector changes the behaviour whatever its direction, if only by breaking the model: compare
with the random directions, and with the cost, at the same coefficient.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped

from mechscope.arguments import checked_arguments
from mechscope.model.layer_checks import check_layer
from mechscope.model.loss import lm_cross_entropy_loss
from mechscope.model.model_name import model_name
from mechscope.model.names import get_act_name
from mechscope.model.pass_positions import positions_of_passes
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import TextOrIds, Tokens
from mechscope.results import Provenance, Result, make_result
from mechscope.tasks.positions import Position, named_positions
from mechscope.tasks.task import Task
from mechscope.techniques._inputs import TaskOrTokens, check_finite, index_of_real, read_tokens
from mechscope.techniques._random_null import check_count
from mechscope.techniques._steering_positions import Positions, steering_positions
from mechscope.techniques.subspaces import random_subspaces
from mechscope.techniques.sweep import Edit, Sweep
from mechscope.techniques.sweep.task_sweep import Direction, TaskSweep

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

COEFFICIENTS = (-4.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 4.0)


@dataclass(frozen=True)
class SteeringCurve:
    """The effect and the cost of steering for each coefficient."""

    effect: Result
    """The metric, for the vector and for random directions ("series", "coefficient")."""
    divergence: Result
    """KL divergence of the steered predictions from the usual ones, in nats ("series", "coefficient")."""
    perplexity: Result
    """Perplexity of the same text ("series", "coefficient")."""

    def figure(self) -> Any:
        """The figure of the effect; `divergence` and `perplexity` have figures of their own."""
        return self.effect.figure()

    def show(self) -> None:
        """Display all three figures."""
        for result in (self.effect, self.divergence, self.perplexity):
            result.show()


@checked_arguments
def steering_vector(
    model: HookedTransformer,
    positive: TaskOrTokens,
    negative: Int[torch.Tensor, "negative negative_pos"] | TextOrIds | None = None,
    *,
    layer: int,
    positions: Sequence[str | int] | str | int | None = None,
    attention_mask: Shaped[torch.Tensor, "batch pos"] | None = None,
    negative_mask: Shaped[torch.Tensor, "negative negative_pos"] | None = None,
) -> Float[torch.Tensor, " d_model"]:
    """Mean residual stream before a layer on positive prompts, minus the mean on negative ones.

    Args:
        model: the model.
        positive: prompts that show the behaviour, as texts or tokens; or a task, whose clean prompts are positive and
            corrupted negative.
        negative: prompts that do not, unless `positive` is a task. They may have other lengths.
        layer: the residual stream is read before this layer (and should be added there).
        positions: where to read: names of a task's positions, or numbers, which count each prompt's real tokens
            (negative numbers from its end). By default the answer positions, or each prompt's last token.
        attention_mask: for plain tokens as positive prompts, True where a token is real; None uses their own mask.
        negative_mask: the same for the negative prompts.

    Raises:
        ValueError: for missing or superfluous negative prompts, a layer that does not exist, or equal means.

    >>> import mechscope as ms
    >>> model = ms.load_model("induction-2l")
    >>> task = ms.tasks.repeated_random_tokens(model, n=8, bos=128)
    >>> steering_vector(model, task, layer=1).shape
    torch.Size([128])
    >>> reader = ms.load_model("mini-gelu-1l")
    >>> steering_vector(reader, ["I love it", "What a joy"], ["I hate it", "How sad"], layer=0).shape
    torch.Size([64])
    """
    hook = _hook(model, layer)
    if isinstance(positive, Task):
        if negative is not None:
            raise ValueError("a task has its own negative prompts, the corrupted ones; leave `negative` out.")
        if attention_mask is not None or negative_mask is not None:
            raise ValueError(
                "a task knows its own padding, so leave the masks out; they are for plain tokens."
            )
        positive.check(model)
        places: list[Any] | None = None if positions is None else named_positions(positive, positions)
        means = [
            _mean_of_task(model, hook, tokens, places, positive)
            for tokens in (positive.clean, positive.corrupted)
        ]
    else:
        if negative is None:
            raise ValueError(
                "give negative prompts too, or a task, because a steering vector is a difference of means."
            )
        where = (
            [-1]
            if positions is None
            else [positions]
            if isinstance(positions, (int, str))
            else list(positions)
        )
        if any(isinstance(pos, str) for pos in where) or not where:
            raise ValueError(
                "only a task's positions have names; give numbers, such as -1 for the last position."
            )
        both = [read_tokens(model, positive, attention_mask), read_tokens(model, negative, negative_mask)]
        means = [_mean_of_tokens(model, hook, tokens, [int(pos) for pos in where]) for tokens in both]
    vector = means[0] - means[1]
    if float(vector.norm()) == 0:
        raise ValueError(
            f"positive and negative prompts have the same mean before layer {layer}, so there is no steering vector. "
            "The difference may not have reached these positions yet; try a later layer."
        )
    return vector


def _mean_of_task(
    model: HookedTransformer, hook: str, tokens: torch.Tensor, places: Sequence[Position] | None, task: Task
) -> torch.Tensor:
    activation = _stream(model, hook, tokens)
    if places is None:
        return task.at_answers(activation).mean((0, 1))
    return torch.stack([each.take(activation) for each in places]).mean((0, 1))


def _mean_of_tokens(
    model: HookedTransformer, hook: str, tokens: Tokens, positions: Sequence[int]
) -> torch.Tensor:
    where = torch.stack([index_of_real(tokens, position) for position in positions], 1)
    activation = _stream(model, hook, tokens)
    return activation[torch.arange(len(where), device=where.device)[:, None], where].mean((0, 1))


def _stream(model: HookedTransformer, hook: str, tokens: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, return_type=None, names_filter=hook)
    activation = at_least_float32(cache[hook])
    check_finite(activation, "the residual stream")
    return activation


@checked_arguments
@contextmanager
def steered(
    model: HookedTransformer,
    vector: Float[torch.Tensor, " d_model"],
    layer: int,
    coefficient: float = 1.0,
    *,
    positions: Positions | None = None,
    task: Task | None = None,
) -> Generator[HookedTransformer]:
    """Within the `with` block, add coefficient * vector before a layer, at all positions or at some.

    Works for forward passes, caching and generation:

        with steered(model, vector, layer=6, coefficient=4):
            text = model.generate("I think", max_new_tokens=20)

    Args:
        model: the model.
        vector: the direction [d_model].
        layer: the vector is added before this layer.
        coefficient: multiplies the vector.
        positions: where to add it. None: everywhere. "last": each prompt's last token; "prompt": all of its tokens;
            "generated": only tokens from `generate`; "all": both. Numbers count each prompt's real tokens, negative
            numbers from its end; an integer tensor [batch] has one number for each prompt; a mask [batch pos] selects
            positions directly. Names are those of the task's positions. Padding is never steered, and generation
            with and without a key/value cache gives the same result.
        task: defines the named positions.

    Raises:
        KeyError: for a name that the task does not have.
        ValueError: for a vector, layer or positions that do not fit; during a pass, for a position outside a prompt.
    """
    hook = _hook(model, layer)
    if not np.isfinite(coefficient):
        raise ValueError(f"the coefficient must be finite, not {coefficient}.")
    added = coefficient * _checked(model, vector)
    if positions is None:

        def add(residual: torch.Tensor, hook: Any) -> torch.Tensor:
            return (residual + added).to(residual.dtype)

        with model.hooks(fwd_hooks=[(hook, add)]):
            yield model
        return

    with positions_of_passes(model, steering_positions(positions, task)) as steered_now:

        def add_there(residual: torch.Tensor, hook: Any) -> torch.Tensor:
            where = steered_now.get()
            if where is None or where.shape != residual.shape[:2]:
                raise ValueError(
                    "steering at chosen positions needs calls of model(…) with tokens; this pass has a residual "
                    f"stream of shape {tuple(residual.shape)}, and its tokens are unknown."
                )
            return torch.where(where[..., None], (residual + added).to(residual.dtype), residual)

        with model.hooks(fwd_hooks=[(hook, add_there)]):
            yield model


@checked_arguments
def steering_curve(
    model: HookedTransformer,
    task: Task,
    vector: Float[torch.Tensor, " d_model"],
    layer: int,
    coefficients: Sequence[float] = COEFFICIENTS,
    *,
    text: Int[torch.Tensor, "batch pos"] | TextOrIds | None = None,
    positions: Positions | None = None,
    direction: Direction = "denoise",
    normalize: bool = True,
    n_random: int = 10,
    seed: int = 0,
    memory: int | None = None,
    progress: bool = True,
) -> SteeringCurve:
    """Measure the metric for several coefficients, compared with random directions, and the cost on other text.

    Args:
        model: the model.
        task: the prompts to steer, and the metric.
        vector: the direction [d_model], added before `layer` times each coefficient.
        layer: the layer.
        coefficients: the coefficients to try.
        text: text or tokens on which steering should change nothing; by default the prompts that are steered. Tokens
            that the model cannot predict (d_vocab_out below d_vocab) do not count in the perplexity.
        positions: where to add the vector, as in `steered`; None: everywhere. With `text`, only numbers, "last" or
            "prompt".
        direction: "denoise" steers the corrupted prompts (ideally towards the metric of the clean ones), "noise" the
            clean ones.
        normalize: report shares of the difference between clean and corrupted prompts, not the metric itself.
        n_random: random directions of the vector's length; their mean, lowest and highest are reported.
        seed: seed of their draw.
        memory: bytes that a batch may use.
        progress: show a progress bar.

    Raises:
        ValueError: for a vector, layer, text or task that does not fit, or no coefficients.
    """
    check_count(n_random)
    hook = _hook(model, layer)
    vector = _checked(model, vector)
    doses = [float(coefficient) for coefficient in coefficients]
    if not doses or not all(np.isfinite(doses)):
        raise ValueError(f"coefficients must be finite numbers, at least one, not {coefficients}.")
    chosen = None if positions is None else steering_positions(positions, task)
    if chosen is not None and chosen.generated:
        raise ValueError(
            "a curve is measured on prompts and generates nothing, so choose positions of the prompts."
        )
    if text is not None:
        if chosen is not None and not chosen.of_any_text:
            raise ValueError(
                'these positions belong to the prompts, not to the text: give numbers, "last" or "prompt", '
                "or leave the text out."
            )
        text = read_tokens(model, text)
    run = TaskSweep(model, task, direction, normalize=normalize, memory=memory, progress=progress)
    drawn = random_subspaces(len(vector), 1, n_random, seed)
    directions = [vector, *(each[:, 0].to(vector) * vector.norm() for each in drawn)]

    def edits(read: Tokens) -> list[Edit]:
        def value(added: torch.Tensor) -> torch.Tensor:
            everywhere = added.expand(*read.shape, -1)
            return everywhere if chosen is None else everywhere * chosen.within(read.is_real)[..., None]

        return [Edit(hook, value(dose * each), how="add") for each in directions for dose in doses]

    made_by = Provenance(model_name(model), task.name, seed)
    coords = {"coefficient": np.array(doses)}

    def lines(values: torch.Tensor, title: str, unit: str) -> Result:
        values = values.reshape(len(directions), len(doses))
        null = values[1:]
        rows = torch.stack([values[0], null.mean(0), null.amin(0), null.amax(0)])
        names = np.array(["steering vector", "random, mean", "random, lowest", "random, highest"])
        dims = ("series", "coefficient")
        return make_result(rows, dims, title, unit, made_by, {**coords, "series": names}, "curves")

    prompts = run.sweep.cache.tokens
    read = prompts if text is None else text
    _check_text(model, read, "the text" if text is not None else "each prompt (give other text as `text`)")
    effects = run.effects(edits(prompts), "steering")
    costs = _costs(model, read, edits(read), memory, progress)
    steered_prompts = "corrupted" if direction == "denoise" else "clean"
    of = f"the {steered_prompts} prompts" if text is None else "the text"
    return SteeringCurve(
        lines(
            effects,
            f"Steering the {steered_prompts} prompts before layer {layer}: {task.metric.name}",
            run.unit,
        ),
        lines(costs[:, 0], f"Change of predictions on {of} when steered before layer {layer}", "nats"),
        lines(costs[:, 1].double().exp(), f"Perplexity of {of}, steered before layer {layer}", "perplexity"),
    )


def _check_text(model: HookedTransformer, tokens: torch.Tensor, what: str) -> None:
    """Check that the perplexity is over at least one token."""
    if tokens.shape[1] < 2:
        raise ValueError(
            f"{what} needs at least two positions, because perplexity is measured from the second token on."
        )
    if not bool((tokens[:, 1:] < model.cfg.d_vocab_out).any()):
        raise ValueError(
            f"{what} needs a token that the model can predict: it predicts ids 0 to {model.cfg.d_vocab_out - 1}, but "
            f"from the second position on the tokens are {tokens[:, 1:].unique().tolist()[:5]}."
        )


def _costs(
    model: HookedTransformer,
    tokens: Tokens,
    edits: list[Edit],
    memory: int | None,
    progress: bool,
) -> Float[torch.Tensor, "intervention 2"]:
    """KL divergence from the unsteered predictions, and the loss, as means over real positions in nats."""
    sweep = Sweep(model, tokens, memory=memory, progress=progress)
    real = tokens.is_real
    predictable = tokens.ids < model.cfg.d_vocab_out
    counted = predictable[:, 1:] & real[:, 1:] & (real.long().cumsum(1)[:, :-1] > 0)
    following = tokens.ids.clamp(max=model.cfg.d_vocab_out - 1)
    usual = at_least_float32(sweep.base_logits).log_softmax(-1)

    def measure(logits: torch.Tensor) -> torch.Tensor:
        divergence = (usual.exp() * (usual - at_least_float32(logits).log_softmax(-1))).sum(-1)[real].mean()
        losses = lm_cross_entropy_loss(logits, following, tokens.attention_mask, True, across_padding=True)
        return torch.stack([divergence, losses[counted].mean()])

    return sweep.run(edits, measure, "cost of steering")


def _hook(model: HookedTransformer, layer: int) -> str:
    check_layer(model, layer)
    return get_act_name("resid_pre", layer)


def _checked(model: HookedTransformer, vector: torch.Tensor) -> torch.Tensor:
    if tuple(vector.shape) != (model.cfg.d_model,):
        raise ValueError(
            f"a steering vector for this model must have shape [{model.cfg.d_model}], not {tuple(vector.shape)}."
        )
    if not bool(torch.isfinite(vector).all()) or float(vector.norm()) == 0:
        raise ValueError("a steering vector must be finite and not zero.")
    return at_least_float32(vector.detach()).to(model.W_E.device)
