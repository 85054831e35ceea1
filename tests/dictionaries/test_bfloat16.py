"""Training in bfloat16: the same loss and nearly the same gradients, with weights that stay in float32."""

from __future__ import annotations

import pytest
import torch

from mechscope.dictionaries.building import build
from mechscope.dictionaries.config import TopKConfig
from mechscope.dictionaries.stream import TensorStream
from mechscope.dictionaries.training import train
from mechscope.dictionaries.training_config import TrainingConfig
from tests.dictionaries.helpers import CONFIGS, batch_of, shaken


@pytest.mark.parametrize("name", CONFIGS)
def test_loss_and_gradients_are_close(name):
    exact, rough = shaken(name, 2, "float32"), shaken(name, 2, "float32")
    x, target = batch_of(exact, 2, n=60)
    x, target = x.float(), None if target is None else target.float()
    one = exact.loss(x, target).total
    with torch.autocast("cpu", torch.bfloat16):
        two = rough.loss(x, target).total
    assert two.dtype == torch.float32
    assert two.item() != one.item()
    assert two.item() == pytest.approx(one.item(), rel=0.03)
    one.backward()
    two.backward()
    for key, parameter in rough.named_parameters():
        there = dict(exact.named_parameters())[key].grad
        assert parameter.grad.dtype == parameter.dtype == torch.float32
        # Examples that cross a threshold in rounding move single entries; the direction stays.
        cosine = torch.nn.functional.cosine_similarity(parameter.grad.flatten(), there.flatten(), dim=0)
        assert float(cosine) > 0.9, key


def test_a_run_in_bfloat16_learns():
    x = torch.randn(2000, 8, generator=torch.Generator().manual_seed(0))
    dictionary = build(TopKConfig(d_in=8, d_sae=32, k=4), 0)
    cfg = TrainingConfig(steps=120, lr=1e-2, bf16=True, log_every=10)
    history = train(dictionary, TensorStream(x, batch_size=100), cfg).history.values.squeeze("series")
    loss = history.sel(measure="squared error")
    assert float(loss[-1]) < 0.7 * float(loss[0])
    assert dictionary.W_enc.dtype == torch.float32
