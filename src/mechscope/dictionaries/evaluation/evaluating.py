"""All metrics of a dictionary in one call: on activations, or inside the model they come from."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.evaluation._batches import Activations, Codes, batches
from mechscope.dictionaries.evaluation._fidelity import Fidelity, SplitSums
from mechscope.dictionaries.evaluation._reading import limits_in_model, read_activations
from mechscope.dictionaries.evaluation.density import Activity
from mechscope.dictionaries.evaluation.recovery import Recovery, feature_recovery
from mechscope.dictionaries.evaluation.splicing import Splice, spliced_loss
from mechscope.dictionaries.head import head_read, head_written
from mechscope.dictionaries.outliers import NO_LIMITS, OutlierLimits, estimate_limits, trained_limits
from mechscope.dictionaries.position_mask import (
    ExcludeTokens,
    excluded_ids,
    first_skipped,
    position_mask,
    tokens_with_mask,
)
from mechscope.dictionaries.stream import Batch
from mechscope.dictionaries.trained_positions import trained_positions
from mechscope.model.massive_activations import SAMPLE
from mechscope.model.model_name import model_name
from mechscope.model.token_ids import is_text
from mechscope.results import Provenance, Result, make_result

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a dictionary on some activations."""

    examples: int
    """Number of activation vectors, without outliers."""
    l0: float
    """Active features per example."""
    fvu: float
    """Fraction of variance unexplained: 0 is perfect, predicting the mean gives 1."""
    cosine: float
    """Mean cosine of activation and reconstruction."""
    bias: float
    """Relative reconstruction bias: below 1, reconstructions are too short."""
    length_ratio: float
    """Mean length of reconstructions over that of activations."""
    activity: Activity
    """How often each feature was active: densities, dead share, histogram."""
    splice: Splice | None
    """What splicing it in costs the model, in nats; None without a model."""
    recovery: Recovery | None
    """How well it recovered the true features; None if they were not given."""
    provenance: Provenance
    """The provenance of the activations."""
    outliers: int = 0
    """Number of massive activations, which all other figures leave out (see `mechscope.model.massive_activations`)."""
    with_outliers: Fidelity | None = None
    """The metrics of reconstructions with the outliers; None if there are none."""
    outlier_limits: OutlierLimits = NO_LIMITS
    """The lengths above which activations are outliers."""

    @property
    def table(self) -> Result:
        """One number per measure, in the order in which they should be read."""
        rows: dict[str, float] = {
            "L0": self.l0,
            "fraction of variance unexplained": self.fvu,
            "cosine similarity": self.cosine,
            "relative reconstruction bias": self.bias,
            "length ratio": self.length_ratio,
            "dead share": self.activity.dead_share,
        }
        if self.splice is not None:
            rows |= {
                "CE of the model (nats)": self.splice.ce,
                "ΔCE spliced in (nats)": self.splice.delta_ce,
                "ΔCE zero ablation (nats)": self.splice.ce_zero - self.splice.ce,
                "ΔCE mean ablation (nats)": self.splice.ce_mean - self.splice.ce,
                "loss recovered, zero ablation": self.splice.recovered_zero,
                "loss recovered, mean ablation": self.splice.recovered_mean,
                "KL spliced in (nats)": self.splice.kl,
            }
        if self.recovery is not None:
            rows |= {
                "MMCS, true to learned": self.recovery.mmcs,
                "MMCS, learned to true": self.recovery.mmcs_back,
                "mean matched cosine": self.recovery.mean_matched,
                "true features found at 0.9": self.recovery.share_found(0.9),
            }
        if self.with_outliers is not None:
            rows |= {
                "fraction of variance unexplained, with outliers": self.with_outliers.fvu,
                "cosine similarity, with outliers": self.with_outliers.cosine,
                "relative reconstruction bias, with outliers": self.with_outliers.bias,
            }
        if self.splice is not None and self.splice.delta_ce_outliers_spliced is not None:
            rows["ΔCE, outliers spliced in too (nats)"] = self.splice.delta_ce_outliers_spliced
        return make_result(
            list(rows.values()),
            ("measure",),
            f"Dictionary on {self.examples} activations",
            "see measure",
            self.provenance,
            {"measure": list(rows)},
            kind="bars",
        )

    @property
    def densities(self) -> Result:
        """Histogram of log10 densities."""
        return self.activity.histogram(self.provenance)

    def __str__(self) -> str:
        table = self.table
        names = [str(name) for name in table.values.coords["measure"].values]
        return measure_lines(dict(zip(names, table.values.values.tolist(), strict=True)))


