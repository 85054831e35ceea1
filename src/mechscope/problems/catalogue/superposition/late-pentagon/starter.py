"""Can you tell before training which networks reach the pentagon late?"""

import torch
from sklearn.metrics import roc_auc_score

from mechscope import viz
from mechscope.problems import StartingPoint, run_starter

NETWORKS, FEATURES, DENSITY = 500, 5, 0.05
STEPS, BATCH = 1000, 128


def draw(generator: torch.Generator, batch: int = BATCH) -> torch.Tensor:
    """Sparse features [feature batch], uniform on [0, 1] where present."""
    present = torch.rand(FEATURES, batch, generator=generator) < DENSITY
    return torch.rand(FEATURES, batch, generator=generator) * present


def losses(W: torch.Tensor, b: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """Squared error of ReLU(WᵀW x + b) for every network."""
    return ((W.transpose(1, 2) @ (W @ x) + b).relu() - x).square().sum(1).mean(1)


def starting_point(seed: int = 0) -> StartingPoint:
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(NETWORKS, 2, FEATURES, generator=generator) * 0.4
    b = torch.zeros(NETWORKS, FEATURES, 1)
    test = draw(torch.Generator().manual_seed(seed + 1), 8192)
    first = losses(W, b, test)
    angles = torch.atan2(W[:, 1], W[:, 0]).sort(1).values
    gaps = torch.cat([angles.diff(dim=1), (angles[:, :1] + 2 * torch.pi - angles[:, -1:])], 1)
    W.requires_grad_(True)
    b.requires_grad_(True)
    optimizer = torch.optim.Adam([W, b], lr=5e-3)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.02, STEPS)
    for _ in range(STEPS):
        optimizer.zero_grad()
        losses(W, b, draw(generator)).sum().backward()
        optimizer.step()
        schedule.step()
    with torch.no_grad():
        last = losses(W, b, test)
    late = last > 1.4 * last.median()
    signs = {"initial loss": first, "widest gap between directions": gaps.max(1).values}
    areas = {name: float(roc_auc_score(late, values)) for name, values in signs.items()}
    figure = viz.curves(
        torch.arange(NETWORKS) / NETWORKS,
        {"final loss": last.sort().values},
        title=f"Five features in a plane, {NETWORKS} random starts",
        x_title="share of networks with a smaller loss",
        y_title="final loss (squared error per input)",
        markers=[viz.Marker(float(1.4 * last.median()), "counts as late", "y")],
    )
    return StartingPoint(
        baseline={
            "networks that are late (share)": float(late.float().mean()),
            "area under the ROC curve, from the initial loss (chance 0.5)": areas["initial loss"],
            "area under the ROC curve, from the widest gap (chance 0.5)": areas[
                "widest gap between directions"
            ],
        },
        figure=figure,
        caption=(
            f"After {STEPS:,} steps, {int(late.sum())} of {NETWORKS} networks are above 1.4 times the median loss. The "
            f"loss before training tells them apart with an area of {areas['initial loss']:.2f}, the widest gap "
            f"between neighbouring directions with {areas['widest gap between directions']:.2f}; 0.5 is chance."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
