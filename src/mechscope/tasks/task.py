"""A task: the behaviour under study, in one object that every technique takes.

It holds clean prompts on which a model shows the behaviour, corrupted prompts of the same length that
give no reason for it, the answers, the named positions, and the metric.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Float, Int

from mechscope.arguments import visible
from mechscope.model.slice import chosen_indices
from mechscope.model.token_batch import Tokens, plain_ids
from mechscope.model.token_ids import token_ids
from mechscope.tasks.left_out import LeftOut
from mechscope.tasks.metrics import METRICS, Answers, Metric, get_metric

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


def numbered(texts: Sequence[str]) -> tuple[str, ...]:
    """Label tokens with their positions, as in "3 John", so that equal tokens get different labels."""
    return tuple(f"{pos} {visible(text)}" for pos, text in enumerate(texts))


@dataclass(frozen=True)
class Task:
    """Clean and corrupted prompts, answers, named positions and a metric.

    Raises:
        ValueError: if the parts do not fit together, or clean and corrupted prompts are the same.
    """

    name: str
    """Short name for titles: "IOI"."""
    clean: Int[torch.Tensor, "batch pos"]
    """Prompts that show the behaviour, padded on the right if lengths differ; stored as `Tokens`."""
    corrupted: Int[torch.Tensor, "batch pos"]
    """Their corrupted counterparts, aligned token by token; stored as `Tokens`."""
    answers: Answers
    """The answer positions, and the right and wrong tokens there."""
    metric: Metric = METRICS["logit_difference"]
    """What to measure."""
    positions: Mapping[str, Int[torch.Tensor, " batch"]] = field(default_factory=dict)
    """Named positions, such as "S2" and "end", one per example."""
    lengths: Int[torch.Tensor, " batch"] | None = None
    """How many tokens of each prompt are not padding; None if all are."""
    templates: Int[torch.Tensor, " batch"] | None = None
    """The template of each prompt, for averages by template."""
    labels: tuple[tuple[str, ...], ...] | None = None
    """The clean prompts' tokens as text, `[batch][pos]`, for figures."""
    corruption: str = ""
    """A description of what the corruption changes."""
    seed: int | None = None
    """Seed of the random draw."""
    left_out: tuple[LeftOut, ...] = ()
    """Words that no prompt contains, because they are several tokens in this vocabulary."""

    def __post_init__(self) -> None:
        for name in ("clean", "corrupted"):
            object.__setattr__(self, name, token_ids(getattr(self, name), f"{self.name}: {name} prompts"))
        if self.clean.ndim != 2 or self.clean.numel() == 0:
            raise ValueError(
                f"{self.name}: prompts must be tokens [batch pos], not {tuple(self.clean.shape)}."
            )
        if self.clean.shape != self.corrupted.shape:
            raise ValueError(
                f"{self.name}: clean prompts have shape {tuple(self.clean.shape)} and corrupted ones "
                f"{tuple(self.corrupted.shape)}; patching replaces one with the other, so both prompts of a pair must "
                "have the same number of tokens."
            )
        for prompts in ("clean", "corrupted"):
            object.__setattr__(self, prompts, self._with_mask(getattr(self, prompts), prompts))
        batch, length = self.clean.shape
        if len(self.answers.positions) != batch:
            raise ValueError(
                f"{self.name}: {batch} prompts but {len(self.answers.positions)} rows of answers."
            )
        sites = {"answers": self.answers.positions, **self.positions}
        for name, where in sites.items():
            if len(where) != batch or bool((where < 0).any()) or bool((where >= length).any()):
                raise ValueError(
                    f"{self.name}: {name!r} needs one position for each of {batch} prompts, between 0 and "
                    f"{length - 1}."
                )
        if bool((self.clean == self.corrupted).all()):
            raise ValueError(
                f"{self.name}: clean and corrupted prompts are identical, so there is nothing to explain."
            )

    def _with_mask(self, tokens: torch.Tensor, which: str) -> Tokens:
        """The prompts as `Tokens`, with padding according to `lengths`."""
        mask = self.attention_mask
        known = tokens.attention_mask if isinstance(tokens, Tokens) else None
        if known is not None and (mask is None or not torch.equal(known, mask.to(known.device))):
            raise ValueError(
                f"{self.name}: the {which} prompts have padding that contradicts `lengths`. A task's prompts are "
                "padded on the right and have `lengths`; tasks.from_tokens makes a task from any padded batch."
            )
        return Tokens(plain_ids(tokens), mask)

    @property
    def n_examples(self) -> int:
        """How many pairs of prompts."""
        return len(self.clean)

    @property
    def length(self) -> int:
        """Number of positions, including padding."""
        return self.clean.shape[1]

    @property
    def aligned(self) -> bool:
        """Whether each position means the same in every prompt, so that effects can be reported per position."""
        same_length = self.lengths is None or len(self.lengths.unique()) == 1
        where = [self.answers.positions, *(named[:, None] for named in self.positions.values())]
        return same_length and all(bool((site == site[:1]).all()) for site in where)

    @property
    def attention_mask(self) -> Bool[torch.Tensor, "batch pos"] | None:
        """True where a token is not padding; None if there is no padding."""
        if self.lengths is None:
            return None
        return torch.arange(self.length, device=self.lengths.device) < self.lengths[:, None]

    @property
    def real_tokens(self) -> Bool[torch.Tensor, "batch pos"]:
        """True where a token is not padding; never None."""
        mask = self.attention_mask
        return torch.ones(self.clean.shape, dtype=torch.bool) if mask is None else mask

    def position_labels(self) -> list[str]:
        """A label for every position, such as "3 John", taken from the first prompt if it represents all."""
        if self.labels is None:
            return [str(pos) for pos in range(self.length)]
        named = {int(where[0]): name for name, where in self.positions.items()} if self.aligned else {}
        if self.templates is not None and len(self.templates.unique()) > 1:
            return [named.get(pos, str(pos)) for pos in range(self.length)]
        return list(numbered(self.labels[0]))

    # Measuring ------------------------------------------------------------------------------

    def logits(
        self, model: HookedTransformer, tokens: Int[torch.Tensor, "batch pos"]
    ) -> Float[torch.Tensor, "batch answer d_vocab"]:
        """The model's logits at the answer positions; only those are unembedded."""
        residual = model(
            tokens, stop_at_layer=model.cfg.n_layers, attention_mask=self.real_tokens, return_type=None
        )
        return self.logits_at_answers(model, residual)

    def logits_at_answers(
        self, model: HookedTransformer, residual: Float[torch.Tensor, "batch pos d_model"]
    ) -> Float[torch.Tensor, "batch answer d_vocab"]:
        """The logits where answers are due, from the residual stream after the last block."""
        return model.unembed(model.ln_final(self.at_answers(residual)))

    def at_answers(self, activation: torch.Tensor) -> torch.Tensor:
        """Select an activation [batch pos ...] at the answer positions: [batch answer ...]."""
        where = self.answers.positions.to(activation.device)
        return activation[torch.arange(len(where), device=activation.device)[:, None], where]

    def measure(
        self,
        logits: Float[torch.Tensor, "batch answer d_vocab"],
        reference: Float[torch.Tensor, "batch answer d_vocab"] | None = None,
    ) -> Float[torch.Tensor, " batch"]:
        """The metric of each example, from logits at the answer positions (see `logits`).

        Raises:
            ValueError: if the metric does not return one number per example.
        """
        values = self.metric(logits, self.answers, reference)
        if tuple(values.shape) != (len(logits),):
            raise ValueError(
                f"the metric {self.metric.name!r} returned shape {tuple(values.shape)} for {len(logits)} examples; it "
                "must return one number per example [batch]."
            )
        return values

    def baselines(self, model: HookedTransformer) -> Baselines:
        """The metric on the clean and on the corrupted prompts, checked to differ.

        Raises:
            ValueError: if a value is not finite, or the two are so close that dividing by their difference
                is meaningless.
        """
        self.check(model)
        with torch.no_grad():
            clean_logits = self.logits(model, self.clean)
            corrupted_logits = self.logits(model, self.corrupted)
            return self.compare(clean_logits, corrupted_logits)

    def compare(
        self,
        clean_logits: Float[torch.Tensor, "batch answer d_vocab"],
        corrupted_logits: Float[torch.Tensor, "batch answer d_vocab"],
    ) -> Baselines:
        """`baselines`, from the logits of both kinds of prompts at the answers."""
        clean = self.measure(clean_logits, clean_logits)
        corrupted = self.measure(corrupted_logits, clean_logits)
        return Baselines(clean, corrupted, clean_logits if self.metric.needs_reference else None)

    def check(self, model: HookedTransformer) -> None:
        """Check that the prompts fit the model, before any long computation.

        Raises:
            ValueError: for tokens outside the model's vocabulary, or prompts longer than its context.
        """
        if self.length > model.cfg.n_ctx:
            raise ValueError(
                f"{self.name} has {self.length} positions; this model's context is n_ctx={model.cfg.n_ctx}."
            )
        highest = int(max(self.clean.max(), self.corrupted.max()))
        if highest >= model.cfg.d_vocab:
            raise ValueError(
                f"{self.name} uses token id {highest}; this model knows ids 0 to {model.cfg.d_vocab - 1}. Was the "
                "task made with another model's tokenizer?"
            )
        highest = self.answers.highest
        if highest >= model.cfg.d_vocab_out:
            raise ValueError(
                f"{self.name} has an answer with token id {highest}; this model predicts ids 0 to "
                f"{model.cfg.d_vocab_out - 1}."
            )

    # Variations -----------------------------------------------------------------------------

    def with_metric(self, metric: str | Metric) -> Task:
        """The same task with another metric."""
        return dataclasses.replace(self, metric=get_metric(metric))

    def select(self, examples: int | Sequence[int] | Sequence[bool] | torch.Tensor | slice) -> Task:
        """Some of the examples: by slice, by number, or by a mask [batch].

        Raises:
            ValueError: for anything else, numbers out of range, or an empty choice.
        """
        rows = chosen_indices(examples, self.n_examples, f"examples of {self.name}")
        chosen = torch.tensor(rows)

        def pick(values: Any) -> Any:
            return None if values is None else values[chosen]

        return dataclasses.replace(
            self,
            clean=self.clean[chosen],
            corrupted=self.corrupted[chosen],
            answers=self.answers.select(chosen),
            positions={name: where[chosen] for name, where in self.positions.items()},
            lengths=pick(self.lengths),
            templates=pick(self.templates),
            labels=None if self.labels is None else tuple(self.labels[row] for row in rows),
        )

    def split(self, share: float = 0.5) -> tuple[Task, Task]:
        """Two tasks, with the first `share` of the examples and with the rest, for discovery and for testing."""
        cut = round(self.n_examples * share)
        if not 0 < cut < self.n_examples:
            raise ValueError(f"a share of {share} of {self.n_examples} examples leaves one part empty.")
        return self.select(slice(0, cut)), self.select(slice(cut, None))

    def __repr__(self) -> str:
        answers = self.answers.positions.shape[1]
        return (
            f"<task {self.name}: {self.n_examples} pairs of {self.length} tokens, {answers} "
            f"answer{'s' if answers > 1 else ''} each, {self.metric.name}{self._without()}>"
        )

    def _without(self) -> str:
        counts = ", ".join(each.count for each in self.left_out)
        return f"; without {counts} that are several tokens here" if counts else ""


