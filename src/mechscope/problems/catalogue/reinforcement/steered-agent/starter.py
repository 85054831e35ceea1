"""Measure whether one vector, added at one layer, sends grid-agent-anywhere to a cell that is not its goal."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter
from mechscope.subjects import GridWorld, play, random_levels

LEVELS = 250
TARGET = (5, 1)
LAYERS = ("blocks.0.hook_post", "blocks.1.hook_post", "blocks.2.hook_post", "hook_hidden_post")


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    """Add the mean difference that moving the goal makes; the seed decides the levels and a random vector."""
    agent = ms.load_subject("grid-agent-anywhere")
    target = torch.tensor(TARGET)

    def levels_with_free_target(n: int, seed: int) -> GridWorld:
        levels = random_levels(2 * n, seed=seed)
        usable = ~levels.walls[:, TARGET[0], TARGET[1]]
        usable &= (levels.goal != target).any(1) & (levels.agent != target).any(1)
        return levels.select(usable.nonzero()[:n, 0])

    learned_on = levels_with_free_target(LEVELS, 50_000 + seed)
    moved = learned_on.with_goal(target.expand(len(learned_on), 2))
    _, at_target = agent.run_with_cache(moved.observe())
    _, at_goal = agent.run_with_cache(learned_on.observe())
    tested_on = levels_with_free_target(LEVELS, 60_000 + seed)

    def visits(layer: str, vector: torch.Tensor) -> float:
        def add(value: torch.Tensor, hook: object) -> torch.Tensor:
            return value + vector

        with agent.hooks(fwd_hooks=[(layer, add)]):
            visit = play(agent, tested_on, max_steps=25)
        return 100 * float((visit.positions == target).all(-1).any(1).float().mean())

    generator = torch.Generator().manual_seed(seed)
    by_chance, steered, random = visits("hook_input", torch.zeros(())), [], []
    for layer in LAYERS:
        vector = (at_target[layer] - at_goal[layer]).mean(0)
        noise = torch.randn(vector.shape, generator=generator)
        steered.append(visits(layer, vector))
        random.append(visits(layer, noise * vector.norm() / noise.norm()))
    figure = viz.bars(
        ["block 0", "block 1", "block 2", "hidden"],
        {"mean difference": steered, "random vector of the same length": random},
        title=f"Visits to row {TARGET[0]}, column {TARGET[1]}, which is not the goal",
        x_title="layer to which the vector is added",
        y_title="levels in which the cell is visited (%)",
        number_format=".0f",
        markers=(viz.Marker(by_chance, "without a vector", axis="y"),),
    )
    best = max(range(len(LAYERS)), key=lambda layer: steered[layer])
    return StartingPoint(
        baseline={
            "visits to the target without steering (%)": by_chance,
            "visits with the best layer's vector (%)": steered[best],
            "visits with a random vector of the same length at that layer (%)": random[best],
        },
        figure=figure,
        caption=(
            f"Added at {LAYERS[best]}, the vector leads to the cell in {steered[best]:.0f} % of the levels, a random "
            f"one in {random[best]:.0f} %; without a vector the agent passes it in {by_chance:.0f} %."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
