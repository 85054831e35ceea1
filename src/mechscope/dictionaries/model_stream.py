"""A stream of activations at a model's hook points, through a shuffled buffer of limited size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mechscope.arguments import checked_constructor
from mechscope.checkpoints.weights_checksum import DIGITS, checksum_of_parameters
from mechscope.dictionaries._seeding import seeded
from mechscope.dictionaries.head import check_head, read_part
from mechscope.dictionaries.position_mask import (
    ExcludeTokens,
    excluded_ids,
    position_mask,
    tokens_with_mask,
)
from mechscope.dictionaries.stream import Batch, BlockStream, check_finite, even_bounds, hash_of
from mechscope.model.encoder import HookedEncoder
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.model.token_batch import TextOrIds
from mechscope.model.transformer import HookedTransformer


@checked_constructor
class ModelStream(BlockStream):
    """Activations at hook points over rows of tokens, in a new order in each pass.

    A buffer holds the activations of as many rows as fit into `buffer_size`. It is shuffled as a whole, used up, and
    filled again. It takes buffer_size · (d_in + d_out) numbers of memory, whatever the size of the corpus.

    Args:
        model: a transformer or an encoder.
        tokens: texts, or token ids [batch pos].
        hook_name: the hook point to read. Several are concatenated layer by layer (for a crosscoder).
        target_hook_name: the hook point that a transcoder writes to.
        batch_size: activations per batch.
        buffer_size: activations in the buffer.
        mask: True where a token is not padding [batch pos]; None uses the tokens' own mask (see `model.as_tokens`).
        exclude_special_tokens: True for the tokenizer's special tokens (begin, end, padding …), or ids of tokens:
            their positions are excluded everywhere, but attention still sees them.
        head: read only this head of a hook point with heads [batch pos head width].
        target_head: the head that a transcoder writes.
        skip_first: how many real tokens to exclude at the start of each row: a first token's activation is often
            hundreds of times as long as any other.
        rows_at_once: rows per forward pass.
        dtype: data type of the activations in the buffer.
        weights: a checksum of the model's weights; None computes one from its parameters when it is needed.

    Raises:
        KeyError: for a hook name that the model lacks; suggests the closest ones.
        ValueError: for tokens of another shape, a hook point whose activation is not one vector per position, and
            fewer activations than a buffer or a batch needs.
    """

    def __init__(
        self,
        model: HookedRootModule,
        tokens: Int[Tensor, "batch pos"] | TextOrIds,
        hook_name: str | Sequence[str],
        *,
        batch_size: int,
        buffer_size: int,
        target_hook_name: str | Sequence[str] | None = None,
        mask: Bool[Tensor, "batch pos"] | None = None,
        skip_first: int = 0,
        exclude_special_tokens: ExcludeTokens = False,
        head: int | None = None,
        target_head: int | None = None,
        rows_at_once: int = 16,
        seed: int = 0,
        dtype: torch.dtype = torch.float32,
        weights: str | None = None,
    ) -> None:
        super().__init__(batch_size, seed)
        self.model, self.tokens = model, tokens_with_mask(model, tokens, mask)
        self.read = model.match_hook_names(_names(hook_name))
        if not self.read:
            raise ValueError("hook_name is an empty list: name the hook point, or points, to read.")
        self.written = [] if target_hook_name is None else model.match_hook_names(_names(target_hook_name))
        self.rows_at_once, self.dtype, self._weights = rows_at_once, dtype, weights
        self.source = f"{' + '.join(self.read)} over {len(self.tokens)} rows of {self.tokens.shape[1]} tokens"
        self.head, self.target_head = check_head(head), check_head(target_head, "target_head")
        if self.head is not None:
            self.source = f"head {self.head} of {self.source}"
        excluded = excluded_ids(model, exclude_special_tokens)
        self._used = position_mask(self.tokens, skip_first, excluded).cpu()
        self._rows = self._rows_a_block(buffer_size)
        probe = self._activations(self.tokens[:1])
        self._d_in = probe.x.shape[-1]
        self._d_out = None if probe.target is None else probe.target.shape[-1]

    def _rows_a_block(self, buffer_size: int) -> int:
        available = int(self._used.sum())
        if buffer_size < self.batch_size:
            raise ValueError(f"a buffer of {buffer_size} activations holds no batch of {self.batch_size}.")
        if available < buffer_size:
            raise ValueError(
                f"{self.source} have {available} activations, fewer than the buffer of {buffer_size}: give more "
                f"text, or buffer_size={available} at most."
            )
        # Rows may differ in their number of used positions; a buffer for all positions holds any row.
        everything = buffer_size == available
        rows = len(self.tokens) if everything else int(buffer_size // self._used.sum(1).max())
        # Rows with padding fill the buffer less, and one that holds less than a batch would never yield any.
        if not rows or rows * float(self._used.sum(1).float().mean()) < self.batch_size:
            raise ValueError(
                f"a buffer of {buffer_size} activations holds {rows} rows of {self.tokens.shape[1]} tokens, too "
                f"few for batches of {self.batch_size}: make it larger."
            )
        return rows

    @property
    def d_in(self) -> int:
        return self._d_in

    @property
    def d_out(self) -> int | None:
        return self._d_out

    def blocks(self) -> int:
        return -(-len(self.tokens) // self._rows)

    def read_block(self, epoch: int, number: int) -> Batch:
        return self._read(self._rows_of(epoch, number))

    splits = True

    def bounds(self, epoch: int, number: int, parts: int) -> list[int]:
        rows = self._rows_of(epoch, number)
        ends = [0, *self._used[rows].sum(1).cumsum(0).tolist()]
        return [ends[row] for row in even_bounds(len(rows), parts)]

    def read_part(self, epoch: int, number: int, part: int, parts: int) -> Batch:
        rows = self._rows_of(epoch, number)
        begin, end = even_bounds(len(rows), parts)[part : part + 2]
        return self._read(rows[begin:end])

    def made_from(self) -> Mapping[str, str]:
        # Computed each time, because a model in memory can be changed.
        weights = checksum_of_parameters(self.model) if self._weights is None else self._weights
        return {"model weights": weights, "tokens": hash_of(self.tokens.ids, self._used)[:DIGITS]}

    def fingerprint(self) -> str:
        return " ".join(self.made_from().values())

    def _rows_of(self, epoch: int, number: int) -> Tensor:
        order = torch.randperm(len(self.tokens), generator=seeded(self.seed, 2, epoch))
        return order[number * self._rows : (number + 1) * self._rows]

    def _read(self, mine: Tensor) -> Batch:
        if not len(mine):
            # The block has fewer rows than parts.
            width = None if self._d_out is None else torch.empty(0, self._d_out, dtype=self.dtype)
            return Batch(torch.empty(0, self._d_in, dtype=self.dtype), width)
        size = int(self._used[mine].sum())
        x = target = None
        filled = 0
        for rows in mine.split(self.rows_at_once):
            chosen = rows.to(self.tokens.device)
            some = self._activations(self.tokens[chosen])
            keep = self._used[rows].to(some.x.device)
            piece = Batch(some.x[keep], None if some.target is None else some.target[keep])
            if x is None:
                x = piece.x.new_empty(size, self._d_in)
                target = None if piece.target is None else piece.target.new_empty(size, piece.target.shape[1])
            x[filled : filled + len(piece)] = piece.x
            if target is not None and piece.target is not None:
                target[filled : filled + len(piece)] = piece.target
            filled += len(piece)
        assert x is not None
        batch = Batch(x, target)
        check_finite(batch, self.source)
        return batch

    @torch.no_grad()
    def _activations(self, tokens: Tensor) -> Batch:
        """Activations [batch pos width] at the points that are read and written."""
        names = [*dict.fromkeys([*self.read, *self.written])]
        _, cache = self.model.run_with_cache(tokens, names_filter=names, **self._how_far(names))
        read = [self._flat(name, cache[name], tokens, self.head) for name in self.read]
        written = [self._flat(name, cache[name], tokens, self.target_head) for name in self.written]
        return Batch(torch.cat(read, -1), torch.cat(written, -1) if written else None)

    def _how_far(self, names: list[str]) -> dict[str, Any]:
        """Options that skip the blocks after the last hook point, and the unembedding."""
        if isinstance(self.model, HookedEncoder):
            return {"return_type": None}
        if not isinstance(self.model, HookedTransformer):
            return {}
        how: dict[str, Any] = {"return_type": None}
        layers = [int(name.split(".")[1]) for name in names if name.startswith("blocks.")]
        if len(layers) == len(names) and max(layers) + 1 < self.model.cfg.n_layers:
            how["stop_at_layer"] = max(layers) + 1
        return how

    def _flat(self, name: str, activation: Tensor, tokens: Tensor, head: int | None) -> Tensor:
        """[batch pos width]: one head, or all heads concatenated."""
        if activation.shape[:2] != tokens.shape or activation.ndim not in (3, 4):
            raise ValueError(
                f"{name} has shape {tuple(activation.shape)}; a dictionary needs one vector for each of the "
                f"{tuple(tokens.shape)} tokens. (Attention patterns and scores have none.)"
            )
        return read_part(activation, head, name).to(self.dtype)


def _names(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)
