"""Does sensitivity to noise in the weights announce that copying is about to be learned?"""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter

STEPS = (0, 100, 200, 400, 500, 600, 700, 800, 900, 1000, 1200, 1400)
NOISE, DRAWS, ROWS = 0.1, 8, 48
"""Noise is a share of a matrix's root mean square."""


def starting_point(seed: int = 0) -> StartingPoint:
    generator = torch.Generator().manual_seed(seed)
    # What the model is trained on in this phase: a block of 4 to 31 random tokens, over and over.
    length = torch.randint(4, 32, (ROWS, 1), generator=generator)
    drawn = torch.randint(1, 512, (ROWS, 63), generator=generator)
    tokens = torch.cat([torch.zeros(ROWS, 1).long(), drawn.gather(1, torch.arange(63)[None] % length)], 1)
    loss, rise, rise_error = [], [], []
    for step in STEPS:
        model = ms.load_model("mini-attn-only-2l", checkpoint_value=step, process=False)
        matrices = [weight for weight in model.parameters() if weight.ndim > 1]
        kept = [weight.detach().clone() for weight in matrices]
        with torch.no_grad():
            loss.append(model(tokens, return_type="loss"))
            rises = torch.zeros(DRAWS)
            for draw in range(DRAWS):
                for weight, old in zip(matrices, kept, strict=True):
                    noise = torch.randn(old.shape, generator=generator)
                    weight.copy_(old + NOISE * old.square().mean().sqrt() * noise)
                rises[draw] = model(tokens, return_type="loss") - loss[-1]
        rise.append(rises.mean())
        rise_error.append(rises.std() / DRAWS**0.5)
    losses, rises, errors = torch.stack(loss), torch.stack(rise), torch.stack(rise_error)
    fall = -losses.diff() / torch.tensor(STEPS).diff()
    fastest, peak = int(fall.argmax()), int(rises.argmax())
    clear = (rises - rises[0]) / (errors.square() + errors[0].square()).sqrt()
    figure = viz.curves(
        STEPS,
        {"sensitivity to noise": rises},
        title=f"mini-attn-only-2l: what {NOISE:.0%} noise in every weight costs",
        x_title="training step",
        y_title="rise of the loss (nats per token)",
        points=True,
        markers=[viz.Marker(STEPS[fastest], "from here the loss falls fastest")],
    )
    return StartingPoint(
        baseline={
            "step from which the training loss falls fastest": float(STEPS[fastest]),
            "step at which sensitivity is largest": float(STEPS[peak]),
            "largest sensitivity (standard errors above that of step 0)": float(clear[peak]),
        },
        figure=figure,
        caption=(
            f"The training loss falls fastest after step {STEPS[fastest]:,}. Sensitivity to noise is largest at step "
            f"{STEPS[peak]:,}, with {float(rises[peak]):.3f} nats, and has fallen to {float(rises[-1]):.3f} by step "
            f"{STEPS[-1]:,}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
