"""How many edges does ordinary text need? One circuit for every token of Python code."""

import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

SHARES = [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0]


def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-2l")
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    rows = tokenize_and_concatenate([code], model.tokenizer, max_length=32)["tokens"]
    rows = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]

    def task(rows: torch.Tensor) -> ms.tasks.Task:
        """Predict the last token; the twin of every row is another row, which says nothing about it."""
        twins = rows.roll(1, 0)
        return ms.tasks.from_tokens(rows[:, :-1], twins[:, :-1], rows[:, -1], metric="log_probability")

    found = ms.discover(model, task(rows[:300]), progress=False)
    sizes = [max(1, round(share * found.graph.n_edges)) for share in SHARES]
    result = techniques.evaluate(
        model, task(rows[300:500]), found.circuits(sizes), draws=3, seed=seed, progress=False
    ).faithfulness.values
    edges = result.coords["size"].values / found.graph.n_edges
    figure = viz.curves(
        edges,
        {"circuit": result.values[0], "random edges": result.values[1]},
        title="One circuit for Python code in mini-gelu-2l, on held-out text",
        x_title="share of edges kept",
        y_title="share of the gain from context kept",
        points=True,
    )
    enough = float(edges[result.values[0] >= 0.9].min())
    quarter = float(result.values[0][abs(edges - 0.3).argmin()])
    return StartingPoint(
        baseline={
            "smallest circuit tried that keeps 0.9 of the gain (share of edges)": enough,
            "kept by about 0.3 of the edges (share of the gain)": quarter,
            "kept by as many random edges (share of the gain)": float(
                result.values[1][abs(edges - 0.3).argmin()]
            ),
        },
        figure=figure,
        caption=f"To keep 0.9 of what the right text is worth over a wrong one, the circuit needs {enough:.0%} of "
        f"{found.graph.n_edges} edges. With about 30 % of them it keeps {quarter:.2f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
