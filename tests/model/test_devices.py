"""Choosing a device, on this machine and on machines with other hardware."""

from __future__ import annotations

import pytest
import torch

from mechscope.model.devices import check_device, get_device, pick_device


@pytest.mark.parametrize(
    ("has_cuda", "has_mps", "best"), [(False, False, "cpu"), (False, True, "mps"), (True, False, "cuda")]
)
def test_the_best_device(monkeypatch: pytest.MonkeyPatch, has_cuda: bool, has_mps: bool, best: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: has_mps)
    assert get_device() == best
    assert pick_device() == pick_device(best) == torch.device(best)
    assert check_device(best) == torch.device(best)


@pytest.mark.parametrize("name", ["cuda", "mps"])
def test_a_device_that_is_missing(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    with pytest.raises(ValueError, match="on this machine: use --device cpu"):
        pick_device(name)
    with pytest.raises(ValueError, match="torch finds none on this machine: use 'cpu'"):
        check_device(name)


def test_what_is_no_device() -> None:
    with pytest.raises(ValueError, match="device is one of auto, cpu, cuda, mps, not 'tpu'"):
        pick_device("tpu")
    with pytest.raises(ValueError, match="torch calls an NVIDIA GPU 'cuda'"):
        check_device("gpu")
    with pytest.raises(TypeError, match="a device is a name such as 'cpu'"):
        check_device(True)
