"""Levels, steps and step counts, against a search written out in plain Python."""

from collections import deque

import pytest
import torch

from mechscope.subjects import ACTIONS, GridWorld, random_levels, step_counts
from mechscope.subjects.grid_world import UNREACHABLE


def searched(walls: list[list[bool]], goal: tuple[int, int]) -> dict[tuple[int, int], int]:
    """Breadth-first search from the goal."""
    found, waiting = {goal: 0}, deque([goal])
    while waiting:
        row, col = waiting.popleft()
        for near in ((row - 1, col), (row + 1, col), (row, col - 1), (row, col + 1)):
            inside = all(0 <= each < len(walls) for each in near)
            if inside and not walls[near[0]][near[1]] and near not in found:
                found[near] = found[row, col] + 1
                waiting.append(near)
    return found


def test_step_counts_are_those_of_a_search():
    levels = random_levels(60, seed=3, wall_share=0.4)
    counted = step_counts(levels.walls, levels.goal)
    for level in range(len(levels)):
        found = searched(levels.walls[level].tolist(), tuple(levels.goal[level].tolist()))
        for row in range(7):
            for col in range(7):
                assert counted[level, row, col] == found.get((row, col), UNREACHABLE)


def test_every_level_can_be_solved_and_none_is():
    levels = random_levels(300, seed=0, wall_share=0.5)
    assert len(levels) == 300
    steps = step_counts(levels.walls, levels.goal)
    start = steps[torch.arange(300), levels.agent[:, 0], levels.agent[:, 1]]
    assert int(start.min()) >= 1 and int(start.max()) < UNREACHABLE
    assert not levels.at_goal.any()


def test_goals_lie_in_the_region_and_everywhere_in_it():
    levels = random_levels(500, seed=1, goal_region=2)
    assert {tuple(goal) for goal in levels.goal.tolist()} == {(0, 5), (0, 6), (1, 5), (1, 6)}
    assert {tuple(goal) for goal in random_levels(1000, seed=1).goal.tolist()} == {
        (row, col) for row in range(7) for col in range(7)
    }


def test_a_seed_decides_the_levels():
    first, again, other = (random_levels(20, seed=seed) for seed in (4, 4, 5))
    assert torch.equal(first.observe(), again.observe())
    assert not torch.equal(first.observe(), other.observe())


def test_walls_and_edges_stop_a_step():
    walls = torch.zeros(1, 3, 3, dtype=torch.bool)
    walls[0, 0, 1] = True
    world = GridWorld(walls, torch.tensor([[2, 2]]), torch.tensor([[0, 0]]))
    ends = [tuple(world.step(torch.tensor([action])).agent[0].tolist()) for action in range(len(ACTIONS))]
    assert ends == [(0, 0), (1, 0), (0, 0), (0, 0)]
    assert tuple(world.agent[0].tolist()) == (0, 0)


def test_an_observation_marks_walls_goal_and_agent():
    levels = random_levels(10, seed=2)
    seen = levels.observe()
    assert torch.equal(seen[:, 0].bool(), levels.walls)
    for plane, where in ((1, levels.goal), (2, levels.agent)):
        assert (seen[:, plane].sum((1, 2)) == 1).all()
        assert torch.equal(seen[:, plane].nonzero()[:, 1:], where)


def test_other_goals_need_no_wall():
    levels = random_levels(50, seed=0, wall_share=0.6)
    moved = levels.with_goal(torch.full((50, 2), 3))
    assert not moved.walls[:, 3, 3].any() and levels.walls[:, 3, 3].any()
    assert torch.equal(moved.agent, levels.agent)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"n": 0, "seed": 0}, "at least one level"),
        ({"n": 1, "seed": 0, "goal_region": 8}, "goal_region=8"),
        ({"n": 1, "seed": 0, "wall_share": 1.0}, "wall_share is a probability"),
        ({"n": 1}, "either seed"),
        ({"n": 1, "seed": 0, "generator": torch.Generator()}, "either seed"),
        ({"n": 1, "seed": 0, "wall_share": 0.99999}, "use a smaller share"),
    ],
)
def test_impossible_levels_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        random_levels(**arguments)
