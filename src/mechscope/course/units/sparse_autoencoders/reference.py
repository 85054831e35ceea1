"""The solutions of unit 05."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

import mechscope as ms


def sae_forward(
    x: Float[Tensor, "batch d_in"], weights: dict[str, Tensor], l1: float
) -> tuple[Float[Tensor, "batch feature"], Float[Tensor, "batch d_in"], Float[Tensor, ""]]:
    """A sparse autoencoder: features, reconstruction and loss.

    The weights are W_enc [d_in, feature], b_enc [feature], W_dec [feature, d_in] and b_dec [d_in]. b_dec is subtracted
    from x first and added to the reconstruction at the end; the features are behind a ReLU. The loss is the squared
    error, summed over dimensions, plus l1 times the sum of the features, both averaged over the batch.
    """
    features = ((x - weights["b_dec"]) @ weights["W_enc"] + weights["b_enc"]).relu()
    reconstruction = features @ weights["W_dec"] + weights["b_dec"]
    loss = (x - reconstruction).square().sum(-1).mean() + l1 * features.sum(-1).mean()
    return features, reconstruction, loss


def decoder_step(
    W_dec: Float[Tensor, "feature d_in"], gradient: Float[Tensor, "feature d_in"], learning_rate: float
) -> Float[Tensor, "feature d_in"]:
    """One step of gradient descent for a decoder whose rows have length 1, and must keep it.

    Otherwise the penalty is cheated: features shrink while decoder rows grow. Remove from each row's gradient its part
    along the row, since that only changes the length; take the step; and scale each row to length 1 again.
    """
    gradient = gradient - (gradient * W_dec).sum(-1, keepdim=True) * W_dec
    W_dec = W_dec - learning_rate * gradient
    return W_dec / W_dec.norm(dim=-1, keepdim=True)


def sparse_activations(
    pre: Float[Tensor, "batch feature"], k: int, threshold: Float[Tensor, " feature"]
) -> tuple[Float[Tensor, "batch feature"], Float[Tensor, "batch feature"]]:
    """Two ways to make features sparse without a penalty: TopK and JumpReLU. Both leave what they keep unchanged.

    TopK keeps the k largest values of each example and sets the others to 0; what is negative among the k is set to 0
    as well. JumpReLU keeps the values above each feature's threshold (never negative) and sets the others to 0.
    """
    kept = pre.topk(k, dim=-1)
    top = torch.zeros_like(pre).scatter(-1, kept.indices, kept.values.relu())
    return top, pre * (pre > threshold)


def fold_normalisation(
    x: Float[Tensor, "batch d_in"], weights: dict[str, Tensor]
) -> tuple[float, dict[str, Tensor]]:
    """The scale of activations, and a dictionary for scaled activations rewritten for the unscaled ones.

    Layers differ in size; multiplied by one scale for all, their mean squared length is d_in, and the same penalty
    suits all of them. Return that scale for the activations x, and new weights. If the given autoencoder receives
    scale * x, the new one, given x itself, must have the same features, and its reconstruction must be the old one
    divided by scale.
    """
    scale = float((x.shape[-1] / x.square().sum(-1).mean()).sqrt())
    return scale, {
        "W_enc": weights["W_enc"] * scale,
        "b_enc": weights["b_enc"],
        "W_dec": weights["W_dec"] / scale,
        "b_dec": weights["b_dec"] / scale,
    }


def resample_dead(
    weights: dict[str, Tensor],
    dead: Bool[Tensor, " feature"],
    x: Float[Tensor, "batch d_in"],
    errors: Float[Tensor, " batch"],
    seed: int,
) -> dict[str, Tensor]:
    """Restart features that never fire from inputs that are badly reconstructed. (Bricken et al. 2023)

    errors[i] is the squared error of input i. Draw one input per dead feature with probability proportional to the
    square of its error: torch.multinomial(errors.square(), number, replacement=True,
    generator=torch.Generator().manual_seed(seed)). Its direction from b_dec, at length 1, becomes the decoder row; the
    same direction, at a fifth of the mean length of the living features' encoder columns, becomes the encoder column.
    The encoder bias becomes 0. Living features stay as they are.
    """
    drawn = torch.multinomial(
        errors.square(), int(dead.sum()), replacement=True, generator=torch.Generator().manual_seed(seed)
    )
    directions = x[drawn] - weights["b_dec"]
    directions = directions / directions.norm(dim=-1, keepdim=True)
    new = {name: weight.clone() for name, weight in weights.items()}
    new["W_dec"][dead] = directions
    new["W_enc"][:, dead] = 0.2 * weights["W_enc"][:, ~dead].norm(dim=0).mean() * directions.T
    new["b_enc"][dead] = 0
    return new


def mmcs(learned: Float[Tensor, "feature d_in"], true: Float[Tensor, "true_feature d_in"]) -> float:
    """The mean maximum cosine similarity: how well the true directions were found, on average.

    For each true direction, take the largest cosine with any learned direction; then the mean over the true ones. The
    rows of neither need have length 1. The sign of a direction matters.
    """
    learned = learned / learned.norm(dim=-1, keepdim=True)
    true = true / true.norm(dim=-1, keepdim=True)
    return float((true @ learned.T).amax(-1).mean())


def l0_and_fvu(
    features: Float[Tensor, "batch feature"],
    x: Float[Tensor, "batch d_in"],
    reconstruction: Float[Tensor, "batch d_in"],
) -> tuple[float, float]:
    """How sparse and how faithful: L0 and the fraction of variance unexplained (FVU).

    L0 is the mean number of features of an example that are not 0. FVU is the sum of all squared errors divided by the
    sum of all squared differences of x from its mean over the batch.
    """
    errors = (x - reconstruction).square().sum()
    return float((features != 0).float().sum(-1).mean()), float(errors / (x - x.mean(0)).square().sum())


def loss_recovered(
    model: ms.HookedTransformer,
    tokens: Int[Tensor, "batch pos"],
    name: str,
    rebuild: Callable[[Tensor], Tensor],
    mean: Float[Tensor, " d_in"],
) -> float:
    """The share of a layer's contribution to the predictions that survives when it is rebuilt by an autoencoder.

    Measure the model's loss, model(tokens, return_type="loss"), three times: as it is, with the activation at the hook
    point `name` replaced by rebuild(activation), and with it replaced by `mean` at every position. The answer is 1 if
    rebuilding costs nothing, and 0 if it costs as much as the mean does. (model.run_with_hooks(tokens,
    return_type="loss", fwd_hooks=[(name, function)]), where function takes an activation and a keyword `hook`.)
    """

    def loss(replace: Callable[[Tensor], Tensor]) -> float:
        hooks = [(name, lambda activation, hook: replace(activation))]
        return float(model.run_with_hooks(tokens, return_type="loss", fwd_hooks=hooks))

    clean = float(model(tokens, return_type="loss"))
    spliced, ablated = loss(rebuild), loss(lambda activation: mean.expand_as(activation))
    return (ablated - spliced) / (ablated - clean)


def top_contexts(
    tokens: Int[Tensor, "text pos"], activations: Float[Tensor, "text pos"], count: int, before: int
) -> Int[Tensor, "count window"]:
    """Where a feature is most active: for each of `count` texts, its most active token and the tokens before it.

    Take each text once, at its largest activation, and order the texts by it, largest first. A row holds `before`
    tokens and then the active token itself; where the text has not begun yet, it holds -1.
    """
    largest, positions = activations.max(-1)
    rows: list[Tensor] = []
    for text in largest.argsort(descending=True)[:count].tolist():
        padded = torch.cat([tokens.new_full((before,), -1), tokens[text]])
        end = int(positions[text]) + before + 1
        rows.append(padded[end - before - 1 : end])
    return torch.stack(rows)


def score_explanation(
    explain: Callable[[Tensor], Tensor],
    tokens: Int[Tensor, "text pos"],
    activations: Float[Tensor, "text pos"],
    shown: list[int],
) -> float:
    """How well an explanation predicts, on held-out text, where a feature is active: its balanced accuracy.

    explain(tokens) says for each token [text pos] whether the feature should be active there (True or False). It is
    active where the activation is above 0. The texts in `shown` were used to find the explanation, and do not count.
    Balanced accuracy is the mean of two shares: of the active tokens, those that were predicted to be active; and of
    the inactive ones, those that were predicted to be inactive. Always saying "inactive" then scores 0.5.
    """
    held_out = torch.ones(len(tokens), dtype=torch.bool)
    held_out[shown] = False
    predicted, active = explain(tokens)[held_out], activations[held_out] > 0
    return float((predicted[active].float().mean() + (~predicted[~active]).float().mean()) / 2)


def steer(
    x: Float[Tensor, "batch d_in"], weights: dict[str, Tensor], feature: int, value: float
) -> Float[Tensor, "batch d_in"]:
    """The activations with one feature set to `value`, and everything else as it was.

    Everything else includes what the autoencoder fails to reconstruct: add to x what changes in its reconstruction.
    """
    features, _, _ = sae_forward(x, weights, 0.0)
    return x + (value - features[:, feature, None]) * weights["W_dec"][feature]


def probe_against_feature(
    x: Float[Tensor, "example d_in"],
    features: Float[Tensor, "example feature"],
    labels: Bool[Tensor, " example"],
    n_train: int,
) -> tuple[float, float]:
    """How well a concept is read by a linear probe, and by the single best feature: accuracies on held-out examples.

    The first n_train examples are for training, the others for testing. The probe is least squares (torch.linalg.lstsq)
    from x, with a column of ones appended, to +1 for True and -1 for False; it says True above 0. The best feature is
    the one whose means over the true and over the false training examples lie furthest apart, in either direction,
    relative to its standard deviation over the training examples (no feature is constant). It says True on the side of
    the mean of the true examples, the boundary being half-way between the two means.
    """
    train, test = slice(n_train), slice(n_train, None)
    with_one = torch.cat([x, torch.ones(len(x), 1)], 1)
    target = 2 * labels[train].float() - 1
    direction = torch.linalg.lstsq(with_one[train], target[:, None]).solution[:, 0]
    probe = ((with_one[test] @ direction > 0) == labels[test]).float().mean()
    seen = features[train]
    yes, no = seen[labels[train]].mean(0), seen[~labels[train]].mean(0)
    best = int(((yes - no).abs() / seen.std(0)).argmax())
    above = features[test, best] > (yes[best] + no[best]) / 2
    says = above if yes[best] > no[best] else ~above
    return float(probe), float((says == labels[test]).float().mean())
