"""A dictionary spliced into a model: its features become activations that can be read, edited and cached.

    with dictionary.attached(model, "blocks.0.hook_resid_post") as attached:
        _, cache = model.run_with_cache(tokens)
        cache["blocks.0.hook_resid_post.hook_sae_acts_post"]    # features [batch pos feature]

What the model goes on with is the reconstruction; with the error term, which is what the reconstruction missed, it is
the same activation as before, until somebody edits a feature. Gradients say the same: with the error term they pass
through as if no dictionary were there, and reach a feature along its decoder row.

The points are ordinary sites of the sweep engine, too: `Edit(attached.features, value, pos=3, index=17)`.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from torch import Tensor

from mechscope.arguments import checked_arguments
from mechscope.dictionaries.dictionary import Dictionary
from mechscope.model.hook_points import HookPoint
from mechscope.model.hooked_root_module import HookedRootModule
from mechscope.techniques.sweep.site import OF_A_DICTIONARY

POINTS = (
    "hook_sae_input",
    "hook_sae_acts_pre",
    "hook_sae_acts_post",
    "hook_sae_recons",
    "hook_sae_error",
    "hook_sae_output",
)
"""The points of a spliced dictionary, under the names that published code uses."""
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
) -> Generator[Attached]:
    """Splice a dictionary into a model for a while; everything is as before afterwards, also after an exception.

    Args:
        hook_name: where it reads; None: what its metadata says under "hook_name".
        error_term: add what the reconstruction of the unedited features misses, so that only edits have an effect.
        writes: where a transcoder writes; None: what its metadata says under "hook_name_out". It must lie after
            the point that is read.

    Raises:
        KeyError: for a hook name that the model lacks, with the nearest ones.
        ValueError: without a name, where another dictionary reads already, for a transcoder without a place to
            write, and, during a pass, for activations of another width.
    """
    reads = _named(dictionary, model, hook_name, "hook_name")
    if dictionary.cfg.transcodes:
        target = _named(dictionary, model, writes, "hook_name_out")
    elif writes is not None and writes != reads:
        raise ValueError(f"an autoencoder writes where it reads ({reads}), not at {writes}.")
    else:
        target = reads
    if any(name.startswith(f"{reads}{OF_A_DICTIONARY}") for name in model.hook_dict):
        raise ValueError(f"a dictionary is attached to {reads} already; leave its context first.")
    width = dictionary.cfg.d_in + dictionary.cfg.d_sae * _COPIES + 2 * dictionary.cfg.width_out
    points = {name: HookPoint() for name in POINTS}
    splice = _Splice(dictionary, points, error_term)
    owner = model.hook_dict[reads]
    listeners: list[tuple[HookPoint, object]] = []
    try:
        for name, point in points.items():
            point.name = f"{reads}.{name}"
            owner.add_module(name, point)
            model.hook_dict[point.name] = point
            model.mod_dict[point.name] = point
        if target == reads:
            pairs = [(owner, splice.both)]
        else:
            pairs = [(owner, splice.read), (model.hook_dict[target], splice.write)]
        for place, hook in pairs:
            # Permanent, so that reset_hooks, which takes the user's hooks off, leaves the dictionary in.
            listener = place.add_hook(
                hook, is_permanent=True, by_position=not dictionary.mixes_examples, width=width
            )
            listeners.append((place, listener))
        yield Attached(dictionary, reads, target, error_term)
    finally:
        for place, listener in listeners:
            place.discard(listener)  # type: ignore[arg-type]
        for name in POINTS:
            full = f"{reads}.{name}"
            model.hook_dict.pop(full, None)
            model.mod_dict.pop(full, None)
            owner._modules.pop(name, None)


def _named(dictionary: Dictionary, model: HookedRootModule, name: str | None, key: str) -> str:
    name = dictionary.metadata.get(key) if name is None else name
    if name is None:
        what = "hook_name" if key == "hook_name" else "writes (a transcoder's target)"
        raise ValueError(f"give {what}: the dictionary's metadata has no {key!r}.")
    return model.match_hook_names(name)[0]


class _Splice:
    """What happens to an activation on its way through."""

    def __init__(self, dictionary: Dictionary, points: dict[str, HookPoint], error_term: bool) -> None:
        self.dictionary, self.points, self.error_term = dictionary, points, error_term
        self.waiting: tuple[Tensor, Tensor] | None = None

    def both(self, activation: Tensor, hook: HookPoint) -> Tensor:
        """Read and write at one place."""
        reconstruction, clean = self._reconstruct(activation, hook)
        return self._finish(reconstruction, clean, activation)

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
        return self._finish(reconstruction, clean, activation)

    def _reconstruct(self, activation: Tensor, hook: HookPoint) -> tuple[Tensor, Tensor]:
        """The reconstruction from features as listeners leave them, and from untouched ones."""
        dictionary, points = self.dictionary, self.points
        width = dictionary.cfg.d_in
        # A point with heads is read as one vector, head after head.
        x = activation.flatten(2) if activation.ndim == 4 and activation.shape[-1] != width else activation
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

    def _finish(self, reconstruction: Tensor, clean: Tensor, activation: Tensor) -> Tensor:
        shaped = reconstruction.reshape(activation.shape)
        if self.error_term:
            missed = self.points["hook_sae_error"](activation - clean.reshape(activation.shape))
            shaped = shaped + missed
        return self.points["hook_sae_output"](shaped).to(activation.dtype)
