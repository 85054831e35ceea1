"""The checks of unit 04: what is done with prompts and numbers. Those that patch a model are in patching_checks.py."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor

from mechscope.course.comparison import describe
from mechscope.course.trial import CheckFailedError, Trial
from mechscope.course.units.ioi.patching_checks import (
    check_circuit_logits,
    check_enough_and_needed,
    check_patch_at,
    check_path_patch,
    check_self_repair,
)

__all__ = [
    "check_circuit_logits",
    "check_copy_scores",
    "check_early_head_scores",
    "check_enough_and_needed",
    "check_head_contributions",
    "check_ioi_prompts",
    "check_judge_circuit",
    "check_logit_difference",
    "check_null_circuits",
    "check_patch_at",
    "check_path_patch",
    "check_self_repair",
]

Head = tuple[int, int]

# Prompts

SINGLE = ("Mary", "John", "Tom", "Anna", "Paul", "Kate", "Bill", "Lucy")
"""Names that are one token after a space."""
BARE = ("Zoe", "Max", "Ida", "Leo", "Eva", "Ben")
"""Names that are one token only without the space."""
LONG = ("Bartholomew", "Wilhelmina", "Ferdinand")
"""Names that are several tokens either way."""
TEMPLATES = (
    "Then [A] and [B] went home, and [S] gave a ring to",
    "While [A] and [B] were at work, [S] handed the ring to",
    "Then, [B] and [A] were at home and [S] gave work to",
)


class WordPieces:
    """A tokenizer with a small vocabulary: words with their space, some without it, and single characters."""

    def __init__(self, generator: torch.Generator) -> None:
        words = {word for template in TEMPLATES for word in template.replace(",", "").split()}
        pieces = [f" {word}" for word in (*sorted(words), *SINGLE)] + [*BARE]
        pieces += [chr(code) for code in range(32, 127)]
        order = torch.randperm(len(pieces), generator=generator).tolist()
        self.ids = dict(zip(pieces, order, strict=True))
        self.longest = max(map(len, pieces))

    def encode(self, text: str) -> list[int]:
        """The longest piece that fits, again and again."""
        tokens, at = [], 0
        while at < len(text):
            fitting = (text[at : at + size] for size in range(self.longest, 0, -1))
            piece = next(piece for piece in fitting if piece in self.ids)
            tokens.append(self.ids[piece])
            at += len(piece)
        return tokens


NOT_SINGLE = "Test each name as it stands in a text: encode(f' {name}') has to be one token."
BOTH_ORDERS = "Even prompts name IO first (ABBA), odd ones S first (BABA)."
REPEATS = "In the control, three different names stand at [A], [B] and [S], so that nobody is named twice."
SHARED = "A name of the prompt occurs in its control. Draw the control's names together with IO and S: all five differ."
EXCHANGED = "IO is the name that occurs once. The one that occurs twice is S."
SAME_NAMES = "Every prompt has the same names: draw five for each."


def check_ioi_prompts(trial: Trial) -> None:
    for _ in range(2):
        pieces = WordPieces(trial.generator)
        names = [*SINGLE, *BARE, *LONG]
        random.Random(trial.seed).shuffle(names)
        template, n = TEMPLATES[trial.number(0, len(TEMPLATES))], 2 * trial.number(5, 9)
        answer = trial.call(template, names, pieces.encode, n, trial.number(0, 1000))
        _check_prompts(trial, answer, template, pieces.encode, n)
    seeds = [trial.call(template, names, pieces.encode, n, seed)["tokens"].tolist() for seed in (1, 1, 2)]
    trial.require(
        seeds[0] == seeds[1], "the same seed gives other prompts.", "Draw from random.Random(seed)."
    )
    trial.require(
        seeds[0] != seeds[2], "another seed gives the same prompts.", "Draw from random.Random(seed)."
    )


def _check_prompts(
    trial: Trial, answer: object, template: str, encode: Callable[[str], list[int]], n: int
) -> None:
    keys = {"tokens", "control", "io", "s"}
    trial.require(isinstance(answer, dict), "a dictionary is expected.")
    assert isinstance(answer, dict)
    trial.require(set(answer) == keys, f"the keys are {sorted(answer)}; {sorted(keys)} are expected.")
    good = {encode(f" {name}")[0] for name in SINGLE}
    same = template
    for slot in ("[A]", "[B]", "[S]"):
        same = same.replace(slot, "Mary")
    pattern = torch.tensor(encode(same))
    slots = (pattern == encode(" Mary")[0]).nonzero()[:, 0]
    for name in sorted(keys):
        shape = [n, len(pattern)] if name in ("tokens", "control") else [n]
        found = answer[name]
        trial.require(isinstance(found, Tensor), f"{name!r} is no tensor.")
        longer = len(found.shape) == 2 == len(shape) and found.shape[1] > shape[1]
        trial.require(
            list(found.shape) == shape,
            f"{name!r} has shape {list(found.shape)}; {shape} is expected.",
            NOT_SINGLE if longer else "",
        )
    tokens, control = answer["tokens"], answer["control"]
    for label, rows in (("prompt", tokens), ("control", control)):
        strange = [token for token in rows[:, slots].flatten().tolist() if token not in good]
        trial.require(not strange, f"a {label} has a name that is not a single token.", NOT_SINGLE)
        rest = torch.ones(len(pattern), dtype=torch.bool)
        rest[slots] = False
        trial.require(
            bool((rows[:, rest] == pattern[rest]).all()),
            f"the words between the names of a {label} are not those of the template.",
        )
    _check_names(trial, answer, slots if template.index("[A]") < template.index("[B]") else slots[[1, 0, 2]])


def _check_names(trial: Trial, answer: dict[str, Tensor], slots: Tensor) -> None:
    """Args: slots: positions of [A], [B] and [S]."""
    named, other = answer["tokens"][:, slots].tolist(), answer["control"][:, slots].tolist()
    io, s = answer["io"].tolist(), answer["s"].tolist()
    trial.require(
        len({frozenset(each) for each in named}) > 1, "all prompts have the same names.", SAME_NAMES
    )
    for number, ((a, b, c), control) in enumerate(zip(named, other, strict=True)):
        trial.require(
            a != b and c in (a, b), f"prompt {number} does not name one person twice and another once."
        )
        once = b if c == a else a
        trial.require(
            s[number] == c and io[number] == once,
            f"'io' and 's' are not those of prompt {number}.",
            EXCHANGED,
        )
        trial.require(len(set(control)) == 3, f"control {number} names somebody twice.", REPEATS)
        trial.require(not {a, b} & set(control), f"control {number} shares a name with its prompt.", SHARED)
        first = "IO" if a == once else "S"
        trial.require(
            (first == "IO") == (number % 2 == 0), f"prompt {number} names {first} first.", BOTH_ORDERS
        )


def _ends(trial: Trial, batch: int, size: int) -> Tensor:
    """Where each prompt ends: not all at the same place, and not all at the last."""
    ends = trial.whole(2, size - 1, batch)
    ends[0], ends[1] = size - 2, size - 1
    return ends


def _two_names(trial: Trial, batch: int, d_vocab: int) -> tuple[Tensor, Tensor]:
    io = trial.whole(0, d_vocab, batch)
    return io, (io + trial.whole(1, d_vocab, batch)) % d_vocab


def check_logit_difference(trial: Trial) -> None:
    for _ in range(2):
        batch, size, d_vocab = trial.number(4, 7), trial.number(6, 9), trial.number(8, 20)
        io, s = _two_names(trial, batch, d_vocab)
        trial.compare(
            trial.normal(batch, size, d_vocab), io, s, _ends(trial, batch, size), what="the logit difference"
        )


def check_head_contributions(trial: Trial) -> None:
    for _ in range(2):
        batch, layers, heads = trial.number(4, 7), trial.number(2, 4), trial.number(3, 5)
        d_head, d_model, d_vocab = trial.number(3, 5), trial.number(8, 12), trial.number(15, 20)
        io, s = _two_names(trial, batch, d_vocab)
        z, W_O = (
            trial.normal(batch, layers, heads, d_head),
            trial.normal(layers, heads, d_head, d_model) + 0.3,
        )
        scale, W_U = trial.uniform(batch, low=0.5, high=2), trial.normal(d_model, d_vocab)
        # An unembedding whose columns have different means, so that the centring matters.
        trial.compare(
            z, W_O, scale, W_U + trial.normal(1, d_vocab), io, s, rtol=1e-3, what="the contributions"
        )


# What heads do


def check_copy_scores(trial: Trial) -> None:
    for _ in range(2):
        # A share is a coarse number: many names, so that two ways of counting rarely agree.
        n, d_vocab, d_model, d_head = trial.number(80, 100), 150, trial.number(30, 40), trial.number(8, 12)
        W_E = trial.normal(d_vocab, d_model)
        tokens = torch.randperm(d_vocab, generator=trial.generator)[:n]
        W_V = trial.normal(d_model, d_head)
        # Most names are copied, some are suppressed: the head's sign depends on the first dimension.
        streams = W_E[tokens] + 0.3 * trial.normal(n, d_model)
        streams = torch.where(trial.uniform(n, 1) < 0.3, -streams, streams)
        W_O = W_V.T + 0.5 * trial.normal(d_head, d_model)
        W_U = W_E.T + 0.5 * trial.normal(d_model, d_vocab)
        trial.compare(
            streams,
            tokens,
            W_V,
            W_O,
            W_U,
            trial.number(3, 8),
            names=("the share copied", "the share suppressed"),
        )


def patterns(trial: Trial, batch: int, heads: int, size: int) -> Tensor:
    """Random attention patterns: causal, with rows that sum to 1."""
    scores = 2 * trial.normal(batch, heads, size, size)
    later = torch.ones(size, size, dtype=torch.bool).triu(1)
    return scores.masked_fill(later, -torch.inf).softmax(-1)


def check_early_head_scores(trial: Trial) -> None:
    for _ in range(2):
        batch, heads, size = trial.number(4, 7), trial.number(3, 5), trial.number(9, 12)
        s1 = trial.whole(1, 4, batch)
        s2 = s1 + trial.whole(3, 5, batch)
        trial.compare(patterns(trial, batch, heads, size), s1, s2, what="the scores")


# Judging a circuit

MOVERS: frozenset[Head] = frozenset({(3, 0), (3, 1)})
READERS: frozenset[Head] = frozenset({(2, 1)})
EARLY: frozenset[Head] = frozenset({(0, 0), (0, 2), (1, 1)})
BACKUP: Head = (3, 2)
IDLE: frozenset[Head] = frozenset({(0, 1), (1, 0), (1, 2), (2, 0), (2, 2)})


def _chain(trial: Trial) -> Callable[[frozenset[Head]], float]:
    """F of a model with a chain of early heads, readers and movers, and a backup that works if a mover is missing."""
    weight = {
        head: float(trial.uniform(1, low=0.6, high=1.4))
        for head in sorted(MOVERS | READERS | EARLY | {BACKUP})
    }
    base = float(trial.uniform(1, low=0.1, high=0.3))

    def F(heads: frozenset[Head]) -> float:
        early = sum(weight[head] for head in EARLY & heads) / sum(weight[head] for head in EARLY)
        reading = early if heads >= READERS else 0.15 * early
        moving = sum(weight[head] for head in MOVERS & heads)
        missing = sum(weight[head] for head in MOVERS - heads)
        if BACKUP in heads:
            moving += 0.8 * missing + 0.05 * weight[BACKUP]
        return base + 3 * reading * moving

    return F


def check_judge_circuit(trial: Trial) -> None:
    F = _chain(trial)
    model = MOVERS | READERS | EARLY | {BACKUP} | IDLE
    classes = {"name mover": MOVERS, "S-inhibition": READERS, "early": EARLY}
    # The naive circuit without the backup, and one in which it counts as a name mover.
    backed = {**classes, "name mover": MOVERS | {BACKUP}}
    for groups in (classes, backed):
        circuit = frozenset(head for members in groups.values() for head in members)
        answer = trial.call(F, model, circuit, groups)
        trial.require(
            isinstance(answer, tuple) and len(answer) == 3,
            "three things are expected: a number and two dictionaries.",
        )
        trial.compare(
            F, model, circuit, groups, names=("the faithfulness", "the incompleteness", "the minimality")
        )


UNMATCHED = "Every layer must keep the circuit's number of heads: draw within each layer."
TWICE = "A head was drawn twice, so that the circuit is too small: draw without putting back."
ITSELF = "One of the draws is the circuit itself: draw again."
EQUAL = "All draws are the same: go on with one generator, instead of making a new one for each draw."
DISJOINT = (
    "Heads of the circuit are never drawn. Every head of the layer is equally likely; without the circuit's, the "
    "null is easier to beat."
)
UNSEEDED = "Draw everything with one torch.Generator().manual_seed(seed)."


def check_null_circuits(trial: Trial) -> None:
    layers, heads = trial.number(3, 5), trial.number(5, 7)
    circuit = torch.zeros(layers, heads, dtype=torch.bool)
    # One layer has no head in the circuit, one has two, and the others have one or two.
    for place, layer in enumerate(torch.randperm(layers, generator=trial.generator)[1:].tolist()):
        size = trial.number(1, 3) if place else 2
        circuit[layer, torch.randperm(heads, generator=trial.generator)[:size]] = True
    seed, n = trial.number(0, 1000), 300
    drawn = trial.call(circuit, n, seed)
    trial.require(
        isinstance(drawn, Tensor) and drawn.shape == (n, layers, heads) and drawn.dtype == torch.bool,
        f"the circuits are {describe(drawn)}; bool{[n, layers, heads]} is expected.",
    )
    if bool((drawn.sum(-1) != circuit.sum(-1)).any()):
        number = int((drawn.sum(-1) != circuit.sum(-1)).any(-1).nonzero()[0, 0])
        raise CheckFailedError(
            f"circuit {number} has {drawn[number].sum(-1).tolist()} heads in the layers; the given one has "
            f"{circuit.sum(-1).tolist()}.",
            TWICE if bool((drawn.sum(-1) <= circuit.sum(-1)).all()) else UNMATCHED,
        )
    again = trial.call(circuit, n, seed)
    trial.require(torch.equal(again, drawn), "the same seed gives other circuits.", UNSEEDED)
    trial.require(bool((drawn != drawn[0]).any()), "all circuits are the same.", EQUAL)
    trial.require(
        bool((drawn != circuit).flatten(1).any(1).all()), "one of the circuits is the given one.", ITSELF
    )
    often, expected = drawn.float().mean(0), circuit.float().mean(-1)
    for layer, head in (often < 0.3 * expected[:, None]).nonzero().tolist():
        raise CheckFailedError(
            f"head {(layer, head)} is in {float(often[layer, head]):.0%} of the circuits; about "
            f"{float(expected[layer]):.0%} are expected.",
            DISJOINT,
        )
