"""Many interventions on one run, each resumed where it begins, in batches within a memory budget."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

import torch
from jaxtyping import Float, Int
from tqdm import tqdm

from mechscope.arguments import checked_constructor
from mechscope.model.components import has_custom_parts
from mechscope.model.components.rotary import depends_on_length
from mechscope.model.hook_points import has_torch_hooks
from mechscope.model.precision import at_least_float32
from mechscope.model.token_batch import TextOrIds
from mechscope.techniques.sweep._lazy_logits import LazyLogits, NotComputed
from mechscope.techniques.sweep._memory import bytes_of_example, memory_budget
from mechscope.techniques.sweep._plan import Planner, Row, plan, share_of_passes
from mechscope.techniques.sweep._wavefront import Wavefront
from mechscope.techniques.sweep.base_run import BaseRun, resid_hooks
from mechscope.techniques.sweep.edit import Edit

if TYPE_CHECKING:
    from mechscope.model.transformer import HookedTransformer

Intervention = Edit | Sequence[Edit]
Measure = Callable[[torch.Tensor], torch.Tensor | float]
Progress = bool | Callable[[int], object]

# On a CPU larger batches gain nothing, because their activations no longer fit in the caches.
_POSITIONS_ON_CPU = 2048
_LOGITS_AT_ONCE = 64 << 20


@checked_constructor
class Sweep:
    """Tries interventions on one run of a model.

    An intervention at layer l and position p leaves everything before both unchanged, so it resumes
    from the base run's residual stream at l and its keys and values before p; only what the metric
    reads is unembedded. The results equal those of a full run for each intervention, within float error.

    Args:
        model: the model.
        tokens: the run that is intervened on [batch pos].
        reads: the positions whose logits the metric reads [batch answer]; None finds out which positions the
            metric indexes (see `LazyLogits`).
        vocabulary: the only tokens whose logits the metric reads; its last axis then has these, in order.
        attention_mask: 0 where a token is padding [batch pos].
        memory: bytes that a batch may take; None takes a quarter of what is free.
        progress: show a progress bar; or a function that is called with the number of interventions just finished.

    Raises:
        ValueError: for tokens or positions that do not fit.

    >>> import torch
    >>> from mechscope import HookedTransformer
    >>> model = HookedTransformer({"n_layers": 2, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5,
    ...                            "attn_only": True, "seed": 0})
    >>> sweep = Sweep(model, torch.tensor([[0, 1, 2]]), reads=torch.tensor([[2]]), progress=False)
    >>> heads = [Edit("blocks.0.attn.hook_z", value=0.0, head=head) for head in range(2)]
    >>> sweep.run(heads, lambda logits: logits[:, 0, 3].mean()).shape
    torch.Size([2])
    """

    def __init__(
        self,
        model: HookedTransformer,
        tokens: Int[torch.Tensor, "batch pos"] | TextOrIds,
        reads: Int[torch.Tensor, "batch answer"] | None = None,
        *,
        vocabulary: Int[torch.Tensor, " token"] | None = None,
        attention_mask: torch.Tensor | None = None,
        memory: int | None = None,
        progress: Progress = True,
    ) -> None:
        refuse_own_forward(model)
        self.model = model
        self.cache = BaseRun(model, tokens, attention_mask, also=resid_hooks(model))
        device = self.cache.tokens.device
        self.reads = None if reads is None else reads.to(device)
        if self.reads is not None and (
            self.reads.ndim != 2
            or len(self.reads) != self.cache.batch
            or not 0 <= int(self.reads.min()) <= int(self.reads.max()) < self.cache.length
        ):
            raise ValueError(
                f"the positions that are read must be [batch answer] with a batch of {self.cache.batch} and lie "
                f"between 0 and {self.cache.length - 1}; they have shape {tuple(self.reads.shape)}."
            )
        self.vocabulary = None if vocabulary is None else vocabulary.to(device)
        self.memory = memory_budget(memory, device)
        self.progress = progress
        self.partial: torch.Tensor | None = None
        """What was measured before an interruption; NaN for interventions that did not run."""

    @property
    def base_logits(self) -> Float[torch.Tensor, "batch answer d_vocab"]:
        """Logits of the run without interventions, at the positions that are read."""
        with torch.no_grad():
            return self._unembed(self._base_end(self.reads))

    def run(
        self, interventions: Iterable[Intervention], measure: Measure, description: str = ""
    ) -> torch.Tensor:
        """The measure of every intervention [intervention ...].

        Args:
            interventions: each is an edit, or several edits in one pass.
            measure: takes the logits of one patched run [batch answer d_vocab], and returns a number or a tensor whose
                shape is the same for all interventions.
            description: text for the progress bar.

        Raises:
            ValueError: for no interventions, edits that do not fit, or a measure that is NaN.
            KeyError: for hook points that do not exist.
        """
        given = _as_tuples(interventions)
        planner = self._check(given)
        with torch.no_grad():
            if self.reads is not None:
                return self._run(planner, given, self.reads, measure, description)
            return self._run_where_read(planner, given, measure, description)

    def full_passes(self, interventions: Iterable[Intervention]) -> float:
        """How many full passes the interventions amount to, to estimate their time; errors are those of `run`."""
        given = _as_tuples(interventions)
        with torch.no_grad():
            rows, _ = self._rows(self._check(given), given, self.reads)
        return share_of_passes(filter(None, rows), self.model.cfg.n_layers, self.cache.length)

    def _rows(
        self, planner: Planner, given: list[tuple[Edit, ...]], reads: torch.Tensor | None
    ) -> tuple[list[Row | None], int]:
        """From where each intervention is recomputed (None: it changes nothing), and how many positions can matter."""
        free_suffix = self._free_suffix()
        length = self.cache.length if reads is None or not free_suffix else int(reads.max()) + 1
        return [planner.row(place, edits, free_suffix, length) for place, edits in enumerate(given)], length

    def _run_where_read(
        self, planner: Planner, given: list[tuple[Edit, ...]], measure: Measure, description: str
    ) -> torch.Tensor:
        """Find out on the base run which positions the metric reads; compute all if it reads others later."""
        logits = self._lazy(self.cache.resid(self.model.cfg.n_layers), None, self._unembed)
        measure(logits)
        if logits.positions_read is not None:
            where = sorted(logits.positions_read)
            reads = torch.tensor(where, device=self.cache.tokens.device).expand(self.cache.batch, -1)
            try:
                return self._run(
                    planner,
                    given,
                    reads,
                    lambda found: measure(self._lazy(found, where, _unchanged)),
                    description,
                )
            except NotComputed:
                pass
        return self._run(
            planner, given, None, lambda end: measure(self._lazy(end, None, self._unembed)), description
        )

    def _lazy(
        self,
        values: torch.Tensor,
        positions: list[int] | None,
        unembed: Callable[[torch.Tensor], torch.Tensor],
    ) -> LazyLogits:
        shape = (self.cache.batch, self.cache.length, self.model.cfg.d_vocab_out)
        return LazyLogits.over(values, unembed, shape, positions)

    def _run(
        self,
        planner: Planner,
        given: list[tuple[Edit, ...]],
        reads: torch.Tensor | None,
        measure: Measure,
        description: str,
    ) -> torch.Tensor:
        """Measure each intervention: its logits at `reads`, or its residual stream if these are not known."""
        # Custom parts may read any position, so they are run as a whole.
        whole = self._must_be_whole()
        rows, length = self._rows(planner, given, reads)
        live = [row for row in rows if row is not None]
        # An edit that lets a query see later keys needs all positions.
        ahead = [row for row in live if any(map(planner.looks_ahead, row.edits))]
        behind = [row for row in live if row not in ahead]
        self._prepare(live)
        base_end = self._base_end(reads)
        base = _checked(
            measure(base_end if reads is None else self._unembed(base_end)), "the run without edits"
        )
        results: list[torch.Tensor | None] = [None] * len(given)
        tell = self.progress if callable(self.progress) else None
        off = bool(tell) or not self.progress
        bar = tqdm(total=len(given), desc=description or "interventions", disable=off)
        advance = tell or bar.update
        try:
            with bar:
                for place, row in enumerate(rows):
                    if row is None:
                        results[place] = base
                        advance(1)
                for some, until, all_of_it in ((behind, length, whole), (ahead, self.cache.length, True)):
                    front = Wavefront(self.cache, reads, until, all_of_it)
                    for group in plan(some, self._rows_at_once(some, until)):
                        order, ends = front.run(group)
                        readable = ends if reads is None else self._logits_of(ends)
                        for row, values in zip(order, readable, strict=True):
                            results[row.place] = _checked(measure(values))
                        advance(len(order))
        except KeyboardInterrupt:
            self.partial = _stack(results)
            raise
        return _stack(results)

    def _check(self, given: list[tuple[Edit, ...]]) -> Planner:
        """Check all edits, and compute what they will need of the base run."""
        if not given:
            raise ValueError("there are no interventions to try: the list of sites is empty.")
        hooks = dict.fromkeys(edit.hook for edits in given for edit in edits)
        self.model.match_hook_names(list(hooks))
        values: set[int] = set()
        for edits in given:
            if not edits:
                raise ValueError("an intervention has no edits; leave it out, or measure the base run.")
            for edit in edits:
                edit.check_positions(self.cache.batch, self.cache.length)
                edit.check_axes(self.model.cfg, self.cache.length)
                if id(edit.value) not in values:
                    # Thousands of edits may share a value, and searching it for NaN reads all of it.
                    edit.check_value(self.cache.batch, self.cache.length)
                    values.add(id(edit.value))
                if edit.hook == "hook_pos_embed" and self.cache.context.shortformer_pos_embed is not None:
                    raise ValueError(
                        "this model adds position embeddings to queries and keys, so hook_pos_embed cannot be edited."
                    )
        planner = Planner(self.cache)
        optional = self.model.optional_hook_names()
        compared = {
            edit.hook
            for edits in given
            for edit in edits
            if edit.pos is None and edit.how == "replace" and isinstance(edit.value, torch.Tensor)
        }
        # One pass for everything that the sweep may need, as far as that is known before activations are compared.
        late = [
            edits
            for edits in given
            if all(edit.first > 0 or edit.hook in compared for edit in edits)
            and not any(map(planner.looks_ahead, edits))
        ]
        self.cache.require(
            [
                *resid_hooks(self.model),
                *sorted(compared - optional),
                *(self._keys_and_values(late) if self._free_suffix() else []),
                *self._middles(given),
                *self._embeddings(given),
            ]
        )
        return planner

    def prepare(self, hooks: Iterable[str], *, late: bool = False) -> None:
        """Compute in one pass the activations at hook points, and what edits there will need of the base run.

        Args:
            hooks: full names of hook points inside blocks.
            late: the edits may leave the first positions unchanged, so their keys and values are needed.
        """
        edits = [(Edit(hook, 0.0),) for hook in hooks]
        needed = [edit.hook for (edit,) in edits] + self._middles(edits)
        self.cache.require(needed + (self._keys_and_values(edits) if late and self._free_suffix() else []))

    def _keys_and_values(self, given: Iterable[Sequence[Edit]]) -> list[str]:
        """The hook points of keys and values in every layer from the first edit on."""
        first = min((edit.site.layer for edits in given for edit in edits), default=self.model.cfg.n_layers)
        return [
            hook
            for layer in range(first, self.model.cfg.n_layers)
            for hook in self.cache.key_value_hooks(layer)
        ]

    def _embeddings(self, given: Iterable[Sequence[Edit]]) -> list[str]:
        """The embeddings that are edited."""
        hooks = {edit.hook for edits in given for edit in edits if edit.hook == edit.site.part}
        return sorted(hook for hook in hooks if hook in self.model.hook_dict)

    def _middles(self, given: Iterable[Sequence[Edit]]) -> list[str]:
        """The hook points at which interventions resume after attention: z of first blocks without edits before z."""
        found: set[str] = set()
        for edits in given:
            layer = min(edit.site.layer for edit in edits)
            if not any(edit.site.before_z for edit in edits if edit.site.layer == layer):
                found.add(f"blocks.{layer}.attn.hook_z")
        return sorted(found)

    def _prepare(self, rows: Sequence[Row]) -> None:
        """Compute in one pass what is needed of the base run besides its residual streams."""
        needed: list[str] = []
        if any(row.start for row in rows):
            needed += self._keys_and_values([row.edits for row in rows if row.start])
        for row in rows:
            needed += self._middles([row.edits]) + self._embeddings([row.edits])
        self.cache.require(needed)

    def _rows_at_once(self, rows: Sequence[Row], length: int) -> Callable[[int], int]:
        """A function from a starting position to how many interventions fit into a batch."""
        open_attention = any(edit.site.has_pattern_axes for row in rows for edit in row.edits)
        cfg, batch = self.model.cfg, self.cache.batch
        # Blocks run one after another, so only one dictionary's features are in memory at a time.
        listeners = itertools.chain.from_iterable(point.listeners for point in self.model.hook_points())
        extra = max((listener.width for listener in listeners), default=0)

        def fit(start: int) -> int:
            example = bytes_of_example(cfg, start, length, open_attention=open_attention, extra=extra)
            most = self.memory // (batch * example)
            if self.cache.tokens.device.type == "cpu":
                most = min(most, _POSITIONS_ON_CPU // (batch * (length - start)))
            return max(1, most)

        return fit

    def _must_be_whole(self) -> bool:
        return self._needs_whole_activations() or has_custom_parts(self.model)

    def _free_suffix(self) -> bool:
        """Whether positions before an edit stay unchanged and need not be computed."""
        return self.model.cfg.attention_dir == "causal" and not self._must_be_whole()

    def _needs_whole_activations(self) -> bool:
        """Whether whole activations are needed, for a user's hook or for rotary angles that depend on the length."""
        scaling = self.model.cfg.rotary_scaling
        if depends_on_length(scaling, self.cache.length):
            return True
        if any(map(has_torch_hooks, self.model.modules())):
            return True
        return any(point.watched and point.needs_all_positions for point in self.model.hook_points())

    def _base_end(self, reads: torch.Tensor | None) -> torch.Tensor:
        end = self.cache.resid(self.model.cfg.n_layers)
        if reads is None:
            return end
        return end[torch.arange(len(end), device=end.device)[:, None], reads]

    def _logits_of(self, ends: torch.Tensor) -> Iterator[torch.Tensor]:
        """Yield the logits of each row, unembedding as many rows at once as the budget allows."""
        tokens = self.model.cfg.d_vocab_out if self.vocabulary is None else len(self.vocabulary)
        each = ends[0].shape[:-1].numel() * tokens * ends.element_size()
        at_once = max(1, min(self.memory, _LOGITS_AT_ONCE) // each)
        for some in ends.split(at_once):
            yield from self._unembed(some.flatten(0, 1)).unflatten(0, some.shape[:2])

    def _unembed(self, end: torch.Tensor) -> torch.Tensor:
        normalized = self.model.ln_final(end)
        if self.vocabulary is None:
            return self.model.unembed(normalized)
        return self.model.unembed.only(normalized, self.vocabulary)  # type: ignore[operator]


def _as_tuples(interventions: Iterable[Intervention]) -> list[tuple[Edit, ...]]:
    return [(each,) if isinstance(each, Edit) else tuple(each) for each in interventions]


def refuse_own_forward(model: HookedTransformer) -> None:
    """Refuse a model whose class overrides `forward`: a sweep cannot resume inside it.

    Raises:
        ValueError: for such a model.
    """
    forward = type(model).forward
    if not forward.__module__.startswith("mechscope."):
        raise ValueError(
            f"{type(model).__name__} overrides the forward pass, but patching resumes inside a forward pass: use "
            "model.run_with_hooks for each intervention, or override a part of a block instead."
        )


def _unchanged(logits: torch.Tensor) -> torch.Tensor:
    return logits


def _checked(value: torch.Tensor | float, whose: str = "a patched run") -> torch.Tensor:
    value = torch.as_tensor(value).detach()
    value = at_least_float32(value) if value.is_floating_point() else value
    if bool(torch.isnan(value).any()):
        raise ValueError(
            f"the metric of {whose} is NaN: does the model give NaN, or is the patched value invalid there?"
        )
    return value


def _stack(results: Sequence[torch.Tensor | None]) -> torch.Tensor:
    known = next((result for result in results if result is not None), torch.tensor(0.0))
    missing = torch.full_like(
        known, torch.nan, dtype=known.dtype if known.is_floating_point() else torch.float32
    )
    return torch.stack([missing if result is None else result for result in results])
