"""What a check gets: seeded inputs, the learner's function, and words for what it found.

A check calls `trial.compare(...)`, which asks the learner's function and the reference the same question, and
`trial.require(...)` for properties that a right answer must have. Whichever fails first ends the check.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from mechscope.course.comparison import describe, difference, is_same, simple_cause
from mechscope.pages.formatting import first_capital


@dataclass(frozen=True)
class Mistake:
    """A wrong function that learners write, with the words for it."""

    function: Callable[..., Any]
    """The wrong function."""
    diagnosis: str
    """What it does wrong, as the learner is told."""
    changes_model: bool = False
    """Whether it changes a model that it is given, or leaves hooks on it. It then gets a copy, which takes a while."""


RANDOM = "Called again with the same inputs, your function gives another answer. Is something in it random?"


class CheckFailedError(Exception):
    """The learner's function gave a wrong answer.

    Args:
        problem: what is wrong, in a sentence.
        diagnosis: why it probably is wrong; empty if it is not known.
        call: the call that went wrong, in words.
    """

    def __init__(self, problem: str, diagnosis: str = "", call: str = "") -> None:
        super().__init__(problem)
        self.problem = first_capital(problem)
        self.diagnosis = diagnosis
        self.call = call


class Trial:
    """One run of a check.

    Args:
        function: the learner's function.
        reference: the right one.
        mistakes: known wrong ones.
        seed: decides all inputs.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        reference: Callable[..., Any],
        mistakes: Sequence[Mistake],
        seed: int,
    ) -> None:
        self.function = function
        self.reference = reference
        self.mistakes = mistakes
        self.seed = seed
        self.generator = torch.Generator().manual_seed(seed)
        self.notes: list[str] = []

    def note(self, sentence: str) -> None:
        """Tell the learner something that the check found out and that is no fault, if the function passes."""
        self.notes.append(sentence)

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers, of shape `shape`."""
        return torch.randn(shape, generator=self.generator)

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        """Numbers drawn evenly between `low` and `high`, of shape `shape`."""
        return low + (high - low) * torch.rand(shape, generator=self.generator)

    def whole(self, low: int, high: int, *shape: int) -> Tensor:
        """Whole numbers from `low` up to and without `high`, of shape `shape`."""
        return torch.randint(low, high, shape, generator=self.generator)

    def number(self, low: int, high: int) -> int:
        """One whole number from `low` up to and without `high`; used for sizes, so that none can be built in."""
        return int(self.whole(low, high, 1))

    def call(self, *arguments: Any, **options: Any) -> Any:
        """The learner's answer.

        Raises:
            CheckFailedError: if the function takes other arguments, or changes those that it is given.
        """
        try:
            inspect.signature(self.function).bind(*arguments, **options)
        except TypeError as error:
            name = self.reference.__name__
            raise CheckFailedError(
                f"{name} does not take the arguments of the exercise: {error}.",
                f"The exercise declares {name}{_plain_signature(self.reference)}.",
            ) from None
        given = _copied(arguments, options, models=True)
        answer = self.function(*given[0], **given[1])
        for name, one, other in self._named(arguments, options, given):
            tensors = zip(_tensors(one), _tensors(other), strict=False)
            if not all(is_same(before, after, 0, 0) for before, after in tensors):
                raise CheckFailedError(
                    f"your function changed its argument {name}.",
                    "Operations such as x -= y, x[0] = y or x.add_(y), and an optimizer's step, change the tensor that "
                    "they are given. Make a new one, or work on a copy.",
                    self.in_words(arguments, options),
                )
        return answer

    def compare(
        self,
        *arguments: Any,
        rtol: float = 1e-4,
        atol: float = 1e-5,
        what: str = "the result",
        names: Sequence[str] = (),
        **options: Any,
    ) -> Any:
        """Ask the learner's function and the reference the same, and return the learner's answer.

        Args:
            rtol: relative tolerance.
            atol: absolute tolerance.
            what: what the answer is called if it is wrong.
            names: what the values of a tuple or list are called.

        Raises:
            CheckFailedError: if the answers differ, with the known mistake that gives this answer.
        """
        given = _copied(arguments, options, models=False)
        wanted = self.reference(*given[0], **given[1])
        got = self.call(*arguments, **options)
        if problem := difference(got, wanted, rtol, atol, what, names):
            diagnosis = self._known_mistake(arguments, options, got, wanted, rtol, atol)
            diagnosis = diagnosis or simple_cause(got, wanted, rtol, atol)
            diagnosis = diagnosis or self._randomness(arguments, options, got)
            raise CheckFailedError(problem, diagnosis, self.in_words(arguments, options))
        return got

    def require(self, holds: bool | Tensor, problem: str, diagnosis: str = "") -> None:
        """Fail with these words unless something holds.

        Raises:
            CheckFailedError: if it does not.
        """
        if not bool(holds):
            raise CheckFailedError(problem, diagnosis)

    def refuses(self, error: type[Exception], problem: str, *arguments: Any, **options: Any) -> None:
        """Make sure that the learner's function raises an error.

        Args:
            error: the kind of error that is expected.
            problem: what to say if there is none.

        Raises:
            CheckFailedError: if it raises nothing, or another error.
        """
        words = self.in_words(arguments, options)
        try:
            self.call(*arguments, **options)
        except error:
            return
        except CheckFailedError:
            raise
        except Exception as other:
            first = next(iter(str(other).strip().splitlines()), "")
            raise CheckFailedError(
                f"{problem} It raised {type(other).__name__}{': ' * bool(first)}{first}",
                f"Test for it yourself, before the calculation, and raise {error.__name__}(...) with a sentence.",
                words,
            ) from None
        raise CheckFailedError(problem, "", words)

    def _known_mistake(
        self,
        arguments: Sequence[Any],
        options: Mapping[str, Any],
        got: Any,
        wanted: Any,
        rtol: float,
        atol: float,
    ) -> str:
        for mistake in self.mistakes:
            given = _copied(arguments, options, models=mistake.changes_model)
            try:
                wrong = mistake.function(*given[0], **given[1])
            except Exception:
                # A mistake may be impossible for these inputs; then it is not this one.
                continue
            if is_same(got, wrong, rtol, atol) and not is_same(wrong, wanted, rtol, atol):
                return mistake.diagnosis
        return ""

    def _randomness(self, arguments: Sequence[Any], options: Mapping[str, Any], got: Any) -> str:
        """What to say if the function gives another answer to the same question."""
        try:
            again = self.call(*arguments, **options)
        except Exception:
            return ""
        return "" if is_same(got, again, 1e-4, 1e-5) else RANDOM

    def in_words(self, arguments: Sequence[Any], options: Mapping[str, Any]) -> str:
        """A call in words: `f(x: float32[2, 3], n: 4)`."""
        words = ", ".join(
            f"{name}: {describe(value)}" for name, value, _ in self._named(arguments, options, None)
        )
        return f"{self.reference.__name__}({words})"

    def _named(
        self, arguments: Sequence[Any], options: Mapping[str, Any], given: Any
    ) -> list[tuple[str, Any, Any]]:
        names = list(inspect.signature(self.reference).parameters)
        one = dict(zip(names, arguments, strict=False)) | dict(options)
        other = one if given is None else dict(zip(names, given[0], strict=False)) | given[1]
        return [(name, one[name], other[name]) for name in one]


def _copied(arguments: Sequence[Any], options: Mapping[str, Any], models: bool) -> tuple[Any, Any]:
    """The arguments of a call, copied; models only if asked, since that takes longer than running a small one."""
    values = () if models else (*arguments, *options.values())
    shared = {id(value): value for value in values if isinstance(value, torch.nn.Module)}
    return copy.deepcopy((arguments, options), shared)


def _tensors(value: Any) -> list[Tensor]:
    """The tensors in a value, those in lists, tuples and dictionaries included."""
    if isinstance(value, Tensor):
        return [value]
    if isinstance(value, Mapping):
        value = list(value.values())
    return [tensor for each in value for tensor in _tensors(each)] if isinstance(value, list | tuple) else []


def _plain_signature(function: Callable[..., Any]) -> str:
    return f"({', '.join(inspect.signature(function).parameters)})"
