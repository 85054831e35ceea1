"""Which device to compute on, decided and checked before any work begins."""

from __future__ import annotations

from typing import Literal, get_args

import torch

DeviceName = Literal["auto", "cpu", "cuda", "mps"]


def pick_device(name: str = "auto") -> torch.device:
    """The device for a name; "auto" is a GPU where there is one, else the CPU.

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
            "no CUDA device is in reach of torch on this machine: use --device cpu, or install a torch "
            "build for CUDA and check the driver with nvidia-smi."
        )
    if name == "mps" and not has_mps:
        raise ValueError("torch finds no Apple GPU (MPS) on this machine: use --device cpu.")
    return torch.device(name)
