"""Choose a device, and check before any work begins that this machine has it."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch

from mechscope.arguments import shown

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def pick_device(name: str = "auto") -> torch.device:
    """The device for a name; "auto" picks a GPU if there is one, else the CPU.

    Raises:
        ValueError: for an unknown name, or a device that this machine does not have.
    """
    if name not in get_args(DeviceName):
        raise ValueError(f"device is one of {', '.join(get_args(DeviceName))}, not {name!r}.")
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        return torch.device("cuda" if has_cuda else "mps" if has_mps else "cpu")
    if name == "cuda" and not has_cuda:
        raise ValueError(
            "torch finds no CUDA device on this machine: use --device cpu, or install a torch build for CUDA and "
            "check the driver with nvidia-smi."
        )
    if name == "mps" and not has_mps:
        raise ValueError("torch finds no Apple GPU (MPS) on this machine: use --device cpu.")
    return torch.device(name)


def get_device() -> str:
    """The best device of this machine: "cuda", "mps" or "cpu"."""
    return str(pick_device("auto"))


def check_device(device: Any) -> torch.device:
    """Check that this machine has a device, and return it as a `torch.device`.

    Args:
        device: a name such as "cuda:1", the number of a GPU, or a `torch.device`.

    Raises:
        TypeError: for anything else.
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
            "lists what is available)."
        )
    return found
