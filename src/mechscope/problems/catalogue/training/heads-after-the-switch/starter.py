"""After a model moves from random blocks to text, do the same heads go on copying?"""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter

BEFORE, STEPS = 1400, (1000, 1200, 1400, 1600, 1900, 2300, 3100)
"""Text joins the training data after step 1,400."""
HALF, ROWS = 31, 48


def starting_point(seed: int = 0) -> StartingPoint:
    generator = torch.Generator().manual_seed(seed)
    block = torch.randint(1, 512, (ROWS, HALF), generator=generator)
    tokens = torch.cat([torch.zeros(ROWS, 1, dtype=torch.long), block, block], 1)  # token 0 begins every text
    models = {s: ms.load_model("mini-attn-only-2l", checkpoint_value=s, process=False) for s in STEPS}
    pattern = "blocks.1.attn.hook_pattern"

    @torch.no_grad()
    def loss(model: ms.HookedTransformer) -> float:
        return float(model(tokens, return_type="loss", loss_per_token=True)[:, HALF + 1 :].mean())

    scores = []  # attention from a token to the one after its first occurrence [step, head]
    for model in models.values():
        with torch.no_grad():
            _, cache = model.run_with_cache(tokens, names_filter=pattern)
        scores.append(cache[pattern].diagonal(1 - HALF, dim1=2, dim2=3)[..., 1:].mean((0, 2)))
    scores = torch.stack(scores)

    # Do the old heads still fit? Put each old head of layer 1, or all of layer 1, into the final model.
    final, old = models[STEPS[-1]], models[BEFORE].state_dict()
    own = final.state_dict()
    names = [name for name in own if name.startswith("blocks.1.attn.") and own[name].shape[:1] == (4,)]

    def with_old(heads: list[int]) -> float:
        mixed = {name: weight.clone() for name, weight in own.items()}
        for name in names:
            mixed[name][heads] = old[name][heads]
        receiver.load_state_dict(mixed)
        return loss(receiver)

    receiver = ms.load_model("mini-attn-only-2l", checkpoint_value=0, process=False)
    single = [with_old([head]) for head in range(4)]
    together = with_old([0, 1, 2, 3])
    now = loss(final)
    figure = viz.curves(
        STEPS,
        {f"head 1.{head}": scores[:, head] for head in range(4)},
        title="Copying heads of mini-attn-only-2l, before and after text joins the data",
        x_title="training step",
        y_title="prefix score (attention)",
        points=True,
        markers=[viz.Marker(BEFORE, "text begins")],
    )
    return StartingPoint(
        baseline={
            "loss on a repeated block, final model (nats)": now,
            "the same with one head from before the switch, mean (nats)": sum(single) / 4,
            "the same with all four heads from before the switch (nats)": together,
            "largest change of a head's prefix score (attention)": float(
                (scores[-1] - scores[2]).abs().max()
            ),
        },
        figure=figure,
        caption=(
            f"The final model copies with a loss of {now:.2f} nats. With a single head put back to step {BEFORE:,} the "
            f"loss is {min(single):.2f} to {max(single):.2f}, with all four {together:.2f}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
