"""The checks of unit 04 that run a model: a random one, and one whose circuit is known because it was planted."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor

from mechscope.course.kit import random_gpt
from mechscope.course.trial import Trial
from mechscope.course.units.ioi import reference
from mechscope.planted import PlantedModel, load

Head = tuple[int, int]
Metric = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Planted:
    """A planted model, prompts for it, and where its parts are."""

    planted: PlantedModel
    clean: Tensor
    control: Tensor
    end: Tensor
    s2: Tensor
    metric: Metric
    duplicate: Head
    reader: Head
    mover: Head


@cache
def planted_ioi(seed: int) -> Planted:
    """A model whose circuit was written by a program, in a rotated basis and with an idle head in each layer."""
    planted = load("ioi", n_names=8, rotate=True, seed=seed, extra_heads=1)
    ids = {word: number for number, word in enumerate(planted.vocabulary)}
    names = [word for word in planted.program.alphabet if word[:1].isupper()]
    prompts = reference.ioi_prompts(
        "then [A] , [B] and [S] met so to", names, lambda text: [ids[word] for word in text.split()], 8, seed
    )
    first = torch.zeros(8, 1, dtype=torch.long)
    clean, control = (torch.cat([first, prompts[name]], 1) for name in ("tokens", "control"))
    end, s2 = torch.full((8,), clean.shape[1] - 1), torch.full((8,), 6)

    def metric(logits: Tensor) -> Tensor:
        return reference.logit_difference(logits, prompts["io"], prompts["s"], end).mean()

    found = {}
    for node, note in planted.notes.items():
        layer, head = node[1:].split(".h")
        found[note.split(":")[0]] = (int(layer), int(head))
    heads = (found[name] for name in ("duplicate token", "S-inhibition", "name mover"))
    return Planted(planted, clean, control, end, s2, metric, *heads)


def random_prompts(trial: Trial, batch: int = 3) -> tuple[Tensor, Tensor, Tensor]:
    """Prompts for the random model, others, and a position in each that is not the same in all."""
    size = trial.number(5, 7)
    one, other = trial.whole(0, 17, batch, size), trial.whole(0, 17, batch, size)
    positions = 1 + torch.randperm(size - 1, generator=trial.generator)[:batch]
    return one, other, positions


def random_metric(trial: Trial) -> Metric:
    """A difference between two logits at the end."""
    right, wrong = trial.number(0, 8), trial.number(8, 17)
    return lambda logits: (logits[:, -1, right] - logits[:, -1, wrong]).mean()


def check_patch_at(trial: Trial) -> None:
    model = random_gpt(trial.seed, n_layers=2)
    source, target, positions = random_prompts(trial)
    site = f"blocks.{trial.number(0, 2)}.attn.hook_{'zqv'[trial.number(0, 3)]}"
    with torch.no_grad():
        for name, head in (("blocks.1.hook_resid_pre", None), (site, trial.number(0, 3)), (site, None)):
            trial.compare(
                model,
                source,
                target,
                name,
                positions,
                head,
                rtol=1e-3,
                atol=1e-4,
                what=f"the logits ({name})",
            )


def check_enough_and_needed(trial: Trial) -> None:
    # One layer, because this takes many runs; the planted model has more.
    model = random_gpt(trial.seed, n_layers=1)
    clean, control, positions = random_prompts(trial)
    metric, site = random_metric(trial), "zqv"[trial.number(0, 3)]
    trial.compare(
        model, clean, control, site, positions, metric, rtol=1e-2, atol=1e-3, names=("enough", "needed")
    )
    known = planted_ioi(trial.seed)
    enough, needed = trial.call(known.planted.model, known.clean, known.control, "z", known.end, known.metric)
    for name, found, wanted in (
        ("enough", enough, {known.mover}),
        ("needed", needed, {known.reader, known.mover}),
    ):
        heads = {(layer, head) for layer, head in (found > 0.5).nonzero().tolist()}
        trial.require(
            heads == wanted,
            f"in a planted model the heads {sorted(heads)} are {name}; they were planted at {sorted(wanted)}.",
        )


def check_path_patch(trial: Trial) -> None:
    model = random_gpt(trial.seed)
    clean, control, _ = random_prompts(trial)
    with torch.no_grad():
        sender, receiver = (0, trial.number(0, 3)), (2, trial.number(0, 3))
        site = "kqv"[trial.number(0, 3)]
        trial.compare(model, clean, control, sender, receiver, site, rtol=1e-3, atol=1e-4, what="the logits")
        _check_planted_paths(trial)


def _check_planted_paths(trial: Trial) -> None:
    known = planted_ioi(trial.seed)
    whole = known.metric(known.planted.model(known.clean))
    idle = (known.reader[0], 1 - known.reader[1])
    for sender, receiver, site, is_there in (
        (known.duplicate, known.reader, "k", True),
        (known.reader, known.mover, "q", True),
        (known.reader, known.mover, "v", False),
        (idle, known.mover, "q", False),
    ):
        logits = trial.call(known.planted.model, known.clean, known.control, sender, receiver, site)
        lost = float(whole - known.metric(logits)) / float(whole)
        words = f"from head {sender} to the {site} of head {receiver} in a planted model"
        trial.require(
            lost > 0.2 if is_there else abs(lost) < 0.01,
            f"the path {words} carries {lost:.0%} of the logit difference; it was planted with "
            f"{'a message' if is_there else 'no message'} there.",
        )


def check_circuit_logits(trial: Trial) -> None:
    model = random_gpt(trial.seed, n_layers=2)
    tokens, _, _ = random_prompts(trial, batch=4)
    others = trial.whole(0, 17, 6, tokens.shape[1])
    templates, other_templates = torch.tensor([0, 1, 0, 1]), torch.tensor([0, 0, 0, 1, 1, 1])
    everything = {(layer, head) for layer in range(2) for head in range(3)}
    circuit = set(random.Random(trial.seed).sample(sorted(everything), 3))
    with torch.no_grad():
        arguments = (model, tokens, templates, others, other_templates)
        trial.compare(*arguments, circuit, rtol=1e-3, atol=1e-4, what="the logits")
        trial.compare(
            *arguments, everything, rtol=1e-3, atol=1e-4, what="the logits if every head is in the circuit"
        )
        known = planted_ioi(trial.seed)
        one = torch.zeros(len(known.clean), dtype=torch.long)
        given = (known.planted.model, known.clean, one, known.control, one)
        whole = known.metric(known.planted.model(known.clean))
        for circuit, wanted in (({known.duplicate, known.reader, known.mover}, 1), (set(), 0)):
            share = float(known.metric(trial.call(*given, circuit)) / whole)
            trial.require(
                abs(share - wanted) < 0.2,
                f"with the heads {sorted(circuit)} of a planted model {share:.0%} of the logit difference is left; "
                f"about {wanted:.0%} is expected.",
            )


def check_self_repair(trial: Trial) -> None:
    model = random_gpt(trial.seed, n_layers=2)
    tokens, _, _ = random_prompts(trial)
    batch, size = tokens.shape
    io = trial.whole(0, 17, batch)
    s = (io + trial.whole(1, 17, batch)) % 17
    end = trial.whole(2, size, batch)
    end[0], end[1] = size - 2, size - 1
    head = (0, trial.number(0, 3))
    trial.compare(
        model,
        tokens,
        head,
        trial.normal(size, 4),
        io,
        s,
        end,
        rtol=1e-3,
        atol=1e-4,
        names=("direct", "lost", "gained"),
    )
