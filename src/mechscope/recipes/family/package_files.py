"""The family's shared files in the package: its tokenizer, and held-out text."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import safetensors
import safetensors.torch
from jaxtyping import Int
from torch import Tensor

from mechscope.data.ngrams import NGram
from mechscope.data.tokenizer import Tokenizer
from mechscope.storage.files import write_atomically

FOLDER = Path(__file__).parent / "shared"
"""The folder of these files, which `prepare` makes."""
HELD_OUT = "held_out.safetensors"
KINDS_OF_TEXT = ("books", "code")
ORDERS = {"unigram": 1, "bigram": 2, "trigram": 3}
"""The n-gram baselines, by name."""


@dataclass(frozen=True)
class HeldOut:
    """Held-out text, and the losses of n-grams on it."""

    rows: dict[str, Int[Tensor, "batch pos"]]
    """books and code → sequences that begin with BOS."""
    baselines: dict[str, float]
    """unigram_books … trigram_code → loss in nats of n-grams counted on the training text."""
    about: dict[str, str]
    """Which files, which Python, the checksum of the training text, the licences."""


def shared_tokenizer() -> Tokenizer:
    """The family's tokenizer."""
    return Tokenizer.from_folder(FOLDER)


@cache
def held_out() -> HeldOut:
    """Read the held-out text."""
    with safetensors.safe_open(FOLDER / HELD_OUT, framework="pt") as file:
        rows = {kind: file.get_tensor(kind).long() for kind in KINDS_OF_TEXT}
        values = file.get_tensor("baselines").tolist()
        about: dict[str, str] = file.metadata() or {}
    names = [f"{order}_{kind}" for kind in KINDS_OF_TEXT for order in ORDERS]
    return HeldOut(rows, dict(zip(names, values, strict=True)), about)


def count_baselines(
    training: Int[Tensor, "batch pos"], rows: dict[str, Int[Tensor, "batch pos"]], d_vocab: int
) -> dict[str, float]:
    """Loss in nats on each held-out text of the unigrams, bigrams and trigrams of the training text."""
    found: dict[str, float] = {}
    for order, n in ORDERS.items():
        baseline = NGram(d_vocab, n).fit(training)
        found |= {f"{order}_{kind}": float(baseline.loss(rows[kind])) for kind in KINDS_OF_TEXT}
    return {f"{order}_{kind}": found[f"{order}_{kind}"] for kind in KINDS_OF_TEXT for order in ORDERS}


def write_held_out(path: Path, found: HeldOut) -> None:
    """Write the held-out text as `held_out` reads it."""
    import torch

    tensors = {kind: rows.to(torch.int16) for kind, rows in found.rows.items()}
    tensors["baselines"] = torch.tensor(list(found.baselines.values()), dtype=torch.float64)
    write_atomically(path, safetensors.torch.save(tensors, found.about))
