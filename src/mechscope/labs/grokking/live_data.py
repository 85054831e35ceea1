"""What the live figure of step 02 reads: the waves in the bundled model at each of its training checkpoints.

`python -m mechscope.labs.live_data grokking` writes the files again, from the bundled checkpoints.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import safetensors.torch
import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.registry import BUNDLED
from mechscope.labs.grokking.anatomy import Anatomy, anatomy_of_transformer
from mechscope.labs.grokking.bundled_study import NAME
from mechscope.labs.grokking.cosine_sum import cosine_amplitudes
from mechscope.labs.grokking.fourier_ablation import excluded_loss, restricted_loss
from mechscope.labs.grokking.full_batch import plain_loss
from mechscope.labs.grokking.pairs import all_pairs, split_pairs
from mechscope.labs.grokking.spectra import frequency_norms, keys_of
from mechscope.labs.grokking.structure import explained_by_cosines, neuron_shares
from mechscope.reading import read_json_object
from mechscope.techniques.fourier import fourier_basis

FOLDER = Path(__file__).parent / "live"
LEVELS = 127
"""Coordinates and activations are stored as whole numbers of this many parts of their largest size."""
LOSSES = ("train", "test", "restricted", "excluded")


def make_files() -> dict[str, bytes]:
    """File name → content: what is drawn for each checkpoint as tensors, and what does not change as JSON."""
    made = read_json_object(BUNDLED / NAME / "figures.json")
    steps: list[int] = made["checkpoints"]
    last = anatomy_at(steps[-1])
    keys = keys_of(last.W_L)
    planes = circle_planes(last.embedding, keys)
    neurons = chosen_neurons(last, keys)
    p, train_pairs = last.p, int(made["config"]["fraction"] * last.p**2)
    found = [_at(anatomy_at(step), keys, planes, neurons, train_pairs, made["seed"]) for step in steps]
    stacked = {name: torch.stack([each[name] for each in found]) for name in found[0]}
    # One scale per circle and per wave for all checkpoints, so that growth can be seen.
    scales = {name: stacked[name].abs().transpose(0, 1).flatten(1).amax(1) for name in ("circles", "waves")}
    described = {
        "p": p,
        "epochs": steps,
        "keys": keys,
        "amplitudes": [round(value, 4) for value in cosine_amplitudes(last.logits, keys).tolist()],
        "explained": round(explained_by_cosines(last.logits, keys), 4),
        "neurons": neurons,
        "circle_scales": scales["circles"].tolist(),
        "wave_scales": scales["waves"].tolist(),
    }
    tensors = {
        "losses": stacked["losses"].float(),
        "norms": stacked["norms"].half(),
        "circles": _whole(stacked["circles"], scales["circles"][:, None, None]),
        "waves": _whole(stacked["waves"], scales["waves"][:, None]),
    }
    return {
        "waves.safetensors": safetensors.torch.save(tensors),
        "waves.json": (json.dumps(described, indent=1) + "\n").encode(),
    }


def anatomy_at(step: int) -> Anatomy:
    """The bundled model at one of its checkpoints."""
    return anatomy_of_transformer(load_model(NAME, process=False, device="cpu", checkpoint_value=step))


def circle_planes(
    embedding: Float[Tensor, "p d_model"], keys: Sequence[int]
) -> Float[Tensor, "key d_model 2"]:
    """For each key frequency, the plane in which the trained embedding has its circle (orthonormal columns).

    It is spanned by the directions along which cos w_k a and sin w_k a are embedded. All checkpoints are seen in these
    planes: in a plane that is fitted to it, even a random embedding looks like a circle, because its directions are
    nearly orthogonal.
    """
    basis = fourier_basis(len(embedding))
    rows = torch.stack([basis[[2 * k - 1, 2 * k]] for k in keys])
    Q, R = torch.linalg.qr((rows @ embedding).transpose(1, 2))
    # cos to the right and sin upwards; otherwise the linear algebra library would decide.
    return Q * R.diagonal(dim1=1, dim2=2).sign()[:, None]


def chosen_neurons(anatomy: Anatomy, keys: Sequence[int]) -> list[int]:
    """For each key frequency, the neuron whose activation it explains best, among those that matter.

    Those that matter have at least the median influence on the logits.
    """
    shares = neuron_shares(anatomy.neurons)
    influence = anatomy.neurons.flatten(0, 1).std(0) * anatomy.W_L.double().norm(dim=1)
    shares = shares * (influence >= influence.median())
    return [int(shares[key - 1].argmax()) for key in keys]


def _at(
    anatomy: Anatomy,
    keys: Sequence[int],
    planes: Float[Tensor, "key d_model 2"],
    neurons: Sequence[int],
    train_pairs: int,
    seed: int,
) -> dict[str, Tensor]:
    train, test = split_pairs(anatomy.p, train_pairs, seed)
    logits = anatomy.logits
    losses = [
        float(plain_loss(logits[train.a, train.b], train.answer)),
        float(plain_loss(logits[test.a, test.b], test.answer)),
        restricted_loss(logits, keys, test),
        excluded_loss(logits, keys, train),
    ]
    return {
        "losses": torch.tensor(losses, dtype=torch.float64),
        "norms": frequency_norms(anatomy.embedding),
        "circles": anatomy.embedding @ planes,
        "waves": _means_by_sum(anatomy.neurons[..., list(neurons)]),
    }


def _means_by_sum(neurons: Float[Tensor, "p p neuron"]) -> Float[Tensor, "neuron sum"]:
    """The mean activation over all pairs with the same sum modulo p."""
    p = len(neurons)
    sums = torch.zeros(p, neurons.shape[-1], dtype=torch.float64)
    return sums.index_add_(0, all_pairs(p).answer, neurons.flatten(0, 1)).T / p


def _whole(values: Float[Tensor, "*shape"], scale: Float[Tensor, "*scale"]) -> Int[Tensor, "*shape"]:
    return (LEVELS * values / scale).round().to(torch.int8)
