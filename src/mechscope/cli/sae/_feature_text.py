"""Format features as text: how often they are active, and a page per feature."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.evaluation import feature_pages, nearest_features
from mechscope.dictionaries.evaluation.contexts import Context
from mechscope.dictionaries.evaluation.feature_page import FeaturePage
from mechscope.dictionaries.sources.evaluation_file import StoredEvaluation
from mechscope.dictionaries.sources.opening import KnownSource, ModelSource, Source
from mechscope.model.transformer import HookedTransformer

BAR = 30
"""Length of the longest bar in characters."""


def outlier_line(found: StoredEvaluation) -> str:
    """How many outliers were left out, and what an outlier is."""
    limits = [
        f"{what} longer than {limit:.4g}"
        for what, limit in zip(("activations", "targets"), found.limits.values(), strict=True)
        if limit is not None
    ]
    if not limits:
        return "none left out as outliers"
    number = f"{found.outliers:,}" if found.outliers else "no"
    left_out = ", left out" if found.outliers else ""
    return f"{number} {'outlier' if found.outliers == 1 else 'outliers'}{left_out} ({' or '.join(limits)})"


def density_lines(found: StoredEvaluation) -> list[str]:
    """L0, dead features, and a histogram of densities."""
    activity = found.activity
    dead = int((activity.times == 0).sum())
    lines = [
        f"L0 {activity.l0:.4g}, {dead:,} of {len(activity.times):,} features never active in "
        f"{activity.examples:,} activations, {found.measures['fraction of variance unexplained']:.3g} of the "
        "variance unexplained",
        outlier_line(found),
    ]
    alive = activity.densities[activity.times > 0]
    if len(alive):
        logs = alive.log10().numpy()
        low_end = min(np.floor(logs.min() * 2) / 2, -0.5)
        edges = np.arange(low_end, max(np.ceil(logs.max() * 2) / 2, low_end + 0.5) + 0.1, 0.5)
        counts, _ = np.histogram(logs, bins=edges)
        lines.append("active in this share of activations:")
        for low, high, count in zip(edges[:-1], edges[1:], counts, strict=True):
            bar = "█" * max(int(count > 0), round(BAR * int(count) / max(1, int(counts.max()))))
            lines.append(f"  {_share(10**low):>9} to {_share(10**high):<8} {count:6d} {bar}")
    most = activity.densities.topk(min(5, len(activity.times)))
    often = ", ".join(
        f"{int(feature)} ({_share(float(density))})"
        for density, feature in zip(most.values, most.indices, strict=True)
    )
    lines.append(f"most often: {often}")
    return lines


def feature_lines(
    dictionary: Dictionary, source: Source, features: Sequence[int], contexts: int
) -> Iterator[list[str]]:
    """One page per feature.

    Raises:
        ValueError: for dictionaries that read several hook points.
    """
    if isinstance(source, KnownSource):
        yield from _known(dictionary, source, features)
        return
    assert isinstance(source, ModelSource)
    hook, *others = source.config.hook
    if others:
        for feature in features:
            yield [
                f"Feature {feature} reads {1 + len(others)} hook points; contexts can only be shown for one.",
                "",
            ]
        return
    pages = feature_pages(
        source.model,
        dictionary,
        source.held_out_tokens.to(source.device),
        hook,
        features,
        through=_through(source),
        contexts=contexts,
        groups=3,
        a_group=2,
        tokens_listed=8,
        neighbours=min(5, dictionary.cfg.d_sae - 1),
        skip_first=source.config.skip_first,
        exclude_special_tokens=source.config.exclude_special_tokens,
        head=source.config.head,
        batch_size=32,
    )
    for page in pages:
        yield [*_page(page, source), ""]


def _page(page: FeaturePage, source: ModelSource) -> list[str]:
    lines = [f"Feature {page.feature}"]
    if not page.top:
        lines.append("  never active on the held-out text")
    else:
        lines.append(f"  active at {_share(page.density)} of tokens, up to {page.max_activation:.3g}")
    if page.logits is not None:
        for words, tokens, values in (
            ("promotes", page.logits.top, page.logits.top_values),
            ("suppresses", page.logits.bottom, page.logits.bottom_values),
        ):
            listed = "  ".join(
                f"{_token(source, token)} {value:+.2f}" for token, value in zip(tokens, values, strict=True)
            )
            lines.append(f"  {words:<10} {listed}")
    lines.append("  nearest    " + _nearest(page.neighbours.nearest, page.neighbours.cosines))
    if page.top:
        lines.append("  strongest")
        lines += [f"    {context.activation:7.3g}  {_in_context(source, context)}" for context in page.top]
    for group in page.groups:
        lines.append(f"  {group.low:.3g} to {group.high:.3g} ({group.count} positions)")
        lines += [
            f"    {context.activation:7.3g}  {_in_context(source, context)}" for context in group.contexts
        ]
    return lines


@torch.no_grad()
def _known(dictionary: Dictionary, source: KnownSource, features: Sequence[int]) -> Iterator[list[str]]:
    x = source.held_out(source.config.held_out).x
    chosen = list(features)
    active = torch.cat([dictionary.encode(rows)[:, chosen].cpu() for rows in x.split(4096)])
    directions = dictionary.W_dec.detach().cpu()
    truth = nearest_features(directions[chosen], range(len(chosen)), 3, among=source.features.directions)
    near = nearest_features(directions, chosen, min(5, dictionary.cfg.d_sae - 1))
    for feature, values, true, own in zip(chosen, active.T, truth, near, strict=True):
        how_often = "never active in the held-out activations"
        if bool((values > 0).any()):
            share = float((values > 0).float().mean())
            how_often = f"active in {_share(share)} of activations, up to {float(values.max()):.3g}"
        yield [
            f"Feature {feature}",
            f"  {how_often}",
            "  nearest true features: " + _nearest(true.nearest, true.cosines),
            "  nearest    " + _nearest(own.nearest, own.cosines),
            "",
        ]


def _through(source: ModelSource) -> Float[Tensor, "d_out d_model"] | None:
    """The matrix from the dictionary's activations to the residual stream: W_out for neurons, W_O for heads."""
    where = (source.config.target_hook or source.config.hook)[0]
    parts = where.split(".")
    if not isinstance(source.model, HookedTransformer) or parts[0] != "blocks":
        return None
    layer = int(parts[1])
    if where.endswith("mlp.hook_post"):
        return source.model.W_out[layer]
    if where.endswith("attn.hook_z"):
        head = source.config.target_head if source.config.target_hook else source.config.head
        W_O = source.model.W_O[layer]
        return W_O.flatten(0, 1) if head is None else W_O[head]
    return None


def _nearest(features: Sequence[int], cosines: Sequence[float]) -> str:
    return ", ".join(f"{feature} ({cosine:.2f})" for feature, cosine in zip(features, cosines, strict=True))


def _token(source: ModelSource, token: int) -> str:
    return repr(str(source.model.tokenizer.decode([token])))


def _in_context(source: ModelSource, context: Context) -> str:
    """The text around a position, with the token in brackets and line breaks shown as a symbol."""
    tokenizer = source.model.tokenizer
    at = context.position - context.start
    parts = [tokenizer.decode(list(ids)) for ids in (context.tokens[:at], context.tokens[at + 1 :])]
    before, after = (str(part).replace("\n", "⏎") for part in parts)
    here = str(tokenizer.decode([context.tokens[at]])).replace("\n", "⏎")
    return f"…{before}[{here}]{after}…"


def _share(share: float) -> str:
    return f"{100 * share:.3g} %"
