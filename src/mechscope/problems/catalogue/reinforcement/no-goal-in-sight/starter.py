"""Measure where both agents end when the goal is removed from what they see."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter
from mechscope.recipes.grid_agent import CORNER
from mechscope.subjects import play, random_levels

LEVELS = 600
GOAL_PLANE = 1


def without_goal(seen: torch.Tensor, hook: object) -> torch.Tensor:
    """The observation with an empty goal plane."""
    seen[:, GOAL_PLANE] = 0
    return seen


def starting_point(seed: int = 0) -> StartingPoint:
    """Play levels whose goal cannot be seen; the seed decides the levels."""
    levels = random_levels(LEVELS, seed=70_000 + seed)
    side = levels.side
    ends, shares = {}, {}
    for name in ("grid-agent", "grid-agent-anywhere"):
        agent = ms.load_subject(name)
        with agent.hooks(fwd_hooks=[("hook_input", without_goal)]):
            last = play(agent, levels, max_steps=25).positions[:, -1]
        in_corner = (last[:, 0] < CORNER) & (last[:, 1] >= side - CORNER)
        shares[name] = 100 * float(in_corner.float().mean())
        cells = last[:, 0] * side + last[:, 1]
        ends[name] = 100 * torch.bincount(cells, minlength=side * side).float().view(side, side) / LEVELS
    start = (levels.agent[:, 0] < CORNER) & (levels.agent[:, 1] >= side - CORNER)
    figure = viz.heatmap(
        ends["grid-agent"],
        title="Where grid-agent ends when it sees no goal",
        x_title="column",
        y_title="row",
        unit="levels that end here (%)",
        square=True,
        write_numbers=False,
    )
    return StartingPoint(
        baseline={
            "grid-agent ends in the corner without a goal in sight (%)": shares["grid-agent"],
            "grid-agent-anywhere ends in the corner without a goal in sight (%)": shares[
                "grid-agent-anywhere"
            ],
            "levels that start in the corner (%)": 100 * float(start.float().mean()),
        },
        figure=figure,
        caption=(
            f"Without a goal grid-agent ends in the top right corner in {shares['grid-agent']:.0f} % of the levels, "
            f"the control in {shares['grid-agent-anywhere']:.0f} %. {100 * start.float().mean():.0f} % start there."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
