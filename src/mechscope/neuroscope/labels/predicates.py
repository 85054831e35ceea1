"""Rules that are Python functions. They are only ever read from a file that the user names."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float

from mechscope.near_names import did_you_mean
from mechscope.neuroscope.labels.rules import Rule
from mechscope.neuroscope.labels.text_spans import Tokens

Function = Callable[[str, str, str], object]
"""Takes the text before a token, the token, and the text after it. Returns True or False, or a score."""


@dataclass(frozen=True)
class Predicate(Rule):
    """A Python function of a token and the text around it.

    >>> rule = Predicate(lambda before, token, after: token == "b", "is b")
    >>> [each.tolist() for each in rule.scores([("a", "b")])]
    [[0.0, 1.0]]
    """

    function: Function
    text: str = ""
    """The name of the file and the function, and a checksum of the file; by default the name of the function."""

    kind = "predicate"

    def __post_init__(self) -> None:
        if not self.text:
            object.__setattr__(self, "text", getattr(self.function, "__name__", type(self.function).__name__))

    def scores(self, sequences: Sequence[Tokens]) -> list[Float[np.ndarray, " pos"]]:
        return [np.array(self._of(tokens), float) for tokens in sequences]

    def _of(self, tokens: Tokens) -> list[float]:
        text, start, found = "".join(tokens), 0, list[float]()
        for token in tokens:
            end = start + len(token)
            found.append(self._call(text[:start], token, text[end:]))
            start = end
        return found

    def _call(self, before: str, token: str, after: str) -> float:
        where = f"{self.text.split(' ')[0]} at the token {token!r} after {before[-40:]!r}"
        try:
            answer = self.function(before, token, after)
        except Exception as error:
            raise ValueError(f"{where} raised {type(error).__name__}: {error}.") from error
        if not isinstance(answer, bool | int | float | np.bool_ | np.number) or not np.isfinite(
            float(answer)
        ):
            raise ValueError(f"{where} returned {answer!r}: it must return True, False or a number.")
        return float(answer)


def load_predicate(named: str) -> Predicate:
    """The function that the user names as FILE:FUNCTION. This runs the file.

    Raises:
        ValueError: for a name of another form, or a file that cannot be run.
        FileNotFoundError: if there is no such file.
        KeyError: if the file has no such function.
    """
    place, _, name = named.rpartition(":")
    if not place or not name.isidentifier():
        raise ValueError(
            f"{named!r} does not name a function: write FILE:FUNCTION, as in rules.py:is_import."
        )
    path = Path(place).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {place}.")
    spec = importlib.util.spec_from_file_location(f"_predicate_{path.stem}", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{place} is not a Python file: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise ValueError(f"{place} cannot be run: {type(error).__name__}: {error}.") from error
    functions = [each for each, value in vars(module).items() if callable(value)]
    if name not in functions:
        raise KeyError(f"{place} has no function {name}.{did_you_mean(name, functions)}")
    checksum = hashlib.sha256(path.read_bytes()).hexdigest()[:12]
    return Predicate(getattr(module, name), f"{path.name}:{name} {checksum}")
