"""The final figure of unit H: where the answer is, layer by layer, and what gradients say about it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import mechscope as ms
from mechscope.course.figure import UnitFigure
from mechscope.viz import heatmap_panels

USES = ("patch_residual", "normalised_effect", "attribution_patching")
STORY = "At the stadium, {a} and {b} shared a table until {again} offered a hat to"
NAMES = (
    "Molly", "Lewis", "Anna", "Peter", "Alice", "George", "Nina", "Frank", "Sarah", "Harry", "Olivia", "Oscar",
)  # fmt: skip
"""Names that are one token of the model."""
PAIRS = 6


def draw(functions: Any, seed: int = 0) -> UnitFigure:
    """Patch the residual stream of a story into one with another second mention, everywhere."""
    model = ms.load_model("ioi-twin")
    order = torch.randperm(len(NAMES), generator=torch.Generator().manual_seed(seed)).tolist()
    pairs = [(NAMES[a], NAMES[b]) for a, b in zip(order[:PAIRS], order[PAIRS:], strict=True)]
    clean = _tokens(model, [STORY.format(a=a, b=b, again=b) for a, b in pairs])
    corrupted = _tokens(model, [STORY.format(a=a, b=b, again=a) for a, b in pairs])
    rows = torch.arange(PAIRS)
    given, other = (_tokens(model, [f" {pair[place]}" for pair in pairs])[:, 0] for place in (0, 1))

    def metric(logits: Tensor) -> Tensor:
        return (logits[rows, -1, given] - logits[rows, -1, other]).mean()

    with torch.no_grad():
        ends = [float(metric(model(tokens))) for tokens in (clean, corrupted)]
        effects = functions.normalised_effect(
            functions.patch_residual(model, clean, corrupted, metric), *ends
        )
    estimates = torch.stack(
        [
            functions.attribution_patching(*activations)
            for activations in _activations(model, clean, corrupted, metric)
        ]
    )
    figure = heatmap_panels(
        {"patched": effects.numpy(), "estimated by gradients": (estimates / (ends[0] - ends[1])).numpy()},
        title="Where is the name that will be given the hat?",
        x_title="position",
        y_title="layer",
        unit="share of the effect",
        x=model.to_str_tokens(STORY.format(a=NAMES[0], b=NAMES[1], again=NAMES[1])),
        limits=(-1.1, 1.1),
        columns=1,
        top_row_first=False,
    )
    return UnitFigure(
        figure=figure,
        caption="Each cell is one patch: the residual stream before a layer, at one position, comes from the story "
        "with the other second mention. Before layer 0 all of the difference is at that name. One layer later it is "
        "at the last word. The gradients find the same places, and misjudge how much each matters.",
        number=float(effects[1, -1]),
        number_is="the share of the effect that has reached the last word before layer 1",
        expected=(0.98, 1.08),
    )


def _tokens(model: ms.HookedTransformer, texts: list[str]) -> Tensor:
    return torch.cat([model.to_tokens(text) for text in texts])


def _activations(
    model: ms.HookedTransformer, clean: Tensor, corrupted: Tensor, metric: Any
) -> list[tuple[Tensor, Tensor, Tensor]]:
    """For each layer: the stream before it in the clean and in the corrupted run, and the gradient of the sum of all
    metrics in the corrupted run."""
    _, cache = model.run_with_cache(clean)
    kept: list[Tensor] = []

    def keep(value: Tensor, hook: object) -> Tensor:
        value.retain_grad()
        kept.append(value)
        return value

    names = [f"blocks.{layer}.hook_resid_pre" for layer in range(model.cfg.n_layers)]
    logits = model.run_with_hooks(corrupted, fwd_hooks=[(name, keep) for name in names])
    (len(corrupted) * metric(logits)).backward()
    gradients = [value.grad for value in kept]
    return [
        (cache[name].detach(), value.detach(), gradient)
        for name, value, gradient in zip(names, kept, gradients, strict=True)
        if gradient is not None
    ]
