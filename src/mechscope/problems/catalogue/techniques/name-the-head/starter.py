"""How many heads of planted models do the five usual attention patterns describe?"""

import mechscope as ms
from mechscope import planted, techniques, viz
from mechscope.problems import StartingPoint, run_starter

PATTERNS = ["previous", "duplicate", "induction", "first", "same"]
GOOD = 0.9  # share of its attention that a description must predict


def best_pattern(
    model: ms.HookedTransformer, task: ms.tasks.Task
) -> dict[tuple[int, int], tuple[float, str]]:
    """For each head the pattern that predicts most of its attention, and how much."""
    found: dict[tuple[int, int], tuple[float, str]] = {}
    for pattern in PATTERNS:
        try:
            scores = techniques.head_scores(model, task, pattern).values.values
        except ValueError:  # no prompt of this program has a key for the pattern
            continue
        for layer in range(model.cfg.n_layers):
            for head in range(model.cfg.n_heads):
                now = (float(scores[layer, head]), pattern)
                found[layer, head] = max(found.get((layer, head), (0.0, "none")), now)
    return found


def starting_point(seed: int = 0) -> StartingPoint:
    names, scores, idle = [], [], []
    for program in planted.PROGRAMS:
        compiled = planted.load(program, extra_heads=1, seed=seed)
        best = best_pattern(compiled.model, compiled.task(32, seed=seed))
        for place, (score, pattern) in best.items():
            if place in compiled.true_heads:
                names.append(f"{program} a{place[0]}.h{place[1]}: {pattern}")
                scores.append(score)
            else:  # an extra head, which computes nothing
                idle.append(score)
    order = sorted(range(len(names)), key=lambda each: -scores[each])
    named = sum(score >= GOOD for score in scores)
    figure = viz.ranked_bars(
        [names[each] for each in order],
        [scores[each] for each in order],
        title="The best of five patterns for each head of the planted models",
        x_title="share of the head's attention that the pattern predicts",
        y_title="head and its best pattern",
        number_format=".2f",
    )
    figure.update_layout(height=80 + 22 * len(names))
    return StartingPoint(
        baseline={
            f"heads described by a pattern (of {len(names)})": float(named),
            "attention predicted by the best pattern, mean over heads (share)": sum(scores) / len(scores),
            "the same for heads that compute nothing (share)": sum(idle) / len(idle),
        },
        figure=figure,
        caption=f"For {named} of {len(names)} heads one of the five patterns predicts at least {GOOD:.0%} of the "
        f"attention. The mean of the best pattern is {sum(scores) / len(scores):.2f}; for heads that compute nothing "
        f"it is {sum(idle) / len(idle):.2f}, because the best of five was chosen.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
