"""Split the attention score of an induction head by what wrote its query and what wrote its key."""

import torch

import mechscope as ms
from mechscope import techniques, viz
from mechscope.problems import StartingPoint, run_starter


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("induction-2l")
    task = ms.tasks.repeated_random_tokens(model, n=64, seed=seed, bos=model.cfg.d_vocab - 1)
    head = int(techniques.head_scores(model, task, "induction").values.values[1].argmax())
    _, cache = model.run_with_cache(task.clean)
    # What enters layer 1 is a sum: the token, and what each head of layer 0 wrote.
    writers = {"token": cache["embed"]}
    writers |= {f"a0.h{each}": part for each, part in enumerate(cache.stack_head_results(1))}
    norm = model.blocks[1].ln1

    def split(weight: torch.Tensor, total: torch.Tensor) -> dict[str, torch.Tensor]:
        """A query or key [batch pos d_head] as a sum over writers; positions and biases are what is left."""
        parts = {
            name: ((part - part.mean(-1, keepdim=True)) / cache["scale", 1, "ln1"] * norm.w) @ weight[1, head]
            for name, part in writers.items()
        }
        return {**parts, "the rest": total[:, :, head] - sum(parts.values())}

    queries, keys = split(model.W_Q, cache["q", 1]), split(model.W_K, cache["k", 1])
    half = task.length // 2
    from_here = torch.arange(half + 1, task.length)  # the second copy of the tokens
    to_there = from_here - half  # counted from key 1: the token after the first copy of the same one
    table = torch.zeros(len(queries), len(keys))
    for row, q in enumerate(queries.values()):
        for column, k in enumerate(keys.values()):
            scores = (q[:, from_here] @ k.transpose(1, 2))[:, :, 1 : half + 1] / model.cfg.attn_scale
            right = scores[:, torch.arange(len(from_here)), to_there]
            table[row, column] = (right - scores.mean(-1)).mean()
    names, total = list(queries), float(table.sum())
    row, column = divmod(int(table.argmax()), len(names))
    share = float(table[row, column]) / total
    figure = viz.heatmap(
        table,
        title=f"Why head 1.{head} looks there: score of the right key above the mean key",
        x_title="writer of the key",
        y_title="writer of the query",
        unit="attention score",
        x=names,
        y=names,
        write_numbers=True,
    )
    return StartingPoint(
        baseline={
            "score of the right key above the mean key": total,
            f"share of the largest pair (query: {names[row]}, key: {names[column]})": share,
            "share of all other pairs": 1 - share,
        },
        figure=figure,
        caption=f"The right key scores {total:.1f} above the mean key. The largest pair explains {share:.0%}: query "
        f"from {names[row]}, key from {names[column]}. The other {len(names) ** 2 - 1} pairs share {1 - share:.0%}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
