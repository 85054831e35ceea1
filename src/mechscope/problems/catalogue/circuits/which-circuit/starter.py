"""One behaviour, five ways to corrupt the prompts: how much do the circuits overlap?"""

from itertools import combinations

import numpy as np

import mechscope as ms
from mechscope import techniques, viz
from mechscope.problems import StartingPoint, run_starter

CORRUPTIONS = ["ABC", "S2", "S2_random", "S1_random", "IO_random"]
EDGES = 20


def overlap(one: set[str], other: set[str]) -> float:
    """Shared edges as a share of all edges in either (Jaccard index)."""
    return len(one & other) / len(one | other)


def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("ioi-twin")
    circuits, again = {}, {}
    for corruption in CORRUPTIONS:
        for prompts, found in ((2 * seed, circuits), (2 * seed + 1, again)):
            task = ms.tasks.ioi(model, n=32, seed=prompts, corruption=corruption)
            found[corruption] = set(ms.discover(model, task, progress=False).circuit(n_edges=EDGES).edges())
    matrix = np.array(
        [[overlap(circuits[row], again[column]) for column in CORRUPTIONS] for row in CORRUPTIONS]
    )
    names = techniques.EdgeGraph.of(model).edge_names()
    generator = np.random.default_rng(seed)
    random = np.mean(
        [
            overlap(*(set(generator.choice(names, EDGES, replace=False).tolist()) for _ in range(2)))
            for _ in range(500)
        ]
    )
    same = float(matrix.diagonal().mean())
    different = float(np.mean([matrix[pair] for pair in combinations(range(len(CORRUPTIONS)), 2)]))
    figure = viz.heatmap(
        matrix,
        title=f"Overlap of circuits of {EDGES} edges found with different corruptions",
        x_title="corruption (other prompts)",
        y_title="corruption",
        unit="Jaccard index",
        x=CORRUPTIONS,
        y=CORRUPTIONS,
        write_numbers=True,
    )
    return StartingPoint(
        baseline={
            "overlap, same corruption and other prompts (Jaccard index)": same,
            "overlap, different corruptions (Jaccard index)": different,
            "overlap of random sets of edges (Jaccard index)": float(random),
        },
        figure=figure,
        caption=f"On the diagonal only the prompts differ, and circuits share {same:.2f} of their edges. Between two "
        f"corruptions they share {different:.2f}, and two random sets of {EDGES} edges {random:.2f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
