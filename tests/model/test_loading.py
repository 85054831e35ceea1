"""Processing in place: the same model to its users, other weights inside."""

from __future__ import annotations

import pytest
import torch

from tests.model.tiny import close, tiny_model, tiny_tokens


@pytest.mark.parametrize(
    "variant", ["plain", "RMS", "grouped", "tied", "attention only", "parallel", "solu_ln"]
)
def test_processing_in_place_keeps_predictions_and_permanent_hooks(variant: str) -> None:
    model, tokens = tiny_model(variant), tiny_tokens()
    before = model(tokens).log_softmax(-1)
    fired = []
    model.add_perma_hook("blocks.0.hook_resid_post", lambda x, hook: fired.append(hook.name))
    model.process_weights_()
    assert close(model(tokens).log_softmax(-1), before, 1e-4)
    assert fired == ["blocks.0.hook_resid_post"]
    assert model.cfg.is_layer_norm_folded()
    with model.hooks(fwd_hooks=[("blocks.0.hook_resid_post", lambda x, hook: torch.zeros_like(x))]):
        assert not close(model(tokens).log_softmax(-1), before, 1e-2)


def test_classic_state_dicts_with_their_buffers_load() -> None:
    model = tiny_model()
    state = {
        **model.state_dict(),
        "blocks.0.attn.mask": torch.ones(12, 12, dtype=torch.bool),
        "blocks.0.attn.IGNORE": torch.tensor(-torch.inf),
    }
    twin = tiny_model(seed=5)
    twin.load_and_process_state_dict(state, fold_ln=False, center_writing_weights=False, center_unembed=False)
    assert close(twin(tiny_tokens()), model(tiny_tokens()), 1e-4)
