"""Results over SmolLM2's 49,152 tokens and 3 key/value heads are short, in words, and say who shares what."""

from __future__ import annotations

from typing import Any

import pytest

import mechscope as ms
from mechscope import techniques
from mechscope.checkpoints.packaged_models import PACKAGED

pytestmark = [
    pytest.mark.real_model,
    pytest.mark.skipif(
        not PACKAGED["smollm2-135m"].is_here, reason="needs `mechscope models get smollm2-135m` (98 MB)"
    ),
]
pytest.importorskip("gguf", reason="needs the gguf package: pip install 'mechscope[gguf]'")


@pytest.fixture(scope="module")
def model() -> Any:
    return ms.load_model("smollm2-135m")


def test_tokens_are_words(model: Any) -> None:
    text = "When John and Mary went to the store, John gave the bag to"
    lens = techniques.logit_lens(model, text, progress=False)
    last = lens.top_probability.values.isel(batch=0, layer=-1, pos=-1, rank=0)
    assert last.coords["token"].item() == "␣Mary"
    assert int(last.coords["token_id"]) == model.to_single_token(" Mary")
    assert "30: ␣Mary" in repr(lens) and len(repr(lens)) < 1_000
    assert lens.figure().data[0].text[-1][-1] == "␣Mary"
    neuron = techniques.neuron_tokens(model, 10, 5)
    assert len(repr(neuron)) < 400 and neuron.top_texts[0][0] in repr(neuron)


def test_baselines_are_a_line(model: Any) -> None:
    task = ms.tasks.ioi(model, n=2, seed=0)
    found = task.baselines(model)
    assert len(repr(found)) < 120 and found.reference is None


def test_shared_keys_are_explained(model: Any) -> None:
    task = ms.tasks.ioi(model, n=1, seed=0)
    with pytest.raises(KeyError, match="query head 3 reads key/value head 1.*shared by heads 3–5"):
        techniques.path_patching(model, task, "a20.h0", "a23.h3<k>", progress=False)
    keys = ms.patch(model, task, "k", layers=[23], progress=False)
    assert dict(keys.values.sizes) == {"layer": 1, "kv_head": 3}
    assert list(keys.figure().layout.xaxis.ticktext) == ["0 (heads 0–2)", "1 (heads 3–5)", "2 (heads 6–8)"]
