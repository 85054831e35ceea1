"""Demos of the section on probability, loss and training."""

from __future__ import annotations

import numpy as np
import torch

import mechscope as ms
from mechscope import viz
from mechscope.data.repeated_tokens import repeated_twice
from mechscope.pages.figures import PageFigure
from mechscope.viz import Marker

TEXT = "The captain came on deck and looked at the sea. The men were asleep, and there was no wind."


def softmax() -> PageFigure:
    """One score rises; every probability moves, although no other score did."""
    score = torch.linspace(-4, 6, 51)
    others = torch.tensor([1.0, 0.0])
    scores = torch.cat([score[:, None], others.expand(len(score), 2)], dim=1)
    probabilities = scores.softmax(dim=1)
    figure = viz.curves(
        score,
        {
            "A (its score is varied)": probabilities[:, 0],
            "B (score 1)": probabilities[:, 1],
            "C (score 0)": probabilities[:, 2],
        },
        title="Three scores compete for one probability",
        x_title="score of A",
        y_title="probability",
    )
    start, end = probabilities[0, 1], probabilities[-1, 1]
    caption = (
        f"B's score is always 1, but its probability falls from {start:.2f} to {end:.3f} as A rises. "
        f"B stays {probabilities[25, 1] / probabilities[25, 2]:.2f} times as likely as C throughout: e to the power "
        "of their difference."
    )
    return PageFigure("softmax", figure, caption)


def logit() -> PageFigure:
    """The logit of the predicted token as a sum over what each part wrote."""
    model = ms.load_model("mini-gelu-2l")
    with torch.no_grad():
        logits, cache = model.run_with_cache(TEXT[:40])
    token = int(logits[0, -1].argmax())
    parts, names = cache.decompose_resid(pos_slice=-1, return_labels=True)
    written = cache.logit_attrs(parts, token, pos_slice=-1)[:, 0].detach().tolist()
    constant = float((model.ln_final.b @ model.W_U + model.b_U).detach()[token])
    figure = viz.bars(
        [*names, "constant", "sum"],
        {"contribution": [*written, constant, sum(written) + constant]},
        title=f"The logit of {model.to_string([token])!r} is a sum",
        x_title="part of the model",
        y_title="contribution to the logit",
        number_format=".2f",
    )
    caption = (
        f"The contributions add up to {sum(written) + constant:.3f}; the model's own logit is "
        f"{float(logits[0, -1, token]):.3f}. No such sum exists for probabilities."
    )
    return PageFigure("logit", figure, caption)


def entropy() -> PageFigure:
    """How decided a model is at each position of a text."""
    model = ms.load_model("mini-gelu-4l")
    log_p = model(TEXT)[0, :-1].log_softmax(dim=-1).detach()
    values = -(log_p.exp() * log_p).sum(-1)
    figure = viz.curves(
        range(len(values)),
        {"entropy": values},
        title="How undecided is the model about the next token?",
        x_title="position",
        y_title="entropy of the prediction (nats)",
        markers=[Marker(float(np.log(model.cfg.d_vocab)), "all tokens equally likely", axis="y")],
        points=True,
    )
    low, high = int(values.argmin()), int(values.argmax())
    tokens = model.to_str_tokens(TEXT)
    caption = (
        f"After {tokens[low]!r} at position {low} it is {values[low]:.2f} nats, as if "
        f"{values[low].exp():.1f} tokens were equally likely; after {tokens[high]!r} at position {high}, "
        f"{values[high]:.2f} nats or {values[high].exp():.0f} tokens."
    )
    return PageFigure("entropy", figure, caption)


