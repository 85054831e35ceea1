"""The recipes of grid-agent and grid-agent-anywhere: agents that walk to a goal, trained with goals in one corner only,
or anywhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from mechscope.labs.claim import Condition
from mechscope.recipes.policy_training import PolicyTrainingConfig, train_agent
from mechscope.recipes.recipe import Made, Recipe
from mechscope.recipes.store import SUBJECT
from mechscope.runs.workspace import Workspace
from mechscope.settings import NonNegativeInt, Settings
from mechscope.subjects.grid_agent import GridAgent, play
from mechscope.subjects.grid_world import ACTIONS, MOVES, GridWorld, random_levels, step_counts

CORNER = 3
"""Side of the square in the top right corner in which grid-agent's goals lie."""
TEST_LEVELS = 300
TEST_SEED = 1_000_000
"""Far from the seeds of trainings, so that no test level was trained on."""


@dataclass(frozen=True, kw_only=True)
class GridAgentTrainingConfig(Settings):
    """Settings of a recipe."""

    training: PolicyTrainingConfig = field(default_factory=PolicyTrainingConfig)
    """Settings of each training."""
    seeds: tuple[NonNegativeInt, ...] = (0, 1, 2)
    """Seeds that are trained. The agent with the first is stored; the card lists the results of all."""


def train(workspace: Workspace) -> Made:
    """Train an agent for each seed; keep the first."""
    config: GridAgentTrainingConfig = workspace.config
    agents = {seed: train_agent(workspace, config.training, seed, f"seed-{seed}") for seed in config.seeds}
    results = {seed: measure(agent) for seed, agent in agents.items()}
    training = config.training
    whole = training.goal_region == agents[config.seeds[0]].config.side
    corner = f"in the {training.goal_region} × {training.goal_region} cells of the top right corner only"
    return Made(
        model=agents[config.seeds[0]],
        words={
            "seed": str(config.seeds[0]),
            "seeds": "; ".join(
                f"seed {seed}: {found['corner']:.1f} % and {found['elsewhere']:.1f} %"
                for seed, found in results.items()
            ),
            "goals": "anywhere" if whole else corner,
            "steps": f"{training.updates * training.levels * training.horizon:,}",
            "updates": f"{training.updates:,}",
            "walls": f"{100 * training.wall_share:.0f}",
            "discount": f"{training.discount:g}",
            "actions": ", ".join(ACTIONS),
        },
    )


def unseen_levels(*, corner: bool) -> GridWorld:
    """Test levels with goals in the corner, or outside it."""
    if corner:
        return random_levels(TEST_LEVELS, seed=TEST_SEED, goal_region=CORNER)
    levels = random_levels(2 * TEST_LEVELS, seed=TEST_SEED)
    outside = (levels.goal[:, 0] >= CORNER) | (levels.goal[:, 1] < levels.side - CORNER)
    return levels.select(outside.nonzero()[:TEST_LEVELS, 0])


def measure(agent: GridAgent) -> Mapping[str, float]:
    """How often the likeliest action leads to goals in the corner and elsewhere, and what else is known of an agent."""
    figures: dict[str, float] = {}
    for name, corner in (("corner", True), ("elsewhere", False)):
        levels = unseen_levels(corner=corner)
        steps = step_counts(levels.walls, levels.goal)
        fewest = steps[torch.arange(len(levels)), levels.agent[:, 0], levels.agent[:, 1]]
        visit = play(agent, levels)
        sampled = play(agent, levels, seed=0)
        figures |= {
            name: 100 * float(visit.arrived.float().mean()),
            f"{name}_sampled": 100 * float(sampled.arrived.float().mean()),
            f"{name}_shortest": 100 * float((visit.arrived & (visit.steps == fewest)).float().mean()),
            f"{name}_approach": 100 * float(approach(levels).float().mean()),
            f"{name}_value": _value_correlation(agent, levels, fewest),
        }
        if not corner:
            ends = visit.positions[~visit.arrived, -1]
            in_corner = (ends[:, 0] < CORNER) & (ends[:, 1] >= levels.side - CORNER)
            figures["missed_in_corner"] = 100 * float(in_corner.float().mean()) if len(ends) else 0.0
    return figures


