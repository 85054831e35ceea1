"""All metrics of a dictionary in one call: on activations, or inside the model they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.evaluation._batches import Activations, Batch, Codes, batches
from mechscope.dictionaries.evaluation._reading import read_activations
from mechscope.dictionaries.evaluation.cosine import MeanCosine
from mechscope.dictionaries.evaluation.density import Activity, ActivityCounts
from mechscope.dictionaries.evaluation.recovery import Recovery, feature_recovery
from mechscope.dictionaries.evaluation.shrinkage import Shrinkage
from mechscope.dictionaries.evaluation.splicing import Splice, spliced_loss
from mechscope.dictionaries.evaluation.variance import VarianceUnexplained
from mechscope.dictionaries.head import head_read, head_written
from mechscope.dictionaries.position_mask import (
    ExcludeTokens,
    excluded_ids,
    position_mask,
    tokens_with_mask,
)
from mechscope.dictionaries.trained_positions import trained_positions
from mechscope.model.model_name import model_name
from mechscope.model.token_ids import is_text
from mechscope.results import Provenance, Result, make_result

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Evaluation:
    """The metrics of a dictionary on some activations."""

    examples: int
    """Number of activation vectors."""
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
        width = max(map(len, names))
        numbers = table.values.values.tolist()
        return "\n".join(
            f"{name:<{width}}  {number:.4g}" for name, number in zip(names, numbers, strict=True)
        )


@checked_arguments
def evaluate(
    dictionary: Codes,
    data: Activations | Int[Tensor, "batch pos"] | str | list[str],
    *,
    model: HookedTransformer | None = None,
    hook_name: str | None = None,
    hook_out: str | None = None,
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
    skip_first: int = 0,
    exclude_special_tokens: ExcludeTokens | None = None,
    head: int | None = None,
    head_out: int | None = None,
    truth: Float[Tensor, "true d_model"] | None = None,
    batch_size: int = 4096,
    text_batch_size: int = 8,
    name: str = "activations",
    progress: bool = False,
) -> Evaluation:
    """Compute all metrics of a dictionary, batch by batch: only one batch's features are in memory at a time, but the
    metrics are those of all examples together.

    Args:
        dictionary: a dictionary from `mechscope.dictionaries`, or anything that encodes and decodes.
        data: activations [*batch d_in] (or pairs of a transcoder's inputs and targets), as one tensor or a stream of
            tensors; with a model, texts or tokens [batch pos].
        model: the model to read activations from and to splice the dictionary into.
        hook_name: the hook point that the dictionary reads; needed with a model.
        hook_out: the hook point that a transcoder writes to.
        attention_mask: with a model, True where a token is real; None uses the tokens' own mask (see
            `model.as_tokens`).
        skip_first: with a model, how many real tokens to exclude at the start of each text.
        exclude_special_tokens: with a model, True to exclude the tokenizer's special tokens (begin, end, padding …) at
            any position, or ids of the tokens to exclude. Attention still sees them.
        head: with a model, the head that the dictionary reads; None uses "hook_head_index" from its metadata, or all
            heads.
        head_out: the same for the head that a transcoder writes.
        truth: true feature directions, if they are known, to compare with W_dec.
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
        extra = [key for key, value in given.items() if value is not None] + ["skip_first"] * (skip_first > 0)
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
        tokens = tokens_with_mask(model, cast("Tensor | str | list[str]", data), attention_mask)
        # First, because it checks hook points and widths before any long computation.
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
            batch_size=text_batch_size,
            progress=progress,
        )
        head = head_read(dictionary, head)
        excluded = excluded_ids(model, exclude_special_tokens, dictionary)
        used = position_mask(tokens, skip_first, excluded, trained_positions(dictionary))
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
    counts, variance, cosine, shrinkage = ActivityCounts(), VarianceUnexplained(), MeanCosine(), Shrinkage()
    sparse = getattr(dictionary, "encode_sparse", None)
    with torch.no_grad():
        for x, y in batches(source, batch_size, getattr(config, "d_in", None)):
            features = dictionary.encode(x) if sparse is None else sparse(x)
            counts.add(features)
            reconstruction = dictionary.decode(features, x)
            if reconstruction.shape != y.shape:
                raise ValueError(
                    f"the dictionary writes {tuple(reconstruction.shape)}, but its targets are {tuple(y.shape)}: "
                    "a transcoder's data are pairs of inputs and targets."
                )
            for sums in (variance, cosine, shrinkage):
                sums.add(y, reconstruction)
    activity = counts.activity()
    where = name if hook_name is None else (hook_name if hook_out is None else f"{hook_name} to {hook_out}")
    return Evaluation(
        examples=activity.examples,
        l0=activity.l0,
        fvu=variance.value,
        cosine=cosine.value,
        bias=shrinkage.bias,
        length_ratio=shrinkage.length_ratio,
        activity=activity,
        splice=splice,
        recovery=recovery,
        provenance=Provenance("dictionary" if model is None else model_name(model), where),
    )


def _used_activations(stream: Iterator[tuple[Tensor, Tensor]], used: Tensor, paired: bool) -> Iterator[Batch]:
    start = 0
    for x, y in stream:
        keep = used[start : start + len(x)].to(x.device)
        start += len(x)
        yield (x[keep], y[keep]) if paired else x[keep]
