"""Demos of the section "tasks"."""

import numpy as np
import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.labs.grokking.fourier_ablation import excluded_loss, restricted_loss
from mechscope.labs.grokking.pairs import Pairs, all_pairs
from mechscope.pages.figures import PageFigure

EPOCHS = (0, 200, 1000, 2000, 3800, 5800, 7000, 7600, 8800, 11900)
"""Some of the checkpoints of grokking-p113."""


def _logits(epoch: int, pairs: Pairs) -> torch.Tensor:
    """The logits of the 113 numbers after each pair, at one checkpoint."""
    model = ms.load_model("grokking-p113", checkpoint_value=epoch)
    with torch.no_grad():
        return torch.cat([model(tokens)[:, -1, :113] for tokens in pairs.tokens().split(1000)])


def modular_addition() -> PageFigure:
    """The logits of all answers to one question."""
    a, b, p = 50, 80, 113
    with torch.no_grad():
        logits = ms.load_model("grokking-p113")(torch.tensor([[a, b, p]]))[0, -1, :p]
    first, second = (int(x) for x in logits.topk(2).indices)
    figure = viz.curves(
        range(p),
        {f"after {a}, {b}, =": logits},
        title="How grokking-p113 answers 50 + 80 modulo 113",
        x_title="answer",
        y_title="logit",
        markers=[viz.Marker((a + b) % p, "right answer")],
    )
    caption = (
        f"The highest logit is that of {first}, the right answer. The waves are not noise: the model adds "
        "three cosines, "
        f"and they agree nowhere else. The runner-up, {second}, is "
        f"{float(logits[first] - logits[second]):.1f} logits below."
    )
    return PageFigure("modular_addition", figure, caption)


def grokking() -> PageFigure:
    """Accuracy on 1,000 pairs, most of them unseen, over training."""
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randint(0, 113, (2, 1000), generator=generator)
    pairs = Pairs(a, b, (a + b) % 113, 113)
    right = [float((_logits(epoch, pairs).argmax(1) == pairs.answer).float().mean()) for epoch in EPOCHS]
    figure = viz.curves(
        EPOCHS,
        {"accuracy": right},
        title="Grokking: accuracy of grokking-p113 during training",
        x_title="epoch",
        y_title="accuracy on random pairs",
        points=True,
    )
    late = next(epoch for epoch, value in zip(EPOCHS, right, strict=True) if value > 0.95)
    caption = (
        f"At epoch 200 the model has memorised its training pairs, 30 % of all, and is right on {right[1]:.0%} of all "
        "pairs. The rest "
        f"comes thousands of epochs later: at epoch {late:,} it is right on {right[EPOCHS.index(late)]:.0%}."
    )
    return PageFigure("grokking", figure, caption)


def fourier_basis() -> PageFigure:
    """The embedding of the numbers, read as waves."""
    shares = techniques.embedding_spectrum(ms.load_model("grokking-p113")).values
    keys = techniques.key_frequencies(shares.values)
    start = techniques.embedding_spectrum(ms.load_model("grokking-p113", checkpoint_value=0)).values
    figure = viz.curves(
        shares.coords["frequency"].values,
        {"trained": shares.values, "before training": start.values},
        title="Fourier spectrum of the number embedding of grokking-p113",
        x_title="frequency (turns over the 113 numbers)",
        y_title="share of variance",
    )
    caption = (
        f"After training a few frequencies hold nearly everything: the largest has {float(shares.max()):.0%} of the "
        f"variance, the largest before training {float(start.max()):.1%}. Peaks: {', '.join(map(str, keys))}."
    )
    return PageFigure("fourier_basis", figure, caption)


