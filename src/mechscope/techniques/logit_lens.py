"""The logit lens: what the model would predict if it ended after each layer.

Source: nostalgebraist 2020, "interpreting GPT: the logit lens".

How it misleads. The lens applies the *final* norm, with the mean and scale of the early residual stream, and an
unembedding that was trained for the last layer. Early layers may use another basis, which the lens reads as noise
(for that reason Belrose et al. 2023 train a map for each layer), and a stream with a small norm is scaled up to full
size, which makes early guesses look more confident than they are. An answer that is readable at a layer is not
necessarily used there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped
from tqdm.auto import tqdm

from mechscope.arguments import checked_arguments, visible_token
from mechscope.model.final_residual import final_residual, final_residual_names
from mechscope.model.precision import at_least_float32
from mechscope.model.token_ids import token_ids
from mechscope.model.token_texts import token_texts
from mechscope.results import Result, make_result
from mechscope.tasks.metrics import log_probability_of, mean_logit
from mechscope.techniques._inputs import (
    Prompts,
    TaskOrTokens,
    as_prompts,
    check_finite,
    numbered,
    token_labels,
)
from mechscope.viz.token_grid import token_grid

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

MEASURES = {
    "logit": ("logit of the target", "logits"),
    "probability": ("probability of the target", "probability"),
    "rank": ("rank of the target (0 is first)", "rank"),
    "kl": ("distance from the final prediction", "nats"),
}
CAVEAT = "final norm with each layer's own scale"


@dataclass(frozen=True)
class LogitLens:
    """The predictions readable at the start of each layer, through the final norm and the unembedding.

    The coordinate `layer` counts the layers that have run: 0 is the embedding, 0.5 is between the attention and the
    MLP of layer 0, and the last is the model's output.
    """

    logit: Result
    """Logit of the target (layer, pos)."""
    probability: Result
    """Probability of the target; of the whole set if several tokens are right."""
    rank: Result
    """How many tokens have a larger logit than the target (0 is the top); for several right tokens, than the best."""
    kl: Result
    """KL divergence between the model's output and the lens, in nats; 0 at the last layer."""
    top_probability: Result
    """Probabilities of the top tokens for every prompt (batch, layer, pos, rank). The labels "token" and "token_id" say
    which tokens; if the model has no tokenizer, there are only ids."""
    top_tokens: Int[torch.Tensor, "batch layer pos rank"]
    """Their ids; -1 at padding."""
    top_texts: tuple[tuple[tuple[str, ...], ...], ...]
    """The first prompts' top token exactly as in the text, `[batch][layer][pos]`; "" at padding."""
    labels: tuple[tuple[str, ...], ...]
    """The tokens of those prompts; "" for padding before a token, nothing for padding at the end."""

    def figure(self, example: int = 0) -> Any:
        """The top token at every layer and position of one prompt, coloured by its probability.

        Raises:
            ValueError: for a prompt whose text was not stored.
        """
        if not 0 <= example < len(self.top_texts):
            raise ValueError(
                f"the text of prompt {example} was not stored, only that of the first {len(self.top_texts)}."
            )
        values = self.top_probability.values.isel(batch=example, rank=0)
        kept = [column for column, label in enumerate(self.labels[example]) if label]
        return token_grid(
            values.values[:, kept],
            [[row[column] for column in kept] for row in self.top_texts[example]],
            title=f"Logit lens: top token after each layer ({CAVEAT})",
            x_title="position and token",
            y_title="layers that have run",
            unit="probability",
            x=[self.labels[example][column] for column in kept],
            y=[f"{layer:g}" for layer in values.coords["layer"].values],
        )

    def __repr__(self) -> str:
        sizes = self.top_probability.values.sizes
        lines = [
            f"<logit lens: batch {sizes['batch']}, layer {sizes['layer']}, pos {sizes['pos']}; "
            f"{self.top_probability.provenance}>"
        ]
        if self.top_texts and self.labels[0]:
            column = len(self.labels[0]) - 1
            depths = self.top_probability.values.coords["layer"].values
            tops = (
                f"{depth:g}: {visible_token(row[column])}"
                for depth, row in zip(depths, self.top_texts[0], strict=True)
            )
            lines.append(
                f"  top token at {self.labels[0][column]!r} of prompt 0, by layers that have run:  {'  '.join(tops)}"
            )
        return "\n".join(lines)

    def show(self, example: int = 0) -> Any:
        """Display the figure of one prompt and return it."""
        figure = self.figure(example)
        figure.show()
        return figure


