"""Streams of training activations: endless, shuffled batches that can be resumed at any point.

A stream's state is a handful of numbers. Each shuffle is seeded by the stream's seed and the position in the stream, so
that the same batches follow after a crash.
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.arguments import brief_repr, checked_arguments, checked_constructor, is_whole_number, shown
from mechscope.dictionaries._seeding import seeded
from mechscope.model.precision import at_least_float32


@dataclass(frozen=True)
class Batch:
    """Activations, and a transcoder's targets."""

    x: Float[Tensor, "*batch d_in"]
    """The inputs."""
    target: Float[Tensor, "*batch d_out"] | None = None
    """The targets; None if they are the same as the inputs."""

    __repr__ = brief_repr

    def __len__(self) -> int:
        return len(self.x)

    def __getitem__(self, rows: Any) -> Batch:
        return Batch(self.x[rows], None if self.target is None else self.target[rows])


class Stream(ABC):
    """An endless stream of batches."""

    batch_size: int
    """Activations per batch."""
    source: str
    """A description of where the activations come from, for errors and provenance."""

    @property
    @abstractmethod
    def d_in(self) -> int:
        """Width of the inputs."""

    @property
    @abstractmethod
    def d_out(self) -> int | None:
        """Width of the targets; None without targets."""

    @abstractmethod
    def peek(self, n: int) -> Batch:
        """Up to n activations from the start of the stream, without advancing it."""

    @abstractmethod
    def __next__(self) -> Batch:
        """The next batch."""

    def __iter__(self) -> Self:
        return self

    def made_from(self) -> Mapping[str, str]:
        """Checksums, by name, of whatever the activations are computed from and `source` does not identify.

        Checkpoints and folders of shards store them, and can only be resumed with the same ones. They are not checksums
        of the activations, which differ by rounding from machine to machine.
        """
        return {}

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """The position in the stream, as numbers, strings and lists of them."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go to a position that `state_dict` returned."""


