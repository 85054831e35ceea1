"""Under torch.inference_mode a technique works, or says that this mode is what rules its gradients out."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import mechscope as ms
from mechscope import techniques
from tests.model.tiny import tiny_model
from tests.techniques.tiny_task import tiny_task

GRADIENTS: dict[str, Callable[[Any, Any], Any]] = {
    "attribution patching": lambda model, task: techniques.attribution_patching(model, task, "resid_pre"),
    "EAP": lambda model, task: ms.discover(model, task, method="eap", progress=False),
    "EAP-IG": lambda model, task: ms.discover(model, task, method="eap-ig", progress=False),
}


@pytest.mark.parametrize("name", GRADIENTS)
def test_what_needs_gradients(name: str) -> None:
    model, task = tiny_model(), tiny_task()
    with torch.no_grad():
        GRADIENTS[name](model, task)
    with (
        torch.inference_mode(),
        pytest.raises(RuntimeError, match="needs gradients, which torch.inference_mode"),
    ):
        GRADIENTS[name](model, task)
    GRADIENTS[name](model, task)


def test_what_needs_none_works() -> None:
    model, task = tiny_model(), tiny_task()
    right = ms.patch(model, task, "resid_pre", progress=False)
    with torch.inference_mode():
        found = ms.patch(model, task, "resid_pre", progress=False)
    assert np.allclose(found.values, right.values, atol=1e-5)
