"""Remove each head of mini-gelu-4l in four ways while it copies a repeated block of random tokens."""

import numpy as np

import mechscope as ms
from mechscope import techniques, viz
from mechscope.problems import StartingPoint, run_starter


def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-4l")
    task = ms.tasks.repeated_random_tokens(model, n=32, seed=seed, bos=model.tokenizer.bos_token_id)
    # "mean" and "resample" take their values from the corrupted prompts, in which nothing repeats.
    lost = {
        f"ablation: {how}": techniques.ablation(model, task, "heads", how, seed=seed, progress=False)
        for how in ("zero", "mean", "resample")
    }
    lost["patched from the same prompt"] = ms.patch(model, task, "head", direction="noise", progress=False)
    effects = {name: result.values.values.flatten() for name, result in lost.items()}
    induction = techniques.head_scores(model, task, "induction").values.values.flatten()
    direct = techniques.direct_logit_attribution(model, task, "head")
    written = direct.contributions.values.values.flatten() / direct.total
    heads = [f"a{layer}.h{head}" for layer in range(model.cfg.n_layers) for head in range(model.cfg.n_heads)]
    shown = np.argsort(-np.max(list(effects.values()), axis=0))[:6]
    figure = viz.bars(
        [heads[each] for each in shown],
        {name: values[shown] for name, values in effects.items()},
        title="Copying in mini-gelu-4l: what is lost without each head",
        x_title="head",
        y_title="share of the behaviour lost",
        number_format=".2f",
    )
    gap = effects["ablation: resample"] - effects["ablation: zero"]
    late = np.arange(len(heads)) >= 3 * model.cfg.n_heads  # heads of the last layer
    odd = int(np.argmax(np.where(late, gap, -np.inf)))
    return StartingPoint(
        baseline={
            f"lost without {heads[odd]}, resampled (share)": float(effects["ablation: resample"][odd]),
            f"lost without {heads[odd]}, zeroed (share)": float(effects["ablation: zero"][odd]),
            f"written to the right logit directly by {heads[odd]} (share)": float(written[odd]),
            f"induction score of {heads[odd]}": float(induction[odd]),
        },
        figure=figure,
        caption=f"{heads[odd]} looks at the token to copy with {induction[odd]:.2f} of its attention, and writes "
        f"{abs(written[odd]):.3f} of the answer. Zeroing it costs {effects['ablation: zero'][odd]:.2f} of the "
        "behaviour. Giving it an output that it has where nothing repeats costs "
        f"{effects['ablation: resample'][odd]:.2f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
