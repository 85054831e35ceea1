"""The checks of unit 05."""

# Loops over cases run at least once.
# pyright: reportPossiblyUnboundVariable=false

from __future__ import annotations

import torch
from torch import Tensor

from mechscope.course.comparison import difference
from mechscope.course.kit import random_gpt
from mechscope.course.trial import CheckFailedError, Trial
from mechscope.course.units.sparse_autoencoders import reference

ERROR_LOST = (
    "You returned a reconstruction: what the autoencoder cannot rebuild is lost. "
    "That changes the model, too, and not because of this feature."
)


def _weights(trial: Trial, d_in: int, features: int) -> dict[str, Tensor]:
    W_dec = trial.normal(features, d_in)
    W_dec = W_dec / W_dec.norm(dim=-1, keepdim=True)
    return {
        "W_enc": W_dec.T + 0.2 * trial.normal(d_in, features),
        "b_enc": 0.3 * trial.normal(features),
        "W_dec": W_dec,
        "b_dec": 0.5 * trial.normal(d_in),
    }


def check_sae_forward(trial: Trial) -> None:
    for _ in range(2):
        d_in, features = trial.number(4, 8), trial.number(9, 14)
        x, weights = trial.normal(trial.number(5, 9), d_in), _weights(trial, d_in, features)
        l1 = float(trial.uniform(1, low=0.3, high=0.9))
        trial.compare(x, weights, l1, names=("the features", "the reconstruction", "the loss"))


def check_decoder_step(trial: Trial) -> None:
    for _ in range(2):
        W_dec = _weights(trial, trial.number(4, 8), trial.number(9, 14))["W_dec"]
        rate = float(trial.uniform(1, low=0.3, high=0.6))
        found = trial.compare(W_dec, trial.normal(*W_dec.shape), rate, what="the decoder")
        trial.require(
            torch.allclose(found.norm(dim=-1), torch.ones(len(found)), atol=1e-4),
            "the rows of the new decoder do not have length 1.",
        )


def check_sparse_activations(trial: Trial) -> None:
    for _ in range(2):
        batch, features = trial.number(4, 8), trial.number(9, 14)
        pre = trial.normal(batch, features)
        # One example has fewer positive values than k, and one feature has a high threshold.
        pre[0] = -pre[0].abs()
        pre[0, 0] = 1.0
        threshold = trial.uniform(features, low=0.2, high=1.0)
        trial.compare(
            pre, trial.number(2, 5), threshold, names=("the result of TopK", "the result of JumpReLU")
        )


def check_fold_normalisation(trial: Trial) -> None:
    for _ in range(2):
        d_in, features = trial.number(4, 8), trial.number(9, 14)
        weights = _weights(trial, d_in, features)
        x = float(trial.uniform(1, low=3, high=6)) * (trial.normal(trial.number(20, 40), d_in) + 0.5)
        trial.compare(x, weights, names=("the scale", "the weights"))


def check_resample_dead(trial: Trial) -> None:
    for _ in range(2):
        d_in, features = trial.number(4, 8), trial.number(10, 14)
        weights = _weights(trial, d_in, features)
        dead = torch.zeros(features, dtype=torch.bool)
        dead[torch.randperm(features, generator=trial.generator)[: trial.number(4, 6)]] = True
        weights["W_enc"][:, dead] *= 0.1
        x = trial.normal(trial.number(30, 50), d_in)
        errors = trial.uniform(len(x), high=3.0).square()
        trial.compare(weights, dead, x, errors, trial.number(0, 100), what="the weights")


