"""Are several induction heads partners or spares? Knock out every set of them, in models that have four."""

from itertools import combinations

import numpy as np

import mechscope as ms
from mechscope import techniques, viz
from mechscope.problems import StartingPoint, run_starter

MODELS = ["mini-attn-only-2l", "mini-gelu-2l", "mini-solu-2l"]


def starting_point(seed: int = 0) -> StartingPoint:
    heads = [f"a1.h{head}" for head in range(4)]
    sets = [chosen for size in (1, 2, 3, 4) for chosen in combinations(heads, size)]
    sums, joint, apart = [], [], {}
    for name in MODELS:
        model = ms.load_model(name)
        task = ms.tasks.repeated_random_tokens(model, n=16, seed=seed, bos=model.tokenizer.bos_token_id)
        lost = {
            chosen: float(
                techniques.knock_out(model, task, chosen, seed=seed, progress=False).values.sel(
                    series="together"
                )[-1]
            )
            for chosen in sets
        }
        predicted = np.array([sum(lost[(head,)] for head in chosen) for chosen in sets[4:]])
        measured = np.array([lost[chosen] for chosen in sets[4:]])
        sums.append(sum(lost[(head,)] for head in heads))
        joint.append(lost[tuple(heads)])
        apart[name] = float(np.abs(predicted - measured).mean())
    figure = viz.bars(
        MODELS,
        {"sum of the four, each removed alone": sums, "all four removed together": joint},
        title="Four induction heads, removed one at a time and together",
        x_title="model",
        y_title="share of the behaviour lost",
        markers=[viz.Marker(1.0, "all of it", axis="y")],
        number_format=".2f",
    )
    return StartingPoint(
        baseline={
            f"error of adding single effects, {name} (share of the behaviour)": error
            for name, error in apart.items()
        },
        figure=figure,
        caption=f"If the heads only added up, the two bars of a model would be equal; if they were spares for each "
        f"other, the first would be much lower. In {MODELS[1]} the single effects sum to {sums[1]:.2f}, and all four "
        f"together cost {joint[1]:.2f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
