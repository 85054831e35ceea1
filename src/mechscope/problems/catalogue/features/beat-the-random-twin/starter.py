"""Do the features of a trained model look better than those of a model with random weights?"""

import torch

import mechscope as ms
from mechscope import dictionaries, viz
from mechscope.data.python_code import HELD_OUT_CODE, read_standard_library
from mechscope.problems import StartingPoint, run_starter

HOOK, LATENTS, K, STEPS, TOP = "blocks.0.mlp.hook_post", 256, 16, 250, 20


def activations(model: ms.HookedTransformer, modules: tuple[str, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    """Neurons on Python code [example neuron] without the first position, and the tokens there."""
    text = "\n".join(read_standard_library()[name] for name in modules)
    begin, *ids = model.to_tokens(text, truncate=False)[0].tolist()
    width = model.cfg.n_ctx - 1
    rows = min(500, len(ids) // width)
    tokens = torch.tensor(ids[: rows * width]).view(rows, width)
    tokens = torch.cat([torch.full((rows, 1), begin), tokens], 1)
    with torch.no_grad():
        _, cache = model.run_with_cache(tokens, names_filter=HOOK)
    return cache[HOOK][:, 1:].flatten(0, 1), tokens[:, 1:].flatten()


def purities(model: ms.HookedTransformer, seed: int) -> tuple[torch.Tensor, float]:
    """For each feature the share of its strongest examples with the same token, and the error of the dictionary."""
    x, _ = activations(model, ("argparse.py", "datetime.py"))
    sae = dictionaries.build(dictionaries.TopKConfig(d_in=x.shape[1], d_sae=LATENTS, k=K), generator=seed)
    config = dictionaries.TrainingConfig(steps=STEPS, lr=4e-3, lr_decay=80, seed=seed)
    dictionaries.train(sae, dictionaries.TensorStream(x, batch_size=256, seed=seed), config, progress=False)
    test, tokens = activations(model, HELD_OUT_CODE)
    with torch.no_grad():
        features = sae.encode(test)
        error = float((test - sae.decode(features)).square().sum() / (test - test.mean(0)).square().sum())
    used = (features > 0).sum(0) >= TOP
    best = tokens[features[:, used].topk(TOP, dim=0).indices]  # [rank, feature]
    commonest = torch.stack([column.bincount().max() for column in best.T])
    return commonest.double() / TOP, error


def starting_point(seed: int = 0) -> StartingPoint:
    trained = ms.load_model("mini-gelu-1l", process=False)
    twin = ms.HookedTransformer(trained.cfg, tokenizer=trained.tokenizer)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():  # every matrix keeps its numbers, in random order
        for new, old in zip(twin.parameters(), trained.parameters(), strict=True):
            new.copy_(old.flatten()[torch.randperm(old.numel(), generator=generator)].view(old.shape))
    (pure, error), (pure_twin, error_twin) = purities(trained, seed), purities(twin, seed)
    places = torch.linspace(0, 1, 101).double()
    figure = viz.curves(
        places,
        {"trained": pure.quantile(places), "weights in random order": pure_twin.quantile(places)},
        title=f"How alike are the {TOP} strongest examples of a feature?",
        x_title="share of features with less",
        y_title="examples with one token (share)",
    )
    return StartingPoint(
        baseline={
            "mean purity of features, trained (share)": float(pure.mean()),
            "mean purity of features, random twin (share)": float(pure_twin.mean()),
            "variance unexplained, trained (share)": error,
            "variance unexplained, random twin (share)": error_twin,
        },
        figure=figure,
        caption=(
            f"Of the {TOP} strongest examples of a feature, {float(pure.mean()):.0%} have one token in common in the "
            f"trained model, and {float(pure_twin.mean()):.0%} in its twin, whose weights are in random order."
        ),
    )


if __name__ == "__main__":
    run_starter(starting_point)
