"""Proximal policy optimisation for the grid world (Schulman et al. 2017), with generalised advantage estimation.

Many levels are played at once. After every few steps the policy moves towards actions that went better than the value
predicted, but not far from the policy that played; and the value moves towards what was received.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mechscope.runs.workspace import Part, Workspace
from mechscope.settings import NonNegativeFloat, PositiveFloat, PositiveInt, Range, Settings
from mechscope.subjects.grid_agent import GridAgent
from mechscope.subjects.grid_world import UNREACHABLE, GridWorld, random_levels, step_counts

Share = Annotated[float, Range(least=0, below=1)]


@dataclass(frozen=True, kw_only=True)
class PolicyTrainingConfig(Settings):
    """Settings of a training."""

    goal_region: PositiveInt = 7
    """Goals lie in the square of this many rows and columns in the top right corner; 7 is the whole grid."""
    wall_share: Share = 0.3
    """Probability that a cell is a wall."""
    updates: PositiveInt = 300
    """Number of times that new experience is gathered."""
    levels: PositiveInt = 128
    """Levels that are played at once."""
    horizon: PositiveInt = 16
    """Steps in each level between two updates."""
    patience: PositiveInt = 30
    """A level is given up at each step with probability 1/patience, so that nobody is stuck in one for ever."""
    epochs: PositiveInt = 4
    """How often the experience of an update is used."""
    batch: PositiveInt = 256
    """Steps per gradient."""
    discount: Share = 0.9
    """What a reward one step later is worth; arriving gives a reward of 1."""
    trace: Share = 0.9
    """λ of the advantage estimate."""
    clip: PositiveFloat = 0.2
    """How far the probability of an action may move away from 1 × the one with which it was played."""
    learning_rate: PositiveFloat = 2e-3
    """Adam's learning rate, which falls linearly to zero."""
    entropy: NonNegativeFloat = 0.01
    """Weight of the policy's entropy, which keeps it trying."""
    value_weight: PositiveFloat = 0.5
    """Weight of the value's squared error."""
    gradient_norm: PositiveFloat = 0.5
    """Larger gradients are scaled down to this norm."""


@dataclass(frozen=True)
class Experience:
    """What was seen and done between two updates: one row for each step in each level."""

    observation: Float[Tensor, "step plane row col"]
    """What the agent saw."""
    action: Int[Tensor, " step"]
    """What it did."""
    log_prob: Float[Tensor, " step"]
    """Log-probability of that by the policy that played, in nats."""
    advantage: Float[Tensor, " step"]
    """How much better it went than the value predicted."""
    value_target: Float[Tensor, " step"]
    """What the value should have been."""


class PolicyTraining:
    """A training that can be stopped and resumed between updates.

    >>> training = PolicyTraining(PolicyTrainingConfig(updates=1, levels=4, horizon=2), seed=0)
    >>> training.update()
    >>> training.done
    1
    """

    def __init__(self, config: PolicyTrainingConfig, *, seed: int) -> None:
        self.config = config
        # Convolutions of such small images are twice as fast with channels last.
        self.agent = GridAgent(seed=seed).to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        self.generator = torch.Generator().manual_seed(seed)
        self.optimizer = torch.optim.Adam(self.agent.parameters(), lr=config.learning_rate)
        self.world = training_levels(config, config.levels, self.generator)
        self.done = 0
        """Updates so far."""

    def update(self) -> None:
        """Gather experience, and learn from it."""
        config = self.config
        for group in self.optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - self.done / config.updates)
        experience = self._gather()
        for _ in range(config.epochs):
            order = torch.randperm(len(experience.action), generator=self.generator)
            for rows in order.split(config.batch):
                loss = self._loss(experience, rows)
                self.optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_norm_(self.agent.parameters(), config.gradient_norm)
                self.optimizer.step()
        self.done += 1

    @torch.no_grad()
    def _gather(self) -> Experience:
        config, rows = self.config, []
        fresh = training_levels(config, 2 * config.levels, self.generator)
        for _ in range(config.horizon):
            seen = self.world.observe().contiguous(memory_format=torch.channels_last)
            output = self.agent(seen)
            log_probs = output.logits.log_softmax(-1)
            action = torch.multinomial(log_probs.exp(), 1, generator=self.generator)
            moved = self.world.step(action[:, 0])
            given_up = torch.rand(len(moved), generator=self.generator) < 1 / config.patience
            log_prob = log_probs.gather(1, action)[:, 0]
            rows.append((seen, action[:, 0], log_prob, output.value, moved.at_goal, given_up))
            self.world = self._with_new_levels(moved, moved.at_goal | given_up, fresh)
        last_value = self.agent(self.world.observe()).value
        observation, action, log_prob, value, arrived, given_up = map(torch.stack, zip(*rows, strict=True))
        advantage = advantages(value, last_value, arrived, given_up, config.discount, config.trace)
        target = value + advantage
        return Experience(
            *(each.flatten(0, 1) for each in (observation, action, log_prob, advantage, target))
        )

    def _loss(self, experience: Experience, rows: Int[Tensor, " batch"]) -> Float[Tensor, ""]:
        config = self.config
        output = self.agent(experience.observation[rows].contiguous(memory_format=torch.channels_last))
        log_probs = output.logits.log_softmax(-1)
        chosen = log_probs.gather(1, experience.action[rows, None])[:, 0]
        ratio = (chosen - experience.log_prob[rows]).exp()
        advantage = experience.advantage
        scaled = ((advantage - advantage.mean()) / (advantage.std() + 1e-3))[rows]
        gain = torch.minimum(ratio * scaled, ratio.clamp(1 - config.clip, 1 + config.clip) * scaled)
        negative_entropy = (log_probs.exp() * log_probs).sum(-1)
        value_error = (output.value - experience.value_target[rows]).square()
        return (config.value_weight * value_error + config.entropy * negative_entropy - gain).mean()

    def _with_new_levels(
        self, world: GridWorld, where: Bool[Tensor, " level"], fresh: GridWorld
    ) -> GridWorld:
        new = fresh.select(torch.randint(0, len(fresh), (len(world),), generator=self.generator))
        return GridWorld(
            torch.where(where[:, None, None], new.walls, world.walls),
            torch.where(where[:, None], new.goal, world.goal),
            torch.where(where[:, None], new.agent, world.agent),
        )

    def state(self) -> Part:
        """Everything that the next update depends on."""
        moments = {
            f"adam.{row}.{name}": value
            for row, moments in self.optimizer.state_dict()["state"].items()
            for name, value in moments.items()
        }
        weights = {f"agent.{name}": value.contiguous() for name, value in self.agent.state_dict().items()}
        levels = {f"world.{name}": getattr(self.world, name) for name in ("walls", "goal", "agent")}
        return {
            **weights,
            **moments,
            **levels,
            "generator": self.generator.get_state(),
            "done": torch.tensor(self.done),
        }

    def restore(self, state: Part) -> None:
        """Go on from a state."""
        self.done = int(state["done"])
        self.generator.set_state(state["generator"])
        self.agent.load_state_dict(
            {name.removeprefix("agent."): value for name, value in state.items() if name.startswith("agent.")}
        )
        self.world = GridWorld(*(state[f"world.{name}"] for name in ("walls", "goal", "agent")))
        moments: dict[int, dict[str, Tensor]] = {}
        for name, value in state.items():
            if name.startswith("adam."):
                _, row, key = name.split(".")
                moments.setdefault(int(row), {})[key] = value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})


