"""Demos of the section "circuits"."""

import numpy as np
import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.pages.figures import PageFigure


def qk_circuit() -> PageFigure:
    """Score every pair of tokens for a head that looks for its own token."""
    planted = ms.planted.load("duplicate_token")
    tokens = planted.program.alphabet
    ids = [planted.vocabulary.index(token) for token in tokens]
    scores = techniques.full_circuit(planted.model, 0, 0, "QK").AB.detach()[ids][:, ids]
    same = float(scores.diagonal().mean())
    other = float(scores[~torch.eye(len(ids), dtype=torch.bool)].mean())
    figure = viz.heatmap(
        scores,
        title="QK circuit of a planted duplicate-token head",
        x_title="token attended to",
        y_title="token that attends",
        unit="attention score",
        x=tokens,
        y=tokens,
    )
    caption = (
        f"The bright diagonal: a token scores its own kind {same:.1f}, and every other kind {other:.1f} "
        "on average."
    )
    return PageFigure("qk_circuit", figure, caption)


def ov_circuit() -> PageFigure:
    """Which logits does an induction head raise, for each token that it attends to?"""
    model = ms.load_model("induction-2l")
    head = int(
        techniques.head_scores(model, pattern="induction", seeds=(0,)).values.sel(layer=1).values.argmax()
    )
    circuit = techniques.full_circuit(model, 1, head, "OV").AB.detach()[:128, :128]
    own = float((circuit.argmax(1) == torch.arange(128)).float().mean())
    figure = viz.heatmap(
        circuit[:24, :24],
        title=f"OV circuit of head 1.{head} of induction-2l, first 24 tokens",
        x_title="token whose logit changes",
        y_title="token attended to",
        unit="logits (before the norm)",
    )
    caption = (
        f"The diagonal stands out: for {own:.0%} of the 128 tokens, the logit that rises most is that of the token "
        "attended to itself."
    )
    return PageFigure("ov_circuit", figure, caption)


def composition() -> PageFigure:
    """Compare each pair's K-composition score with random directions."""
    model = ms.load_model("mini-attn-only-2l")
    scores = techniques.composition_scores(model, "K", progress=False)
    excess = scores.excess.values
    writers, readers = ([str(name) for name in excess.coords[dim].values] for dim in ("head_out", "head_in"))
    early, late = np.unravel_index(np.nanargmax(excess.values), excess.shape)
    figure = viz.heatmap(
        excess.values,
        title="K-composition above chance in mini-attn-only-2l",
        x_title="later head (reads)",
        y_title="earlier head (writes)",
        unit="standard deviations",
        x=readers,
        y=writers,
    )
    caption = (
        f"The pair furthest above chance is {writers[early]} → {readers[late]}, by "
        f"{np.nanmax(excess.values):.0f} standard "
        "deviations. a0.h1 and a0.h3, the previous-token heads, stand out against the other two "
        "rows; the median pair is "
        f"{np.nanmedian(excess.values):.0f} above."
    )
    return PageFigure("composition", figure, caption)


def copying() -> PageFigure:
    """Score how far every head copies, from the eigenvalues of its OV circuit."""
    scores = techniques.copying_scores(ms.load_model("mini-attn-only-2l")).values
    induction = techniques.head_scores(ms.load_model("mini-attn-only-2l"), seeds=(0,)).values
    names = [f"{layer}.{head}" for layer in range(2) for head in range(4)]
    copies, attends = scores.values.ravel(), induction.values.ravel()
    figure = viz.bars(
        names,
        {"copying score": copies, "induction score": attends},
        title="Copying heads of mini-attn-only-2l",
        x_title="head (layer.number)",
        y_title="score (1 is the maximum)",
        number_format=".2f",
    )
    best = int(copies.argmax())
    caption = (
        f"Head {names[best]} copies most ({copies[best]:.2f}). Compare the two bars: all four heads of layer 1 have an "
        f"induction score of at least {attends[4:].min():.2f}, and copying scores from {copies[4:].min():.2f} to "
        f"{copies[4:].max():.2f}."
    )
    return PageFigure("copying", figure, caption)


def previous_token_head() -> PageFigure:
    """Find the heads that attend to the position before."""
    model = ms.load_model("mini-attn-only-2l")
    scores = techniques.head_scores(model, pattern="previous", seeds=(0,)).values
    layer, head = np.unravel_index(scores.values.argmax(), scores.shape)
    figure = viz.heatmap(
        scores.values,
        title="Attention to the previous token, mini-attn-only-2l",
        x_title="head",
        y_title="layer",
        unit="mean attention",
        write_numbers=True,
        top_row_first=False,
    )
    caption = (
        f"Head {layer}.{head} puts {float(scores.max()):.0%} of its attention on the token before. No head of layer 1 "
        f"puts more than {float(scores[1].max()):.0%} there."
    )
    return PageFigure("previous_token_head", figure, caption)


