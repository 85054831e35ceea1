"""How well gradients find the edges of a planted circuit as its attention gets sharper."""

import mechscope as ms
from mechscope import planted, viz
from mechscope.problems import StartingPoint, run_starter

SHARPNESS = [4, 8, 16, 24, 40]
METHODS = {"eap": "EAP", "eap-ig": "EAP-IG, inputs", "eap-ig-activations": "EAP-IG, activations"}


def starting_point(seed: int = 0) -> StartingPoint:
    found: dict[str, list[float]] = {name: [] for name in METHODS.values()}
    for sharpness in SHARPNESS:
        program = planted.load(
            "ioi", noise=0.01, rotate=True, extra_heads=2, extra_layers=1, seed=seed, sharpness=sharpness
        )
        task = program.task(64, seed=seed)
        for method, name in METHODS.items():
            ranking = ms.discover(program.model, task, method, progress=False)
            found[name].append(ranking.compare(program.true_edges).edges.auroc)
    figure = viz.curves(
        SHARPNESS,
        found,
        title="Ranking the edges of a planted IOI circuit",
        x_title="sharpness of attention (how far a chosen key scores above the others, nats)",
        y_title="AUROC of the true edges",
        markers=[viz.Marker(0.5, "chance", axis="y")],
        points=True,
    )
    return StartingPoint(
        baseline={
            f"AUROC of {name} at sharpness {SHARPNESS[-1]}": values[-1] for name, values in found.items()
        },
        figure=figure,
        caption=f"The circuit is the same and the answers are right at every sharpness. From {SHARPNESS[0]} to "
        f"{SHARPNESS[-1]} nats, EAP falls from {found['EAP'][0]:.2f} to {found['EAP'][-1]:.2f}. The best of the three "
        f"falls to {max(values[-1] for values in found.values()):.2f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
