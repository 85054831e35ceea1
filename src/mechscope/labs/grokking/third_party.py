"""Models trained by others, if MECHSCOPE_DATA has them: two by Apollo Research, a clock and a pizza.

A pizza (its attention is constant) and a clock (its attention multiplies) both add with frequencies. Two measures of
Zhong et al. (2023), "The clock and the pizza", tell them apart. **Distance irrelevance**: how much of the spread of the
right answer's logit is left among pairs with the same distance a - b (little for a pizza, whose logit is
|cos w(a-b)/2|). **Gradient symmetricity**: cosine similarity of a logit's gradients with respect to both embeddings.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import random
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.checkpoints import load_model
from mechscope.checkpoints.weights_file import read_pickle
from mechscope.labs.grokking.anatomy import anatomy_of_transformer
from mechscope.labs.grokking.full_batch import Weights
from mechscope.labs.grokking.pairs import all_pairs
from mechscope.labs.grokking.structure import analyse_structure
from mechscope.reading import regular_file
from mechscope.runs.workspace import Workspace
from mechscope.storage.folders import data_folder

FILES = {
    "modular_addition/seed0.model_epoch_60000.pt": "6fdbd78ba624dfbfa36866152926a071bcdd6d5248fc1a83b4289d41b0d9268d",
    "modular_addition/seed1.model_epoch_60000.pt": "74a5fc338bee3560e9a1c9d1eefb888ce581e885342b7c5155a114d1637c0477",
    "clock_pizza/model_l8k1hzciux.pt": "9c45340a4ce253239687349f690a3687116ef14c35e64f77b69c5abdf6086929",
    "clock_pizza/model_p99zdpze5l.pt": "eb58a5a059f05f9f8a434f8f6d62405c6194dc353abf9843cb56382183820e25",
}
"""File → SHA-256, as published with the files."""

ADDERS = ("modular_addition/seed0.model_epoch_60000.pt", "modular_addition/seed1.model_epoch_60000.pt")
MIXERS = {
    "clock": ("clock_pizza/model_l8k1hzciux.pt", 1.0),
    "pizza": ("clock_pizza/model_p99zdpze5l.pt", 0.0),
}
"""Name → file, and the share of its attention that is a softmax; the rest is constant."""


def models_folder() -> Path | None:
    """The folder with all four models, or None if MECHSCOPE_DATA does not have them.

    Raises:
        ValueError: if one of the files is not the published one.
    """
    data = data_folder()
    if data is None or not all((data / "models" / name).is_file() for name in FILES):
        return None
    for name, expected in FILES.items():
        found = hashlib.sha256(regular_file(data / "models" / name).read_bytes()).hexdigest()
        if found != expected:
            raise ValueError(
                f"{data / 'models' / name} is damaged: its SHA-256 is {found}, but should be {expected}. "
                "Download it again."
            )
    return data / "models"


@dataclass(frozen=True)
class MixedAttention:
    """A one-layer model that reads only [a, b]. Its attention is part softmax, part constant, and not causal."""

    weights: Weights
    """As published: every matrix but W_U maps its last axis to the one before it."""
    softmax: float
    """Attention weights are softmax · pattern + (1 - softmax)."""

    @property
    def p(self) -> int:
        """The modulus."""
        return self.weights["embed.W_E"].shape[1]

    def embed(self, number: Tensor) -> Float[Tensor, "pair d_model"]:
        """Embeddings of numbers, before positions are added."""
        return self.weights["embed.W_E"].T[number]

    def logits(self, first: Tensor, second: Tensor) -> Float[Tensor, "pair p"]:
        """Logits at the second position, from the two embeddings."""
        W = {name.removeprefix("blocks.0."): tensor for name, tensor in self.weights.items()}
        x = torch.stack([first, second], 1) + W["pos_embed.W_pos"][:2]
        query = torch.einsum("hkd,nd->nhk", W["attn.W_Q"], x[:, 1])
        key = torch.einsum("hkd,npd->nphk", W["attn.W_K"], x)
        value = torch.einsum("hkd,npd->nphk", W["attn.W_V"], x)
        scores = torch.einsum("nhk,nphk->nph", query, key) / math.sqrt(query.shape[-1])
        pattern = self.softmax * scores.softmax(1) + (1 - self.softmax)
        mixed = torch.einsum("nph,nphk->nhk", pattern, value).flatten(1)
        resid_mid = x[:, 1] + mixed @ W["attn.W_O"].T
        neurons = torch.relu(resid_mid @ W["mlp.W_in"].T + W["mlp.b_in"])
        return (resid_mid + neurons @ W["mlp.W_out"].T + W["mlp.b_out"]) @ W["unembed.W_U"]


def distance_irrelevance(logits: Float[Tensor, "p p p"]) -> float:
    """Mean spread of the right answer's logit among pairs with the same a - b, divided by its spread over all pairs."""
    pairs = all_pairs(len(logits))
    right = logits.double().flatten(0, 1).gather(1, pairs.answer[:, None])[:, 0]
    distance = (pairs.a - pairs.b) % pairs.p
    within = torch.stack([right[distance == d].std(correction=0) for d in range(pairs.p)])
    return float(within.mean() / right.std(correction=0))


