"""Show models and caches in a terminal and in a notebook."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from mechscope.model.activation_cache import ActivationCache
    from mechscope.model.config import HookedTransformerConfig

SHOWN_FIELDS = (
    ("n_layers", "layers"),
    ("n_heads", "heads"),
    ("n_key_value_heads", "key/value heads"),
    ("d_model", "d_model"),
    ("d_head", "d_head"),
    ("d_mlp", "d_mlp"),
    ("act_fn", "activation"),
    ("n_ctx", "context"),
    ("d_vocab", "vocabulary"),
    ("normalization_type", "norm"),
    ("positional_embedding_type", "positions"),
)
LAYER_NUMBER = re.compile(r"^blocks\.(\d+)\.")


def human_count(count: int) -> str:
    """124439808 -> "124.4M"."""
    for size, unit in ((10**9, "B"), (10**6, "M"), (10**3, "K")):
        if count >= size:
            return f"{count / size:.1f}{unit}"
    return str(count)


def human_bytes(count: int) -> str:
    """1536 -> "1.5 KB" (units of 1024)."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """The size of these tensors in memory, in bytes; shared storage counts once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def fold_layers(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Rows of (name, content); rows that repeat from layer to layer become one: `blocks.0-11.…`."""
    layers: dict[tuple[str, str], list[int]] = {}
    order: list[tuple[str, str]] = []
    for name, content in rows:
        match = LAYER_NUMBER.match(name)
        key = (LAYER_NUMBER.sub("blocks.{}.", name), content)
        if key not in layers:
            layers[key] = []
            order.append(key)
        if match:
            layers[key].append(int(match.group(1)))
    return [(name.format(_span(layers[name, content])), content) for name, content in order]


def _span(numbers: list[int]) -> str:
    if len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))


def _table(rows: list[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"  {name:<{width}}  {content}" for name, content in rows)


def _html(title: str, summary: str, rows: list[tuple[str, str]], heading: str) -> str:
    cells = "".join(
        f"<tr><td style='text-align:left'><code>{html.escape(name)}</code></td>"
        f"<td style='text-align:left'>{html.escape(content)}</td></tr>"
        for name, content in rows
    )
    return (
        f"<div><strong>{html.escape(title)}</strong> &middot; {html.escape(summary)}"
        f"<details><summary>{html.escape(heading)}</summary><table>{cells}</table></details></div>"
    )


def model_as_text(model: nn.Module, cfg: HookedTransformerConfig) -> str:
    """A model in a terminal: size, config and weights."""
    return (
        f"{type(model).__name__} {cfg.model_name!r}: {_size(model, cfg)}\n"
        f"  {_config_line(cfg)}\n{_table(_weight_rows(model))}"
    )


def model_as_html(model: nn.Module, cfg: HookedTransformerConfig) -> str:
    """A model in a notebook: size, config and weights."""
    return _html(
        f"{type(model).__name__} {cfg.model_name}",
        f"{_size(model, cfg)}; {_config_line(cfg)}",
        _weight_rows(model),
        "weights",
    )


def _weight_rows(model: nn.Module) -> list[tuple[str, str]]:
    return fold_layers((name, " x ".join(map(str, value.shape))) for name, value in model.named_parameters())


def _size(model: nn.Module, cfg: HookedTransformerConfig) -> str:
    parameters = list(model.parameters())
    count = sum(value.numel() for value in parameters)
    where = f"{str(cfg.dtype).removeprefix('torch.')} on {cfg.device}"
    return f"{human_count(count)} parameters, {human_bytes(storage_bytes(parameters))}, {where}"


def _config_line(cfg: HookedTransformerConfig) -> str:
    fields = []
    for name, label in SHOWN_FIELDS:
        value = getattr(cfg, name)
        if value is None or (cfg.attn_only and name in ("d_mlp", "act_fn")):
            continue
        fields.append(f"{label} {value}")
    if cfg.attn_only:
        fields.append("attention only")
    return ", ".join(fields)


def cache_as_text(cache: ActivationCache) -> str:
    """A cache in a terminal: number of activations, size, and each one's shape."""
    return f"{_cache_title(cache)}: {_cache_summary(cache)}\n{_table(_activation_rows(cache))}"


def cache_as_html(cache: ActivationCache) -> str:
    """A cache in a notebook: number of activations, size, and each one's shape."""
    return _html(_cache_title(cache), _cache_summary(cache), _activation_rows(cache), "activations")


def _cache_title(cache: ActivationCache) -> str:
    return f"ActivationCache of {getattr(cache.model.cfg, 'model_name', 'a model')}"


def _cache_summary(cache: ActivationCache) -> str:
    size = human_bytes(storage_bytes(cache.cache_dict.values()))
    batch = "with" if cache.has_batch_dim else "without"
    return f"{len(cache.cache_dict)} activations, {size}, {batch} a batch axis"


def _activation_rows(cache: ActivationCache) -> list[tuple[str, str]]:
    return fold_layers(
        (name, f"{' x '.join(map(str, value.shape))}  {str(value.dtype).removeprefix('torch.')}")
        for name, value in cache.cache_dict.items()
    )
