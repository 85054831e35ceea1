"""Singular directions seen through the unembedding."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mechscope.SVDInterpreter import SVDInterpreter
from tests.classic.peers import twins
from tests.model.tiny import tiny_model


def test_directions_are_those_of_the_dense_matrices() -> None:
    model = tiny_model()
    interpreter = SVDInterpreter(model)
    block = model.blocks[1]
    read = torch.linalg.svd(block.mlp.W_in * block.ln2.w[:, None]).U.mT
    dense = {
        "OV": torch.linalg.svd(block.attn.W_V[2] @ block.attn.W_O[2]).Vh,
        "w_in": read,
        "w_out": torch.linalg.svd(block.mlp.W_out).Vh,
    }
    for kind, directions in dense.items():
        found = interpreter.get_singular_vectors(kind, 1, num_vectors=3, head_index=2)
        assert found.shape == (30, 1, 3)
        expected = (directions[:3] @ model.W_U).mT
        assert torch.allclose(found[:, 0].abs(), expected.abs(), atol=1e-4), kind


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("QK", 0), "OV, w_in, w_out, not 'QK'"),
        (("OV", 0), "head_index, from 0 to 3"),
        (("OV", 0, 10, 4), "head_index"),
        (("w_in", 2), "no layer 2"),
        (("w_in", 0, 25), "between 1 and 24"),
        (("OV", 0, 9, 0), "between 1 and 8"),
    ],
)
def test_misuse_says_what_is_wrong(arguments: tuple[Any, ...], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        SVDInterpreter(tiny_model()).get_singular_vectors(*arguments)
    with pytest.raises(ValueError, match="attention-only"):
        SVDInterpreter(tiny_model("attention only")).get_singular_vectors("w_out", 0)


@pytest.mark.peer
def test_agrees_with_the_peer() -> None:
    ours, theirs = twins()
    peer = pytest.importorskip("transformer_lens").SVDInterpreter(theirs)
    for kind, head in (("OV", 1), ("w_in", None), ("w_out", None)):
        found = SVDInterpreter(ours).get_singular_vectors(kind, 1, num_vectors=4, head_index=head)
        expected = peer.get_singular_vectors(kind, layer_index=1, num_vectors=4, head_index=head)
        assert found.shape == expected.shape
        assert torch.allclose(found.abs(), expected.abs(), atol=1e-4), kind


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("which", ["OV", "w_in", "w_out"])
def test_low_precision(which: Any, dtype: torch.dtype) -> None:
    """The directions of the very same weights, in float32."""
    narrow = tiny_model().to(dtype)
    wide = tiny_model()
    wide.load_state_dict({name: value.float() for name, value in narrow.state_dict().items()})
    found = SVDInterpreter(narrow).get_singular_vectors(which, 0, num_vectors=1, head_index=1)
    expected = SVDInterpreter(wide).get_singular_vectors(which, 0, num_vectors=1, head_index=1)
    assert torch.cosine_similarity(found.flatten().float(), expected.flatten(), 0).abs() > 0.999