@checked_arguments
def logit_lens(
    model: HookedTransformer,
    data: TaskOrTokens,
    *,
    incl_mid: bool = False,
    targets: Int[torch.Tensor, "batch pos"] | None = None,
    average: bool = True,
    top: int = 5,
    batch_size: int = 16,
    keep_text: int = 8,
    progress: bool = True,
    attention_mask: Shaped[torch.Tensor, "batch pos"] | None = None,
) -> LogitLens:
    """Read the residual stream at the start of every layer through the final norm and the unembedding.

    Args:
        data: a task (its clean prompts), or tokens [batch pos].
        incl_mid: also read between attention and MLP, if the block has that point.
        targets: the token at each position whose logit, probability and rank are reported [batch pos]. If omitted:
            for a task with one answer per prompt, that answer at every position; for a task with several, each answer
            at its own position, and NaN elsewhere; for tokens, the model's final prediction at each position.
        average: average over prompts (layer, pos); False keeps them (batch, layer, pos). If positions mean different
            things in different prompts, the mean is over the answer positions only (layer).
        top: how many top tokens to store.
        batch_size: prompts per pass.
        keep_text: for how many prompts to store the text of the figure.
        progress: show a progress bar.
        attention_mask: for plain tokens, True where a token is real; None uses their own mask. Padding is NaN.

    Units: logits, probability, tokens (rank), nats (KL).

    Raises:
        ValueError: for prompts the model cannot read, targets that do not fit, or a model that gives NaN.

    >>> import mechscope as ms
    >>> model = ms.load_model("induction-2l")
    >>> lens = logit_lens(model, ms.tasks.repeated_random_tokens(model, n=4, bos=128), progress=False)
    >>> float(lens.kl.values.sel(layer=2).max())
    0.0
    """
    prompts = as_prompts(model, data, attention_mask=attention_mask)
    if not 1 <= top <= model.cfg.d_vocab_out:
        raise ValueError(
            f"top must be between 1 and the vocabulary of {model.cfg.d_vocab_out} tokens, not {top}."
        )
    wanted = None if targets is None else _own_targets(model, prompts, targets)
    if wanted is None and prompts.task is not None:
        wanted = _task_targets(prompts)
    names, layers = _points(model, incl_mid)
    rows: list[torch.Tensor] = []
    probabilities: list[torch.Tensor] = []
    tokens: list[torch.Tensor] = []
    batches = list(prompts.batches(batch_size))
    for batch in tqdm(batches, desc="logit lens", disable=not progress or len(batches) < 2):
        values, best = _read(model, prompts, batch, names, None if wanted is None else wanted[batch], top)
        rows.append(values)
        probabilities.append(best.values)
        tokens.append(best.indices)
    measured = torch.cat(rows, 1)
    results = {
        name: _result(prompts, measured[index], layers, name, average) for index, name in enumerate(MEASURES)
    }
    top_tokens = torch.cat(tokens).cpu()
    return LogitLens(
        **results,
        top_probability=make_result(
            torch.cat(probabilities),
            ("batch", "layer", "pos", "rank"),
            f"logit lens: probability of the top tokens ({CAVEAT})",
            "probability",
            prompts.provenance,
            {"layer": layers, "pos": np.array(prompts.labels)},
            labels=token_labels(model, top_tokens, ("batch", "layer", "pos", "rank")),
        ),
        top_tokens=top_tokens,
        top_texts=_texts(model, top_tokens[:keep_text, :, :, 0]),
        labels=_labels(model, prompts, keep_text),
    )


_END = "the end"
"""Represents the residual stream after the last block, which may be the sum of two activations."""


def _points(model: HookedTransformer, incl_mid: bool) -> tuple[list[str], list[float]]:
    """Hook names of the stream at the start of each layer, and how many layers have run before each."""
    names: list[str] = []
    layers: list[float] = []
    for layer in range(model.cfg.n_layers):
        names.append(f"blocks.{layer}.hook_resid_pre")
        layers.append(layer)
        middle = f"blocks.{layer}.hook_resid_mid"
        if incl_mid and middle in model.hook_dict:
            names.append(middle)
            layers.append(layer + 0.5)
    names.append(_END)
    layers.append(model.cfg.n_layers)
    return names, layers


def _read(
    model: HookedTransformer,
    prompts: Prompts,
    rows: slice,
    names: list[str],
    targets: Int[torch.Tensor, "batch pos choice"] | None,
    top: int,
) -> tuple[Float[torch.Tensor, "measure batch layer pos"], torch.return_types.topk]:
    """The four measures and the top tokens of some prompts, with the logits of one layer in memory at a time."""
    with torch.no_grad():
        _, cache = model.run_with_cache(
            prompts.tokens[rows],
            return_type=None,
            names_filter=[*names[:-1], *final_residual_names(model.cfg)],
            attention_mask=prompts.mask_of(rows),
        )
        final = _logits(model, final_residual(model.cfg, cache.__getitem__))
        check_finite(final, "the logits")
        final_log = final.log_softmax(-1)
        wanted = final.argmax(-1, keepdim=True) if targets is None else targets
        measures: list[torch.Tensor] = []
        best: list[Any] = []
        for name in names:
            logits = final if name == _END else _logits(model, cache[name])
            log_probabilities = logits.log_softmax(-1)
            kl = (final_log.exp() * (final_log - log_probabilities)).sum(-1)
            chosen = log_probability_of(logits, wanted).exp()
            measures.append(torch.stack([mean_logit(logits, wanted), chosen, _rank(logits, wanted), kl]))
            best.append(log_probabilities.exp().topk(top, dim=-1))
    values = torch.stack(measures, 2)
    missing = (wanted < 0).all(-1)[:, None].expand_as(values[0])
    values[:3, missing] = torch.nan
    values[:, ~prompts.real[rows][:, None].expand_as(values[0])] = torch.nan
    padding = ~prompts.real[rows][:, None, :, None]
    probabilities = torch.stack([one.values for one in best], 1).masked_fill(padding, torch.nan)
    ids = torch.stack([one.indices for one in best], 1).masked_fill(padding, -1)
    return values, torch.return_types.topk((probabilities, ids))


