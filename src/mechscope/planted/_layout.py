"""The layout of the residual stream: which dimensions store which variable."""

from __future__ import annotations

from dataclasses import dataclass

from mechscope.planted._plan import Plan, Variable

BOS_DIM = 0
"""The dimension that is 1 at BOS and 0 elsewhere."""


@dataclass(frozen=True)
class Layout:
    """The dimensions of each variable; BOS has dimension 0."""

    rooms: dict[Variable, slice]
    d_model: int

    def __getitem__(self, variable: Variable) -> slice:
        return self.rooms[variable]


def lay_out(plan: Plan) -> Layout:
    """Assign consecutive dimensions to what the input writes and to what each component writes."""
    rooms: dict[Variable, slice] = {}
    start = BOS_DIM + 1
    for variable in (plan.one, plan.tokens, plan.positions, *(part.output for part in plan.parts)):
        rooms[variable] = slice(start, start + variable.width)
        start += variable.width
    return Layout(rooms, start)
