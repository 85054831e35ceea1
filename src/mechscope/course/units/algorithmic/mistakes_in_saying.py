"""The mistakes that the checks of programs, attention and heads name."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

import itertools

import torch

from mechscope.course.challenges.challenge import challenge
from mechscope.course.trial import Mistake
from mechscope.course.units.algorithmic import checks, reference

# Programs


def _yes(holds):
    return "yes" if holds else "no"


def _really_balanced(tokens):
    return challenge("brackets").task.rule(tokens)


def _never_below_zero(tokens):
    depths = [tokens[:end].count("(") - tokens[:end].count(")") for end in range(len(tokens) + 1)]
    return _yes(min(depths) >= 0)


def _open_and_close(tokens):
    return _yes(tokens[0] == "(" and tokens[-1] == ")")


def _asks_brackets(tokens):
    return challenge("brackets").answers([tokens])[0]


def _really_palindrome(tokens):
    return _yes(tokens == tokens[::-1])


def _two_outer_pairs(tokens):
    return _yes(tokens[:2] == tokens[:-3:-1])


def _middle_pair(tokens):
    return _yes(tokens[2] == tokens[3])


def _any_pair(tokens):
    return _yes(any(one == other for one, other in zip(tokens, reversed(tokens), strict=True)))


def _really_distinct(tokens):
    return str(len(set(tokens)))


def _at_least_three(tokens):
    return str(max(3, len(set(tokens))))


def _changes(tokens):
    return str(max(2, 1 + sum(one != other for one, other in itertools.pairwise(tokens))))


def _a_number(tokens):
    return max(2, len(set(tokens)))


# Attention


def _on_largest(numbers):
    largest = max(numbers)
    return [float(number == largest) / numbers.count(largest) for number in numbers]


def _as_text(tokens):
    return [0.0, *_on_largest(tokens), 0.0]


def _without_first_token(tokens):
    return [*_on_largest([int(token) for token in tokens]), 0.0]


def _on_last_number(tokens):
    return [0.0] * len(tokens) + [1.0, 0.0]


def _in_proportion(tokens):
    numbers = [int(token) for token in tokens]
    return [0.0, *(number / max(sum(numbers), 1) for number in numbers), 0.0]


def _on_the_ends(tokens):
    numbers = [int(token) for token in tokens]
    low, high = _on_largest([-number for number in numbers]), _on_largest(numbers)
    return [0.0, *((one + other) / 2 for one, other in zip(low, high, strict=True)), 0.0]


def _one_hot(position):
    return [float(position == key) for key in range(8)]


def _from_the_front(tokens):
    return _one_hot(int(tokens[-1]))


def _one_too_early(tokens):
    return _one_hot(6 - int(tokens[-1]))


def _at_the_place_itself(tokens):
    return _one_hot(7)


def _over_all_letters(tokens):
    return [0.0, *[1 / 6] * 6, 0.0]


# Heads


def _effects(model, tokens, change):
    """As the reference, with another ablation: change(z, head) gives the new z."""
    answers = model(tokens)[:, -1].argmax(-1)
    effects = torch.zeros(model.cfg.n_layers, model.cfg.n_heads)
    for layer in range(model.cfg.n_layers):
        for head in range(model.cfg.n_heads):
            hooks = [(f"blocks.{layer}.attn.hook_z", lambda z, hook, head=head: change(z.clone(), head))]
            logits = model.run_with_hooks(tokens, fwd_hooks=hooks)
            effects[layer, head] = (logits[:, -1].argmax(-1) != answers).float().mean()
    return effects


def _zero_ablated(model, tokens):
    def change(z, head):
        z[:, :, head] = 0
        return z

    return _effects(model, tokens, change)


def _mean_over_positions(model, tokens):
    def change(z, head):
        z[:, :, head] = z[:, :, head].mean((0, 1))
        return z

    return _effects(model, tokens, change)


def _all_but_one(model, tokens):
    def change(z, head):
        kept = z[:, :, head].clone()
        z = z.mean(0, keepdim=True).repeat(len(z), 1, 1, 1)
        z[:, :, head] = kept
        return z

    return _effects(model, tokens, change)


def _unchanged(model, tokens):
    return 1 - reference.head_effects(model, tokens)


def _chosen_head(model, tokens, effects, place):
    """The exceptions, if the head with this flat number is taken for the one that carries them."""
    chosen = torch.zeros(effects.numel())
    chosen[int(place)] = 1
    return reference.find_exceptions(model, tokens, chosen.view(effects.shape))


def _largest_effect(model, tokens, effects):
    return _chosen_head(model, tokens, effects, effects.argmax())


def _smallest_effect(model, tokens, effects):
    return _chosen_head(model, tokens, effects, effects.argmin())


def _where_the_rule_holds(model, tokens, effects):
    return ~reference.find_exceptions(model, tokens, effects)


IDLE = "A head that changes nothing was chosen. Look for the smallest effect above zero."

MISTAKES = {
    "explain_brackets": (
        Mistake(
            _really_balanced,
            "This is the rule of the task. The model does something simpler: try it on brackets that close too early.",
        ),
        Mistake(
            _never_below_zero,
            "This only asks whether a bracket closes too early. The model does not look at that.",
        ),
        Mistake(
            _open_and_close, "This only looks at the first and the last bracket. Try to exchange others."
        ),
        Mistake(_asks_brackets, checks.ASKED),
    ),
    "explain_palindromes": (
        Mistake(
            _really_palindrome,
            "This is the rule. Break one pair of a palindrome at a time. Which pairs does the model look at?",
        ),
        Mistake(_two_outer_pairs, "This compares the two outer pairs. Does the model need both?"),
        Mistake(_middle_pair, "This compares the middle pair. Break the others, too."),
        Mistake(_any_pair, "One equal pair is enough for this program. Which one is it for the model?"),
    ),
    "explain_count_distinct": (
        Mistake(
            _really_distinct,
            "This is the rule of the task. Is there an answer that the model never gives?",
        ),
        Mistake(_at_least_three, "The model does say 2. Where does it begin to be wrong?"),
        Mistake(
            _changes, "You count how often the letter changes: a letter that comes back later counts again."
        ),
        Mistake(_a_number, ""),
    ),
    "attention_maximum": (
        Mistake(_as_text, 'As texts, "9" is larger than "10". Compare int(token).'),
        Mistake(_without_first_token, ""),
        Mistake(_on_last_number, "The last number gets all attention here. Is that where the model looks?"),
        Mistake(
            _in_proportion,
            "Attention in proportion to the number is far too spread out: the scores go through a softmax.",
        ),
        Mistake(_on_the_ends, "Half of this goes to the smallest number, which the head does not look at."),
    ),
    "attention_reversal": (
        Mistake(_from_the_front, "This counts the place from the front. The word is read backwards."),
        Mistake(
            _one_too_early,
            "This is one position too early: position 0 is the first token, not the first letter.",
        ),
        Mistake(_at_the_place_itself, "This attends to the place itself, which does not know the letters."),
        Mistake(
            _over_all_letters,
            "This spreads the attention over all letters. Does the pattern depend on the place?",
        ),
    ),
    "head_effects": (
        Mistake(
            _zero_ablated,
            "This is zero ablation. A head's mean output is part of what later layers expect: use the mean.",
        ),
        Mistake(
            _mean_over_positions, "You averaged over positions as well. Each position has a mean of its own."
        ),
        Mistake(_all_but_one, "This removes all heads but one of the layer."),
        Mistake(_unchanged, "This is the share of answers that stay the same."),
    ),
    "find_exceptions": (
        Mistake(
            _largest_effect,
            "This is the head of the rule, which changes the most answers. The exception is rare.",
        ),
        Mistake(_smallest_effect, IDLE),
        Mistake(_where_the_rule_holds, "These are the inputs on which the answer stays the same."),
    ),
}
"""Exercise → its known mistakes."""