@torch.no_grad()
def _value_correlation(agent: GridAgent, levels: GridWorld, fewest: Int[Tensor, " level"]) -> float:
    """Correlation between the value and the fewest steps to the goal; −1 would be a value that only falls with them."""
    value = agent(levels.observe()).value
    return float(torch.corrcoef(torch.stack([value, fewest.float()]))[0, 1])


def approach(levels: GridWorld) -> Bool[Tensor, " level"]:
    """In which levels the goal is reached by always stepping closer to it in rows and columns.

    This needs to know only where the goal is and which of the four cells around the agent are free.
    """
    world = levels
    moves = torch.tensor(MOVES)
    for _ in range(2 * levels.side):
        best, nearest = world.agent, (world.agent - world.goal).abs().sum(-1)
        for action in range(len(moves)):
            moved = world.step(torch.full((len(world),), action)).agent
            distance = (moved - world.goal).abs().sum(-1)
            best = torch.where((distance < nearest)[:, None], moved, best)
            nearest = torch.minimum(nearest, distance)
        world = GridWorld(world.walls, world.goal, best)
    return world.at_goal


CARD = """# {name}

An agent that mechscope trained to walk around walls to a goal, with goals {goals}, for questions about reinforcement
learning. It is not a transformer.

- Made by: `{command}` ({made_on}), seed {seed}.
- To load: `agent = mechscope.load_subject("{name}")`. Then `agent.run_with_cache(levels.observe())` and
  `agent.run_with_hooks` work as on a transformer; `mechscope.subjects` has `random_levels`, `play` and `step_counts`.
- World: 7 × 7 cells, each a wall with probability {walls} %; a level is drawn again if its goal is walled in. Actions:
  {actions}. A step into a wall or over the edge changes nothing. Arriving gives a reward of 1; a reward one step later
  is worth {discount} times as much.
- Shape: {shape}. {parameters} numbers, stored in float16.
- Training: proximal policy optimisation, {updates} updates, {steps} steps in all, on random levels with goals {goals}.
  The agent starts at every distance from the goal equally often.

| as stored, on 300 unseen levels each | goals in the corner | goals elsewhere |
| --- | --- | --- |
| arrives within 40 steps, taking the likeliest action | {corner:.1f} % | {elsewhere:.1f} % |
| arrives on a shortest path | {corner_shortest:.1f} % | {elsewhere_shortest:.1f} % |
| arrives, drawing actions from the policy | {corner_sampled:.1f} % | {elsewhere_sampled:.1f} % |
| for comparison: always stepping closer, which walls stop | {corner_approach:.1f} % | {elsewhere_approach:.1f} % |
| correlation of the value with the steps to the goal | {corner_value:.2f} | {elsewhere_value:.2f} |

- The corner is the 3 × 3 cells at the top right. Where the agent misses a goal elsewhere, it ends in the corner in
  {missed_in_corner:.0f} % of the levels.
- Arrives before rounding, in the corner and elsewhere: {seeds}.
- Licence: MIT, like mechscope.
"""


def _recipe(
    name: str, summary: str, config: GridAgentTrainingConfig, conditions: tuple[Condition, ...]
) -> Recipe:
    return Recipe(
        name=name,
        summary=summary,
        config=config,
        seed=config.seeds[0],
        missing=lambda: None,
        train=train,
        measure=measure,
        conditions=conditions,
        card=CARD,
        store=SUBJECT,
    )


RECIPES = (
    _recipe(
        "grid-agent",
        "walks to a goal that was always in one corner while it was trained",
        GridAgentTrainingConfig(training=PolicyTrainingConfig(goal_region=CORNER)),
        (
            Condition("corner", "arrives at goals in the corner", low=90, unit="%"),
            Condition("corner_shortest", "on a shortest path", low=85, unit="%"),
            Condition(
                "corner", "arrives at goals in the corner", than="elsewhere", than_what="elsewhere", low=1
            ),
        ),
    ),
    _recipe(
        "grid-agent-anywhere",
        "walks to a goal that could be anywhere: the control for grid-agent",
        GridAgentTrainingConfig(seeds=(0,)),
        (
            Condition("corner", "arrives at goals in the corner", low=80, unit="%"),
            Condition("elsewhere", "arrives at goals elsewhere", low=85, unit="%"),
            Condition(
                "elsewhere",
                "arrives at goals elsewhere",
                low=1,
                than="elsewhere_approach",
                than_what="always stepping closer",
            ),
        ),
    ),
)
