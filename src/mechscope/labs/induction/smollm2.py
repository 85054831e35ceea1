"""The same scores on SmolLM2-135M: heads are found on some sequences, confirmed on others, and then removed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from mechscope.checkpoints.lab_models import SMOLLM2
from mechscope.labs.head_names import Head
from mechscope.labs.induction.ablation import zero_ablation_hooks
from mechscope.labs.induction.head_scores import HeadScores, score_heads, top_heads
from mechscope.labs.induction.losses import repeated_loss, token_losses
from mechscope.model.names import get_act_name
from mechscope.model.transformer import HookedTransformer
from mechscope.runs.workspace import Workspace
from mechscope.techniques.head_detectors import random_repeats_for
from mechscope.techniques.sweep import Edit, Sweep

INDUCTION: tuple[Head, ...] = ((18, 6), (17, 3), (17, 4), (17, 5), (18, 7))
PREVIOUS: tuple[Head, ...] = ((16, 0), (11, 1))
DUPLICATE: tuple[Head, ...] = ((8, 0), (14, 3))
"""The heads that score highest, as measured for this project on other sequences."""

SIZES = (1, 3, 5, 10)
"""How many of the best induction heads are removed together."""


@dataclass(frozen=True)
class SmolLM2Study:
    """What was found in SmolLM2-135M with one seed's sequences."""

    found: HeadScores
    """Scores on the first half of the sequences, on which heads are chosen."""
    confirmed: HeadScores
    """Scores on the second half; everything below is measured there too."""
    first_copy: float
    """Loss on the first copy of the block, in nats."""
    second_copy: float
    """Loss on the second copy, in nats."""
    without: Float[Tensor, " size"]
    """Loss on the second copy without the best induction heads of the first half."""
    without_random: Float[Tensor, "draw size"]
    """The same without as many other heads of the same layers."""
    prefix_without_previous: Float[Tensor, "layer head"]
    """Prefix scores without the two best previous-token heads of the first half."""
    prefix_without_random: Float[Tensor, "draw layer head"]
    """Prefix scores without two other heads of the same layers."""

    @property
    def induction_heads(self) -> list[Head]:
        """The five best induction heads of the first half, the best first."""
        return top_heads(self.found.prefix, len(INDUCTION))

    @property
    def previous_heads(self) -> list[Head]:
        """The two best previous-token heads of the first half."""
        return top_heads(self.found.previous, len(PREVIOUS))


def study_smollm2(
    workspace: Workspace, seed: int, sequences: int, draws: int, half: int = 50
) -> SmolLM2Study:
    """Find the heads of SmolLM2-135M on one half of the sequences and test them on the other.

    Args:
        sequences: sequences in each half.
        draws: sets of other heads that are removed for comparison.
        half: tokens in the block that each sequence repeats.
    """
    device = workspace.device

    def compute() -> dict[str, Tensor]:
        study = study_model(SMOLLM2.load(device), seed, sequences, draws, half)
        return {
            **{f"found.{name}": scores for name, scores in vars(study.found).items()},
            **{f"confirmed.{name}": scores for name, scores in vars(study.confirmed).items()},
            **{
                name: torch.as_tensor(value)
                for name, value in vars(study).items()
                if name not in ("found", "confirmed")
            },
        }

    part = {
        name: value.cpu()
        for name, value in workspace.load_or_compute(f"smollm2-seed-{seed}", compute).items()
    }
    found, confirmed = (
        HeadScores(**{name: part.pop(f"{which}.{name}") for name in ("prefix", "previous", "duplicate")})
        for which in ("found", "confirmed")
    )
    first_copy, second_copy = float(part.pop("first_copy")), float(part.pop("second_copy"))
    return SmolLM2Study(found, confirmed, first_copy, second_copy, **part)


def study_model(model: HookedTransformer, seed: int, sequences: int, draws: int, half: int) -> SmolLM2Study:
    """`study_smollm2` of a model that is in memory."""
    device = model.W_E.device
    tokens = random_repeats_for(model, seed, 2 * sequences, half).to(device)
    first, second = tokens[:sequences], tokens[sequences:]
    found, confirmed = score_heads(model, first), score_heads(model, second)
    generator = torch.Generator().manual_seed(seed)
    best = top_heads(found.prefix, max(SIZES))
    others = [random_others(model, best, best, generator) for _ in range(draws)]
    chosen = [heads[:size] for heads in (best, *others) for size in SIZES]
    losses = losses_without(model, second, chosen).view(1 + draws, len(SIZES))
    previous = top_heads(found.previous, len(PREVIOUS))
    blind = [previous, *(random_others(model, previous, previous, generator) for _ in range(draws))]
    prefix = torch.stack([_prefix_without(model, second, heads) for heads in blind])
    whole = token_losses(model, second)
    length = second.shape[1] // 2
    return SmolLM2Study(
        found,
        confirmed,
        first_copy=float(whole[:, :length].mean()),
        second_copy=repeated_loss(whole, length),
        without=losses[0],
        without_random=losses[1:],
        prefix_without_previous=prefix[0],
        prefix_without_random=prefix[1:],
    )


