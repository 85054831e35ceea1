"""Both networks against their arithmetic written out, their hook points, and what they say to misuse."""

import pytest
import torch
from torch.nn.functional import conv2d, linear, max_pool2d

import mechscope as ms
from mechscope.subjects import (
    DigitsCNN,
    DigitsCNNConfig,
    GridAgent,
    GridAgentConfig,
    play,
    random_levels,
    step_counts,
)


def test_the_digit_network_is_its_arithmetic():
    model = DigitsCNN(seed=3).double()
    images = torch.rand(4, 1, 28, 28, dtype=torch.float64)
    weights = model.state_dict()
    x = images
    for block in (0, 1):
        x = conv2d(x, weights[f"blocks.{block}.conv.weight"], weights[f"blocks.{block}.conv.bias"], padding=2)
        x = max_pool2d(x.relu(), 2)
    x = linear(x.flatten(1), weights["hidden.weight"], weights["hidden.bias"]).relu()
    expected = linear(x, weights["head.weight"], weights["head.bias"])
    torch.testing.assert_close(model(images), expected)
    torch.testing.assert_close(model(images.flatten(1)), expected)


def test_the_agent_is_its_arithmetic():
    agent = GridAgent(seed=3).double()
    seen = random_levels(5, seed=0).observe().double()
    weights = agent.state_dict()
    x = seen
    for block in (0, 1, 2):
        x = conv2d(
            x, weights[f"blocks.{block}.conv.weight"], weights[f"blocks.{block}.conv.bias"], padding=1
        ).relu()
    x = linear(x.flatten(1), weights["hidden.weight"], weights["hidden.bias"]).relu()
    output = agent(seen)
    torch.testing.assert_close(output.logits, linear(x, weights["policy.weight"], weights["policy.bias"]))
    torch.testing.assert_close(output.value, linear(x, weights["value.weight"], weights["value.bias"])[:, 0])


@pytest.mark.parametrize(
    ("model", "inputs"),
    [(DigitsCNN(), torch.rand(3, 784)), (GridAgent(), random_levels(3, seed=0).observe())],
)
def test_every_documented_hook_point_is_cached_and_can_be_edited(model, inputs):
    output, cache = model.run_with_cache(inputs)
    assert set(cache) == set(model.hook_dict)
    described = type(model).__doc__
    assert [
        name for name in cache if name.replace("0", "N").replace("1", "N").replace("2", "N") not in described
    ] == []
    logits = output if isinstance(output, torch.Tensor) else output.logits
    assert torch.equal(cache["hook_logits"], logits)
    for name in cache:
        edited = model.run_with_hooks(inputs, fwd_hooks=[(name, lambda value, hook: value + 1)])
        pairs = (
            [(edited, output)] if isinstance(output, torch.Tensor) else list(zip(edited, output, strict=True))
        )
        assert any(not torch.allclose(new, old) for new, old in pairs), name


def test_a_seed_decides_the_weights_and_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    first, again, other = DigitsCNN(seed=1), DigitsCNN(seed=1), DigitsCNN(seed=2)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.head.weight, again.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


def test_play_stops_at_the_goal_and_obeys_hooks():
    levels = random_levels(200, seed=0)
    agent = GridAgent()

    def to_the_goal(logits, hook):
        """A perfect policy in the agent's place."""
        counts = step_counts(levels.walls, levels.goal)
        rows = torch.arange(len(levels))
        after = [world.step(torch.full((len(levels),), action)).agent for action in range(4)]
        return -torch.stack([counts[rows, at[:, 0], at[:, 1]] for at in after], 1).float()

    world = levels
    fewest = step_counts(levels.walls, levels.goal)[torch.arange(200), levels.agent[:, 0], levels.agent[:, 1]]

    def follow(seen, hook):
        nonlocal world
        at = seen[:, 2].nonzero()[:, 1:]
        world = type(levels)(levels.walls, levels.goal, at)

    with agent.hooks(fwd_hooks=[("hook_input", follow), ("hook_logits", to_the_goal)]):
        visit = play(agent, levels)
    assert visit.arrived.all() and torch.equal(visit.steps, fewest)
    assert torch.equal(visit.positions[:, 0], levels.agent)
    assert torch.equal(visit.positions[:, -1], levels.goal)
    assert not play(agent, levels, max_steps=1).positions[:, 1:].isnan().any()


def test_drawn_actions_follow_their_seed():
    levels, agent = random_levels(50, seed=0), GridAgent()
    first, again, other = (play(agent, levels, seed=seed, max_steps=10) for seed in (0, 0, 1))
    assert torch.equal(first.positions, again.positions)
    assert not torch.equal(first.positions, other.positions)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: DigitsCNN()(torch.zeros(2, 783)), r"\[batch, 1, 28, 28\] or \[batch, 784\]"),
        (lambda: GridAgent()(torch.zeros(2, 3, 8, 8)), r"reads \[batch, 3, 7, 7\]"),
        (lambda: DigitsCNNConfig(kernel=4), "odd side"),
        (lambda: GridAgentConfig(kernel=2), "odd side"),
        (lambda: DigitsCNNConfig(side=30), "cannot be halved 2 times"),
        (lambda: GridAgentConfig(d_hidden=0), "at least 1"),
    ],
)
def test_wrong_shapes_are_explained(make, words):
    with pytest.raises(ValueError, match=words):
        make()


@pytest.mark.parametrize("model", [DigitsCNN(), GridAgent()])
@pytest.mark.parametrize(
    "use",
    [
        lambda model: model.cfg,
        lambda model: model.to_tokens("hello"),
        lambda model: model.W_E,
    ],
)
def test_what_needs_a_transformer_says_so(model, use):
    with pytest.raises(AttributeError, match="not a transformer: run_with_cache, run_with_hooks"):
        use(model)


@pytest.mark.parametrize("model", [DigitsCNN(), GridAgent()])
def test_a_technique_for_transformers_names_the_model(model):
    with pytest.raises(ms.arguments.WrongArgumentError, match=f"not a {type(model).__name__}"):
        ms.discover(model, None)


def test_a_misspelt_name_is_suggested():
    with pytest.raises(AttributeError, match="Did you mean run_with_cache?"):
        _ = DigitsCNN().run_with_cach
