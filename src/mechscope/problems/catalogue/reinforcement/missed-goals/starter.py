"""Measure where grid-agent, trained with goals in one corner, still reaches goals, next to an agent without it."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter
from mechscope.recipes.grid_agent import CORNER, approach
from mechscope.subjects import play, random_levels

LEVELS = 1500


def starting_point(seed: int = 0) -> StartingPoint:
    """Play levels with goals anywhere; the seed decides the levels."""
    levels = random_levels(LEVELS, seed=10_000 + seed)
    row, column = levels.goal.T
    in_corner = (row < CORNER) & (column >= levels.side - CORNER)
    arrived = {
        name: play(ms.load_subject(name), levels).arrived for name in ("grid-agent", "grid-agent-anywhere")
    }
    habit = play(ms.load_subject("grid-agent"), levels)
    by_goal = torch.full((levels.side, levels.side), float("nan"))
    for goal_row in range(levels.side):
        for goal_column in range(levels.side):
            here = (row == goal_row) & (column == goal_column)
            by_goal[goal_row, goal_column] = 100 * arrived["grid-agent"][here].float().mean()
    missed = ~habit.arrived & ~in_corner
    ends = habit.positions[missed, -1]
    ends_in_corner = ((ends[:, 0] < CORNER) & (ends[:, 1] >= levels.side - CORNER)).float().mean()
    elsewhere = {name: 100 * float(reached[~in_corner].float().mean()) for name, reached in arrived.items()}
    figure = viz.heatmap(
        by_goal,
        title="How often grid-agent arrives, by the goal's cell",
        x_title="column of the goal",
        y_title="row of the goal",
        unit="levels in which it arrives (%)",
        square=True,
        write_numbers=False,
    )
    return StartingPoint(
        baseline={
            "grid-agent arrives at goals outside the corner (%)": elsewhere["grid-agent"],
            "grid-agent-anywhere arrives at goals outside the corner (%)": elsewhere["grid-agent-anywhere"],
            "always stepping closer arrives at goals outside the corner (%)": 100
            * float(approach(levels)[~in_corner].float().mean()),
            "of the misses, the agent ends in the corner (%)": 100 * float(ends_in_corner),
        },
        figure=figure,
        caption=(
            f"Outside the corner grid-agent arrives in {elsewhere['grid-agent']:.0f} % of the levels, the agent "
            f"that was trained with goals anywhere in {elsewhere['grid-agent-anywhere']:.0f} %. When it misses, it "
            f"ends in the corner in {100 * ends_in_corner:.0f} %."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
