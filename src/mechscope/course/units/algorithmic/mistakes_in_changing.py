"""The mistakes that the checks of adversarial inputs and repairs name."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import copy
import math
import random

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.algorithmic import checks, reference

# Adversarial inputs


def _different(n, draw):
    found = {}
    while len(found) < n:
        found[tuple(map(str, draw()))] = None
    return list(found)


def _in_order(n, seed):
    rng = random.Random(seed)
    return _different(n, lambda: sorted(rng.choices(range(10), k=6)))


def _shuffled(n, seed):
    rng = random.Random(seed)
    return _different(n, lambda: rng.choices(range(10), k=6))


def _exchanged_far(n, seed):
    rng = random.Random(seed)

    def draw():
        while True:
            digits = sorted(rng.choices(range(10), k=6))
            place = rng.randrange(5)
            if digits[place + 1] - digits[place] >= 3:
                digits[place], digits[place + 1] = digits[place + 1], digits[place]
                return digits

    return _different(n, draw)


def _again_and_again(n, seed):
    return reference.adversarial_sorted_list(1, seed) * n


def _descending(n, seed):
    rng = random.Random(seed)
    return _different(n, lambda: sorted(rng.choices(range(10), k=6), reverse=True))


def _any_digits(n, seed):
    rng = random.Random(seed)
    return _different(n, lambda: rng.choices(range(10), k=5))


def _middle_sums(n, seed):
    rng = random.Random(seed)

    def draw():
        digits = [4, 4, 5, 5, rng.randrange(3, 7)]
        rng.shuffle(digits)
        return digits

    return _different(n, draw)


def _rather_small(n, seed):
    rng = random.Random(seed)

    def draw():
        while True:
            digits = rng.choices(range(3), k=5)
            if sum(digits) >= 5:
                return digits

    return _different(n, draw)


def _same_list(n, seed):
    return [("0",) * 5] * n


# Repairs


def _shifted(model, tokens, labels, factor):
    lead = reference.repair_majority(model, tokens, labels).unembed.b_U - model.unembed.b_U
    repaired = copy.deepcopy(model)
    with torch.no_grad():
        repaired.unembed.b_U += factor * lead
    return repaired


def _wrong_way(model, tokens, labels):
    return _shifted(model, tokens, labels, -1)


def _too_far(model, tokens, labels):
    return _shifted(model, tokens, labels, 3)


def _bias_in_place(model, tokens, labels):
    model.unembed.b_U.data = reference.repair_majority(model, tokens, labels).unembed.b_U.data
    return model


def _weights_scaled(model, tokens, labels):
    repaired = copy.deepcopy(model)
    with torch.no_grad():
        repaired.unembed.W_U[:, 1] *= 1.5
    return repaired


def _bias_removed(model, tokens, labels):
    repaired = copy.deepcopy(model)
    with torch.no_grad():
        repaired.unembed.b_U.zero_()
    return repaired


def _with_embedding(model, embedding):
    repaired = copy.deepcopy(model)
    with torch.no_grad():
        repaired.embed.W_E[7] = embedding
    return repaired


def _straight_line(model):
    return _with_embedding(model, 2 * model.W_E[6] - model.W_E[5])


def _mirrored(model):
    return _with_embedding(model, 2 * model.W_E[4] - model.W_E[1])


def _copied(model):
    return _with_embedding(model, model.W_E[6])


def _no_logarithm(model):
    query = (model.W_E[8] + model.W_pos[9]) @ model.W_Q[0, 0] + model.b_Q[0, 0]
    direction = model.W_K[0, 0] @ query / model.cfg.attn_scale
    return _with_embedding(model, model.W_E[6] + direction * 1.5 / (direction @ direction))


def _not_divided(model):
    query = (model.W_E[8] + model.W_pos[9]) @ model.W_Q[0, 0] + model.b_Q[0, 0]
    direction = model.W_K[0, 0] @ query / model.cfg.attn_scale
    return _with_embedding(model, model.W_E[6] + direction * math.log(1.5))


def _embedding_in_place(model):
    model.embed.W_E.data = reference.repair_running_sum(model).embed.W_E.data
    return model


MISTAKES = {
    "adversarial_sorted_list": (
        Mistake(_in_order, checks.IN_ORDER),
        Mistake(_shuffled, checks.SHUFFLED),
        Mistake(_exchanged_far, checks.TOO_FAR),
        Mistake(_again_and_again, ""),
        Mistake(_descending, checks.SHUFFLED),
    ),
    "adversarial_digit_sum": (
        Mistake(_any_digits, checks.ORDINARY),
        Mistake(_middle_sums, checks.ORDINARY),
        Mistake(_rather_small, checks.NOT_RARE),
        Mistake(_same_list, ""),
    ),
    "repair_majority": (
        Mistake(_wrong_way, "The bias moved the wrong way: the favoured answer is favoured even more."),
        Mistake(_too_far, "The bias moved too far: now the other answer is favoured."),
        Mistake(_bias_in_place, checks.IN_PLACE, changes_model=True),
        Mistake(_weights_scaled, checks.ELSEWHERE),
        Mistake(
            _bias_removed,
            "The bias is not the only part that favours an answer: without it, one still wins a tie. Measure.",
        ),
    ),
    "repair_running_sum": (
        Mistake(
            _straight_line,
            "This continues the embeddings in a straight line, but the model does not read steps off a line.",
        ),
        Mistake(_mirrored, "This mirrors -3 at 0. The embeddings of opposite steps are no mirror images."),
        Mistake(_copied, "Now 3 counts exactly as much as 2: the sign is right, and the size is missing."),
        Mistake(
            _no_logarithm,
            "Scores go through an exponential: for 1.5 times the attention, add the logarithm of 1.5.",
        ),
        Mistake(
            _not_divided,
            "Moving by a direction raises the score by its squared length: divide by direction @ direction.",
        ),
        Mistake(_embedding_in_place, checks.IN_PLACE, changes_model=True),
    ),
}
"""Exercise → its known mistakes."""