def restricted_and_excluded_loss() -> PageFigure:
    """Split the logits into the rule and the rest, before, during and after grokking."""
    pairs, keys, epochs = all_pairs(113), [1, 21, 49], (1000, 5800, 11900)
    losses: dict[str, list[float]] = {
        "whole model": [],
        "restricted: only the rule": [],
        "excluded: all but the rule": [],
    }
    for epoch in epochs:
        logits = _logits(epoch, pairs)
        table = logits.unflatten(0, (113, 113))
        found = (
            float(torch.nn.functional.cross_entropy(logits, pairs.answer)),
            restricted_loss(table, keys, pairs),
            excluded_loss(table, keys, pairs),
        )
        for values, loss in zip(losses.values(), found, strict=True):
            values.append(loss)
    figure = viz.bars(
        [f"{epoch:,}" for epoch in epochs],
        losses,
        title="The rule and the memory of grokking-p113, apart",
        x_title="epoch",
        y_title="loss over all pairs (nats)",
        number_format=".2f",
    )
    whole, restricted, excluded = losses.values()
    caption = (
        f"At epoch 5,800 the rule alone has a loss of {restricted[1]:.2f} where the whole model has "
        f"{whole[1]:.1f}: the "
        f"rule is there, and the memory drowns it. In the end the model without its rule has {excluded[-1]:.1f}, and "
        f"guessing would cost {np.log(113):.1f}."
    )
    return PageFigure("restricted_and_excluded_loss", figure, caption)


def clock_and_pizza() -> PageFigure:
    """The right answer's logit under both algorithms, by the difference of the two numbers."""
    p, k = 59, 7
    difference = torch.arange(p)
    clock = torch.ones(p)  # cos w(a+b-c) at the right answer, whatever a - b is
    pizza = (torch.pi * k * difference / p).cos().abs()  # the middle of two points shrinks as they move apart
    figure = viz.curves(
        difference,
        {"clock": clock, "pizza, one frequency": pizza},
        title=f"Logit of the right answer, frequency {k} of p = {p}",
        x_title="a − b modulo p",
        y_title="logit (largest is 1)",
    )
    caption = (
        f"The clock does not care how far a and b are apart. The pizza does: with one frequency its logit falls to "
        f"{float(pizza.min()):.2f} at a − b = {int(pizza.argmin())}, so it needs other frequencies there."
    )
    return PageFigure("clock_and_pizza", figure, caption)


def progress_measure() -> PageFigure:
    """Something that changes while accuracy does not."""
    spread = [
        techniques.gini(
            techniques.embedding_spectrum(
                ms.load_model("grokking-p113", checkpoint_value=epoch)
            ).values.values
        )
        for epoch in EPOCHS
    ]
    figure = viz.curves(
        EPOCHS,
        {"Gini coefficient": spread},
        title="How concentrated is the embedding's spectrum? (grokking-p113)",
        x_title="epoch",
        y_title="Gini coefficient (1: one frequency)",
        markers=[viz.Marker(7700, "grokked")],
        points=True,
    )
    caption = (
        f"The coefficient rises from {spread[0]:.2f} to {spread[5]:.2f} at epoch 5,800, while the model still fails on "
        f"new pairs, and ends at {spread[-1]:.2f}. Smooth progress lies behind the sudden step."
    )
    return PageFigure("progress_measure", figure, caption)


def dyck_language() -> PageFigure:
    """Follow a planted model through a string of brackets."""
    planted = ms.planted.load("dyck2")
    text = list("([])](")
    names = ("open", "balanced", "broken")
    with torch.no_grad():
        logits = planted.model(planted.encode([text]))[0, 1:]
    shares = logits[:, [planted.vocabulary.index(name) for name in names]].softmax(-1)
    answers = planted.run([text])[0][1:]
    figure = viz.heatmap(
        shares.T,
        title="What planted dyck2 says after each bracket",
        x_title="bracket",
        y_title="answer",
        unit="probability",
        x=[f"{i} {bracket}" for i, bracket in enumerate(text)],
        y=names,
    )
    caption = (
        f"Bracket {answers.index('balanced')} closes everything that was open. Bracket "
        f"{answers.index('broken')} closes "
        "nothing, and no later bracket can repair that."
    )
    return PageFigure("dyck_language", figure, caption)


