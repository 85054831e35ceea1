"""Demos of techniques that read, remove and patch activations."""

from __future__ import annotations

import numpy as np
import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.pages.figures import PageFigure


def hook() -> PageFigure:
    """Silence the previous-token head with a hook, and watch the loss at every position of repeated text."""
    model = ms.load_model("induction-2l")
    tokens = ms.tasks.repeated_random_tokens(model, n=16, bos=128).clean

    def silence(z: torch.Tensor, hook: ms.HookPoint) -> torch.Tensor:
        z[:, :, head] = 0
        return z

    scores = techniques.head_scores(model, pattern="previous").values.values
    layer, head = divmod(int(scores.argmax()), model.cfg.n_heads)
    name = f"blocks.{layer}.attn.hook_z"
    usual = model(tokens, return_type="loss", loss_per_token=True).mean(0)
    silenced = model.run_with_hooks(
        tokens, return_type="loss", loss_per_token=True, fwd_hooks=[(name, silence)]
    ).mean(0)
    half = len(usual) // 2
    figure = viz.curves(
        np.arange(1, len(usual) + 1),
        {"usual": usual.detach().numpy(), f"a{layer}.h{head} silenced": silenced.detach().numpy()},
        title=f"A hook at {name} sets the output of head {head} to zero",
        x_title="position of the predicted token",
        y_title="loss (nats)",
    )
    return PageFigure(
        "hook",
        figure,
        f"In the repeated half the loss is {usual[half:].mean():.2f} nats as usual and "
        f"{silenced[half:].mean():.2f} with head {head} of layer {layer} silenced; in the first half, where there "
        f"is nothing to copy, it changes by only {(silenced[:half].mean() - usual[:half].mean()).abs():.4f}.",
    )


def activation_cache() -> PageFigure:
    """How much memory each kind of activation takes in a cache."""
    model = ms.load_model("ioi-twin")
    _, cache = model.run_with_cache(ms.tasks.ioi(model, n=64).clean)
    sizes: dict[str, float] = {}
    for name, value in cache.items():
        kind = name.split(".")[-1]
        sizes[kind] = sizes.get(kind, 0.0) + value.numel() * value.element_size() / 2**20
    largest = sorted(sizes, key=lambda kind: -sizes[kind])[:10]
    figure = viz.ranked_bars(
        largest,
        [sizes[kind] for kind in largest],
        title="Where the memory of a cache goes: ioi-twin, 64 prompts",
        x_title="memory over all layers (MiB)",
        y_title="hook point",
    )
    return PageFigure(
        "activation-cache",
        figure,
        f"The whole cache takes {sum(sizes.values()):.1f} MiB. Attention scores and patterns take "
        f"{(sizes['hook_attn_scores'] + sizes['hook_pattern']) / sum(sizes.values()):.0%} of it on these short "
        "prompts, and their share grows with the square of the length.",
    )


def ablation() -> PageFigure:
    """The same heads removed in three ways."""
    model = ms.load_model("ioi-twin")
    task = ms.tasks.ioi(model, n=32)
    effects = {
        how: techniques.ablation(model, task, "heads", how, progress=False).values.values.flatten()
        for how in ("zero", "mean", "resample")
    }
    strongest = np.argsort(-np.abs(effects["resample"]))[:4]
    names = [f"a{each // model.cfg.n_heads}.h{each % model.cfg.n_heads}" for each in strongest]
    figure = viz.bars(
        names,
        {how: values[strongest] for how, values in effects.items()},
        title="Ablating heads of ioi-twin: what you put in their place matters",
        x_title="head",
        y_title="share of the behaviour lost",
        number_format=".2f",
    )
    spread = np.ptp(np.stack([values[strongest] for values in effects.values()]), axis=0)
    alike, apart = int(np.argmin(spread)), int(np.argmax(spread))
    return PageFigure(
        "ablation",
        figure,
        f"1 is as bad as the corrupted prompts. For {names[alike]} the three methods agree within {spread[alike]:.2f}; "
        f"for {names[apart]} they give "
        + ", ".join(f"{values[strongest[apart]]:.2f} ({how})" for how, values in effects.items())
        + ".",
    )


def direct_logit_attribution() -> PageFigure:
    """Which head writes the answer of the IOI task?"""
    model = ms.load_model("ioi-twin")
    found = techniques.direct_logit_attribution(model, ms.tasks.ioi(model, n=64), "head")
    values = found.contributions.values.values
    layer, head = np.unravel_index(int(values.argmax()), values.shape)
    figure = viz.heatmap(
        values,
        title="What each head writes towards the right name",
        x_title="head",
        y_title="layer",
        unit="logits",
        top_row_first=False,
    )
    return PageFigure(
        "direct-logit-attribution",
        figure,
        f"Head {head} of layer {layer} writes {values.max():.2f} of the logit difference of {found.total:.2f}. Heads "
        "that only tell it where to look score nearly zero here, however necessary they are.",
    )


