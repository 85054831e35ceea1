"""A batch of interventions that grows layer by layer: each joins at its first edited block.

Everything before an intervention's first block and first position is taken from the base run. Interventions that begin
with the same edits share one row of the batch until their edits differ. In the last block only the positions that the
metric reads are computed, and the keys and values that they need.
"""

from __future__ import annotations

import itertools
from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import torch
from einops import rearrange, repeat

from mechscope.model.components import run_block
from mechscope.model.components.pass_context import repeat_rows
from mechscope.model.hook_points import hook_scope
from mechscope.model.precision import at_least_float32
from mechscope.model.sites import Site
from mechscope.techniques.sweep._plan import Row
from mechscope.techniques.sweep.base_run import BaseRun
from mechscope.techniques.sweep.edit import Edit

if TYPE_CHECKING:
    from mechscope.model.hook_points import HookPoint, Listener


class Wavefront:
    """Runs one group of interventions that start at the same position.

    Args:
        base: the run without interventions.
        reads: positions that the metric reads [batch answer]; None for all.
        length: number of positions that can matter (in a causal model, those after the last one read cannot).
        whole: compute every position of every block reached, because another hook expects whole activations.
    """

    def __init__(self, base: BaseRun, reads: torch.Tensor | None, length: int, whole: bool) -> None:
        self.base = base
        self.reads = reads
        self.length = length
        self.whole = whole
        self.model = base.model
        self._listened: set[int] | None = None

    def run(self, rows: Sequence[Row]) -> tuple[list[Row], torch.Tensor]:
        """Run the rows to the end; returns them in the order of the batch, with the final residual stream.

        The stream is [row batch answer d_model], or [row batch pos d_model] if `reads` is None.
        """
        n_layers = self.model.cfg.n_layers
        window = range(rows[0].start, self.length)
        if n_layers == 0:
            return list(rows), self._read(self._start(window, rows), window)
        state: torch.Tensor | None = None
        # Each row of the state stands for the interventions that are alike so far, by the first of them.
        running: list[Row] = []
        entering: list[Row] = []
        stands_for: dict[Row, list[Row]] = {}
        for layer in range(min(row.layer for row in rows), n_layers):
            if state is not None:
                state, running = self._split(layer, state, running, stands_for)
            entering = [row for row in rows if row.layer == layer]
            stands_for |= {some[0]: some for some in _alike(entering, layer)}
            entering = [row for row in entering if row in stands_for]
            if layer == n_layers - 1:
                break
            if state is not None:
                state = self._block(layer, state, window, running)
            for group, entered in self._enter(layer, window, entering):
                state = entered if state is None else torch.cat([state, entered])
                running = running + group
        finished: list[tuple[list[Row], torch.Tensor]] = []
        layer = n_layers - 1
        if state is not None:
            finished += self._last(layer, state, window, running)
        finished += [(group, self._read(end, window)) for group, end in self._enter(layer, window, entering)]
        order = list(itertools.chain.from_iterable(group for group, _ in finished))
        ends = torch.cat([end for _, end in finished])
        if len(order) < len(rows):
            counts = torch.tensor([len(stands_for[row]) for row in order], device=ends.device)
            ends = ends.repeat_interleave(counts, 0)
        return list(itertools.chain.from_iterable(stands_for[row] for row in order)), ends

    def _split(
        self, layer: int, state: torch.Tensor, running: list[Row], stands_for: dict[Row, list[Row]]
    ) -> tuple[torch.Tensor, list[Row]]:
        """Give interventions whose edits differ in this block rows of their own."""
        after: list[Row] = []
        came_from: list[int] = []
        for place, row in enumerate(running):
            for some in _alike(stands_for.pop(row), layer):
                stands_for[some[0]] = some
                after.append(some[0])
                came_from.append(place)
        return (state if len(after) == len(running) else state[came_from]), after

    # Blocks ---------------------------------------------------------------------------------

    def _block(self, layer: int, state: torch.Tensor, window: range, rows: Sequence[Row]) -> torch.Tensor:
        """Run a whole block for rows in progress: [row batch window d_model] -> the same shape."""
        count, base = len(rows), self.base
        with self._editing(layer, rows, window):
            after = run_block(
                self.model.blocks[layer],
                rearrange(state, "row batch pos d_model -> (row batch) pos d_model"),
                base.prefix(layer, window.start, count),
                base.context.window(window, count),
            )
        return rearrange(after, "(row batch) pos d_model -> row batch pos d_model", row=count)

    def _enter(
        self, layer: int, window: range, rows: Iterable[Row]
    ) -> Generator[tuple[list[Row], torch.Tensor]]:
        """The residual stream after the first block of new rows [row batch window d_model].

        If only an edit's own position reads it within the block, the other positions stay unchanged. If all edits
        come after attention, attention is not computed.
        """

        causal = self.model.cfg.attention_dir == "causal"

        def kind(row: Row) -> tuple[int, bool]:
            edits = row.at(layer)
            if self.whole:
                return (window.stop, False)
            before_z = any(edit.site.before_z for edit in edits) or self._listened_before_rest(layer)
            # Without a causal mask a query reads later keys too, so attention needs them all.
            spreads = any(edit.site.spreads for edit in edits) or (before_z and not causal)
            end = window.stop if spreads else min(window.stop, max(edit.end(window.stop) for edit in edits))
            return (end, not before_z)

        for (end, after_attention), group in itertools.groupby(sorted(rows, key=kind), key=kind):
            together = list(group)
            edited = range(window.start, end)
            start = self._start(edited, together, layer)
            if after_attention:
                after = self._rest_of_block(layer, start, edited, together)
            else:
                after = self._block(layer, start, edited, together)
            if end < window.stop:
                unchanged = self.base.resid(layer + 1)[:, end : window.stop].expand(len(together), -1, -1, -1)
                after = torch.cat([after, unchanged], dim=2)
            yield together, after

    def _start(self, window: range, rows: Sequence[Row], layer: int = 0) -> torch.Tensor:
        """The input of the first block of new rows [row batch window d_model]."""
        start = repeat(
            self.base.resid(layer)[:, window.start : window.stop],
            "batch pos d_model -> row batch pos d_model",
            row=len(rows),
        )
        return self._edit_embeddings(start, window, rows) if layer == 0 else start

    def _listened_before_rest(self, layer: int) -> bool:
        """Whether resuming a block at z would skip a listener, such as a dictionary, or fire it twice."""
        if self._listened is None:
            sites = (
                Site.of(name)
                for name, point in self.model.hook_dict.items()
                if point.watched and name.startswith("blocks.")
            )
            self._listened = {site.layer for site in sites if not site.after_z}
        return layer in self._listened

    def _rest_of_block(
        self, layer: int, start: torch.Tensor, window: range, rows: Sequence[Row]
    ) -> torch.Tensor:
        """Run a block from z on."""
        block, count = self.model.blocks[layer], len(rows)
        z = self.base[f"blocks.{layer}.attn.hook_z"][:, window.start : window.stop]
        with self._editing(layer, rows, window):
            after = block.after_heads(
                rearrange(start, "row batch pos d_model -> (row batch) pos d_model"),
                block.attn.hook_z(repeat_rows(z, count)),
            )
        return rearrange(after, "(row batch) pos d_model -> row batch pos d_model", row=count)

    def _last(
        self, layer: int, state: torch.Tensor, window: range, rows: Sequence[Row]
    ) -> list[tuple[list[Row], torch.Tensor]]:
        """Run the last block: completely for rows with edits in it, otherwise only at positions that are read."""
        whole = self.whole or self._listened_before_rest(layer)
        edited = [place for place, row in enumerate(rows) if whole or row.at(layer)]
        plain = [place for place in range(len(rows)) if place not in set(edited)]
        if self.reads is None:
            edited, plain = list(range(len(rows))), []
        finished: list[tuple[list[Row], torch.Tensor]] = []
        if edited:
            group = [rows[place] for place in edited]
            after = self._block(layer, state if not plain else state[edited], window, group)
            finished.append((group, self._read(after, window)))
        if plain:
            group = [rows[place] for place in plain]
            after = self._block_where_read(layer, state if not edited else state[plain], window)
            finished.append((group, after))
        return finished

    def _block_where_read(self, layer: int, state: torch.Tensor, window: range) -> torch.Tensor:
        """Run the last block at the positions read: [row batch window d_model] -> [row batch answer d_model]."""
        assert self.reads is not None
        count, base = len(state), self.base
        resid = rearrange(state, "row batch pos d_model -> (row batch) pos d_model")
        # Answers before the window do not change: any valid position is computed, and replaced afterwards.
        where = self.reads.clamp(min=window.start)
        same = bool((where == where[:1]).all())
        context = base.context.window(window, count, where[0] if same else where)
        after = self.model.blocks[layer].at_queries(resid, context, base.prefix(layer, window.start, count))
        after = rearrange(after, "(row batch) pos d_model -> row batch pos d_model", row=count)
        if bool((self.reads < window.start).any()):
            after = torch.where((self.reads < window.start)[..., None], self._base_at_reads(), after)
        return after

    def _read(self, after: torch.Tensor, window: range) -> torch.Tensor:
        """Select the positions that are read from [row batch window d_model]; all positions if `reads` is None."""
        base = self.base.resid(self.model.cfg.n_layers)
        if self.reads is None:
            before = base[:, : window.start].expand(len(after), -1, -1, -1)
            return torch.cat([before, after], dim=2) if window.start else after
        where = (self.reads - window.start).clamp(min=0)
        picked = after[:, torch.arange(len(where), device=where.device)[:, None], where]
        if bool((self.reads < window.start).any()):
            picked = torch.where((self.reads < window.start)[..., None], self._base_at_reads(), picked)
        return picked

    def _base_at_reads(self) -> torch.Tensor:
        assert self.reads is not None
        rows = torch.arange(len(self.reads), device=self.reads.device)[:, None]
        return self.base.resid(self.model.cfg.n_layers)[rows, self.reads]

    # Edits ----------------------------------------------------------------------------------

    def _edit_embeddings(self, start: torch.Tensor, window: range, rows: Sequence[Row]) -> torch.Tensor:
        """Add the change from edits of an embedding to the first residual stream."""
        changed = start
        for place, row in enumerate(rows):
            for edit in row.at(0):
                if edit.hook == edit.site.part:
                    before = self.base[edit.hook][:, window.start : window.stop]
                    after = before.clone()
                    edit.apply(after, window)
                    changed = (
                        start.clone() if changed is start else changed
                    )  # start may be the base run's own
                    changed[place] += at_least_float32(after) - at_least_float32(before)
        return changed

    @contextmanager
    def _editing(self, layer: int, rows: Sequence[Row], window: range) -> Generator[None]:
        """Within the context, the rows' edits of one block are hooks on it."""
        by_hook: dict[str, list[tuple[int, Edit]]] = {}
        for place, row in enumerate(rows):
            for edit in row.at(layer):
                if edit.hook != edit.site.part:  # an embedding is edited before the block
                    by_hook.setdefault(edit.hook, []).append((place, edit))
        added: list[tuple[HookPoint, Listener]] = []
        with hook_scope(self.model) as scope:
            try:
                for hook, edits in by_hook.items():
                    point = self.model.hook_dict[hook]
                    editor = _Editor(edits, len(rows), window)
                    added.append((point, point.add_hook(editor, label=hook, scope=scope)))
                yield
                for point, listener in added:
                    if not listener.fired:
                        raise RuntimeError(
                            f"the edit of {point.name!r} never took effect: this model does not compute it here."
                        )
            finally:
                for point, listener in added:
                    point.discard(listener)


def _alike(rows: Sequence[Row], layer: int) -> list[list[Row]]:
    """Divide rows into groups whose edits of a block are the same."""
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(row.identities.get(layer, ()), []).append(row)
    return list(groups.values())


class _Editor:
    """A hook that applies each row's edits to its part of a batch."""

    def __init__(self, edits: list[tuple[int, Edit]], rows: int, window: range) -> None:
        self.edits, self.rows, self.window = edits, rows, window

    def __call__(self, activation: torch.Tensor, hook: Any) -> torch.Tensor:
        # Inputs split by head are expanded views and cannot be written to.
        if any(
            stride == 0
            for stride, size in zip(activation.stride(), activation.shape, strict=True)
            if size > 1
        ):
            activation = activation.contiguous()
        by_row = activation.view(self.rows, -1, *activation.shape[1:])
        for place, edit in self.edits:
            edit.apply(by_row[place], self.window)
        return activation
