"""Mistakes in reading a model out, training it, sampling from it, and judging it."""

# Known mistakes have the parameters of the function that they are mistaken for.
# pyright: reportMissingParameterType=false

from __future__ import annotations

from typing import Any

import torch

from mechscope.course.trial import Mistake
from mechscope.course.units.transformer import reference

# Unembedding


def _no_norm(x, weights):
    return x @ weights["unembed.W_U"] + weights["unembed.b_U"]


def _no_bias(x, weights):
    return reference.unembed(x, {**weights, "unembed.b_U": torch.zeros_like(weights["unembed.b_U"])})


def _probabilities(x, weights):
    return reference.unembed(x, weights).softmax(-1)


def _log_probabilities(x, weights):
    return reference.unembed(x, weights).log_softmax(-1)


def _last_position(x, weights):
    return reference.unembed(x, weights)[:, -1]


# Training


def _trained(
    weights, n_layers, texts, rate, *, optimizer: Any = torch.optim.Adam, cleared=True, sign=1, after=False
):
    trained = {name: weight.detach().clone().requires_grad_() for name, weight in weights.items()}
    steps = optimizer(trained.values(), lr=rate)
    losses = []
    for tokens in texts:
        loss = sign * reference.language_model_loss(reference.gpt(tokens, trained, n_layers), tokens)
        if cleared:
            steps.zero_grad()
        loss.backward()
        steps.step()
        if after:
            loss = reference.language_model_loss(reference.gpt(tokens, trained, n_layers), tokens)
        losses.append(sign * loss.item())
    return {name: weight.detach() for name, weight in trained.items()}, losses


def _gradients_add_up(weights, n_layers, texts, rate):
    return _trained(weights, n_layers, texts, rate, cleared=False)


def _gradient_descent(weights, n_layers, texts, rate):
    return _trained(weights, n_layers, texts, rate, optimizer=torch.optim.SGD)


def _weight_decay(weights, n_layers, texts, rate):
    return _trained(weights, n_layers, texts, rate, optimizer=torch.optim.AdamW)


def _uphill(weights, n_layers, texts, rate):
    return _trained(weights, n_layers, texts, rate, sign=-1)


def _losses_after(weights, n_layers, texts, rate):
    return _trained(weights, n_layers, texts, rate, after=True)


def _new_optimizer_each_step(weights, n_layers, texts, rate):
    losses = []
    for tokens in texts:
        weights, (loss,) = reference.train(weights, n_layers, tokens[None], rate)
        losses.append(loss)
    return weights, losses


def _given_weights_returned(weights, n_layers, texts, rate):
    return weights, reference.train(weights, n_layers, texts, rate)[1]


def _trained_in_place(weights, n_layers, texts, rate):
    trained, losses = reference.train(weights, n_layers, texts, rate)
    for name, weight in weights.items():
        weight.copy_(trained[name])
    return trained, losses


# Sampling


def _always_the_likeliest(logits, temperature, top_k, top_p, count, seed):
    return logits.argmax().expand(count)


def _evenly(logits, temperature, top_k, top_p, count, seed):
    kept = (reference.next_token_probabilities(logits, temperature, top_k, top_p) > 0).float()
    return torch.multinomial(kept, count, replacement=True, generator=torch.Generator().manual_seed(seed))


def _anything(logits, temperature, top_k, top_p, count, seed):
    generator = torch.Generator().manual_seed(seed)
    return torch.multinomial((logits / temperature).softmax(-1), count, replacement=True, generator=generator)


def _without_temperature(logits, temperature, top_k, top_p, count, seed):
    return reference.sample(logits, 1.0, top_k, top_p, count, seed)


def _seed_ignored(logits, temperature, top_k, top_p, count, seed):
    probabilities = reference.next_token_probabilities(logits, temperature, top_k, top_p)
    return torch.multinomial(probabilities, count, replacement=True)


def _same_seed_always(logits, temperature, top_k, top_p, count, seed):
    return reference.sample(logits, temperature, top_k, top_p, count, 0)


def _places_among_the_kept(logits, temperature, top_k, top_p, count, seed):
    probabilities = reference.next_token_probabilities(logits, temperature, top_k, top_p)
    ordered = probabilities.sort(descending=True).values
    return torch.multinomial(ordered, count, replacement=True, generator=torch.Generator().manual_seed(seed))