def measure_lines(measures: Mapping[str, float]) -> str:
    """A line for each measure.

    >>> print(measure_lines({"L0": 4.0, "dead share": 0.25}))
    L0          4
    dead share  0.25
    """
    width = max(map(len, measures))
    return "\n".join(f"{name:<{width}}  {number:.4g}" for name, number in measures.items())


@checked_arguments
def evaluate(
    dictionary: Codes,
    data: Activations | Int[Tensor, "batch pos"] | str | list[str],
    *,
    model: HookedTransformer | None = None,
    hook_name: str | None = None,
    hook_out: str | None = None,
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
    skip_first: int | None = None,
    exclude_special_tokens: ExcludeTokens | None = None,
    head: int | None = None,
    head_out: int | None = None,
    truth: Float[Tensor, "true d_model"] | None = None,
    outlier_limits: OutlierLimits | None = None,
    batch_size: int = 4096,
    text_batch_size: int = 8,
    name: str = "activations",
    progress: bool = False,
) -> Evaluation:
    """Compute all metrics of a dictionary, batch by batch: only one batch's features are in memory at a time, but the
    metrics are those of all examples together.

    Massive activations are left out, and the most important metrics are repeated with them, because a handful of them
    decides the variance of all activations (Sun et al. 2024, "Massive Activations in Large Language Models").

    Args:
        dictionary: a dictionary from `mechscope.dictionaries`, or anything that encodes and decodes.
        data: activations [*batch d_in] (or pairs of a transcoder's inputs and targets), as one tensor or a stream of
            tensors; with a model, texts or tokens [batch pos].
        model: the model to read activations from and to splice the dictionary into.
        hook_name: the hook point that the dictionary reads; needed with a model.
        hook_out: the hook point that a transcoder writes to.
        attention_mask: with a model, True where a token is real; None uses the tokens' own mask (see
            `model.as_tokens`).
        skip_first: with a model, how many real tokens to exclude at the start of each text; None uses the
            dictionary's metadata, or 0.
        exclude_special_tokens: with a model, True to exclude the tokenizer's special tokens (begin, end, padding …) at
            any position, or ids of the tokens to exclude. Attention still sees them.
        head: with a model, the head that the dictionary reads; None uses "hook_head_index" from its metadata, or all
            heads.
        head_out: the same for the head that a transcoder writes.
        truth: true feature directions, if they are known, to compare with W_dec.
        outlier_limits: the lengths above which activations are outliers; None uses the dictionary's metadata, or, if
            it was trained without limits, 25 times the median length of the first 4,096 activations. `NO_LIMITS`
            leaves nothing out.
        batch_size: activation vectors per batch.
        text_batch_size: with a model, texts per batch.
        name: name of the activations in the provenance.

    Raises:
        KeyError: for a hook point that the model does not have.
        ValueError: for activations that do not fit or are not finite, or settings that contradict each other.
    """
    given = {"hook_name": hook_name, "hook_out": hook_out, "attention_mask": attention_mask}
    given |= {"head": head, "head_out": head_out}
    if model is None:
        extra = [key for key, value in given.items() if value is not None] + ["skip_first"] * bool(skip_first)
        extra += ["exclude_special_tokens"] * (exclude_special_tokens not in (None, False))
        if extra:
            raise ValueError(f"{', '.join(extra)}: these arguments need a model; give one, or omit them.")
        if isinstance(data, Tensor) and not data.is_floating_point():
            raise ValueError(
                f"activations must be floating-point numbers, not {data.dtype}; to evaluate on tokens, give the model "
                "and hook_name."
            )
    elif hook_name is None:
        raise ValueError("with a model, give hook_name too, the hook point that the dictionary reads.")
    elif not is_text(data) and (not isinstance(data, Tensor) or data.is_floating_point() or data.ndim != 2):
        raise ValueError("with a model, data must be tokens [batch pos] or text.")
    recovery = None
    if truth is not None:
        rows = getattr(dictionary, "W_dec", None)
        if rows is None:
            raise ValueError("truth can only be compared with a dictionary that has directions (W_dec).")
        recovery = feature_recovery(rows, truth)
    splice = None
    source: Activations
    if model is not None and hook_name is not None:
        head = head_read(dictionary, head)
        tokens = tokens_with_mask(model, cast("Tensor | str | list[str]", data), attention_mask)
        excluded = excluded_ids(model, exclude_special_tokens, dictionary)
        skip_first = first_skipped(skip_first, dictionary)
        used = position_mask(tokens, skip_first, excluded, trained_positions(dictionary))
        if outlier_limits is None:
            outlier_limits = limits_in_model(
                model,
                dictionary,
                tokens,
                used,
                hook_name,
                hook_out,
                head=head,
                head_out=head_out,
                batch_size=text_batch_size,
            )
        # Before the metrics, because it checks hook points and widths before any long computation.
        splice = spliced_loss(
            model,
            dictionary,
            tokens,
            hook_name,
            hook_out=hook_out,
            skip_first=skip_first,
            exclude_special_tokens=exclude_special_tokens,
            head=head,
            head_out=head_out,
            outlier_limits=outlier_limits,
            batch_size=text_batch_size,
            progress=progress,
        )
        stream = read_activations(
            model,
            tokens,
            hook_name,
            hook_out,
            batch_size=text_batch_size,
            head=head,
            head_out=head_written(dictionary, head_out, head),
        )
        source = _used_activations(stream, used, hook_out is not None)
    else:
        source = cast("Activations", data)
    config = getattr(dictionary, "cfg", None)
    with torch.no_grad():
        checked = batches(source, batch_size, getattr(config, "d_in", None))
        if outlier_limits is None:
            outlier_limits, checked = _limits(dictionary, checked)
        sums = SplitSums(outlier_limits)
        for x, y in checked:
            sums.add(dictionary, x, y)
    found = sums.ordinary.fidelity()
    where = name if hook_name is None else (hook_name if hook_out is None else f"{hook_name} to {hook_out}")
    return Evaluation(
        examples=found.examples,
        l0=found.l0,
        fvu=found.fvu,
        cosine=found.cosine,
        bias=found.bias,
        length_ratio=found.length_ratio,
        activity=sums.ordinary.counts.activity(),
        splice=splice,
        recovery=recovery,
        provenance=Provenance("dictionary" if model is None else model_name(model), where),
        outliers=sums.outliers,
        with_outliers=None if sums.all is None else sums.all.fidelity(),
        outlier_limits=outlier_limits,
    )


def _limits(
    dictionary: Codes, stream: Iterator[tuple[Tensor, Tensor]]
) -> tuple[OutlierLimits, Iterator[tuple[Tensor, Tensor]]]:
    """The dictionary's limits, or those of the first activations, and the whole stream."""
    kept = trained_limits(dictionary)
    if kept is not None:
        return kept, stream
    first: list[tuple[Tensor, Tensor]] = []
    for x, y in stream:
        first.append((x, y))
        if sum(len(each) for each, _ in first) >= SAMPLE:
            break
    x, y = (torch.cat(parts)[:SAMPLE] for parts in zip(*first, strict=True))
    paired = any(x is not y for x, y in first)
    return estimate_limits(Batch(x, y if paired else None)), chain(first, stream)


def _used_activations(
    stream: Iterator[tuple[Tensor, Tensor]], used: Tensor, paired: bool
) -> Iterator[Tensor | tuple[Tensor, Tensor]]:
    start = 0
    for x, y in stream:
        keep = used[start : start + len(x)].to(x.device)
        start += len(x)
        yield (x[keep], y[keep]) if paired else x[keep]
