"""The fast full-batch step equals the plain transformer's, and an interrupted training continues exactly."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import torch

from mechscope.labs.grokking import ModelConfig, hand_wired_addition
from mechscope.labs.grokking import training as training_module
from mechscope.labs.grokking.full_batch import TRAINED, FullBatch, Weights, plain_loss, run_pairs
from mechscope.labs.grokking.pairs import Pairs, all_pairs, split_pairs
from mechscope.labs.grokking.training import initial_weights, is_settled, to_transformer, train_model
from mechscope.model.transformer import HookedTransformer
from mechscope.runs import Workspace

TINY = ModelConfig(
    p=7,
    fraction=0.6,
    d_model=12,
    n_heads=3,
    d_mlp=20,
    epochs=40,
    look_every=5,
    keep_every=10,
    settled=0,
    settled_over=5,
)


def random_model(config: ModelConfig, seed: int) -> tuple[HookedTransformer, Weights]:
    """A float64 transformer with random biases too, and the same weights as leaves."""
    generator = torch.Generator().manual_seed(seed)
    model = HookedTransformer(config.transformer_config(seed)).double()
    with torch.no_grad():
        for name in ("b_in", "b_out"):
            bias = getattr(model.blocks[0].mlp, name)
            bias.copy_(torch.randn(bias.shape, generator=generator) / 4)
    state = model.state_dict()
    return model, {name: state[name].detach().clone().requires_grad_() for name in TRAINED}


def plain_step(model: HookedTransformer, pairs: Pairs) -> torch.Tensor:
    """The same loss by the plain transformer, its gradients in place."""
    loss = torch.nn.functional.cross_entropy(model(pairs.tokens())[:, -1], pairs.answer)
    loss.backward()
    return loss


@pytest.mark.parametrize(
    ("config", "seed"), [(TINY, 0), (TINY, 1), (TINY, 2), (ModelConfig(p=5, d_model=8, d_mlp=6), 3)]
)
def test_loss_and_every_gradient_are_the_plain_transformers(config: ModelConfig, seed: int) -> None:
    train, _ = split_pairs(config.p, config.n_train, seed)
    model, weights = random_model(config, seed)
    loss = FullBatch(train).loss(weights)
    loss.backward()
    expected = plain_step(model, train)
    torch.testing.assert_close(loss, expected, rtol=1e-13, atol=0)
    plain = dict(model.named_parameters())
    for name in TRAINED:
        torch.testing.assert_close(weights[name].grad, plain[name].grad, rtol=1e-10, atol=1e-15)


def test_at_the_papers_size_too() -> None:
    config = ModelConfig()
    train, test = split_pairs(config.p, config.n_train, 0)
    assert (len(train), len(test)) == (3830, 8939)
    model, weights = random_model(config, 0)
    loss = FullBatch(train).loss(weights)
    loss.backward()
    torch.testing.assert_close(loss, plain_step(model, train), rtol=1e-13, atol=0)
    plain = dict(model.named_parameters())
    for name in TRAINED:
        torch.testing.assert_close(weights[name].grad, plain[name].grad, rtol=1e-9, atol=1e-15)


def test_buffers_are_not_mixed_up_between_steps() -> None:
    train, _ = split_pairs(7, 29, 0)
    _, first = random_model(TINY, 0)
    _, second = random_model(TINY, 1)
    batch = FullBatch(train)
    losses = batch.loss(first), batch.loss(second)
    (losses[0] + 2 * losses[1]).backward()
    for weights, loss, factor in ((first, losses[0], 1), (second, losses[1], 2)):
        alone = {name: tensor.detach().clone().requires_grad_() for name, tensor in weights.items()}
        own = FullBatch(train).loss(alone)
        own.backward()
        # In float64. Buffers at other addresses may be summed in another order.
        torch.testing.assert_close(own, loss, rtol=1e-13, atol=0)
        for name in TRAINED:
            torch.testing.assert_close(weights[name].grad, factor * alone[name].grad)


def test_tiny_losses_keep_their_gradients_in_single_precision() -> None:
    """Below 1e-7 a float32 probability is 1, and a naive gradient would be 0."""
    config = ModelConfig(p=7, d_model=16, d_mlp=40)
    weights = hand_wired_addition(config, [1, 2])
    pairs = all_pairs(7)
    best = run_pairs(weights, pairs).logits.topk(2).values
    weights["unembed.W_U"] *= 20 / float((best[:, 0] - best[:, 1]).min())
    single = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    loss = FullBatch(pairs).loss(single)
    loss.backward()
    assert 0 < float(loss.detach()) < 1e-7
    model = to_transformer(config, weights).double()
    torch.testing.assert_close(loss, plain_step(model, pairs), rtol=1e-3, atol=0)
    expected = model.unembed.W_U.grad
    found = single["unembed.W_U"].grad.double()
    assert float((found - expected).norm() / expected.norm()) < 1e-3
    assert float(expected.norm()) > 0


def test_activations_at_equals_are_those_of_the_transformer() -> None:
    model, weights = random_model(TINY, 4)
    pairs = all_pairs(7)
    found = run_pairs(weights, pairs)
    logits, cache = model.run_with_cache(pairs.tokens())
    torch.testing.assert_close(found.logits, logits[:, -1])
    torch.testing.assert_close(found.neurons, cache["blocks.0.mlp.hook_post"][:, -1])
    pattern = cache["blocks.0.attn.hook_pattern"][:, :, -1]
    torch.testing.assert_close(found.pattern, pattern.permute(2, 0, 1))
    expected = torch.nn.functional.cross_entropy(logits[:, -1], pairs.answer)
    torch.testing.assert_close(plain_loss(found.logits, pairs.answer), expected)


def test_forty_steps_are_forty_plain_steps() -> None:
    """Errors would add up; in float64, because AdamW blows up the rounding of gradients that are zero."""
    train, _ = split_pairs(7, 29, 3)
    model, weights = random_model(TINY, 3)
    plain = dict(model.named_parameters())
    options = {"lr": 1e-2, "betas": (0.9, 0.98), "weight_decay": 1.0}
    ours = torch.optim.AdamW(list(weights.values()), fused=True, **options)
    theirs = torch.optim.AdamW([plain[name] for name in TRAINED], **options)
    batch = FullBatch(train)
    for _ in range(40):
        ours.zero_grad()
        theirs.zero_grad()
        batch.loss(weights).backward()
        plain_step(model, train)
        ours.step()
        theirs.step()
    for name in TRAINED:
        torch.testing.assert_close(weights[name], plain[name], rtol=1e-6, atol=1e-8)


def test_the_training_itself_takes_these_steps(tmp_path: Path) -> None:
    """Against an optimizer without shortcuts, on weights whose gradients are not about zero at first."""
    config = dataclasses.replace(TINY, epochs=5)
    trained = train_model(workspace(tmp_path), config, 3, "run")
    model = HookedTransformer(config.transformer_config(3))
    plain = dict(model.named_parameters())
    optimizer = torch.optim.AdamW(
        [plain[name] for name in TRAINED], betas=(0.9, 0.98), weight_decay=1.0, foreach=False
    )
    start = {name: plain[name].detach().clone() for name in TRAINED}
    for epoch in range(5):
        optimizer.param_groups[0]["lr"] = 1e-3 * (epoch + 1) / config.warm_up
        optimizer.zero_grad()
        plain_step(model, trained.train)
        optimizer.step()
    for name in TRAINED:
        way, error = (trained.weights[name] - start[name]), (trained.weights[name] - plain[name].detach())
        assert float(error.norm()) < 1e-2 * float(way.norm()), name


def workspace(folder: Path, **options) -> Workspace:
    return Workspace(TINY, (0,), torch.device("cpu"), folder, **options)


def test_an_interrupted_training_continues_as_if_nothing_had_happened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = train_model(workspace(tmp_path / "whole"), TINY, 0, "run")
    real, calls = FullBatch.loss, []

    def killed_at_twenty_three(self: FullBatch, weights: Weights) -> torch.Tensor:
        calls.append(None)
        if len(calls) == 23:
            raise KeyboardInterrupt
        return real(self, weights)

    monkeypatch.setattr(training_module.FullBatch, "loss", killed_at_twenty_three)
    with pytest.raises(KeyboardInterrupt):
        train_model(workspace(tmp_path / "stopped", save_every=0), TINY, 0, "run")
    resumed = train_model(workspace(tmp_path / "stopped", save_every=0), TINY, 0, "run")
    assert len(calls) == 40 + 1
    assert resumed.kept_epochs.tolist() == [0, 10, 20, 30, 40]
    assert resumed.history.epoch.tolist() == list(range(0, 41, 5))
    for name in TRAINED:
        assert whole.weights[name].equal(resumed.weights[name]), name
        assert whole.kept[name].equal(resumed.kept[name]), name
    for name, curve in vars(whole.history).items():
        assert curve.equal(getattr(resumed.history, name)), name
    assert not list((tmp_path / "stopped").glob("*unfinished*"))


def evaluations(
    squares: list[float], *, accuracy: float = 1.0, **changes: list[float]
) -> list[dict[str, torch.Tensor]]:
    """One evaluation after another; all measures are flat except those that are given."""
    rows = [
        {"squared_weights": value, "gini_embedding": 0.8, "gini_to_logits": 0.9, "test_accuracy": accuracy}
        for value in squares
    ]
    for name, values in changes.items():
        for row, value in zip(rows, values, strict=True):
            row[name] = value
    return [{name: torch.tensor(value) for name, value in row.items()} for row in rows]


def test_a_training_ends_when_the_clean_up_has() -> None:
    config = ModelConfig(look_every=50, settled=0.01, settled_over=100)
    assert is_settled(config, evaluations([900.0, 895.0, 892.0]))
    assert not is_settled(config, evaluations([900.0, 895.0]))  # not long enough
    assert not is_settled(config, evaluations([950.0, 900.0, 890.0]))  # still falling
    assert not is_settled(config, evaluations([890.0, 900.0, 950.0]))
    assert not is_settled(config, evaluations([900.0] * 3, gini_embedding=[0.7, 0.75, 0.8]))
    assert not is_settled(config, evaluations([900.0] * 3, gini_to_logits=[0.7, 0.75, 0.8]))
    # A plateau before grokking is not the end, nor is one that has grokked only just now.
    assert not is_settled(config, evaluations([900.0] * 3, accuracy=0.5))
    assert not is_settled(config, evaluations([900.0] * 3, test_accuracy=[0.9, 1.0, 1.0]))
    assert not is_settled(dataclasses.replace(config, settled=0), evaluations([900.0] * 3))
    # Only the last evaluations count.
    assert is_settled(config, evaluations([5000.0, 900.0, 900.0, 900.0]))


def test_trainings_end_early_only_if_they_should(tmp_path: Path) -> None:
    easy = dataclasses.replace(TINY, settled=1e9, epochs=40)
    trained = train_model(workspace(tmp_path), easy, 0, "run")
    assert trained.history.epoch.tolist()[-1] == 40  # it never grokked, so that nothing is settled
    low = dataclasses.replace(TINY, solved_loss=1e9)
    trained = train_model(workspace(tmp_path), low, 0, "other")
    assert trained.kept_epochs.tolist() == [0]


@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_the_loss_and_its_gradients_are_exact_on_either_side(scale: float) -> None:
    """Confident and right, confident and wrong, undecided: against float64 of the same float32 logits."""
    generator = torch.Generator().manual_seed(5)
    weights = {
        name: (scale if name == "unembed.W_U" else 1) * tensor
        for name, tensor in initial_weights(TINY, 5).items()
    }
    weights["unembed.W_U"] += scale * torch.randn(weights["unembed.W_U"].shape, generator=generator)
    pairs = all_pairs(7)
    leaves = {name: tensor.clone().requires_grad_() for name, tensor in weights.items()}
    loss = FullBatch(pairs).loss(leaves)
    loss.backward()
    model = to_transformer(TINY, weights).double()
    expected = plain_step(model, pairs)
    torch.testing.assert_close(loss, expected, rtol=1e-5, atol=0)
    plain = dict(model.named_parameters())
    for name in TRAINED:
        error = (leaves[name].grad.double() - plain[name].grad).norm()
        assert float(error) < 1e-4 * float(plain[name].grad.norm()), name


def test_checkpoints_are_those_of_the_training(tmp_path: Path) -> None:
    trained = train_model(workspace(tmp_path), TINY, 1, "run")
    first, last = trained.checkpoint(0), trained.checkpoint(-1)
    for name, tensor in initial_weights(TINY, 1).items():
        assert first[name].equal(tensor), name
        assert last[name].equal(trained.weights[name]), name
    assert float(trained.history.train_loss[-1]) < float(trained.history.train_loss[0])


@pytest.mark.parametrize("seed", range(3))
def test_the_split_is_one(seed: int) -> None:
    train, test = split_pairs(7, 20, seed)
    places = torch.cat([pairs.a * 7 + pairs.b for pairs in (train, test)])
    assert places.sort().values.equal(torch.arange(49))
    assert train.answer.equal((train.a + train.b) % 7)
    assert not split_pairs(7, 20, seed + 1)[0].a.equal(train.a)
    assert train.tokens()[0].tolist() == [int(train.a[0]), int(train.b[0]), 7]


@pytest.mark.parametrize("count", [0, 49])
def test_something_must_be_left_on_both_sides(count: int) -> None:
    with pytest.raises(ValueError, match=f"of 49 pairs, between 1 and 48 can be trained on.*not {count}"):
        split_pairs(7, count, 0)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"p": 8}, "odd"),
        ({"d_model": 10}, "cannot be divided evenly among 4 heads"),
        ({"keep_every": 30}, "keep_every=30 must be a multiple"),
        ({"settled_over": 70}, "settled_over=70"),
    ],
)
def test_settings_that_cannot_be(options: dict[str, int], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ModelConfig(**options)
