"""Is the explanation of the bundled model faithful? (It was trained for longer than a run can afford.)"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from mechscope.checkpoints.load import load_model
from mechscope.checkpoints.registry import bundled_names
from mechscope.checkpoints.weights_checksum import bundled_checksum
from mechscope.labs.grokking.anatomy import anatomy_of_transformer
from mechscope.labs.grokking.faithfulness import (
    direction_shares,
    random_direction_shares,
    replacement_losses,
)
from mechscope.labs.grokking.spectra import keys_of
from mechscope.runs.workspace import Workspace

NAME = "grokking-p113"
ABSENT = f"this installation comes without {NAME}"


@dataclass(frozen=True)
class Faithfulness:
    """Effects of replacing parts of the bundled model by what the explanation says they are.

    Losses are over all pairs, in nats; see `replacement_losses` for their names.
    """

    p: int
    """Its modulus."""
    keys: tuple[int, ...]
    """Key frequencies."""
    losses: Mapping[str, float]
    """Replacement → loss."""
    other_losses: Mapping[str, float]
    """The null: the same with as many other frequencies instead of the keys."""
    shares: Float[Tensor, "key 2"]
    """Share of the variance along each key direction that cos and sin w_k(a+b) explain."""
    random_shares: Float[Tensor, " direction"]
    """The same for random directions, with the key frequency that explains most of each."""


def describe_bundled() -> str:
    """Which bundled weights a run would read, in words."""
    if NAME not in bundled_names():
        return f"{ABSENT} (claims 2.12 and 2.13 are not run)"
    return f"{NAME}, bundled (sha256 {bundled_checksum(NAME)}…)"


def study_bundled(workspace: Workspace) -> Faithfulness | None:
    """Measure the bundled model; None if this installation has none."""
    if NAME not in bundled_names():
        return None
    seed = workspace.seeds[0]

    def compute() -> dict[str, Tensor]:
        anatomy = anatomy_of_transformer(load_model(NAME, device="cpu"))
        keys = keys_of(anatomy.W_L)
        others = other_frequencies(anatomy.p, keys, seed)
        found = {f"loss.{name}": value for name, value in replacement_losses(anatomy, keys).items()}
        found |= {f"other.{name}": value for name, value in replacement_losses(anatomy, others).items()}
        return {
            **{name: torch.tensor(value, dtype=torch.float64) for name, value in found.items()},
            "p": torch.tensor(anatomy.p),
            "keys": torch.tensor(keys),
            "shares": direction_shares(anatomy, keys),
            "random_shares": random_direction_shares(anatomy, keys, seed),
        }

    part = {
        name: tensor.cpu() for name, tensor in workspace.load_or_compute("bundled-model", compute).items()
    }

    def group(prefix: str) -> dict[str, float]:
        return {name.removeprefix(prefix): float(part[name]) for name in part if name.startswith(prefix)}

    return Faithfulness(
        int(part["p"]),
        tuple(part["keys"].tolist()),
        group("loss."),
        group("other."),
        part["shares"],
        part["random_shares"],
    )


def other_frequencies(p: int, keys: list[int], seed: int) -> list[int]:
    """As many frequencies as there are keys, drawn from those that are not keys."""
    left = [k for k in range(1, p // 2 + 1) if k not in keys]
    order = torch.randperm(len(left), generator=torch.Generator().manual_seed(seed))
    return sorted(left[row] for row in order[: len(keys)].tolist())


def measure_bundled(found: Faithfulness) -> dict[str, float]:
    """The measures of claims 2.12 and 2.13; shares in percent."""
    return {
        **{f"replaced_{name.replace(' ', '_')}": loss for name, loss in found.losses.items()},
        **{f"other_{name.replace(' ', '_')}": loss for name, loss in found.other_losses.items()},
        "bundled_guessing": math.log(found.p),
        "direction_share_least": 100 * float(found.shares.min()),
        "direction_share_most": 100 * float(found.shares.max()),
        "random_direction_share": 100 * float(found.random_shares.mean()),
        "random_direction_share_most": 100 * float(found.random_shares.max()),
    }
