"""How much a discovered circuit depends on which prompts it was found with."""

from itertools import combinations

import numpy as np
import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

PROMPTS = [1, 4, 16, 64]
DRAWS, EDGES = 5, 20


def overlap(one: set[str], other: set[str]) -> float:
    """Shared edges as a share of all edges in either (Jaccard index)."""
    return len(one & other) / len(one | other)


def starting_point(seed: int = 0) -> StartingPoint:
    twin = ms.load_model("ioi-twin")
    model = ms.load_model("mini-gelu-2l")
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    rows = tokenize_and_concatenate([code], model.tokenizer, max_length=32)["tokens"]
    order = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))
    rows = rows[order[: max(PROMPTS) * DRAWS]]
    subjects = {
        "indirect objects, ioi-twin": (twin, ms.tasks.ioi(twin, n=len(rows), seed=seed)),
        "next token of code, mini-gelu-2l": (
            model,
            ms.tasks.from_tokens(
                rows[:, :-1], rows.roll(1, 0)[:, :-1], rows[:, -1], metric="log_probability", name="code"
            ),
        ),
    }
    generator = np.random.default_rng(seed)
    lines: dict[str, list[float]] = {}
    random = []
    for name, (subject, everything) in subjects.items():
        lines[name] = []
        for count in PROMPTS:
            circuits = []
            for draw in range(DRAWS):
                task = everything.select(slice(draw * count, (draw + 1) * count))
                found = ms.discover(subject, task, progress=False).circuit(n_edges=EDGES)
                circuits.append(set(found.edges()))
            lines[name].append(float(np.median([overlap(*pair) for pair in combinations(circuits, 2)])))
        edges = techniques.EdgeGraph.of(subject).edge_names()
        drawn = [set(generator.choice(edges, EDGES, replace=False).tolist()) for _ in range(200)]
        random.append(float(np.mean([overlap(*pair) for pair in zip(drawn[::2], drawn[1::2], strict=True)])))
    figure = viz.curves(
        PROMPTS,
        lines,
        title=f"Two circuits of {EDGES} edges for one behaviour, found with different prompts",
        x_title="prompts per circuit",
        y_title="shared edges (Jaccard index)",
        markers=[viz.Marker(max(random), "random sets of edges", axis="y")],
        points=True,
        log_x=True,
    )
    ioi, text = lines.values()
    return StartingPoint(
        baseline={
            "overlap with 64 prompts each, ioi-twin (Jaccard index)": ioi[-1],
            "overlap with 1 prompt each, code (Jaccard index)": text[0],
            "overlap with 64 prompts each, code (Jaccard index)": text[-1],
            "overlap of random sets of edges, code (Jaccard index)": random[-1],
        },
        figure=figure,
        caption=f"For code, two circuits from one prompt each share {text[0]:.2f} of their edges, and from "
        f"{PROMPTS[-1]} prompts each {text[-1]:.2f}. For indirect objects it is {ioi[0]:.2f} and {ioi[-1]:.2f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
