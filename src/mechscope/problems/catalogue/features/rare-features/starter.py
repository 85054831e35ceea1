"""What does a feature do to the loss each time it fires, if it fires rarely?"""

import torch

import mechscope as ms
from mechscope import dictionaries, viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter

ROWS, MOST = 700, 400
"""Texts, and the most firings of a feature that are looked at."""


@torch.no_grad()
def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-1l")
    sae = dictionaries.load("mini-gelu-1l-neurons").float()
    text = "\n".join(read_standard_library()[name] for name in HELD_OUT_CODE)
    begin, *ids = model.to_tokens(text, truncate=False)[0].tolist()
    width = model.cfg.n_ctx - 1
    rows = min(ROWS, len(ids) // width)
    tokens = torch.tensor(ids[: rows * width]).view(rows, width)
    tokens = torch.cat([torch.full((rows, 1), begin), tokens], 1)
    hooks = ["blocks.0.mlp.hook_post", "blocks.0.hook_resid_post"]
    _, cache = model.run_with_cache(tokens, names_filter=hooks)
    features = sae.encode(cache[hooks[0]][:, 1:-1].flatten(0, 1))
    stream = cache[hooks[1]][:, 1:-1].flatten(0, 1)
    following = tokens[:, 2:].flatten()
    written = sae.W_dec @ model.blocks[0].mlp.W_out  # what a feature adds to the residual stream

    def loss(x: torch.Tensor, answers: torch.Tensor) -> torch.Tensor:
        return torch.nn.functional.cross_entropy(
            model.unembed(model.ln_final(x[None]))[0], answers, reduction="none"
        )

    generator = torch.Generator().manual_seed(seed)
    density = (features > 0).double().mean(0)
    costs, null = [], []
    used = ((features > 0).sum(0) >= 10).nonzero()[:, 0]
    for feature in used:
        fires = (features[:, feature] > 0).nonzero()[:, 0]
        fires = fires[torch.randperm(len(fires), generator=generator)[:MOST]]
        x, answers = stream[fires], following[fires]
        removed = features[fires, feature, None] * written[feature]
        noise = torch.randn(removed.shape, generator=generator)
        noise = noise / noise.norm(dim=1, keepdim=True) * removed.norm(dim=1, keepdim=True)
        before = loss(x, answers)
        costs.append(float((loss(x - removed, answers) - before).mean()))
        null.append(float((loss(x - noise, answers) - before).mean()))
    cost, random = torch.tensor(costs), torch.tensor(null)
    order = density[used].argsort()
    quarters = [part.mean().item() for part in cost[order].chunk(4)]
    by_noise = [part.mean().item() for part in random[order].chunk(4)]
    figure = viz.bars(
        ["rarest quarter", "second", "third", "most frequent quarter"],
        {"feature removed": quarters, "random change of the same length": by_noise},
        title="Loss per firing when a feature is removed (mini-gelu-1l, unseen code)",
        x_title="features by how often they fire",
        y_title="rise of the loss (nats per firing)",
        number_format=".3f",
    )
    return StartingPoint(
        baseline={
            "rise of the loss per firing, rarest quarter (nats)": quarters[0],
            "rise of the loss per firing, most frequent quarter (nats)": quarters[-1],
            "the same for random changes, rarest quarter (nats)": by_noise[0],
            "features that lower the loss when removed (share)": float((cost < 0).double().mean()),
        },
        figure=figure,
        caption=(
            f"The rarest quarter of {len(used)} features (on up to {float(density[used].quantile(0.25)):.1%} of the "
            f"tokens) is worth {quarters[0]:.3f} nats each time one fires, the most frequent {quarters[-1]:.3f}. "
            f"Random changes of the same length cost {by_noise[0]:.3f} and {by_noise[-1]:.3f}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
