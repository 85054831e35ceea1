"""Measure whether an agent that follows its value reaches the goals that it reaches when it follows its policy."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter
from mechscope.recipes.grid_agent import CORNER
from mechscope.subjects import ACTIONS, GridAgent, GridWorld, play, random_levels

LEVELS = 300
MAX_STEPS = 25


@torch.no_grad()
def follow_value(agent: GridAgent, levels: GridWorld) -> torch.Tensor:
    """Where the agent arrives if it always moves to the free cell that its value likes best."""
    world = levels
    for _ in range(MAX_STEPS):
        steps = [world.step(torch.full((len(world),), action)) for action in range(len(ACTIONS))]
        values = torch.stack([agent(after.observe()).value for after in steps], 1)
        stuck = torch.stack([(after.agent == world.agent).all(1) for after in steps], 1)
        # Arriving ends the level, so the value of the goal's own cell was never trained.
        arrives = torch.stack([after.at_goal for after in steps], 1)
        choice = values.masked_fill(stuck, -torch.inf).masked_fill(arrives, torch.inf).argmax(1)
        moved = torch.stack([after.agent for after in steps], 1)[torch.arange(len(world)), choice]
        world = GridWorld(world.walls, world.goal, torch.where(world.at_goal[:, None], world.agent, moved))
    return world.at_goal


def starting_point(seed: int = 0) -> StartingPoint:
    """Follow policy and value from the same starts; the seed decides the levels."""
    levels = random_levels(2 * LEVELS, seed=40_000 + seed)
    outside = (levels.goal[:, 0] >= CORNER) | (levels.goal[:, 1] < levels.side - CORNER)
    levels = levels.select(outside.nonzero()[:LEVELS, 0])
    outcomes, arrives = {}, {}
    for name in ("grid-agent", "grid-agent-anywhere"):
        agent = ms.load_subject(name)
        policy, value = play(agent, levels, max_steps=MAX_STEPS).arrived, follow_value(agent, levels)
        split = [policy & value, policy & ~value, ~policy & value, ~policy & ~value]
        outcomes[name] = [100 * float(part.float().mean()) for part in split]
        arrives[name] = 100 * float(policy.float().mean()), 100 * float(value.float().mean())
    figure = viz.bars(
        ["both arrive", "only the policy", "only the value", "neither"],
        outcomes,
        title="Goals outside the corner, following the policy or the value",
        x_title="which head leads to the goal",
        y_title="levels (%)",
        number_format=".0f",
    )
    only_value = outcomes["grid-agent"][2]
    return StartingPoint(
        baseline={
            "grid-agent arrives by its policy (%)": arrives["grid-agent"][0],
            "grid-agent arrives by its value (%)": arrives["grid-agent"][1],
            "grid-agent-anywhere arrives by its policy (%)": arrives["grid-agent-anywhere"][0],
            "grid-agent-anywhere arrives by its value (%)": arrives["grid-agent-anywhere"][1],
        },
        figure=figure,
        caption=(
            f"In {only_value:.0f} % of the levels grid-agent's value leads to a goal that its policy misses, in "
            f"{outcomes['grid-agent'][1]:.0f} % it is the other way round."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