def logit_lens() -> PageFigure:
    """The rank of the right answer if the model ended after each layer."""
    model = ms.load_model("ioi-twin")
    lens = techniques.logit_lens(model, ms.tasks.ioi(model, n=64), progress=False)
    rank, probability = lens.rank.values.values, lens.probability.values.values
    figure = viz.curves(
        np.arange(len(rank)),
        {"rank of the right name": rank},
        title="The logit lens on ioi-twin",
        x_title="layers that have run",
        y_title="rank among all tokens (0 is the top)",
        points=True,
    )
    return PageFigure(
        "logit-lens",
        figure,
        f"After {len(rank) - 2} layers the right name is on average at rank {rank[-2]:.0f} with probability "
        f"{probability[-2]:.3f}; after the last layer at rank {rank[-1]:.1f} with {probability[-1]:.2f}. The lens "
        "sees nothing of the preparation in earlier layers, which patching shows to be necessary.",
    )


def tuned_lens() -> PageFigure:
    """A logit lens with a least-squares map per layer, compared with the plain one."""
    model = ms.load_model("induction-2l")
    rows = ms.tasks.repeated_random_tokens(model, n=160, bos=128).clean
    with torch.no_grad():
        logits, cache = model.run_with_cache(rows)
    final = cache["resid_post", model.cfg.n_layers - 1]
    target = logits.log_softmax(-1)

    @torch.no_grad()
    def distance(stream: torch.Tensor) -> float:
        lens = model.unembed(model.ln_final(stream)).log_softmax(-1)
        return float((target.exp() * (target - lens)).sum(-1)[128:].mean())

    plain, tuned = [], []
    for layer in range(model.cfg.n_layers):
        stream = cache["resid_pre", layer]
        ones = torch.ones(*stream.shape[:2], 1)
        inputs = torch.cat([stream, ones], -1)
        fitted = torch.linalg.lstsq(inputs[:128].flatten(0, 1), final[:128].flatten(0, 1)).solution
        plain.append(distance(stream))
        tuned.append(distance(inputs @ fitted))
    figure = viz.bars(
        [f"{layer} layers" for layer in range(model.cfg.n_layers)],
        {"logit lens": plain, "tuned lens": tuned},
        title="Distance from the model's own prediction, on held-out prompts",
        x_title="layers that have run",
        y_title="KL divergence (nats)",
        number_format=".2f",
    )
    return PageFigure(
        "tuned-lens",
        figure,
        f"Before the last layer, the plain lens is {plain[-1]:.2f} nats away from the model's prediction and a "
        f"learned affine map {tuned[-1]:.2f} nats. (The map is fitted by least squares on 128 prompts and tested "
        "on 32 others.)",
    )


def activation_patching() -> PageFigure:
    """Patch the residual stream at every layer and position of the IOI task."""
    model = ms.load_model("ioi-twin")
    task = ms.tasks.ioi(model, n=32, aligned=True, order="ABBA", corruption="S2")
    effects = ms.patch(model, task, "resid_pre", progress=False).values.values
    labels = task.position_labels()
    figure = viz.heatmap(
        effects,
        title="Where is the information which name was repeated?",
        x_title="position",
        y_title="layer",
        unit="share restored",
        x=labels,
        write_numbers=False,
        top_row_first=False,
    )
    best = effects.argmax(1)
    return PageFigure(
        "activation-patching",
        figure,
        "Restoring one vector of the corrupted run restores most of the answer, if it is the right one: "
        + ", ".join(
            f"before layer {layer} at {labels[pos]!r} ({effects[layer, pos]:.2f})"
            for layer, pos in enumerate(best)
        )
        + ".",
    )


