"""Which discovery method to run on which planted program, and where its result is kept. Does not load torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Any, Literal

from mechscope.near_names import did_you_mean
from mechscope.pages.endpoints import Length
from mechscope.pages.jobs import JobKind
from mechscope.reading import read_json_object
from mechscope.settings import NonNegativeFloat, Range, Settings, decode
from mechscope.storage.files import write_atomically

RECORDS = Path(__file__).parent / "shipped" / "planted"
"""What comes with mechscope about each program; see `planted_records`."""
PROGRAMS = (
    "induction", "previous_token", "first_token", "duplicate_token", "ioi", "reversal", "sort", "sort_next",
    "histogram", "most_frequent", "pattern_count", "parity", "dyck2", "addition", "modular_addition",
)  # fmt: skip
"""The planted programs as pages list them. Not read from `planted.PROGRAMS`, which needs torch."""
EXAMPLES = 64
"""Pairs of prompts that methods see if nothing else is asked for."""
MOST_SECONDS = 600.0
"""How long a discovery that the server runs may take."""


@dataclass(frozen=True, kw_only=True)
class Discovery(Settings):
    """Which method to run on which planted program. The model is the one on the program's page; the seed decides the
    prompts and the random draws of the method."""

    program: Annotated[str, Length(least=1, most=60)]
    """A planted program, such as induction."""
    method: Annotated[str, Length(least=1, most=60)]
    """A method of the scoreboard, such as eap or acdc."""
    condition: Literal["plain", "noisy", "saturated"] = "plain"
    """plain: as compiled. noisy: with as much noise as the program tolerates. saturated: with saturated attention."""
    examples: Annotated[int, Range(least=2, most=256)] = EXAMPLES
    """How many pairs of prompts the method sees."""
    seed: Annotated[int, Range(least=0, most=2**32 - 100)] = 0
    """Decides the prompts and the random draws of the method."""


@dataclass(frozen=True, kw_only=True)
class Discovered(Settings):
    """What a method found on a planted program."""

    discovery: Discovery
    """What was run."""
    scores: tuple[float, ...]
    """One score for each edge of the program's model, in the order in which its record lists them, or for each head and
    MLP if the method scores those."""
    seconds: NonNegativeFloat
    """How long the method took, in seconds."""


@cache
def program_record(program: str) -> Mapping[str, Any]:
    """What comes with mechscope about a program; see `planted_records`."""
    return read_json_object(RECORDS / f"{program}.json")


def known_methods() -> Mapping[str, str]:
    """Name of each method → its name in tables."""
    return program_record(PROGRAMS[0])["methods"]


def checked(discovery: Discovery) -> Discovery:
    """The discovery itself.

    Raises:
        KeyError: for an unknown program or method, with the closest known names.

    >>> checked(Discovery(program="induction", method="epa"))
    Traceback (most recent call last):
    KeyError: "there is no method 'epa'. Did you mean eap?"
    """
    for what, name, known in (
        ("planted program", discovery.program, PROGRAMS),
        ("method", discovery.method, known_methods()),
    ):
        if name not in known:
            hint = did_you_mean(name, known) or f" There are: {', '.join(known)}."
            raise KeyError(f"there is no {what} {name!r}.{hint}")
    return discovery


def discovery_arguments(discovery: Discovery, runs: Path) -> list[str]:
    """The arguments of `mechscope` that run a discovery, without those that are its defaults.

    >>> discovery_arguments(Discovery(program="ioi", method="eap", seed=3), Path("runs"))
    ['discover', 'ioi', 'eap', '--seed', '3']
    """
    options = {
        "--condition": (discovery.condition, "plain"),
        "--examples": (str(discovery.examples), str(EXAMPLES)),
        "--seed": (str(discovery.seed), "0"),
        "--out": (str(runs), "runs"),
    }
    changed = [[name, value] for name, (value, default) in options.items() if value != default]
    return ["discover", discovery.program, discovery.method, *(word for option in changed for word in option)]


def result_file(discovery: Discovery, runs: Path) -> Path:
    """Where the result of a discovery is kept: its name tells everything that was asked for.

    >>> result_file(Discovery(program="ioi", method="eap"), Path("runs")).as_posix()
    'runs/discoveries/ioi/eap-plain-64-examples-seed-0.json'
    """
    name = (
        f"{discovery.method}-{discovery.condition}-{discovery.examples}-examples-seed-{discovery.seed}.json"
    )
    return runs / "discoveries" / discovery.program / name


def write_result(found: Discovered, runs: Path) -> Path:
    """Keep a result.

    Raises:
        NotKeptError: if it cannot be written.
    """
    return write_atomically(result_file(found.discovery, runs), json.dumps(found.to_dict()) + "\n")


def read_result(discovery: Discovery, runs: Path) -> Discovered:
    """The result of a discovery.

    Raises:
        ValueError: if it is missing, damaged, or that of another discovery.
    """
    path = result_file(discovery, runs)
    try:
        found = decode(Discovered, read_json_object(path), "the result of a discovery")
    except FileNotFoundError as error:
        raise ValueError(f"{path} is gone: run the method again.") from error
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read ({error}): run the method again.") from error
    expected = len(program_record(discovery.program)["scores"]["plain"][discovery.method])
    if found.discovery != discovery or len(found.scores) != expected:
        raise ValueError(f"{path} is not the result of this method on this program: run the method again.")
    return found


DISCOVERY_JOB = JobKind(
    name="discovery",
    path="discoveries",
    summary="Run a discovery method on a planted program",
    settings=Discovery,
    checked=checked,
    arguments=discovery_arguments,
    most_seconds=MOST_SECONDS,
    keeps_parts=False,
    result=Discovered,
    read_result=read_result,
)