@dataclass(frozen=True)
class Baselines:
    """The metric on the clean and on the corrupted prompts."""

    clean: Float[torch.Tensor, " batch"]
    """The metric of each clean prompt."""
    corrupted: Float[torch.Tensor, " batch"]
    """The metric of each corrupted prompt."""
    reference: Float[torch.Tensor, "batch answer d_vocab"] | None = None
    """The clean logits at the answers if the metric compares with them; otherwise None, because the logits of a large
    vocabulary take much memory. `task.logits(model, task.clean)` computes them."""

    def __post_init__(self) -> None:
        for name, values in self._sides:
            if not bool(torch.isfinite(values).all()):
                raise ValueError(
                    f"the metric is not finite on {int((~torch.isfinite(values)).sum())} of {len(values)} {name} "
                    "prompts: does the model give NaN?"
                )

    @property
    def difference(self) -> float:
        """Mean clean metric minus mean corrupted metric: the effect to explain."""
        return float(self.clean.mean() - self.corrupted.mean())

    def check_difference(self) -> float:
        """The difference, checked to be large enough to divide by.

        Raises:
            ValueError: if it is near zero compared with the size of the metric.
        """
        spread = float(torch.cat([self.clean, self.corrupted]).abs().mean())
        if abs(self.difference) <= 1e-4 * max(spread, 1e-6):
            raise ValueError(
                f"clean and corrupted prompts score alike ({float(self.clean.mean()):.6g} and "
                f"{float(self.corrupted.mean()):.6g}), so dividing by their difference is meaningless: the model does "
                "not show the behaviour, or the corruption does not remove it. normalize=False gives raw values."
            )
        return self.difference

    @property
    def clean_logits(self) -> Float[torch.Tensor, "batch answer d_vocab"]:
        """Deprecated: use `reference`, or compute logits with `task.logits`."""
        return self._no_longer_kept("clean", self.reference)

    @property
    def corrupted_logits(self) -> Float[torch.Tensor, "batch answer d_vocab"]:
        """Deprecated: compute logits with `task.logits`."""
        return self._no_longer_kept("corrupted", None)

    @staticmethod
    def _no_longer_kept(which: str, logits: torch.Tensor | None) -> torch.Tensor:
        instead = f"task.logits(model, task.{which})"
        if logits is None:
            raise ValueError(
                f"baselines no longer keep the {which} logits, which take much memory; {instead} computes them."
            )
        warnings.warn(
            f"Baselines.{which}_logits is deprecated: use {instead}.", DeprecationWarning, stacklevel=3
        )
        return logits

    def __repr__(self) -> str:
        means = (f"{name} {float(values.mean()):.4g}" for name, values in self._sides)
        return f"<baselines of {len(self.clean)} prompts: {', '.join(means)} on average>"

    @property
    def _sides(self) -> tuple[tuple[str, torch.Tensor], tuple[str, torch.Tensor]]:
        return (("clean", self.clean), ("corrupted", self.corrupted))
