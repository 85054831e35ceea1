"""Models compiled from programs, whose true circuit is therefore known: ground truth for every technique."""

from mechscope.lazy import attach_modules
from mechscope.planted._evaluating import evaluate
from mechscope.planted.catalogue import catalogue
from mechscope.planted.circles import Circles
from mechscope.planted.compiling import compile_program
from mechscope.planted.library import PROGRAMS, STEADY_NOISE, load
from mechscope.planted.planted_model import Check, PlantedModel
from mechscope.planted.program import (
    CircleSum,
    Expression,
    Program,
    Selector,
    aggregate,
    constant,
    elementwise,
    equal,
    mean,
    positions,
    select,
    select_where,
    selector_width,
    tokens,
)

__getattr__ = attach_modules(__name__, __file__)

__all__ = [
    "PROGRAMS",
    "STEADY_NOISE",
    "Check",
    "CircleSum",
    "Circles",
    "Expression",
    "PlantedModel",
    "Program",
    "Selector",
    "aggregate",
    "catalogue",
    "compile_program",
    "constant",
    "elementwise",
    "equal",
    "evaluate",
    "load",
    "mean",
    "positions",
    "select",
    "select_where",
    "selector_width",
    "tokens",
]