def world_model() -> PageFigure:
    """Probe a planted model for a quantity that its input never states."""
    planted = ms.planted.load("histogram")
    tokens = planted.encode([[*row] for row in _random_rows(planted, 200)])
    counts = (tokens[:, :, None] == tokens[:, None, :]).tril().sum(-1)
    probes = techniques.linear_probe(
        planted.model, tokens, counts[:, -1].tolist(), positions=[-1], seeds=(0, 1), progress=False
    )
    scores = probes.scores.values.values[:, 0]
    figure = viz.bars(
        [f"after {layer} layers" for layer in range(len(scores))],
        {"accuracy": scores},
        title="How often has the last token occurred? A probe on planted histogram",
        x_title="residual stream",
        y_title="accuracy on held-out inputs",
    )
    caption = (
        f"The embedding of the last token does not say how often it has occurred ({scores[0]:.0%}); after the layer a "
        f"linear probe reads it off ({scores[-1]:.0%}). That it is present does not show yet that it is used."
    )
    return PageFigure("world_model", figure, caption)


def _random_rows(planted: ms.planted.PlantedModel, n: int) -> list[list[str]]:
    rng = np.random.default_rng(0)
    return rng.choice(planted.program.alphabet, (n, planted.program.length)).tolist()


def rasp_and_tracr() -> PageFigure:
    """Compile a program of two lines, and see its select statement as an attention pattern."""
    from mechscope.planted import aggregate, compile_program, positions, select, tokens

    before = select(positions, positions, lambda key, query: key == query - 2)
    compiled = compile_program(aggregate(before, tokens), vocab=["a", "b", "c"], length=8, name="two before")
    text = list("abccabac")
    _, cache = compiled.model.run_with_cache(compiled.encode([text]))
    pattern = cache["blocks.0.attn.hook_pattern"][0, 0]
    rows = torch.arange(3, len(pattern))
    figure = viz.attention_pattern(pattern, title="select(key == query − 2), compiled", tokens=["BOS", *text])
    caption = (
        f"The stripe two below the diagonal is the select statement: its smallest weight is "
        f"{float(pattern[rows, rows - 2].min()):.3f}. Where no key is selected, the head rests on BOS."
    )
    return PageFigure("rasp_and_tracr", figure, caption)


def planted_model() -> PageFigure:
    """Let a method rank the edges of every model whose truth is known."""
    programs = ("induction", "ioi", "duplicate_token")
    scores = []
    for program in programs:
        planted = ms.planted.load(program, extra_heads=2, noise=0.01, seed=1)
        found = ms.discover(planted.model, planted.task(8), method="eap", progress=False)
        scores.append(found.compare(planted.true_edges).edges.auroc)
    figure = viz.bars(
        programs,
        {"EAP": scores},
        title="Does edge attribution patching find the planted circuit?",
        x_title="planted model",
        y_title="AUROC over edges",
        number_format=".2f",
    )
    worst = int(np.argmin(scores))
    caption = (
        f"The truth is known, so a method can be marked. EAP does worst on {programs[worst]}, with "
        f"{scores[worst]:.2f}. "
        "One known reason for missed edges: where attention is saturated, gradients are small."
    )
    return PageFigure("planted_model", figure, caption)


def ioi_task() -> PageFigure:
    """The logit difference of the twin on clean and corrupted prompts."""
    model = ms.load_model("ioi-twin")
    task = ms.tasks.ioi(model, n=64)
    baselines = task.baselines(model)
    clean, corrupted = (x.sort().values for x in (baselines.clean, baselines.corrupted))
    figure = viz.curves(
        range(64),
        {"clean prompts": clean, "corrupted prompts": corrupted},
        title="IOI in ioi-twin: the right name against the other",
        x_title="prompt (ranked)",
        y_title="logit difference (logits)",
        markers=[viz.Marker(0, "both names equally likely", "y")],
    )
    caption = (
        f"On clean prompts the right name leads by {float(clean.mean()):.1f} logits on average, and on "
        f"{int((clean > 0).sum())} of 64; on corrupted prompts, which have three other names, by "
        f"{float(corrupted.mean()):.1f}. The gap "
        "is what a circuit has to explain."
    )
    return PageFigure("ioi_task", figure, caption)
