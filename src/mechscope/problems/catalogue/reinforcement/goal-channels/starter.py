"""Measure which channels of grid-agent-anywhere change its action when they come from a run with another goal."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter
from mechscope.subjects import random_levels

HOOK = "blocks.2.hook_post"
LEVELS = 600


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    """Exchange one channel at a time; the seed decides the levels and their other goals."""
    agent = ms.load_subject("grid-agent-anywhere")
    levels = random_levels(LEVELS, seed=20_000 + seed)
    generator = torch.Generator().manual_seed(seed)
    # Another goal on a free cell: the walls and the agent stay where they are.
    free = ~levels.walls.flatten(1)
    rows = torch.arange(LEVELS)
    for taken in (levels.goal, levels.agent):
        free[rows, taken[:, 0] * levels.side + taken[:, 1]] = False
    cell = (torch.rand(free.shape, generator=generator) * free).argmax(1)
    other_goal = levels.with_goal(torch.stack([cell // levels.side, cell % levels.side], 1))
    shuffled = torch.randperm(LEVELS, generator=generator)

    action = agent(levels.observe()).logits.argmax(-1)
    goal_moved = (agent(other_goal.observe()).logits.argmax(-1) != action).float().mean()
    _, cache = agent.run_with_cache(other_goal.observe(), names_filter=HOOK)
    _, own = agent.run_with_cache(levels.observe(), names_filter=HOOK)
    donors = {"the same level with another goal": cache[HOOK], "another level": own[HOOK][shuffled]}

    def changed(donor: torch.Tensor, channel: int) -> float:
        def exchange(value: torch.Tensor, hook: object) -> torch.Tensor:
            value[:, channel] = donor[:, channel]
            return value

        logits = agent.run_with_hooks(levels.observe(), fwd_hooks=[(HOOK, exchange)]).logits
        return 100 * float((logits.argmax(-1) != action).float().mean())

    channels = range(cache[HOOK].shape[1])
    found = {name: [changed(donor, channel) for channel in channels] for name, donor in donors.items()}
    by_goal, by_level = (torch.tensor(values) for values in found.values())
    strongest = int(by_goal.argmax())
    figure = viz.bars(
        [str(channel) for channel in channels],
        found,
        title="Actions that change when one channel of block 2 is exchanged",
        x_title="channel",
        y_title="levels with another action (%)",
        number_format=".0f",
    )
    return StartingPoint(
        baseline={
            "action changes when the goal really moves (%)": 100 * float(goal_moved),
            "action changes with the strongest goal channel exchanged (%)": float(by_goal.max()),
            "the same channel from another level (%)": float(by_level[strongest]),
            "mean channel exchanged for another goal (%)": float(by_goal.mean()),
        },
        figure=figure,
        caption=(
            f"Moving the goal changes {100 * goal_moved:.0f} % of the actions; exchanging channel {strongest} alone "
            f"changes {by_goal.max():.0f} %, the average channel {by_goal.mean():.0f} %."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
