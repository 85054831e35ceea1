"""List hooks: the classic queries about hook points, and the older names for caching."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import torch

    from mechscope.model.hook_points import Direction, HookFunction, HookPoint, Listener, NamesFilter

DIRECTIONS = ("fwd", "bwd", "both")


class HookPointIntrospection:
    """`has_hooks` of one hook point."""

    fwd_hooks: list[Listener]
    bwd_hooks: list[Listener]

    def hooks_in(
        self,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
        level: int | None = None,
    ) -> list[Listener]:
        """The listeners here: forward ones first.

        Args:
            dir: only one direction.
            including_permanent: also those that `reset_hooks` leaves in place.
            level: only those that were added at this context level.
        """
        if dir not in DIRECTIONS:
            raise ValueError(f"dir must be one of {', '.join(DIRECTIONS)}, not {dir!r}.")
        both = {"fwd": self.fwd_hooks, "bwd": self.bwd_hooks}
        return [
            listener
            for direction, listeners in both.items()
            if dir in (direction, "both")
            for listener in listeners
            if (including_permanent or not listener.is_permanent) and level in (None, listener.context_level)
        ]

    def has_hooks(
        self,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
        level: int | None = None,
    ) -> bool:
        """Whether there is a hook here (see `hooks_in` for the arguments)."""
        return bool(self.hooks_in(dir, including_permanent, level))


class HookIntrospectionMixin:
    """`list_hooks` for classes with a `hook_dict`."""

    hook_dict: dict[str, HookPoint]

    if TYPE_CHECKING:

        def match_hook_names(self, names: NamesFilter) -> list[str]: ...

    def list_hooks(
        self,
        name_filter: NamesFilter = None,
        dir: Literal["fwd", "bwd", "both"] = "both",
        including_permanent: bool = True,
    ) -> dict[str, list[Listener]]:
        """The active hooks by the name of their hook point; points without hooks are omitted.

        Args:
            name_filter: a name, a list of names or a predicate; None means every point.
            dir: only one direction.
            including_permanent: also hooks that `reset_hooks` leaves in place.

        Raises:
            KeyError: for a name that this model does not have.
        """
        names = list(self.hook_dict) if name_filter is None else self.match_hook_names(name_filter)
        found = {name: self.hook_dict[name].hooks_in(dir, including_permanent) for name in names}
        return {name: listeners for name, listeners in found.items() if listeners}


class OlderHookNames:
    """Methods that the classic `HookedRootModule` kept for old notebooks."""

    if TYPE_CHECKING:
        check_hooks_to_add: Callable[..., None]
        add_caching_hooks: Callable[..., dict[str, torch.Tensor]]

    def check_and_add_hook(
        self,
        hook_point: HookPoint,
        hook_point_name: str,
        hook: HookFunction,
        dir: Direction = "fwd",
        is_permanent: bool = False,
        level: int | None = None,
        prepend: bool = False,
    ) -> None:
        """Add a hook to one hook point, after `check_hooks_to_add` has accepted it."""
        self.check_hooks_to_add(
            hook_point, hook_point_name, hook, dir=dir, is_permanent=is_permanent, prepend=prepend
        )
        hook_point.add_hook(hook, dir=dir, is_permanent=is_permanent, level=level, prepend=prepend)

    def cache_all(
        self,
        cache: dict[str, torch.Tensor] | None,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
    ) -> None:
        """Keep every activation of later passes in `cache`; `run_with_cache` is the safer way.

        Raises:
            ValueError: without a dictionary, because the activations would be lost.
        """
        self._cache_into(cache, None, incl_bwd, device, remove_batch_dim)

    def cache_some(
        self,
        cache: dict[str, torch.Tensor] | None,
        names: Callable[[str], bool] | Sequence[str] | str,
        incl_bwd: bool = False,
        device: torch.device | str | None = None,
        remove_batch_dim: bool = False,
    ) -> None:
        """Keep the activations that `names` selects in `cache` (see `cache_all`)."""
        self._cache_into(cache, names, incl_bwd, device, remove_batch_dim)

    def _cache_into(
        self, cache: Any, names: Any, incl_bwd: bool, device: Any, remove_batch_dim: bool
    ) -> None:
        if not isinstance(cache, dict):
            raise ValueError(
                f"the activations go into the dictionary that you give as `cache`, not {type(cache).__name__}; "
                "make one first: cache = {}."
            )
        self.add_caching_hooks(names, incl_bwd, device, remove_batch_dim, cache)
