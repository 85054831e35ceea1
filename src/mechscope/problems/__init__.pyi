from .starting_point import StartingPoint as StartingPoint
from .starting_point import run_starter as run_starter