def noising_and_denoising() -> PageFigure:
    """The heads of the IOI circuit, patched in both directions."""
    model = ms.load_model("ioi-twin")
    task = ms.tasks.ioi(model, n=32)
    enough = ms.patch(model, task, "head", progress=False).values.values.flatten()
    needed = ms.patch(model, task, "head", direction="noise", progress=False).values.values.flatten()
    chosen = np.argsort(-np.maximum(np.abs(enough), np.abs(needed)))[:4]
    names = [f"a{each // model.cfg.n_heads}.h{each % model.cfg.n_heads}" for each in chosen]
    figure = viz.bars(
        names,
        {"noising: broken without it": needed[chosen], "denoising: restored by it": enough[chosen]},
        title="Needed and enough are different questions",
        x_title="head",
        y_title="share of the behaviour",
        number_format=".2f",
    )
    gap = chosen[np.argmax((needed - enough)[chosen])]
    return PageFigure(
        "noising-and-denoising",
        figure,
        f"a{gap // model.cfg.n_heads}.h{gap % model.cfg.n_heads} is needed (noising costs {needed[gap]:.2f} of the "
        f"behaviour) but by no means enough (denoising restores {enough[gap]:.2f}).",
    )


def path_patching() -> PageFigure:
    """Who tells the name mover where to look?"""
    model = ms.load_model("ioi-twin")
    task = ms.tasks.ioi(model, n=32, corruption="S2")
    writes = techniques.direct_logit_attribution(model, task, "head").contributions.values.values
    layer, head = (int(each) for each in np.unravel_index(writes.argmax(), writes.shape))
    effects = {
        part: techniques.path_patching_every_head(
            model, task, f"a{layer}.h{head}<{part}>", direction="noise", progress=False
        ).values.values.flatten()
        for part in "qkv"
    }
    total = sum(np.abs(values) for values in effects.values())
    chosen = np.argsort(-total)[:4]
    names = [f"a{each // model.cfg.n_heads}.h{each % model.cfg.n_heads}" for each in chosen]
    figure = viz.bars(
        names,
        {f"into its {part}": values[chosen] for part, values in effects.items()},
        title=f"Direct paths from other heads to the name mover a{layer}.h{head}",
        x_title="sender",
        y_title="share of the behaviour lost",
        number_format=".2f",
    )
    part = max(effects, key=lambda each: float(effects[each].max()))
    sender = int(effects[part].argmax())
    return PageFigure(
        "path-patching",
        figure,
        f"The strongest single connection runs from a{sender // model.cfg.n_heads}.h{sender % model.cfg.n_heads} "
        f"into input {part} of a{layer}.h{head}: patching this one path loses {effects[part].max():.2f} of the "
        "behaviour.",
    )


def attribution_patching() -> PageFigure:
    """The gradient's estimate beside the real patch, for every head that matters."""
    model = ms.load_model("ioi-twin")
    task = ms.tasks.ioi(model, n=32)
    measured = ms.patch(model, task, "head", progress=False).values.values.flatten()
    estimated = techniques.attribution_patching(model, task, "head", progress=False).values.values.flatten()
    chosen = np.argsort(-np.maximum(np.abs(measured), np.abs(estimated)))[:5]
    names = [f"a{each // model.cfg.n_heads}.h{each % model.cfg.n_heads}" for each in chosen]
    figure = viz.bars(
        names,
        {"patched": measured[chosen], "estimated from the gradient": estimated[chosen]},
        title="One backward pass instead of one forward pass per head",
        x_title="head",
        y_title="share of the behaviour restored",
        number_format=".2f",
    )
    worst = int(np.argmax(np.abs(measured - estimated)))
    return PageFigure(
        "attribution-patching",
        figure,
        f"Over all {len(measured)} heads the two correlate with r = {np.corrcoef(measured, estimated)[0, 1]:.2f}, "
        f"so the estimate finds the candidates. The largest error is at a{worst // model.cfg.n_heads}.h"
        f"{worst % model.cfg.n_heads}: {estimated[worst]:.2f} instead of {measured[worst]:.2f}.",
    )


def integrated_gradients() -> PageFigure:
    """Attributions to the input tokens add up to the whole effect only after enough steps."""
    model = ms.load_model("ioi-twin")
    task = ms.tasks.ioi(model, n=16)
    steps = [1, 2, 4, 8, 16, 32]
    sums = [
        float(
            techniques.attribution_patching(
                model, task, "resid_pre", by=(), steps=count, progress=False
            ).values[0]
        )
        for count in steps
    ]
    figure = viz.curves(
        steps,
        {"sum of all attributions": sums},
        title="Integrated gradients from the corrupted to the clean embeddings",
        x_title="steps",
        y_title="share of the whole effect",
        markers=[viz.Marker(1.0, "the whole effect", axis="y")],
        points=True,
        log_x=True,
    )
    return PageFigure(
        "integrated-gradients",
        figure,
        f"A single gradient accounts for {sums[0]:.2f} of the effect, {steps[-1]} steps for {sums[-1]:.2f}. Only "
        "then do the attributions of the tokens add up to what they explain.",
    )
