"""Two dictionaries from two seeds: how many features do they share, and how much of the work do those do?"""

import torch

import mechscope as ms
from mechscope import dictionaries, viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.dictionaries.evaluation import feature_recovery
from mechscope.problems import StartingPoint, run_starter

HOOK, LATENTS, K, STEPS = "blocks.0.mlp.hook_post", 128, 8, 500
SHARED = 0.7
"""A feature is shared if its partner in the best one-to-one matching has at least this cosine."""


def activations(model: ms.HookedTransformer, modules: tuple[str, ...], rows: int) -> torch.Tensor:
    """Neurons on Python code [example neuron], without the first position."""
    text = "\n".join(read_standard_library()[name] for name in modules)
    begin, *ids = model.to_tokens(text, truncate=False)[0].tolist()
    width = model.cfg.n_ctx - 1
    rows = min(rows, len(ids) // width)
    tokens = torch.tensor(ids[: rows * width]).view(rows, width)
    tokens = torch.cat([torch.full((rows, 1), begin), tokens], 1)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=HOOK)
    return cache[HOOK][:, 1:].flatten(0, 1)


def starting_point(seed: int = 0) -> StartingPoint:
    model = ms.load_model("mini-gelu-1l")
    x = activations(model, ("argparse.py", "ast.py", "datetime.py"), 700)
    test = activations(model, HELD_OUT_CODE, 150)
    shape = dictionaries.TopKConfig(d_in=x.shape[1], d_sae=LATENTS, k=K)
    pair = {name: dictionaries.build(shape, generator=2 * seed + i) for i, name in enumerate(("one", "two"))}
    config = dictionaries.TrainingConfig(steps=STEPS, lr=1e-2, lr_decay=150, seed=seed)
    dictionaries.train(pair, dictionaries.TensorStream(x, batch_size=256, seed=seed), config, progress=False)
    one, two = pair["one"], pair["two"]
    match = feature_recovery(two.W_dec.detach(), one.W_dec.detach())
    generator = torch.Generator().manual_seed(seed)
    turn = torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], generator=generator)).Q
    null = feature_recovery(two.W_dec.detach() @ turn, one.W_dec.detach())
    shared = match.matched >= SHARED

    @torch.no_grad()
    def explained(kept: torch.Tensor) -> float:
        """Variance explained by some of the first dictionary's features alone."""
        rest = test - one.decode(one.encode(test) * kept)
        rest = rest - rest.mean(0)
        return 1 - float(rest.square().sum() / (test - test.mean(0)).square().sum())

    everything = explained(torch.ones(LATENTS, dtype=torch.bool))
    work = explained(shared) / everything
    by_chance = explained(shared[torch.randperm(LATENTS, generator=generator)]) / everything
    figure = viz.curves(
        torch.linspace(0, 1, LATENTS),
        {"another seed": match.matched.sort().values, "another seed, rotated": null.matched.sort().values},
        title=f"Two dictionaries of {LATENTS} features, trained on the same activations",
        x_title="share of features with a smaller cosine",
        y_title="cosine with the partner",
        markers=[viz.Marker(SHARED, "counts as shared", "y")],
    )
    return StartingPoint(
        baseline={
            "features shared by two seeds (share)": float(shared.double().mean()),
            "explained variance that shared features give alone (share of all)": work,
            "the same for as many features at random (share of all)": by_chance,
        },
        figure=figure,
        caption=(
            f"{float(shared.double().mean()):.0%} of the features have a partner with a cosine of {SHARED} or more; "
            f"after a rotation {float((null.matched >= SHARED).double().mean()):.0%} do. Alone, the shared ones "
            f"explain {work:.0%} of what all explain, as many random ones {by_chance:.0%}."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
