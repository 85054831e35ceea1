"""A dictionary spliced into a model: its features become activations that can be read, edited and cached.

    with dictionary.attached(model, "blocks.0.hook_resid_post") as attached:
        _, cache = model.run_with_cache(tokens)
        cache["blocks.0.hook_resid_post.hook_sae_acts_post"]    # features [batch pos feature]

The model continues with the reconstruction. With the error term, which is what the reconstruction missed, it continues
with the original activation until a feature is edited. Gradients behave the same way: with the error term they pass
through as if no dictionary were there, and reach a feature along its decoder row.

The points are ordinary sites of the sweep engine, too: `Edit(attached.features, value, pos=3, index=17)`.
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
"""How often all features of a position are written out at a time: before and after activation, each once edited."""


@dataclass(frozen=True)
class Attached:
    """Where a dictionary has been spliced in, and what its points are called."""

    dictionary: Dictionary
    """The dictionary."""
    reads: str
    """The hook point that it reads."""
    writes: str
    """The hook point that it writes; the same, unless it is a transcoder."""
    error_term: bool = True
    """Whether what the reconstruction missed is added."""
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
        """Name of the point of what the reconstruction missed; it fires where the error term is used."""
        return f"{self.reads}.hook_sae_error"

    @property
    def reconstruction(self) -> str:
        """Name of the point of the reconstruction, before the error is added."""
        return f"{self.reads}.hook_sae_recons"

    @property
    def output(self) -> str:
        """Name of the point of what the model goes on with: the reconstruction, and the error term if it is used."""
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
    """Splice a dictionary into a model for a while; everything is as before afterwards, also after an exception.

    Like the hooks of `model.hooks`, it is there for the runs of this thread or asyncio task only.

    Where its metadata names the positions that it was trained on ("seqpos_slice"), the others stay as they are,
    whatever its features become there.

    Args:
        hook_name: where it reads; None: what its metadata says under "hook_name".
        error_term: add what the reconstruction of the unedited features misses, so that only edits have an effect.
        writes: where a transcoder writes; None: what its metadata says under "hook_name_out". It must lie after
            the point that is read.
        head: read (and, unless it is a transcoder, write) this head alone; None: the one that its metadata names
            under "hook_head_index", or all heads where it names none. The other heads stay as they are.
        head_out: the head that a transcoder writes; None: what its metadata says under "hook_head_index_out".
        elsewhere: allow a point other than the one that the dictionary's metadata names, for whose activations it was
            not trained.

    Raises:
        KeyError: for a hook name that the model lacks, with the nearest ones.
        ValueError: without a name, at another point than the metadata names (see `elsewhere`), where another
            dictionary reads already, for a transcoder without a place to write, and, during a pass, for activations of
            another width or without the head.
        UserWarning: if its metadata describes another model, or texts that begin otherwise.
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
            f"the dictionary was trained on positions {positions}, which only a HookedTransformer can tell apart, not "
            f"a {type(model).__name__}."
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
    """Give the model and the owner new tables of points, so that other threads may be reading the old ones."""
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
    return f"a dictionary is attached to {reads} already; leave its context first."


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
                f"the dictionary's metadata says layer={layer}, and it would be attached to {found!r}, whose "
                "activations it was not trained on: pass elsewhere=True if that is what you want."
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
            f"the dictionary's metadata says {key}={trained_at!r}, and it would be attached to {found!r}, whose "
            f"activations it was not trained on: leave {what} out, or pass elsewhere=True if that is what you want."
        )
    return found


def _same_activation(hook_name: str) -> str:
    """The stream at the start of a block is the stream at the end of the block before."""
    match = re.fullmatch(r"blocks\.(\d+)\.hook_resid_post", hook_name)
    return hook_name if match is None else f"blocks.{int(match[1]) + 1}.hook_resid_pre"


class _Splice:
    """What happens to an activation on its way through."""

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
        """At which positions of the current pass something is written [batch pos]; None: at all."""

    def both(self, activation: Tensor, hook: HookPoint) -> Tensor:
        """Read and write at one place."""
        reconstruction, clean = self._reconstruct(activation, hook)
        return self._finish(reconstruction, clean, activation, hook)

    def read(self, activation: Tensor, hook: HookPoint) -> None:
        """A transcoder's first half."""
        self.waiting = self._reconstruct(activation, hook)

    def write(self, activation: Tensor, hook: HookPoint) -> Tensor:
        """A transcoder's second half."""
        if self.waiting is None:
            raise RuntimeError(
                f"the transcoder writes at {hook.name}, which the pass reached before the point that it reads. (A "
                "sweep begins at the block of an edit: it cannot run with a transcoder that reads in an earlier block.)"
            )
        (reconstruction, clean), self.waiting = self.waiting, None
        return self._finish(reconstruction, clean, activation, hook)

    def _reconstruct(self, activation: Tensor, hook: HookPoint) -> tuple[Tensor, Tensor]:
        """The reconstruction from features as listeners leave them, and from untouched ones."""
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
            # With its gradient: it takes back what an edit leaves of the path through the encoder, as the values do.
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
                f"the dictionary at {name} is used at some positions only ({POSITIONS} in its metadata), and this pass "
                "does not say which positions it computes: run the model itself, or set the metadata entry to None."
            )
        return torch.where(where.reshape(*where.shape, *[1] * (activation.ndim - 2)), whole, activation)