GREEDY = (
    "Every draw is the likeliest token. Sampling takes the others, too, as often as their probabilities say."
)
EVENLY = "The tokens that are kept come equally often. Draw them with their probabilities."
RULED_OUT = "Draw from next_token_probabilities, which is 0 for tokens that top-k and top-p rule out."
NO_SEED = "The seed has no effect. Make torch.Generator().manual_seed(seed), and give it to the function that draws."
ONE_SEED = "Every seed gives the same tokens. Use the seed that you are given."
SHARES = (
    "The temperature or the order of the tokens may be wrong: token i of the answer is token i of the logits."
)

# The planted bug


def _blind_to(*bugs):
    """find_bug without the experiments for these bugs."""

    def wrong(suspect, weights, n_layers, tokens):
        found = reference.find_bug(suspect, weights, n_layers, tokens)
        return "none" if found in bugs else found

    return wrong


def _right_model_blamed(suspect, weights, n_layers, tokens):
    # Changing the first token changes everything after it in a right model, too.
    changed = tokens.clone()
    changed[:, 0] = (tokens[:, 0] + 1) % len(weights["embed.W_E"])
    one, other = suspect(tokens, weights, n_layers), suspect(changed, weights, n_layers)
    same = torch.allclose(one[:, -1], other[:, -1], atol=1e-3)
    return reference.find_bug(suspect, weights, n_layers, tokens) if same else "future"


CLUES = {
    "none": "This model is right, so one of your experiments blames a right model. Try each of them on your own gpt.",
    "future": "Change the last token: in a right model the logits before it stay as they are.",
    "positions": "Replace W_pos by zeros: in a right model the logits change.",
    "last norm": "Change ln_final.b: in a right model the logits change.",
    "last block": "Change weights of the last block: in a right model the logits change.",
    "mean": "Add the same number to every entry of W_E: LayerNorm subtracts the mean, so a right model stays the same.",
    "scale": "If nothing else is wrong, compare with your own gpt: a scale that is missing shows in the logits only.",
}
"""Bug → an experiment that finds it."""

MISTAKES = {
    "unembed": (
        Mistake(_no_norm, "The last LayerNorm, ln_final, is missing."),
        Mistake(_no_bias, "b_U is missing."),
        Mistake(_probabilities, "These are probabilities. Logits come before the softmax."),
        Mistake(_log_probabilities, "These are log-probabilities. Logits come before the softmax."),
        Mistake(_last_position, "This is the last position only. Every position predicts its next token."),
    ),
    "train": (
        Mistake(
            _gradients_add_up,
            "Gradients add up until they are cleared: call optimizer.zero_grad() in every step.",
        ),
        Mistake(
            _gradient_descent, "This is plain gradient descent (SGD). The exercise asks for torch.optim.Adam."
        ),
        Mistake(
            _weight_decay, "This is AdamW, which also makes all weights smaller. The exercise asks for Adam."
        ),
        Mistake(_uphill, "The loss went up: you followed the gradient instead of going against it."),
        Mistake(
            _losses_after,
            "These are the losses after each step. The loss before the step is the one you have.",
        ),
        Mistake(
            _new_optimizer_each_step,
            "Adam was made anew in each step, so that it forgot its averages. Make it once, before the loop.",
        ),
        Mistake(
            _given_weights_returned, "The losses are right, but you returned the weights that you were given."
        ),
        Mistake(_trained_in_place, "Your function changed its argument weights."),
    ),
    "sample": (
        Mistake(_always_the_likeliest, GREEDY),
        Mistake(_evenly, EVENLY),
        Mistake(_anything, RULED_OUT),
        Mistake(_without_temperature, SHARES),
        Mistake(_seed_ignored, NO_SEED),
        Mistake(_same_seed_always, ONE_SEED),
        Mistake(_places_among_the_kept, RULED_OUT),
    ),
    "find_bug": (
        Mistake(_right_model_blamed, CLUES["none"]),
        Mistake(lambda suspect, weights, n_layers, tokens: "none", CLUES["future"]),
        Mistake(_blind_to("positions"), CLUES["positions"]),
        Mistake(_blind_to("last norm"), CLUES["last norm"]),
        Mistake(_blind_to("last block"), CLUES["last block"]),
        Mistake(_blind_to("mean"), CLUES["mean"]),
        Mistake(_blind_to("scale"), CLUES["scale"]),
    ),
}
"""Exercise → its known mistakes."""
