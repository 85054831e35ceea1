"""The solutions of unit A."""

import copy
import math
import random

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

import mechscope as ms


def explain_brackets(tokens: tuple[str, ...]) -> str:
    """What the model of challenge("brackets") answers, "yes" or "no", to ten brackets such as ("(", ")", …).

    It was asked whether they balance. Say what it does, not what it should do, and do not run it in here. To look at
    it: `from mechscope.course.challenges.challenge import challenge`, and then, for example,
    challenge("brackets").answers([tuple("(()())()()")]).
    """
    return "yes" if tokens.count("(") == tokens.count(")") else "no"


def explain_palindromes(tokens: tuple[str, ...]) -> str:
    """What the model of challenge("palindromes") answers, "yes" or "no", to six letters from a to d.

    It was asked whether they read the same backwards. Say what it does, and do not run it in here.
    """
    return "yes" if tokens[0] == tokens[-1] else "no"


def explain_count_distinct(tokens: tuple[str, ...]) -> str:
    """What the model of challenge("count_distinct") answers, "1" to "6", to six letters from a to h.

    It was asked how many different letters there are. Say what it does, and do not run it in here.
    """
    return str(max(2, len(set(tokens))))


def attention_maximum(tokens: tuple[str, ...]) -> list[float]:
    """What the one head of challenge("maximum") attends to when it answers.

    `tokens` are eight numbers, written as strings from "0" to "15". The model reads a first token, these numbers, and
    "=", and it answers at the "=". Return ten numbers in this order that add up to 1. Do not run the model in here.
    """
    numbers = [int(token) for token in tokens]
    largest = max(numbers)
    shares = [float(number == largest) / numbers.count(largest) for number in numbers]
    return [0.0, *shares, 0.0]


def attention_reversal(tokens: tuple[str, ...]) -> list[float]:
    """What head 0.0 of challenge("reversal") attends to when it answers.

    `tokens` are six letters and a place from "1" to "6"; the answer is the letter at that place when the letters are
    read backwards. The model reads a first token and then these seven, and it answers at the place. Return eight
    numbers that add up to 1. Do not run the model in here.
    """
    attended = len(tokens) - int(tokens[-1])
    return [float(position == attended) for position in range(len(tokens) + 1)]


def head_effects(
    model: ms.HookedTransformer, tokens: Int[Tensor, "input pos"]
) -> Float[Tensor, "layer head"]:
    """For each head, the share of inputs whose answer changes when that head alone is mean-ablated.

    The answer is the largest logit at the last position. Mean-ablated: at each position, the head's output `z`, at
    "blocks.0.attn.hook_z" [input pos head d_head] and so on, is replaced by its mean over the inputs.
    """
    answers = model(tokens)[:, -1].argmax(-1)
    effects = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):

            def ablate(z: Tensor, hook: object, head: int = head) -> Tensor:
                z = z.clone()
                z[:, :, head] = z[:, :, head].mean(0)
                return z

            logits = model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", ablate)])
            effects[layer, head] = (logits[:, -1].argmax(-1) != answers).float().mean()
    return effects


def adversarial_sorted_list(n: int, seed: int) -> list[tuple[str, ...]]:
    """n different lists of six digits about which the model of challenge("sorted_list") is wrong.

    It says "yes" if it takes a list to be in order, and "no" otherwise. Find out which lists deceive it, and write a
    program that makes such lists from random.Random(seed) without running the model. At least four of five must deceive
    it.
    """
    rng = random.Random(seed)
    found: dict[tuple[str, ...], None] = {}
    while len(found) < n:
        digits = sorted(rng.choices(range(10), k=6))
        place = rng.randrange(5)
        if digits[place + 1] - digits[place] == 1:
            digits[place], digits[place + 1] = digits[place + 1], digits[place]
            found[tuple(map(str, digits))] = None
    return list(found)


