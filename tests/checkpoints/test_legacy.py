"""State dicts in the classic layout, from papers and from this package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from mechscope.checkpoints.classic_layout import classic_shapes
from mechscope.checkpoints.legacy import infer_config
from mechscope.checkpoints.load import load_model
from mechscope.model.config import HookedTransformerConfig
from mechscope.model.transformer import HookedTransformer
from tests.model.tiny import BASE, VARIANTS

ADDITION = {"act_fn": "relu", "normalization_type": None}
P = 113


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_list_of_shapes_is_the_models(variant: str):
    model = HookedTransformer({**BASE, **VARIANTS[variant], "seed": 0})
    found = {name: tuple(tensor.shape) for name, tensor in model.state_dict().items()}
    assert classic_shapes(model.cfg) == found


@pytest.mark.parametrize(("seed", "accuracy", "loss"), [(0, 0.99969, 7.2e-3), (1, 0.99922, 2.9e-2)])
def test_modular_addition_reaches_its_accuracy(data_folder: Path, seed: int, accuracy: float, loss: float):
    path = data_folder / "models" / "modular_addition" / f"seed{seed}.model_epoch_60000.pt"
    model = load_model(path, cfg=ADDITION)
    assert (model.cfg.n_layers, model.cfg.n_heads, model.cfg.d_head, model.cfg.n_ctx) == (1, 4, 32, 3)
    numbers = torch.arange(P)
    a, b = torch.meshgrid(numbers, numbers, indexing="ij")
    tokens = torch.stack([a.flatten(), b.flatten(), torch.full((P * P,), P)], dim=-1)
    answers = (tokens[:, 0] + tokens[:, 1]) % P
    with torch.no_grad():
        logits = model(tokens)[:, -1]
    found = (logits.argmax(-1) == answers).double().mean().item()
    assert found == pytest.approx(accuracy, abs=5e-6)
    measured = torch.nn.functional.cross_entropy(logits.double(), answers).item()
    assert measured == pytest.approx(loss, rel=0.03)


def test_processing_leaves_modular_addition_as_it_is(data_folder: Path):
    path = data_folder / "models" / "modular_addition" / "seed0.model_epoch_60000.pt"
    tokens = torch.tensor([[3, 5, P], [112, 112, P]])
    processed, raw = load_model(path, cfg=ADDITION), load_model(path, cfg=ADDITION, process=False)
    torch.testing.assert_close(
        processed(tokens).log_softmax(-1), raw(tokens).log_softmax(-1), atol=2e-4, rtol=1e-5
    )


@pytest.fixture
def classic() -> HookedTransformer:
    return HookedTransformer({**BASE, "n_key_value_heads": 2, "gated_mlp": True, "seed": 0})


TOKENS = torch.tensor([[0, 7, 29, 3]])


def test_a_state_dict_with_a_config_is_copied(classic: HookedTransformer):
    state = classic.state_dict()
    ours = load_model(state, cfg=classic.cfg, process=False)
    expected = classic(TOKENS)
    torch.testing.assert_close(ours(TOKENS), expected)
    with torch.no_grad():
        ours.W_E.zero_()
    torch.testing.assert_close(classic(TOKENS), expected)


def test_what_shapes_tell(classic: HookedTransformer):
    cfg = infer_config(classic.state_dict(), act_fn="gelu")
    for name in ("n_layers", "d_model", "n_ctx", "d_head", "n_heads", "n_key_value_heads", "d_mlp", "d_vocab",
                 "d_vocab_out", "gated_mlp", "attn_only", "normalization_type"):  # fmt: skip
        assert getattr(cfg, name) == getattr(classic.cfg, name), name
    ours = load_model(classic.state_dict(), cfg={"act_fn": "gelu"}, process=False)
    torch.testing.assert_close(ours(TOKENS), classic(TOKENS))


@pytest.mark.parametrize("kind", ["pre_and_post", "post"])
def test_shapes_tell_where_norms_stand(kind: str):
    cfg = HookedTransformerConfig(**BASE, normalization_type="RMS", norm_placement=kind, qk_norm="full")  # type: ignore[arg-type]
    found = infer_config(HookedTransformer(cfg).state_dict(), act_fn="gelu")
    assert (found.norm_placement, found.normalization_type, found.qk_norm) == (kind, "RMS", "full")


@pytest.mark.parametrize(
    ("drop", "given", "said"),
    [
        ("ln", {"act_fn": "gelu"}, "normalization_type='LNPre'"),
        ("none", {}, "give act_fn"),
        ("pos", {"act_fn": "gelu"}, "n_ctx"),
        ("embed.W_E", {"act_fn": "gelu"}, "classic layout"),
        ("W_in", {"act_fn": "gelu"}, "mlp.W_out"),
    ],
)
def test_what_shapes_cannot_tell_is_asked_for(
    classic: HookedTransformer, drop: str, given: dict[str, Any], said: str
):
    state = {name: tensor for name, tensor in classic.state_dict().items() if drop not in name}
    with pytest.raises(ValueError, match=said):
        load_model(state, cfg=given)


def test_a_hugging_face_state_dict_needs_its_config():
    with pytest.raises(ValueError, match="model_type"):
        load_model({"transformer.wte.weight": torch.ones(2, 2)})


def test_a_file_with_masks(classic: HookedTransformer, tmp_path: Path):
    state = dict(classic.state_dict())
    for layer in range(2):
        state[f"blocks.{layer}.attn.mask"] = torch.ones(12, 12, dtype=torch.bool).tril()
        state[f"blocks.{layer}.attn.IGNORE"] = torch.tensor(-torch.inf)
    torch.save(state, tmp_path / "model.pt")
    ours = load_model(tmp_path / "model.pt", cfg={"act_fn": "gelu"}, process=False)
    torch.testing.assert_close(ours(TOKENS), classic(TOKENS))
    assert ours.cfg.model_name == "model"
