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
from mechscope.dictionaries.evaluation._batches import Codes
from mechscope.dictionaries.head import head_read, head_written, read_part, write_part
from mechscope.dictionaries.position_mask import (
    ExcludeTokens,
    excluded_ids,
    position_mask,
    tokens_with_mask,
)
from mechscope.dictionaries.trained_model import warn_of_other_model
from mechscope.dictionaries.trained_positions import trained_positions
from mechscope.model.loss import lm_cross_entropy_loss
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import TextOrIds, plain_ids
from mechscope.near_names import did_you_mean_clause

if TYPE_CHECKING:
    from mechscope.model.hooked_root_module import HookedRootModule
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

    @property
    def delta_ce(self) -> float:
        """The increase in cross-entropy due to the reconstruction, in nats."""
        return self.ce_spliced - self.ce

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
    skip_first: int = 0,
    exclude_special_tokens: ExcludeTokens | None = None,
    head: int | None = None,
    head_out: int | None = None,
    batch_size: int = 8,
    progress: bool = False,
) -> Splice:
    """Measure a model's loss when a dictionary replaces an activation at every position at once.

    Args:
        tokens: texts, or tokens [batch pos].
        hook_name: the hook point that the dictionary reads (and writes, unless it is a transcoder). Heads are
            concatenated.
        hook_out: the hook point that a transcoder writes to.
        attention_mask: True where a token is real; None uses the tokens' own mask (see `model.as_tokens`).
        skip_first: how many real tokens at the start are left unchanged and not measured: dictionaries are often
            trained without the first token, whose activation is unlike all others.
        exclude_special_tokens: True for the tokenizer's special tokens, or ids: positions of these tokens are left
            unchanged, and predictions of them and from them are not measured. Attention still sees them. None uses the
            dictionary's metadata. Positions outside of its "seqpos_slice" are excluded in the same way.
        head: the dictionary reads (and writes) only this head; None uses "hook_head_index" from its metadata, or all
            heads. The other heads are left unchanged.
        head_out: the head that a transcoder writes.
        batch_size: texts per batch. There are two passes: one for the mean, one for the losses.

    Raises:
        KeyError: for a hook point that the model does not have.
        ValueError: for widths that do not fit, if there is nothing to predict, or if a transcoder would write before
            it reads.
    """
    out = hook_name if hook_out is None else hook_out
    check_hooks(model, hook_name, out)
    tokens = tokens_with_mask(model, tokens, attention_mask)
    head = head_read(dictionary, head)
    head_out = head_written(dictionary, head_out, head)
    excluded = excluded_ids(model, exclude_special_tokens, dictionary)
    mask = position_mask(tokens, skip_first, excluded, trained_positions(dictionary))
    warn_of_other_model(dictionary, model, tokens.ids)
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, not {batch_size}.")
    # A prediction is measured if both its target and the position before it are used.
    real = mask[:, :-1] & mask[:, 1:]
    if not real.any():
        raise ValueError(
            f"there is no token left to predict in tokens {tuple(tokens.shape)} with skip_first={skip_first}"
            + (f" and without tokens {list(excluded)}." if excluded else ".")
        )
    rows = [slice(start, start + batch_size) for start in range(0, len(tokens), batch_size)]
    sums: dict[str, float] = dict.fromkeys(
        ("ce", "spliced", "zero", "mean", "kl_spliced", "kl_zero", "kl_mean"), 0.0
    )
    with torch.no_grad():
        heads = head, head_out
        mean = _mean_activation(model, dictionary, tokens, hook_name, out, mask, rows, heads)
        for chunk in tqdm(rows, desc="splicing", disable=not progress):
            here, keep = mask[chunk].to(mean.device), real[chunk].to(mean.device)
            texts = tokens[chunk].to(mean.device)
            clean = model(texts)
            reference = at_least_float32(clean[:, :-1][keep]).log_softmax(-1)
            sums["ce"] += _loss(clean, texts, keep)
            splice = replacing(
                lambda x: dictionary.decode(dictionary.encode(x), x), hook_name, out, here, head, head_out
            )
            ways = {
                "spliced": splice,
                "zero": [(out, _constant(torch.zeros_like(mean), here, head_out))],
                "mean": [(out, _constant(mean, here, head_out))],
            }
            for name, hooks in ways.items():
                logits = model.run_with_hooks(texts, fwd_hooks=hooks)
                sums[name] += _loss(logits, texts, keep)
                other = at_least_float32(logits[:, :-1][keep]).log_softmax(-1)
                sums[f"kl_{name}"] += float((reference.exp() * (reference - other)).sum().double())
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
    )


def check_hooks(model: HookedRootModule, *names: str) -> None:
    """Raise KeyError for a hook point that the model does not have; suggests the closest names."""
    for name in names:
        if name not in model.hook_dict:
            hint = did_you_mean_clause(name, model.hook_dict, n=3) or "did you mean another one?"
            raise KeyError(f"this model has no hook point {name!r}; {hint}")


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


def _mean_activation(
    model: HookedTransformer,
    dictionary: Codes,
    tokens: Tensor,
    read: str,
    write: str,
    mask: Tensor,
    rows: list[slice],
    heads: tuple[int | None, int | None],
) -> Tensor:
    """The mean activation at `write` over the used positions. The first batch is also reconstructed, so that errors
    appear before any long computation."""
    total: Tensor | None = None
    device = next(model.parameters()).device
    for number, chunk in enumerate(rows):
        here = mask[chunk].to(device)
        found: list[Tensor] = []
        hooks: list[tuple[str, Any]] = [
            (write, lambda activation, hook, found=found: found.append(activation))
        ]
        if number == 0:
            hooks += replacing(
                lambda x: dictionary.decode(dictionary.encode(x), x), read, write, here, *heads
            )
        model.run_with_hooks(tokens[chunk].to(device), fwd_hooks=hooks, return_type=None)
        summed = found[0][here].double().sum(0)
        total = summed if total is None else total + summed
    assert total is not None
    return total / int(mask.sum())


def _loss(logits: Tensor, tokens: Tensor, used: Bool[Tensor, "batch prediction"]) -> float:
    """The summed loss of the used predictions, each of which is made at the position before its target."""
    targets = plain_ids(tokens).clone()
    targets[:, 1:][~used] = 0  # the model need not be able to predict the others
    losses = lm_cross_entropy_loss(logits, targets, per_token=True)
    return float(losses[used].double().sum())
