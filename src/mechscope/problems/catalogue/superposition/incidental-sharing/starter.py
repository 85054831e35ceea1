"""How many neurons serve several features although there are enough neurons for all?"""

import torch

from mechscope import viz
from mechscope.problems import StartingPoint, run_starter

FEATURES, NEURONS, NETWORKS = 32, 64, 8
STEPS, PENALTY, BATCH = 600, 0.02, 96


def shared_neurons(together: float, seed: int) -> torch.Tensor:
    """Train y = ReLU(WᵀW x) with a price on hidden activity; count neurons with two or more features in each network.

    Args:
        together: probability that another feature is present besides the first one, for each feature.
    """
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(NETWORKS, NEURONS, FEATURES, generator=generator) / NEURONS**0.5
    W.requires_grad_(True)
    optimizer = torch.optim.Adam([W], lr=5e-3)
    for _ in range(STEPS):
        first = torch.randint(FEATURES, (BATCH,), generator=generator)
        x = (torch.rand(BATCH, FEATURES, generator=generator) < together).float()
        x = x.scatter(1, first[:, None], 1.0).T
        h = W @ x
        error = (W.transpose(1, 2) @ h).relu() - x
        loss = error.square().sum(1).mean(1) + PENALTY * h.abs().sum(1).mean(1)
        optimizer.zero_grad()
        loss.sum().backward()
        optimizer.step()
    # A feature belongs to the neuron that it moves most, if it moves it by at least one half.
    strongest, owner = W.detach().abs().max(1)
    owned = torch.nn.functional.one_hot(owner, NEURONS) * (strongest > 0.5)[..., None]
    return (owned.sum(1) > 1).sum(1).float()


def starting_point(seed: int = 0) -> StartingPoint:
    chances = (0.0, 1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
    # How often two given features meet in a whole training.
    meetings = [chance * STEPS * BATCH * 2 / FEATURES for chance in chances]
    counts = [shared_neurons(together, seed) for together in chances]
    # Features thrown into neurons at random: how many neurons get two or more?
    none, one = (1 - 1 / NEURONS) ** FEATURES, FEATURES / NEURONS * (1 - 1 / NEURONS) ** (FEATURES - 1)
    by_chance = NEURONS * (1 - none - one)
    means = [float(count.mean()) for count in counts]
    half = next((n for n, mean in zip(meetings, means, strict=True) if mean < means[0] / 2), meetings[-1])
    figure = viz.curves(
        [f"{count:.1f}" for count in meetings],
        {"shared neurons": means},
        title=f"{FEATURES} features and {NEURONS} neurons: how many neurons are shared?",
        x_title="times that two features meet during training (mean)",
        y_title="neurons with two or more features",
        points=True,
        markers=[viz.Marker(by_chance, "features thrown at random", "y")],
    )
    return StartingPoint(
        baseline={
            "shared neurons if features never meet": means[0],
            "meetings of two features after which half as many neurons are shared": half,
            "shared neurons if features were thrown at random": by_chance,
        },
        figure=figure,
        caption=(
            f"If features never meet, {means[0]:.1f} of {NEURONS} neurons serve two or more, though half of them "
            f"could stay empty; chance gives {by_chance:.1f}. If two features meet {half:.1f} times in training, less "
            f"than half as many neurons are shared (means of {NETWORKS} networks)."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
