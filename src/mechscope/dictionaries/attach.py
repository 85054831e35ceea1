"""Splice a dictionary into a model, so that its features can be read, edited and cached like activations.

    with dictionary.attached(model, "blocks.0.hook_resid_post") as attached:
        _, cache = model.run_with_cache(tokens)
        cache["blocks.0.hook_resid_post.hook_sae_acts_post"]    # features [batch pos feature]

The model continues with the reconstruction. With the error term (the activation minus its reconstruction), it continues
with the original activation until a feature is edited. Gradients behave the same way: with the error term they pass
through as if there were no dictionary, and reach a feature along its decoder row.

The sweep engine can edit these points, too: `Edit(attached.features, value, pos=3, index=17)`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Generator, Mapping
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, cast

import torch
from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.dictionaries.head import head_read, head_written, read_part, write_part
from mechscope.dictionaries.trained_model import warn_of_other_model
from mechscope.dictionaries.trained_positions import POSITIONS, trained_positions
from mechscope.model.hook_points import HookPoint, Listener, hook_scope
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.model.pass_positions import positions_of_passes
from mechscope.model.precision import at_least_float32
from mechscope.model.sites import OF_A_DICTIONARY
from mechscope.model.transformer import HookedTransformer

POINTS = (
    "hook_sae_input",
    "hook_sae_acts_pre",
    "hook_sae_acts_post",
    "hook_sae_recons",
    "hook_sae_error",
    "hook_sae_output",
)
"""The points of a spliced dictionary, under the names that published code uses."""
_CHANGING_POINTS = threading.Lock()
_COPIES = 4
"""Copies of all features of a position in memory at once: before and after activation, each also edited."""


@dataclass(frozen=True)
class Attached:
    """A spliced dictionary: where it reads and writes, and the names of its hook points."""

    dictionary: Dictionary
    """The dictionary."""
    reads: str
    """The hook point that it reads."""
    writes: str
    """The hook point that it writes; the same, unless it is a transcoder."""
    error_term: bool = True
    """Whether the reconstruction error is added back."""
    head: int | None = None
    """The head that it reads; None means all heads concatenated, or a point without heads."""
    head_out: int | None = None
    """The head that it writes."""

    @property
    def features(self) -> str:
        """Name of the point of its features [batch pos feature]."""
        return f"{self.reads}.hook_sae_acts_post"

    @property
    def error(self) -> str:
        """Name of the point of the reconstruction error; it fires only if the error term is used."""
        return f"{self.reads}.hook_sae_error"

    @property
    def reconstruction(self) -> str:
        """Name of the point of the reconstruction, before the error is added."""
        return f"{self.reads}.hook_sae_recons"

    @property
    def output(self) -> str:
        """Name of the point of the output: the reconstruction, plus the error term if it is used."""
        return f"{self.reads}.hook_sae_output"


@checked_arguments
@contextmanager
def attached(
    dictionary: Dictionary,
    model: HookedRootModule,
    hook_name: str | None = None,
    *,
    error_term: bool = True,
    writes: str | None = None,
    head: int | None = None,
    head_out: int | None = None,
    elsewhere: bool = False,
) -> Generator[Attached]:
    """Splice a dictionary into a model inside a `with` block; at its end, and after an exception, it is removed.

    Like the hooks of `model.hooks`, it affects only the runs of this thread or asyncio task.

    If the metadata names the positions that the dictionary was trained on ("seqpos_slice"), activations at other
    positions are left unchanged, even if features are edited there.

    Args:
        hook_name: the hook point to read; None uses "hook_name" from the metadata.
        error_term: add the reconstruction error of the unedited features, so that only edits have an effect.
        writes: the hook point that a transcoder writes to; None uses "hook_name_out" from the metadata. It must come
            after the point that is read.
        head: read (and, unless it is a transcoder, write) only this head; None uses "hook_head_index" from the
            metadata, or all heads if it is not there. The other heads are left unchanged.
        head_out: the head that a transcoder writes; None uses "hook_head_index_out" from the metadata.
        elsewhere: allow a hook point other than the one in the metadata, although the dictionary was not trained on
            its activations.

    Raises:
        KeyError: for a hook name that the model lacks; suggests the closest ones.
        ValueError: if no hook point is known, if it differs from the metadata (see `elsewhere`), if another dictionary
            already reads it, or if a transcoder has no hook point to write to. During a pass: for activations of
            another width, or without the head.
        UserWarning: if the metadata describes another model, or texts with a different beginning.
    """
    reads = _named(dictionary, model, hook_name, "hook_name", elsewhere)
    if dictionary.cfg.transcodes:
        target = _named(dictionary, model, writes, "hook_name_out", elsewhere)
    elif writes is not None and writes != reads:
        raise ValueError(f"an autoencoder writes where it reads ({reads}), not at {writes}.")
    else:
        target = reads
    if any(name.startswith(f"{reads}{OF_A_DICTIONARY}") for name in model.hook_dict):
        raise ValueError(_already(reads))
    width = dictionary.cfg.d_in + dictionary.cfg.d_sae * _COPIES + 2 * dictionary.cfg.width_out
    points = {name: HookPoint() for name in POINTS}
    head = head_read(dictionary, head)
    if head_out is not None and not dictionary.cfg.transcodes and head_out != head:
        raise ValueError(f"an autoencoder writes to the head that it reads ({head}), not to head {head_out}.")
    head_out = head_written(dictionary, head_out, head)
    positions = trained_positions(dictionary)
    if positions is not None and not isinstance(model, HookedTransformer):
        raise ValueError(
            f"the dictionary was trained on positions {positions}. Only a HookedTransformer can restrict it to them, "
            f"not a {type(model).__name__}."
        )
    warn_of_other_model(dictionary, model)
    splice = _Splice(dictionary, points, error_term, head, head_out)
    owner = model.hook_dict[reads]
    listeners: list[tuple[HookPoint, Listener]] = []
    with ExitStack() as contexts:
        scope = contexts.enter_context(hook_scope(model))
        if positions is not None:
            splice.written = contexts.enter_context(
                positions_of_passes(cast("HookedTransformer", model), positions)
            )
        try:
            for name, point in points.items():
                point.name = f"{reads}.{name}"
            _replace_points(model, owner, added=points)
            if target == reads:
                pairs = [(owner, splice.both)]
            else:
                pairs = [(owner, splice.read), (model.hook_dict[target], splice.write)]
            for place, hook in pairs:
                # Permanent, so that reset_hooks removes the user's hooks and leaves the dictionary in place.
                listener = place.add_hook(
                    hook,
                    is_permanent=True,
                    by_position=not dictionary.mixes_examples and positions is None,
                    width=width,
                    scope=scope,
                )
                listeners.append((place, listener))
            yield Attached(dictionary, reads, target, error_term, head, head_out)
        finally:
            for place, listener in listeners:
                place.discard(listener)
            _replace_points(model, owner, removed=points)


def _replace_points(
    model: HookedRootModule,
    owner: HookPoint,
    *,
    added: Mapping[str, HookPoint] = MappingProxyType({}),
    removed: Mapping[str, HookPoint] = MappingProxyType({}),
) -> None:
    """Give the model and the owner new tables of points: other threads may still be reading the old ones."""
    new = {str(point.name): point for point in added.values()}
    gone = [id(point) for point in removed.values()]

    def left(table: Mapping[str, Any]) -> dict[str, Any]:
        return {name: module for name, module in table.items() if id(module) not in gone}

    with _CHANGING_POINTS:
        if new.keys() & model.hook_dict.keys():
            raise ValueError(_already(str(owner.name)))
        owner._modules = {**left(owner._modules), **added}
        model.hook_dict = {**left(model.hook_dict), **new}
        model.mod_dict = {**left(model.mod_dict), **new}


def _already(reads: str) -> str:
    return f"another dictionary is already attached to {reads}; leave its `with` block first."


def _named(
    dictionary: Dictionary, model: HookedRootModule, name: str | None, key: str, elsewhere: bool
) -> str:
    trained_at = dictionary.metadata.get(key)
    what = "hook_name" if key == "hook_name" else "writes (a transcoder's target)"
    layer = dictionary.metadata.get("layer")
    if (
        trained_at is None
        and key == "hook_name"
        and name is not None
        and isinstance(layer, int)
        and not elsewhere
    ):
        found = model.match_hook_names(name)[0]
        at = re.match(r"blocks\.(\d+)\.", found)
        if at is not None and layer not in (
            int(at[1]),
            int(at[1]) - found.endswith("hook_resid_pre"),
        ):
            raise ValueError(
                f"the dictionary's metadata says layer={layer}, so it was not trained on the activations of {found!r}: "
                "pass elsewhere=True if you want to attach it there anyway."
            )
    if name is None:
        if trained_at is None:
            raise ValueError(f"give {what}: the dictionary's metadata has no {key!r}.")
        return model.match_hook_names(trained_at)[0]
    found = model.match_hook_names(name)[0]
    if (
        trained_at is not None
        and _same_activation(found) != _same_activation(str(trained_at))
        and not elsewhere
    ):
        raise ValueError(
            f"the dictionary's metadata says {key}={trained_at!r}, so it was not trained on the activations of "
            f"{found!r}: omit {what}, or pass elsewhere=True if you want to attach it there anyway."
        )
    return found


def _same_activation(hook_name: str) -> str:
    """One name for the residual stream between two blocks, which has two names."""
    match = re.fullmatch(r"blocks\.(\d+)\.hook_resid_post", hook_name)
    return hook_name if match is None else f"blocks.{int(match[1]) + 1}.hook_resid_pre"


class _Splice:
    """The hooks that replace an activation by its reconstruction."""

    def __init__(
        self,
        dictionary: Dictionary,
        points: dict[str, HookPoint],
        error_term: bool,
        head: int | None,
        head_out: int | None,
    ) -> None:
        self.dictionary, self.points, self.error_term = dictionary, points, error_term
        self.head, self.head_out = head, head_out
        self.waiting: tuple[Tensor, Tensor] | None = None
        self.written: ContextVar[Tensor | None] | None = None
        """The positions of the current pass that are written [batch pos]; None means all."""

    def both(self, activation: Tensor, hook: HookPoint) -> Tensor:
        """Read and write the same hook point."""
        reconstruction, clean = self._reconstruct(activation, hook)
        return self._finish(reconstruction, clean, activation, hook)

    def read(self, activation: Tensor, hook: HookPoint) -> None:
        """Read a transcoder's input."""
        self.waiting = self._reconstruct(activation, hook)

    def write(self, activation: Tensor, hook: HookPoint) -> Tensor:
        """Write a transcoder's output."""
        if self.waiting is None:
            raise RuntimeError(
                f"the transcoder writes at {hook.name}, but the pass has not reached the point that it reads. (A sweep "
                "starts at the block of an edit, so it cannot use a transcoder that reads in an earlier block.)"
            )
        (reconstruction, clean), self.waiting = self.waiting, None
        return self._finish(reconstruction, clean, activation, hook)

    def _reconstruct(self, activation: Tensor, hook: HookPoint) -> tuple[Tensor, Tensor]:
        """The reconstructions from the features with the listeners' edits, and from the unedited features."""
        dictionary, points = self.dictionary, self.points
        width = dictionary.cfg.d_in
        if self.head is not None:
            x = read_part(activation, self.head, str(hook.name))
        else:
            # A point with heads is read as one vector of all heads, or head by head by a dictionary of that width.
            x = (
                activation.flatten(2)
                if activation.ndim == 4 and activation.shape[-1] != width
                else activation
            )
        if x.shape[-1] != width:
            raise ValueError(
                f"{hook.name} has activations of shape {tuple(activation.shape)}; the dictionary reads width {width}."
            )
        x = points["hook_sae_input"](x)
        pre = dictionary.pre_activations(x)
        heard = points["hook_sae_acts_pre"](pre)
        features = dictionary.activate(heard)
        edited = points["hook_sae_acts_post"](features)
        reconstruction = dictionary.decode(edited, x)
        clean = reconstruction
        if self.error_term and not (heard is pre and edited is features):
            # With its gradient, so that the error term cancels the path through the encoder for gradients too.
            untouched = features if heard is pre else dictionary.activate(pre)
            clean = dictionary.decode(untouched, x)
        return points["hook_sae_recons"](reconstruction), clean

    def _finish(self, reconstruction: Tensor, clean: Tensor, activation: Tensor, hook: HookPoint) -> Tensor:
        name, head = str(hook.name), self.head_out
        before = activation if head is None else read_part(activation, head, name)
        shaped = reconstruction.reshape(before.shape)
        if self.error_term:
            # In half precision, subtracting something and adding it back does not restore the exact value.
            shaped, wide = at_least_float32(shaped), at_least_float32(before)
            missed = self.points["hook_sae_error"](wide - clean.reshape(before.shape))
            shaped = shaped + missed
        written = self.points["hook_sae_output"](shaped).to(activation.dtype)
        whole = written if head is None else write_part(activation, written, head, name)
        if self.written is None:
            return whole
        where = self.written.get()
        if where is None or where.shape != activation.shape[:2]:
            raise RuntimeError(
                f"the dictionary at {name} is only used at some positions ({POSITIONS} in its metadata), but this pass "
                "does not say which positions it computes: run the model itself, or set the metadata entry to None."
            )
        return torch.where(where.reshape(*where.shape, *[1] * (activation.ndim - 2)), whole, activation)
