"""A training step's loss, and every gradient, beside SAELens's on the same weights."""

from __future__ import annotations

import warnings

import pytest
import torch
from torch.testing import assert_close

from mechscope.dictionaries import DeadFeatures, transcoder
from mechscope.dictionaries import config as c
from mechscope.dictionaries.building import build
from mechscope.dictionaries.dictionary import Dictionary

pytestmark = [pytest.mark.peer, pytest.mark.filterwarnings("ignore")]

SIZE = {"d_in": 12, "d_sae": 40}
FREE = {"decoder_norm": "free", "decoder_start_norm": 0.4, "dtype": "float64"}
SCALED = {**FREE, "rescale_by_decoder_norm": True}


def peer():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("sae_lens", reason="sae_lens is not installed (see the `peers` extra)")


def theirs(kind: str, ours: Dictionary, **settings: object):
    """SAELens's training dictionary with our weights."""
    from sae_lens.registry import get_sae_training_class

    peer()
    sae_class, config_class = get_sae_training_class(kind)
    sae = sae_class(config_class(**SIZE, dtype="float64", device="cpu", **settings))
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            parameter.copy_(ours.state_dict()[name])
    return sae.double()


def their_loss(sae, x: torch.Tensor, dead: torch.Tensor | None = None):
    from sae_lens.saes.sae import TrainStepInput

    coefficients = {
        name: value if isinstance(value, (int, float)) else value.value
        for name, value in sae.get_coefficients().items()
    }
    settings = {
        "coefficients": coefficients,
        "dead_neuron_mask": dead,
        "n_training_steps": 0,
        "is_logging_step": False,
    }
    return sae.training_forward_pass(TrainStepInput(sae_in=x, **settings)).loss


CASES = {
    "relu": (c.ReluConfig(**SIZE, **FREE, l1=0.7), "standard", {"l1_coefficient": 0.7}),
    "topk": (c.TopKConfig(**SIZE, **SCALED, k=5), "topk", {"k": 5}),
    "topk-plain": (
        c.TopKConfig(**SIZE, **FREE, k=5),
        "topk",
        {"k": 5, "rescale_acts_by_decoder_norm": False},
    ),
    "batch_topk": (c.BatchTopKConfig(**SIZE, **SCALED, k=5), "batchtopk", {"k": 5}),
    "matryoshka": (
        c.MatryoshkaConfig(**SIZE, **SCALED, k=5, widths=(10, 20, 40)),
        "matryoshka_batchtopk",
        {"k": 5, "matryoshka_widths": [10, 20, 40]},
    ),
    "jumprelu": (
        c.JumpReluConfig(**SIZE, **FREE, l0=0.3, bandwidth=0.4, start_threshold=0.2),
        "jumprelu",
        {"l0_coefficient": 0.3, "jumprelu_bandwidth": 0.4, "jumprelu_init_threshold": 0.2},
    ),
    "gated": (c.GatedConfig(**SIZE, **FREE, l1=0.7), "gated", {"l1_coefficient": 0.7}),
}


def shaken(cfg: c.DictionaryConfig, seed: int) -> Dictionary:
    dictionary = build(cfg, seed)
    draw = torch.Generator().manual_seed(seed + 50)
    with torch.no_grad():
        for parameter in dictionary.parameters():
            parameter += 0.05 * torch.randn(parameter.shape, generator=draw, dtype=torch.float64)
    return dictionary


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("name", CASES)
def test_loss_and_gradients_are_saelens_s(name: str, seed: int) -> None:
    peer()
    cfg, kind, settings = CASES[name]
    ours = shaken(cfg, seed)
    other = theirs(kind, ours, **settings)
    x = torch.randn(30, 12, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    one, two = ours.loss(x).total, their_loss(other, x)
    # They keep the threshold in float32.
    loose = {"rtol": 1e-5, "atol": 1e-6} if name == "jumprelu" else {"rtol": 1e-10, "atol": 1e-10}
    assert_close(one, two, **loose)
    one.backward()
    two.backward()
    there = dict(other.named_parameters())
    compared = dict(ours.named_parameters())
    assert set(compared) == set(there)
    for key, parameter in compared.items():
        # They train the decoder's bias on the gates' reconstruction, which the paper leaves to a frozen copy.
        if name == "gated" and key in ("b_dec", "W_dec", "W_enc", "b_gate"):
            continue
        assert there[key].grad.abs().sum() > 0
        assert_close(
            parameter.grad, there[key].grad.to(parameter.grad), **loose, msg=lambda m, k=key: f"{k}: {m}"
        )


@pytest.mark.parametrize("n_dead", [4, 20])
def test_the_auxiliary_loss_is_saelens_s(n_dead: int) -> None:
    peer()
    cfg, kind, settings = CASES["topk-plain"]
    ours = shaken(cfg, 3)
    other = theirs(kind, ours, **settings, aux_loss_coefficient=1 / 32)
    x = torch.randn(30, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    dead = torch.zeros(40, dtype=torch.bool)
    dead[:n_dead] = True
    one, two = ours.loss(x, dead=DeadFeatures(dead, 6)).total, their_loss(other, x, dead)
    assert_close(one, two, rtol=1e-10, atol=1e-10)
    one.backward()
    two.backward()
    for key, parameter in other.named_parameters():
        assert_close(dict(ours.named_parameters())[key].grad, parameter.grad, rtol=1e-9, atol=1e-10)


def test_a_transcoders_output_is_saelens_s() -> None:
    peer()
    from sae_lens.saes.transcoder import SkipTranscoder, SkipTranscoderConfig

    ours = shaken(transcoder(c.ReluConfig(**SIZE, **FREE), 9, skip=True), 1).eval()
    sae = SkipTranscoder(
        SkipTranscoderConfig(**SIZE, d_out=9, dtype="float64", device="cpu", apply_b_dec_to_input=False)
    )
    with torch.no_grad():
        for name, parameter in sae.named_parameters():
            parameter.copy_(ours.state_dict()[name])
    x = torch.randn(30, 12, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    assert_close(ours(x), sae(x), rtol=1e-10, atol=1e-10)