def duplicate_token_head() -> PageFigure:
    """Show where a planted duplicate-token head attends."""
    planted = ms.planted.load("duplicate_token")
    letters = planted.program.alphabet[:3]
    text = [letters[i % 3] if i != 4 else letters[0] for i in range(planted.program.length)]
    _, cache = planted.model.run_with_cache(planted.encode([text]))
    pattern = cache["blocks.0.attn.hook_pattern"][0, 0]
    new = [i for i, token in enumerate(text) if token not in text[:i]]
    rest = [i for i in range(len(text)) if i not in new]
    to_begin = pattern[:, 0]
    figure = viz.attention_pattern(pattern, title="A planted duplicate-token head", tokens=["BOS", *text])
    caption = (
        "A token that has occurred before attends to its earlier copies; a new one has nowhere to look "
        "and rests on BOS "
        f"(mean attention on BOS: {float(to_begin[[i + 1 for i in new]].mean()):.2f} for new tokens, "
        f"{float(to_begin[[i + 1 for i in rest]].mean()):.2f} for repeated ones)."
    )
    return PageFigure("duplicate_token_head", figure, caption)


def induction_head() -> PageFigure:
    """Watch an induction head on a block of random tokens and its copy."""
    model = ms.load_model("induction-2l")
    task = ms.tasks.repeated_random_tokens(model, n=1, half=31, bos=128)
    head = int(techniques.head_scores(model, seeds=(0,)).values.sel(layer=1).values.argmax())
    _, cache = model.run_with_cache(task.clean)
    pattern = cache["blocks.1.attn.hook_pattern"][0, head]
    queries = torch.arange(33, len(pattern))
    stripe = float(pattern[queries, queries - 30].mean())
    figure = viz.attention_pattern(
        pattern, title=f"Induction head 1.{head} of induction-2l on a block and its copy"
    )
    caption = (
        f"Look for the stripe in the lower half: from the copy, the head attends to the token after the earlier "
        f"occurrence, with {stripe:.0%} of its attention on average."
    )
    return PageFigure("induction_head", figure, caption)


def name_mover_head() -> PageFigure:
    """Which heads write the right name, and do they look at it?"""
    model = ms.load_model("ioi-twin")
    task = ms.tasks.ioi(model, n=64)
    wrote = techniques.direct_logit_attribution(model, task, by="head").contributions.values
    layer, head = np.unravel_index(wrote.values.argmax(), wrote.shape)
    _, cache = model.run_with_cache(task.clean)
    rows = torch.arange(len(task.clean))
    pattern = cache[f"blocks.{layer}.attn.hook_pattern"][rows, head, task.positions["end"]]
    to_io, to_s = (float(pattern[rows, task.positions[name]].mean()) for name in ("IO", "S2"))
    figure = viz.heatmap(
        wrote.values,
        title="What each head of ioi-twin writes towards the right name",
        x_title="head",
        y_title="layer",
        unit="logit difference (logits)",
        write_numbers=True,
        top_row_first=False,
    )
    caption = (
        f"Head {layer}.{head} alone writes {float(wrote.max()):.1f} logits. From the last position it "
        f"puts {to_io:.0%} of "
        f"its attention on the name to be copied, and {to_s:.0%} on the second mention of the other."
    )
    return PageFigure("name_mover_head", figure, caption)


def s_inhibition_head() -> PageFigure:
    """Which heads change what the name mover looks for?"""
    planted = ms.planted.load("ioi", extra_heads=2, noise=0.02, seed=1)
    mover = next(node for node, note in planted.notes.items() if note.startswith("name mover"))
    effects = techniques.path_patching_every_head(
        planted.model, planted.task(32), [f"{mover}<q>"], progress=False
    ).values
    layer, head = np.unravel_index(np.nanargmax(effects.values), effects.shape)
    second = np.sort(np.abs(effects.values[np.isfinite(effects.values)]))[-2]
    figure = viz.heatmap(
        effects.values,
        title=f"Paths from each head to the queries of the name mover, {mover}",
        x_title="head",
        y_title="layer",
        unit="share of the behaviour restored",
        write_numbers=True,
        top_row_first=False,
    )
    caption = (
        f"The path from a{layer}.h{head} alone restores {float(np.nanmax(effects.values)):.0%} of the behaviour; no "
        f"other head changes more than {second:.1%} through these queries. It is the planted S-inhibition head."
    )
    return PageFigure("s_inhibition_head", figure, caption)


