"""Does a model close the bracket that is open, or the one that it saw last?"""

import random

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter

MODELS = ["mini-gelu-1l", "mini-gelu-2l", "mini-gelu-4l", "mini-attn-only-4l"]
NAMES = ["a", "b", "x", "i", "n", "s", "key", "value", "self", "line", "result", "text", "data", "width"]
CLOSING = {"(": ")", "[": "]"}
FORMS = {
    "one bracket": "    {u} = {f}{open}{v}, {w}",
    "another one closed since": "    {u} = {f}{open}{v}{other}{w}{close}, {u}",
    "another one closed before": "    {u} = {f}{other}{v}{close}{open}{w}",
}


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    chosen = random.Random(seed)
    words = [{each: chosen.choice(NAMES) for each in "ufvw"} for _ in range(60)]
    shifts: dict[str, list[float]] = {form: [] for form in FORMS}
    for name in MODELS:
        model = ms.load_model(name)
        parenthesis, square = (
            int(model.to_tokens(mark, prepend_bos=False)[0, 0]) for mark in CLOSING.values()
        )
        for form, pattern in FORMS.items():
            towards = []
            for opening, other in (("(", "["), ("[", "(")):
                texts = [
                    pattern.format(open=opening, other=other, close=CLOSING[other], **each) for each in words
                ]
                last = torch.stack([model(text)[0, -1] for text in texts])
                towards.append((last[:, parenthesis] - last[:, square]).mean())
            # How much further the logits lean towards ")" when "(" is open than when "[" is open.
            shifts[form].append(float(towards[0] - towards[1]))
    figure = viz.bars(
        MODELS,
        shifts,
        title="How far an open bracket moves the prediction towards its closing bracket",
        x_title="model",
        y_title="shift (logits; above 0 is right)",
        number_format=".2f",
    )
    nested = shifts["another one closed since"]
    best = max(range(len(MODELS)), key=lambda each: nested[each])
    return StartingPoint(
        baseline={
            "shift of mini-gelu-2l, one bracket (logits)": shifts["one bracket"][1],
            "shift of mini-gelu-2l, another one closed since (logits)": nested[1],
            f"best shift of any of the {len(MODELS)} models, another one closed since (logits)": nested[best],
        },
        figure=figure,
        caption=f"With one bracket every model leans the right way, {MODELS[1]} by {shifts['one bracket'][1]:.1f} "
        f"logits. When another pair has been opened and closed since, the shift of {MODELS[1]} is {nested[1]:.2f}: it "
        f"leans towards the bracket that is already closed. No model does better than {nested[best]:.2f}.",
    )


if __name__ == "__main__":
    run_starter(starting_point)
