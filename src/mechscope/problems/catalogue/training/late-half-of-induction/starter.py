"""Which weights are late when copying is learned? Give young models some from an older one."""

import torch

import mechscope as ms
from mechscope import viz
from mechscope.problems import StartingPoint, run_starter

STEPS = (0, 100, 200, 400, 500, 600, 700, 800, 900, 1000, 1200, 1400)
"""Checkpoints of the first phase of training, on repeated random blocks."""
DONOR, SHOWN = 1400, 700
HALF, ROWS = 31, 48


def starting_point(seed: int = 0) -> StartingPoint:
    models = {
        step: ms.load_model("mini-attn-only-2l", checkpoint_value=step, process=False) for step in STEPS
    }
    generator = torch.Generator().manual_seed(seed)
    block = torch.randint(1, 512, (ROWS, HALF), generator=generator)
    tokens = torch.cat([torch.zeros(ROWS, 1, dtype=torch.long), block, block], 1)  # token 0 begins every text

    @torch.no_grad()
    def loss(model: ms.HookedTransformer) -> float:
        """Loss on the second copy, where everything can be known (nats)."""
        return float(model(tokens, return_type="loss", loss_per_token=True)[:, HALF + 1 :].mean())

    def with_donor(step: int, parts: tuple[str, ...]) -> float:
        """The loss of a checkpoint that got some of its weights from the donor."""
        young, donor = models[step].state_dict(), models[DONOR].state_dict()
        mixed = {name: donor[name] if name.startswith(parts) else weight for name, weight in young.items()}
        receiver.load_state_dict(mixed)
        return loss(receiver)

    receiver = ms.load_model("mini-attn-only-2l", checkpoint_value=0, process=False)
    donated = {
        "as it was": (),
        "older layer 0": ("blocks.0.",),
        "older layer 1": ("blocks.1.",),
        "both layers": ("blocks.",),
        "older embeddings": ("embed.", "pos_embed.", "unembed.", "ln_final."),
    }
    curves = {
        name: [with_donor(step, parts) if parts else loss(models[step]) for step in STEPS]
        for name, parts in donated.items()
    }
    halfway = (curves["as it was"][0] + curves["as it was"][-1]) / 2
    at = STEPS.index(SHOWN)
    figure = viz.curves(
        STEPS,
        curves,
        title="mini-attn-only-2l: copying, with some weights from the end of the first phase",
        x_title="training step of the receiving model",
        y_title="loss on the second copy (nats)",
        points=True,
        markers=[viz.Marker(halfway, "halfway", "y")],
    )
    return StartingPoint(
        baseline={
            f"loss on the second copy at step {SHOWN}, {name} (nats)": curves[name][at]
            for name in ("as it was", "older layer 0", "older layer 1", "both layers")
        },
        figure=figure,
        caption=(
            f"At step {SHOWN} the model's loss is {curves['as it was'][at]:.2f} nats. With both layers from step "
            f"{DONOR:,} it is {curves['both layers'][at]:.2f}, and with the embeddings from there, those of tokens, "
            f"places and answers, {curves['older embeddings'][at]:.2f}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