def cross_entropy() -> PageFigure:
    """The loss of every token, beside the mean that is usually reported."""
    model = ms.load_model("mini-gelu-4l")
    loss = model(TEXT, return_type="loss", loss_per_token=True)[0].detach()
    guessing = float(np.log(model.cfg.d_vocab))
    figure = viz.curves(
        range(1, len(loss) + 1),
        {"loss": loss},
        title="One mean hides very different tokens",
        x_title="position of the predicted token",
        y_title="loss (nats)",
        markers=[Marker(float(loss.mean()), "mean", axis="y"), Marker(guessing, "guessing", axis="y")],
        points=True,
    )
    caption = (
        f"The mean loss is {loss.mean():.2f} nats, where guessing costs {guessing:.2f}. Single tokens range from "
        f"{loss.min():.2f} to {loss.max():.2f}, and {int((loss > guessing).sum())} of {len(loss)} are worse "
        "than a guess."
    )
    return PageFigure("cross_entropy", figure, caption)


def kl_divergence() -> PageFigure:
    """The divergence between a model that recognises a repetition and one that cannot."""
    tokens = repeated_twice(16, 25, 500, torch.Generator().manual_seed(0))
    tokens[:, 0] = 0  # the BOS of these models
    one, two = (ms.load_model(f"mini-gelu-{layers}l")(tokens).detach() for layers in (1, 2))
    p, q = two.log_softmax(-1), one.log_softmax(-1)
    orders = {
        "D(two layers ‖ one layer)": (p.exp() * (p - q)).sum(-1).mean(0),
        "D(one layer ‖ two layers)": (q.exp() * (q - p)).sum(-1).mean(0),
    }
    figure = viz.curves(
        range(tokens.shape[1]),
        orders,
        title="One pair of models, two divergences",
        x_title="position",
        y_title="mean KL divergence (nats)",
        markers=[Marker(26, "the copy begins")],
    )
    first, second = (float(order[26:-1].mean()) for order in orders.values())
    before = max(float(order[:25].mean()) for order in orders.values())
    caption = (
        f"Before the copy both orders give at most {before:.2f} nats on average. In the copy, where the model with two "
        f"layers is sure and the other guesses, one order gives {first:.1f} nats and the other {second:.1f}."
    )
    return PageFigure("kl_divergence", figure, caption)


def overfitting() -> PageFigure:
    """Polynomials of growing degree through twelve noisy points of a line."""
    rng = np.random.default_rng(0)
    x, fresh = np.linspace(-1, 1, 12), np.linspace(-0.95, 0.95, 200)
    y, truth = x + rng.normal(0, 0.3, 12), fresh + rng.normal(0, 0.3, 200)
    degrees = range(10)
    fits = [np.polynomial.Polynomial.fit(x, y, degree) for degree in degrees]
    seen = [float(np.mean((fit(x) - y) ** 2)) for fit in fits]
    unseen = [float(np.mean((fit(fresh) - truth) ** 2)) for fit in fits]
    figure = viz.curves(
        degrees,
        {"the 12 points of the fit": seen, "200 fresh points": unseen},
        title="More freedom always helps on the points that were fitted",
        x_title="degree of the polynomial",
        y_title="mean squared error",
        markers=[Marker(0.09, "the noise itself", axis="y")],
        points=True,
    )
    caption = (
        f"From degree 1 to 9 the error on the fitted points falls from {seen[1]:.3f} to {seen[9]:.3f}; on fresh points "
        f"it rises from {unseen[1]:.3f} to {unseen[9]:.3f}. The truth is a line."
    )
    return PageFigure("overfitting", figure, caption)


GROKKING_EPOCHS = (
    0,
    200,
    400,
    1000,
    2000,
    2800,
    3800,
    4800,
    5800,
    6600,
    7000,
    7400,
    7600,
    8200,
    8800,
    9800,
    11900,
)


