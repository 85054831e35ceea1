"""Compile a program to a planted model, pass by pass.

    lower      expressions          -> heads and maps, in dependency order
    schedule   heads and maps       -> a layer and a head number for each
    lay_out    variables            -> dimensions of the residual stream
    write      all of these         -> weights
    disguise   weights              -> weights with noise, in other bases
    truth      heads, maps, places  -> the graph in the published naming

Source: Weiss et al. 2021 (programs as transformers), Lindner et al. 2023 (compiling them with one basis direction
per value, in the passes lowering, allocation, weights).
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import torch

from mechscope.arguments import checked_arguments
from mechscope.planted._disguise import add_noise
from mechscope.planted._disguise import rotate as rotate_weights
from mechscope.planted._layout import lay_out
from mechscope.planted._lowering import lower
from mechscope.planted._plan import Plan
from mechscope.planted._scheduling import schedule
from mechscope.planted._truth import find_truth
from mechscope.planted._weights import build_model, write_weights
from mechscope.planted.planted_model import BOS, PlantedModel
from mechscope.planted.program import Expression, Program


@checked_arguments
def compile_program(
    program: Program | Expression,
    vocab: Sequence[str] | None = None,
    length: int | None = None,
    *,
    name: str = "program",
    causal: bool = True,
    noise: float = 0.0,
    rotate: bool = False,
    seed: int = 0,
    extra_layers: int = 0,
    extra_heads: int = 0,
    extra_neurons: int = 0,
    sharpness: float = 6.0,
    margin: float = 6.0,
    device: str = "cpu",
) -> PlantedModel:
    """Compile a program to a model with a known circuit.

    Args:
        program: a `Program`, or only its output expression (a token's string at each position).
        vocab: for an expression, the tokens of the inputs.
        length: for an expression, how many tokens an input has, not counting BOS.
        name: for an expression, its name.
        causal: for an expression, whether positions attend only to themselves and earlier ones.
        noise: scale of random weights added everywhere; 0.01 is small compared with the circuit's weights.
        rotate: rotate the bases of residual stream, heads and neurons, and renumber the heads.
        seed: seed of noise, rotation, renumbering and the positions of extra layers.
        extra_layers: layers that compute nothing.
        extra_heads: heads per layer that compute nothing.
        extra_neurons: neurons per layer that compute nothing.
        sharpness: by how many nats a selected key's attention score exceeds the others; each other key gets about
            exp(-sharpness) of the attention; 4 is enough for the library.
        margin: by how many logits the right answer exceeds every other token.
        device: where to put the model.

    Raises:
        ValueError: for a program that cannot be compiled, or noise that makes answers wrong.
    """
    program = _as_program(program, vocab, length, name, causal)
    if (
        not (0 <= noise < math.inf and 0 < sharpness < math.inf and 0 < margin < math.inf)
        or extra_neurons < 0
    ):
        raise ValueError(
            f"noise={noise} and extra_neurons={extra_neurons} must not be negative, sharpness={sharpness} and "
            f"margin={margin} must be positive."
        )
    plan = lower(program)
    places = schedule(plan, extra_layers, extra_heads, seed, shuffle=rotate)
    layout = lay_out(plan)
    vocabulary = _vocabulary(program, plan)
    weights = write_weights(plan, places, layout, vocabulary, sharpness, margin, extra_neurons)
    generator = torch.Generator().manual_seed(seed)
    weights = add_noise(weights, noise, generator)
    if rotate:
        weights = rotate_weights(weights, generator)
    truth = find_truth(plan, places)
    planted = PlantedModel(
        name=program.name,
        model=build_model(weights, f"planted-{program.name}", program.causal, device),
        program=program,
        vocabulary=vocabulary,
        true_edges=truth.edges,
        fixed_edges=truth.fixed_edges,
        true_nodes=truth.nodes,
        notes=truth.notes,
        noise=noise,
        rotated=rotate,
        seed=seed,
    )
    if noise:
        _check_noise(planted)
    return planted


def _check_noise(planted: PlantedModel) -> None:
    found = planted.check(200, seed=planted.seed)
    if not found.exact:
        raise ValueError(
            f"noise={planted.noise:g} is too much for {planted.name}: {found.wrong} of {found.answers} answers are "
            "wrong; use less noise."
        )


def _vocabulary(program: Program, plan: Plan) -> tuple[str, ...]:
    """BOS, the tokens of inputs, and any other tokens of answers."""
    answers = [*plan.output.classes, *([] if plan.none_answer is None else [plan.none_answer])]
    vocabulary = tuple(dict.fromkeys((BOS, *program.alphabet, *(str(answer) for answer in answers))))
    if BOS in program.alphabet:
        raise ValueError(
            f"{program.name}: {BOS!r} is prepended to every input and cannot be in the alphabet."
        )
    return vocabulary


def _as_program(
    program: Program | Expression, vocab: Sequence[str] | None, length: int | None, name: str, causal: bool
) -> Program:
    if isinstance(program, Program):
        if vocab is not None or length is not None:
            raise ValueError(
                "a Program has its own alphabet and length; give vocab and length only with an expression."
            )
        return program
    if vocab is None or length is None:
        raise ValueError(
            "an expression needs vocab (the tokens of its inputs) and length (how many tokens an input has)."
        )
    alphabet = tuple(vocab)

    def draw(rng: random.Random) -> tuple[str, ...]:
        return tuple(rng.choices(alphabet, k=length))

    return Program(
        name=name,
        description=f"{name}: a user-defined expression.",
        output=program,
        alphabet=alphabet,
        length=length,
        draw=draw,
        every=lambda: itertools.product(alphabet, repeat=length),
        causal=causal,
    )
