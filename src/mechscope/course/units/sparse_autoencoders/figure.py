"""The final figure of unit 05: a dictionary that finds the true directions of made-up data."""

from __future__ import annotations

from types import SimpleNamespace

import plotly.graph_objects as go
import torch
from plotly.subplots import make_subplots
from torch import Tensor

from mechscope.course.figure import UnitFigure

USES = ("sae_forward", "decoder_step", "resample_dead", "mmcs", "l0_and_fvu")

D_IN, TRUE, LEARNED = 12, 20, 40
"""Dimensions, true directions and entries of the dictionary."""
DENSITY = 0.05
"""Probability that a true direction is present in an example."""
L1, LEARNING_RATE, DECODER_RATE = 0.3, 0.01, 0.3
STEPS, BATCH, EVERY = 1000, 256, 50
"""Steps of the training, examples in each, and steps between two measurements."""
BORN_DEAD = 10
"""Entries that begin with a bias that keeps them from ever firing."""
RESAMPLE_AT = 200
"""The step after which whatever has never fired is restarted."""


def draw(functions: SimpleNamespace, seed: int = 0) -> UnitFigure:
    """The similarity to the true directions during the training, and all cosines at its end."""
    generator = torch.Generator().manual_seed(seed)
    true = _unit(torch.randn(TRUE, D_IN, generator=generator))
    W_dec = _unit(torch.randn(LEARNED, D_IN, generator=generator))
    weights = {
        "W_enc": W_dec.T.clone(),
        "b_enc": torch.where(torch.arange(LEARNED) < BORN_DEAD, -5.0, 0.0),
        "W_dec": W_dec,
        "b_dec": torch.zeros(D_IN),
    }
    steps, found = [0], [functions.mmcs(weights["W_dec"], true)]
    fired = torch.zeros(LEARNED, dtype=torch.bool)
    restarted = 0
    optimizer = _start(weights)
    for step in range(1, STEPS + 1):
        x = _examples(true, generator)
        with torch.enable_grad():
            features, reconstruction, loss = functions.sae_forward(x, weights, L1)
            optimizer.zero_grad()
            loss.backward()
        optimizer.step()
        gradient = weights["W_dec"].grad
        assert gradient is not None
        weights["W_dec"] = functions.decoder_step(weights["W_dec"].detach(), gradient, DECODER_RATE)
        weights["W_dec"].requires_grad_()
        fired |= (features > 0).any(0)
        if step == RESAMPLE_AT and not bool(fired.all()):
            errors = (x - reconstruction).detach().square().sum(-1)
            restarted = int((~fired).sum())
            kept = {name: weight.detach() for name, weight in weights.items()}
            weights = functions.resample_dead(kept, ~fired, x, errors, seed)
            optimizer = _start(weights)
        if step % EVERY == 0:
            steps.append(step)
            found.append(functions.mmcs(weights["W_dec"].detach(), true))
    with torch.no_grad():
        x = _examples(true, generator)
        features, reconstruction, _ = functions.sae_forward(x, weights, L1)
        l0, fvu = functions.l0_and_fvu(features, x, reconstruction)
    return UnitFigure(
        _figure(steps, found, _cosines(true, weights["W_dec"].detach())),
        caption=(
            f"A mean maximum cosine of {found[0]:.2f} is what chance gives; after training it is {found[-1]:.2f}. "
            f"{restarted} entries were dead after {RESAMPLE_AT} steps and were restarted. At the end "
            f"{l0:.1f} features are active per example, and {fvu:.1%} of the variance is left unexplained."
        ),
        number=found[-1],
        number_is="the mean maximum cosine between the true directions and those of the trained dictionary",
        expected=(0.95, 1.0),
    )


def _start(weights: dict[str, Tensor]) -> torch.optim.Optimizer:
    """Adam for all weights but the decoder, which has a step of its own."""
    for weight in weights.values():
        weight.requires_grad_()
    return torch.optim.Adam([weights[name] for name in ("W_enc", "b_enc", "b_dec")], lr=LEARNING_RATE)


def _unit(rows: Tensor) -> Tensor:
    return rows / rows.norm(dim=-1, keepdim=True)


def _examples(true: Tensor, generator: torch.Generator) -> Tensor:
    present = torch.rand(BATCH, TRUE, generator=generator) < DENSITY
    return (present * (0.5 + torch.rand(BATCH, TRUE, generator=generator))) @ true


def _cosines(true: Tensor, W_dec: Tensor) -> Tensor:
    """[true direction, entry], the best entry of each true direction first, in their order."""
    cosines = true @ _unit(W_dec).T
    best = cosines.argmax(-1).tolist()
    order = list(dict.fromkeys(best))
    return cosines[:, order + [entry for entry in range(LEARNED) if entry not in order]]


def _figure(steps: list[int], found: list[float], cosines: Tensor) -> go.Figure:
    figure = make_subplots(1, 2, subplot_titles=("How well the directions are found", "Cosines at the end"))
    figure.add_trace(go.Scatter(x=steps, y=found, mode="lines+markers", showlegend=False), 1, 1)
    figure.add_trace(
        go.Heatmap(z=cosines.tolist(), zmin=-1, zmax=1, colorscale="RdBu_r", colorbar_title="cosine"), 1, 2
    )
    figure.update_xaxes(title="step", row=1, col=1)
    figure.update_yaxes(title="mean maximum cosine", range=[0, 1.02], row=1, col=1)
    figure.update_xaxes(title="entry of the dictionary, the best matches first", row=1, col=2)
    figure.update_yaxes(title="true direction", row=1, col=2)
    figure.update_layout(title=f"{TRUE} directions in {D_IN} dimensions, and a dictionary of {LEARNED}")
    return figure