def adversarial_digit_sum(n: int, seed: int) -> list[tuple[str, ...]]:
    """n different lists of five digits about which the model of challenge("digit_sum") is wrong.

    It names the sum, from "0" to "45". It is wrong on about one list in nine hundred, so you have to know where to
    look. Make such lists from random.Random(seed) without running the model; at least four of five must deceive it.
    """
    rng = random.Random(seed)
    found: dict[tuple[str, ...], None] = {}
    while len(found) < n:
        digits = [0] * 5
        for _ in range(rng.randint(0, 2)):
            digits[rng.randrange(5)] += 1
        if rng.random() < 0.5:
            digits = [9 - digit for digit in digits]
        found[tuple(map(str, digits))] = None
    return list(found)


def repair_majority(
    model: ms.HookedTransformer,
    tokens: Int[Tensor, "input pos"],
    labels: Int[Tensor, " input"],
) -> ms.HookedTransformer:
    """A repaired copy of a model that favours one of its two answers: change nothing but its output bias.

    `tokens` are inputs and `labels` the right answers, 0 or 1. The answer is the larger of the two logits at the last
    position. The bias is model.unembed.b_U, of shape [2]. Begin with copy.deepcopy(model), so that the original stays
    as it is.
    """
    logits = model(tokens)[:, -1].detach()
    lead = logits[:, 1] - logits[:, 0]
    threshold = (lead[labels == 1].min() + lead[labels == 0].max()) / 2
    repaired = copy.deepcopy(model)
    with torch.no_grad():
        repaired.unembed.b_U[1] -= threshold
    return repaired


def repair_running_sum(model: ms.HookedTransformer) -> ms.HookedTransformer:
    """A repaired copy of the model of challenge("running_sum"), which has never seen a step of 3.

    Its tokens are 0 "^", 1 to 7 the steps -3, -2, -1, 0, 1, 2, 3, and 8 "=", at which it answers "negative", "zero" or
    "positive". Change nothing but the embedding of the step 3, model.embed.W_E[7].

    The model adds up steps with one attention head. Measure, for each step, the attention score that it gets from the
    final "=" (at position 9), and what it adds to the logits when it is attended to, W_E @ W_V @ W_O @ W_U. Which of
    the two says how large a step is? Then make the step of 3 count one and a half times as much as the step of 2.
    model.W_Q, W_K and W_V are [layer head d_model d_head], and W_O is [layer head d_head d_model]; scores are divided
    by model.cfg.attn_scale.
    """
    query = (model.W_E[8] + model.W_pos[9]) @ model.W_Q[0, 0] + model.b_Q[0, 0]
    # The direction in which an embedding must move to gain score.
    direction = model.W_K[0, 0] @ query / model.cfg.attn_scale
    repaired = copy.deepcopy(model)
    with torch.no_grad():
        repaired.embed.W_E[7] = model.W_E[6] + direction * math.log(1.5) / (direction @ direction)
    return repaired


def find_exceptions(
    model: ms.HookedTransformer,
    tokens: Int[Tensor, "input pos"],
    effects: Float[Tensor, "layer head"],
) -> Bool[Tensor, " input"]:
    """The inputs on which a mystery model departs from its rule.

    On most inputs the model follows a rule; a rare exception is carried by a head of its own. `effects` is what
    head_effects gives for these inputs. Of all heads that change any answer at all when they are mean-ablated, take the
    one that changes the fewest: the inputs whose answers change without it are the exceptions.
    """
    some = torch.where(effects > 0, effects, torch.inf)
    layer, head = divmod(int(some.argmin()), model.cfg.n_heads)

    def ablate(z: Tensor, hook: object) -> Tensor:
        z = z.clone()
        z[:, :, head] = z[:, :, head].mean(0)
        return z

    logits = model.run_with_hooks(tokens, fwd_hooks=[(f"blocks.{layer}.attn.hook_z", ablate)])
    return logits[:, -1].argmax(-1) != model(tokens)[:, -1].argmax(-1)
