"""Measure how often grid-agent-anywhere takes a best step where every best step leads away from the goal."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter
from mechscope.subjects import ACTIONS, random_levels, step_counts

LEVELS = 8000
FARTHEST = 10


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    """Compare detours with direct ways; the seed decides the levels."""
    agent = ms.load_subject("grid-agent-anywhere")
    levels = random_levels(LEVELS, seed=30_000 + seed)
    rows = torch.arange(LEVELS)
    counts = step_counts(levels.walls, levels.goal)
    steps = counts[rows, levels.agent[:, 0], levels.agent[:, 1]]
    after = [levels.step(torch.full((LEVELS,), action)).agent for action in range(len(ACTIONS))]
    best = torch.stack([counts[rows, cell[:, 0], cell[:, 1]] == steps - 1 for cell in after], 1)
    possible = torch.stack([(cell != levels.agent).any(1) for cell in after], 1)
    straight = (levels.agent - levels.goal).abs().sum(1)
    closer = torch.stack([(cell - levels.goal).abs().sum(1) < straight for cell in after], 1)
    detour = ~(best & closer).any(1)
    # With one way out of a cell there is nothing to decide.
    decision = possible.sum(1) > 1
    action = agent(levels.observe()).logits.argmax(-1)
    right = best[rows, action]
    chance = best.float().sum(1) / possible.float().sum(1).clamp(min=1)

    def share(values: torch.Tensor, where: torch.Tensor) -> float:
        return 100 * float(values[where & decision].float().mean())

    distances = range(2, FARTHEST + 1)
    figure = viz.curves(
        list(distances),
        {
            "direct: a best step leads closer": [share(right, ~detour & (steps == n)) for n in distances],
            "detour: every best step leads away": [share(right, detour & (steps == n)) for n in distances],
            "detour, free cell at random": [share(chance, detour & (steps == n)) for n in distances],
        },
        title="Best first steps of grid-agent-anywhere",
        x_title="fewest steps to the goal",
        y_title="levels with a best first step (%)",
        points=True,
    )
    found = share(right, detour)
    return StartingPoint(
        baseline={
            "best first step on detours (%)": found,
            "a free cell at random on the same detours (%)": share(chance, detour),
            "best first step on direct ways (%)": share(right, ~detour),
            "detours with a choice (levels)": float((detour & decision).sum()),
        },
        figure=figure,
        caption=(
            f"Where every best step leads away from the goal, the agent takes one in {found:.0f} % of the levels; a "
            f"free cell at random would be right in {share(chance, detour):.0f} %, and always stepping closer in none."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
