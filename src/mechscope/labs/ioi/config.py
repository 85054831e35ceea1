"""Settings of step 04."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IOIConfig:
    """Numbers of prompts and draws, and the threshold of the circuit."""

    prompts: int = 64
    """Pairs of prompts for patching, path patching and discovery."""
    judged_prompts: int = 128
    """Other pairs of prompts, on which circuits are judged and behaviour is measured."""
    threshold: float = 0.05
    """The smallest share of the effect, of either sign, that makes a head part of the circuit."""
    null_draws: int = 20
    """Sets of heads drawn for each null."""
    rival_stories: int = 2000
    """Stories that the baselines are fitted on."""
    planted_seeds: int = 3
    """How many planted circuits must be recovered."""
    redteam_draws: int = 39
    """Draws for each null of the red team."""
    gpt2_prompts: int = 16
    """Pairs of prompts for patching GPT-2 small. Few, because it is 400 times as large as the twin."""
    gpt2_judged_prompts: int = 60
    """Prompts for its behaviour and its circuit: every template in both orders, twice."""
    retrained: int = 0
    """How many new twins are trained, from other seeds, to see whether they learn the task."""
    smollm2: bool = False
    """Whether SmolLM2-135M is studied too, if it is on this machine."""
    smollm2_prompts: int = 16
    """Pairs of prompts in each half of its data: one for every template of the half in both orders."""
    smollm2_draws: int = 8
    """Sets of heads for each of its nulls."""
    smollm2_edge_draws: int = 4
    """Circuits of edges for each of its nulls, at each size."""
