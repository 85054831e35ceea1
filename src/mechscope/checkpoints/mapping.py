"""A small language that describes where each of our tensors comes from.

A table maps each of our names to a `Take`: the name in the checkpoint, and an einops pattern in named axes
whose left side is the shape expected in the checkpoint and whose right side is ours:

    "blocks.{i}.attn.W_Q": Take("h.{i}.attn.c_attn.weight",
                                "d_model (qkv head d_head) -> qkv head d_model d_head", part=0)

`{i}` runs over the layers. The result is a view of the checkpoint's memory wherever the pattern allows one that is
contiguous.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from einops import rearrange

from mechscope.checkpoints.classic_layout import classic_shapes, grouped_name
from mechscope.checkpoints.weights_file import TensorSource
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.state_dict_check import check_state_dict, refuse_weights, shapes_of, weight_problem

Axes = Mapping[str, int]
Part = int | slice | Callable[[Axes], slice]


@dataclass(frozen=True)
class Take:
    """One of our tensors, described as a rearranged part of one of the checkpoint's tensors."""

    name: str
    """Name in the checkpoint, with `{i}` for the layer."""
    pattern: str
    """einops pattern in named axes; without an arrow, the shape is unchanged."""
    part: Part | None = None
    """Index or slice of the first axis after rearranging."""
    then: Callable[[torch.Tensor, Axes], torch.Tensor] | None = None
    """Arithmetic that the family does in its forward pass and that we bake into the weight."""

    def expected_shape(self, axes: Axes) -> tuple[int, ...]:
        """The shape that the checkpoint's tensor must have."""
        left = self.pattern.partition("->")[0]
        groups = re.findall(r"\(([^)]*)\)|(\S+)", left)
        return tuple(math.prod(axes[name] for name in (group or single).split()) for group, single in groups)

    def apply(self, tensor: torch.Tensor, axes: Axes) -> torch.Tensor:
        """The rearranged part, without the arithmetic of `then`."""
        if "->" in self.pattern:
            used = set(re.findall(r"\w+", self.pattern))
            tensor = rearrange(tensor, self.pattern, **{name: axes[name] for name in used})
        if self.part is None:
            return tensor
        return tensor[self.part(axes) if callable(self.part) else self.part]


Table = Mapping[str, Take]


def plus_one(tensor: torch.Tensor, axes: Axes) -> torch.Tensor:
    """Restore a norm scale that the checkpoint stores minus one (Gemma)."""
    return tensor + 1


def times_sqrt_d_model(tensor: torch.Tensor, axes: Axes) -> torch.Tensor:
    """Apply the scaling that the family applies to its embedding in the forward pass (Gemma)."""
    return tensor * math.sqrt(axes["d_model"])


def axes_of(cfg: HookedTransformerConfig) -> dict[str, int]:
    """The sizes of the named axes that patterns use."""
    d_mlp = cfg.d_mlp or 0
    return {
        "d_model": cfg.d_model,
        "head": cfg.n_heads,
        "kv_head": cfg.n_kv_heads,
        "qkv_head": cfg.n_heads + 2 * cfg.n_kv_heads,
        "d_head": cfg.d_head,
        "d_mlp": d_mlp,
        "d_vocab": cfg.d_vocab,
        "d_vocab_out": cfg.d_vocab_out,
        "pos": cfg.n_ctx,
        "pos_and_two": cfg.n_ctx + 2,
        "qkv": 3,
        "gate_and_in": 2,
        "width": cfg.d_model,  # the other side of a square matrix
        "token_type": 2,
        "label": 2,
    }


def convert(
    source: TensorSource,
    table: Table,
    cfg: HookedTransformerConfig,
    *,
    rename: Callable[[str], str | None],
    ignored: Callable[[str], bool],
    encoder: bool = False,
    dtype: torch.dtype | None = None,
    n_layers_in_file: int | None = None,
    own: bool = False,
) -> Iterator[dict[str, torch.Tensor]]:
    """Convert a checkpoint's tensors to our state dict, each of them contiguous: first what is outside of the blocks,
    then one block after another.

    One tensor of the checkpoint is read at a time, so that at most one is in memory in addition to the weights.

    Args:
        rename: from a name in the checkpoint to the name without program-specific prefixes; None skips the tensor.
        ignored: whether an unused tensor of that name may be ignored.
        encoder: if True, the table is complete; otherwise missing biases are filled with zeros.
        n_layers_in_file: number of layers in the file, if only the first `cfg.n_layers` are needed.
        own: copy every tensor, so that the weights can be edited; otherwise what fits stays the checkpoint's memory.

    Raises:
        ValueError: lists every tensor that is missing, unexpected or of the wrong shape, or else every one that is
            not finite or not floating point.
    """
    axes = axes_of(cfg)
    in_file = _by_plain_name(source, rename)
    takes = _expanded(table, cfg.n_layers)
    _check(source, takes, in_file, axes, _names_of(table, n_layers_in_file or cfg.n_layers), ignored)
    users: dict[int | None, dict[str, list[str]]] = {None: {}}
    for ours, take in takes.items():
        users.setdefault(layer_of(ours), {}).setdefault(in_file[take.name], []).append(ours)
    shapes: dict[int | None, dict[str, tuple[int, ...]]] = {}
    for ours, shape in ({} if encoder else classic_shapes(cfg)).items():
        shapes.setdefault(layer_of(ours), {})[ours] = shape

    problems: list[str] = []
    for layer, names in users.items():
        made: dict[str, torch.Tensor] = {}
        for name, wanted in names.items():
            stored = source.peek(name)
            if (problem := weight_problem(stored)) is not None:
                problems.append(f"{name} {problem}")
            elif not problems:
                for ours in wanted:
                    take, tensor = takes[ours], _made(takes[ours], stored, axes, dtype)
                    made[ours] = _kept(tensor, stored, source, name, take, axes, own, len(wanted) > 1)
            del stored  # before the next one is read
        if not problems:
            state = {grouped_name(ours, cfg): made.pop(ours) for ours in list(made)}
            yield state if encoder else _with_zero_biases(state, shapes.get(layer, {}), source.where)
    refuse_weights(problems, source.where)


