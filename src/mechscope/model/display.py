"""Models and caches as pages that a person wants to read, in a terminal and in a notebook."""

from __future__ import annotations

import html
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

if TYPE_CHECKING:
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
    """1536 -> "1.5 KB" (of 1024)."""
    size = float(count)
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1024
    raise AssertionError("unreachable")


def storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    """Bytes that these tensors hold, each storage counted once."""
    storages = {tensor.untyped_storage().data_ptr(): tensor.untyped_storage().nbytes() for tensor in tensors}
    return sum(storages.values())


def fold_layers(rows: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
    """Rows of (name, what), those that repeat from layer to layer shown once as `blocks.0-11.…`."""
    layers: dict[tuple[str, str], list[int]] = {}
    order: list[tuple[str, str]] = []
    for name, what in rows:
        match = LAYER_NUMBER.match(name)
        key = (LAYER_NUMBER.sub("blocks.{}.", name), what)
        if key not in layers:
            layers[key] = []
            order.append(key)
        if match:
            layers[key].append(int(match.group(1)))
    return [(name.format(_span(layers[name, what])), what) for name, what in order]


def _span(numbers: list[int]) -> str:
    if len(numbers) > 1 and numbers == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}-{numbers[-1]}"
    return ",".join(map(str, numbers))


def _table(rows: list[tuple[str, str]]) -> str:
    width = max((len(name) for name, _ in rows), default=0)
    return "\n".join(f"  {name:<{width}}  {what}" for name, what in rows)


def _html(title: str, summary: str, rows: list[tuple[str, str]], heading: str) -> str:
    cells = "".join(
        f"<tr><td style='text-align:left'><code>{html.escape(name)}</code></td>"
        f"<td style='text-align:left'>{html.escape(what)}</td></tr>"
        for name, what in rows
    )
    return (
        f"<div><strong>{html.escape(title)}</strong> &middot; {html.escape(summary)}"
        f"<details><summary>{html.escape(heading)}</summary><table>{cells}</table></details></div>"
    )


class ModelDisplay:
    """`repr` and notebook page of a model: its config in a line, then its weights."""

    cfg: HookedTransformerConfig

    def _weight_rows(self) -> list[tuple[str, str]]:
        assert isinstance(self, nn.Module)
        return fold_layers(
            (name, " x ".join(map(str, value.shape))) for name, value in self.named_parameters()
        )

    def _summary(self) -> str:
        assert isinstance(self, nn.Module)
        parameters = list(self.parameters())
        count = sum(value.numel() for value in parameters)
        on = f"{str(self.cfg.dtype).removeprefix('torch.')} on {self.cfg.device}"
        return f"{human_count(count)} parameters, {human_bytes(storage_bytes(parameters))}, {on}"

    def _config_line(self) -> str:
        fields = []
        for name, label in SHOWN_FIELDS:
            value = getattr(self.cfg, name)
            if value is None or (self.cfg.attn_only and name in ("d_mlp", "act_fn")):
                continue
            fields.append(f"{label} {value}")
        if self.cfg.attn_only:
            fields.append("attention only")
        return ", ".join(fields)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__} {self.cfg.model_name!r}: {self._summary()}\n"
            f"  {self._config_line()}\n{_table(self._weight_rows())}"
        )

    def _repr_html_(self) -> str:
        return _html(
            f"{type(self).__name__} {self.cfg.model_name}",
            f"{self._summary()}; {self._config_line()}",
            self._weight_rows(),
            "weights",
        )


class CacheDisplay:
    """`repr` and notebook page of a cache: what it holds, shapes, size."""

    cache_dict: dict[str, torch.Tensor]
    has_batch_dim: bool
    model: Any

    def _rows(self) -> list[tuple[str, str]]:
        return fold_layers(
            (name, f"{' x '.join(map(str, value.shape))}  {str(value.dtype).removeprefix('torch.')}")
            for name, value in self.cache_dict.items()
        )

    def _summary(self) -> str:
        size = human_bytes(storage_bytes(self.cache_dict.values()))
        batch = "with" if self.has_batch_dim else "without"
        return f"{len(self.cache_dict)} activations, {size}, {batch} a batch axis"

    def _title(self) -> str:
        return f"ActivationCache of {getattr(self.model.cfg, 'model_name', 'a model')}"

    def __repr__(self) -> str:
        return f"{self._title()}: {self._summary()}\n{_table(self._rows())}"

    def _repr_html_(self) -> str:
        return _html(self._title(), self._summary(), self._rows(), "activations")
