"""An agent for the grid world: a convolutional network with a policy and a value."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from mechscope.arguments import brief_repr
from mechscope.model.hook_points import HookPoint
from mechscope.settings import PositiveInt, Settings
from mechscope.subjects.grid_world import ACTIONS, PLANES, GridWorld
from mechscope.subjects.subject import ConvBlock, Subject, seeded


@dataclass(frozen=True, kw_only=True)
class GridAgentConfig(Settings):
    """The shape of a `GridAgent`."""

    side: PositiveInt = 7
    """Height and width of a level."""
    channels: tuple[PositiveInt, ...] = (16, 16, 16)
    """Channels of each convolutional block."""
    kernel: PositiveInt = 3
    """Height and width of a filter; odd."""
    d_hidden: PositiveInt = 64
    """Units of the dense layer."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel={self.kernel}: a filter needs an odd side, so that it has a centre.")


class ActionAndValue(NamedTuple):
    """What the agent computes from an observation."""

    logits: Float[Tensor, "batch action"]
    """Logits of the actions, in the order of ACTIONS."""
    value: Float[Tensor, " batch"]
    """The expected discounted reward."""


class GridAgent(Subject):
    """Convolutional blocks that keep the grid's size; then a dense ReLU layer, from which policy and value are read.

    Hook points, with axes:
        hook_input: [batch plane row col], planes in the order of PLANES
        blocks.N.hook_pre, blocks.N.hook_post: [batch channel row col], before and after the ReLU
        hook_hidden_pre, hook_hidden_post: [batch unit]
        hook_logits: [batch action]
        hook_value: [batch]

    Args:
        config: its shape.
        seed: decides the initial weights.

    >>> from mechscope.subjects import random_levels
    >>> agent = GridAgent()
    >>> output, cache = agent.run_with_cache(random_levels(5, seed=0).observe())
    >>> output.logits.shape, output.value.shape, cache["blocks.2.hook_post"].shape
    (torch.Size([5, 4]), torch.Size([5]), torch.Size([5, 16, 7, 7]))
    """

    kind: ClassVar[str] = "a grid-world agent"
    config: GridAgentConfig

    def __init__(self, config: GridAgentConfig | None = None, *, seed: int = 0) -> None:
        super().__init__()
        self.config = config or GridAgentConfig()  # pyright: ignore[reportIncompatibleVariableOverride]
        self.hook_input = HookPoint()
        with seeded(seed):
            self.blocks = nn.ModuleList(
                ConvBlock(*channels, self.config.kernel, pool=False)
                for channels in pairwise((len(PLANES), *self.config.channels))
            )
            self.hidden = nn.Linear(self.config.channels[-1] * self.config.side**2, self.config.d_hidden)
            self.policy = nn.Linear(self.config.d_hidden, len(ACTIONS))
            self.value = nn.Linear(self.config.d_hidden, 1)
        self.hook_hidden_pre = HookPoint()
        self.hook_hidden_post = HookPoint()
        self.hook_logits = HookPoint()
        self.hook_value = HookPoint()
        self.setup()

    @property
    def shape_in_words(self) -> str:
        """Its layers, in words."""
        cfg = self.config
        filters = ", then ".join(f"{channels} channels" for channels in cfg.channels)
        return (
            f"{len(PLANES)} planes of {cfg.side}×{cfg.side} cells; {filters} of {cfg.kernel}×{cfg.kernel} filters, "
            f"each with ReLU; {cfg.d_hidden} ReLU units; logits of {len(ACTIONS)} actions, and a value"
        )

    def forward(self, observation: Float[Tensor, "batch plane row col"]) -> ActionAndValue:
        """Logits of the actions, and the value.

        Raises:
            ValueError: for an observation of another shape.
        """
        shape = (len(PLANES), self.config.side, self.config.side)
        if tuple(observation.shape[1:]) != shape:
            raise ValueError(
                f"observations have shape {tuple(observation.shape)}; this agent reads [batch, "
                f"{', '.join(map(str, shape))}]: the planes of GridWorld.observe()."
            )
        x = self.hook_input(observation)
        for block in self.blocks:
            x = block(x)
        x = self.hook_hidden_post(self.hook_hidden_pre(self.hidden(x.flatten(1))).relu())
        return ActionAndValue(self.hook_logits(self.policy(x)), self.hook_value(self.value(x)[:, 0]))


@dataclass(frozen=True)
class Visit:
    """How an agent played a stack of levels."""

    positions: Int[Tensor, "level time 2"]
    """Row and column at every time, the start included; an agent that has arrived stays."""
    arrived: Bool[Tensor, " level"]
    """Whether it reached the goal."""
    steps: Int[Tensor, " level"]
    """Steps until it arrived, or all steps that it had."""

    __repr__ = brief_repr


@torch.no_grad()
def play(agent: GridAgent, levels: GridWorld, *, max_steps: int = 40, seed: int | None = None) -> Visit:
    """Let an agent play levels; hooks that are on it act as in any other run.

    Args:
        max_steps: steps that it has.
        seed: draw actions from the policy with this seed; None takes the likeliest action.
    """
    generator = None if seed is None else torch.Generator().manual_seed(seed)
    world, positions = levels, [levels.agent]
    steps = torch.zeros(len(levels), dtype=torch.long)
    for _ in range(max_steps):
        done = world.at_goal
        if bool(done.all()):
            break
        logits = agent(world.observe()).logits
        if generator is None:
            actions = logits.argmax(-1)
        else:
            actions = torch.multinomial(logits.softmax(-1), 1, generator=generator)[:, 0]
        moved = world.step(actions)
        world = GridWorld(world.walls, world.goal, torch.where(done[:, None], world.agent, moved.agent))
        steps += ~done
        positions.append(world.agent)
    return Visit(torch.stack(positions, 1), world.at_goal, steps)