def check_mmcs(trial: Trial) -> None:
    for _ in range(2):
        d_in, count = trial.number(6, 10), trial.number(8, 12)
        true = trial.normal(count, d_in)
        learned = torch.cat(
            [true[: count // 2] + 0.4 * trial.normal(count // 2, d_in), -true[-3:], trial.normal(6, d_in)]
        )
        learned = learned * trial.uniform(len(learned), 1, low=0.3, high=3)
        trial.compare(learned, true, what="the similarity")
    trial.require(
        abs(trial.call(3 * torch.cat([true, trial.normal(5, d_in)]), true) - 1) < 1e-4,
        "a dictionary that contains every true direction has the similarity 1, however many others it has.",
    )


def check_l0_and_fvu(trial: Trial) -> None:
    for _ in range(2):
        d_in, batch = trial.number(4, 8), trial.number(10, 20)
        x = trial.normal(batch, d_in) * trial.uniform(d_in, low=0.3, high=3) + 1
        features = (trial.normal(batch, trial.number(9, 14)) - 0.5).relu()
        trial.compare(features, x, x + 0.4 * trial.normal(batch, d_in), names=("L0", "FVU"))
    _, of_mean = trial.call(features, x, x.mean(0).expand_as(x))
    trial.require(
        abs(of_mean - 1) < 1e-4, "a reconstruction that is always the mean explains nothing: its FVU is 1."
    )


def check_loss_recovered(trial: Trial) -> None:
    for _ in range(2):
        model, layer = random_gpt(trial.seed), trial.number(0, 3)
        tokens = trial.whole(0, 17, 3, trial.number(5, 9))
        name = f"blocks.{layer}.mlp.hook_post"
        noise = 0.5 * trial.normal(model.cfg.d_mlp)
        mean = 2 * trial.normal(model.cfg.d_mlp)
        with torch.no_grad():
            trial.compare(
                model, tokens, name, lambda z, noise=noise: 0.7 * z + noise, mean, rtol=1e-3, what="the share"
            )
            perfect = trial.call(model, tokens, name, lambda z: z, mean)
        trial.require(
            abs(perfect - 1) < 1e-3, "an activation that is rebuilt perfectly recovers everything: 1."
        )


def check_top_contexts(trial: Trial) -> None:
    for _ in range(2):
        texts, size = trial.number(8, 12), trial.number(7, 11)
        tokens = trial.whole(0, 1000, texts, size)
        activations = trial.normal(texts, size).relu()
        # The most active text has the two largest activations; another is most active at its first token.
        order = torch.randperm(texts, generator=trial.generator).tolist()
        activations[order[0], size - 2 : size] = torch.tensor([9.0, 8.0])
        activations[order[1], 0] = 7
        trial.compare(tokens, activations, trial.number(4, 6), trial.number(2, 5), what="the token")


def check_score_explanation(trial: Trial) -> None:
    for _ in range(2):
        tokens = trial.whole(0, 12, trial.number(30, 40), 20)
        cause = trial.number(0, 12)
        missed = trial.uniform(*tokens.shape) < 0.3
        others = trial.uniform(*tokens.shape) < 0.08
        active = ((tokens == cause) & ~missed) | others
        shown = torch.randperm(len(tokens), generator=trial.generator)[: trial.number(8, 12)].tolist()
        # Where it was found, the explanation is right without exception.
        active[shown] = tokens[shown] == cause
        activations = active * trial.uniform(*tokens.shape, low=0.5, high=3)
        trial.compare(lambda seen, cause=cause: seen == cause, tokens, activations, shown, what="the score")


def check_steer(trial: Trial) -> None:
    for _ in range(2):
        d_in, features = trial.number(4, 8), trial.number(9, 14)
        weights = _weights(trial, d_in, features)
        x = trial.normal(trial.number(5, 9), d_in)
        feature = int(reference.sae_forward(x, weights, 0.0)[0].sum(0).argmax())
        trial.compare(
            x, weights, feature, float(trial.uniform(1, low=2, high=5)), what="the steered activation"
        )
    before = float(reference.sae_forward(x[:1], weights, 0.0)[0][0, feature])
    same = trial.call(x[:1], weights, feature, before)
    if problem := difference(
        same, x[:1], 1e-4, 1e-4, "an activation whose feature is set to the value that it has"
    ):
        raise CheckFailedError(problem, ERROR_LOST)


def check_probe_against_feature(trial: Trial) -> None:
    for _ in range(3):
        d_in, count, n_train = trial.number(8, 12), trial.number(14, 20), trial.number(60, 90)
        strengths = (trial.uniform(n_train + 300, count) < 0.3) * trial.uniform(
            n_train + 300, count, low=0.5, high=1.5
        )
        x = strengths @ trial.normal(count, d_in) + 0.3 * trial.normal(n_train + 300, d_in)
        noisy = (strengths + 0.35 * trial.normal(*strengths.shape)).relu()
        # The concept lowers this feature. Others are large and say nothing.
        labels = strengths[:, 0] == 0
        noisy[:, 1] = 30 * noisy[:, 1]
        trial.compare(
            x, noisy, labels, n_train, names=("the accuracy of the probe", "the accuracy of the feature")
        )