def universality() -> PageFigure:
    """Does each neuron of a model have a counterpart in the same model trained from another seed?"""
    first, second = (ms.load_model(name) for name in ("mini-gelu-1l", "mini-gelu-1l-seed1"))
    tokens = torch.randint(0, 512, (64, 64), generator=torch.Generator().manual_seed(0))
    name = "blocks.0.mlp.hook_post"
    a, b = (m.run_with_cache(tokens, names_filter=name)[1][name].flatten(0, 1) for m in (first, second))
    a, b = ((x - x.mean(0)) / x.std(0) for x in (a, b))
    mixed = b @ torch.linalg.qr(torch.randn(256, 256, generator=torch.Generator().manual_seed(1))).Q
    mixed = (mixed - mixed.mean(0)) / mixed.std(0)
    best, chance = ((a.T @ x / len(a)).max(1).values.sort(descending=True).values for x in (b, mixed))
    figure = viz.curves(
        range(256),
        {"a neuron of the other model": best, "a random direction of the other model": chance},
        title="The best counterpart of each neuron of mini-gelu-1l",
        x_title="neuron (ranked)",
        y_title="correlation over random tokens",
    )
    caption = (
        f"The median neuron has a counterpart with a correlation of {float(best.median()):.2f} in the model from the "
        f"other seed; mixtures of its neurons reach {float(chance.median()):.2f}. "
        f"{int((best > 0.8).sum())} of 256 are nearly universal (above 0.8)."
    )
    return PageFigure("universality", figure, caption)


def self_repair() -> PageFigure:
    """Compare what each induction head writes with what is lost without it."""
    model = ms.load_model("mini-attn-only-2l")
    task = ms.tasks.repeated_random_tokens(model, n=16)
    attribution = techniques.direct_logit_attribution(model, task, by="head")
    wrote = attribution.contributions.values.sel(layer=1).values
    left = techniques.ablation(model, task, "heads", "zero", layers=[1], normalize=False, progress=False)
    lost = task.baselines(model).clean.mean().item() - left.values.sel(layer=1).values
    heads = [f"1.{head}" for head in range(4)]
    figure = viz.bars(
        heads,
        {"writes directly": wrote, "is lost without it": lost},
        title="Heads of the last layer of mini-attn-only-2l, on repeated tokens",
        x_title="head",
        y_title="logit difference (logits)",
        number_format=".2f",
    )
    best = int(wrote.argmax())
    worst = int((lost - wrote).argmax())
    caption = (
        f"Head {heads[best]} writes {wrote[best]:.2f} logits, and {lost[best]:.2f} are lost without it; for head "
        f"{heads[worst]} it is {wrote[worst]:.2f} and {lost[worst]:.2f}. No layer follows that could react: both "
        "differences come from the final norm, whose divisor changes."
    )
    return PageFigure("self_repair", figure, caption)


def backup_head() -> PageFigure:
    """Knock out induction heads one by one, and together."""
    model = ms.load_model("mini-attn-only-2l")
    task = ms.tasks.repeated_random_tokens(model, n=16)
    scores = techniques.head_scores(model, seeds=(0,)).values.sel(layer=1).values
    heads = [f"a1.h{head}" for head in scores.argsort()[::-1]]
    lost = techniques.knock_out(model, task, heads, progress=False).values
    alone, together = (lost.sel(series=name).values for name in ("alone", "together"))
    figure = viz.curves(
        range(1, 5),
        {"sum of the single losses": alone.cumsum(), "lost together": together},
        title="Induction heads of mini-attn-only-2l, taken away one after another",
        x_title="heads taken away",
        y_title="share of the behaviour lost",
        points=True,
    )
    backed_up = together[-1] > alone.sum()
    caption = (
        f"One by one, the four heads cost {', '.join(f'{loss:.0%}' for loss in alone)}, {alone.sum():.0%} in all. "
        f"Together they cost {together[-1]:.0%}. If they stood in for one another, this would be more than the sum; "
        f"it is {'more' if backed_up else 'less, so these heads are no backups'}."
    )
    return PageFigure("backup_head", figure, caption)


def circuit() -> PageFigure:
    """Rank the edges of a model whose true circuit is known."""
    planted = ms.planted.load("ioi", extra_heads=2, noise=0.02, seed=1)
    found = ms.discover(planted.model, planted.task(32), method="eap-ig", progress=False)
    scores = found.scores.values.stack(edge=("source", "destination")).dropna("edge")
    order = abs(scores).values.argsort()[::-1][:16]
    edges = [f"{source}->{destination}" for source, destination in scores.coords["edge"].values[order]]
    figure = viz.ranked_bars(
        [f"{'✓' if edge in planted.true_edges else '·'} {edge}" for edge in edges],
        abs(scores).values[order],
        title="The 16 edges with the highest scores",
        x_title="score of the edge (logits)",
        y_title="edge (✓: in the true circuit)",
    )
    size = len(planted.true_edges)
    right = sum(edge in planted.true_edges for edge in edges[:size])
    caption = (
        f"The true circuit has {size} of {scores.size} edges; {right} of the {size} with the highest "
        "scores belong to it."
    )
    return PageFigure("circuit", figure, caption)
