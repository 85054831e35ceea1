"""The training of grid-world agents: the estimate of advantages, the levels, and resuming."""

import pytest
import torch

from mechscope.recipes.grid_agent import CORNER, approach, unseen_levels
from mechscope.recipes.policy_training import (
    PolicyTraining,
    PolicyTrainingConfig,
    advantages,
    training_levels,
)
from mechscope.subjects import GridWorld, step_counts

TINY = PolicyTrainingConfig(updates=4, levels=6, horizon=5, batch=10, epochs=2, patience=4)


def test_advantages_are_the_discounted_errors_until_the_level_ends():
    generator = torch.Generator().manual_seed(0)
    time, n, discount, trace = 7, 40, 0.9, 0.8
    value = torch.rand(time, n, generator=generator)
    last = torch.rand(n, generator=generator)
    arrived = torch.rand(time, n, generator=generator) < 0.2
    given_up = torch.rand(time, n, generator=generator) < 0.2
    found = advantages(value, last, arrived, given_up, discount, trace)
    for level in range(n):
        for start in range(time):
            expected, weight = 0.0, 1.0
            for now in range(start, time):
                later = last[level] if now == time - 1 else value[now + 1, level]
                if arrived[now, level]:
                    expected += weight * float(1 - value[now, level])
                    break
                if given_up[now, level]:
                    break
                expected += weight * float(discount * later - value[now, level])
                weight *= discount * trace
            assert float(found[start, level]) == pytest.approx(expected, abs=1e-5)


def test_an_interrupted_training_gives_the_same_agent():
    whole, first, second = (PolicyTraining(TINY, seed=3) for _ in range(3))
    for _ in range(4):
        whole.update()
    first.update()
    first.update()
    second.restore({name: tensor.clone() for name, tensor in first.state().items()})
    second.update()
    second.update()
    for name, tensor in whole.agent.state_dict().items():
        assert torch.equal(second.agent.state_dict()[name], tensor), name


def test_training_levels_start_at_every_distance():
    levels = training_levels(PolicyTrainingConfig(wall_share=0.0), 4000, torch.Generator().manual_seed(0))
    steps = step_counts(levels.walls, levels.goal)
    start = steps[torch.arange(4000), levels.agent[:, 0], levels.agent[:, 1]]
    farthest = steps.flatten(1).amax(1)
    # Each distance up to the farthest is as likely as any other, so the mean share is just above one half.
    assert float((start / farthest).mean()) == pytest.approx(
        0.5 + 0.5 / float(farthest.float().mean()), abs=0.02
    )
    assert int(start.min()) == 1 and bool((start == farthest).any())


def test_test_levels_lie_in_the_corner_or_outside():
    for corner in (True, False):
        row, column = unseen_levels(corner=corner).goal.T
        assert bool((((row < CORNER) & (column >= 7 - CORNER)) == corner).all())


def test_stepping_closer_is_stopped_by_a_wall_in_the_way():
    walls = torch.zeros(2, 7, 7, dtype=torch.bool)
    walls[1, 0:2, 3] = True  # a wall of two cells right of the agent; the way leads around it
    row = torch.tensor([[0, 0], [0, 0]])
    goal = torch.tensor([[0, 6], [0, 6]])
    assert approach(GridWorld(walls, goal, row)).tolist() == [True, False]