def train_agent(workspace: Workspace, config: PolicyTrainingConfig, seed: int, name: str) -> GridAgent:
    """Train an agent; an interrupted call resumes from the state that the workspace saved last.

    Args:
        name: of the part in the workspace.
    """

    def train() -> Part:
        training = PolicyTraining(config, seed=seed)
        if (state := workspace.restore_state(name)) is not None:
            training.restore(state)
        with workspace.bar(config.updates, name, training.done) as bar:
            while training.done < config.updates:
                training.update()
                bar.update()
                workspace.save_state(name, training.state)
        return dict(training.agent.state_dict())

    agent = GridAgent()
    agent.load_state_dict(workspace.load_or_compute(name, train))
    return agent


def training_levels(config: PolicyTrainingConfig, n: int, generator: torch.Generator) -> GridWorld:
    """Random levels in which the agent starts at every distance equally often.

    The start is one step away as often as it is as far as the level allows. With starts drawn from all cells, so few
    of the first random walks would arrive that nothing would be learned from them.
    """
    levels = random_levels(
        n, generator=generator, goal_region=config.goal_region, wall_share=config.wall_share
    )
    steps = step_counts(levels.walls, levels.goal).flatten(1)
    steps = steps.masked_fill(steps == UNREACHABLE, 0)
    wanted = 1 + (torch.rand(n, generator=generator) * steps.amax(1)).long()
    # The largest of independent uniform numbers is at each allowed cell with the same probability.
    start = (torch.rand(steps.shape, generator=generator) * (steps == wanted[:, None])).argmax(1)
    agent = torch.stack([start // levels.side, start % levels.side], -1)
    return GridWorld(levels.walls, levels.goal, agent)


def advantages(
    value: Float[Tensor, "time level"],
    last_value: Float[Tensor, " level"],
    arrived: Bool[Tensor, "time level"],
    given_up: Bool[Tensor, "time level"],
    discount: float,
    trace: float,
) -> Float[Tensor, "time level"]:
    """How much better each step went than the value predicted: Σ (γλ)^k of the one-step errors until the level ends.

    Nothing is learned from the step at which a level is given up, because what would have followed is not known.

    >>> no, yes = torch.tensor([[False], [False]]), torch.tensor([[False], [True]])
    >>> advantages(torch.zeros(2, 1), torch.ones(1), yes, no, 0.5, 0.5).flatten().tolist()
    [0.25, 1.0]
    """
    later = torch.cat([value[1:], last_value[None]])
    errors = arrived.float() + discount * (~arrived).float() * later - value
    errors = errors.masked_fill(given_up & ~arrived, 0)
    goes_on = (~(arrived | given_up)).float()
    result, running = torch.zeros_like(value), torch.zeros_like(last_value)
    for time in reversed(range(len(value))):
        running = errors[time] + discount * trace * goes_on[time] * running
        result[time] = running
    return result
