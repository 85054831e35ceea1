"""Override the defaults of a model temporarily."""

from __future__ import annotations

from types import TracebackType
from typing import Any

USE_DEFAULT_VALUE = None
"""The argument value that means the default."""

SIDES = ("left", "right")


def override_or_use_default_value(default_flag: Any, override: Any = None) -> Any:
    """`override`, or the default if it is None.

    >>> override_or_use_default_value(True), override_or_use_default_value(True, False)
    (True, False)
    """
    return default_flag if override is None else override


class LocallyOverridenDefaults:
    """Override a model's defaults for BOS and padding in a `with` block; they are restored at its end.

    Args:
        model: the model whose defaults are overridden.
        overrides: `prepend_bos` (True, False) and `padding_side` ("left", "right"); None keeps the default.

    Raises:
        ValueError: for an unknown name or value.
    """

    def __init__(self, model: Any, **overrides: Any) -> None:
        for name, value in overrides.items():
            choices = {"prepend_bos": (True, False), "padding_side": SIDES}.get(name)
            if choices is None:
                raise ValueError(f"{name!r} cannot be overridden, only prepend_bos and padding_side.")
            if value is not USE_DEFAULT_VALUE and value not in choices:
                raise ValueError(f"{name} must be one of {choices}, or None for the default, not {value!r}.")
        self.model = model
        self.overrides = overrides
        self._before: list[tuple[Any, str, Any]] = []

    def __enter__(self) -> None:
        for owner, attribute, value in self._targets():
            self._before.append((owner, attribute, getattr(owner, attribute)))
            setattr(owner, attribute, value)

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        while self._before:
            setattr(*self._before.pop())

    def _targets(self) -> list[tuple[Any, str, Any]]:
        """(object, attribute, new value)."""
        bos, side = self.overrides.get("prepend_bos"), self.overrides.get("padding_side")
        targets = [] if bos is None else [(self.model.cfg, "default_prepend_bos", bos)]
        if side is not None:
            # Both are set, because direct calls of the tokenizer use its own setting.
            owners = ((self.model, "default_padding_side"), (self.model.tokenizer, "padding_side"))
            targets += [(owner, name, side) for owner, name in owners if hasattr(owner, name)]
        return targets
