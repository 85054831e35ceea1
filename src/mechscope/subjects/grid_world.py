"""A grid world: walk around walls to the goal. Many levels are one stack of tensors.

Rows count from the top and columns from the left. A step into a wall or over the edge leaves the agent where it is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from mechscope.arguments import brief_repr

ACTIONS = ("up", "down", "left", "right")
"""Names of the actions, in the order of the agent's logits."""
MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))
"""The (row, column) change of each action."""
PLANES = ("wall", "goal", "agent")
"""What each plane of an observation marks with a 1."""
UNREACHABLE = 10_000
"""The step count of a cell from which the goal cannot be reached."""
MOST_TRIES = 100


@dataclass(frozen=True)
class GridWorld:
    """A stack of levels and where the agent is in each."""

    walls: Bool[Tensor, "level row col"]
    """Cells that cannot be entered."""
    goal: Int[Tensor, "level 2"]
    """Row and column of each goal."""
    agent: Int[Tensor, "level 2"]
    """Row and column of each agent."""

    __repr__ = brief_repr

    def __len__(self) -> int:
        return len(self.walls)

    @property
    def side(self) -> int:
        """Height and width of a level."""
        return self.walls.shape[-1]

    @property
    def at_goal(self) -> Bool[Tensor, " level"]:
        """Where the agent has arrived."""
        return (self.agent == self.goal).all(-1)

    def observe(self) -> Float[Tensor, "level plane row col"]:
        """What the agent sees: three planes of zeros and ones, in the order of PLANES."""
        planes = torch.zeros(len(self), len(PLANES), self.side, self.side)
        levels = torch.arange(len(self))
        planes[:, 0] = self.walls.float()
        planes[levels, 1, self.goal[:, 0], self.goal[:, 1]] = 1.0
        planes[levels, 2, self.agent[:, 0], self.agent[:, 1]] = 1.0
        return planes

    def step(self, actions: Int[Tensor, " level"]) -> GridWorld:
        """The levels after one action each.

        >>> walls = torch.zeros(1, 3, 3, dtype=torch.bool)
        >>> world = GridWorld(walls, goal=torch.tensor([[2, 2]]), agent=torch.tensor([[0, 1]]))
        >>> [world.step(torch.tensor([action])).agent[0].tolist() for action in range(len(ACTIONS))]
        [[0, 1], [1, 1], [0, 0], [0, 2]]
        """
        target = self.agent + torch.tensor(MOVES)[actions]
        inside = ((target >= 0) & (target < self.side)).all(-1)
        clamped = target.clamp(0, self.side - 1)
        free = ~self.walls[torch.arange(len(self)), clamped[:, 0], clamped[:, 1]]
        return replace(self, agent=torch.where((inside & free)[:, None], target, self.agent))

    def select(self, levels: Int[Tensor, " chosen"] | Bool[Tensor, " level"]) -> GridWorld:
        """Some of the levels, by index or mask."""
        return GridWorld(self.walls[levels], self.goal[levels], self.agent[levels])

    def with_goal(self, goal: Int[Tensor, "level 2"]) -> GridWorld:
        """The same levels with other goals; a wall on a goal's cell is removed."""
        walls = self.walls.clone()
        walls[torch.arange(len(self)), goal[:, 0], goal[:, 1]] = False
        return GridWorld(walls, goal, self.agent)


def step_counts(
    walls: Bool[Tensor, "level row col"], goal: Int[Tensor, "level 2"]
) -> Int[Tensor, "level row col"]:
    """The fewest steps from every cell to the goal; UNREACHABLE from walls and cells without a way.

    >>> walls = torch.tensor([[[False, True, False], [False, True, False], [False, False, False]]])
    >>> step_counts(walls, torch.tensor([[0, 0]]))[0, 0].tolist()  # from the top row: two columns away, six steps
    [0, 10000, 6]
    """
    reached = torch.zeros_like(walls)
    reached[torch.arange(len(walls)), goal[:, 0], goal[:, 1]] = True
    steps = torch.full(walls.shape, UNREACHABLE).masked_fill(reached, 0)
    for count in range(1, UNREACHABLE):
        new = _neighbours(reached) & ~walls & ~reached
        if not bool(new.any()):
            break
        steps = steps.masked_fill(new, count)
        reached = reached | new
    return steps


def _neighbours(cells: Bool[Tensor, "level row col"]) -> Bool[Tensor, "level row col"]:
    """The cells above, below, left and right of these."""
    near = torch.zeros_like(cells)
    near[:, 1:] |= cells[:, :-1]
    near[:, :-1] |= cells[:, 1:]
    near[:, :, 1:] |= cells[:, :, :-1]
    near[:, :, :-1] |= cells[:, :, 1:]
    return near


def random_levels(
    n: int,
    *,
    seed: int | None = None,
    generator: torch.Generator | None = None,
    side: int = 7,
    goal_region: int | None = None,
    wall_share: float = 0.3,
) -> GridWorld:
    """Random levels in which the agent can reach the goal, and is not there yet.

    Args:
        n: how many.
        seed: decides the levels; give this or a generator.
        side: height and width of a level.
        goal_region: goals lie in the square of this many rows and columns in the top right corner; None for anywhere.
        wall_share: probability that a cell is a wall.

    Raises:
        ValueError: for sizes that no level has, or without exactly one of seed and generator.

    >>> levels = random_levels(100, seed=0, goal_region=3)
    >>> int(levels.goal[:, 0].max()), int(levels.goal[:, 1].min())
    (2, 4)
    """
    region = side if goal_region is None else goal_region
    if n < 1 or side < 2 or not 1 <= region <= side:
        raise ValueError(
            f"n={n}, side={side}, goal_region={goal_region}: there must be at least one level, with at least two rows, "
            "and the region of goals must fit into it."
        )
    if not 0 <= wall_share < 1:
        raise ValueError(f"wall_share is a probability of at least 0 and below 1, not {wall_share}.")
    if (seed is None) == (generator is None):
        raise ValueError("give either seed=… or generator=…: random levels must be reproducible.")
    drawn = torch.Generator().manual_seed(seed) if seed is not None else generator
    parts: list[GridWorld] = []
    for _ in range(MOST_TRIES):
        levels = _draw(n, side, region, wall_share, drawn)
        parts.append(levels)
        if sum(map(len, parts)) >= n:
            joined = (
                torch.cat([getattr(part, name) for part in parts])[:n] for name in ("walls", "goal", "agent")
            )
            return GridWorld(*joined)
    raise ValueError(
        f"with wall_share={wall_share}, hardly any level has a cell from which its goal can be reached: use a "
        "smaller share."
    )


def _draw(n: int, side: int, region: int, wall_share: float, generator: torch.Generator | None) -> GridWorld:
    """Up to n levels: those whose goal is walled in are left out."""
    walls = torch.rand(n, side, side, generator=generator) < wall_share
    rows = torch.randint(0, region, (n,), generator=generator)
    columns = torch.randint(side - region, side, (n,), generator=generator)
    goal = torch.stack([rows, columns], -1)
    walls[torch.arange(n), rows, columns] = False
    steps = step_counts(walls, goal)
    starts = ((steps > 0) & (steps < UNREACHABLE)).flatten(1)
    kept = starts.any(1)
    # The largest of independent uniform numbers is at each allowed cell with the same probability.
    where = (torch.rand(starts.shape, generator=generator) * starts)[kept].argmax(1)
    agent = torch.stack([where // side, where % side], -1)
    return GridWorld(walls[kept], goal[kept], agent)
