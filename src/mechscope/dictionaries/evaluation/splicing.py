"""The loss of a model whose activation is replaced by a reconstruction, compared with zero and mean ablation.

How this can mislead: "loss recovered" is relative to an ablation, and zero ablation is often so destructive that any
reconstruction recovers nearly everything. The increase in nats does not depend on an ablation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor
from tqdm.auto import tqdm

from mechscope.arguments import checked_arguments
from mechscope.dictionaries._how_far import how_far
from mechscope.dictionaries.evaluation._batches import Codes
from mechscope.dictionaries.evaluation._reading import check_hooks, limits_in_model
from mechscope.dictionaries.head import head_read, head_written, read_part, write_part
from mechscope.dictionaries.outliers import OutlierLimits
from mechscope.dictionaries.position_mask import (
    ExcludeTokens,
    excluded_ids,
    first_skipped,
    position_mask,
    tokens_with_mask,
)
from mechscope.dictionaries.trained_model import warn_of_other_model
from mechscope.dictionaries.trained_positions import trained_positions
from mechscope.model.loss import lm_cross_entropy_loss
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import TextOrIds, plain_ids

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer


@dataclass(frozen=True)
class Splice:
    """Losses in nats per token, averaged over the same predictions."""

    hook_name: str
    """The hook point at which the activation was replaced."""
    predictions: int
    """Number of predicted tokens over which the losses are averaged."""
    ce: float
    """Cross-entropy of the unchanged model."""
    ce_spliced: float
    """Cross-entropy with the reconstruction in place of the activation."""
    ce_zero: float
    """Cross-entropy with zeros in place of the activation."""
    ce_mean: float
    """Cross-entropy with the mean activation (over examples and positions) in its place."""
    kl: float
    """KL divergence from the predictions of the unchanged model to those with the reconstruction."""
    kl_zero: float
    """The same for zero ablation."""
    kl_mean: float
    """The same for mean ablation."""
    outliers: int = 0
    """Number of massive activations: they are left unchanged, and predictions of them and from them are not measured.
    (See `mechscope.model.massive_activations`.)"""
    ce_outliers_spliced: float | None = None
    """Cross-entropy, over the same predictions, if the outliers are replaced by their reconstructions too; None if
    there are none."""

    @property
    def delta_ce(self) -> float:
        """The increase in cross-entropy due to the reconstruction, in nats."""
        return self.ce_spliced - self.ce

    @property
    def delta_ce_outliers_spliced(self) -> float | None:
        """The increase in cross-entropy if the outliers are replaced too; None if there are none."""
        return None if self.ce_outliers_spliced is None else self.ce_outliers_spliced - self.ce

    @property
    def recovered_zero(self) -> float:
        """1 - ΔCE / ΔCE of zero ablation: 1 costs nothing, 0 is as bad as zeros; NaN if zeros cost nothing."""
        return _recovered(self.delta_ce, self.ce_zero - self.ce)

    @property
    def recovered_mean(self) -> float:
        """1 - ΔCE / ΔCE of mean ablation, which is harder to beat than zeros."""
        return _recovered(self.delta_ce, self.ce_mean - self.ce)


def _recovered(cost: float, worst: float) -> float:
    return 1 - cost / worst if worst != 0 else float("nan")


@checked_arguments
def spliced_loss(
    model: HookedTransformer,
    dictionary: Codes,
    tokens: Int[Tensor, "batch pos"] | TextOrIds,
    hook_name: str,
    *,
    hook_out: str | None = None,
    attention_mask: Bool[Tensor, "batch pos"] | None = None,
    skip_first: int | None = None,
    exclude_special_tokens: ExcludeTokens | None = None,
    head: int | None = None,
    head_out: int | None = None,
    outlier_limits: OutlierLimits | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Splice:
    """Measure a model's loss when a dictionary replaces an activation at every position at once, except at outliers.

    Args:
        tokens: texts, or tokens [batch pos].
        hook_name: the hook point that the dictionary reads (and writes, unless it is a transcoder). Heads are
            concatenated.
        hook_out: the hook point that a transcoder writes to.
        attention_mask: True where a token is real; None uses the tokens' own mask (see `model.as_tokens`).
        skip_first: how many real tokens at the start are left unchanged and not measured: dictionaries are often
            trained without the first token, whose activation is unlike all others. None uses the dictionary's
            metadata, or 0.
        exclude_special_tokens: True for the tokenizer's special tokens, or ids: positions of these tokens are left
            unchanged, and predictions of them and from them are not measured. Attention still sees them. None uses the
            dictionary's metadata. Positions outside of its "seqpos_slice" are excluded in the same way.
        head: the dictionary reads (and writes) only this head; None uses "hook_head_index" from its metadata, or all
            heads. The other heads are left unchanged.
        head_out: the head that a transcoder writes.
        outlier_limits: the lengths above which activations are outliers; None uses the dictionary's metadata, or, if
            it was trained without limits, 25 times the median length of the first 4,096 activations. `NO_LIMITS`
            replaces everything.
        batch_size: texts per batch. There are two passes: one for the mean, one for the losses.

    Raises:
        KeyError: for a hook point that the model does not have.
        ValueError: for widths that do not fit, if there is nothing to predict (or only outliers), or if a transcoder
            would write before it reads.
    """
    out = hook_name if hook_out is None else hook_out
    check_hooks(model, hook_name, out)
    tokens = tokens_with_mask(model, tokens, attention_mask)
    head = head_read(dictionary, head)
    head_out = head_written(dictionary, head_out, head)
    excluded = excluded_ids(model, exclude_special_tokens, dictionary)
    skip_first = first_skipped(skip_first, dictionary)
    mask = position_mask(tokens, skip_first, excluded, trained_positions(dictionary))
    warn_of_other_model(dictionary, model, tokens.ids)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    if not _predictions(mask).any():
        raise ValueError(
            f"there is no token left to predict in tokens {tuple(tokens.shape)} with skip_first={skip_first}"
            + (f" and without tokens {list(excluded)}." if excluded else ".")
        )
    if outlier_limits is None:
        outlier_limits = limits_in_model(
            model,
            dictionary,
            tokens,
            mask,
            hook_name,
            hook_out,
            head=head,
            head_out=head_out,
            batch_size=batch_size,
        )
    rows = [slice(start, start + batch_size) for start in range(0, len(tokens), batch_size)]
    sums: dict[str, float] = dict.fromkeys(
        ("ce", "spliced", "zero", "mean", "kl_spliced", "kl_zero", "kl_mean", "outliers_spliced"), 0.0
    )

    def reconstruct(x: Tensor) -> Tensor:
        return dictionary.decode(dictionary.encode(x), x)

    with torch.no_grad():
        heads = head, head_out
        mean, ordinary = _ordinary_activations(
            model, reconstruct, tokens, hook_name, out, mask, rows, heads, outlier_limits
        )
        outliers = int((mask & ~ordinary).sum())
        real = _predictions(ordinary)
        if not real.any():
            raise ValueError(
                f"there is no prediction without outliers: {outliers} of {int(mask.sum())} activations of {hook_name} "
                f"are longer than {outlier_limits.x:.4g}. Is this the model that the dictionary was trained on?"
            )
        for chunk in tqdm(rows, desc="splicing", disable=not progress):
            here, keep = ordinary[chunk].to(mean.device), real[chunk].to(mean.device)
            texts = tokens[chunk].to(mean.device)
            clean = model(texts)
            reference = at_least_float32(clean[:, :-1][keep]).log_softmax(-1)
            sums["ce"] += _loss(clean, texts, keep)
            ways = {
                "spliced": replacing(reconstruct, hook_name, out, here, head, head_out),
                "zero": [(out, _constant(torch.zeros_like(mean), here, head_out))],
                "mean": [(out, _constant(mean, here, head_out))],
            }
            for name, hooks in ways.items():
                logits = model.run_with_hooks(texts, fwd_hooks=hooks)
                sums[name] += _loss(logits, texts, keep)
                other = at_least_float32(logits[:, :-1][keep]).log_softmax(-1)
                sums[f"kl_{name}"] += float((reference.exp() * (reference - other)).sum().double())
                if name == "spliced":
                    everywhere = mask[chunk].to(mean.device)
                    if bool((everywhere & ~here).any()):
                        hooks = replacing(reconstruct, hook_name, out, everywhere, head, head_out)
                        logits = model.run_with_hooks(texts, fwd_hooks=hooks)
                    sums["outliers_spliced"] += _loss(logits, texts, keep)
    count = int(real.sum())
    means = {name: value / count for name, value in sums.items()}
    return Splice(
        hook_name=out,
        predictions=count,
        ce=means["ce"],
        ce_spliced=means["spliced"],
        ce_zero=means["zero"],
        ce_mean=means["mean"],
        kl=means["kl_spliced"],
        kl_zero=means["kl_zero"],
        kl_mean=means["kl_mean"],
        outliers=outliers,
        ce_outliers_spliced=means["outliers_spliced"] if outliers else None,
    )


def _predictions(used: Bool[Tensor, "batch pos"]) -> Bool[Tensor, "batch prediction"]:
    """The predictions that are measured: both the target and the position before it are used."""
    return used[:, :-1] & used[:, 1:]


def replacing(
    reconstruct: Callable[[Tensor], Tensor],
    read: str,
    write: str,
    where: Bool[Tensor, "batch pos"],
    head: int | None = None,
    head_out: int | None = None,
) -> list[tuple[str, Any]]:
    """Forward hooks that replace the activation at `write` by a reconstruction from the activation at `read`.

    Args:
        where: the positions to replace.
        head: read only this head.
        head_out: write only this head.

    Raises:
        ValueError: during the pass, if shapes do not fit or `write` comes before `read`.
    """
    held: list[Tensor] = []

    def reading(activation: Tensor, hook: Any) -> None:
        held[:] = [reconstruct(read_part(activation, head, read))]

    def writing(activation: Tensor, hook: Any) -> Tensor:
        if read == write:
            reading(activation, hook)
        if not held:
            raise ValueError(
                f"{write} is computed before {read}, but a transcoder must read first: swap the hook points."
            )
        new = write_part(activation, held.pop(), head_out, write)
        return torch.where(where.reshape(*where.shape, *[1] * (activation.ndim - 2)), new, activation)

    return [(write, writing)] if read == write else [(read, reading), (write, writing)]


def _constant(value: Tensor, where: Tensor, head: int | None) -> Any:
    def writing(activation: Tensor, hook: Any) -> Tensor:
        new = value.to(activation.dtype).expand_as(activation)
        if head is not None:
            new = write_part(activation, read_part(new, head, str(hook.name)), head, str(hook.name))
        return torch.where(where.reshape(*where.shape, *[1] * (activation.ndim - 2)), new, activation)

    return writing


def _ordinary_activations(
    model: HookedTransformer,
    reconstruct: Callable[[Tensor], Tensor],
    tokens: Tensor,
    read: str,
    write: str,
    mask: Bool[Tensor, "batch pos"],
    rows: list[slice],
    heads: tuple[int | None, int | None],
    limits: OutlierLimits,
) -> tuple[Tensor, Bool[Tensor, "batch pos"]]:
    """The mean activation at `write` over the used positions without outliers, and which positions these are.

    The first batch is also reconstructed, so that errors appear before any long computation.
    """
    total: Tensor | None = None
    ordinary = mask.clone()
    device = next(model.parameters()).device
    for number, chunk in enumerate(rows):
        here = mask[chunk].to(device)
        found: dict[str, Tensor] = {}
        # Read before the reconstruction is written.
        hooks: list[tuple[str, Any]] = [
            (name, lambda activation, hook, name=name, found=found: found.update({name: activation}))
            for name in dict.fromkeys((read, write))
        ]
        if number == 0:
            hooks += replacing(reconstruct, read, write, here, *heads)
        model.run_with_hooks(tokens[chunk].to(device), fwd_hooks=hooks, **how_far(model, [read, write]))
        if limits.exist:
            x = read_part(found[read], heads[0], read)
            outliers = limits.outliers(x, None if read == write else read_part(found[write], heads[1], write))
            here = here & ~outliers
            ordinary[chunk] = here.to(ordinary.device)
        summed = found[write][here].double().sum(0)
        total = summed if total is None else total + summed
    assert total is not None
    return total / max(int(ordinary.sum()), 1), ordinary


def _loss(logits: Tensor, tokens: Tensor, used: Bool[Tensor, "batch prediction"]) -> float:
    """The summed loss of the used predictions, each of which is made at the position before its target."""
    targets = plain_ids(tokens).clone()
    targets[:, 1:][~used] = 0  # the model need not be able to predict the others
    losses = lm_cross_entropy_loss(logits, targets, per_token=True)
    return float(losses[used].double().sum())
