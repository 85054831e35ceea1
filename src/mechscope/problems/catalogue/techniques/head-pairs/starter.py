"""Which pairs of heads do more, or less, together than apart, and can single effects tell?"""

from itertools import combinations

import numpy as np

import mechscope as ms
from mechscope import techniques, viz
from mechscope.problems import StartingPoint, run_starter

LIMIT = 0.05  # share of the behaviour by which a pair must differ from the sum of its heads


def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-3l")
    task = ms.tasks.repeated_random_tokens(model, n=16, seed=seed, bos=model.tokenizer.bos_token_id)
    heads = [f"a{layer}.h{head}" for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    together = np.zeros((len(heads), len(heads)))
    single = np.zeros(len(heads))
    for first, second in combinations(range(len(heads)), 2):
        lost = techniques.knock_out(
            model, task, [heads[first], heads[second]], seed=seed, progress=False
        ).values
        single[first], single[second] = lost.sel(series="alone").values
        together[first, second] = float(lost.sel(series="together")[-1])
    rows, columns = np.triu_indices(len(heads), 1)
    interaction = together[rows, columns] - single[rows] - single[columns]
    matrix = np.zeros_like(together)
    matrix[rows, columns] = matrix[columns, rows] = interaction
    real = np.abs(interaction) > LIMIT
    guess = np.abs(single[rows] * single[columns])  # pairs of heads that both matter
    apart = guess[real][:, None] - guess[~real][None]
    auroc = float(((apart > 0) + 0.5 * (apart == 0)).mean())
    tested = int(np.sort(np.argsort(np.argsort(-guess))[real])[int(np.ceil(0.9 * real.sum())) - 1]) + 1
    figure = viz.heatmap(
        matrix,
        title="Copying in mini-gelu-3l: effect of a pair, minus the effects of its two heads",
        x_title="head",
        y_title="head",
        unit="share of the behaviour",
        x=heads,
        y=heads,
        centred=True,
    )
    return StartingPoint(
        baseline={
            f"pairs that interact by more than {LIMIT}": float(real.sum()),
            "AUROC of the product of single effects": auroc,
            "share of pairs to test before 90 % of them are found": tested / len(guess),
        },
        figure=figure,
        caption=f"{real.sum()} of {len(guess)} pairs differ from the sum of their heads by more than {LIMIT} of the "
        f"behaviour. Testing pairs in the order of the product of their single effects finds 90 % of them after "
        f"{tested} pairs (AUROC {auroc:.2f}; 0.5 is chance).",
    )


if __name__ == "__main__":
    run_starter(starting_point)