def gradient_similarities(model: MixedAttention) -> Float[Tensor, "p p p"]:
    """Cosine similarity of each logit's gradients with respect to both embeddings, for all pairs and answers.

    Its mean is the gradient symmetricity.
    """
    pairs = all_pairs(model.p)
    first = model.embed(pairs.a).clone().requires_grad_()
    second = model.embed(pairs.b).clone().requires_grad_()
    logits = model.logits(first, second)
    found: list[Tensor] = []
    for answer in range(model.p):
        gradients = torch.autograd.grad(logits[:, answer].sum(), (first, second), retain_graph=True)
        found.append(torch.nn.functional.cosine_similarity(*gradients, dim=1).double())
    return torch.stack(found, 1).unflatten(0, (model.p, model.p))


def authors_sample(p: int) -> Int[Tensor, "100 3"]:
    """The hundred triples (a, b, c) that the authors average over: the first of all p³ in their random order."""
    triples = list(itertools.product(range(p), repeat=3))
    random.Random(42).shuffle(triples)
    return torch.tensor(triples[:100])


def load_mixer(path: Path, softmax: float) -> MixedAttention:
    """Read a published clock or pizza."""
    weights = {name: tensor for name, tensor in read_pickle(path).items() if "mask" not in name}
    return MixedAttention(weights, softmax)


def measure_third_party(workspace: Workspace, folder: Path) -> dict[str, Tensor]:
    """Measures of all four models, and the mean logit of the right answer by distance for clock and pizza."""

    def compute() -> dict[str, Tensor]:
        found: dict[str, float] = {}
        curves: dict[str, Tensor] = {}
        for index, file in enumerate(ADDERS):
            # Processing centres the unembedding: what is the same for every answer changes no probability.
            model = load_model(
                folder / file, cfg={"act_fn": "relu", "normalization_type": None}, device="cpu"
            )
            structure = analyse_structure(anatomy_of_transformer(model))
            found |= {
                f"adder{index}_accuracy": 100 * structure.accuracy,
                f"adder{index}_keys": len(structure.keys),
                f"adder{index}_explained": 100 * structure.explained,
                f"adder{index}_outside": 100 * structure.outside,
                f"adder{index}_single_neurons": 100 * structure.single_neurons,
                f"adder{index}_separation": structure.separation,
            }
        for name, (file, softmax) in MIXERS.items():
            model = load_mixer(folder / file, softmax)
            pairs = all_pairs(model.p)
            with torch.no_grad():
                logits = model.logits(model.embed(pairs.a), model.embed(pairs.b))
            right = logits.double().gather(1, pairs.answer[:, None])[:, 0]
            found[f"{name}_accuracy"] = 100 * float((logits.argmax(-1) == pairs.answer).double().mean())
            found[f"{name}_irrelevance"] = distance_irrelevance(logits.unflatten(0, (model.p, model.p)))
            similarities = gradient_similarities(model)
            a, b, c = authors_sample(model.p).T
            found[f"{name}_symmetricity"] = float(similarities.mean())
            found[f"{name}_symmetricity_sample"] = float(similarities[a, b, c].mean())
            found[f"{name}_symmetricity_error"] = float(similarities.std()) / len(a) ** 0.5
            distance = (pairs.a - pairs.b) % model.p
            curves[f"curve_{name}"] = torch.stack([right[distance == d].mean() for d in range(model.p)])
        values = {key: torch.tensor(value, dtype=torch.float64) for key, value in found.items()}
        return {**values, **curves}

    return {name: tensor.cpu() for name, tensor in workspace.load_or_compute("third-party", compute).items()}