def layer_of(name: str) -> int | None:
    """The layer that a weight belongs to; None outside of the blocks."""
    return int(name.split(".")[1]) if name.startswith("blocks.") else None


def _kept(
    tensor: torch.Tensor,
    stored: torch.Tensor,
    source: TensorSource,
    name: str,
    take: Take,
    axes: Axes,
    own: bool,
    shared: bool,
) -> torch.Tensor:
    """A tensor that can be kept, from one that may be a view of what was only read to be looked at."""
    if tensor.untyped_storage().data_ptr() != stored.untyped_storage().data_ptr():
        return tensor
    if source.fresh:
        whole = tensor.nbytes == stored.untyped_storage().nbytes()
        return tensor if whole and not shared else tensor.clone()
    return tensor.clone() if own else take.apply(source.get(name), axes)


def _made(take: Take, stored: torch.Tensor, axes: Axes, dtype: torch.dtype | None) -> torch.Tensor:
    tensor = take.apply(stored, axes)
    wanted = dtype or tensor.dtype
    if take.then is not None:
        # In the wider type, as the family's own forward pass does; then down to what is wanted.
        exact = torch.promote_types(torch.promote_types(tensor.dtype, wanted), torch.float32)
        tensor = take.then(tensor.to(exact), axes)
    return as_stored(tensor, wanted)


def as_stored(tensor: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """The tensor in a data type and contiguous, with one copy at most."""
    if tensor.dtype == dtype and tensor.is_contiguous():
        return tensor
    return torch.empty(tensor.shape, dtype=dtype, device=tensor.device).copy_(tensor)


def _expanded(table: Table, n_layers: int) -> dict[str, Take]:
    takes: dict[str, Take] = {}
    for ours, take in table.items():
        if "{i}" not in ours:
            takes[ours] = take
            continue
        for layer in range(n_layers):
            name = take.name.replace("{i}", str(layer))
            takes[ours.replace("{i}", str(layer))] = Take(name, take.pattern, take.part, take.then)
    return takes


def _names_of(table: Table, n_layers: int) -> set[str]:
    return {take.name for take in _expanded(table, n_layers).values()}


def _by_plain_name(source: TensorSource, rename: Callable[[str], str | None]) -> dict[str, str]:
    in_file: dict[str, str] = {}
    for name in source.names():
        plain = rename(name)
        if plain is None:
            continue
        if plain in in_file:
            raise ValueError(
                f"{source.where} has both {in_file[plain]!r} and {name!r}, which are the same tensor."
            )
        in_file[plain] = name
    return in_file


def _check(
    source: TensorSource,
    takes: Mapping[str, Take],
    in_file: Mapping[str, str],
    axes: Axes,
    known: set[str],
    ignored: Callable[[str], bool],
) -> None:
    # Under the file's own names, so that an error shows names that the reader can find.
    expected = {in_file.get(take.name, take.name): take.expected_shape(axes) for take in takes.values()}
    found = {
        stored: source.shape(stored)
        for plain, stored in in_file.items()
        if stored in expected or (plain not in known and not ignored(plain))
    }
    check_state_dict(found, expected, what=f"the tensors of {source.where}")


def _with_zero_biases(
    state: dict[str, torch.Tensor], shapes: Mapping[str, tuple[int, ...]], where: str
) -> dict[str, torch.Tensor]:
    example = next(iter(state.values()), torch.empty(0))
    for name in shapes.keys() - state.keys():
        if name.rpartition(".")[2].lstrip("_").startswith("b_"):
            state[name] = torch.zeros(shapes[name], dtype=example.dtype)
    check_state_dict(shapes_of(state), shapes, what=f"the tensors of {where}")
    return state