def random_others(
    model: HookedTransformer, heads: Sequence[Head], excluded: Sequence[Head], generator: torch.Generator
) -> list[Head]:
    """For each head, another one of its layer, drawn at random; none is drawn twice or is excluded.

    If a layer has no head left, one of any layer is drawn.
    """
    every = [(layer, head) for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    left = [head for head in every if head not in set(excluded)]
    drawn: list[Head] = []
    for layer, _ in heads:
        pool = [head for head in left if head[0] == layer] or left
        drawn.append(pool[int(torch.randint(len(pool), (1,), generator=generator))])
        left.remove(drawn[-1])
    return drawn


def losses_without(
    model: HookedTransformer, tokens: Int[Tensor, "batch pos"], sets: Sequence[Sequence[Head]]
) -> Float[Tensor, " set"]:
    """Loss on the second copy, in nats, if the outputs of each set of heads are zero there.

    On the first copy there is nothing to find, so the heads keep their outputs there; without them on both copies the
    losses of SmolLM2-135M differ by less than a tenth of a nat.
    """
    length = tokens.shape[1] // 2
    second = tuple(range(length + 1, 2 * length + 1))
    # The last position predicts nothing. The first token of the second copy cannot be known.
    reads = torch.tensor(second[:-1], device=tokens.device).expand(len(tokens), -1)
    answers = torch.as_tensor(tokens)[:, length + 2 :, None]
    sweep = Sweep(model, tokens, reads, progress=False)

    def loss(logits: Float[Tensor, "batch answer d_vocab"]) -> Tensor:
        return -logits.log_softmax(-1).gather(-1, answers).mean()

    edits = [
        [Edit(get_act_name("z", layer), 0.0, head=head, pos=second) for layer, head in heads]
        for heads in sets
    ]
    return sweep.run(edits, loss).cpu()


def _prefix_without(
    model: HookedTransformer, tokens: Int[Tensor, "batch pos"], heads: Sequence[Head]
) -> Float[Tensor, "layer head"]:
    with model.hooks(fwd_hooks=zero_ablation_hooks(heads)):
        return score_heads(model, tokens).prefix


def smollm2_measures(study: SmolLM2Study) -> dict[str, float]:
    """The measures of the claims about SmolLM2-135M."""
    five = study.induction_heads
    rise = study.without - study.second_copy
    random_rise = study.without_random.amax(0) - study.second_copy
    return {
        "smollm2_heads_found": float(min(_known(study.found), _known(study.confirmed))),
        "smollm2_again": float(len({*five} & {*top_heads(study.confirmed.prefix, len(five))})),
        "smollm2_lowest": min(float(study.confirmed.prefix[head]) for head in five),
        "smollm2_highest": max(float(study.confirmed.prefix[head]) for head in five),
        "smollm2_mean": _mean(study.confirmed.prefix, five),
        "smollm2_best_other": _best_other(study),
        "smollm2_first_copy": study.first_copy,
        "smollm2_second_copy": study.second_copy,
        **{f"smollm2_without_{size}": float(loss) for size, loss in zip(SIZES, study.without, strict=True)},
        **{f"smollm2_rise_{size}": float(more) for size, more in zip(SIZES, rise, strict=True)},
        **{f"smollm2_random_rise_{size}": float(more) for size, more in zip(SIZES, random_rise, strict=True)},
        "smollm2_without_previous": _mean(study.prefix_without_previous, five),
        "smollm2_without_two_others": min(_mean(scores, five) for scores in study.prefix_without_random),
    }


def _known(scores: HeadScores) -> int:
    """How many of the nine heads rank where they should: top 5, top 2 and top 2."""
    return sum(
        len({*known} & {*top_heads(each, len(known))})
        for each, known in (
            (scores.prefix, INDUCTION),
            (scores.previous, PREVIOUS),
            (scores.duplicate, DUPLICATE),
        )
    )


def _mean(scores: Float[Tensor, "layer head"], heads: Sequence[Head]) -> float:
    return sum(float(scores[head]) for head in heads) / len(heads)


def _best_other(study: SmolLM2Study) -> float:
    """The largest prefix score, on the second half, of any other head in the layers of the five."""
    scores = study.confirmed.prefix.clone()
    for head in study.induction_heads:
        scores[head] = 0
    return float(scores[sorted({layer for layer, _ in study.induction_heads})].max())