def weight_decay() -> PageFigure:
    """How the weights of a grokking network grow while it memorises, and shrink afterwards."""
    norms = []
    for epoch in GROKKING_EPOCHS:
        model = ms.load_model("grokking-p113", checkpoint_value=epoch)
        norms.append(float(sum(w.detach().square().sum() for w in model.parameters())) ** 0.5)
    figure = viz.curves(
        GROKKING_EPOCHS,
        {"all weights": norms},
        title="The weights of a network that groks",
        x_title="epoch",
        y_title="length of the vector of all weights",
        markers=[Marker(200, "memorised"), Marker(7700, "generalises")],
        points=True,
    )
    caption = (
        f"Memorising makes the weights grow from {norms[0]:.0f} to {norms[1]:.0f}. Decay then shrinks them for "
        "thousands of epochs, and fastest around epoch 7,700, when the rule has made the memory superfluous: to "
        f"{norms[13]:.0f} at epoch 8,200 and {norms[-1]:.0f} at the end."
    )
    return PageFigure("weight_decay", figure, caption)


def phase_transition() -> PageFigure:
    """Accuracy and the probability of the right answer, checkpoint by checkpoint, in a network that groks."""
    pairs = torch.randint(0, 113, (400, 2), generator=torch.Generator().manual_seed(0))
    tokens = torch.cat([pairs, torch.full((400, 1), 113)], dim=1)
    sums = pairs.sum(1) % 113
    accuracy, probability = [], []
    for epoch in GROKKING_EPOCHS:
        logits = ms.load_model("grokking-p113", checkpoint_value=epoch)(tokens)[:, -1].detach()
        accuracy.append(float((logits.argmax(-1) == sums).float().mean()))
        # The geometric mean: e to the power of minus the loss.
        probability.append(float(logits.log_softmax(-1).gather(1, sums[:, None]).mean().exp()))
    figure = viz.curves(
        GROKKING_EPOCHS,
        {"accuracy": accuracy, "probability (geometric mean)": probability},
        title="A network that groks, on pairs of which 30 % were trained",
        x_title="epoch",
        y_title="share, or probability of the right answer",
        points=True,
    )
    before, after = GROKKING_EPOCHS.index(5800), GROKKING_EPOCHS.index(7600)
    caption = (
        f"In the first 5,800 epochs accuracy rises from {accuracy[0]:.0%} to {accuracy[before]:.0%}, in the next 1,800 "
        f"to {accuracy[after]:.0%}. The probability tells another story: {probability[1]:.0e} at epoch 200, "
        f"{probability[before]:.0e} at 5,800 and {probability[after]:.2f} at 7,600."
    )
    return PageFigure("phase_transition", figure, caption)


def seed_variance() -> PageFigure:
    """Does neuron 17 of one seed do what neuron 17 of another does?"""
    written = []
    for name in ("mini-gelu-1l", "mini-gelu-1l-seed1"):
        model = ms.load_model(name)
        logits = (
            model.W_out[0] * model.ln_final.w @ model.W_U
        ).detach()  # what each neuron writes, in logits
        written.append(torch.nn.functional.normalize(logits - logits.mean(-1, keepdim=True), dim=1))
    cosines = written[0] @ written[1].T
    same, best = cosines.diagonal(), cosines.max(dim=1).values
    shuffle = torch.randperm(model.cfg.d_vocab, generator=torch.Generator().manual_seed(0))
    chance = (written[0] @ written[1][:, shuffle].T).max(dim=1).values  # the same numbers at other tokens
    figure = viz.curves(
        range(len(same)),
        {
            "same number": same.sort().values,
            "best match": best.sort().values,
            "best match by chance": chance.sort().values,
        },
        title="Neurons of one model, compared with those of a second seed",
        x_title="neuron of seed 0, in order of the cosine",
        y_title="cosine of what both write to the logits",
        markers=[Marker(0.0, "unrelated", axis="y")],
    )
    caption = (
        f"Neurons with the same number have a mean cosine of {same.mean():.2f}: the number means nothing. The best "
        f"match has {best.mean():.2f} on average, where chance gives {chance.mean():.2f}, so what neurons do returns "
        "in part."
    )
    return PageFigure("seed_variance", figure, caption)