class BlockStream(Stream):
    """A stream over blocks of activations, with one block in memory at a time.

    Each block is shuffled anew in each pass. A remainder that does not fill a batch is dropped.
    """

    def __init__(self, batch_size: int, seed: int) -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, not {batch_size!r}.")
        self.batch_size = batch_size
        self.seed = seed
        self._epoch = self._number = self._next = 0
        self._loaded: tuple[int, int] | None = None
        self._block = Batch(torch.empty(0, 0))
        self._order = torch.empty(0, dtype=torch.long)

    @abstractmethod
    def blocks(self) -> int:
        """The number of blocks in one pass over the data."""

    @abstractmethod
    def read_block(self, epoch: int, number: int) -> Batch:
        """The activations of one block, checked, in any fixed order."""

    # For streams that can be divided among ranks (`distributed/split_stream.py`).

    splits: bool = False
    """Whether parts of a block can be read separately."""

    def bounds(self, epoch: int, number: int, parts: int) -> list[int]:
        """The start of each part within a block, followed by the end of the last part."""
        raise NotImplementedError

    def read_part(self, epoch: int, number: int, part: int, parts: int) -> Batch:
        """The activations of a block between two of its bounds."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """A hash that identifies the data behind the activations."""
        raise NotImplementedError

    # The order of reading ---------------------------------------------------------------------------

    def _load(self) -> None:
        if self._loaded != (self._epoch, self._number):
            self._block = Batch(torch.empty(0, 0))  # free the old block before reading the next one
            self._block = self.read_block(self._epoch, self._number)
            self._order = self._draw_order(self._epoch, self._number)
            self._loaded = (self._epoch, self._number)

    def _draw_order(self, epoch: int, number: int) -> Tensor:
        return block_order(self.seed, epoch, number, len(self._block))

    def _take(self, rows: Tensor) -> Batch:
        """Rows of the loaded block."""
        return self._block[rows.to(self._block.x.device)]

    def __next__(self) -> Batch:
        for _ in range(self.blocks() + 1):
            self._load()
            rows = self._order[self._next : self._next + self.batch_size]
            if len(rows) == self.batch_size:
                self._next += self.batch_size
                return self._take(rows)
            self._number, self._next = self._number + 1, 0
            if self._number == self.blocks():
                self._epoch, self._number = self._epoch + 1, 0
        raise ValueError(f"no block of {self.source} holds a batch of {self.batch_size} activations.")

    def peek(self, n: int) -> Batch:
        self._load()
        return self._take(self._order[:n])

    def state_dict(self) -> dict[str, Any]:
        return {"epoch": self._epoch, "block": self._number, "next": self._next}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._epoch, self._number, self._next = (place_in(state, name) for name in ("epoch", "block", "next"))


@checked_constructor
class TensorStream(BlockStream):
    """Activations in memory, shuffled anew in each pass.

    Args:
        x: activations [*batch d_in].
        target: a transcoder's targets [*batch d_out].

    Raises:
        ValueError: for fewer activations than a batch, activations that are not finite, or targets that do not fit.
    """

    def __init__(
        self,
        x: Float[Tensor, "*batch d_in"],
        target: Float[Tensor, "*batch d_out"] | None = None,
        *,
        batch_size: int,
        seed: int = 0,
        source: str = "the tensor",
    ) -> None:
        super().__init__(batch_size, seed)
        self.source = source
        if x.ndim < 2:
            raise ValueError(f"activations must have the shape [batch d_in], not {tuple(x.shape)}.")
        if target is not None and target.shape[:-1] != x.shape[:-1]:
            raise ValueError(
                f"targets {tuple(target.shape)} and activations {tuple(x.shape)} must have the same examples."
            )
        self._all = Batch(
            x.detach().flatten(0, -2), None if target is None else target.detach().flatten(0, -2)
        )
        if len(self._all) < batch_size:
            raise ValueError(
                f"{source} has {len(self._all)} activations, fewer than one batch of {batch_size}."
            )
        check_finite(self._all, source)

    @property
    def d_in(self) -> int:
        return self._all.x.shape[1]

    @property
    def d_out(self) -> int | None:
        return None if self._all.target is None else self._all.target.shape[1]

    def blocks(self) -> int:
        return 1

    def read_block(self, epoch: int, number: int) -> Batch:
        return self._all

    splits = True

    def bounds(self, epoch: int, number: int, parts: int) -> list[int]:
        return even_bounds(len(self._all), parts)

    def read_part(self, epoch: int, number: int, part: int, parts: int) -> Batch:
        begin, end = self.bounds(epoch, number, parts)[part : part + 2]
        return self._all[begin:end]

    def fingerprint(self) -> str:
        return hash_of(self._all.x, self._all.target)


Draw = Callable[[int, torch.Generator], Tensor | tuple[Tensor, Tensor]]


@checked_constructor
class GeneratorStream(Stream):
    """Activations that are generated on demand.

    Args:
        draw: a function of n and a generator that returns activations [n d_in], or activations and targets. For
            synthetic features: `lambda n, g: features.sample(n, g)[0]`.
    """

    def __init__(self, draw: Draw, *, batch_size: int, seed: int = 0, source: str = "the generator") -> None:
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ValueError(f"batch_size must be a whole number of at least 1, not {batch_size!r}.")
        self.batch_size, self.seed, self.source = batch_size, seed, source
        self._draw = draw
        self._step = 0
        first = self._make(2, 0, 0)
        self._d_in = first.x.shape[1]
        self._d_out = None if first.target is None else first.target.shape[1]

    def _make(self, n: int, kind: int, number: int) -> Batch:
        drawn = self._draw(n, seeded(self.seed, kind, number))
        batch = Batch(*drawn) if isinstance(drawn, tuple) else Batch(drawn)
        if batch.x.ndim != 2 or len(batch) != n:
            raise ValueError(
                f"{self.source} should return {n} activations [{n} d_in], not shape {tuple(batch.x.shape)}."
            )
        check_finite(batch, self.source)
        return batch

    @property
    def d_in(self) -> int:
        return self._d_in

    @property
    def d_out(self) -> int | None:
        return self._d_out

    def peek(self, n: int) -> Batch:
        return self._make(n, 0, 0)

    def __next__(self) -> Batch:
        self._step += 1
        return self._make(self.batch_size, 1, self._step)

    def state_dict(self) -> dict[str, Any]:
        return {"step": self._step}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._step = place_in(state, "step")


def place_in(state: Mapping[str, Any], name: str) -> int:
    """A counter in a stream's state.

    Raises:
        ValueError: if the state lacks it or has a value of the wrong kind.
    """
    found = state.get(name)
    if not is_whole_number(found, least=0):
        raise ValueError(f"a stream's {name} must be a whole number of at least 0, not {shown(found)}.")
    return found


def block_order(seed: int, epoch: int, number: int, size: int) -> Int[Tensor, " activation"]:
    """The order in which the activations of a block are used."""
    return torch.randperm(size, generator=seeded(seed, 1, epoch, number))


def even_bounds(size: int, parts: int) -> list[int]:
    """The starts of parts of nearly equal size, followed by the end of the last one.

    >>> even_bounds(7, 2)
    [0, 3, 7]
    """
    return [size * part // parts for part in range(parts + 1)]


def hash_of(*tensors: Tensor | None) -> str:
    """The SHA-256 of tensors' bytes."""
    digest = hashlib.sha256()
    for tensor in tensors:
        if tensor is not None:
            digest.update(tensor.detach().cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()


def check_finite(batch: Batch, source: str, first_row: int = 0) -> None:
    """Raise ValueError if an activation or a target is NaN or infinite; the error says which."""
    for what, tensor in (("activation", batch.x), ("target", batch.target)):
        if tensor is None:
            continue
        # The sum is finite unless an entry is not, or it overflows, which the next check rules out.
        if not bool(tensor.sum(dtype=torch.float64).isfinite()):
            bad = (~tensor.isfinite()).any(-1).nonzero().flatten()
            if len(bad):
                raise ValueError(
                    f"{what} {first_row + int(bad[0])} of {source} has NaN or infinite entries ({len(bad)} of "
                    f"{len(tensor)} do): a dictionary cannot be trained on them. Check the model's dtype first."
                )


@dataclass(frozen=True)
class Scales:
    """The factors of activations and targets."""

    scale_in: float
    """Factor of the inputs."""
    scale_out: float | None
    """Factor of a transcoder's targets; None without targets."""


@checked_arguments
def estimate_scale(sample: Batch, source: str) -> Scales:
    """Factors that give a sample of activations (and of targets) a mean length of √width.

    Source: Conerly et al. 2024, "Update on how we train SAEs".

    Raises:
        ValueError: if all are zero.
    """
    scale_out = None if sample.target is None else _factor(sample.target, source)
    return Scales(_factor(sample.x, source), scale_out)


def scale_by_layer(x: Float[Tensor, "batch d_in"], n_layers: int, source: str) -> Float[Tensor, " d_in"]:
    """One factor per layer for concatenated layers, repeated for each coordinate of d_in."""
    layers = x.chunk(n_layers, dim=-1)
    return torch.cat([torch.full((layer.shape[1],), _factor(layer, source)) for layer in layers])


def _factor(x: Tensor, source: str) -> float:
    length = float(at_least_float32(x).norm(dim=-1).mean())
    if not length > 0:
        raise ValueError(f"all activations of {source} are zero: there is nothing to learn.")
    return x.shape[-1] ** 0.5 / length
