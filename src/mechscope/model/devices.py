"""Moving a model between devices and data types, its config with it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Self

import torch
from torch import nn

from mechscope.value_kinds import shown

if TYPE_CHECKING:
    from mechscope.model.config import HookedTransformerConfig


def check_device(device: Any) -> torch.device:
    """A device that this machine has.

    Raises:
        TypeError: for anything but a name or a torch.device.
        ValueError: for an unknown name, or a device that this machine lacks.
    """
    if not isinstance(device, (str, torch.device, int)) or isinstance(device, bool):
        raise TypeError(f"a device is a name such as 'cpu', 'cuda' or 'mps', not {shown(device)}.")
    try:
        found = torch.device(device)
    except RuntimeError:
        hint = " (torch calls an NVIDIA GPU 'cuda', Apple's 'mps')" if "gpu" in str(device).lower() else ""
        raise ValueError(
            f"there is no device {device!r}{hint}; use 'cpu', 'cuda', 'cuda:1', 'mps'."
        ) from None
    missing = (found.type == "cuda" and not torch.cuda.is_available()) or (
        found.type == "mps" and not torch.backends.mps.is_available()
    )
    if missing:
        raise ValueError(
            f"device {str(found)!r} was requested, but torch finds none on this machine: use 'cpu' (`mechscope doctor` "
            "says what is there)."
        )
    return found


class Devices(nn.Module):
    """A module whose config keeps track of the device and data type of its weights."""

    cfg: HookedTransformerConfig

    @torch.inference_mode(False)  # a weight converted in inference mode could not be trained
    def _apply(self, fn: Callable[[torch.Tensor], torch.Tensor], recurse: bool = True) -> Self:
        """Convert every tensor; torch calls this for `to`, `half`, `bfloat16`, `float`, `double` and `cuda`, also
        when the model is part of another module."""
        super()._apply(fn, recurse)  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        parameter = next(self.parameters())
        self.cfg.device, self.cfg.dtype = str(parameter.device), parameter.dtype
        return self

    def to(  # type: ignore[override]
        self, device_or_dtype: Any = None, *args: Any, print_details: bool = True, **kwargs: Any
    ) -> Self:
        """Move to a device, convert to a data type, or both, as torch does."""
        # Old notebooks pass print_details, also as the second argument: there is nothing to print.
        del print_details
        where = () if device_or_dtype is None else (device_or_dtype,)
        for value in (*where, *args, kwargs.get("device", "cpu"), kwargs.get("dtype")):
            if isinstance(value, (str, torch.device)) and value is not kwargs.get("dtype"):
                check_device(value)
            elif isinstance(value, torch.dtype):
                if not value.is_floating_point:
                    raise ValueError(
                        f"weights are floating point, so a model cannot be converted to {value}."
                    )
            elif isinstance(value, (str, float)):
                raise TypeError(
                    f"a model moves to a device ('cpu', 'cuda') and converts to a data type (torch.float16), not to "
                    f"{value!r}."
                )
        nn.Module.to(self, *where, *(value for value in args if not isinstance(value, bool)), **kwargs)
        return self

    def cuda(self, device: int | torch.device | None = None) -> Self:
        """Move to a CUDA device."""
        return self.to(torch.device("cuda" if device is None else device))

    def cpu(self) -> Self:
        """Move to the CPU."""
        return self.to("cpu")

    def mps(self) -> Self:
        """Move to Apple's GPU."""
        return self.to("mps")
