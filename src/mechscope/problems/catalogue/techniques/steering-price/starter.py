"""What a steering vector costs on other text, compared with what it achieves."""

import random

import numpy as np

import mechscope as ms
from mechscope import techniques, viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter
from mechscope.utils import tokenize_and_concatenate

NAMES = ["a", "x", "i", "n", "key", "value", "self", "line", "result", "text", "data", "width"]
COEFFICIENTS = [0.0, 0.25, 0.5, 1.0, 2.0, 3.0]


def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-attn-only-4l")
    chosen = random.Random(seed)
    words = [[chosen.choice(NAMES) for _ in range(3)] for _ in range(64)]
    # Which bracket is open? The vector should move prompts with "[" towards ")".
    task = ms.tasks.from_prompts(
        model,
        [f"    {u} = {f}({v}, {u}" for u, f, v in words],
        [f"    {u} = {f}[{v}, {u}" for u, f, v in words],
        [")"] * len(words),
        ["]"] * len(words),
        name="open bracket",
    )
    learn, test = task.split(0.5)
    library = read_standard_library()  # every bundled model was trained without HELD_OUT_CODE
    code = "\n".join(library[module] for module in HELD_OUT_CODE)
    text = tokenize_and_concatenate([code], model.tokenizer, max_length=model.cfg.n_ctx)["tokens"][:60]
    layer = 2
    vector = techniques.steering_vector(model, learn, layer=layer)
    curve = techniques.steering_curve(
        model, test, vector, layer, COEFFICIENTS, text=text, n_random=10, seed=seed, progress=False
    )
    effect = curve.effect.values.values
    price = np.log(curve.perplexity.values.values) - np.log(curve.perplexity.values.values[0, 0])
    figure = viz.curves(
        COEFFICIENTS,
        {
            "share of the behaviour moved": effect[0],
            "loss added on other code": price[0],
            "share moved by random directions": effect[1],
        },
        title="Steering mini-attn-only-4l towards a closing parenthesis",
        x_title="coefficient of the vector",
        y_title="share of the behaviour, and nats of loss",
        markers=[viz.Marker(1.0, "as if the bracket were the other one", axis="y")],
        points=True,
    )
    half = float(np.interp(0.5, effect[0], price[0]))
    one = COEFFICIENTS.index(1.0)
    return StartingPoint(
        baseline={
            "share of the behaviour moved at coefficient 1": float(effect[0, one]),
            "loss added on other code at coefficient 1 (nats)": float(price[0, one]),
            "loss added where half of the behaviour is moved (nats)": half,
        },
        figure=figure,
        caption=f"At coefficient 1 the vector moves {effect[0, one]:.2f} of the behaviour and costs "
        f"{price[0, one]:.3f} nats on code that has nothing to do with it; random directions of the same length move "
        f"{effect[1, one]:.2f}. Moving half of the behaviour costs {half:.3f} nats.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