def _logits(model: HookedTransformer, residual: torch.Tensor) -> torch.Tensor:
    """The model's logits if it ended here, in float32 or better."""
    return at_least_float32(model.unembed(model.ln_final(residual)))


def _rank(logits: torch.Tensor, targets: Int[torch.Tensor, "batch pos choice"]) -> torch.Tensor:
    """How many tokens have a larger logit than the best target [batch pos]."""
    chosen = logits.gather(-1, targets.clamp(min=0)).masked_fill(targets < 0, -torch.inf)
    return (logits > chosen.max(-1, keepdim=True).values).sum(-1).to(logits)


def _own_targets(model: HookedTransformer, prompts: Prompts, targets: torch.Tensor) -> torch.Tensor:
    targets = token_ids(targets, "targets").to(prompts.tokens.device)
    if targets.shape != prompts.tokens.shape:
        raise ValueError(
            f"targets have shape {tuple(targets.shape)} and the prompts {tuple(prompts.tokens.shape)}; give one "
            "token per position."
        )
    if int(targets.max()) >= model.cfg.d_vocab_out:
        raise ValueError(
            f"target {int(targets.max())} is out of range: there are {model.cfg.d_vocab_out} tokens."
        )
    return targets[..., None]


def _task_targets(prompts: Prompts) -> Int[torch.Tensor, "batch pos choice"]:
    """The right tokens at every position, -1 at positions without an answer."""
    assert prompts.task is not None
    answers = prompts.task.answers.to(prompts.tokens.device)
    batch, length = prompts.tokens.shape
    if answers.positions.shape[1] == 1:
        return answers.correct.expand(-1, length, -1)
    targets = answers.correct.new_full((batch, length, answers.correct.shape[2]), -1)
    targets[torch.arange(batch, device=targets.device)[:, None], answers.positions] = answers.correct
    return targets


def _result(
    prompts: Prompts,
    values: Float[torch.Tensor, "batch layer pos"],
    layers: list[float],
    name: str,
    average: bool,
) -> Result:
    what, unit = MEASURES[name]
    title = f"logit lens: {what} ({CAVEAT})"
    coords: dict[str, Any] = {"layer": layers, "pos": np.array(prompts.labels)}
    task = prompts.task
    if not average:
        return make_result(
            values,
            ("batch", "layer", "pos"),
            title,
            unit,
            prompts.provenance,
            coords,
            labels=prompts.at_positions,
        )
    if task is not None and not task.aligned:
        at_answers = task.at_answers(values.movedim(1, 2)).mean((0, 1))
        where = f"{title}, at the answers"
        return make_result(at_answers, ("layer",), where, unit, prompts.provenance, {"layer": layers})
    return make_result(
        _mean(values), ("layer", "pos"), title, unit, prompts.provenance, coords, labels=prompts.at_positions
    )


def _mean(values: Float[torch.Tensor, "batch layer pos"]) -> Float[torch.Tensor, "layer pos"]:
    """The mean over prompts without NaN; NaN if there are none."""
    there = ~values.isnan()
    return values.nan_to_num(0.0).sum(0) / there.sum(0)


def _texts(
    model: HookedTransformer, tokens: Int[torch.Tensor, "batch layer pos"]
) -> tuple[tuple[tuple[str, ...], ...], ...]:
    return tuple(
        tuple(tuple(token_texts(model, [token])[0] if token >= 0 else "" for token in row) for row in prompt)
        for prompt in tokens.tolist()
    )


def _labels(model: HookedTransformer, prompts: Prompts, count: int) -> tuple[tuple[str, ...], ...]:
    task = prompts.task
    labels: list[tuple[str, ...]] = []
    for row, tokens in enumerate(prompts.tokens[:count]):
        real = tokens.is_real.nonzero()[:, 0].tolist()
        if task is not None and task.labels is not None:
            texts = [task.labels[row][column] for column in real]
        else:
            texts = token_texts(model, tokens.ids[real])
        found = dict(zip(real, numbered(texts), strict=True))
        labels.append(tuple(found.get(column, "") for column in range(real[-1] + 1)))
    return tuple(labels)
