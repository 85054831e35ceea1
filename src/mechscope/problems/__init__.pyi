from .listing import all_problems as all_problems
from .listing import find_problem as find_problem
from .listing import select as select
from .problem import Problem as Problem
from .starter import starter_of as starter_of
from .starting_point import StartingPoint as StartingPoint
from .starting_point import run_starter as run_starter
